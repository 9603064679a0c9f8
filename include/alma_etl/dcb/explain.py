"""Explain from the store why a request is in its state, and check that its history still leads there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from alma_etl.counted import counted
from alma_etl.dcb.machine.model import RULES, State, Transition, read_seen, write_seen
from alma_etl.dcb.machine.step import step
from alma_etl.dcb.store import DcbStore, Tracked
from alma_etl.dcb.store.rows import History, PastObservation, PastStep, PastTransition


@dataclass(frozen=True)
class Explanation:
    """``agrees``: replaying the observations gives what the store holds; None when that cannot be said: some were
    dropped with age, or the request began under earlier rules, which concluded otherwise."""

    text: str
    agrees: bool | None


def explain(store: DcbStore, pr_id: str) -> Explanation | None:
    """Return the story of a request; None when it is not tracked."""
    tracked = store.get(pr_id)
    if tracked is None:
        return None
    history = store.history(pr_id)
    agrees, verdict = _check(tracked, history)
    lines = [*_heading(tracked), "", *_story(history), "", verdict]
    return Explanation("\n".join(lines) + "\n", agrees)


def _heading(tracked: Tracked) -> Iterator[str]:
    state = tracked.state
    yield f"Request {tracked.pr_id} ({tracked.workflow}) is {tracked.status} since {_when(tracked.status_since)}"
    if not tracked.is_ours:
        yield f"  run by {name_of(tracked.owner)}: only watched here"
    if state.outcome:
        yield f"  outcome: {state.outcome}"
    if state.closure:
        yield f"  the hold ended: {state.closure}, because {state.evidence} (confidence {state.confidence})"
    if state.standing:
        yield f"  needs attention: {', '.join(state.standing)}"
    if state.flags:
        yield f"  flags so far: {', '.join(state.flags)}"
    for role, leg in sorted(tracked.legs.items()):
        ids = (
            ("request", leg.request_id),
            ("item", leg.item_pid),
            ("barcode", leg.barcode),
            ("txn", leg.txn_id),
        )
        named = ", ".join(f"{name} {value}" for name, value in ids if value)
        read = f"read {_when(leg.last_ok_at)}" if leg.last_ok_at else "not read yet"
        trouble = f", then failed: {leg.last_error}" if leg.last_error else ""
        yield f"  {role} at {leg.system_code}: {named or 'not placed'}; {read}{trouble}"
        for each in leg.earlier:
            by = f", by user:{each['by']}" if "by" in each else ", as Alma shows it"
            reason = f": {each['reason']}" if "reason" in each else ""
            yield f"    {each['name']} {each['from']} -> {each['to']} at {each['at']}{by}{reason}"
    yield f"  next look: {_when(tracked.next_poll_at) if tracked.next_poll_at else 'none'}"


def _story(history: History) -> Iterator[str]:
    moved: dict[str, list[PastTransition]] = {}
    for transition in history.transitions:
        moved.setdefault(transition.obs_id, []).append(transition)
    actions = [row for row in history.outbox if row.kind == "ALMA_ACTION"]
    quiet = 0
    for past in history.steps:
        transitions = sorted(
            (each for seen in past.observations for each in moved.get(seen.obs_id, ())),
            key=lambda each: each.seq,
        )
        if is_quiet(past, moved):
            quiet += 1
            continue
        if quiet:
            yield f"    ({quiet} looks that showed nothing new)"
            quiet = 0
        yield from _step_lines(past, transitions)
    if quiet:
        yield f"    ({quiet} looks that showed nothing new)"
    for row in actions:
        words = " ".join([row.type, *row.payload.get("args", [])])
        error = f": {row.last_error}" if row.last_error else ""
        yield f"    asked at {_when(row.created_at)} for {words}: {row.state}{error}"


def is_quiet(past: PastStep, moved: Mapping[str, Sequence[PastTransition]]) -> bool:
    """Whether a step brought nothing new; ``moved``: the changes of status by observation."""
    return all(
        seen.outcome == "UNCHANGED" and seen.source != "MANUAL" and seen.obs_id not in moved
        for seen in past.observations
    )


def _step_lines(past: PastStep, transitions: list[PastTransition]) -> Iterator[str]:
    for seen in past.observations:
        yield f"  {_when(seen.observed_at)}  {words_of(seen)}"
    for each in transitions:
        yield f"    {each.seq}. {each.frm} -> {each.to} ({each.handler}{_how(each)})"


def _how(transition: PastTransition) -> str:
    who, _, reporter = transition.actor.partition(":")
    if who == "adopt":
        return f", reported by {name_of(reporter)}, not seen"
    inferred = ", inferred: nobody saw it, but it must have been" if transition.inferred else ""
    return inferred + (f", by {transition.actor}" if transition.actor != "dag" else "")


_NAMES = {"dcb_service": "dcb-service", "mod_dcb": "mod-dcb", "list": "a list", "alma_scan": "a scan of Alma"}


def name_of(reporter: str) -> str:
    """Who runs or reports an adopted request, as people call it."""
    return _NAMES.get(reporter, reporter)


def words_of(seen: PastObservation) -> str:
    """What was seen of a side, or came of an action, in a line."""
    body = write_seen(read_seen(seen.body))  # in the order of reading, whatever the database made of it
    name = body.pop("ack", None) or body.pop("role", "")
    parts = [f"{part} {_value(value)}" for part, value in body.items() if part not in ("at", "role", "ack")]
    kept = {"STALE": " (came too late, dropped)", "ERROR": " (nothing could be read)"}.get(seen.outcome, "")
    codes = ", ".join(str(error.get("code") or error.get("http_status")) for error in seen.errors or ())
    return f"{name}: {'; '.join(parts) or 'done'}{kept}{f' [{codes}]' if codes else ''}"


def _value(value: object) -> str:
    if not isinstance(value, Mapping):
        return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    if "found" in value and not value["found"]:
        why = f" ({value['closure']})" if value.get("closure") else ""
        return f"not there{why}" if value["found"] is False else "could not be read"
    words: dict[str, Any] = {
        name: each for name, each in value.items() if name not in ("found", "base_status")
    }
    if not words.get("process_type") and "base_status" in value:
        words = {"": "in place" if value["base_status"] == "1" else "not in place", **words}
    return ", ".join(str(each) if name in _PLAIN else f"{name} {each}" for name, each in words.items())


_PLAIN = ("", "request_status", "task_name", "process_type", "loan_status", "process_status")


def _check(tracked: Tracked, history: History) -> tuple[bool | None, str]:
    """Replay what is kept, step by step as it was taken, and compare."""
    if tracked.thinned:
        return None, "Replay: not possible any more, because old observations were dropped."
    state = State(workflow=tracked.workflow, rules=tracked.state.rules)
    replayed: list[Transition] = []
    for past in history.steps:
        result = step(state, [read_seen(seen.body) for seen in past.observations], past.policy)
        state = result.state
        replayed += result.transitions
    stored = [(each.seq, each.frm, each.to, each.handler) for each in history.transitions]
    again = [(each.seq, str(each.frm), str(each.to), each.handler) for each in replayed]
    if tracked.state.rules < RULES and (stored != again or state != tracked.state):
        return None, (
            f"Replay: differs, and may: the request began under version {tracked.state.rules} of the rules, which now "
            f"are version {RULES}. What was concluded then stands."
        )
    if stored != again:
        return False, f"Replay: DIFFERS: the observations lead by {' -> '.join(to for _, _, to, _ in again)}."
    if state != tracked.state:
        return (
            False,
            f"Replay: DIFFERS: the same transitions, but another memory at the end ({state.status}).",
        )
    verb = "leads" if len(history.steps) == 1 else "lead"
    return True, f"Replay: {counted(len(history.steps), 'step')} {verb} to the same state."


def _when(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}Z" if moment else "never"
