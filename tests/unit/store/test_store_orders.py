"""What imports remember of the orders they placed, on SQLite and PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
from sqlalchemy import inspect

from alma_etl.inventory.loaded_orders import KnownOrder, OrderReference, SqlLoadedOrders
from alma_etl.store.db import StoreUnavailable

STORES = ["sqlite_store", pytest.param("postgres_store", marks=pytest.mark.heavy)]
AT = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
ONE, TWO = OrderReference("GOBI", "1"), OrderReference("GOBI", "2")


def sent(sender: str, po_line: str = "") -> KnownOrder:
    return KnownOrder(po_line, "991", sender, AT)


@pytest.fixture(params=STORES)
def store(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def memory(store):
    found = SqlLoadedOrders(store, "alma")
    yield found
    found.close()


def test_a_reference_is_one_in_any_case_and_a_vendor_s_own(memory):
    assert memory.find([]) == memory.find([ONE]) == {}
    memory.note(OrderReference.of("GOBI", " Ab  1"), sent("run", "POL-1"))
    assert memory.find([OrderReference.of("GOBI", "aB 1 "), OrderReference.of("YBP", "Ab 1")]) == {
        OrderReference("GOBI", "ab 1"): sent("run", "POL-1")
    }


def test_many_orders_are_found_at_once(memory):
    keys = [OrderReference("GOBI", str(number)) for number in range(700)]
    for key in keys[::100]:
        memory.note(key, sent("run", f"POL-{key.reference}"))
    assert {known.po_line for known in memory.find(keys).values()} == {f"POL-{n}" for n in range(0, 700, 100)}


def test_an_order_is_reserved_by_one_sender_and_nobody_takes_it_over(memory):
    assert memory.reserve(ONE, sent("run-1")) is None
    assert memory.reserve(ONE, sent("run-2")) == sent("run-1")
    assert memory.reserve(ONE, sent("run-1")) == sent("run-1")  # it may have been sent: look first
    memory.note(ONE, sent("run-1", "POL-1"))
    assert memory.reserve(ONE, sent("run-2")) == sent("run-1", "POL-1")
    assert memory.reserve(ONE, sent("run-2"), instead_of=sent("run-1")) == sent("run-1", "POL-1")


def test_a_reservation_passes_on_from_the_sender_that_is_known_not_to_have_placed_it(memory):
    memory.reserve(ONE, sent("run-1"))
    assert memory.reserve(ONE, sent("run-2"), instead_of=sent("run-1")) is None
    assert memory.reserve(ONE, sent("run-3"), instead_of=sent("run-1")) == sent("run-2")
    assert memory.reserve(TWO, sent("run-3"), instead_of=sent("run-1")) is None


def test_of_two_attempts_of_one_sender_one_takes_a_reservation_over(memory):
    seen = sent("run-1")
    memory.reserve(ONE, seen)
    later = [replace(seen, sent_at=AT + timedelta(hours=hours)) for hours in (2, 3)]
    assert memory.reserve(ONE, later[0], instead_of=seen) is None
    assert memory.reserve(ONE, later[1], instead_of=seen) == later[0]


def test_what_a_sender_noted_is_found_under_whatever_reference(memory):
    memory.note(ONE, sent("run-1", "POL-1"))
    memory.reserve(TWO, sent("run-2"))
    assert memory.of_senders(["run-1", "run-3"]) == {"run-1": {ONE: sent("run-1", "POL-1")}}
    assert memory.of_senders([]) == {}


def test_what_senders_noted_is_read_by_an_index(memory):
    with memory.transaction() as connection:
        indexes = {
            each["name"]: each["column_names"] for each in inspect(connection).get_indexes("loaded_orders")
        }
    assert ["alma", "sender"] in indexes.values()


def test_of_many_senders_at_once_one_reserves_an_order(store):
    def reserve(number: int) -> bool:
        memory = SqlLoadedOrders(store, "alma")
        try:
            return memory.reserve(ONE, sent(f"run-{number}")) is None
        finally:
            memory.close()

    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(reserve, range(6))).count(True) == 1


def test_a_reference_of_any_length_is_kept(memory):
    """An index of PostgreSQL does not take the whole of it."""
    long = " ".join(sha256(bytes([each])).hexdigest() for each in range(150))
    key, other = OrderReference.of("GOBI", long), OrderReference.of("GOBI", f"{long}1")
    assert memory.reserve(key, sent("run-1")) is None
    memory.note(other, sent("run-1", "POL-1"))
    assert memory.find([key, other]) == {key: sent("run-1"), other: sent("run-1", "POL-1")}
    assert OrderReference.of("GOBI", key.reference) == key


def test_what_was_about_to_be_sent_is_forgotten_by_its_sender_alone(memory):
    memory.reserve(ONE, sent("run-1"))
    memory.note(TWO, sent("run-1", "POL-2"))
    memory.forget([ONE, TWO], "run-2")
    assert set(memory.find([ONE, TWO])) == {ONE, TWO}
    memory.forget([ONE, TWO], "run-1")
    assert set(memory.find([ONE, TWO])) == {TWO}
    assert memory.reserve(ONE, sent("run-2")) is None


def test_reserved_and_placed_are_not_mixed_up(memory):
    with pytest.raises(ValueError, match="note it"):
        memory.reserve(ONE, sent("run", "POL-1"))
    with pytest.raises(ValueError, match="reserve it"):
        memory.note(ONE, sent("run"))


def test_each_alma_has_a_memory_of_its_own(store, memory):
    memory.reserve(ONE, sent("run"))
    other = SqlLoadedOrders(store, "another")
    other.forget([ONE], "run")
    assert other.find([ONE]) == {}
    assert other.reserve(ONE, sent("run-2")) is None
    other.close()
    assert memory.find([ONE]) == {ONE: sent("run")}


def test_a_store_without_its_table_is_said_in_a_sentence(tmp_path):
    memory = SqlLoadedOrders(f"sqlite:///{tmp_path}/empty.db", "alma")
    with pytest.raises(StoreUnavailable, match=r"python -m alma_etl\.store upgrade"):
        memory.find([ONE])
    memory.close()
