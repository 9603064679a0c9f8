"""Reads that fail only hide: with parts unread, nothing is concluded that the whole look would not have shown by then.

Each story is played with one look, or two looks in a row at the same thing, in every combination of parts that
answer, fail, or are not asked for. It is measured by the same story with every look whole.
"""

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from alma_etl.dcb.machine.model import Moment, State, read_seen
from alma_etl.dcb.machine.step import step
from alma_etl.dcb.machine.vocabulary import Status
from tests.unit.dcb.story import item, loan, request

Seen = dict[str, Any]
START = datetime(2026, 1, 1, tzinfo=UTC)
APART, CLOSE = timedelta(hours=1), timedelta(minutes=1)
PARTS = ("request", "item", "loan", "txn")
ASKED_FOR_BY = {
    "SUPPLIER_LOAN_CREATED": "CREATE_SUPPLIER_LOAN",
    "SUPPLIER_LOAN_FAILED": "CREATE_SUPPLIER_LOAN",
    "BORROWER_PLACED": "PLACE_AT_BORROWER",
}


def side(role: str, req: str | None = None, it: str | None = None, ln: str | None = None) -> Seen:
    return {"role": role, **request(req), **item(it), **loan(ln)}


PLACED = [side("SUPPLIER", "NOT_STARTED", "in place"), {"ack": "BORROWER_PLACED"}]
SHIPPED = [*PLACED, side("SUPPLIER", "IN_PROCESS", "TRANSIT")]
LENT = [*SHIPPED, side("BORROWER", "ON_HOLD_SHELF", "HOLDSHELF"), side("BORROWER", "gone", "LOAN", "Active")]
LENT += [{"ack": "SUPPLIER_LOAN_CREATED"}, side("SUPPLIER", "gone", "LOAN", "Active")]
STORIES: dict[str, list[Seen]] = {
    "lent early, the hold gone first": [
        *PLACED,
        side("SUPPLIER", "gone", "in place", "none"),
        side("SUPPLIER", "gone", "LOAN", "Active"),
    ],
    "collected, the hold gone first": [
        *LENT[:4],
        side("BORROWER", "gone", "HOLDSHELF", "none"),
        side("BORROWER", "gone", "LOAN", "Active"),
    ],
    "in transit for another patron": [*PLACED, side("SUPPLIER", "NOT_STARTED", "TRANSIT")],
    "cancelled while it was shipped": [
        *PLACED,
        side("SUPPLIER", "IN_PROCESS", "TRANSIT"),
        side("BORROWER", "gone:CANCELED", "in place", "none"),
    ],
    "lost and paid on both sides": [
        *LENT,
        side("BORROWER", None, "LOST_LOAN_AND_PAID", "Complete"),
        side("SUPPLIER", None, "LOST_LOAN_AND_PAID", "Complete"),
    ],
    "forgotten loans": [
        *LENT,
        side("BORROWER", None, "TRANSIT", "none"),
        side("SUPPLIER", None, "HOLDSHELF", "none"),
    ],
    "renewed, then a missing item that is found": [
        *LENT,
        side("BORROWER", None, "LOAN", "Active/RENEW"),
        side("SUPPLIER", None, "MISSING", "Active"),
        side("BORROWER", None, "in place", "Complete"),
        side("SUPPLIER", None, "gone", "Complete"),
        side("SUPPLIER", None, "in place", "Complete"),
    ],
}
VECTORS = json.loads(Path(__file__).with_name("vectors.json").read_text("utf-8"))
STORIES |= {vector["name"][:3]: vector["observations"] for vector in VECTORS}


HIDES_A_REFUTATION = {"V15": {Status.COMPLETED}}
"""That the book was in its place before the patron returned it is what refutes the return in V15. Who does not see that
sees V23, where it did come home."""

COUNTS_TOGETHER = {"V24": {Status.CANCELLED}, "cancelled while it was shipped": {Status.CANCELLED}}
"""Within the gap an item read just before it was shipped counts with the hold read just after. That is what the item
is read once more for when the lender's hold is cancelled."""


def play(story: list[Seen], gap: timedelta) -> list[set[Status]]:
    """The statuses reached so far after each observation. A result of an action that nobody asked for does not come."""
    state, reached, asked = State(), set[Status](), set[str]()
    course = []
    for place, each in enumerate(story):
        wanted = ASKED_FOR_BY.get(each.get("ack", ""))
        if wanted is None or wanted in asked:
            result = step(state, [read_seen({**each, "at": Moment.at(START + place * gap).text})])
            state = result.state
            reached |= {transition.to for transition in result.transitions}
            asked |= {action.type for action in result.actions}
        course.append(set(reached))
    return course


def blurred(seen: Seen, *, unasked: bool = False) -> Iterator[Seen]:
    """A look with its parts answered, failed, or (``unasked``) left out, in all combinations but the whole one."""
    parts = [part for part in PARTS if part in seen]
    for states in product(
        ("read", "failed", "unasked") if unasked else ("read", "failed"), repeat=len(parts)
    ):
        state = dict(zip(parts, states, strict=True))
        if set(states) not in ({"read"}, {"unasked"}) and not _is_never_asked(seen, state):
            kept = {part: seen[part] for part in parts if state[part] == "read"}
            # A transaction that could not be read leaves no part at all.
            kept |= {part: {"found": None} for part in parts if state[part] == "failed" and part != "txn"}
            yield {name: value for name, value in seen.items() if name not in PARTS} | kept


def _is_never_asked(seen: Seen, state: dict[str, str]) -> bool:
    """Where the hold is gone, the plan asks for the item and the loan, not for the item alone."""
    gone = "request" in seen and seen["request"]["found"] is False
    return gone and state.get("loan") == "unasked" and state.get("item") != "unasked"


def looks(story: list[Seen]) -> list[int]:
    return [place for place, each in enumerate(story) if "role" in each]


def hidden(name: str, place: int, windows: Iterable[tuple[Seen, ...]], gap: timedelta) -> int:
    """Play a story with the look at a place replaced by windows of as many looks; their number."""
    played, story = 0, STORIES[name]
    shown: list[set[Status]] = []
    for window in windows:
        before, after, more = story[:place], story[place + 1 :], len(window) - 1
        if not shown:
            once = play(story, gap)
            once = once[:place] + once[place : place + 1] * more + once[place:]
            often = play([*before, *[story[place]] * (more + 1), *after], gap)
            shown = [one | other for one, other in zip(once, often, strict=True)]
        for number, seen in enumerate(play([*before, *window, *after], gap)):
            known = HIDES_A_REFUTATION if gap is APART else HIDES_A_REFUTATION | COUNTS_TOGETHER
            misled = seen - shown[number] - known.get(name, set())
            assert not misled, (number, window, sorted(misled))
        played += 1
    return played


each_story = pytest.mark.parametrize("name", STORIES)
NOTHING = tuple({part: {"found": None}} for part in PARTS[:3])


@each_story
def test_a_look_that_fails_in_part_hides_and_does_not_mislead(name: str) -> None:
    for place in looks(STORIES[name]):
        assert hidden(name, place, ((each,) for each in blurred(STORIES[name][place])), APART)


@pytest.mark.heavy
@each_story
def test_nor_do_two_looks_in_a_row_and_then_an_empty_one(name: str) -> None:
    """The empty look must not make what had failed forgotten."""
    for place in looks(STORIES[name])[1:]:
        whole = STORIES[name][place]
        every, role = [*blurred(whole)], {"role": whole["role"]}
        windows = [(one, other, role | empty) for one in every for other in every for empty in NOTHING]
        assert hidden(name, place, windows, APART)


@pytest.mark.nightly
@each_story
@pytest.mark.parametrize("gap", [APART, CLOSE], ids=["apart", "close"])
def test_nor_do_two_looks_that_also_leave_parts_out(name: str, gap: timedelta) -> None:
    for place in looks(STORIES[name])[1:]:
        every = [*blurred(STORIES[name][place], unasked=True)]
        assert hidden(name, place, product(every, every), gap)


@each_story
def test_what_failed_is_concluded_once_it_is_read(name: str) -> None:
    story = STORIES[name]
    for place in looks(story):
        once, twice = play(story, APART)[-1], play([*story[: place + 1], *story[place:]], APART)[-1]
        for each in blurred(story[place]):
            assert play([*story[:place], each, *story[place:]], APART)[-1] in (once, twice), (place, each)
