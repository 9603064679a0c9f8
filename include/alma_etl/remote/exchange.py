"""One HTTP exchange with a remote service: connection pool, credentials, time and size bounds. No policy, no repeats.

Credentials go to the service itself and nowhere else: redirects are never followed here, cookies are not kept,
`Exchange.redirected` says where a client may go on.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from urllib.parse import urljoin, urlsplit

import requests
import urllib3.exceptions
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from alma_etl.remote.errors import (
    RemoteConnectionError,
    RemoteMalformed,
    RemoteNoConnectionError,
    RemoteTimeout,
    RemoteTransient,
)
from alma_etl.remote.meter import CallMeter

_CHUNK = 65_536


@dataclass(frozen=True)
class HttpRequest:
    """`name` is how errors and logs call it: method and path, without the query, which may name people. `writes`: it
    may change something there, so that after a lost answer nobody knows."""

    method: str
    url: str
    name: str
    writes: bool
    params: Mapping[str, str | int] | None = None
    body: bytes | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class HttpReply:
    """One HTTP answer, read wholly."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class Exchange:
    """The connections to the service at `base_url`, of which `connections` are kept open.

    `max_body` bounds the bytes of one answer after decompression. `meter` counts what is sent and refused. Safe for
    many threads; close it when done."""

    def __init__(
        self,
        base_url: str,
        auth: AuthBase,
        *,
        connections: int = 10,
        connect_timeout: float = 10,
        max_body: int = 50_000_000,
        meter: CallMeter | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.base_url = base_url
        self.sent = 0
        self._auth = auth
        self._connect_timeout = connect_timeout
        self._max_body = max_body
        self._meter = meter or CallMeter()
        self._lock = threading.Lock()
        self._monotonic = monotonic
        self._session = requests.Session()
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.headers.update({"User-Agent": "alma-airflow", "Accept-Encoding": "gzip"})
        adapter = HTTPAdapter(pool_connections=1, pool_maxsize=connections, max_retries=0)
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, adapter)

    @property
    def host(self) -> str:
        """The service's host, with its port where it has one of its own."""
        return urlsplit(self.base_url).netloc.lower()

    def redirected(self, url: str, location: str) -> str | None:
        """Where a redirect from `url` leads, None when that is nowhere or another service, which must not get
        the credentials."""
        target = urljoin(url, location)
        ours = target.startswith(self.base_url + "/") and "@" not in urlsplit(target).netloc
        return target if location and ours else None

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def send(self, request: HttpRequest, *, timeout: float, auth: AuthBase | None = None) -> HttpReply:
        """Send once and read the whole answer within `timeout` seconds (and one more read), whatever its status.
        `auth`: other credentials than the service's.

        Raises RemoteTransient errors by what is known: RemoteNoConnectionError when nothing was sent, others whose
        `effect_unknown` is true when it writes, since it may have arrived."""
        with self._lock:
            self.sent += 1
        self._meter.sent()
        deadline = self._monotonic() + timeout
        try:
            response = self._session.request(
                request.method,
                request.url,
                params=request.params,
                data=request.body,
                headers=request.headers,
                auth=auth or self._auth,
                timeout=(min(self._connect_timeout, timeout), timeout),
                stream=True,
                allow_redirects=False,
            )
        except requests.exceptions.RequestException as error:
            # not chained: its text holds the URL, and with it ids of people
            raise _lost(request, error, timeout) from None
        with response:
            self._meter.answered(response.status_code)
            return HttpReply(
                response.status_code, response.headers, self._body(request, response, deadline, timeout)
            )

    def _body(
        self, request: HttpRequest, response: requests.Response, deadline: float, timeout: float
    ) -> bytes:
        def broken(why: str) -> RemoteMalformed:
            request_id = response.headers.get("X-Request-ID", "")
            return RemoteMalformed(request.name, response.status_code, "", why, request_id, request.writes)

        chunks: list[bytes] = []
        size = 0
        try:
            while chunk := response.raw.read1(_CHUNK, decode_content=True):
                chunks.append(chunk)
                size += len(chunk)
                if size > self._max_body:
                    raise broken(f"the answer is larger than {self._max_body} bytes")
                if self._monotonic() > deadline:
                    raise _too_late(request, timeout)
        except urllib3.exceptions.ReadTimeoutError:
            raise _too_late(request, timeout) from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise broken("the answer broke off or could not be unpacked") from error
        return b"".join(chunks)


def _lost(
    request: HttpRequest, error: requests.exceptions.RequestException, timeout: float
) -> RemoteTransient:
    """What a failure before the answer started means."""
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return _no_connection(request, "no connection within the connect timeout")
    if isinstance(error, requests.exceptions.Timeout):
        return _too_late(request, timeout)
    if not isinstance(error, requests.exceptions.ConnectionError):
        why = f"the exchange failed ({type(error).__name__})"
        return RemoteMalformed(request.name, None, "", why, "", request.writes)
    if any(isinstance(each, ssl.SSLCertVerificationError) for each in _causes(error)):
        return _no_connection(request, "its certificate cannot be verified")
    inner = error.args[0] if error.args else None
    reason = getattr(inner, "reason", inner)
    if isinstance(reason, urllib3.exceptions.NewConnectionError | urllib3.exceptions.ProxyError):
        return _no_connection(request, _os_text(error))
    why = f"the connection broke ({_os_text(error)})"
    return RemoteConnectionError(request.name, None, "", why, "", request.writes)


def _no_connection(request: HttpRequest, why: str) -> RemoteNoConnectionError:
    place = urlsplit(request.url).netloc
    return RemoteNoConnectionError(request.name, None, "", f"no connection to {place} ({why})")


def _too_late(request: HttpRequest, timeout: float) -> RemoteTimeout:
    why = f"no whole answer within {timeout:g} seconds"
    return RemoteTimeout(request.name, None, "", why, "", request.writes)


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _os_text(error: BaseException) -> str:
    """The operating system's words for it, without URL and without the text of the libraries between."""
    name = type(error).__name__
    for each in _causes(error):
        if isinstance(each, OSError) and each.strerror:
            return each.strerror
        name = type(each).__name__
    return name
