"""The holdings that loads made or sent a moment ago, which Alma's own lists need not name yet."""

import logging
from collections.abc import Callable

from alma_etl.alma.client import AlmaClient
from alma_etl.alma.holdings import Holding, HoldingSummary
from alma_etl.items.callnumbers import call_number_in
from alma_etl.items.groups import Candidate, Group
from alma_etl.marc.xml import record_from_xml
from alma_etl.remote.answers import Absent, Answer, Found, Unknown, first_of
from alma_etl.remote.errors import RemoteMalformed
from alma_etl.remote.safe_write import SETTLE
from alma_etl.store.loaded_items import HoldingPlace, LoadedItems

log = logging.getLogger(__name__)


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
