"""What an observation does to the memory of its side. Changes no status; `rules` does that afterwards."""

from alma_etl.dcb.machine import alma_words, flags
from alma_etl.dcb.machine.closure import classify
from alma_etl.dcb.machine.edges import BEFORE_SHIPPING
from alma_etl.dcb.machine.loans import outvotes, project_loan
from alma_etl.dcb.machine.memory import miss_hold, place_item, prove, recall, see_hold
from alma_etl.dcb.machine.observations import ItemRead, Observation, PatronRead, RequestRead
from alma_etl.dcb.machine.result import SeenAs
from alma_etl.dcb.machine.run import Run
from alma_etl.dcb.machine.state import Leg
from alma_etl.dcb.machine.transactions import project_txn
from alma_etl.dcb.machine.vocabulary import ActionType, Closure, Hold, Item, Loan, Proof, Role


def project(run: Run, seen: Observation) -> SeenAs:
    """Take an observation into the memory, unless it comes too late or tells nothing."""
    leg = run.leg(seen.role)
    outdated = seen.generation is not None and seen.generation < leg.generation
    if outdated or (seen.at and leg.at and not seen.at.is_after(leg.at)):
        run.flag(flags.STALE_OBSERVATION_DROPPED)
        return SeenAs.STALE
    leg.failed = _failed_parts(seen)
    if not seen.tells_something:
        return SeenAs.ERROR
    leg.at = seen.at or leg.at
    if seen.request is not None:
        _request(run, seen, leg, seen.request)
    if seen.item is not None:
        _item(run, seen, leg, seen.item)
    if seen.loan is not None:
        project_loan(run, seen, leg, seen.loan)
    if seen.txn is not None:
        project_txn(run, seen, leg, seen.txn)
    if seen.patron is not None:
        _patron(run, seen.role, seen.patron)
    if seen.item is not None or seen.loan is not None:
        _trouble(run, seen.role, leg)
    if leg.gone or leg.certain:
        leg.closure, leg.evidence, leg.confidence = classify(leg, seen.at)
    return SeenAs.APPLIED


def _failed_parts(seen: Observation) -> frozenset[str]:
    parts = {"request": seen.request, "item": seen.item, "loan": seen.loan}
    return frozenset(name for name, part in parts.items() if part is not None and part.found is None)


def _request(run: Run, seen: Observation, leg: Leg, read: RequestRead) -> None:
    if read.found is None:
        return
    leg.raw_request = read.request_status or leg.raw_request
    closed = read.request_status is not None and alma_words.code(read.request_status) == alma_words.HISTORY
    if not read.found or closed:
        miss_hold(run, leg, seen.at, read.closure, certain=read.closure is Closure.CANCELED)
        return
    word = alma_words.hold_of(read.request_status) if read.request_status else None
    run.stand(flags.UNKNOWN_REQUEST_STATUS, read.request_status is not None and word is None)
    see_hold(leg, word)
    if seen.role is not Role.SUPPLIER and word is Hold.READY and leg.proof is Proof.NOTHING:
        prove(run, seen.role, leg, Proof.SHELF)
    leg.task_name = read.task_name
    leg.expiry = read.expiry_date or leg.expiry
    leg.requested = read.request_date or leg.requested
    if seen.role is Role.SUPPLIER and read.item_id and leg.item_id and read.item_id != leg.item_id:
        # Before the book is on its way Alma may choose another copy; afterwards somebody must look.
        if run.status in BEFORE_SHIPPING:
            run.flag(flags.SUPPLIER_ITEM_CHANGED)
        else:
            run.stand(flags.SUPPLIER_ITEM_CHANGED, True)
    leg.item_id = read.item_id or leg.item_id


def _item(run: Run, seen: Observation, leg: Leg, read: ItemRead) -> None:
    if read.found is None:
        return
    word: Item | None = Item.GONE
    if read.found:
        word = alma_words.item_of(read.base_status, read.process_type)
        run.stand(flags.UNKNOWN_PROCESS_TYPE, word is None)
        leg.raw_base, leg.raw_process = read.base_status, read.process_type
        _barcode(run, seen.role, leg, read.barcode)
        _others(run, seen.role, leg, read.other_requests)
    if word is None:
        leg.failed |= {"item"}
        return
    if outvotes(seen.loan, word):
        return
    place_item(run, leg, word)
    leg.item_at = seen.at or leg.item_at
    leg.item_since_gone = leg.gone > 0 or leg.certain
    run.fresh.add(seen.role)
    if seen.role is not Role.SUPPLIER:
        _patron_side(run, seen.role, leg, word)


def _patron_side(run: Run, role: Role, leg: Leg, word: Item) -> None:
    """What the item by itself proves at the borrower or the pickup library; the loan is weighed after it."""
    if word is Item.LOANED:
        leg.lent = True
        prove(run, role, leg, Proof.LOANED)
    elif word is Item.HOLDSHELF and leg.proof is Proof.NOTHING:
        prove(run, role, leg, Proof.SHELF)
    elif word in (Item.TRANSIT, Item.AVAILABLE) and leg.proof is Proof.LOANED:
        prove(run, role, leg, Proof.RETURNED)


def _barcode(run: Run, role: Role, leg: Leg, barcode: str | None) -> None:
    before, leg.barcode = leg.barcode, barcode or leg.barcode
    if before is None or barcode is None or before == barcode:
        return
    if role is Role.SUPPLIER:
        run.flag(flags.barcode_changed(role))
        run.do(ActionType.SYNC_BARCODE, role, barcode)
    elif barcode != run.state.leg(Role.SUPPLIER).barcode:
        # The virtual item's barcode follows the lender's; any other change is somebody's doing.
        run.flag(flags.barcode_changed(role))


def _others(run: Run, role: Role, leg: Leg, count: int | None) -> None:
    if count is None:
        return
    before, leg.other_requests = leg.other_requests, count
    if role is Role.SUPPLIER and count and not before:
        recall(run)


def _trouble(run: Run, role: Role, leg: Leg) -> None:
    troubles = {leg.item}
    if leg.loan is Loan.ACTIVE and leg.loan_process in flags.TROUBLE_LOANS:
        troubles.add(flags.TROUBLE_LOANS[leg.loan_process])
    for item in flags.TROUBLE_ITEMS:
        run.stand(flags.item_trouble(role, item), item in troubles)


def _patron(run: Run, role: Role, read: PatronRead) -> None:
    if read.found is not None:
        run.stand(flags.PATRON_GONE, not read.found)
    if role is Role.SUPPLIER and read.blocked is not None:
        run.stand(flags.SUPPLIER_PATRON_BLOCKED, read.blocked)
