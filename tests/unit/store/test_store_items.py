"""What loads remember and how they keep off each other's titles, on SQLite and PostgreSQL."""

import threading

import pytest
from sqlalchemy import create_engine, text

from alma_etl.store.db import StoreUnavailable, parse_url
from alma_etl.store.loaded_items import KnownItem, SqlLoadedItems
from alma_etl.store.locks import LockBusy, open_locks

STORES = ["sqlite_store", pytest.param("postgres_store", marks=pytest.mark.heavy)]


@pytest.fixture(params=STORES)
def store(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def memory(store):
    found = SqlLoadedItems(store, "alma_default")
    yield found
    found.close()


def known(number, pid="231"):
    return KnownItem(f"B{number}", f"99{number}", "221", pid)


def test_nothing_is_known_at_first(memory):
    assert memory.find(["B1"]) == {}
    assert memory.find([]) == {}
    memory.remember([], "run")


def test_what_was_remembered_is_found_by_its_barcode_and_the_last_word_counts(memory):
    memory.remember([known(number) for number in range(1_200)], "run-1")
    memory.remember([known(3, pid="239")], "run-2")
    found = memory.find([f"B{number}" for number in range(-5, 1_100)])
    assert len(found) == 1_100
    assert found["B3"] == known(3, pid="239")
    assert found["B4"] == known(4)


def test_each_alma_has_a_memory_of_its_own(store, memory):
    memory.remember([known(1)], "run")
    other = SqlLoadedItems(store, "alma_sandbox")
    assert other.find(["B1"]) == {}
    other.close()


def test_a_store_without_its_table_is_told_in_a_sentence(tmp_path):
    memory = SqlLoadedItems(f"sqlite:///{tmp_path}/empty.db", "alma_default")
    with pytest.raises(StoreUnavailable, match=r"python -m alma_etl\.store upgrade"):
        memory.find(["B1"])
    memory.close()


def test_a_lock_keeps_others_out_until_it_is_given_back(store):
    with open_locks(store, patience=0) as mine, open_locks(store, patience=0) as theirs:
        with mine.hold("title 991"):
            with pytest.raises(LockBusy, match="working on title 991"), theirs.hold("title 991"):
                pass
            with theirs.hold("title 992"):
                pass
        with theirs.hold("title 991"):
            pass


def test_threads_of_one_task_keep_each_other_out_as_well(store):
    inside, met = [], []

    def work(locks):
        for _ in range(20):
            with locks.hold("title 991"):
                inside.append(1)
                met.append(len(inside))
                inside.pop()

    with open_locks(store) as locks:
        threads = [threading.Thread(target=work, args=(locks,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert met == [1] * 80


def test_a_lock_is_given_back_when_the_work_fails(store):
    with open_locks(store, patience=0) as locks:
        with pytest.raises(ValueError, match="x"), locks.hold("title 991"):
            raise ValueError("x")
        with locks.hold("title 991"):
            pass


def test_a_worker_that_is_gone_holds_nothing(store):
    dead = open_locks(store, patience=0)
    holding = dead.hold("title 991")
    holding.__enter__()
    dead.__exit__()  # what the end of a process does to its connections and files
    with open_locks(store, patience=0) as alive, alive.hold("title 991"):
        pass


@pytest.mark.heavy
def test_locks_end_with_a_session_that_the_server_ends(postgres_store):
    with (
        open_locks(postgres_store, patience=0) as mine,
        open_locks(postgres_store, patience=0) as theirs,
        mine.hold("title 991"),
    ):
        engine = create_engine(parse_url(postgres_store))
        with engine.begin() as connection:
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' "
                    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
                )
            )
        engine.dispose()
        with theirs.hold("title 991"):
            pass
