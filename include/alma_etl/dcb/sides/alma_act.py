"""What is done at a side that is an Alma: holds, loans and scans.

Each looks whether it is done already, does it, and verifies; done twice it is done once. It returns what
is now there, and raises `Impossible` when it will not come about however often it is tried, `Unsettled` when nobody
knows, or not now. What ends the run (`RemoteStop`) is raised as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time
from functools import partial

from alma_etl.alma import shapes, writes
from alma_etl.alma.client import AlmaClient
from alma_etl.alma.items import Item
from alma_etl.alma.loans import Loan
from alma_etl.alma.shapes import Json
from alma_etl.alma.user_requests import UserRequest
from alma_etl.alma.users import NO_USER
from alma_etl.dcb.machine.vocabulary import HISTORY
from alma_etl.dcb.settings import SystemSettings
from alma_etl.dcb.sides.alma_read import AlmaReader, find_item, of_loan
from alma_etl.dcb.sides.ports import Impossible, Unsettled, describe, gone, known, settled
from alma_etl.dcb.store.rows import LegRecord
from alma_etl.remote.answers import Unknown, first_of
from alma_etl.remote.errors import RemoteError, RemoteRefused, RemoteTransient
from alma_etl.remote.safe_write import WriteOutcome

# --- holds: placed with a mark by which they are known again, cancelled and seen to be gone


NO_RULE = "401129"
_SAME_REQUEST = "401136"

INDEX_LAG = (5.0, 10.0, 20.0)
"""Seconds to wait for Alma's index, which learns of a new item late and refuses a hold on it until then (401129)."""


@dataclass(frozen=True, slots=True)
class HoldWish:
    """A hold on one item. ``mark`` ends the comment; ``note`` is for the staff of the pickup library."""

    user_id: str
    mms_id: str
    holding_id: str
    item_pid: str
    pickup_library: str
    pickup_desk: str | None
    mark: str
    note: str | None = None

    @property
    def body(self) -> Json:
        """As Alma takes it."""
        place = {"pickup_location_type": "LIBRARY", "pickup_location_library": self.pickup_library}
        if self.pickup_desk:
            place |= {
                "pickup_location_type": "CIRCULATION_DESK",
                "pickup_location_circulation_desk": self.pickup_desk,
            }
        return {"request_type": "HOLD", **place, "comment": f"{self.note or ''} {self.mark}".strip()}


def find_hold(alma: AlmaClient, user_id: str, mark: str) -> UserRequest | None:
    """The active hold with this mark, None when there is none (or no such user). Raises Unsettled, RemoteStop."""
    answer = first_of(alma.requests.of_user(user_id), lambda each: mark in each.comment)
    return known(answer, "The user's requests")


def place_hold(alma: AlmaClient, wish: HoldWish, *, pauses: Sequence[float] = ()) -> UserRequest:
    """Place a hold, or adopt the one with the same mark. ``pauses``: see `INDEX_LAG`.

    Raises Impossible when Alma's rules do not allow it, when the user has another request for the item, or when the
    mark is on a hold for another title; Unsettled; RemoteStop.
    """
    found = find_hold(alma, wish.user_id, wish.mark)
    if found is not None:
        return _same_title(found, wish)
    left = iter(pauses)
    while True:
        written = writes.create_request(
            alma, wish.user_id, wish.body, marker=wish.mark, item_pid=wish.item_pid, look_first=False
        )
        code = written.error.code if written.error else ""
        if written.done or code not in (NO_RULE, _SAME_REQUEST):
            if written.outcome is WriteOutcome.REFUSED:
                _check_library(alma, wish.pickup_library, code)
            return settled(written, "The hold could not be placed")
        if code == _SAME_REQUEST:
            return _adopted(alma, wish)
        pause = next(left, None)
        if pause is None:
            raise Impossible(f"The hold could not be placed: {_why_not(alma, wish)}", NO_RULE)
        alma.pause(pause)


def _check_library(alma: AlmaClient, wanted: str, code: str) -> None:
    """What Alma answers to a library that it does not have stands in no document: look why it refused."""
    try:
        codes = sorted(library.code for library in alma.conf.libraries())
    except RemoteError:
        return
    if wanted not in codes:
        raise Impossible(
            f"The hold could not be placed: Alma has no library {wanted!r}; it has {', '.join(codes)}", code
        )


def is_open(alma: AlmaClient, user_id: str, request_id: str) -> bool:
    """Whether a hold is there and active. Raises Unsettled, RemoteStop."""
    answer = alma.requests.read(user_id, request_id)
    if isinstance(answer, Unknown):
        # For a hold that is over the page of this call lists no code but the general error. The user's whole list of
        # open holds is proof.
        listed = known(alma.requests.of_user(user_id, request_type="HOLD"), "The hold")
        return any(each.request_id == request_id for each in listed or ())
    found = known(answer, "The hold")
    return found is not None and found.status != HISTORY


def cancel_hold(alma: AlmaClient, user_id: str, request_id: str, reason: str) -> None:
    """Cancel a hold and see that it is gone; one that is gone already is done. Nobody is mailed.

    Raises Impossible when Alma refuses, with the known reasons where it has no such one; Unsettled when it is still
    there afterwards; RemoteStop.
    """
    what = f"The hold {request_id} could not be cancelled"
    try:
        gone(alma.requests.cancel(user_id, request_id, reason=reason, override=True), what)
    except Impossible:
        check_reason(alma, reason)
        raise
    if is_open(alma, user_id, request_id):
        raise Unsettled(f"The hold {request_id} is still there after it was cancelled")


def cancel_side(alma: AlmaClient, leg: LegRecord, reason: str) -> None:
    """Cancel the hold of a side, and see that it is gone; a side without one is done. Raises as `cancel_hold`.

    Of a user who is not there any more it is looked for at the item: it is gone with its user, or it is another's, into
    whom that one was merged.
    """
    if not leg.user_id or not leg.request_id:
        return
    try:
        cancel_hold(alma, leg.user_id, leg.request_id, reason)
    except Impossible as refusal:
        if refusal.code not in NO_USER:
            raise
        reader = AlmaReader(alma)
        if _is_seen(reader, leg):
            cancel_hold(alma, reader.ids_of(leg)["user_id"], leg.request_id, reason)


def has_hold(alma: AlmaClient, leg: LegRecord) -> bool:
    """Whether the hold of a side is there and active, whosever it is by now. Raises Unsettled, RemoteStop."""
    return _is_seen(AlmaReader(alma), leg)


def _is_seen(reader: AlmaReader, leg: LegRecord) -> bool:
    hold = reader.request(leg)
    if hold.found is None:
        raise Unsettled(f"The hold {leg.request_id} could not be read")
    return hold.found and hold.request_status != HISTORY


_REASONS = "RequestCancellationReasons"


def check_reason(alma: AlmaClient, reason: str) -> None:
    """A reason must be in Alma's code table and enabled. Raises Impossible with those that are; a table that cannot be
    read forbids nothing."""
    try:
        rows = alma.conf.code_table(_REASONS)
    except RemoteError:
        return
    codes = sorted(row.code for row in rows if row.enabled)
    if reason not in codes:
        raise Impossible(
            f"Alma's code table {_REASONS} has no reason {reason!r}; it has {', '.join(codes)}. Look at "
            "cancel_reason and cancel_reasons in config/dcb.yaml"
        )


def _same_title(found: UserRequest, wish: HoldWish) -> UserRequest:
    if found.mms_id and found.mms_id != wish.mms_id:
        raise Impossible(
            f"There is a hold {found.request_id} of this request on another title ({found.mms_id}): cancel it in Alma, "
            "or use another pr_id"
        )
    return found


def _adopted(alma: AlmaClient, wish: HoldWish) -> UserRequest:
    """The user's hold on this very item, if it has our mark after all: Alma's lists lag behind."""
    rows = known(alma.requests.of_item(wish.mms_id, wish.holding_id, wish.item_pid), "The item's requests")
    found = next((each for each in rows or () if wish.mark in each.comment), None)
    if found is None:
        raise Impossible(
            "The hold could not be placed: the same patron has another request for this item", _SAME_REQUEST
        )
    return found


def _why_not(alma: AlmaClient, wish: HoldWish) -> str:
    try:
        options = alma.requests.options_for_item(
            wish.mms_id, wish.holding_id, wish.item_pid, user_id=wish.user_id
        )
    except (RemoteRefused, RemoteTransient):
        options = None
    if options is None:
        return "no item can fulfil it by Alma's fulfilment rules"
    if "HOLD" in options:
        return (
            "Alma lets this user request the item, but not for this pickup place: look at the pickup library, and that "
            "sharing_library owns none of the lent items"
        )
    allowed = ", ".join(sorted(options)) or "nothing"
    return (
        f"by Alma's fulfilment rules this user may request of the item: {allowed}. Look at the user group, the item's "
        "policy and status, and the terms of use"
    )


# --- loans: lent once, renewed once


def find_loan(alma: AlmaClient, user_id: str, item_pid: str) -> Loan | None:
    """The active loan of an item to a user, None when there is none. Raises Unsettled, RemoteStop."""
    answer = first_of(alma.loans.of_user(user_id), lambda each: each.item_pid == item_pid)
    return known(answer, "The user's loans")


def user_and_item(leg: LegRecord) -> tuple[str, str]:
    """User and item (pid) of a side. Raises Impossible when they are not known."""
    if leg.user_id is None or leg.item_pid is None:
        raise Impossible(f"User and item of the {leg.role.lower()} side are not known")
    return leg.user_id, leg.item_pid


def lend(alma: AlmaClient, system: SystemSettings, leg: LegRecord, request_id: str | None = None) -> Loan:
    """Lend the side's item to its user, or adopt the loan that is there; ``request_id`` is the hold that it fulfils,
    which is left out once that is gone.

    It is lent where the item is: a desk of Alma serves its own library alone. Raises Impossible, with Alma's code when
    it refuses, or when no desk is named for that library; Unsettled; RemoteStop.
    """
    user_id, item_pid = user_and_item(leg)
    found = find_loan(alma, user_id, item_pid)
    if found is not None:
        return found
    library = _place_of(read_item(alma, leg))
    desk = system.desk_of(library)
    if desk is None:
        raise Impossible(
            f"The item {item_pid} is at the library {library} of {leg.system_code}, for which no desk is named: add it "
            "to desks in config/dcb.yaml"
        )
    create = partial(
        writes.create_loan,
        alma,
        user_id,
        item_pid=item_pid,
        library=library,
        circ_desk=desk,
        return_circ_desk=desk,
        look_first=False,
    )
    written = create(request_id=request_id)
    if written.outcome is WriteOutcome.REFUSED:
        found = find_loan(alma, user_id, item_pid)
        if found is not None:  # staff were quicker
            return found
        if request_id is not None and not is_open(alma, user_id, request_id):
            written = create()
    return settled(written, "The item could not be lent")


def _place_of(item: Item) -> str:
    temporary = shapes.text(item.raw["holding_data"].get("temp_library")) if item.in_temp_location else ""
    return temporary or item.library


def align_due_date(alma: AlmaClient, user_id: str, item_pid: str, wanted: Loan) -> Loan | None:
    """Give the active loan of an item the due date of ``wanted``, nobody being mailed; None when there is none.

    Alma may move it to the end of an opening time, so what is there then counts. Raises Impossible, Unsettled,
    RemoteStop.
    """
    before = find_loan(alma, user_id, item_pid)
    if before is None or of_loan(before).due_date == of_loan(wanted).due_date:
        return before
    what = "The due date of the patron's loan could not be changed"
    try:
        return alma.loans.change_due_date(user_id, before.loan_id, wanted.due_date)
    except RemoteRefused as refusal:
        raise Impossible(f"{what}: {describe(refusal)}", refusal.code) from refusal
    except RemoteTransient as error:
        raise Unsettled(f"{what}: {describe(error)}") from error


def renew(
    alma: AlmaClient, user_id: str, item_pid: str, since: datetime, known_due: datetime | None = None
) -> Loan:
    """Renew the active loan of an item, once: one that was renewed at or after ``since``, or that is due later than
    it was when last seen (``known_due``), is done.

    Raises Impossible when there is no loan or it cannot be renewed, Unsettled, RemoteStop.
    """
    before = find_loan(alma, user_id, item_pid)
    if before is None:
        raise Impossible("The loan could not be renewed: there is none any more")
    if _is_renewed(before, since, known_due):
        return before
    return settled(writes.renew_loan(alma, before), "The loan could not be renewed")


def _is_renewed(loan: Loan, since: datetime, known_due: datetime | None) -> bool:
    read = of_loan(loan)
    if known_due is not None and read.due_date is not None and read.due_date > known_due:
        return True
    renewed = read.last_renew_date
    if renewed is None:
        return False
    # Where Alma gives the day alone, one renewal a day is enough.
    day_alone = renewed.time() == time.min
    return renewed.date() >= since.date() if day_alone else renewed >= since


# --- scans at the system's own desk: send an item on its way, take it back, put it in place


_ON_ITS_WAY = frozenset({"TRANSIT", "HOLDSHELF", "LOAN"})


def read_item(alma: AlmaClient, leg: LegRecord) -> Item:
    """The side's item, with its real title and holding (see `alma_read.find_item`). Raises Impossible when it is gone,
    Unsettled, RemoteStop."""
    if leg.mms_id is None or leg.item_pid is None:
        raise Impossible(f"No item is known at {leg.system_code}")
    found = known(find_item(alma, leg, leg.mms_id, leg.item_pid), "The item")
    if found is None:
        raise Impossible(f"The item {leg.item_pid} is not in the Alma of {leg.system_code} any more")
    return found


def scan_in(alma: AlmaClient, system: SystemSettings, item: Item) -> Item:
    """Scan an item, read a moment ago, in at the library that owns it. Raises Impossible, Unsettled, RemoteStop.

    A library for which no desk is named has Alma's default one.
    """
    desk = system.desk_of(item.library) or "DEFAULT_CIRC_DESK"
    written = writes.scan_in(alma, item, library=item.library, circ_desk=desk)
    return settled(written, f"The item {item.pid} could not be scanned in")


def send_out(alma: AlmaClient, system: SystemSettings, leg: LegRecord) -> Item:
    """Put a virtual item in transit, as the book is.

    Left as it is when it is on its way already, and when it is to be picked up at the very library that owns it: a
    scan there would put it on the hold shelf, as if the book had come.
    """
    item = read_item(alma, leg)
    if item.process_type in _ON_ITS_WAY or item.library == leg.pickup_library:
        return item
    return scan_in(alma, system, item)


def receive(alma: AlmaClient, system: SystemSettings, leg: LegRecord) -> Item:
    """Scan in an item that has arrived where the patron fetches it; one that is lent is left alone, since a scan
    would return it."""
    item = read_item(alma, leg)
    return item if item.process_type == "LOAN" else scan_in(alma, system, item)


def check_in(alma: AlmaClient, system: SystemSettings, leg: LegRecord) -> Item:
    """Return an item that is lent; one that is not lent is returned already."""
    item = read_item(alma, leg)
    return scan_in(alma, system, item) if item.process_type == "LOAN" else item


def put_in_place(alma: AlmaClient, system: SystemSettings, leg: LegRecord) -> Item:
    """Bring an item back to its shelf, from wherever it is."""
    item = read_item(alma, leg)
    in_place = not item.process_type and item.base_status == "1"
    return item if in_place else scan_in(alma, system, item)
