"""How deeds end, in sentences for librarians. Alma's own texts are left out: they may name people."""

from __future__ import annotations

from typing import TypeVar

from alma_etl.remote.answers import Answer, Found, Unknown
from alma_etl.remote.errors import RemoteError, RemoteRefused
from alma_etl.remote.safe_write import Outcome, Written

T = TypeVar("T")

_MEANINGS = {
    "400042": "the user has the item on loan already",
    "401129": "no item can fulfil the request by Alma's fulfilment rules",
    "401136": "the user has another request for it",
    "401151": "the user is not an active patron",
    "401153": "this desk may not lend; look at circ_desk in config/dcb.yaml",
    "401161": "the user has reached the loan limit",
    "401163": "the user is blocked",
    "401168": "the user has expired",
    "401201": "the user is blocked",
    "401651": "the item cannot be lent",
    "401666": "Alma does not know one of the codes; look at config/dcb.yaml",
    "401676": "Alma does not know the user group; look at user_group in config/dcb.yaml",
    "401822": "the loan cannot be renewed",
    "401861": "Alma does not know the user",
    "401890": "Alma does not know the user",
    "401851": "another user has this identifier",
    "401895": "the library has no such desk",
    "402212": "Alma does not know the library or location; look at config/dcb.yaml",
    "402502": "the library has no such desk; look at circ_desk in config/dcb.yaml",
    "60308": "Alma does not know the pickup library",
    "40166404": "Alma does not take a code or the barcode; look at item_policy and material_type",
    "BARCODE_ELSEWHERE": "the barcode belongs to another item",
    "NOT_AS_SENT": "Alma answered, but did not keep what was sent",
}


class Impossible(Exception):
    """It will not be done, however often it is tried: one sentence, and Alma's error code ("" when it is not
    Alma that forbids it)."""

    def __init__(self, sentence: str, code: str = "") -> None:
        super().__init__(sentence, code)
        self.sentence = sentence
        self.code = code

    def __str__(self) -> str:
        return self.sentence


class Unsettled(Exception):
    """Nobody knows whether it is done, or it cannot be done now: one sentence."""


def told(error: RemoteError | None) -> str:
    """What an error says, without Alma's text and without the path, which may name a user."""
    if error is None:
        return "Alma does not know it"
    facts = [f"HTTP {error.status}" if error.status else "", error.code]
    facts.append(f"tracking id {error.tracking_id}" if error.tracking_id else "")
    meaning = _MEANINGS.get(error.code) or (
        "Alma refuses" if isinstance(error, RemoteRefused) else "no usable answer"
    )
    known = ", ".join(fact for fact in facts if fact)
    return f"{meaning} [{known}]" if known else meaning


def known(answer: Answer[T], what: str) -> T | None:
    """The value, None when Alma said that it is not there. Raises Unsettled; ``what`` begins its sentence."""
    if isinstance(answer, Unknown):
        raise Unsettled(f"{what} could not be read: {told(answer.error)}")
    return answer.value if isinstance(answer, Found) else None


def settled(written: Written[T], what: str) -> T:
    """What is now there. Raises Impossible and Unsettled; ``what`` begins their sentences."""
    if written.done and written.value is not None:
        return written.value
    code = written.error.code if written.error else ""
    if written.outcome is Outcome.NOT_FOUND:
        raise Impossible(f"{what}: it is not in Alma", code)
    if written.outcome is Outcome.REFUSED:
        raise Impossible(f"{what}: {told(written.error)}", code)
    raise Unsettled(f"{what}: {told(written.error)}")


def gone(answer: Answer[None], what: str) -> None:
    """Something was deleted or is not there. Raises Impossible when Alma refuses, else Unsettled."""
    if not isinstance(answer, Unknown):
        return
    if isinstance(answer.error, RemoteRefused):
        raise Impossible(f"{what}: {told(answer.error)}", answer.error.code)
    raise Unsettled(f"{what}: {told(answer.error)}")
