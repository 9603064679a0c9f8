"""The state store as the pages read it: one pool of connections a process."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from sqlalchemy import Connection

from alma_airflow.hooks.ledger import retention
from alma_airflow.hooks.store import store_url
from alma_airflow.ui import connections
from alma_airflow.ui.connections import this_minute
from alma_etl.dcb.store import DcbStore
from alma_etl.errors import InputProblem
from alma_etl.jobs.ledger_purge import Retention
from alma_etl.jobs.ledger_reading import LedgerReader


@contextmanager
def reading() -> Iterator[Connection]:
    """A transaction of the state store. Raises StoreUnavailable, StoreRefused or InputProblem, one sentence."""
    with _reader(_url(this_minute())).reading() as connection:
        yield connection


def dcb_store() -> DcbStore:
    """The DCB part of the state store. Raises InputProblem where no state store is named."""
    return _dcb_store(_url(this_minute()))


def retention_now() -> Retention:
    """How long what runs leave is kept: what ships where the settings cannot be used, which the next run says."""
    return _retention(this_minute())


@lru_cache(maxsize=1)
def _retention(minute: int) -> Retention:
    try:
        return retention()
    except InputProblem:
        return Retention()


@lru_cache(maxsize=1)
def _url(minute: int) -> str:
    return store_url()


@lru_cache(maxsize=1)
def _reader(url: str) -> LedgerReader:
    return LedgerReader(url)


@lru_cache(maxsize=1)
def _dcb_store(url: str) -> DcbStore:
    return DcbStore(url)


def forget() -> None:
    """Look up the store's connection, and all others, again next time."""
    connections.forget()
    _url.cache_clear()
    _retention.cache_clear()
    _reader.cache_clear()
    _dcb_store.cache_clear()
