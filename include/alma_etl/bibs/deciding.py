"""What is to become of a record, by the profile and by what Alma has: pure, the first that fits.

The order is that of the report's contract. That nothing would change is asked before levels and dates are compared: by
a second drop of the same file Alma's 005 is newer, and that is no reason to refuse anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from pymarc import Record

from alma_etl.bibs.carrier import disagreements
from alma_etl.bibs.field_diff import FieldChange, changes
from alma_etl.bibs.keys import BibKeys, keys_of
from alma_etl.bibs.matching import Matched, Title, numbers_of
from alma_etl.bibs.merging import differs, merge, prepared
from alma_etl.bibs.profiles import BibProfile
from alma_etl.bibs.rows import BibOutcome
from alma_etl.bibs.versions import is_older

# Codes of the report's `reasons`.
WEAK_MATCH, NO_005, OCLC_REPLACED, FLAGS_SET = "WEAK_MATCH", "NO_005", "OCLC_REPLACED", "FLAGS_SET"
ORDER_MATCH, NETWORK = "ORDER_MATCH", "NETWORK"
_DELETED = "d"
_TWO_TITLES = (
    "the order is one title's, and the number another's: relink the PO line and its inventory in Alma to the title "
    "that is to stay, which no API does, and merge the two; then drop the record again"
)

Action = Literal["none", "create", "link", "change"]


@dataclass(frozen=True)
class Decision:
    """How a record is to end: `outcome` is what it comes to, once its `action` is done. `record`: what is sent.
    `title`: the one that is changed, or that stands against it. `network`: the MMS id of the network zone's record
    that is linked into the institution."""

    outcome: BibOutcome
    action: Action = "none"
    message: str = ""
    reasons: tuple[str, ...] = ()
    record: Record | None = field(default=None, repr=False)
    title: Title | None = None
    network: str = ""

    @property
    def changes(self) -> list[FieldChange]:
        """What the title gains and loses; nothing where no title is changed."""
        if self.action != "change" or self.title is None or self.record is None:
            return []
        return changes(self.title.record, self.record)


def decide_alone(record: Record, keys: BibKeys, profile: BibProfile) -> Decision | None:
    """Return what becomes of a record that needs no look-up; None for one that does."""
    titles = (value for each in record.get_fields("245") for value in each.get_subfields("a", "b", "k"))
    if not any(value.strip() for value in titles):
        return Decision(BibOutcome.INVALID_RECORD, message="it has no title (245)")
    if str(record.leader)[5:6] == _DELETED:
        message = "its leader/05 is d: nothing was deleted, created or changed"
        return Decision(BibOutcome.DELETE_REQUESTED, message=message)
    if next(numbers_of(keys, profile.match), None) is None:
        return Decision(
            BibOutcome.NO_KEY,
            message=f"it has no number that the profile matches by ({', '.join(profile.match)})",
        )
    return None


def decide(
    record: Record, keys: BibKeys, profile: BibProfile, matched: Matched, *, is_owned: bool = False
) -> Decision:
    """Return what becomes of a record whose titles are known. ``is_owned``: the one title has inventory."""
    if not matched.titles:
        return _without_title(record, profile, matched)
    if len(matched.titles) > 1:
        decision = _several(record, profile, matched)
    else:
        decision = _one(record, profile, matched.titles[0], is_owned)
    return decision


def _without_title(record: Record, profile: BibProfile, matched: Matched) -> Decision:
    message, reasons = "; ".join(matched.remarks), (WEAK_MATCH,) if matched.remarks else ()
    if profile.on_no_match == "skip":
        message = "; ".join(
            ["no title was found by its numbers, and the profile creates none", *matched.remarks]
        )
        return Decision(BibOutcome.NO_KEY, message=message, reasons=reasons)
    return Decision(BibOutcome.CREATED, "create", message, reasons, prepared(record))


def decide_by_network(
    record: Record, keys: BibKeys, profile: BibProfile, here: Matched, there: Matched
) -> Decision:
    """Return what becomes of a record that has no title in the institution (``here`` has the remarks), by what the
    network zone has."""
    remarks = (*here.remarks, *(f"in the network zone {remark}" for remark in there.remarks))
    if not there.titles:
        return decide(record, keys, profile, Matched(remarks=remarks))
    named = "; ".join(f"{title.mms_id} by {title.how()}" for title in there.titles)
    if len(there.titles) > 1:
        message = f"in the network zone: {named}"
        refused = Decision(BibOutcome.MULTI_MATCH, message=message, reasons=(NETWORK,))
        creates = profile.on_refused == "create" and profile.on_no_match == "create"
        return _added_all_the_same(record, refused) if creates else refused
    return Decision(
        BibOutcome.CREATED,
        "link",
        "; ".join((f"linked to the network zone's {named}", *remarks)),
        (NETWORK, WEAK_MATCH) if remarks else (NETWORK,),
        network=there.titles[0].mms_id,
    )


def _several(record: Record, profile: BibProfile, matched: Matched) -> Decision:
    named = "; ".join(f"{title.mms_id} by {title.how()}" for title in matched.titles)
    if any(map(_by_order_alone, matched.titles)):  # a third title would be none of theirs
        what_to_do = "" if all(map(_by_order_alone, matched.titles)) else f"; {_TWO_TITLES}"
        return Decision(BibOutcome.MULTI_MATCH, message=f"{named}{what_to_do}")
    refused = Decision(BibOutcome.MULTI_MATCH, message=named)
    if profile.on_refused == "report":
        return refused
    for title in matched.titles:  # one of them may be what an earlier drop of this record added
        if not differs(title.record, merge(title.record, record, profile.rule)):
            message = f"it is the title {title.mms_id} already; matched are {named}"
            return Decision(BibOutcome.UNCHANGED, message=message, title=title)
    return _added_all_the_same(record, refused)


def _by_order_alone(title: Title) -> bool:
    """Whether a title is that of the record's order, and has none of its numbers."""
    return all(number.method == "order" for number in title.numbers)


def _one(record: Record, profile: BibProfile, title: Title, is_owned: bool) -> Decision:
    how = f"{title.mms_id} by {title.how()}"
    if profile.on_match == "skip" and not (profile.search_first and is_owned):
        # also one of another zone: nothing is written to it, and its items are the institution's
        message = f"{how} is there, and the profile leaves it as it is"
        return Decision(BibOutcome.UNCHANGED, message=message, title=title)
    if title.bib.linked_to == "CZ":
        message = f"{how} is linked to the community zone, whose titles cannot be changed"
        return Decision(BibOutcome.LINKED_CZ, message=message, title=title)
    of_the_network = title.bib.linked_to == "NZ" and profile.zone == "iz"
    linked = f"{how} is linked to the network zone, where alone it can be changed"
    if of_the_network and profile.network is None:
        return Decision(BibOutcome.LINKED_NZ, message=linked, title=title)
    if profile.search_first and is_owned:
        return Decision(BibOutcome.ALREADY_OWNED, message=f"{how} has inventory", title=title)
    if of_the_network:  # the profile wants the zone's record, and what belongs to the institution goes to it
        message = f"{linked}: nothing of the record was written to it"
        return Decision(BibOutcome.UNCHANGED, message=message, reasons=(NETWORK,), title=title)
    merged = merge(title.record, record, profile.rule)
    missing = profile.flags.missing(title.bib.whole) if title.bib.whole is not None else []
    refused, remark = None, ""
    if differs(title.record, merged):
        refused, remark = _refused(record, profile, title)
    elif not missing:
        return Decision(BibOutcome.UNCHANGED, title=title)
    if refused is not None:
        return refused if profile.on_refused == "report" else _added_all_the_same(record, refused)
    outcome = BibOutcome.OVERLAID if profile.on_match == "overlay" else BibOutcome.MERGED
    lost = sorted(title.keys.all_oclc - keys_of(merged).all_oclc, key=int)
    against = (
        disagreements(record, title.record, keys_of(record), title.keys) if _by_order_alone(title) else []
    )
    remarks = {
        ORDER_MATCH: f"found by its order, {'; '.join(against)}" if against else "",
        NO_005: remark,
        OCLC_REPLACED: _lost(lost) if lost else "",
        FLAGS_SET: _flags(profile, missing),
    }
    message = "; ".join(filter(None, remarks.values()))
    return Decision(
        outcome, "change", message, tuple(code for code, text in remarks.items() if text), merged, title
    )


def _lost(numbers: Sequence[str]) -> str:
    named = ", ".join(f"(OCoLC){number}" for number in numbers)
    return f"the title had {named}, which the record does not name as a former number of its own: replaced"


def _flags(profile: BibProfile, missing: Sequence[str]) -> str:
    wanted = profile.flags.elements
    return f"with its flags {', '.join(f'{name} {wanted[name]}' for name in missing)}" if missing else ""


def _refused(record: Record, profile: BibProfile, title: Title) -> tuple[Decision | None, str]:
    """Why a record is not added to the title that it matches, and a remark where that could not be compared."""
    if profile.brief_level is not None:
        ours = profile.brief_level.level_of(record)
        theirs = profile.brief_level.level_in_alma(title.bib.brief_level, title.record)
        if ours.value < theirs.value:
            message = (
                f"{ours.value:02d} < {theirs.value:02d}: the record is {ours}, {title.mms_id} is {theirs}"
            )
            return Decision(BibOutcome.NOT_ADDED_BRIEF, message=message, title=title), ""
    if not profile.check_005:
        return None, ""
    older, remark = is_older(record, title.record)
    if older:
        times = [next(iter(each.get_fields("005"))).data for each in (record, title.record)]
        message = f"the record is of {times[0]}, {title.mms_id} of {times[1]} (005)"
        return Decision(BibOutcome.NOT_ADDED_OLD, message=message, title=title), ""
    return None, remark


def _added_all_the_same(record: Record, refused: Decision) -> Decision:
    message = f"added as a title of its own, to be merged by hand: {refused.outcome.value}, {refused.message}"
    return Decision(BibOutcome.CREATED, "create", message, (refused.outcome.value.upper(),), prepared(record))
