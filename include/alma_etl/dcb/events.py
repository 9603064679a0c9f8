"""What is published of a step, in a form that suits every sink. No personal data: ids of requests, codes, times."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from alma_etl.dcb.machine import adopting, flags
from alma_etl.dcb.machine.model import StepResult, Transition
from alma_etl.dcb.machine.vocabulary import ITEM_OF, SETTLED, Role

_SPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:alma-airflow:dcb")
STATUS_CHANGED = "dcb.status.changed"
REQUEST_CLOSED = "dcb.request.closed"

_TYPES = {
    flags.RENEWED: "dcb.loan.renewed",
    flags.RECALLED: "dcb.loan.recalled",
    flags.SUPPLIER_ITEM_CHANGED: "dcb.request.item_changed",
}
_ENDINGS = {
    "_BARCODE_CHANGED": "dcb.item.barcode_changed",
    "_ITEM_LOST": "dcb.item.lost",
    "_ITEM_MISSING": "dcb.item.missing",
    "_ITEM_GONE": "dcb.item.gone",
    "_ITEM_CLAIMED_RETURNED": "dcb.item.claimed_returned",
}


def new_id(*parts: object) -> str:
    """Return an id that is the same whenever the same thing is published again."""
    return str(uuid.uuid5(_SPACE, "|".join(str(part) for part in parts)))


def event_id(pr_id: str, transition: Transition) -> str:
    """Return the id of the event of a change of status."""
    return new_id(pr_id, transition.seq, transition.to)


def type_of(flag: str) -> str:
    """Return the type of the event that reports a flag."""
    for ending, kind in _ENDINGS.items():
        if flag.endswith(ending):
            return kind
    return _TYPES.get(flag, f"dcb.alert.{flag.lower()}")


def events_of(
    pr_id: str,
    result: StepResult,
    *,
    step: int,
    sources: Mapping[Role | None, tuple[str, datetime]],
    recorded_at: datetime,
    run_id: str | None,
) -> list[dict[str, Any]]:
    """Return the events of one step, in order: each change of status, each flag, and that the request was closed.

    ``sources``: id and time of each side's observation in this step; under None the one that stands for the step.
    """
    state = result.state
    obs_id, occurred_at = sources[None]
    common = {
        "pr_id": pr_id,
        "occurred_at": occurred_at.isoformat(),
        "recorded_at": recorded_at.isoformat(),
        "run_id": run_id,
    }
    events: list[dict[str, Any]] = []
    for each in result.transitions:
        its_obs_id, its_time = sources.get(each.role) or sources[None]
        events.append(
            {
                **common,
                "occurred_at": its_time.isoformat(),
                "event_id": event_id(pr_id, each),
                "type": STATUS_CHANGED,
                "seq": each.seq,
                "from": each.frm,
                "to": each.to,
                "handler": each.handler,
                "inferred": each.inferred,
                "txn_state": each.txn,
                "item_status": ITEM_OF.get(each.to),
                "closure": state.closure,
                "role": each.role,
                "obs_id": its_obs_id,
                "flags": list(result.flags),
                **({"adopted": True} if each.handler == adopting.HANDLER else {}),
            }
        )
    for flag in dict.fromkeys(result.flags):
        events.append(
            {
                **common,
                "event_id": new_id(pr_id, "step", step, flag),
                "type": type_of(flag),
                "seq": state.seq,
                "flag": flag,
                "obs_id": obs_id,
            }
        )
    if any(each.to in SETTLED for each in result.transitions):
        events.append(
            {
                **common,
                "event_id": new_id(pr_id, state.seq, "closed"),
                "type": REQUEST_CLOSED,
                "seq": state.seq,
                "outcome": state.outcome,
                "closure": state.closure,
                "confidence": state.confidence,
            }
        )
    return events
