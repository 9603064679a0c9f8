"""The address of the state store: what is taken, and that no message gives its password away."""

import re
import time
from pathlib import Path

import pytest

from alma_etl.remote.limiter import LimiterUnavailable
from alma_etl.store import limiter_sql, open_limiter
from alma_etl.store.__main__ import main
from alma_etl.store.db import StoreUnavailable, open_engine, parse_url, place, server_now
from alma_etl.store.limiter_redis import RedisLimiter
from alma_etl.store.limiter_sql import SqlLimiter

SHUT = "127.0.0.1:1"  # nothing listens there


@pytest.mark.parametrize(
    ("url", "driver", "where"),
    [
        ("postgresql+psycopg://u:hush@db:5433/etl", "postgresql+psycopg", "the PostgreSQL database 'etl' at db:5433"),
        ("postgresql://u:hush@db/etl", "postgresql+psycopg", "the PostgreSQL database 'etl' at db"),
        ("postgres://u:hush@db/etl", "postgresql+psycopg", "the PostgreSQL database 'etl' at db"),
        ("postgresql+psycopg2://u:hush@db/etl", "postgresql+psycopg", "the PostgreSQL database 'etl' at db"),
        ("postgresql://u@/etl?host=/run/pg", "postgresql+psycopg", "the PostgreSQL database 'etl' at /run/pg"),
        ("postgres://u@/e?host=%2Frun%2Fpg&port=7", "postgresql+psycopg", "the PostgreSQL database 'e' at /run/pg:7"),
        ("sqlite:////tmp/etl.db", "sqlite", "the SQLite file /tmp/etl.db"),
        ("sqlite+pysqlite:///etl.db", "sqlite", "the SQLite file etl.db"),
    ],
)  # fmt: skip
def test_addresses_that_are_taken(url: str, driver: str, where: str) -> None:
    parsed = parse_url(url)
    assert parsed.drivername == driver
    assert place(parsed) == where


@pytest.mark.parametrize(
    "url", ["", "hush", "sqlite://", "mysql://u:hush@db/etl", "postgresql//u:hush@db/etl"]
)
def test_addresses_that_are_not(url: str) -> None:
    with pytest.raises(StoreUnavailable) as raised:
        parse_url(url)
    assert "state store" in str(raised.value)
    assert "hush" not in str(raised.value)


def test_a_unix_socket_reaches_the_driver() -> None:
    engine = open_engine("postgres://u@/etl?host=/run/pg")
    _, options = engine.dialect.create_connect_args(engine.url)
    assert options["host"] == "/run/pg"
    assert options["dbname"] == "etl"


def test_the_clock_of_a_sqlite_store(sqlite_store: str) -> None:
    before = time.time()
    with open_engine(sqlite_store).connect() as connection:
        now = connection.execute(server_now().select()).scalar_one()
    assert before - 0.01 <= now <= time.time() + 0.01


def test_the_command_says_in_one_sentence_that_the_store_cannot_be_reached(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["upgrade", f"postgresql+psycopg://user:hush@{SHUT}/etl"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(
        "The state store, the PostgreSQL database 'etl' at 127.0.0.1:1, cannot be upgraded: "
    )
    assert "alma_etl_db" in err
    assert "hush" not in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("redis_url", [None, f"redis://:hush@{SHUT}/0"])
def test_a_limiter_whose_store_is_gone_says_which_and_keeps_the_password(
    redis_url: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limiter_sql, "RETRY_SECONDS", 0.2)
    monkeypatch.setattr("alma_etl.store.limiter_redis.ATTEMPTS", 1)
    limiter = open_limiter(
        store_url=f"postgresql://user:hush@{SHUT}/etl", redis_url=redis_url, budget="b", requests_per_second=5
    )
    assert isinstance(limiter, RedisLimiter if redis_url else SqlLimiter)
    with pytest.raises(LimiterUnavailable) as raised:
        limiter.acquire()
    assert "127.0.0.1:1" in str(raised.value)
    assert ("limiter_default" if redis_url else "alma_etl_db") in str(raised.value)
    assert "hush" not in str(raised.value)


def test_a_limiter_on_a_store_that_was_not_set_up_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(LimiterUnavailable, match=re.escape("python -m alma_etl.store upgrade")):
        SqlLimiter(f"sqlite:///{tmp_path / 'new.db'}", "b", 5).acquire()
