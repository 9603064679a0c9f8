"""The connection of type `aleph`."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, ClassVar, Literal

from airflow.sdk import BaseHook, Connection
from airflow.sdk.log import mask_secret
from pydantic import Field

from alma_airflow.hooks.extras import ConnectionExtra, read_extra, service_url
from alma_airflow.hooks.ledger import counted_calls
from alma_airflow.hooks.store import redis_url, store_url
from alma_etl.aleph.client import AlephAccess, AlephClient
from alma_etl.errors import InputProblem
from alma_etl.remote.errors import RemoteError
from alma_etl.remote.limiter import Limiter, LocalLimiter
from alma_etl.store import open_limiter

_LONGEST = 30.0  # seconds for an answer while somebody waits for it


class AlephSettings(ConnectionExtra):
    """The extra of an `aleph` connection; what is missing or null has its default. `timeout` is in seconds."""

    library: str = ""
    op_style: Literal["update-item", "update_item"] = "update-item"
    read_item_barcode_param: Literal["item_barcode", "barcode"] = "item_barcode"
    requests_per_second: float = Field(5, gt=0)
    max_in_flight: int = Field(4, ge=1)
    timeout: float = Field(30, gt=0)


class AlephHook(BaseHook):
    """Gives a client of Aleph's X-Server for one connection of type `aleph`.

    The host is the X-Server's URL (with or without ``/X``), login and password are those of the staff user who may use
    the services (empty: Aleph takes its user WWW-X), the extra is described by `AlephSettings`. All clients of one
    connection, in all tasks and on all hosts, share one budget of requests per second.

    Example::

        with AlephHook("aleph_default").client() as aleph:
            answer = aleph.read_item(ItemKey("51077", "10"))
    """

    conn_name_attr: ClassVar[str] = "aleph_conn_id"
    default_conn_name: ClassVar[str] = "aleph_default"
    conn_type: ClassVar[str] = "aleph"
    hook_name: ClassVar[str] = "Ex Libris Aleph X-Server"

    def __init__(self, aleph_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.aleph_conn_id = aleph_conn_id

    @contextmanager
    def client(self) -> Iterator[AlephClient]:
        """A client that is closed when the block ends. Raises InputProblem when the connection cannot be used as it
        stands."""
        connection = self.get_connection(self.aleph_conn_id)
        settings = read_extra(connection, AlephSettings)
        access = _access(connection, settings)
        limiter = open_limiter(
            store_url=store_url(),
            redis_url=redis_url(),
            budget=f"{connection.conn_id} {access.url.partition('://')[2].lower()}",
            requests_per_second=settings.requests_per_second,
        )
        with (
            counted_calls(self.aleph_conn_id) as meter,
            _client(access, settings, limiter, meter=meter) as client,
        ):
            yield client

    def server(self) -> str:
        """The X-Server's host, with its port where it has one of its own, and the library."""
        connection = self.get_connection(self.aleph_conn_id)
        access = _access(connection, read_extra(connection, AlephSettings))
        return f"{access.url.partition('://')[2].lower()} {access.library}"

    def get_conn(self) -> AlephClient:
        """Not used: a client has to be closed. Use `client()`."""
        raise TypeError("Use `with AlephHook(...).client() as aleph:`, which closes the client")

    def say(self) -> str:
        """What an X-Server says whose user may read items of the library. Asks for an item that is not there: at most
        four requests, each of 30 seconds at most, and nothing is written.

        Raises InputProblem, before anything is asked, when the connection cannot be used as it stands, and RemoteError.
        """
        connection = self.get_connection(self.aleph_conn_id)
        if connection.conn_type != self.conn_type:
            raise InputProblem(
                f"The connection {connection.conn_id} is of type {connection.conn_type}, not {self.conn_type}"
            )
        settings = read_extra(connection, AlephSettings)
        access = _access(connection, settings)
        access = replace(access, timeout=min(access.timeout, _LONGEST))
        limiter = LocalLimiter(settings.requests_per_second)
        with _client(access, settings, limiter, attempts=2) as aleph:
            said = aleph.say()
        return (
            f"The X-Server answers for the library {access.library}: {said or 'it shows items'}. Whether the user may "
            "update items shows with the first update (permission WWW-X / UPD-ITEM)."
        )

    def test_connection(self) -> tuple[bool, str]:
        """The Test button: whether an X-Server answers whose user may read items of the library; see `say`."""
        try:
            return True, self.say()
        except (RemoteError, InputProblem) as problem:
            return False, str(problem)


def _access(connection: Connection, settings: AlephSettings) -> AlephAccess:
    if connection.password:
        # A connection's password is masked by itself in a worker, but not under `airflow dags test`.
        mask_secret(connection.password)
    try:
        return AlephAccess(
            service_url(connection, "the X-Server's URL", "https://aleph.example.org"),
            settings.library.strip(),
            connection.login or "",
            connection.password or "",
            settings.op_style,
            settings.read_item_barcode_param,
            settings.timeout,
        )
    except ValueError as error:
        raise InputProblem(f"The connection {connection.conn_id} cannot be used: {error}") from error


def _client(access: AlephAccess, settings: AlephSettings, limiter: Limiter, **options: Any) -> AlephClient:
    return AlephClient(access, limiter=limiter, max_in_flight=settings.max_in_flight, **options)
