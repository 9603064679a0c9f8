"""The bucket and the state store, from their connections."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from airflow.sdk import BaseHook, Connection
from airflow.sdk.exceptions import AirflowNotFoundException

from alma_etl.errors import InputProblem

if TYPE_CHECKING:
    from alma_etl.store.bucket import Bucket

AWS_CONN_ID = "aws_default"
STORE_CONN_ID = "alma_etl_db"
LIMITER_CONN_ID = "limiter_default"


def bucket_name() -> str:
    """The bucket of all jobs: the environment's `ALMA_ETL_BUCKET`, else `alma-etl`."""
    return os.environ.get("ALMA_ETL_BUCKET") or "alma-etl"


def open_bucket(aws_conn_id: str = AWS_CONN_ID) -> Bucket:
    """The bucket of all jobs, by the connection of type `aws`."""
    # AWS's libraries take most of a second to import, which tasks that need no bucket are spared.
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    from alma_etl.store.bucket import Bucket

    return Bucket(S3Hook(aws_conn_id).get_conn(), bucket_name())


def find_connection(conn_id: str) -> Connection | None:
    """A connection that need not exist."""
    try:
        return BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        return None


def store_url(conn_id: str = STORE_CONN_ID) -> str:
    """The URL of the state store for SQLAlchemy: PostgreSQL, or SQLite for tests."""
    connection = find_connection(conn_id)
    if connection is None:
        raise InputProblem(
            f"There is no connection {conn_id}: create it for the PostgreSQL database of the state store"
        )
    kind = connection.conn_type or ""
    if kind.startswith("sqlite"):
        # Airflow reads sqlite:////tmp/x.db into the schema, a form in the UI rather fills the host.
        path = connection.schema or connection.host or ""
        return f"sqlite:///{path}"
    if kind.startswith("postgres"):
        return _postgres_url(connection)
    raise InputProblem(f"The connection {conn_id} must be of type postgres, not {kind!r}")


def redis_url(conn_id: str = LIMITER_CONN_ID) -> str | None:
    """The URL of the Redis or Valkey server that keeps the limiter, or None when the state store keeps it."""
    connection = find_connection(conn_id)
    if connection is None:
        return None
    scheme = "rediss" if connection.extra_dejson.get("ssl") else "redis"
    database = connection.extra_dejson.get("db") or connection.schema or 0
    return f"{scheme}://{_login(connection)}{connection.host}:{connection.port or 6379}/{database}"


def _postgres_url(connection: Connection) -> str:
    extra = connection.extra_dejson
    host = connection.host or extra.get("host") or ""
    options = {
        name: str(extra[name]) for name in ("sslmode", "sslrootcert", "sslcert", "sslkey") if name in extra
    }
    if host.startswith("/"):  # a folder with the server's socket
        options["host"] = host
        if connection.port:
            options["port"] = str(connection.port)
        place = ""
    else:
        place = f"{host}:{connection.port}" if connection.port else host
    query = f"?{urlencode(options)}" if options else ""
    return f"postgresql+psycopg://{_login(connection)}{place}/{connection.schema or ''}{query}"


def _login(connection: Connection) -> str:
    login, password = quote(connection.login or "", safe=""), quote(connection.password or "", safe="")
    if not login and not password:
        return ""
    return f"{login}:{password}@" if password else f"{login}@"
