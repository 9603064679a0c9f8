"""Two who write the same thing at once, on PostgreSQL, where they really meet; what an error of the store is called."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import event, exc, text

from alma_etl.dcb.machine.vocabulary import Role
from alma_etl.dcb.store import Alert, DcbStore, Hint, HoldTaken, LegRecord, NewRequest
from alma_etl.inventory.loaded_items import KnownItem, SqlLoadedItems
from alma_etl.store.db import StoreConflict, StoreRefused, StoreUnavailable, parse_url, store_problem
from alma_etl.store.upgrade import upgrade
from tests.unit.dcb.records import HOUR, SETTINGS, START, dump, new_request, seen

WRITERS = 4
DAY = START.date()


@pytest.fixture
def url(postgres: Callable[[], str]) -> str:
    url = postgres()
    upgrade(url)
    return url


@pytest.fixture
def writers(url: str) -> Iterator[list[DcbStore]]:
    """Stores with a session each; all wait for one another right before the first INSERT of each transaction."""
    stores = [DcbStore(url) for _ in range(WRITERS)]
    barrier = threading.Barrier(WRITERS, timeout=30)
    for store in stores:
        _meet_before_inserting(store, barrier)
    yield stores
    for store in stores:
        store.close()


def _meet_before_inserting(store: DcbStore, barrier: threading.Barrier) -> None:
    met = threading.local()

    def begin(_: Any) -> None:
        met.yet = False

    def meet(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("INSERT") and not met.yet:
            met.yet = True
            barrier.wait()

    event.listen(store._engine, "begin", begin)
    event.listen(store._engine, "before_cursor_execute", meet)


def at_once(writers: list[DcbStore], write: Callable[[DcbStore], Any]) -> list[Any]:
    with ThreadPoolExecutor(len(writers)) as threads:
        return [each.result() for each in [threads.submit(write, store) for store in writers]]


WRITES: dict[str, tuple[Callable[[DcbStore], Any], str]] = {
    "hint": (lambda store: store.keep_hint(Hint("L:1", "LENDER", "LOAN_RETURNED", "1"), START), "dcb_hint"),
    "alert": (lambda store: store.open_alert(Alert("X:1", "X", "warning"), START), "dcb_alert"),
    "request": (lambda store: store.add(new_request(), START), "dcb_request"),
}


@pytest.mark.heavy
@pytest.mark.parametrize("name", WRITES)
def test_of_several_who_write_one_new_key_at_once_one_is_first_and_none_fails(
    name: str, writers: list[DcbStore], url: str
) -> None:
    write, table = WRITES[name]
    assert sorted(at_once(writers, write)) == [False] * (WRITERS - 1) + [True]
    assert len(dump(url)[table]) == 1


@pytest.mark.heavy
def test_an_alert_that_several_see_at_once_counts_each_of_them(writers: list[DcbStore], url: str) -> None:
    at_once(writers, WRITES["alert"][0])
    (row,) = dump(url)["dcb_alert"]
    assert row["repeat_count"] == WRITERS - 1
    with DcbStore(url) as store:
        store.acknowledge("X:1", "sam")
        store.close_alert("X:1", START)
    at_once(writers, lambda store: store.open_alert(Alert("X:1", "X", "urgent"), START + HOUR))
    (row,) = dump(url)["dcb_alert"]
    assert (row["repeat_count"], row["first_seen"], row["acked_by"], row["closed_at"], row["severity"]) == (
        WRITERS - 1,
        START + HOUR,
        None,
        None,
        "urgent",
    )


@pytest.mark.heavy
def test_calls_that_several_count_at_once_add_up(writers: list[DcbStore]) -> None:
    at_once(writers, lambda store: store.count_calls(DAY, "alma_default", 3))
    assert writers[0].calls_of(DAY) == {"alma_default": 3 * WRITERS}


@pytest.mark.heavy
def test_items_that_several_remember_at_once_are_kept_once(url: str) -> None:
    memories = [SqlLoadedItems(url, "alma") for _ in range(WRITERS)]
    items = [KnownItem(str(number), "m", "h", "p") for number in range(200)]
    barrier = threading.Barrier(WRITERS, timeout=30)

    def remember(number: int) -> None:
        barrier.wait()
        memories[number].remember(items[::-1] if number % 2 else items, f"run-{number}")

    with ThreadPoolExecutor(WRITERS) as threads:
        for each in [threads.submit(remember, number) for number in range(WRITERS)]:
            each.result()
    assert len(memories[0].find([item.barcode for item in items])) == 200
    for memory in memories:
        memory.close()


@pytest.mark.heavy
def test_two_requests_that_claim_one_hold_at_once_are_told_of_each_other(
    writers: list[DcbStore], url: str
) -> None:
    pr_ids = {id(store): f"PR-{number}" for number, store in enumerate(writers)}

    def claim(store: DcbStore) -> str:
        leg = LegRecord(Role.SUPPLIER, "LENDER", user_id="vp-1", request_id="77")
        try:
            store.add(NewRequest(pr_ids[id(store)], (leg,)), START)
        except (HoldTaken, StoreConflict) as problem:
            return str(problem)
        return "kept"

    told = at_once(writers, claim)
    assert told.count("kept") == 1
    assert [each["request_id"] for each in dump(url)["dcb_leg"]] == ["77"]
    assert len(dump(url)["dcb_request"]) == 1  # of the others nothing is left
    assert not any("Check that it runs" in each for each in told)


@pytest.mark.heavy
def test_many_nudges_hints_and_steps_at_once_block_nobody(url: str) -> None:
    stores = [DcbStore(url) for _ in range(WRITERS)]
    pr_ids = [f"PR-{number:02d}" for number in range(30)]
    for pr_id in pr_ids:
        stores[0].add(new_request(pr_id), START)

    def work(number: int) -> None:
        store = stores[number]
        for turn in range(6):
            now = START + HOUR + timedelta(minutes=turn, seconds=number)
            store.nudge(pr_ids[::-1] if number % 2 else pr_ids, now)
            for pr_id in pr_ids[number::WRITERS]:
                name = f"L:{turn}:{number}:{pr_id}"
                store.keep_hint(Hint(name, "LENDER", "REQUEST_CLOSED", f"{pr_id}-S"), now)
                store.apply(
                    pr_id, [seen("SUPPLIER", now, "IN_PROCESS", "in place")], settings=SETTINGS, now=now
                )
            store.follow_hints(now)
            store.wait(pr_ids, now)
            store.release(pr_ids, "me")

    with ThreadPoolExecutor(WRITERS) as threads:
        for each in [threads.submit(work, number) for number in range(WRITERS)]:
            each.result()
    assert [row["nudges"] >= WRITERS * 6 for row in dump(url)["dcb_request"]] == [True] * 30
    for store in stores:
        store.close()


# --- what an error is called


def tell(store: DcbStore, *statements: str) -> None:
    with store._transaction() as connection:
        for statement in statements:
            connection.execute(text(statement))


HINT = "INSERT INTO dcb_hint VALUES ('1', 'L', 'E', NULL, NULL, now())"


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("statements", "kind", "words"),
    [
        ((HINT, HINT), StoreConflict, r"pk_dcb_hint.*\(UniqueViolation\)"),
        (("SELEC 1",), StoreRefused, "SyntaxError"),
        (("UPDATE dcb_request SET workflow = 'X'",), StoreRefused, "CheckViolation"),
        (("SELECT * FROM dcb_of_tomorrow",), StoreUnavailable, "was upgraded"),
        (("SELECT of_tomorrow FROM dcb_request",), StoreUnavailable, "was upgraded"),
        (("SELECT pg_terminate_backend(pg_backend_pid())",), StoreUnavailable, "Check that it runs"),
    ],
)
def test_only_an_error_of_the_connection_makes_the_store_an_unavailable_one(
    statements: tuple[str, ...], kind: type[Exception], words: str, url: str
) -> None:
    with DcbStore(url) as store:
        store.add(new_request(), START)
        with pytest.raises(kind, match=words) as raised:
            tell(store, *statements)
        if kind is not StoreUnavailable:
            assert not isinstance(raised.value, StoreUnavailable)
            assert "Check that it" not in str(raised.value)


@pytest.mark.heavy
def test_a_store_that_nobody_listens_at_is_unavailable(url: str) -> None:
    nobody = parse_url(url).set(host="127.0.0.1", port=1, query={}).render_as_string(hide_password=False)
    with DcbStore(nobody) as store, pytest.raises(StoreUnavailable, match="Check that it runs"):
        store.get("PR-1")


@pytest.mark.parametrize(
    ("problem", "kind"),
    [
        (exc.OperationalError("x", {}, psycopg.OperationalError("lost")), StoreUnavailable),
        (exc.InterfaceError("x", {}, psycopg.InterfaceError("closed")), StoreUnavailable),
        (exc.TimeoutError("pool"), StoreUnavailable),
        (exc.DBAPIError("x", {}, psycopg.Error("?"), connection_invalidated=True), StoreUnavailable),
        (exc.OperationalError("x", {}, psycopg.errors.DeadlockDetected("lost")), StoreConflict),
        (exc.OperationalError("x", {}, psycopg.errors.SerializationFailure("lost")), StoreConflict),
        (exc.IntegrityError("x", {}, psycopg.errors.UniqueViolation("taken")), StoreConflict),
        (exc.ProgrammingError("x", {}, psycopg.errors.SyntaxError("x")), StoreRefused),
        (exc.DataError("x", {}, psycopg.errors.StringDataRightTruncation("x")), StoreRefused),
        (exc.InternalError("x", {}, psycopg.errors.ReadOnlySqlTransaction("x")), StoreRefused),
        (exc.ProgrammingError("x", {}, psycopg.errors.UndefinedTable("x")), StoreUnavailable),
        (exc.ArgumentError("a fault of ours"), StoreRefused),
    ],
)
def test_an_error_of_the_database_is_named_as_what_it_is(problem: exc.SQLAlchemyError, kind: type) -> None:
    told = store_problem(problem, parse_url("postgresql://u:word@h/d"), "for a test")
    assert type(told) is kind
    assert "word" not in str(told)
