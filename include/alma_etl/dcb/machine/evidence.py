"""What the memory of the sides amounts to: the few questions that the rules ask.

Absence is concluded from proof alone: a hold that vanished means nothing until the item was seen after it had
vanished, and nothing in a cycle in which a read of that side failed.
"""

from dataclasses import dataclass

from alma_etl.dcb.machine.run import Policy
from alma_etl.dcb.machine.state import Leg, State
from alma_etl.dcb.machine.vocabulary import Closure, Item, Loan, Proof, Role, Status, Workflow

_S = Status


@dataclass(frozen=True, slots=True)
class Evidence:
    """A view of one state; ask it anew after each transition."""

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
    def way_is_open(self) -> bool:
        """All holds are placed, so that the book may travel."""
        if self.state.workflow is Workflow.PICKUP_ANYWHERE:
            return self.state.status is _S.RPPA
        return self.state.status in (_S.RPBA, _S.RPPA)

    @property
    def dispatched(self) -> bool:
        """The lender's item travels for our hold: in transit, and the hold still there when last looked for."""
        leg = self.supplier
        return leg.item is Item.TRANSIT and leg.hold_alive and "request" not in leg.failed

    @property
    def lent_early(self) -> bool:
        """The lender's staff lent the book to the virtual patron instead of scanning it in."""
        return self.supplier.loan is Loan.ACTIVE

    @property
    def shipped(self) -> bool:
        """The lender's side shows the book on its way to us, in whichever manner."""
        return self.dispatched or self.lent_early

    @property
    def supplier_travels(self) -> bool:
        """The lender's item is in transit, for whomever: in doubt until its hold is seen, or seen gone for good."""
        return self.supplier.item is Item.TRANSIT

    @property
    def supplier_gone(self) -> bool:
        """The lender's hold ended without a loan to us."""
        leg = self.supplier
        if leg.loan is Loan.ACTIVE or leg.closure is Closure.COMPLETED:
            return False
        if leg.certain:
            return True
        # Lent to whom? Only the loan tells: to our virtual patron would be a dispatch.
        lent_to_somebody = leg.item is Item.LOANED and leg.loan is None
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
            leg.closure is Closure.COMPLETED and leg.loan is not Loan.ACTIVE and leg.proof < Proof.LOANED
            for leg in legs
        )

    @property
    def lender_has_it(self) -> bool:
        """The book came home in this very status.

        Our loan seen complete, or the item seen in place after it had been seen away. A loan of ours makes any
        coming home since the lending good enough; without one only what is seen in this status counts, because
        our own scan may have put the item in place before.
        """
        leg, status = self.supplier, self.state.status
        since = {status}
        if status is _S.RETURN_TRANSIT and leg.lent:
            since.add(_S.LOANED)
        return (leg.lent and leg.closed_in in since) or leg.back in since
