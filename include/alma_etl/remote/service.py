"""How to reach a service that is no Alma: mod-dcb, dcb-service, a webhook's receiver.

Calls fail in the same three ways as calls to Alma, so that callers sort them alike: `RemoteRefused` (understood, and
no), `RemoteTransient` (nobody knows, or not now), `RemoteUnauthorized` (no further call makes sense). Their
sentences hold nothing of the answer's body but its error code, since bodies may name people.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3.exceptions
from requests.auth import AuthBase
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from alma_etl.errors import InputProblem
from alma_etl.remote.errors import RemoteRefused, RemoteStop, RemoteTransient, RemoteUnauthorized

_MAX_BODY = 32 * 1024 * 1024
_CHUNK = 65_536
_EARLY = 30.0  # a token is renewed so many seconds before it runs out
_LATER = frozenset({408, 425, 429})
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,60}")


@dataclass(frozen=True)
class HttpAccess:
    """``url`` without a slash at its end. Either ``api_key``, or ``client_id`` and ``client_secret`` for a token from
    ``token_url``, or neither. ``timeout`` in seconds, for a whole exchange."""

    url: str
    api_key: str | None = field(default=None, repr=False)
    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    token_url: str | None = None
    timeout: float = 30


class HttpService:
    """The service behind an `HttpAccess`: JSON in, JSON out. Close it when done, or use ``with``.

    Safe for several threads. What only reads is repeated up to ``attempts`` times; a write is sent once, and
    ``effect_unknown`` of its error tells whether it may have arrived. Redirects are not followed, so that the key
    goes to this one server.
    """

    def __init__(
        self, access: HttpAccess, *, attempts: int = 3, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        parts = urlsplit(access.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputProblem("A service needs a URL that begins with https:// or http://")
        self.url = access.url.rstrip("/")
        self._host = parts.hostname
        self._access = access
        self._session = requests.Session()
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.headers.update({"User-Agent": "alma-airflow", "Accept": "application/json"})
        self._auth = _auth_of(access, self._new_token)
        self._retrying = Retrying(
            retry=retry_if_exception_type(RemoteTransient),
            stop=stop_after_attempt(attempts),
            wait=wait_random_exponential(multiplier=0.5, max=10),
            sleep=sleep,
            reraise=True,
        )

    def __enter__(self) -> HttpService:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def get(self, path: str, params: Mapping[str, str | int] | None = None) -> Any:
        """The document at ``path``. Raises RemoteRefused (its ``status`` tells 404), RemoteTransient and
        RemoteUnauthorized."""
        return self._retrying(lambda: self._document(f"GET {path}", *self._send("GET", path, params=params)))

    def send(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Write once: ``body`` as JSON, or ``data`` as it is. The answer's document, None for an empty or other one.

        Raises as `get`.
        """
        content = data if data is not None else (None if body is None else json.dumps(body).encode())
        told = {"Content-Type": "application/json"} if content is not None else {}
        _, answer = self._send(method, path, content=content, headers=told | dict(headers or {}))
        try:
            return json.loads(answer) if answer else None
        except ValueError:
            return None

    def _document(self, call: str, status: int, body: bytes) -> Any:
        try:
            return json.loads(body)
        except ValueError:
            raise RemoteTransient(call, status, "", f"{self._host} answered without JSON") from None

    def _send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        call = f"{method} {path}"
        status, body = self._exchange(method, self.url + path, call, params, content, headers, self._auth)
        if status == 401 and isinstance(self._auth, _Token):  # it may have been withdrawn before its time
            self._auth.forget()
            status, body = self._exchange(method, self.url + path, call, params, content, headers, self._auth)
        if 200 <= status < 300:
            return status, body
        raise self._error(call, status, body, method != "GET")

    def _exchange(
        self,
        method: str,
        url: str,
        call: str,
        params: Mapping[str, str | int] | None,
        content: bytes | None,
        headers: Mapping[str, str] | None,
        auth: AuthBase,
    ) -> tuple[int, bytes]:
        writes, deadline = method != "GET", time.monotonic() + self._access.timeout
        try:
            with self._session.request(
                method,
                url,
                params=params,
                data=content,
                headers=headers,
                auth=auth,
                timeout=(min(10.0, self._access.timeout), self._access.timeout),
                stream=True,
                allow_redirects=False,
            ) as response:
                body = b""
                for chunk in response.iter_content(_CHUNK):
                    body += chunk
                    if len(body) > _MAX_BODY or time.monotonic() > deadline:
                        raise RemoteTransient(
                            call,
                            response.status_code,
                            "",
                            f"the answer of {self._host} is too long or too slow",
                            "",
                            writes,
                        )
                return response.status_code, body
        except requests.exceptions.ConnectTimeout:
            raise RemoteTransient(call, None, "", f"no connection to {self._host} in time") from None
        except requests.exceptions.RequestException as error:
            if isinstance(_reason(error), urllib3.exceptions.NewConnectionError):
                writes = False
            # Its text may hold the URL, which is of no use to anybody here; the kind of error says enough.
            raise RemoteTransient(
                call, None, "", f"no answer from {self._host} ({type(error).__name__})", "", writes
            ) from None

    def _new_token(self) -> tuple[str, float]:
        """A token by client credentials (RFC 6749, 4.4), and for how many seconds it is good."""
        access = self._access
        form = {
            "grant_type": "client_credentials",
            "client_id": access.client_id,
            "client_secret": access.client_secret,
        }
        call, url = "POST token", access.token_url or ""
        prepared = requests.Request("POST", url, data=form).prepare()
        content = prepared.body.encode() if isinstance(prepared.body, str) else prepared.body
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        status, body = self._exchange("POST", url, call, None, content, kind, _NoAuth())
        if 400 <= status < 500 and status not in _LATER:
            raise RemoteUnauthorized(
                call, status, _code(body), "no token is given for this client id and secret"
            )
        try:
            told = json.loads(body) if status == 200 else {}
            return str(told["access_token"]), float(told.get("expires_in") or 60)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise RemoteTransient(call, status, "", "the token service gave no token") from None

    def _error(
        self, call: str, status: int, body: bytes, writes: bool
    ) -> RemoteRefused | RemoteTransient | RemoteStop:
        code = _code(body)
        if status in (401, 403):
            return RemoteUnauthorized(call, status, code, f"{self._host} does not accept the key or client")
        if status >= 500 or status in _LATER:
            unknown = writes and status != 429
            return RemoteTransient(call, status, code, f"{self._host} cannot answer now", "", unknown)
        if status < 400:
            return RemoteRefused(call, status, code, f"{self._host} answers with a redirect: correct the URL")
        return RemoteRefused(call, status, code, f"{self._host} refuses")


def _reason(error: requests.exceptions.RequestException) -> object:
    inner = error.args[0] if error.args else None
    return getattr(inner, "reason", inner)


def _code(body: bytes) -> str:
    """The error's code, where the answer has one; never its text, which may name people."""
    try:
        told = json.loads(body)
        if isinstance(told.get("errors"), list):
            told = told["errors"][0]
        code = told.get("code") or told.get("errorCode") or told.get("type") or ""
    except (ValueError, AttributeError, IndexError, TypeError):
        return ""
    return str(code) if _CODE.fullmatch(str(code)) else ""


def _auth_of(access: HttpAccess, new_token: Callable[[], tuple[str, float]]) -> AuthBase:
    if access.token_url:
        if not access.client_id or not access.client_secret:
            raise InputProblem("A service with a token URL also needs a client's id and secret")
        return _Token(new_token)
    return _Key(access.api_key) if access.api_key else _NoAuth()


class _NoAuth(AuthBase):
    """Sends nothing; being there, it keeps requests from taking an entry of .netrc."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


class _Key(AuthBase):
    """An API key as FOLIO's edge modules take it, bare. Its repr keeps the key out of tracebacks."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._key
        return request

    def __repr__(self) -> str:
        return "_Key(***)"


class _Token(AuthBase):
    """A bearer token, fetched when it is needed and used until shortly before it ends."""

    def __init__(self, new_token: Callable[[], tuple[str, float]]) -> None:
        self._new_token = new_token
        self._lock = threading.Lock()
        self._token, self._until = "", 0.0

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        with self._lock:
            if not self._token or time.monotonic() >= self._until:
                self._token, seconds = self._new_token()
                self._until = time.monotonic() + max(seconds - _EARLY, seconds / 2)
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    def forget(self) -> None:
        """Fetch another one next time."""
        with self._lock:
            self._token = ""

    def __repr__(self) -> str:
        return "_Token(***)"
