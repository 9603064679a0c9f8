"""Webhooks: challenge, signature, events."""

import base64
import hashlib
import hmac
import json

import pytest

from alma_etl.alma import webhooks
from tests.unit.alma.samples import LOAN

EVENT = {
    "id": "47",
    "action": "LOAN",
    "institution": {"value": "01SBX_INST"},
    "time": "2026-01-26T16:20:36.005Z",
    "event": {"value": "LOAN_CREATED"},
    "item_loan": LOAN,
}


def test_a_signature_is_checked_over_the_raw_body():
    body = json.dumps(EVENT, indent=1).encode()
    right = base64.b64encode(hmac.new(b"secret word", body, hashlib.sha256).digest()).decode()
    assert webhooks.is_authentic(body, right, "secret word")
    assert webhooks.is_authentic(body, f" {right}\n", "secret word")
    for wrong in (None, "", "ä", right[:-2], right.lower()):
        assert not webhooks.is_authentic(body, wrong, "secret word")
    assert not webhooks.is_authentic(body + b" ", right, "secret word")
    assert not webhooks.is_authentic(body, right, "another word")
    with pytest.raises(ValueError, match="secret"):
        webhooks.is_authentic(body, right, "")


def test_a_known_signature():
    """As made by: printf '{}' | openssl dgst -sha256 -hmac s -binary | base64"""
    assert webhooks.signature(b"{}", "s") == "FDyo1Re6GxgQJdcysc8nXZAQT8pXuwKlZVQpeKoYxLY="


def test_events():
    found = webhooks.event(json.dumps(EVENT).encode())
    assert (found.id, found.action, found.event, found.payload) == ("47", "LOAN", "LOAN_CREATED", LOAN)
    job = {"id": "48", "action": "JOB_END", "event": None, "job_instance": {"id": "7"}}
    assert webhooks.event(json.dumps(job).encode()).payload == {"id": "7"}
    assert webhooks.event(b'{"id":"1","action":"OF_NEXT_YEAR"}').payload == {}
    for wrong in (b"", b"[]", b"null", b'{"id":"1"}', b"\xff", b"[" * 100_000):
        with pytest.raises(ValueError):  # noqa: PT011
            webhooks.event(wrong)
    assert json.loads(webhooks.challenge_answer('x"y')) == {"challenge": 'x"y'}
