"""Connections as the pages look them up: each at most once a minute."""

import time
from functools import lru_cache

from airflow.sdk import Connection

from alma_airflow.hooks.store import find_connection

_REMEMBERED = 60.0  # seconds; a changed connection counts after that


def this_minute() -> int:
    """Changes when what was looked up is to be looked up again."""
    return int(time.monotonic() / _REMEMBERED)


def remembered_connection(conn_id: str) -> Connection | None:
    """A connection, None where there is none of this id."""
    return _found(conn_id, this_minute())


@lru_cache(maxsize=64)
def _found(conn_id: str, minute: int) -> Connection | None:
    return find_connection(conn_id)


def forget() -> None:
    """Look up every connection again next time."""
    _found.cache_clear()
