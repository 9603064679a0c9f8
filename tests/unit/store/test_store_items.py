"""What loads remember and how they keep off each other's titles, on SQLite and PostgreSQL."""

import threading

import pytest
from sqlalchemy import create_engine, text

from alma_etl.inventory.loaded_items import KnownItem, SqlLoadedItems
from alma_etl.store.db import StoreUnavailable, parse_url
from alma_etl.store.limiter_sql import SqlBudget
from alma_etl.store.locks import LockBusy, LockLost, open_locks
from tests.unit.store.pooler import pooled

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
    with open_locks(store, timeout=0) as mine, open_locks(store, timeout=0) as theirs:
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
    with open_locks(store, timeout=0) as locks:
        with pytest.raises(ValueError, match="x"), locks.hold("title 991"):
            raise ValueError("x")
        with locks.hold("title 991"):
            pass


def test_a_worker_that_is_gone_holds_nothing(store):
    dead = open_locks(store, timeout=0)
    holding = dead.hold("title 991")
    holding.__enter__()
    dead.__exit__()  # what the end of a process does to its connections and files
    with open_locks(store, timeout=0) as alive, alive.hold("title 991"):
        pass


def end_sessions_with_locks(url):
    """What a failover, a firewall or an administrator does; how many there were."""
    engine = create_engine(parse_url(url))
    with engine.begin() as connection:
        ended = connection.execute(
            text(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory' "
                "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
        )
        count = len(list(ended))
    engine.dispose()
    return count


@pytest.mark.heavy
def test_locks_end_with_a_session_that_the_server_ends(postgres_store):
    with (
        open_locks(postgres_store, timeout=0) as mine,
        open_locks(postgres_store, timeout=0) as theirs,
        mine.hold("title 991"),
    ):
        assert end_sessions_with_locks(postgres_store) == 1
        with theirs.hold("title 991"):
            pass


def test_a_lock_that_is_held_passes_its_check(store):
    with open_locks(store, timeout=0) as locks, locks.hold("title 991") as first:
        first.check()
        with locks.hold("title 992") as second:
            second.check()
            first.check()
        first.check()


@pytest.mark.heavy
def test_who_lost_a_lock_with_its_session_is_told_so_before_writing_and_goes_on_with_others(postgres_store):
    with open_locks(postgres_store, timeout=0) as mine, open_locks(postgres_store, timeout=0) as theirs:
        with mine.hold("title 991") as lost, mine.hold("title 993") as lost_too:
            end_sessions_with_locks(postgres_store)
            with theirs.hold("title 991") as taken:
                with pytest.raises(LockLost, match="title 991 was lost"):
                    lost.check()
                taken.check()
                with mine.hold("title 992") as new:  # in a new session
                    new.check()
                    with pytest.raises(LockLost):
                        lost_too.check()
                    with pytest.raises(LockLost):
                        lost.check()
        with mine.hold("title 991") as again:
            again.check()


@pytest.mark.heavy
def test_a_session_that_ended_unnoticed_costs_no_later_lock(postgres_store):
    with open_locks(postgres_store, timeout=0) as locks:
        with locks.hold("title 991"):
            pass
        with locks.hold("title 990"):
            end_sessions_with_locks(postgres_store)
            with locks.hold("title 992") as lock:
                lock.check()
        with locks.hold("title 990") as lock:
            lock.check()


@pytest.mark.heavy
def test_locks_hold_behind_a_pooler_that_shares_sessions_by_transaction(postgres_store):
    url = parse_url(postgres_store)
    with pooled(url.host, url.port) as pooler:
        through = url.set(port=pooler.port).render_as_string(hide_password=False)
        with open_locks(through, timeout=0) as mine, open_locks(through, timeout=0) as theirs:
            with theirs.hold("title 990"):
                pass
            for _ in range(3):
                with mine.hold("title 991") as lock, mine.hold("title 992"):
                    for name in ("title 991", "title 992"):
                        with pytest.raises(LockBusy), theirs.hold(name):
                            pass
                    lock.check()
            with theirs.hold("title 991") as lock:
                lock.check()
        assert pooler.transactions >= 2
        # Nothing is left in the sessions that go back to others.
        with open_locks(postgres_store, timeout=0) as direct, direct.hold("title 991"):
            pass


@pytest.mark.heavy
def test_the_limiter_and_the_memory_work_behind_a_pooler_too(postgres_store):
    url = parse_url(postgres_store)
    with pooled(url.host, url.port) as pooler:
        through = url.set(port=pooler.port).render_as_string(hide_password=False)
        memories = [SqlLoadedItems(through, "alma_default") for _ in range(3)]
        for number in range(12):  # often enough for a driver to prepare what it sends
            memories[number % 3].remember([known(number)], "run")
            assert memories[(number + 1) % 3].find([f"B{number}"])
        budgets = [SqlBudget(through, "b") for _ in range(3)]
        for number in range(12):
            assert budgets[number % 3].take(1, 20).granted == number + 1
        for each in (*memories, *budgets):
            each.close()
