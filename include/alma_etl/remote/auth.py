"""Credentials of a request. They stand in its Authorization header alone.

Each is an `auth` object of requests, which keeps requests from taking an entry of .netrc instead, and none shows its
secret in its repr, so that no traceback with variables does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import requests
from requests.auth import AuthBase

_EARLY = 30.0  # a token is renewed so many seconds before it runs out


class NoCredentials(AuthBase):
    """Send none."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


class ApiKey(AuthBase):
    """A key after a prefix: `apikey ` for Alma's gateway, none for FOLIO's edge modules."""

    def __init__(self, key: str, prefix: str = "") -> None:
        self._key = key
        self._prefix = prefix

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"{self._prefix}{self._key}"
        return request

    def __repr__(self) -> str:
        return "ApiKey(***)"

    def scrub(self, text: str) -> str:
        """Return `text` without the key, in case somebody echoed it."""
        return text.replace(self._key, "***")


class BearerToken(AuthBase):
    """A token that `new_token` fetches when it is needed: the token, and for how many seconds it is good.

    It is used until shortly before its end. Safe for several threads.
    """

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
        return "BearerToken(***)"
