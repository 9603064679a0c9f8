"""What observations do to the memory of a side, and the questions that the rules ask of it. No status changes here.

Absence is concluded from proof alone: a hold that vanished means nothing until the item was seen after it had
vanished, and nothing in a cycle in which a read of that side failed.
"""

from dataclasses import dataclass

from alma_etl.dcb.machine import flags
from alma_etl.dcb.machine.adopting import weigh, with_other_ids
from alma_etl.dcb.machine.model import (
    ItemRead,
    Leg,
    LoanRead,
    Moment,
    Observation,
    PatronRead,
    Policy,
    RequestRead,
    SeenAs,
    State,
    StepContext,
)
from alma_etl.dcb.machine.vocabulary import (
    BEFORE_SHIPPING,
    HISTORY,
    ActionType,
    Closure,
    Confidence,
    HoldState,
    ItemState,
    LoanProcess,
    LoanState,
    Proof,
    Role,
    Status,
    Txn,
    Workflow,
    alma_code,
    hold_of,
    item_of,
    loan_of,
    loan_process_of,
    txn_of,
)

_AFTER_LENDING = frozenset({Status.LOANED, Status.RETURN_TRANSIT, Status.AWAITING_RETURN})
_UNFIT = frozenset({ItemState.MISSING, ItemState.LOST, ItemState.GONE})
_NOT_IN_HAND = _UNFIT | {ItemState.CLAIMED_RETURNED}
_SAYS_NOT_LENT = frozenset(
    {ItemState.AVAILABLE, ItemState.REQUESTED, ItemState.TRANSIT, ItemState.HOLDSHELF, ItemState.NOT_IN_PLACE}
)
_AWAY = frozenset(ItemState) - {ItemState.AVAILABLE, ItemState.REQUESTED, ItemState.OTHER, ItemState.GONE}


def project(ctx: StepContext, seen: Observation) -> SeenAs:
    """Take an observation into the memory, unless it comes too late or holds no answer."""
    leg = ctx.leg(seen.role)
    outdated = seen.generation is not None and seen.generation < leg.generation
    if outdated or (seen.at and leg.at and not seen.at.is_after(leg.at)):
        ctx.flag(flags.STALE_OBSERVATION_DROPPED)
        return SeenAs.STALE
    if seen.generation is not None and seen.generation > leg.generation:
        leg = ctx.state.legs[seen.role] = with_other_ids(leg, seen.generation)
    leg.failed = _failed_parts(seen)
    if not seen.has_answer:
        return SeenAs.ERROR
    leg.at = seen.at or leg.at
    weigh(ctx, leg, seen)
    if seen.request is not None:
        _request(ctx, seen, leg, seen.request)
    if seen.item is not None:
        _item(ctx, seen, leg, seen.item)
    if seen.loan is not None:
        _loan(ctx, seen, leg, seen.loan)
    if seen.txn is not None:
        _txn(ctx, seen, leg, seen.txn)
    if seen.patron is not None:
        _patron(ctx, seen.role, seen.patron)
    if seen.item is not None or seen.loan is not None:
        _trouble(ctx, seen.role, leg)
    if leg.gone or leg.certain:
        leg.closure, leg.evidence, leg.confidence = classify(leg, seen.at)
    return SeenAs.APPLIED


def _failed_parts(seen: Observation) -> frozenset[str]:
    parts = {"request": seen.request, "item": seen.item, "loan": seen.loan}
    return frozenset(name for name, part in parts.items() if part is not None and part.found is None)


def _request(ctx: StepContext, seen: Observation, leg: Leg, read: RequestRead) -> None:
    if read.found is None:
        return
    leg.raw_request = read.request_status or leg.raw_request
    closed = alma_code(read.request_status) == HISTORY
    if not read.found or closed:
        _miss_hold(ctx, leg, seen.at, read.closure, certain=read.closure is Closure.CANCELED)
        return
    word = hold_of(read.request_status)
    ctx.stand(flags.UNKNOWN_REQUEST_STATUS, read.request_status is not None and word is None)
    _see_hold(leg, word)
    if seen.role is not Role.SUPPLIER and word is HoldState.READY and leg.proof is Proof.NOTHING:
        _prove(ctx, leg, Proof.SHELF)
    leg.task_name = read.task_name
    leg.expiry = read.expiry_date or leg.expiry
    leg.requested = read.request_date or leg.requested
    if seen.role is Role.SUPPLIER and read.item_id and leg.item_id and read.item_id != leg.item_id:
        # Before the book is on its way Alma may choose another copy; afterwards somebody must look.
        if ctx.status in BEFORE_SHIPPING:
            ctx.flag(flags.SUPPLIER_ITEM_CHANGED)
        else:
            ctx.stand(flags.SUPPLIER_ITEM_CHANGED, True)
    leg.item_id = read.item_id or leg.item_id


# --- the item


def _item(ctx: StepContext, seen: Observation, leg: Leg, read: ItemRead) -> None:
    if read.found is None:
        return
    word: ItemState | None = ItemState.GONE
    if read.found:
        word = item_of(read.base_status, read.process_type)
        ctx.stand(flags.UNKNOWN_PROCESS_TYPE, word is None)
        leg.raw_base, leg.raw_process = read.base_status, read.process_type
        _barcode(ctx, seen.role, leg, read.barcode)
        _others(ctx, seen.role, leg, read.other_requests)
    if word is None:
        leg.failed |= {"item"}
        return
    if _outvotes(seen.loan, word):
        return
    place_item(ctx, leg, word)
    leg.item_at = seen.at or leg.item_at
    leg.item_since_gone = leg.gone > 0 or leg.certain
    ctx.fresh.add(seen.role)
    if seen.role is not Role.SUPPLIER:
        _patron_side(ctx, leg, word)


def _patron_side(ctx: StepContext, leg: Leg, word: ItemState) -> None:
    """What the item by itself proves at the borrower or the pickup library; the loan is weighed after it."""
    if word is ItemState.LOANED:
        leg.lent = True
        _prove(ctx, leg, Proof.LOANED)
    elif word is ItemState.HOLDSHELF and leg.proof is Proof.NOTHING:
        _prove(ctx, leg, Proof.SHELF)
    elif word in (ItemState.TRANSIT, ItemState.AVAILABLE) and leg.proof is Proof.LOANED:
        _prove(ctx, leg, Proof.RETURNED)


def _outvotes(loan: LoanRead | None, item: ItemState) -> bool:
    """Whether the loan of the same cycle contradicts the item: two reads a second apart, and the loan wins."""
    if loan is None or not loan.found:
        return False
    word = loan_of(loan.loan_status)
    return (word is LoanState.ACTIVE and item in _SAYS_NOT_LENT) or (
        word is LoanState.COMPLETE and item is ItemState.LOANED
    )


def _barcode(ctx: StepContext, role: Role, leg: Leg, barcode: str | None) -> None:
    before, leg.barcode = leg.barcode, barcode or leg.barcode
    if before is None or barcode is None or before == barcode:
        return
    if role is Role.SUPPLIER:
        ctx.flag(flags.barcode_changed(role))
        ctx.do(ActionType.SYNC_BARCODE, role, barcode)
    elif barcode != ctx.state.leg(Role.SUPPLIER).barcode:
        # The virtual item's barcode follows the lender's; any other change is somebody's doing.
        ctx.flag(flags.barcode_changed(role))


def _others(ctx: StepContext, role: Role, leg: Leg, count: int | None) -> None:
    if count is None:
        return
    before, leg.other_requests = leg.other_requests, count
    if role is Role.SUPPLIER and count and not before:
        _recall(ctx)


def _trouble(ctx: StepContext, role: Role, leg: Leg) -> None:
    troubles = {leg.item}
    if leg.loan is LoanState.ACTIVE and leg.loan_process in flags.TROUBLE_LOANS:
        troubles.add(flags.TROUBLE_LOANS[leg.loan_process])
    for item in flags.TROUBLE_ITEMS:
        ctx.stand(flags.item_trouble(role, item), item in troubles)


def _patron(ctx: StepContext, role: Role, read: PatronRead) -> None:
    if read.found is not None:
        ctx.stand(flags.PATRON_GONE, not read.found)
    if role is Role.SUPPLIER and read.blocked is not None:
        ctx.stand(flags.SUPPLIER_PATRON_BLOCKED, read.blocked)


# --- the loan: lent, renewed, recalled, lost, returned


def _loan(ctx: StepContext, seen: Observation, leg: Leg, read: LoanRead) -> None:
    """Take a reading of the loan into the memory. Without an answer it changes nothing."""
    if read.found is None:
        return
    word = loan_of(read.loan_status)
    leg.raw_loan, leg.raw_loan_process = read.loan_status, read.process_status
    ctx.stand(flags.UNKNOWN_LOAN_STATUS, read.found and word is None)
    if read.found and word is None:
        leg.failed |= {"loan"}
        return
    leg.loan_at = seen.at or leg.loan_at
    before_ours = read.loan_date and leg.requested and read.loan_date < leg.requested
    if not read.found or before_ours:
        leg.loan, leg.loan_process = LoanState.NONE, None
        return
    if word is LoanState.ACTIVE:
        _active(ctx, seen.role, leg, read)
    elif seen.role is Role.SUPPLIER:
        _complete_at_supplier(ctx, leg, read)
    else:
        _complete_at_patron(ctx, leg, read)
    leg.loan_id = read.loan_id or leg.loan_id


def _active(ctx: StepContext, role: Role, leg: Leg, read: LoanRead) -> None:
    process = loan_process_of(read.process_status)
    ctx.stand(flags.UNKNOWN_LOAN_PROCESS_STATUS, read.process_status is not None and process is None)
    if ctx.status is Status.LOANED:
        if role is Role.SUPPLIER:
            _watch_recall(ctx, leg, read, process)
        elif leg.loan is LoanState.ACTIVE:
            _watch_renewal(ctx, leg, read, process)
    leg.loan, leg.loan_process = LoanState.ACTIVE, process
    leg.due = read.due_date or leg.due
    leg.renewed = read.last_renew_date or leg.renewed
    leg.lent, leg.closed_in = True, None
    if leg.item not in _NOT_IN_HAND:
        place_item(ctx, leg, ItemState.LOANED)
    if role is not Role.SUPPLIER:
        _prove(ctx, leg, Proof.LOANED)


def _watch_renewal(ctx: StepContext, leg: Leg, read: LoanRead, process: LoanProcess | None) -> None:
    """The patron's loan runs longer than it did when last seen."""
    later = read.due_date and leg.due and read.due_date > leg.due
    newer = read.last_renew_date and (leg.renewed is None or read.last_renew_date > leg.renewed)
    marked = process is LoanProcess.RENEW and leg.loan_process is not LoanProcess.RENEW
    if later or newer or marked:
        ctx.flag(flags.RENEWED)
        ctx.do(ActionType.RENEW_SUPPLIER_LOAN)


def _watch_recall(ctx: StepContext, leg: Leg, read: LoanRead, process: LoanProcess | None) -> None:
    """The lender's loan was recalled, or shall end earlier than it did when last seen."""
    if leg.loan_process is LoanProcess.RECALL:
        return
    earlier = read.due_date and leg.due and read.due_date < leg.due
    if process is LoanProcess.RECALL or earlier:
        _recall(ctx)


def _complete_at_supplier(ctx: StepContext, leg: Leg, read: LoanRead) -> None:
    """A complete loan at the lender proves the return, if it is ours and the book was not paid for instead."""
    leg.loan, leg.loan_process = LoanState.COMPLETE, None
    if ctx.status not in _AFTER_LENDING:
        leg.lent = False  # an earlier loan to the same user, or one undone before the patron had the book
        return
    if read.loan_date and leg.requested and read.loan_date >= leg.requested:
        leg.lent = True
    if leg.lent and leg.item not in _NOT_IN_HAND:
        leg.closed_in = ctx.status


def _complete_at_patron(ctx: StepContext, leg: Leg, read: LoanRead) -> None:
    """The patron brought the book back, unless it was lost and paid for.

    A hold that is still there was not consumed by this loan, which is then an earlier one of the same item.
    """
    if leg.proof < Proof.LOANED and leg.hold_alive:
        leg.loan = LoanState.NONE
        return
    leg.loan, leg.loan_process, leg.lent = LoanState.COMPLETE, None, True
    leg.due = read.due_date or leg.due
    if leg.item not in _NOT_IN_HAND:
        _prove(ctx, leg, Proof.RETURNED)


# --- the transaction, where the side is a FOLIO library
#
# A transaction says in one word what Alma says by request, item and loan; the words are those of mod-dcb's
# TransactionStatus. A lender's transaction is moved on by ourselves (by PUT) except to OPEN and to CLOSED, which
# only a check-in at the lender brings about.


def _txn(ctx: StepContext, seen: Observation, leg: Leg, text: str) -> None:
    """Take a transaction's status into the memory; an unknown one is kept raw and flagged."""
    leg.raw_txn = text
    word = txn_of(text)
    ctx.stand(flags.UNKNOWN_TXN_STATE, word is None)
    if word is None:
        return
    leg.txn = word
    ctx.stand(flags.TXN_ERROR, word is Txn.ERROR)
    ctx.stand(flags.TXN_MISSING, word is Txn.MISSING)
    if word is Txn.CANCELLED:
        _miss_hold(ctx, leg, seen.at, Closure.CANCELED, certain=True)
    elif word is Txn.EXPIRED:
        _miss_hold(ctx, leg, seen.at, Closure.HOLD_SHELF_EXPIRED, certain=True)
    elif word is Txn.MISSING:
        _miss_hold(ctx, leg, seen.at, None, certain=False)
    elif seen.role is Role.SUPPLIER:
        _at_supplier(ctx, leg, word)
        ctx.fresh.add(seen.role)
    else:
        _at_patron(ctx, leg, word)


def _at_supplier(ctx: StepContext, leg: Leg, word: Txn) -> None:
    if word in (Txn.CREATED, Txn.OPEN, Txn.AWAITING_PICKUP):
        _see_hold(leg, HoldState.CONFIRMED)
    if word in (Txn.OPEN, Txn.AWAITING_PICKUP, Txn.ITEM_CHECKED_IN):
        place_item(ctx, leg, ItemState.TRANSIT)
    elif word is Txn.ITEM_CHECKED_OUT:
        leg.loan, leg.lent = LoanState.ACTIVE, True
        place_item(ctx, leg, ItemState.LOANED)
    elif word is Txn.CLOSED:
        place_item(ctx, leg, ItemState.AVAILABLE)
        leg.loan = LoanState.COMPLETE
        if leg.lent and ctx.status in _AFTER_LENDING:
            leg.closed_in = ctx.status


def _at_patron(ctx: StepContext, leg: Leg, word: Txn) -> None:
    ctx.stand(flags.TXN_CLOSED_EARLY, word is Txn.CLOSED and leg.proof < Proof.LOANED)
    if word is Txn.CREATED:
        _see_hold(leg, HoldState.CONFIRMED)
    elif word is Txn.OPEN:
        leg.item = ItemState.TRANSIT  # set by ourselves when the lender shipped
    elif word is Txn.AWAITING_PICKUP:
        _see_hold(leg, HoldState.READY)
        leg.item = ItemState.HOLDSHELF
        if leg.proof is Proof.NOTHING:
            _prove(ctx, leg, Proof.SHELF)
    elif word is Txn.ITEM_CHECKED_OUT:
        leg.item, leg.loan, leg.lent = ItemState.LOANED, LoanState.ACTIVE, True
        _prove(ctx, leg, Proof.LOANED)
    elif word is Txn.ITEM_CHECKED_IN or (word is Txn.CLOSED and leg.proof >= Proof.LOANED):
        leg.item, leg.loan, leg.lent = ItemState.TRANSIT, LoanState.COMPLETE, True
        _prove(ctx, leg, Proof.RETURNED)


# --- the ways in which the memory of a side changes, whoever reports it: a read, a transaction, an ack


def _see_hold(leg: Leg, word: HoldState | None) -> None:
    """The hold is there; a word that nobody knows leaves the last known one."""
    leg.hold = word or leg.hold
    leg.gone, leg.gone_since, leg.gone_last = 0, None, None
    leg.certain, leg.item_since_gone = False, False
    leg.reported = leg.closure = leg.evidence = leg.confidence = None


def _miss_hold(
    ctx: StepContext, leg: Leg, at: Moment | None, reported: Closure | None, *, certain: bool
) -> None:
    """The hold is not there. Sightings closer together than the policy's gap count once.

    ``certain``: by explicit evidence, for which one sighting is enough.
    """
    leg.certain = leg.certain or certain
    leg.reported = reported or leg.reported
    if leg.gone == 0:
        leg.gone, leg.gone_since, leg.gone_last = 1, at, at
    elif leg.gone_last is None or at is None or at.is_apart_from(leg.gone_last, ctx.policy.gap):
        leg.gone, leg.gone_last = leg.gone + 1, at


def place_item(ctx: StepContext, leg: Leg, word: ItemState) -> None:
    """The item is there now. Away and then back in place is an edge, and proof where a remembered place is not."""
    leg.item = word
    if word in _AWAY:
        leg.away, leg.back = True, None
    elif word is ItemState.AVAILABLE and leg.away:
        leg.away, leg.back = False, ctx.status


def _prove(ctx: StepContext, leg: Leg, proof: Proof) -> None:
    """How far the book has come on the patron's side."""
    before, leg.proof = leg.proof, proof
    if ctx.status is Status.RETURN_TRANSIT:
        if proof is Proof.LOANED and before is Proof.RETURNED:
            ctx.stand(flags.LOANED_AGAIN, True)
        elif proof is Proof.RETURNED:
            ctx.stand(flags.LOANED_AGAIN, False)
    elif ctx.status is Status.AWAITING_RETURN:
        ctx.stand(flags.LOANED_AFTER_CANCEL, proof is Proof.LOANED)


def _recall(ctx: StepContext) -> None:
    """The lender wants the book back, or somebody there waits for it: the patron shall not renew any more."""
    if ctx.status is Status.LOANED:
        ctx.flag(flags.RECALLED)
        ctx.do(ActionType.PREVENT_RENEWAL_AT_BORROWER)


# --- how a vanished hold came to its end
#
# Alma drops a closed request from its lists and answers "not found" for it, so the closure statuses that staff
# know from Alma's pages (Completed, Canceled, Expired, Rejected, Failed, Hold Shelf Expired) are never read;
# they are concluded from what was known before and what the item and the loan show now.


def classify(leg: Leg, now: Moment | None) -> tuple[Closure, str, Confidence]:
    """Return how the vanished hold of a side ended by the first rule that fits, the evidence in a phrase, and how sure.

    Call it with the item and the loan of the same cycle in place. Only `Closure.COMPLETED` by a loan and what Alma
    said explicitly are sure; the callers demand two sightings for the rest.
    """
    if leg.proof >= Proof.LOANED or (leg.lent and leg.loan in (LoanState.ACTIVE, LoanState.COMPLETE)):
        return Closure.COMPLETED, "the item was lent to the request's user", Confidence.HIGH
    if leg.reported is not None:
        sure = Confidence.HIGH if leg.certain else Confidence.MEDIUM
        return leg.reported, "Alma told how the request was closed", sure
    if leg.loan is not LoanState.ACTIVE:
        if leg.expiry is not None and now is not None and now.time is not None:
            over = now.time >= leg.expiry
            if leg.hold is HoldState.READY and over:
                return (
                    Closure.HOLD_SHELF_EXPIRED,
                    "gone from the hold shelf after its last day",
                    Confidence.MEDIUM,
                )
            if leg.hold is HoldState.READY:
                return Closure.CANCELED, "gone from the hold shelf before its last day", Confidence.MEDIUM
            if leg.hold is HoldState.CONFIRMED and over:
                return Closure.EXPIRED, "never picked up from the shelf, past its last day", Confidence.MEDIUM
        if leg.item in _UNFIT:
            return Closure.FAILED, f"the item is {leg.item.lower()}", Confidence.MEDIUM
    return Closure.UNKNOWN, "the request is not there any more", Confidence.LOW


# --- what the memory amounts to: the questions that the rules ask


@dataclass(frozen=True, slots=True)
class Evidence:
    """A view of one state; make another after each transition."""

    state: State
    policy: Policy

    @property
    def supplier(self) -> Leg:
        """The lender's side."""
        return self.state.leg(Role.SUPPLIER)

    @property
    def patron_legs(self) -> dict[Role, Leg]:
        """The borrower's side, and the pickup library's where a third system takes part."""
        return {role: leg for role, leg in self.state.legs.items() if role is not Role.SUPPLIER}

    @property
    def proof(self) -> Proof:
        """How far the book has come on the patron's side, by whichever library shows most."""
        return max((leg.proof for leg in self.patron_legs.values()), default=Proof.NOTHING)

    @property
    def proof_role(self) -> Role | None:
        """The side that proves it."""
        proof = self.proof
        return next((role for role, leg in self.patron_legs.items() if leg.proof is proof and proof), None)

    @property
    def was_placed(self) -> bool:
        """An adopted request's book is at the patron's side: so its holds were placed, though they may be over."""
        return self.state.adopted is not None and bool(self.proof)

    @property
    def way_is_open(self) -> bool:
        """All holds are placed, so that the book may travel."""
        if self.state.workflow is Workflow.PICKUP_ANYWHERE:
            return self.state.status is Status.RPPA
        return self.state.status in (Status.RPBA, Status.RPPA)

    @property
    def dispatched(self) -> bool:
        """The lender's item travels for our hold: in transit, and the hold still there when last looked for."""
        leg = self.supplier
        return leg.item is ItemState.TRANSIT and leg.hold_alive and "request" not in leg.failed

    @property
    def lent_early(self) -> bool:
        """The lender's staff lent the book to the virtual patron instead of scanning it in."""
        return self.supplier.loan is LoanState.ACTIVE

    @property
    def shipped(self) -> bool:
        """The lender's side shows the book on its way to us, in whichever manner."""
        return self.dispatched or self.lent_early

    @property
    def supplier_travels(self) -> bool:
        """The lender's item is in transit, for whomever: in doubt until its hold is seen, or is certainly gone."""
        return self.supplier.item is ItemState.TRANSIT

    @property
    def supplier_gone(self) -> bool:
        """The lender's hold ended without a loan to us."""
        leg = self.supplier
        if leg.loan is LoanState.ACTIVE or leg.closure is Closure.COMPLETED:
            return False
        if leg.certain:
            return True
        # Lent to whom? Only the loan shows it: to our virtual patron would be a dispatch.
        lent_to_somebody = leg.item is ItemState.LOANED and leg.loan is None
        return self._gone(leg) and not lent_to_somebody

    @property
    def patron_gone(self) -> Role | None:
        """The side on which the patron's hold ended without a loan, or None."""
        if self.proof >= Proof.LOANED:
            return None
        for role, leg in self.patron_legs.items():
            if leg.closure is Closure.COMPLETED:
                continue
            if leg.certain or (self._gone(leg) and leg.closure is not Closure.FAILED):
                return role
        return None

    def _gone(self, leg: Leg) -> bool:
        enough = leg.gone >= self.policy.confirmations
        return enough and leg.item_since_gone and not leg.failed & {"item", "loan"}

    @property
    def closed_without_loan(self) -> bool:
        """Alma says that a hold was fulfilled, and no loan can be found."""
        legs = (self.supplier, *self.patron_legs.values())
        return any(
            leg.closure is Closure.COMPLETED and leg.loan is not LoanState.ACTIVE and leg.proof < Proof.LOANED
            for leg in legs
        )

    @property
    def lender_has_it(self) -> bool:
        """The book returned in this very status.

        Our loan seen complete, or the item seen in place after it had been seen away. A loan of ours makes any
        return since the lending good enough; without one only what is seen in this status counts, because
        our own scan may have put the item in place before.
        """
        leg, status = self.supplier, self.state.status
        since = {status}
        if status is Status.RETURN_TRANSIT and leg.lent:
            since.add(Status.LOANED)
        return (leg.lent and leg.closed_in in since) or leg.back in since
