"""What Alma's webhooks send: the challenge, the signature, the envelope of an event.

Delivery is at least once and in no order: handle an event by its `id` so that a second one does nothing."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field

from alma_etl.alma import shapes
from alma_etl.alma.shapes import Json

SIGNATURE_HEADER = "X-Exl-Signature"
_PAYLOADS = {
    "LOAN": "item_loan",
    "REQUEST": "user_request",
    "ITEM": "item",
    "BIB": "bib",
    "JOB_END": "job_instance",
    "USER": "webhook_user",
    "NOTIFICATION": "notification_data",
}


@dataclass(frozen=True)
class Event:
    """`action` LOAN, REQUEST, ITEM, BIB, JOB_END, ...; `event` LOAN_CREATED, ... ("" where an action has
    none); `time` ISO 8601; `payload` the object that the action is about."""

    id: str
    action: str
    event: str
    time: str
    institution: str
    payload: Json = field(repr=False)


def signature(body: bytes, secret: str) -> str:
    """base64(HMAC-SHA256(secret, body)), over the raw bytes of the body. Raises ValueError for an empty
    secret, with which anybody could sign."""
    if not secret:
        raise ValueError("the webhook profile needs a secret")
    return base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode("ascii")


def is_authentic(body: bytes, header: str | None, secret: str) -> bool:
    """Whether the value of X-Exl-Signature is the signature of `body`, compared in constant time."""
    return hmac.compare_digest(signature(body, secret).encode(), (header or "").strip().encode())


def challenge_answer(challenge: str) -> bytes:
    """The JSON body that answers GET {listener}?challenge=...; it is not signed."""
    return json.dumps({"challenge": challenge}).encode()


def event(body: bytes) -> Event:
    """The event in a body whose signature was checked. Raises ValueError when it is none."""
    try:
        document = json.loads(body)
        payload = document.get(_PAYLOADS.get(str(document.get("action")), ""))
        return Event(
            id=shapes.required(document, "id"),
            action=shapes.required(document, "action"),
            event=shapes.text(document.get("event")),
            time=shapes.text(document.get("time")),
            institution=shapes.text(document.get("institution")),
            payload=payload if isinstance(payload, dict) else {},
        )
    except (AttributeError, RecursionError) as error:
        raise ValueError(f"not an event of an Alma webhook ({error})") from None
