"""Any HTTPS receiver as a sink: the event as JSON, signed.

A receiver computes HMAC-SHA256 over the bytes of the body with the shared secret (the connection's password) and
compares it, as hex after ``sha256=``, with the signature header. Deliveries may come twice: the id in its header (and
in the body) is the same then.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from alma_etl.dcb.sides.ports import Done, Later, Refused
from alma_etl.dcb.sinks.opening import Opening
from alma_etl.dcb.store.rows import OutboxRow, Tracked
from alma_etl.errors import InputProblem
from alma_etl.remote.errors import RemoteRefused, RemoteUnauthorized
from alma_etl.remote.service import HttpAccess, HttpService

SIGNATURE_HEADER = "X-Alma-Airflow-Signature"
EVENT_HEADER = "X-Alma-Airflow-Event-Id"
_TAKEN = frozenset({409, 410})


def body_of(event: Mapping[str, Any]) -> bytes:
    """The bytes that are sent and signed: the same whenever the same event is told again."""
    return json.dumps(dict(event), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def signature(body: bytes, secret: str) -> str:
    """The value of the signature header."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


class _Receiver:
    def __init__(self, access: HttpAccess) -> None:
        secret = access.client_secret or access.api_key
        if not secret:
            raise InputProblem(
                "The connection of a webhook needs a password: the secret that signs the messages"
            )
        self.secret: str = secret
        self.service = HttpService(replace(access, api_key=None))  # it signs, and is never sent itself

    def close(self) -> None:
        self.service.close()


class WebhookSink(Opening[_Receiver]):
    """2xx, 409 and 410 count as delivered; 408, 425, 429 and 5xx are tried again; any other answer is final."""

    def client_for(self, access: HttpAccess) -> _Receiver:
        """Called by `Opening`."""
        return _Receiver(access)

    def tell(self, client: _Receiver, row: OutboxRow, tracked: Tracked) -> Done | Later | Refused:
        """Post one event."""
        body = body_of(row.payload)
        headers = {
            SIGNATURE_HEADER: signature(body, client.secret),
            EVENT_HEADER: str(row.payload["event_id"]),
        }
        try:
            client.service.send("POST", "", data=body, headers=headers)
        except RemoteRefused as error:
            return Done() if error.status in _TAKEN else Refused(str(error))
        except RemoteUnauthorized as error:
            return Refused(str(error))
        return Done()
