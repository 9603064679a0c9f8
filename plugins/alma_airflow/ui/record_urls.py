"""Links to records in Alma, by the connection's `record_url`."""

import time
from collections.abc import Iterable
from functools import lru_cache

from alma_airflow.hooks.store import find_connection
from alma_etl.views.runs import RecordUrls

_REMEMBERED = 60.0  # seconds; a changed connection counts after that
DEFAULT = "alma_default"


def record_urls(connections: Iterable[str] = ()) -> RecordUrls:
    """The links of the first of these connections that has a template, else of `alma_default`."""
    minute = int(time.monotonic() / _REMEMBERED)
    found = (_template(each, minute) for each in (*connections, DEFAULT))
    return RecordUrls(next((each for each in found if each), ""))


@lru_cache(maxsize=64)
def _template(conn_id: str, minute: int) -> str:
    connection = find_connection(conn_id)
    if connection is None or connection.conn_type != "alma":
        return ""
    return str(connection.extra_dejson.get("record_url") or "")
