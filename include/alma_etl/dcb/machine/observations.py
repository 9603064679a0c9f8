"""What was seen of one side of a request, and what came of a deed of ours, in the form that is stored.

Three answers to each question, never two: ``found`` is True, False (Alma said that it is not there) or None
(we could not find out). A part that was not asked for is absent altogether.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

from alma_etl.dcb.machine.moments import Moment, read_time
from alma_etl.dcb.machine.vocabulary import AckName, ActionType, Closure, Role

W = TypeVar("W", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class RequestRead:
    """The hold request: Alma's user request. ``closure`` is explicit evidence of how it ended (a webhook, a history
    row, our own DELETE), or what the reader concluded."""

    found: bool | None
    request_status: str | None = None
    task_name: str | None = None
    expiry_date: datetime | None = None
    request_date: datetime | None = None
    item_id: str | None = None
    closure: Closure | None = None


@dataclass(frozen=True, slots=True)
class ItemRead:
    """The item. ``other_requests`` counts the requests of others for it; None when not counted."""

    found: bool | None
    base_status: str | None = None
    process_type: str | None = None
    barcode: str | None = None
    other_requests: int | None = None


@dataclass(frozen=True, slots=True)
class LoanRead:
    """The loan of this item to this request's user: the active one if there is one, else the latest."""

    found: bool | None
    loan_status: str | None = None
    process_status: str | None = None
    due_date: datetime | None = None
    loan_date: datetime | None = None
    last_renew_date: datetime | None = None
    loan_id: str | None = None


@dataclass(frozen=True, slots=True)
class PatronRead:
    """The user in whose name the side's hold stands."""

    found: bool | None = True
    blocked: bool | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """One side of a request as one cycle saw it. ``at`` is the start of the first read.

    ``generation`` tells which supplier in turn is meant; None means the present one.
    """

    role: Role
    at: Moment | None = None
    request: RequestRead | None = None
    item: ItemRead | None = None
    loan: LoanRead | None = None
    patron: PatronRead | None = None
    txn: str | None = None
    generation: int | None = None

    @property
    def tells_something(self) -> bool:
        """Whether any part could be read."""
        parts = (self.request, self.item, self.loan, self.patron)
        return self.txn is not None or any(part is not None and part.found is not None for part in parts)


@dataclass(frozen=True, slots=True)
class Ack:
    """What came of a deed, stamped with the time of the write, or an operator's decision.

    ``role``, ``item`` and ``loan``: the side that was written to, as read back. ``action``: of ACTION_DONE and
    ACTION_FAILED. ``force``: an operator closes although the book is out.
    """

    name: AckName
    at: Moment | None = None
    role: Role | None = None
    item: ItemRead | None = None
    loan: LoanRead | None = None
    action: ActionType | None = None
    barcode: str | None = None
    force: bool = False


Seen = Observation | Ack


def read_seen(data: object) -> Seen:
    """An observation or an ack from its JSON form (that of the test vectors). Raises ValueError, one sentence."""
    fields = _mapping(data, "an observation")
    at = _text(fields.get("at"))
    moment = Moment.read(at) if at else None
    if "ack" in fields:
        role, action = _text(fields.get("role")), _text(fields.get("action"))
        return Ack(
            name=_word(AckName, fields["ack"]),
            at=moment,
            role=_word(Role, role) if role else None,
            item=_item(fields.get("item")),
            loan=_loan(fields.get("loan")),
            action=_word(ActionType, action) if action else None,
            barcode=_text(fields.get("barcode")),
            force=fields.get("force") is True,
        )
    generation = fields.get("generation")
    if generation is not None and not isinstance(generation, int):
        raise ValueError(f"generation must be a whole number, not {generation!r}")
    return Observation(
        role=_word(Role, fields.get("role")),
        at=moment,
        request=_request(fields.get("request")),
        item=_item(fields.get("item")),
        loan=_loan(fields.get("loan")),
        patron=_patron(fields.get("patron")),
        txn=_text(fields.get("txn")),
        generation=generation,
    )


def write_seen(seen: Seen) -> dict[str, Any]:
    """The JSON form, which `read_seen` reads back to an equal object."""
    out: dict[str, Any] = {}
    for name in seen.__dataclass_fields__:
        value = getattr(seen, name)
        if value is None or (name == "force" and not value):
            continue
        key = "ack" if isinstance(seen, Ack) and name == "name" else name
        out[key] = _plain(value)
    return out


def _plain(value: object) -> object:
    if isinstance(value, Moment):
        return value.text
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, RequestRead | ItemRead | LoanRead | PatronRead):
        parts = {name: getattr(value, name) for name in value.__dataclass_fields__}
        return {name: _plain(part) for name, part in parts.items() if part is not None or name == "found"}
    return value


def _request(data: object) -> RequestRead | None:
    if data is None:
        return None
    fields = _mapping(data, "request")
    closure = _text(fields.get("closure"))
    return RequestRead(
        found=_found(fields),
        request_status=_text(fields.get("request_status")),
        task_name=_text(fields.get("task_name")),
        expiry_date=_time(fields, "expiry_date"),
        request_date=_time(fields, "request_date"),
        item_id=_text(fields.get("item_id")),
        closure=_word(Closure, closure) if closure else None,
    )


def _item(data: object) -> ItemRead | None:
    if data is None:
        return None
    fields = _mapping(data, "item")
    count = fields.get("other_requests")
    return ItemRead(
        found=_found(fields),
        base_status=_text(fields.get("base_status")),
        process_type=_text(fields.get("process_type")),
        barcode=_text(fields.get("barcode")),
        other_requests=count if isinstance(count, int) else None,
    )


def _loan(data: object) -> LoanRead | None:
    if data is None:
        return None
    fields = _mapping(data, "loan")
    return LoanRead(
        found=_found(fields),
        loan_status=_text(fields.get("loan_status")),
        process_status=_text(fields.get("process_status")),
        due_date=_time(fields, "due_date"),
        loan_date=_time(fields, "loan_date"),
        last_renew_date=_time(fields, "last_renew_date"),
        loan_id=_text(fields.get("loan_id")),
    )


def _patron(data: object) -> PatronRead | None:
    if data is None:
        return None
    fields = _mapping(data, "patron")
    blocked = fields.get("blocked")
    return PatronRead(
        found=_found(fields) if "found" in fields else True,
        blocked=blocked if isinstance(blocked, bool) else None,
    )


def _mapping(data: object, what: str) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise ValueError(f"{what} must be an object, not {data!r}")
    return data


def _found(fields: Mapping[str, Any]) -> bool | None:
    found = fields.get("found")
    if found is not None and not isinstance(found, bool):
        raise ValueError(f"found must be true, false or null, not {found!r}")
    return found


def _text(value: object) -> str | None:
    """A text or the code of Alma's ``{"value", "desc"}``; Alma writes "" where there is none."""
    if isinstance(value, Mapping):
        value = value.get("value")
    if value is None:
        return None
    if isinstance(value, bool | float | list):
        raise ValueError(f"expected a text, not {value!r}")
    return str(value).strip() or None


def _time(fields: Mapping[str, Any], name: str) -> datetime | None:
    text = _text(fields.get(name))
    if text is None:
        return None
    try:
        return read_time(text)
    except ValueError as error:
        raise ValueError(f"{name} is not a date or time: {text!r}") from error


def _word(kind: type[W], value: object) -> W:
    try:
        return kind(_text(value) or "")
    except ValueError:
        raise ValueError(f"unknown {kind.__name__} {value!r}; known are {', '.join(kind)}") from None
