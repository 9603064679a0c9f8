"""Webhooks: what happened, written down and sent to a listener on this machine when one is configured."""

import base64
import hashlib
import hmac
import json
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import requests

from alma_sandbox.http.answers import Payload, as_json, code

if TYPE_CHECKING:
    from alma_sandbox.sandbox import Sandbox

_KEPT = 10_000
_EMPTY = (
    "bib",
    "holding",
    "item",
    "portfolio",
    "representation",
)  # written as null unless they are the subject


def signature(secret: str, body: bytes) -> str:
    """``X-Exl-Signature``: base64 of the HMAC-SHA256 of the raw body."""
    return base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()


class Events:
    """The events of one sandbox, newest last, with what became of their delivery."""

    def __init__(self, sandbox: "Sandbox") -> None:
        self._sandbox = sandbox
        self._number = 0
        self._pool: ThreadPoolExecutor | None = None
        self.kept: deque[dict[str, Any]] = deque(maxlen=_KEPT)

    def emit(self, action: str, event: tuple[str, str] | None, key: str, payload: Payload) -> None:
        """Note an event and send it; the listener's answer is waited for in a thread of its own."""
        self._number += 1
        institution = self._sandbox.catalogue.institution
        body: Payload = {
            "id": f"47{self._number:017d}",
            "action": action,
            "institution": code(institution.code, institution.name),
            "time": self._sandbox.clock.time(),
            "event": code(*event) if event else None,
            **dict.fromkeys(_EMPTY),
            key: payload,
        }
        raw = _with_nulls(body)
        kept: dict[str, Any] = {"body": json.loads(raw), "deliveries": []}
        self.kept.append(kept)
        settings = self._sandbox.settings
        if settings.webhook_url:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(1, thread_name_prefix="alma-sandbox-webhooks")
            for _ in range(settings.webhook_copies):
                self._pool.submit(
                    _deliver,
                    settings.webhook_url,
                    raw,
                    signature(settings.webhook_secret, raw),
                    kept["deliveries"],
                )

    @property
    def emitted(self) -> int:
        """The number of the last event."""
        return self._number

    def skip(self, count: int) -> None:
        """Leave out the next ``count`` numbers."""
        self._number += count

    def clear(self) -> None:
        """Forget every event and send nothing more of what still waits."""
        self._number = 0
        self.kept.clear()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None


def _with_nulls(body: Mapping[str, Any]) -> bytes:
    """The envelope writes its empty parts as nulls; the parts themselves follow today's form."""
    filled = {
        name: None if value is None else json.loads(as_json({"x": value}))["x"]
        for name, value in body.items()
    }
    return json.dumps(filled, ensure_ascii=False).encode()


def _deliver(url: str, raw: bytes, signed: str, deliveries: list[dict[str, Any]]) -> None:
    headers = {"Content-Type": "application/json;charset=UTF-8", "X-Exl-Signature": signed}
    try:
        response = requests.post(url, data=raw, headers=headers, timeout=10, allow_redirects=False)
        deliveries.append({"status": response.status_code})
    except requests.RequestException as error:
        deliveries.append({"error": type(error).__name__})


def challenge(url: str, text: str) -> dict[str, Any]:
    """Ask a listener to echo a challenge, as Alma does when a webhook is set up."""
    try:
        response = requests.get(url, params={"challenge": text}, timeout=10, allow_redirects=False)
        echoed = (
            response.json().get("challenge") if "json" in response.headers.get("content-type", "") else None
        )
    except (requests.RequestException, ValueError, AttributeError) as error:
        return {"accepted": False, "error": type(error).__name__}
    return {"accepted": response.status_code == 200 and echoed == text, "status": response.status_code}
