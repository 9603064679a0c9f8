"""Links to records in Alma, by the connection's `record_url`."""

from collections.abc import Iterable

from alma_airflow.ui.connections import remembered_connection
from alma_etl.views.runs import RecordUrls

DEFAULT = "alma_default"


def record_urls(connections: Iterable[str] = ()) -> RecordUrls:
    """The links of the first of these connections that has a template, else of `alma_default`."""
    found = (_template(each) for each in (*connections, DEFAULT))
    return RecordUrls(next((each for each in found if each), ""))


def urls_of(conn_id: str | None) -> RecordUrls:
    """The links of one connection; none where it has no template."""
    return RecordUrls(_template(conn_id) if conn_id else "")


def _template(conn_id: str) -> str:
    connection = remembered_connection(conn_id)
    if connection is None or connection.conn_type != "alma":
        return ""
    return str(connection.extra_dejson.get("record_url") or "")
