"""The state store as the pages read it: one pool of connections a process."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from sqlalchemy import Connection

from alma_airflow.hooks.store import store_url
from alma_etl.jobs.ledger_reading import LedgerReader

_REMEMBERED = 60.0  # seconds; a changed connection counts after that


@contextmanager
def reading() -> Iterator[Connection]:
    """A transaction of the state store. Raises StoreUnavailable, StoreRefused or InputProblem, one sentence."""
    with _reader(_url(int(time.monotonic() / _REMEMBERED))).reading() as connection:
        yield connection


@lru_cache(maxsize=1)
def _url(minute: int) -> str:
    return store_url()


@lru_cache(maxsize=1)
def _reader(url: str) -> LedgerReader:
    return LedgerReader(url)


def forget() -> None:
    """Look up the store's connection again next time."""
    _url.cache_clear()
    _reader.cache_clear()
