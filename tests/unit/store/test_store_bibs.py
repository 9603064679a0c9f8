"""What imports remember of the titles they made, on SQLite and PostgreSQL."""

from datetime import UTC, datetime

import pytest

from alma_etl.inventory.loaded_bibs import KnownBib, SqlLoadedBibs
from alma_etl.store.db import StoreUnavailable

STORES = ["sqlite_store", pytest.param("postgres_store", marks=pytest.mark.heavy)]
AT = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)


@pytest.fixture(params=STORES)
def store(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def memory(store):
    found = SqlLoadedBibs(store, "alma")
    yield found
    found.close()


def test_nothing_is_known_at_first(memory):
    assert memory.find(["oclc:1"]) == memory.find([]) == {}
    memory.note([], KnownBib("991", "run", AT))
    memory.forget([], "run")


def test_a_title_is_found_by_each_of_its_numbers_and_the_last_one_counts(memory):
    memory.note((f"oclc:{number}" for number in range(1_200)), KnownBib("991", "run-1", AT))
    memory.note(["oclc:3", "isbn:5"], KnownBib("992", "run-2", AT))
    found = memory.find([f"oclc:{number}" for number in range(-5, 1_100)] + ["isbn:5"])
    assert len(found) == 1_101
    assert found["oclc:4"] == KnownBib("991", "run-1", AT)
    assert found["oclc:3"] == found["isbn:5"] == KnownBib("992", "run-2", AT)


def test_what_was_about_to_be_sent_is_forgotten_by_its_sender_alone(memory):
    memory.note(["a", "b"], KnownBib("", "run-1", AT))
    memory.note(["b"], KnownBib("", "run-2", AT))
    memory.note(["c"], KnownBib("991", "run-1", AT))
    memory.forget(["a", "b", "c"], "run-1")
    assert set(memory.find(["a", "b", "c"])) == {"b", "c"}


def test_each_alma_has_a_memory_of_its_own(store, memory):
    memory.note(["a"], KnownBib("991", "run", AT))
    other = SqlLoadedBibs(store, "another")
    other.forget(["a"], "run")
    assert other.find(["a"]) == {}
    other.close()
    assert set(memory.find(["a"])) == {"a"}


def test_a_store_without_its_table_is_said_in_a_sentence(tmp_path):
    memory = SqlLoadedBibs(f"sqlite:///{tmp_path}/empty.db", "alma")
    with pytest.raises(StoreUnavailable, match=r"python -m alma_etl\.store upgrade"):
        memory.find(["a"])
    memory.close()
