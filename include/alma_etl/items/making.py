"""The holdings of one title that the cheap look did not show: asked for exactly, and made where there are none."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from alma_etl.alma import writes
from alma_etl.alma.bibs import Bib
from alma_etl.alma.client import AlmaClient
from alma_etl.alma.holdings import HoldingSummary
from alma_etl.items.callnumbers import CallNumber, call_number_of, holding_record
from alma_etl.items.existing import look_by_barcode
from alma_etl.items.groups import Candidate, Group, GroupResult, choose
from alma_etl.items.outcomes import ItemOutcome
from alma_etl.items.profiles import ItemProfile
from alma_etl.items.remembered import call_number_shown, look_in_memory, place_of
from alma_etl.jobs.outcomes import End
from alma_etl.marc.xml import record_from_xml
from alma_etl.remote.answers import Absent, Found, PartlyFound, Unknown
from alma_etl.remote.errors import RemoteStop
from alma_etl.remote.safe_write import Outcome as WriteOutcome
from alma_etl.store.loaded_items import KnownHolding, LoadedItems
from alma_etl.store.locks import LockLost

log = logging.getLogger(__name__)


@dataclass
class TitleResult:
    """What became of a title's groups, and of rows that proved to be in Alma already."""

    groups: list[GroupResult] = field(default_factory=list)
    rows: list[End] = field(default_factory=list)


@dataclass(frozen=True)
class Maker:
    """Makes holdings by one profile. `was_begun` says for which groups an earlier attempt may have sent a holding,
    `note_begun` is called before one is sent, `not_begun` once it is known that it was not made; `memory` is shared
    with all loads, among which `sender` names this attempt."""

    client: AlmaClient
    profile: ItemProfile
    day: date
    memory: LoadedItems
    sender: str
    was_begun: Callable[[Group], bool]
    note_begun: Callable[[Group], None]
    not_begun: Callable[[Group], None]

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
                done.groups = [group.ends(ItemOutcome.BIB_NOT_FOUND, message) for group in groups]
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
                done.groups = [group.ends(ItemOutcome.FAILED, message) for group in groups]
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
            may_make = self.profile.create_holding and not self.profile.dry_run
            match look_in_memory(self.client, self.memory, group, wait=may_make):
                case Found(candidate):
                    known.append(candidate)
                case Unknown(error):
                    message = f"whether the holding is there that was made at {group.place} could not be read: {error}"
                    done.groups.append(group.ends(ItemOutcome.FAILED, message))
                    return
        found = choose(group, known, self.profile, doubt=doubt)
        if found is not None:
            # Sent for in an attempt that ended before it could note the answer: made by this run all the same.
            made = bool(found["holding_id"]) and self.was_begun(group)
            done.groups.append(found | {"made": True} if made else found)
            return
        if not self.profile.create_holding:
            done.groups.append(
                group.ends(
                    ItemOutcome.NO_HOLDING,
                    f"the title has no holding at {group.place}, and the profile does not create any",
                )
            )
            return
        if self.profile.dry_run:
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
            match look_by_barcode(self.client, row):
                case Found(end):
                    done.rows.append(end)
                case Absent():
                    return True
                case Unknown(error):
                    return group.ends(
                        ItemOutcome.FAILED,
                        f"no holding was made, since a barcode could not be looked up: {error}",
                    )
        return None

    def _make(
        self, bib: Bib, group: Group, known: list[Candidate], check_lock: Callable[[], None]
    ) -> GroupResult:
        number = self._call_number(bib)
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
                return group.ends(ItemOutcome.UNCONFIRMED, _unconfirmed(group, lost))
            not_made()
            message = f"no holding was made at {group.place}: {lost}; clear this chunk's tasks"
            return group.ends(ItemOutcome.FAILED, message)
        if written.done and written.value is not None:
            made = written.value
            # While the title is locked: the next to lock it may read a list that does not name it yet.
            self.memory.keep_holding(place, KnownHolding(made.holding_id, self.sender))
            shown = call_number_shown(made) or str(number or "")
            known.append(Candidate(made.holding_id, group.library, group.location, shown))
            log.info("Holding %s of %s made at %s", made.holding_id, group.mms_id, group.place)
            return group.goes_to(made.holding_id, shown, made=True)
        if written.outcome is WriteOutcome.UNCONFIRMED:
            return group.ends(ItemOutcome.UNCONFIRMED, _unconfirmed(group, written.error))
        not_made()
        return group.ends(ItemOutcome.FAILED, f"no holding could be made at {group.place}: {written.error}")

    def _call_number(self, bib: Bib) -> CallNumber | None:
        if not self.profile.call_number_from or bib.record is None:
            return None
        try:
            return call_number_of(record_from_xml(bib.record), self.profile.call_number_from)
        except ValueError as error:
            log.warning("No call number for %s: its record cannot be read: %s", bib.mms_id, error)
            return None


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
