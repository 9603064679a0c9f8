"""A request whose sides are placed, and somebody who acts for it."""

from alma_etl.dcb.machine.vocabulary import ActionType, Role, Status
from alma_etl.dcb.sides import marks
from alma_etl.dcb.sides.actor import place_side
from alma_etl.dcb.sides.alma_act import HoldWish, place_hold
from alma_etl.dcb.sides.patrons import ensure_virtual_patron
from alma_etl.dcb.sides.ports import Done
from alma_etl.dcb.sides.systems import ActionContext
from alma_etl.dcb.store import LegRecord
from tests.unit.dcb.sides_world import NOW, PATRON, Almas, row, supplier_leg, tracked

A, S = ActionType, Status
VP = marks.virtual_user("BORROWER", PATRON)


class Course:
    """A request whose both sides are placed, and somebody who acts for it."""

    def __init__(self, almas: Almas, *, number: int = 0, **conf) -> None:
        self.almas = almas
        self.place = almas.place(number=number, **conf)
        ensure_virtual_patron(almas.at_lender, almas.lender_settings, VP, NOW)
        book = almas.book(number)
        hold = place_hold(
            almas.at_lender,
            HoldWish(
                VP,
                book.mms_id,
                book.holding_id,
                book.pid,
                "STOR",
                None,
                marks.hold_mark("PR-1", Role.SUPPLIER),
            ),
        )
        self.supplier = supplier_leg(almas, hold.request_id, VP, number)
        self.borrower = LegRecord(Role.BORROWER, "BORROWER", user_id=PATRON)
        self.actor = almas.actor()

    def placed(self):
        """The borrower's side is placed as well."""
        request = self.tracked(S.CONFIRMED)
        hand = ActionContext(self.almas.systems, self.almas.tick, request, row(A.PLACE_AT_BORROWER))
        (self.borrower,) = place_side(hand, Role.BORROWER).legs
        return self

    def tracked(self, status, change=lambda state: None):
        return tracked(self.place, status, self.supplier, self.borrower, change=change)

    def do(self, action, status, *args, change=lambda state: None):
        return self.actor.perform(row(action, *args), self.tracked(status, change))

    def item(self, role=Role.BORROWER):
        leg = self.borrower if role is Role.BORROWER else self.supplier
        alma = self.almas.at_borrower if role is Role.BORROWER else self.almas.at_lender
        return alma.items.read(leg.mms_id, leg.holding_id, leg.item_pid).value

    def desk(self, **body):
        """Something that staff of the borrower do with the virtual item: what they lend they have on the shelf."""
        if "lend_to" in body:
            self.desk(**{name: value for name, value in body.items() if name != "lend_to"})
        self.almas.borrower.control("POST", "desk", {"pid": self.borrower.item_pid, **body})

    def ship(self):
        self.almas.lender.control(
            "POST", "desk", {"pid": self.supplier.item_pid, "library": self.almas.book().library}
        )


def acks(answer):
    assert isinstance(answer, Done), answer
    assert all(report.source == "ACK" for report in answer.reports)
    return [report.seen.name for report in answer.reports]
