"""The client of any service that is no Alma: mod-dcb, dcb-service, a webhook's receiver, and Aleph's X-Server.

Calls fail in the same ways as calls to Alma, so that callers sort them alike: `RemoteRefused` (understood, and no),
`RemoteTransient` (nobody knows, or not now), `RemoteUnauthorized` (no further call makes sense). Their sentences hold
nothing of the answer's body but its error code, since bodies may name people.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar
from urllib.parse import urlencode, urlsplit

from requests.auth import AuthBase

from alma_etl.errors import InputProblem
from alma_etl.remote.answers import Absent, Answer, Found, Unknown
from alma_etl.remote.auth import ApiKey, BearerToken, NoCredentials
from alma_etl.remote.errors import (
    RemoteError,
    RemoteMalformed,
    RemoteRefused,
    RemoteServerError,
    RemoteStop,
    RemoteThrottled,
    RemoteTransient,
    RemoteUnauthorized,
)
from alma_etl.remote.exchange import Exchange, HttpReply, HttpRequest
from alma_etl.remote.limiter import LimiterClosed
from alma_etl.remote.meter import CallMeter
from alma_etl.remote.retry import RetryPolicy
from alma_etl.remote.throttle import Throttle

T = TypeVar("T")

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
_MAX_BODY = 32 * 1024 * 1024
_LATER = frozenset({408, 425})
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
    """The service behind an `HttpAccess`. Close it when done, or use ``with``. Safe for several threads.

    What only reads is repeated, up to ``attempts`` times; a write is sent once, and ``effect_unknown`` of its error
    says whether it may have arrived. Redirects are not followed, so that the key goes to this one server. ``throttle``:
    how many requests may be under way and how many a second, for a service that shares a budget.
    """

    def __init__(
        self,
        access: HttpAccess,
        *,
        attempts: int = 3,
        sleep: Callable[[float], None] = time.sleep,
        meter: CallMeter | None = None,
        throttle: Throttle | None = None,
    ) -> None:
        parts = urlsplit(access.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputProblem("A service needs a URL that begins with https:// or http://")
        self.url = access.url.rstrip("/")
        self._host = parts.hostname
        self._access = access
        self._auth = self._credentials()
        self._throttle = throttle
        self._exchange = Exchange(self.url, self._auth, max_body=_MAX_BODY, meter=meter)
        self._retry_policy = RetryPolicy(attempts, backoff=0.5, longest=10, refusals=attempts)
        self._sleep = sleep

    def __enter__(self) -> HttpService:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._exchange.close()

    def get(self, path: str, params: Mapping[str, str | int] | None = None) -> Any:
        """Return the JSON document at ``path``. Raises as `call`; ``status`` of a RemoteRefused says 404."""
        return self.call("GET", path, json.loads, writes=False, params=params)

    def look(self, path: str) -> Answer[Any]:
        """Return the JSON document at ``path`` as an answer: Absent when the service says so (HTTP 404). Raises
        RemoteUnauthorized."""
        try:
            return Found(self.get(path))
        except RemoteRefused as error:
            return Absent(error) if error.status == 404 else Unknown(error)
        except RemoteTransient as error:
            return Unknown(error)

    def send(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Write once: ``body`` as JSON, or ``data`` as it is. Return the answer's JSON document, None for an empty or
        other one. Raises as `call`."""
        content = data if data is not None else (None if body is None else json.dumps(body).encode())
        return self.call(method, path, _json_or_none, writes=True, content=content, headers=headers)

    def call(
        self,
        method: str,
        path: str,
        parse: Callable[[bytes], T],
        *,
        writes: bool,
        params: Mapping[str, str | int] | None = None,
        content: bytes | None = None,
        content_type: str = JSON,
        accept: str = JSON,
        headers: Mapping[str, str] | None = None,
        name: str = "",
    ) -> T:
        """Make one call and return what ``parse`` makes of the body of its answer; a ValueError of ``parse`` says that
        it is not what was agreed. ``writes``: whether it may change something there; a POST need not. ``name``: how
        errors call it, where method and path do not say it.

        Raises RemoteRefused, RemoteTransient (no connection, too late, HTTP 5xx, 408, 425, 429, or another answer than
        was agreed) and RemoteUnauthorized (HTTP 401, 403; no token)."""
        kind = {"Content-Type": content_type} if content is not None else {}
        sent = {"Accept": accept} | kind | dict(headers or {})
        request = HttpRequest(
            method, self.url + path, name or f"{method} {path}", writes, params, content, sent
        )

        def attempt() -> T:
            reply = self._answered(request)
            try:
                return parse(reply.body)
            except ValueError:
                wanted = accept.rpartition("/")[2].upper()
                why = f"{self._host} answered without {wanted}"
                raise RemoteMalformed(request.name, reply.status, "", why, "", writes) from None

        if writes:
            return attempt()
        return self._retry_policy.run(attempt, lambda error: True, self._sleep)

    def _answered(self, request: HttpRequest) -> HttpReply:
        reply = self._sent(request)
        if reply.status == 401 and isinstance(self._auth, BearerToken):  # perhaps withdrawn before its time
            self._auth.forget()
            reply = self._sent(request)
        if 200 <= reply.status < 300:
            return reply
        raise self.failure(request, reply)

    def _sent(self, request: HttpRequest) -> HttpReply:
        throttle = self._throttle
        if throttle is None:
            return self._exchange.send(request, timeout=self._access.timeout)
        with throttle.slot():
            try:
                throttle.acquire(request.name)
            except LimiterClosed as closed:
                raise RemoteStop(request.name, None, "", f"no call was made: {closed}") from None
            reply = self._exchange.send(request, timeout=self._access.timeout)
        if reply.status == 429:
            throttle.slow_down()
        return reply

    def failure(self, request: HttpRequest, reply: HttpReply) -> RemoteError:
        """Return the error that an answer with another HTTP status than success is."""
        status, code = reply.status, _code(reply.body)

        def make(type_: type[RemoteError], what: str, effect_unknown: bool = False) -> RemoteError:
            return type_(request.name, status, code, f"{self._host} {what}", "", effect_unknown)

        if status in (401, 403):
            return make(RemoteUnauthorized, "does not accept the key or client")
        if status == 429:
            return make(RemoteThrottled, "cannot answer now")
        if status in _LATER:
            return make(RemoteTransient, "cannot answer now", request.writes)
        if status >= 500:
            return make(RemoteServerError, "cannot answer now", request.writes)
        return make(RemoteRefused, "refuses" if status >= 400 else "answers with a redirect: correct the URL")

    def _credentials(self) -> AuthBase:
        access = self._access
        if access.token_url is None:
            return ApiKey(access.api_key) if access.api_key else NoCredentials()
        if not access.client_id or not access.client_secret:
            raise InputProblem("A service with a token URL also needs a client's id and secret")
        return BearerToken(self._new_token)

    def _new_token(self) -> tuple[str, float]:
        """Fetch a token by client credentials (RFC 6749, 4.4), and for how many seconds it is good."""
        access = self._access
        form = {
            "grant_type": "client_credentials",
            "client_id": access.client_id,
            "client_secret": access.client_secret,
        }
        request = HttpRequest(
            "POST",
            access.token_url or "",
            "POST token",
            writes=False,
            body=urlencode(form).encode(),
            headers={"Content-Type": FORM, "Accept": JSON},
        )
        reply = self._exchange.send(request, timeout=access.timeout, auth=NoCredentials())
        if 400 <= reply.status < 500 and reply.status not in _LATER | {429}:
            why = "no token is given for this client id and secret"
            raise RemoteUnauthorized(request.name, reply.status, _code(reply.body), why)
        try:
            document = json.loads(reply.body) if reply.status == 200 else {}
            return str(document["access_token"]), float(document.get("expires_in") or 60)
        except (ValueError, KeyError, TypeError, AttributeError):
            why = "the token service gave no token"
            raise RemoteMalformed(request.name, reply.status, "", why) from None


class ServiceClient:
    """What every client of a service has: its `HttpService`. Close it when done, or use ``with``. Safe for several
    threads."""

    def __init__(self, access: HttpAccess, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._service = HttpService(access, sleep=sleep)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._service.close()


def _json_or_none(body: bytes) -> Any:
    try:
        return json.loads(body) if body else None
    except ValueError:
        return None


def _code(body: bytes) -> str:
    """The error's code, where the answer has one; never its text, which may name people."""
    try:
        document = json.loads(body)
        if isinstance(document.get("errors"), list):
            document = document["errors"][0]
        code = document.get("code") or document.get("errorCode") or document.get("type") or ""
    except (ValueError, AttributeError, IndexError, TypeError):
        return ""
    return str(code) if _CODE.fullmatch(str(code)) else ""
