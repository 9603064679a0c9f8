"""The deeds of a request's course on the sides that are Almas."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import ValidationError

from alma_etl.alma.items import Item
from alma_etl.dcb.conf import PlaceRequest
from alma_etl.dcb.machine.model import Ack
from alma_etl.dcb.machine.vocabulary import AckName, ActionType, Role
from alma_etl.dcb.sides import folio, loans, scans, shapes, virtual_item
from alma_etl.dcb.sides import legs as sides
from alma_etl.dcb.sides.hand import NOTHING_TO_TELL, Hand, Result
from alma_etl.dcb.sides.holds import cancel_hold
from alma_etl.dcb.sides.removal import remove
from alma_etl.dcb.sides.virtual_patron import ensure_virtual_patron
from alma_etl.dcb.sides.words import Impossible
from alma_etl.dcb.store.rows import LegRecord

A = ActionType
_AFTER_A_LOST_ANSWER = (2.0, 8.0)


def place_side(hand: Hand, role: Role) -> Result:
    """Virtual item and hold (or FOLIO transaction) of the patron's or the pickup library's side, by the conf that
    the request was placed with. What was begun is taken away again when it is refused."""
    try:
        place = PlaceRequest.model_validate(hand.tracked.conf)
    except ValidationError:
        raise Impossible(
            "What was asked for is not known: the request was not placed by dcb_place_request"
        ) from None
    code = place.borrower.system if role is Role.BORROWER else place.pickup.system
    name = AckName.BORROWER_PLACED if role is Role.BORROWER else AckName.PICKUP_PLACED
    system = hand.systems.settings(code)
    barcode = hand.leg(Role.SUPPLIER).barcode or place.item.barcode
    if system.kind == "mod_dcb":
        lender = hand.settings(hand.leg(Role.SUPPLIER))
        folio.begin(
            hand.systems.mod_dcb(code), place.pr_id, folio.transaction_body(place, role, system, lender)
        )
        return Result((Ack(name, hand.moment(), role),), (sides.folio_leg(place, role, code),))
    alma = hand.systems.alma(code)
    try:
        user_id = sides.user_at(place, role)
        if role is Role.PICKUP:
            user_id = ensure_virtual_patron(alma, system, user_id, hand.now()).user_id
        wish = sides.wish_of(place, barcode)
        item = virtual_item.create(alma, system, wish, hand.now(), patience=_AFTER_A_LOST_ANSWER)
        hold = sides.hold_on_virtual_item(alma, system, place, role, user_id, item)
    except Impossible:
        remove(alma, place.pr_id)
        raise
    leg = sides.virtual_leg(place, role, code, system, item, hold)
    return Result((Ack(name, hand.moment(), role, barcode=item.barcode),), (leg,))


def scan(hand: Hand, leg: LegRecord) -> Result:
    """A scan-in, by what it is for: TRANSIT, RECEIVED or COMPLETED."""
    ways: dict[str, Callable[..., Item]] = {
        "TRANSIT": scans.send_out,
        "RECEIVED": scans.receive,
        "COMPLETED": scans.put_in_place,
    }
    way = ways[hand.args[0]]
    return _scanned(hand, leg, way(hand.alma(leg), hand.settings(leg), leg))


def check_in(hand: Hand, leg: LegRecord) -> Result:
    """The virtual item is returned, where nobody did it at the desk."""
    return _scanned(hand, leg, scans.check_in(hand.alma(leg), hand.settings(leg), leg))


def _scanned(hand: Hand, leg: LegRecord, item: Item) -> Result:
    return Result((Ack(AckName.SCANNED_IN, hand.moment(), leg.role, item=shapes.of_item(item, leg)),))


def lend(hand: Hand, leg: LegRecord) -> Result:
    """The side's item is lent to the side's user."""
    user_id, pid = _user_and_item(leg)
    loan = loans.lend(hand.alma(leg), hand.settings(leg), user_id, pid, leg.request_id)
    name = AckName.SUPPLIER_LOAN_CREATED if leg.role is Role.SUPPLIER else AckName.BORROWER_LOAN_CREATED
    return Result((Ack(name, hand.moment(), leg.role, loan=shapes.of_loan(loan)),))


def renew(hand: Hand, leg: LegRecord) -> Result:
    """The lender's loan is renewed, as the patron renewed his."""
    user_id, pid = _user_and_item(leg)
    known_due = hand.tracked.state.leg(leg.role).due
    loan = loans.renew(hand.alma(leg), user_id, pid, hand.row.created_at, known_due)
    return Result((Ack(AckName.LOAN_RENEWED, hand.moment(), leg.role, loan=shapes.of_loan(loan)),))


def cancel(hand: Hand, leg: LegRecord) -> Result:
    """The side's hold is cancelled and seen to be gone."""
    if leg.user_id and leg.request_id:
        cancel_hold(hand.alma(leg), leg.user_id, leg.request_id, hand.settings(leg).cancel_reason)
    return NOTHING_TO_TELL


def prevent_renewal(hand: Hand, leg: LegRecord) -> Result:
    """The patron can no longer renew: the lender wants the book back."""
    alma, system = hand.alma(leg), hand.settings(leg)
    virtual_item.prevent_renewal(alma, system, scans.read_item(alma, leg))
    return NOTHING_TO_TELL


def sync_barcode(hand: Hand, leg: LegRecord) -> Result:
    """The virtual item takes over the barcode that the book has now."""
    alma, barcode = hand.alma(leg), hand.args[-1]
    item = virtual_item.set_barcode(alma, scans.read_item(alma, leg), barcode)
    return Result((Ack(AckName.BARCODE_SYNCED, hand.moment(), leg.role, barcode=item.barcode),))


def _user_and_item(leg: LegRecord) -> tuple[str, str]:
    if leg.user_id is None or leg.item_pid is None:
        raise Impossible(f"User and item of the {leg.role.lower()} side are not known")
    return leg.user_id, leg.item_pid
