"""Every kind of title and holding that the WEST delivery rules distinguish, and how often each occurs.

Of each 200 consecutive titles every variant has a fixed number of places (``VARIANTS``), and the seed decides
only which titles those are: from 200 titles on, no variant is missing whatever the seed. A variant changes the
title, its first holding, or both; all other holdings of a title are ordinary and deliverable.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

from alma_sandbox.catalogue.draft import (
    Dice,
    HoldingDraft,
    ItemDraft,
    TitleDraft,
    plain_holding,
    retention,
    statement,
)
from alma_sandbox.catalogue.marc import data_field

CYCLE = 200


def _nothing(_: object) -> None:
    """The ordinary case."""


@dataclass(frozen=True)
class Variant:
    """How many of 200 titles are like this, and what that changes."""

    places: int
    title: Callable[[TitleDraft], None] = _nothing
    holding: Callable[[HoldingDraft], None] = _nothing


def _title(**values: object) -> Callable[[TitleDraft], None]:
    def change(draft: TitleDraft) -> None:
        for name, value in values.items():
            setattr(draft, name, value)

    return change


def _holding(**values: object) -> Callable[[HoldingDraft], None]:
    def change(draft: HoldingDraft) -> None:
        for name, value in values.items():
            setattr(draft, name, list(value) if isinstance(value, list) else value)

    return change


def _notes(*notes: object) -> Callable[[HoldingDraft], None]:
    return _holding(notes=list(notes))


def _pairs(draft: HoldingDraft) -> None:
    draft.statements = [
        data_field("853", "20", ("8", "1"), ("a", "v."), ("i", "(year)")),
        data_field("863", "40", ("8", "1.1"), ("a", "1-24"), ("i", "1931-1954")),
        data_field("863", "40", ("8", "1.2"), ("a", "26-40"), ("i", "1956-1970")),
    ]


def _pairs_with_text(draft: HoldingDraft) -> None:
    _pairs(draft)
    draft.statements.append(statement("v.1-24, 26-40"))


def _unpaired(draft: HoldingDraft) -> None:
    draft.statements = [
        data_field("853", "20", ("8", "1"), ("a", "v.")),
        data_field("863", "40", ("8", "2.1"), ("a", "1-24")),
    ]


def _supplements(draft: HoldingDraft) -> None:
    draft.statements += [statement("suppl. 1-4", "867"), statement("index v.1-20", "868")]


def _field_too_long(draft: HoldingDraft) -> None:
    """One field of more than the 9,999 bytes that ISO 2709 allows."""
    draft.statements = [statement(", ".join(f"v.{n}:no.1-4 ({1700 + n % 300})" for n in range(1, 600)))]


def _record_too_long(draft: HoldingDraft) -> None:
    """Short fields, but together more than the 99,999 bytes that ISO 2709 allows."""
    draft.statements = [
        statement(
            f"v.{n}, no.1-12 (Jan. {1700 + n % 300}-Dec. {1700 + n % 300}), bound in two parts; complete"
        )
        for n in range(1, 1601)
    ]


def _all_temporary(draft: HoldingDraft) -> None:
    draft.items = [ItemDraft(temporary=("MAIN", "reserves")), ItemDraft(temporary=("SCI", "display"))]


def _some_temporary(draft: HoldingDraft) -> None:
    draft.items = [ItemDraft(), ItemDraft(temporary=("MAIN", "reserves"))]


_REVIEWED = retention(action="completeness reviewed", start="20170601", end=None, uri=None)

VARIANTS: dict[str, Variant] = {
    "two_holdings": Variant(12, title=_title(holdings=2)),
    "three_holdings": Variant(6, title=_title(holdings=3)),
    "no_holding": Variant(6, title=_title(holdings=0)),
    "bound_with": Variant(3, title=_title(holdings=0, bound=True)),
    "suppressed_bib": Variant(1, title=_title(suppressed=True)),
    # OCLC numbers and ISSN of the bib
    "oclc_missing": Variant(2, title=_title(oclc="missing")),
    "oclc_only_cancelled": Variant(1, title=_title(oclc="cancelled")),
    "issn_missing": Variant(2, title=_title(issn="missing")),
    "issn_wrong_digit": Variant(2, title=_title(issn="wrong")),
    "issn_only_incorrect": Variant(1, title=_title(issn="incorrect_only")),
    # 583: the retention note
    "no_583": Variant(12, holding=_notes()),
    "empty_583": Variant(1, holding=_notes(data_field("583", "1 ", ("a", "")))),
    "other_action": Variant(
        3, holding=_notes(retention(action="digitized", start="20190101", end=None, programmes=()))
    ),
    "only_reviewed": Variant(2, holding=_notes(_REVIEWED)),
    "reviewed_and_committed": Variant(3, holding=_notes(_REVIEWED, retention())),
    "expired": Variant(4, holding=_notes(retention(start="20100101", end="20201231"))),
    "expired_and_renewed": Variant(
        2, holding=_notes(retention(start="20100101", end="20201231"), retention())
    ),
    "other_programme": Variant(4, holding=_notes(retention(programmes=("EAST",)))),
    "no_583f": Variant(2, holding=_notes(retention(programmes=()))),
    "several_583f": Variant(6, holding=_notes(retention(programmes=("WEST", "WEST Bronze")))),
    "capital_583a": Variant(4, holding=_notes(retention(action="Committed to retain"))),
    "bad_583c": Variant(1, holding=_notes(retention(start="2018-1-1"))),
    "no_583c": Variant(1, holding=_notes(retention(start=None))),
    "bad_583d_text": Variant(1, holding=_notes(retention(end="June 30, 2035"))),
    "bad_583d_impossible": Variant(1, holding=_notes(retention(end="20350231"))),
    "no_583d": Variant(1, holding=_notes(retention(end=None))),
    "583_dates_reversed": Variant(1, holding=_notes(retention(start="20361231", end="20351231"))),
    "no_5832": Variant(1, holding=_notes(retention(source=None))),
    "no_5835": Variant(1, holding=_notes(retention(organisation=None))),
    "odd_583_indicator": Variant(1, holding=_notes(retention(indicators="7 "))),
    # leader and 008
    "leader_of_bib": Variant(1, holding=_holding(leader="     cas a22     1a 4500")),
    "leader_not_unicode": Variant(1, holding=_holding(leader="     cy   22     1n 4500")),
    "short_008": Variant(1, holding=_holding(field008="1803152u    8   1001uueng01803")),
    "long_008": Variant(1, holding=_holding(field008="1803152u    8   1001uueng0180315  ")),
    "no_008": Variant(1, holding=_holding(field008=None)),
    "migrated": Variant(3, holding=_holding(migrated=True)),
    # 852 and visibility
    "no_852": Variant(1, holding=_holding(write_852=False)),
    "no_852b": Variant(1, holding=_holding(write_852b=False)),
    "microform": Variant(4, holding=_holding(library="MAIN", location="microform")),
    "suppressed_holding": Variant(3, holding=_holding(suppressed=True)),
    "suppressed_location": Variant(2, holding=_holding(library="MAIN", location="closed")),
    # items
    "no_items": Variant(6, holding=_holding(items=[])),
    "all_items_temporary": Variant(3, holding=_all_temporary),
    "some_items_temporary": Variant(2, holding=_some_temporary),
    # 85X/86X: the holdings statement
    "no_statement": Variant(2, holding=_holding(statements=[])),
    "paired_statement": Variant(6, holding=_pairs),
    "paired_and_text": Variant(2, holding=_pairs_with_text),
    "unpaired_statement": Variant(1, holding=_unpaired),
    "supplements": Variant(3, holding=_supplements),
    "field_too_long": Variant(1, holding=_field_too_long),
    "record_too_long": Variant(1, holding=_record_too_long),
}
GOOD = "good"

_PLACES = [name for name, variant in VARIANTS.items() for _ in range(variant.places)]
_OCLC_FORMS = ("plain", "plain", "ocm", "ocn", "on", "padded")


def variant_of(seed: int, title: int) -> str:
    """Name of a title's variant: a permutation of the 200 places, another one for each seed and each cycle."""
    cycle, place = divmod(title, CYCLE)
    turn = Dice(seed, "cycle", cycle)
    step = (1, 3, 7, 11, 13, 73, 77, 91)[turn.below(8, "step")]  # all prime to 200, hence a permutation
    place = (place * step + turn.below(CYCLE, "start")) % CYCLE
    return _PLACES[place] if place < len(_PLACES) else GOOD


@lru_cache(maxsize=1024)
def title_draft(seed: int, title: int) -> TitleDraft:
    """What kind of title this is. Not to be changed: the next reader gets the same object."""
    name = variant_of(seed, title)
    draft = TitleDraft(title, name, oclc=Dice(seed, "oclc", title).pick(_OCLC_FORMS, "form"))
    if name != GOOD:
        VARIANTS[name].title(draft)
    return draft


@lru_cache(maxsize=1024)
def holding_draft(seed: int, title: int, holding: int) -> HoldingDraft:
    """What kind of holding this is; only the first holding of a title follows the title's variant.

    Not to be changed: the next reader gets the same object.
    """
    draft = plain_holding(Dice(seed, "holding", title), holding)
    name = title_draft(seed, title).variant
    if holding == 0 and name != GOOD:
        VARIANTS[name].holding(draft)
    return draft


def host_of(seed: int, title: int, titles: int) -> int | None:
    """The title on whose holding a bound-with title hangs: the nearest ordinary one before it, else after it."""
    before = range(title - 1, max(-1, title - CYCLE), -1)
    after = range(title + 1, min(titles, title + CYCLE))
    return next((number for number in chain(before, after) if variant_of(seed, number) == GOOD), None)
