"""One HTTP exchange with Alma: connection pool, key, time and size bounds. No policy, no repeats.

The key is in the Authorization header of requests to the one host of the base URL and nowhere else: redirects
are never followed here, `redirected` tells the client where it may go on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from http.cookiejar import DefaultCookiePolicy
from urllib.parse import urljoin, urlsplit

import requests
import urllib3.exceptions
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from alma_etl.alma.call import Call
from alma_etl.alma.reply import Reply
from alma_etl.remote.errors import (
    RemoteConnectionError,
    RemoteMalformed,
    RemoteNoConnectionError,
    RemoteTimeout,
)

API = "/almaws/v1"
_CHUNK = 65_536


class _ApiKey(AuthBase):
    """Puts the key into the header. Being an `auth` object keeps requests from taking a .netrc entry instead,
    and its repr keeps the key out of tracebacks that show variables."""

    def __init__(self, key: str) -> None:
        self._header = f"apikey {key}"

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._header
        return request

    def __repr__(self) -> str:
        return "_ApiKey(***)"


class Exchange:
    """`base_url` is the gateway, with or without /almaws/v1; raises ValueError with a sentence for a setting
    that cannot work. `connections` are kept open. `max_body` bounds the bytes of one answer after
    decompression."""

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        connections: int,
        connect_timeout: float,
        max_body: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.base_url = _checked_url(base_url)
        self._key = _checked_key(api_key)
        self._auth = _ApiKey(self._key)
        self._connect_timeout = connect_timeout
        self._max_body = max_body
        self._monotonic = monotonic
        self._session = requests.Session()
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.headers.update({"User-Agent": "alma-airflow", "Accept-Encoding": "gzip"})
        adapter = HTTPAdapter(pool_connections=1, pool_maxsize=connections, max_retries=0)
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, adapter)

    def url(self, call: Call) -> str:
        """Where the call goes, without its query."""
        return self.base_url + call.path

    def redirected(self, url: str, location: str) -> str | None:
        """Where a redirect from `url` leads, None when that is nowhere or another host, which must not get
        the key."""
        target = urljoin(url, location)
        ours = target.startswith(self.base_url + "/") and "@" not in urlsplit(target).netloc
        return target if location and ours else None

    def scrub(self, text: str) -> str:
        """`text` without the key, in case somebody echoed it."""
        return text.replace(self._key, "***")

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def send(self, call: Call, url: str, *, with_params: bool, timeout: float) -> Reply:
        """Send once and read the whole answer within `timeout` seconds (and one more read). Raises
        RemoteTransient errors; their `effect_unknown` is true when a writing call may have reached Alma."""
        deadline = self._monotonic() + timeout
        headers = {"Accept": call.accept}
        if call.writes:
            headers["Content-Type"] = call.content_type
        try:
            response = self._session.request(
                call.method,
                url,
                params=dict(call.params) if with_params else None,
                data=call.body,
                headers=headers,
                auth=self._auth,
                timeout=(min(self._connect_timeout, timeout), timeout),
                stream=True,
                allow_redirects=False,
            )
        except requests.exceptions.ConnectTimeout as error:
            raise self._no_connection(call, "no connection within the connect timeout") from error
        except requests.exceptions.Timeout as error:
            raise self._too_late(call, timeout) from error
        except requests.exceptions.ConnectionError as error:
            if isinstance(
                _reason(error), (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ProxyError)
            ):
                raise self._no_connection(call, _os_text(error)) from error
            raise RemoteConnectionError(
                call.name, None, "", f"the connection broke ({_os_text(error)})", "", call.writes
            ) from error
        except requests.exceptions.RequestException as error:
            raise RemoteMalformed(
                call.name, None, "", f"the exchange failed ({type(error).__name__})", "", call.writes
            ) from error
        with response:
            body = self._body(call, response, deadline, timeout)
        return Reply(response.status_code, response.headers, body)

    def _body(self, call: Call, response: requests.Response, deadline: float, timeout: float) -> bytes:
        request_id = response.headers.get("X-Request-ID", "")
        status = response.status_code
        chunks: list[bytes] = []
        size = 0
        try:
            while chunk := response.raw.read1(_CHUNK, decode_content=True):
                chunks.append(chunk)
                size += len(chunk)
                if size > self._max_body:
                    raise RemoteMalformed(
                        call.name,
                        status,
                        "",
                        f"the answer is larger than {self._max_body} bytes",
                        request_id,
                        call.writes,
                    )
                if self._monotonic() > deadline:
                    raise self._too_late(call, timeout)
        except urllib3.exceptions.ReadTimeoutError as error:
            raise self._too_late(call, timeout) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise RemoteMalformed(
                call.name,
                status,
                "",
                "the answer broke off or could not be unpacked",
                request_id,
                call.writes,
            ) from error
        return b"".join(chunks)

    def _no_connection(self, call: Call, why: str) -> RemoteNoConnectionError:
        return RemoteNoConnectionError(
            call.name, None, "", f"no connection to {urlsplit(self.base_url).netloc} ({why})"
        )

    def _too_late(self, call: Call, timeout: float) -> RemoteTimeout:
        return RemoteTimeout(
            call.name, None, "", f"no whole answer within {timeout:g} seconds", "", call.writes
        )


def _checked_url(base_url: str) -> str:
    parts = urlsplit(base_url.strip())
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or parts.query
        or parts.fragment
        or parts.username
    ):
        raise ValueError(
            "The Alma connection needs the gateway's URL as its host, for example https://api-na.hosted.exlibrisgroup.com"
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/').removesuffix(API)}{API}"


def _checked_key(api_key: str) -> str:
    key = api_key.strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        # requests would put a header that it cannot send into its exception
        raise ValueError(
            "The Alma connection needs an API key as its password: printable characters without spaces."
        )
    return key


def _reason(error: requests.exceptions.ConnectionError) -> object:
    inner = error.args[0] if error.args else None
    return getattr(inner, "reason", inner)


def _os_text(error: BaseException) -> str:
    """The operating system's words for it, without URL and without the text of the libraries between."""
    seen: BaseException | None = error
    name = type(error).__name__
    while seen is not None:
        name = type(seen).__name__
        if isinstance(seen, OSError) and seen.strerror:
            return seen.strerror
        seen = seen.__cause__ or seen.__context__
    return name
