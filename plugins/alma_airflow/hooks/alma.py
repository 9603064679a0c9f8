"""The connection of type `alma`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar
from urllib.parse import urlsplit

from airflow.sdk import BaseHook, Connection
from airflow.sdk.exceptions import AirflowNotFoundException
from airflow.sdk.log import mask_secret
from pydantic import Field

from alma_airflow.hooks.extras import ConnectionExtra, read_extra, service_url
from alma_airflow.hooks.ledger import counted_calls
from alma_airflow.hooks.store import find_connection, redis_url, store_url
from alma_etl.alma.client import AlmaClient
from alma_etl.alma.sru import REQUESTS_PER_SECOND, SruClient
from alma_etl.errors import InputProblem
from alma_etl.jobs.links import AlmaUrls
from alma_etl.remote.errors import RemoteError
from alma_etl.remote.limiter import Limiter, LocalLimiter
from alma_etl.store import open_limiter


class AlmaSettings(ConnectionExtra):
    """The extra of an `alma` connection; what is missing or null has its default. Times are in seconds."""

    requests_per_second: float = Field(20, gt=0)
    max_in_flight: int = Field(24, ge=1)
    quota_floor: int = Field(5000, ge=0)
    quota_floor_writes: int = Field(1000, ge=0)
    timeout: float = Field(90, gt=0)
    environment: str = ""
    read_only: bool = False
    webhook_secret: str = Field("", repr=False)
    sru_url: str = ""
    record_url: str = ""
    job_url: str = ""


class AlmaHook(BaseHook):
    """Gives a client of Alma's REST API for one connection of type `alma`.

    The host is the gateway's URL, the password the API key, the extra is described by `AlmaSettings`. All
    clients of one connection, in all tasks and on all hosts, share one budget of requests per second.

    Example::

        with AlmaHook("alma_default").client() as alma:
            answer = alma.holdings.list("990000000000004401")
    """

    conn_name_attr: ClassVar[str] = "alma_conn_id"
    default_conn_name: ClassVar[str] = "alma_default"
    conn_type: ClassVar[str] = "alma"
    hook_name: ClassVar[str] = "Ex Libris Alma"

    def __init__(self, alma_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.alma_conn_id = alma_conn_id

    @contextmanager
    def client(self, *, attempts: int | None = None, longest: float | None = None) -> Iterator[AlmaClient]:
        """A client that is closed when the block ends.

        ``attempts``: how often a call that may be repeated is tried; ``longest``: seconds that bound the connection's
        timeout; both for work that comes again soon and must not wait for an Alma that is ill. Raises InputProblem when
        the connection cannot be used as it stands.
        """
        connection = self.get_connection(self.alma_conn_id)
        settings = _settings(connection)
        limiter = open_limiter(
            store_url=store_url(),
            redis_url=redis_url(),
            budget=budget_name(connection),
            requests_per_second=settings.requests_per_second,
        )
        if longest is not None:
            settings = settings.model_copy(update={"timeout": min(settings.timeout, longest)})
        options = {} if attempts is None else {"attempts": attempts}
        with (
            counted_calls(self.alma_conn_id) as meter,
            _client(connection, settings, limiter, meter=meter, **options) as client,
        ):
            yield client

    @contextmanager
    def sru(self) -> Iterator[SruClient | None]:
        """A client of the institution's SRU that is closed when the block ends, None where `sru_url` is not set.

        It needs no key and is sent none; its requests are not counted against the quota. Raises InputProblem when the
        address cannot be used.
        """
        url = _settings(self.get_connection(self.alma_conn_id)).sru_url
        if not url:
            yield None
            return
        limiter = open_limiter(
            store_url=store_url(),
            redis_url=redis_url(),
            budget=f"{self.alma_conn_id} SRU {urlsplit(url).netloc.lower()}",
            requests_per_second=REQUESTS_PER_SECOND,
        )
        with SruClient(url, limiter=limiter) as client:
            yield client

    def gateway(self) -> str:
        """The host of the Alma, with its port where it has one of its own."""
        return _host(self.get_connection(self.alma_conn_id))

    def is_sandbox(self) -> bool:
        """Whether the connection's `environment` is sandbox; any other word, and none, counts as production."""
        environment = _settings(self.get_connection(self.alma_conn_id)).environment
        return environment.strip().casefold() == "sandbox"

    def people_urls(self) -> AlmaUrls:
        """The addresses at which people open records and jobs of this Alma."""
        settings = _settings(self.get_connection(self.alma_conn_id))
        return AlmaUrls(record=settings.record_url, job=settings.job_url)

    def webhook_secret(self) -> str:
        """The secret of Alma's integration profile for webhooks; "" when none is set."""
        secret = _settings(self.get_connection(self.alma_conn_id)).webhook_secret
        if secret:
            mask_secret(secret)
        return secret

    def get_conn(self) -> AlmaClient:
        """Not used: a client has to be closed. Use `client()`."""
        raise TypeError("Use `with AlmaHook(...).client() as alma:`, which closes the client")

    def test_connection(self) -> tuple[bool, str]:
        """The Test button: which Alma answers, and which areas the key may read. Costs at most eight requests."""
        try:
            connection = self.get_connection(self.alma_conn_id)
            # However few calls are left: who presses the button wants to know.
            settings = _settings(connection).model_copy(update={"quota_floor": 0})
            with _client(
                connection, settings, LocalLimiter(settings.requests_per_second), attempts=2
            ) as alma:
                general = alma.conf.general()
                readable, refused = _rights(alma)
        except (RemoteError, InputProblem) as problem:
            return False, str(problem)
        environment = general.environment_type or "environment not given"
        sentence = f"{general.institution} ({environment}) answers. The key may read: {', '.join(readable)}."
        if refused:
            sentence += f" It may not read: {', '.join(refused)}."
        return "bibs" in readable, sentence


def budget_name(connection: Connection) -> str:
    """Under which name the limiter keeps the calls of a connection."""
    return f"{connection.conn_id} {_host(connection)}"


def alma_connection(conn_id: str) -> Connection:
    """A connection of type alma that settings name. Raises InputProblem where there is none."""
    connection = find_connection(conn_id)
    if connection is None:
        raise InputProblem(f"There is no connection {conn_id}")
    if connection.conn_type != AlmaHook.conn_type:
        raise InputProblem(f"The connection {conn_id} is of type {connection.conn_type}, not alma")
    return connection


def alma_settings(connection: Connection) -> AlmaSettings:
    """The extra of a connection. Raises InputProblem, one sentence."""
    return _settings(connection)


def is_known_sandbox(alma_conn_id: str) -> bool:
    """`AlmaHook.is_sandbox` of a connection that need not exist."""
    try:
        return AlmaHook(alma_conn_id).is_sandbox()
    except AirflowNotFoundException:
        return False


def _rights(alma: AlmaClient) -> tuple[list[str], list[str]]:
    readable, refused = [], []
    for area in ("bibs", "conf", "users", "acq"):
        try:
            alma.test.read(area)
        except RemoteError:
            refused.append(area)
        else:
            readable.append(area)
    return readable or ["nothing"], refused


def _client(connection: Connection, settings: AlmaSettings, limiter: Limiter, **options: Any) -> AlmaClient:
    key = connection.password or ""
    if not key:
        raise InputProblem(
            f"The connection {connection.conn_id} has no API key: put it into the password field"
        )
    # A connection's password is masked by itself in a worker, but not under `airflow dags test`.
    mask_secret(key)
    try:
        return AlmaClient(
            _gateway(connection),
            key,
            limiter=limiter,
            max_in_flight=settings.max_in_flight,
            timeout=settings.timeout,
            quota_floor=settings.quota_floor,
            quota_floor_writes=settings.quota_floor_writes,
            read_only=settings.read_only,
            **options,
        )
    except ValueError as error:
        raise InputProblem(f"The connection {connection.conn_id} cannot be used: {error}") from error


def _gateway(connection: Connection) -> str:
    return service_url(connection, "the gateway's URL", "https://api-na.hosted.exlibrisgroup.com")


def _host(connection: Connection) -> str:
    """The gateway without scheme and path: calls left at one Alma say nothing about another that a connection is
    pointed to later."""
    return urlsplit(_gateway(connection)).netloc.lower()


def _settings(connection: Connection) -> AlmaSettings:
    return read_extra(connection, AlmaSettings)
