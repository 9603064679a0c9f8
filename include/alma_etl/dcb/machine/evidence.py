"""What observations do to the memory of a side, and the questions that the rules ask of it. No status changes here.

Absence is concluded from proof alone: a hold that vanished means nothing until the item was seen after it had
vanished. What follows from two reads needs both of them, no further apart than the policy's gap; a part that could not
be read is in doubt until it is read again, however long that takes.
"""

from dataclasses import dataclass

from alma_etl.dcb.machine import flags
from alma_etl.dcb.machine.adopting import weigh, with_other_ids
from alma_etl.dcb.machine.loans import outvotes, take_loan, watch_recall
from alma_etl.dcb.machine.memory import AFTER_LENDING, UNFIT, miss_hold, place_item, prove, see_hold
from alma_etl.dcb.machine.model import (
    ItemRead,
    Leg,
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
    LoanState,
    Proof,
    Role,
    Status,
    Txn,
    Workflow,
    alma_code,
    hold_of,
    item_of,
    txn_of,
)


def project(ctx: StepContext, seen: Observation) -> SeenAs:
    """Take an observation into the memory, unless it comes too late or holds no answer."""
    leg = ctx.leg(seen.role)
    outdated = seen.generation is not None and seen.generation < leg.generation
    if outdated or (seen.at and leg.at and not seen.at.is_after(leg.at)):
        ctx.flag(flags.STALE_OBSERVATION_DROPPED)
        return SeenAs.STALE
    if seen.generation is not None and seen.generation > leg.generation:
        leg = ctx.state.legs[seen.role] = with_other_ids(leg, seen.generation)
    leg.failed |= seen.failed
    if not seen.has_answer:
        return SeenAs.ERROR
    leg.failed -= seen.answered
    leg.at = seen.at or leg.at
    weigh(ctx, leg, seen)
    if seen.request is not None:
        _request(ctx, seen, leg, seen.request)
    where = None if seen.item is None else _item(ctx, seen, leg, seen.item)
    if seen.loan is not None:
        take_loan(ctx, seen, leg, seen.loan, where)
    if seen.role is Role.SUPPLIER:
        watch_recall(ctx, seen, leg)
    if seen.txn is not None:
        _txn(ctx, seen, leg, seen.txn)
    if seen.patron is not None:
        _patron(ctx, seen.role, seen.patron)
    if seen.item is not None or seen.loan is not None:
        _trouble(ctx, seen.role, leg)
    if leg.gone or leg.certain:
        leg.closure, leg.evidence, leg.confidence = classify(leg, leg.gone_since or seen.at)
    return SeenAs.APPLIED


def _request(ctx: StepContext, seen: Observation, leg: Leg, read: RequestRead) -> None:
    if read.found is None:
        return
    leg.raw_request = read.request_status or leg.raw_request
    leg.hold_at = seen.at or leg.hold_at
    closed = alma_code(read.request_status) == HISTORY
    if not read.found or closed:
        miss_hold(ctx, leg, seen.at, read.closure, certain=read.closure is Closure.CANCELED)
        return
    word = hold_of(read.request_status)
    ctx.stand(flags.UNKNOWN_REQUEST_STATUS, read.request_status is not None and word is None)
    see_hold(leg, word)
    if seen.role is not Role.SUPPLIER and word is HoldState.READY and leg.proof is Proof.NOTHING:
        prove(ctx, leg, Proof.SHELF)
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


def _item(ctx: StepContext, seen: Observation, leg: Leg, read: ItemRead) -> ItemState | None:
    """Take a reading of the item into the memory; where it is, None when this does not show it.

    "Not there" is also what Alma answers to a general failure: it counts when it is seen twice, the policy's gap apart.
    """
    if read.found is None:
        return None
    word: ItemState | None
    if read.found:
        leg.missed = None
        word = item_of(read.base_status, read.process_type)
        ctx.stand(flags.UNKNOWN_PROCESS_TYPE, word is None)
        leg.raw_base, leg.raw_process = read.base_status, read.process_type
        _barcode(ctx, seen.role, leg, read.barcode)
        if read.other_requests is not None:
            leg.other_requests = read.other_requests
    else:
        word = _missing(ctx, leg, seen.at)
    if word is None:
        leg.failed |= {"item"}
        return None
    if outvotes(seen.loan, word):
        return word
    place_item(ctx, leg, word)
    leg.item_at = seen.at or leg.item_at
    leg.item_since_gone = leg.gone > 0 or leg.certain
    ctx.fresh.add(seen.role)
    if seen.role is not Role.SUPPLIER:
        _patron_side(ctx, leg, word)
    return word


def _missing(ctx: StepContext, leg: Leg, at: Moment | None) -> ItemState | None:
    if leg.missed is None and leg.item is not ItemState.GONE:
        leg.missed = at
        return None
    apart = leg.missed is None or at is None or at.is_apart_from(leg.missed, ctx.policy.gap)
    return ItemState.GONE if apart else None


def _patron_side(ctx: StepContext, leg: Leg, word: ItemState) -> None:
    """What the item by itself proves at the borrower or the pickup library; the loan is weighed after it."""
    if word is ItemState.LOANED:
        leg.lent = True
        if leg.proof is not Proof.RETURNED:  # else the loan decides whether it is the same patron's
            prove(ctx, leg, Proof.LOANED)
    elif word is ItemState.HOLDSHELF and leg.proof is Proof.NOTHING:
        prove(ctx, leg, Proof.SHELF)
    elif word in (ItemState.TRANSIT, ItemState.AVAILABLE) and leg.proof is Proof.LOANED:
        prove(ctx, leg, Proof.RETURNED)


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
    leg.hold_at = leg.item_at = leg.loan_at = seen.at or leg.at  # one word for all three
    ctx.stand(flags.TXN_ERROR, word is Txn.ERROR)
    ctx.stand(flags.TXN_MISSING, word is Txn.MISSING)
    if word is Txn.CANCELLED:
        miss_hold(ctx, leg, seen.at, Closure.CANCELED, certain=True)
    elif word is Txn.EXPIRED:
        miss_hold(ctx, leg, seen.at, Closure.HOLD_SHELF_EXPIRED, certain=True)
    elif word is Txn.MISSING:
        miss_hold(ctx, leg, seen.at, None, certain=False)
    elif seen.role is Role.SUPPLIER:
        _at_supplier(ctx, leg, word)
        ctx.fresh.add(seen.role)
    else:
        _at_patron(ctx, leg, word)


def _at_supplier(ctx: StepContext, leg: Leg, word: Txn) -> None:
    if word in (Txn.CREATED, Txn.OPEN, Txn.AWAITING_PICKUP):
        see_hold(leg, HoldState.CONFIRMED)
    if word in (Txn.OPEN, Txn.AWAITING_PICKUP, Txn.ITEM_CHECKED_IN):
        place_item(ctx, leg, ItemState.TRANSIT)
    elif word is Txn.ITEM_CHECKED_OUT:
        leg.loan, leg.lent = LoanState.ACTIVE, True
        place_item(ctx, leg, ItemState.LOANED)
    elif word is Txn.CLOSED:
        place_item(ctx, leg, ItemState.AVAILABLE)
        leg.loan = LoanState.COMPLETE
        if leg.lent and ctx.status in AFTER_LENDING:
            leg.closed_in = ctx.status


def _at_patron(ctx: StepContext, leg: Leg, word: Txn) -> None:
    ctx.stand(flags.TXN_CLOSED_EARLY, word is Txn.CLOSED and leg.proof < Proof.LOANED)
    if word is Txn.CREATED:
        see_hold(leg, HoldState.CONFIRMED)
    elif word is Txn.OPEN:
        leg.item = ItemState.TRANSIT  # set by ourselves when the lender shipped
    elif word is Txn.AWAITING_PICKUP:
        see_hold(leg, HoldState.READY)
        leg.item = ItemState.HOLDSHELF
        if leg.proof is Proof.NOTHING:
            prove(ctx, leg, Proof.SHELF)
    elif word is Txn.ITEM_CHECKED_OUT:
        leg.item, leg.loan, leg.lent = ItemState.LOANED, LoanState.ACTIVE, True
        prove(ctx, leg, Proof.LOANED)
    elif word is Txn.ITEM_CHECKED_IN or (word is Txn.CLOSED and leg.proof >= Proof.LOANED):
        leg.item, leg.loan, leg.lent = ItemState.TRANSIT, LoanState.COMPLETE, True
        prove(ctx, leg, Proof.RETURNED)


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
        if leg.item in UNFIT:
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
        """How far the book has come on the patron's side, by whichever library shows most.

        What is lent at a third library is the book itself: a virtual loan at home that is over does not outvote it.
        """
        if self.state.leg(Role.PICKUP).proof is Proof.LOANED:
            return Proof.LOANED
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
        """The lender's item travels for our hold: in transit, and the hold being worked on when looked for together.

        While our hold has not been started, the item travels for somebody else.
        """
        leg = self.supplier
        return leg.item is ItemState.TRANSIT and leg.is_worked_on and self._both_read(leg)

    @property
    def on_lender_s_shelf(self) -> bool:
        """The lender's item waits for our hold on a hold shelf of the lender's."""
        leg = self.supplier
        ready = leg.hold_alive and leg.hold is HoldState.READY
        return ready and leg.item is ItemState.HOLDSHELF and self._both_read(leg)

    def _both_read(self, leg: Leg) -> bool:
        """Hold and item of a side are known, and from the same time."""
        return not leg.failed & {"request", "item"} and self._together(leg.hold_at, leg.item_at)

    def _together(self, one: Moment | None, other: Moment | None) -> bool:
        if one is None or other is None:
            return one is other
        earlier, later = (one, other) if other.is_after(one) else (other, one)
        return earlier == later or not later.is_apart_from(earlier, self.policy.gap)

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
            return self._not_in_doubt(leg)
        # Lent to whom? Only the loan shows it: to our virtual patron would be a dispatch.
        known = leg.loan is not None and self._together(leg.loan_at, leg.item_at)
        return self._gone(leg) and (leg.item is not ItemState.LOANED or known)

    @property
    def supplier_unread(self) -> bool:
        """The lender's hold and item are not known from one look: one could not be read, or not since the other was."""
        return not self._both_read(self.supplier)

    @property
    def patron_gone(self) -> Role | None:
        """The side on which the patron's hold ended without a loan, or None."""
        if self.proof >= Proof.LOANED:
            return None
        for role, leg in self.patron_legs.items():
            if leg.closure is Closure.COMPLETED:
                continue
            if leg.certain and self._not_in_doubt(leg):
                return role
            if self._gone(leg) and leg.closure is not Closure.FAILED:
                return role
        return None

    def _gone(self, leg: Leg) -> bool:
        enough = leg.gone >= self.policy.confirmations and leg.item_since_gone
        return enough and self._both_read(leg) and self._not_in_doubt(leg)

    @staticmethod
    def _not_in_doubt(leg: Leg) -> bool:
        """What would show that the hold was fulfilled instead could be read, where it was asked for."""
        return not leg.failed & {"item", "loan"}

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
