"""One patron request: its sides, what is open, and its timeline: seen, concluded, asked for, reported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Literal

from alma_etl.counted import counted
from alma_etl.dcb.explain import is_quiet, name_of, words_of
from alma_etl.dcb.machine.vocabulary import SETTLED, TERMINAL, Role
from alma_etl.dcb.store import Alert, OutboxRow, Tracked
from alma_etl.dcb.store.rows import HASHED, History, LegRecord, PastStep, PastTransition
from alma_etl.views.requests import AlertRow, alert_row, without
from alma_etl.views.words import Word, request_status

EntryKind = Literal["seen", "concluded", "done", "reported"]

_SOURCES = {
    "POLL": "looked",
    "WEBHOOK": "after a message of Alma's",
    "MANUAL": "by a person",
    "RECONCILE": "by the nightly comparison",
    "ACK": "by our own work",
}
_STATES: Mapping[str, Word] = {
    "PENDING": Word("waits", "wait"),
    "SENT": Word("done", "good"),
    "SUPERSEDED": Word("not needed any more", "plain"),
    "FAILED": Word("refused", "bad"),
    "DEAD": Word("given up", "bad"),
}
_QUIET = "nothing new"


@dataclass(frozen=True)
class TimelineEntry:
    """One line of a request's timeline. ``inferred``: nobody saw it, but it must have been; ``by``: who did it."""

    at: datetime
    kind: EntryKind
    what: str
    detail: str = ""
    inferred: bool = False
    by: str = ""
    state: Word | None = None


@dataclass(frozen=True)
class SideView:
    """One side of a request with its ids. ``earlier``: what its ids were before, those of users left out."""

    leg: LegRecord
    trouble: str
    earlier: list[str]


@dataclass(frozen=True)
class RequestStory:
    """A request as its page shows it. ``owner`` is "" for a request of ours."""

    tracked: Tracked
    title: str
    status: Word
    owner: str
    ending: str
    sides: list[SideView]
    alerts: list[AlertRow]
    timeline: list[TimelineEntry]

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen."""
        return self.tracked.status in TERMINAL

    @property
    def is_settled(self) -> bool:
        """Whether it is decided, so that only the cleanup is left, or over."""
        return self.tracked.status in SETTLED | TERMINAL


def request_story(tracked: Tracked, history: History, alerts: Sequence[Alert]) -> RequestStory:
    """What the page of a request shows; no ids of users, which error messages may quote."""
    hidden = _users(tracked)
    state = tracked.state
    ending = f"{state.closure}, because {state.evidence} (confidence {state.confidence})"
    return RequestStory(
        tracked=tracked,
        title=_title(tracked.conf),
        status=request_status(tracked.status),
        owner="" if tracked.is_ours else name_of(tracked.owner),
        ending=ending if state.closure else "",
        sides=[_side(tracked.legs[role], hidden) for role in Role if role in tracked.legs],
        alerts=[alert_row(each, hidden) for each in alerts],
        timeline=_timeline(history, hidden),
    )


def _users(tracked: Tracked) -> set[str]:
    """Every id of a user that the request knows, of whatever time."""
    found = {str(tracked.conf.get("user_id") or "")}
    for part in tracked.conf.values():
        if isinstance(part, Mapping):
            found.add(str(part.get("user_id") or ""))
    for leg in tracked.legs.values():
        found.add(leg.user_id or "")
        for each in leg.earlier:
            if each["name"] == "user_id":
                found |= {str(each["from"]), str(each["to"])}
    return {each for each in found if each and not each.startswith(HASHED)}


def _title(conf: Mapping[str, object]) -> str:
    bib = conf.get("bib")
    return str(conf.get("title") or (bib.get("title") if isinstance(bib, Mapping) else "") or "")


def _side(leg: LegRecord, hidden: set[str]) -> SideView:
    earlier = []
    for each in leg.earlier:
        values = "" if each["name"] == "user_id" else f" {each['from']}, now {each['to']}"
        who = f"by {each['by']}" if "by" in each else "as Alma shows it"
        reason = f": {each['reason']}" if "reason" in each else ""
        earlier.append(without(f"{each['name']}{values} ({str(each['at'])[:10]}, {who}{reason})", hidden))
    return SideView(leg, without(leg.last_error or "", hidden), earlier)


# --- the timeline


def _timeline(history: History, hidden: set[str]) -> list[TimelineEntry]:
    """Everything that is kept, in the order in which it became known; looks in a row that brought nothing are one
    entry."""
    moved: dict[str, list[PastTransition]] = {}
    for each in history.transitions:
        moved.setdefault(each.obs_id, []).append(each)
    steps = [(past.recorded_at, 0, entry) for past, entry in _steps(history.steps, moved, hidden)]
    outbox = [(at, 1, entry) for at, entry in _outbox(history.outbox, hidden)]
    return [entry for _, _, entry in sorted([*steps, *outbox], key=lambda each: each[:2])]


def _steps(
    steps: Sequence[PastStep], moved: Mapping[str, list[PastTransition]], hidden: set[str]
) -> Iterator[tuple[PastStep, TimelineEntry]]:
    for quiet, group in groupby(steps, key=lambda past: is_quiet(past, moved)):
        together = list(group)
        if quiet:
            looks = f"{counted(len(together), 'look')} that showed {_QUIET}"
            yield together[-1], TimelineEntry(together[-1].recorded_at, "seen", looks)
            continue
        for past in together:
            for entry in _step(past, moved, hidden):
                yield past, entry


def _step(
    past: PastStep, moved: Mapping[str, list[PastTransition]], hidden: set[str]
) -> Iterator[TimelineEntry]:
    for seen in past.observations:
        name, _, rest = words_of(seen).partition(": ")
        by = _SOURCES.get(seen.source, seen.source)
        yield TimelineEntry(seen.observed_at, "seen", name, without(rest, hidden), by=by)
    transitions = [each for seen in past.observations for each in moved.get(seen.obs_id, ())]
    for each in sorted(transitions, key=lambda each: each.seq):
        who, _, reporter = each.actor.partition(":")
        adopted = who == "adopt"
        yield TimelineEntry(
            each.occurred_at,
            "concluded",
            f"{each.frm} → {each.to}",
            f"{request_status(each.to).meaning} ({each.handler})",
            inferred=each.inferred and not adopted,
            by=f"reported by {name_of(reporter)}, not seen" if adopted else _person(each.actor),
        )


def _person(actor: str) -> str:
    return "" if actor == "dag" else f"by {actor.removeprefix('user:')}"


def _outbox(rows: Sequence[OutboxRow], hidden: set[str]) -> Iterator[tuple[datetime, TimelineEntry]]:
    """What was asked of an Alma, and each event with where it was sent."""
    events: dict[str, list[OutboxRow]] = {}
    for row in rows:
        if row.kind == "EVENT":
            events.setdefault(str(row.payload.get("event_id") or row.outbox_id), []).append(row)
            continue
        asked = " ".join([row.type, *map(str, row.payload.get("args", ()))])
        detail = without(row.last_error or "", hidden)
        done = row.settled_at or row.created_at
        yield row.created_at, TimelineEntry(done, "done", without(asked, hidden), detail, state=_state(row))
    for together in events.values():
        first = together[0]
        what = " ".join(filter(None, (first.type, str(first.payload.get("to") or ""))))
        to = "; ".join(
            f"{row.target} {_state(row).word}{': ' + row.last_error if row.last_error else ''}"
            for row in together
        )
        done = max(row.settled_at or row.created_at for row in together)
        worst = max(together, key=lambda row: _ORDER.index(row.state))
        yield (
            first.created_at,
            TimelineEntry(done, "reported", what, without(to, hidden), state=_state(worst)),
        )


_ORDER = ("SENT", "SUPERSEDED", "PENDING", "FAILED", "DEAD")
"""How an event went, from the best on."""


def _state(row: OutboxRow) -> Word:
    return _STATES[row.state]
