"""The holding that the rows of one title and place go to: found, or made where there is none, and made once.

Rows that share a title, library and location are a `Group`. `choose` picks among the holdings that are known; `Maker`
asks for the title's list of holdings and makes one, to be called while the title is locked. What was made or sent a
moment ago is remembered in the state store, since Alma's own lists need not name it yet.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Literal, Protocol, TypedDict

from alma_etl.alma import writes
from alma_etl.alma.bibs import Bib
from alma_etl.alma.client import AlmaClient
from alma_etl.alma.holdings import Holding, HoldingSummary
from alma_etl.counted import counted
from alma_etl.inventory.call_numbers import CallNumber, call_number_in, call_number_of, holding_record
from alma_etl.inventory.loaded_items import HoldingPlace, KnownHolding, LoadedItems
from alma_etl.jobs.outcomes import End, Row
from alma_etl.marc.xml import record_from_xml
from alma_etl.remote.answers import Absent, Answer, Found, PartlyFound, Unknown, first_of
from alma_etl.remote.errors import RemoteMalformed, RemoteStop
from alma_etl.remote.safe_write import SETTLE, WriteOutcome
from alma_etl.store.locks import LockLost

log = logging.getLogger(__name__)


class HoldingFault(StrEnum):
    """Why the rows of a group cannot be loaded; jobs have outcomes of the same words."""

    BIB_NOT_FOUND = "bib_not_found"
    NO_HOLDING = "no_holding"
    SEVERAL_HOLDINGS = "several_holdings"
    UNCONFIRMED = "unconfirmed"
    FAILED = "failed"


class HoldingRules(Protocol):
    """How holdings are chosen and made; profiles of jobs have these settings."""

    @property
    def create_holding(self) -> bool: ...
    @property
    def on_several_holdings(self) -> Literal["first", "fail"]: ...
    @property
    def call_number_from(self) -> Sequence[str]: ...
    @property
    def dry_run(self) -> bool: ...


class GroupResult(TypedDict):
    """Which holding the rows of a group go to.

    ``outcome`` is "" when they can be loaded, else the end of them all. ``made`` says whether this run created the
    holding; in a dry run a holding that would be created has no id. ``message`` goes to the rows' report.
    """

    mms_id: str
    library: str
    location: str
    outcome: str
    holding_id: str
    call_number: str
    made: bool
    message: str


@dataclass
class Group:
    """The rows of one title that go to one place."""

    mms_id: str
    library: str
    location: str
    rows: list[Row] = field(default_factory=list)

    @property
    def place(self) -> str:
        """Library and location as reports write them."""
        return f"{self.library}/{self.location}"

    def ends(self, outcome: HoldingFault, message: str) -> GroupResult:
        """The result of a group whose rows cannot be loaded."""
        return self._result(outcome.value, message=message)

    def goes_to(
        self, holding_id: str, call_number: str, message: str = "", *, made: bool = False
    ) -> GroupResult:
        """The result of a group that has its holding."""
        return self._result("", holding_id, call_number, message, made)

    def _result(
        self, outcome: str, holding_id: str = "", call_number: str = "", message: str = "", made: bool = False
    ) -> GroupResult:
        return GroupResult(
            mms_id=self.mms_id,
            library=self.library,
            location=self.location,
            outcome=outcome,
            holding_id=holding_id,
            call_number=call_number,
            made=made,
            message=message,
        )


@dataclass(frozen=True)
class Candidate:
    """A holding of a title, as availability or the title's list names it."""

    holding_id: str
    library: str
    location: str
    call_number: str
    suppressed: bool = False


def group_key(row: Row | Group) -> tuple[str, str, str]:
    """By what rows, groups and their results belong together."""
    if isinstance(row, Group):
        return row.mms_id, row.library, row.location
    return row["mms_id"], row["library"], row["location"]


def groups_of(rows: Iterable[Row]) -> list[Group]:
    """The groups of these rows, in the order in which they first come."""
    groups: dict[tuple[str, str, str], Group] = {}
    for row in rows:
        groups.setdefault(group_key(row), Group(*group_key(row))).rows.append(row)
    return list(groups.values())


def choose(
    group: Group, candidates: Sequence[Candidate], rules: HoldingRules, *, doubt: str = ""
) -> GroupResult | None:
    """The holding among a title's holdings that is at the group's place; None when none is.

    A suppressed holding counts only where there is no other. Of several the one with the lowest id is taken,
    unless the rules leave the choice to people. ``doubt`` says why the title may have more holdings than
    these: then nothing is concluded from what is not among them.
    """
    at_place = {
        each.holding_id: each
        for each in candidates
        if (each.library, each.location) == (group.library, group.location)
    }
    visible = [each for each in at_place.values() if not each.suppressed] or list(at_place.values())
    if not visible:
        return (
            group.ends(HoldingFault.FAILED, f"no holding at {group.place} is known, but {doubt}")
            if doubt
            else None
        )
    visible.sort(key=lambda each: (len(each.holding_id), each.holding_id))
    first = visible[0]
    ids = ", ".join(each.holding_id for each in visible[:10])
    if len(visible) > 1 and rules.on_several_holdings == "fail":
        return group.ends(
            HoldingFault.SEVERAL_HOLDINGS,
            f"the title has {counted(len(visible), 'holding')} at {group.place} ({ids}): merge them in Alma, "
            "or give the row another place",
        )
    if doubt and (rules.on_several_holdings == "fail" or first.suppressed):
        return group.ends(
            HoldingFault.FAILED,
            f"whether {first.holding_id} is the only holding at {group.place} is not known: {doubt}",
        )
    remarks = []
    if doubt:
        remarks.append(f"other holdings at {group.place} may exist: {doubt}")
    if len(visible) > 1:
        remarks.append(f"the first of {counted(len(visible), 'holding')} at {group.place} was taken ({ids})")
    if first.suppressed:
        remarks.append("the holding is suppressed from publishing")
    return group.goes_to(first.holding_id, first.call_number, "; ".join(remarks))


def is_settled(result: GroupResult) -> bool:
    """Whether a retry need not ask again."""
    return result["outcome"] not in (HoldingFault.FAILED, HoldingFault.UNCONFIRMED)


def available(bib: Bib) -> list[Candidate]:
    """The holdings that the availability of a title names, none where it cannot stand for their list: a row of items in
    a temporary location hides their holding, which may be at any place."""
    return [
        Candidate(row.holding_id, row.library, row.location, row.call_number)
        for row in bib.availability
        if row.holding_id and bib.names_all_holdings
    ]


# --- what was made or sent a moment ago


def place_of(group: Group) -> HoldingPlace:
    """The place that a group's holding is remembered by."""
    return HoldingPlace(group.mms_id, group.library, group.location)


def look_in_memory(client: AlmaClient, memory: LoadedItems, group: Group, *, wait: bool) -> Answer[Candidate]:
    """The holding that a load made for the group's place, when the title's list names none there: one call.

    The memory is not trusted: a holding that has gone since, or was moved, is forgotten. One that was sent and whose
    answer nobody noted (its worker was killed, or lost the lock) is waited for as long as Alma's lists may lag, if
    `wait`; to be called while the title is locked.
    """
    place = place_of(group)
    known = memory.find_holding(place)
    if known is None:
        return Absent()
    if not known.holding_id:
        return _wait_for_it(client, group) if wait else Absent()
    match client.holdings.read(group.mms_id, known.holding_id):
        case Found(holding):
            is_at = _place_in(holding)
            if is_at is None:
                words = f"the record of the holding {holding.holding_id} cannot be read"
                return Unknown(RemoteMalformed("GET /bibs/{mms_id}/holdings/{holding_id}", None, "", words))
            if is_at == (group.library, group.location):
                shown = call_number_shown(holding)
                return Found(Candidate(holding.holding_id, *is_at, shown, suppressed=holding.suppressed))
        case Unknown() as unknown:
            return unknown
    log.info(
        "The holding %s of %s that a load made at %s is gone", known.holding_id, group.mms_id, group.place
    )
    memory.forget_holding(place, known)
    return Absent()


def _wait_for_it(client: AlmaClient, group: Group) -> Answer[Candidate]:
    log.info(
        "A holding of %s at %s was sent and nobody noted the answer: the title's list is watched for %.0f s",
        group.mms_id, group.place, sum(SETTLE),
    )  # fmt: skip
    for seconds in SETTLE[1:]:  # the list was read just now
        client.pause(seconds)
        match first_of(client.holdings.list(group.mms_id), _at(group)):
            case Found(row):
                return Found(
                    Candidate(row.holding_id, row.library, row.location, row.call_number, row.suppressed)
                )
            case Unknown() as unknown:
                return unknown
    return Absent()


def _at(group: Group) -> Callable[[HoldingSummary], bool]:
    return lambda row: (row.library, row.location) == (group.library, group.location)


def call_number_shown(holding: Holding) -> str:
    """The call number in a holding's record, "" where there is none to be read."""
    if holding.record is None:
        return ""
    try:
        return call_number_in(record_from_xml(holding.record))
    except ValueError:
        return ""


def _place_in(holding: Holding) -> tuple[str, str] | None:
    """Library and location in a holding's record, as far as it names them; None where there is none to be read."""
    if holding.record is None:
        return None
    try:
        fields = record_from_xml(holding.record).get_fields("852")
    except ValueError:
        return None
    return (fields[0].get("b") or "", fields[0].get("c") or "") if fields else ("", "")


# --- found exactly, or made


@dataclass
class TitleResult:
    """What became of a title's groups, and of rows that proved to be in Alma already."""

    groups: list[GroupResult] = field(default_factory=list)
    rows: list[End] = field(default_factory=list)


@dataclass(frozen=True)
class Maker:
    """Makes holdings by one set of rules.

    `known_end` returns the end of a row that is in Alma already. `was_begun` says for which groups an earlier attempt
    may have sent a holding, `note_begun` is called before one is sent, `not_begun` once it is known that it was not
    made; `memory` is shared with all loads, among which `sender` names this attempt. `call_number` gives that of a new
    holding where the rules name no field of the bib to take it from.
    """

    client: AlmaClient
    rules: HoldingRules
    day: date
    memory: LoadedItems
    sender: str
    known_end: Callable[[Row], Answer[End]]
    was_begun: Callable[[Group], bool]
    note_begun: Callable[[Group], None]
    not_begun: Callable[[Group], None]
    call_number: Callable[[], CallNumber | None] | None = None

    def settle(
        self, bib: Bib, groups: Sequence[Group], check_lock: Callable[[], None] = lambda: None
    ) -> TitleResult:
        """Find or make the holdings of these groups of one title. To be called while the title is locked;
        `check_lock` raises LockLost when it is not any more.

        Raises RemoteStop; anything that concerns a group is that group's outcome.
        """
        done = TitleResult()
        match self.client.holdings.list(bib.mms_id):
            case Absent():
                message = f"Alma does not know the title {bib.mms_id}"
                done.groups = [group.ends(HoldingFault.BIB_NOT_FOUND, message) for group in groups]
            case PartlyFound() as short:
                known = _candidates(short.rows)
                listed = {each.holding_id for each in known}
                known += [
                    Candidate(row.holding_id, row.library, row.location, row.call_number)
                    for row in bib.availability
                    if row.holding_id and row.holding_id not in listed
                ]
                named = len({each.holding_id for each in known})
                doubt = (
                    ""
                    if named >= short.counted
                    else f"the title's list of holdings is not whole: {short.error}"
                )
                for group in groups:
                    self._settle_group(bib, group, known, done, check_lock, doubt)
            case Unknown(error):
                # Not to know is not the same as to know that there is none: nothing is made.
                message = f"the title's holdings could not be read: {error}"
                done.groups = [group.ends(HoldingFault.FAILED, message) for group in groups]
            case Found(summaries):
                known = _candidates(summaries)
                for group in groups:
                    self._settle_group(bib, group, known, done, check_lock)
        return done

    def _settle_group(
        self,
        bib: Bib,
        group: Group,
        known: list[Candidate],
        done: TitleResult,
        check_lock: Callable[[], None],
        doubt: str = "",
    ) -> None:
        if not any((each.library, each.location) == (group.library, group.location) for each in known):
            may_make = self.rules.create_holding and not self.rules.dry_run
            match look_in_memory(self.client, self.memory, group, wait=may_make):
                case Found(candidate):
                    known.append(candidate)
                case Unknown(error):
                    message = f"whether the holding is there that was made at {group.place} could not be read: {error}"
                    done.groups.append(group.ends(HoldingFault.FAILED, message))
                    return
        found = choose(group, known, self.rules, doubt=doubt)
        if found is not None:
            # Sent for in an attempt that ended before it could note the answer: made by this run all the same.
            made = bool(found["holding_id"]) and self.was_begun(group)
            done.groups.append(found | {"made": True} if made else found)
            return
        if not self.rules.create_holding:
            done.groups.append(
                group.ends(
                    HoldingFault.NO_HOLDING,
                    f"the title has no holding at {group.place}, and the profile does not create any",
                )
            )
            return
        if self.rules.dry_run:
            done.groups.append(group.goes_to("", "", f"a holding at {group.place} would be created"))
            return
        needed = self._is_needed(group, done)
        if needed is True:
            done.groups.append(self._make(bib, group, known, check_lock))
        elif needed is not None:
            done.groups.append(needed)

    def _is_needed(self, group: Group, done: TitleResult) -> Literal[True] | GroupResult | None:
        """Whether a row needs the holding: an empty one is not made for barcodes that are in Alma already."""
        for row in group.rows:
            match self.known_end(row):
                case Found(end):
                    done.rows.append(end)
                case Absent():
                    return True
                case Unknown(error):
                    return group.ends(
                        HoldingFault.FAILED,
                        f"no holding was made, since a barcode could not be looked up: {error}",
                    )
        return None

    def _make(
        self, bib: Bib, group: Group, known: list[Candidate], check_lock: Callable[[], None]
    ) -> GroupResult:
        number = _given_call_number(group) or self._call_number(bib)
        record = holding_record(group.library, group.location, number, self.day)
        place, sent = place_of(group), KnownHolding("", self.sender)
        posted: list[None] = []

        def before() -> None:
            check_lock()
            posted.append(None)

        self.note_begun(group)
        self.memory.keep_holding(place, sent)

        def not_made() -> None:
            self.not_begun(group)
            self.memory.forget_holding(place, sent)

        try:
            written = writes.create_holding(
                self.client, group.mms_id, record, known=[each.holding_id for each in known], before=before
            )
        except RemoteStop as stop:
            if not stop.effect_unknown:
                not_made()
            raise
        except LockLost as lost:
            if posted:  # an answer was lost before the lock was
                return group.ends(HoldingFault.UNCONFIRMED, _unconfirmed(group, lost))
            not_made()
            message = f"no holding was made at {group.place}: {lost}; clear this chunk's tasks"
            return group.ends(HoldingFault.FAILED, message)
        if written.done and written.value is not None:
            made = written.value
            # While the title is locked: the next to lock it may read a list that does not name it yet.
            self.memory.keep_holding(place, KnownHolding(made.holding_id, self.sender))
            shown = call_number_shown(made) or str(number or "")
            known.append(Candidate(made.holding_id, group.library, group.location, shown))
            log.info("Holding %s of %s made at %s", made.holding_id, group.mms_id, group.place)
            return group.goes_to(made.holding_id, shown, made=True)
        if written.outcome is WriteOutcome.UNCONFIRMED:
            return group.ends(HoldingFault.UNCONFIRMED, _unconfirmed(group, written.error))
        not_made()
        return group.ends(HoldingFault.FAILED, f"no holding could be made at {group.place}: {written.error}")

    def _call_number(self, bib: Bib) -> CallNumber | None:
        if not self.rules.call_number_from:
            return self.call_number() if self.call_number is not None else None
        if bib.record is None:
            return None
        try:
            return call_number_of(record_from_xml(bib.record), self.rules.call_number_from)
        except ValueError as error:
            log.warning("No call number for %s: its record cannot be read: %s", bib.mms_id, error)
            return None


def _given_call_number(group: Group) -> CallNumber | None:
    """The call number that the first row which has one gives its holding, in the parts of `CallNumber`."""
    return next((CallNumber(*row["call_number"]) for row in group.rows if row.get("call_number")), None)


def _candidates(rows: Sequence[HoldingSummary]) -> list[Candidate]:
    return [
        Candidate(each.holding_id, each.library, each.location, each.call_number, each.suppressed)
        for each in rows
    ]


def _unconfirmed(group: Group, why: Exception | None) -> str:
    return (
        f"a holding at {group.place} was sent and no answer came: look at the title in Alma, then drop the "
        f"row again; no item was sent ({why})"
    )
