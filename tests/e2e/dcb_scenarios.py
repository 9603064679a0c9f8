"""What may become of a patron request: for each scenario what people do between two runs of the sync, what the sync
must make of it, and what must be left of it in the end.

A script does the people's part and yields the status that the next run of `dcb_status_sync` must bring the request to.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from alma_etl.dcb.machine.vocabulary import Role, Status
from alma_etl.dcb.sides.marks import virtual_user
from tests.e2e.dcb_world import PICKUP, Request

S = Status
Script = Callable[[Request], Iterator[Status]]

PLACED = "CONFIRMED RPBA"
TO_THE_SHELF = f"{PLACED} PICKUP_TRANSIT RECEIVED_AT_PICKUP READY_FOR_PICKUP"
HOME = "RETURN_TRANSIT COMPLETED FINALISED"
WHOLE_WAY = f"{TO_THE_SHELF} LOANED {HOME}"
UNSUPPLIED = f"{PLACED} NOT_SUPPLIED NO_ITEMS FINALISED"
PARKED = "AWAITING_RETURN CANCELLED FINALISED"


@dataclass(frozen=True)
class Scenario:
    """``path``: every status in turn, with a star where nobody saw it. ``flags``: all that were ever raised.
    ``book_ends``: what the lender's Alma says of the copy in the end (a process type). ``other``: one more patron
    who plays a part."""

    script: Script
    path: str = WHOLE_WAY
    flags: frozenset[str] = frozenset()
    outcome: str | None = "SUPPLIED"
    closure: str | None = None
    book_ends: str = ""
    borrower: str = "BORROWER"
    pickup: str = "BORROWER"
    patron: str = ""
    other: str = ""
    row: str = ""


def _to_the_shelf(r: Request) -> Iterator[Status]:
    r.ship()
    yield S.PICKUP_TRANSIT
    r.arrive()
    yield S.READY_FOR_PICKUP


def _to_the_patron(r: Request) -> Iterator[Status]:
    yield from _to_the_shelf(r)
    r.borrow()
    yield S.LOANED


def _back_home(r: Request) -> Iterator[Status]:
    r.give_back()
    yield S.RETURN_TRANSIT
    assert r.come_home() == ""
    yield S.FINALISED


def all_goes_well(r: Request) -> Iterator[Status]:
    yield from _to_the_patron(r)
    (loan,) = r.world.lender.sandbox.loans.of_item(r.book.pid)
    assert (loan.status, loan.user_id) == ("ACTIVE", r.tracked.legs[Role.SUPPLIER].user_id)
    yield from _back_home(r)


def lender_cancels(r: Request) -> Iterator[Status]:
    r.cancelled_by_lender()
    yield S.RPBA  # not there once: that proves nothing yet
    yield S.FINALISED


def patron_cancels_in_time(r: Request) -> Iterator[Status]:
    r.cancelled_by_patron()
    yield S.RPBA
    yield S.FINALISED


def patron_cancels_while_it_is_out(r: Request) -> Iterator[Status]:
    yield from _to_the_shelf(r)
    r.cancelled_by_patron()
    yield S.READY_FOR_PICKUP
    yield S.AWAITING_RETURN
    assert r.world.borrower.made_bibs(r.pr_id), "nothing may be removed while the book is out"
    r.send_back()
    yield S.AWAITING_RETURN
    assert r.come_home() == ""
    yield S.FINALISED


def hold_shelf_expires(r: Request) -> Iterator[Status]:
    yield from _to_the_shelf(r)
    for _ in range(3):
        yield S.READY_FOR_PICKUP
    r.world.borrower.control(f"requests/{r.hold(Role.BORROWER)}", expire=True)
    yield S.READY_FOR_PICKUP
    r.send_back()
    yield S.AWAITING_RETURN
    assert r.come_home() == ""
    yield S.FINALISED


def states_are_skipped(r: Request) -> Iterator[Status]:
    r.ship()
    r.arrive()
    r.borrow()
    yield S.LOANED
    yield from _back_home(r)


def loan_and_return_are_missed(r: Request) -> Iterator[Status]:
    yield from _to_the_shelf(r)
    r.borrow()
    r.give_back()
    yield S.RETURN_TRANSIT
    assert r.world.lender.open_holds(r.pr_id) == [], "an open hold would catch the book when it comes home"
    assert r.come_home() == ""
    yield S.FINALISED


def _cannot_be_renewed(r: Request) -> None:
    """The lender wants the book back, so the patron's own library renews it no more."""
    virtual = r.world.borrower.item(r.tracked.legs[Role.BORROWER].item_pid or "")
    assert virtual is not None
    assert "RECALLED" in r.tracked.state.flags
    assert virtual.codes["policy"] == "DCB_NO_RENEW"


def renewed_recalled_lost_and_found(r: Request) -> Iterator[Status]:
    yield from _to_the_patron(r)
    world = r.world
    mine = world.borrower.active_loan(r.tracked.legs[Role.BORROWER].item_pid or "")
    world.borrower.call("POST", f"/users/{r.patron}/loans/{mine.id}?op=renew")
    yield S.LOANED
    assert "RENEWED" in r.tracked.state.flags
    lent = world.lender.active_loan(r.book.pid)
    due = world.clock.now() + timedelta(days=9)
    world.lender.control(f"loans/{lent.id}", process_status="RECALL", due_date=due.isoformat())
    yield S.LOANED
    _cannot_be_renewed(r)
    world.borrower.control(f"loans/{mine.id}", process_status="LOST")
    yield S.LOANED
    assert r.tracked.needs_attention
    assert "BORROWER_ITEM_LOST" in r.tracked.state.standing
    yield from _back_home(r)


def straight_to_the_lender(r: Request) -> Iterator[Status]:
    yield from _to_the_patron(r)
    assert r.come_home() == ""
    yield S.FINALISED


def local_hold_catches_it(r: Request) -> Iterator[Status]:
    yield from _to_the_patron(r)
    hold = {"request_type": "HOLD", "pickup_location_type": "LIBRARY", "pickup_location_library": "MAIN"}
    r.world.lender.call("POST", f"/users/patron046/requests?item_pid={r.book.pid}", hold)
    yield S.LOANED  # the first look at the lender's loan makes it known
    yield S.LOANED  # and from then on whoever else wants the book counts
    _cannot_be_renewed(r)
    r.give_back()
    yield S.RETURN_TRANSIT
    assert r.come_home() == "HOLDSHELF"
    yield S.FINALISED


def lender_refuses_the_loan(r: Request) -> Iterator[Status]:
    lender, user_id = r.world.lender, virtual_user("BORROWER", r.patron)
    user = lender.call("GET", f"/users/{user_id}")
    block = {
        "block_type": {"value": "USER"},
        "block_description": {"value": "02-GLOBAL"},
        "block_status": "ACTIVE",
    }
    lender.call("PUT", f"/users/{user_id}", {**user, "user_block": [block]})
    yield from _to_the_patron(r)
    assert lender.active_loan(r.book.pid) is None
    assert "SUPPLIER_LOAN_FAILED" in r.tracked.state.standing
    r.give_back()
    yield S.RETURN_TRANSIT
    assert lender.open_holds(r.pr_id) == []
    yield S.RETURN_TRANSIT  # and only the book's return completes it
    assert r.come_home() == ""
    yield S.FINALISED


def lent_early(r: Request) -> Iterator[Status]:
    r.world.lender.lend(r.barcode, "MAIN", virtual_user("BORROWER", r.patron))
    yield S.PICKUP_TRANSIT
    r.arrive()
    yield S.READY_FOR_PICKUP
    r.borrow()
    yield S.LOANED
    assert len(r.world.lender.sandbox.loans.of_item(r.book.pid)) == 1, "it is lent already"
    yield from _back_home(r)


def barcode_is_corrected(r: Request) -> Iterator[Status]:
    r.barcode = f"{r.barcode}-new"
    r.world.lender.control(f"items/{r.book.pid}", barcode=r.barcode)
    yield S.RPBA
    virtual = r.world.borrower.item(r.tracked.legs[Role.BORROWER].item_pid or "")
    assert virtual is not None
    assert virtual.barcode == r.barcode
    yield from _to_the_patron(r)
    yield from _back_home(r)


def sent_to_somebody_else(r: Request) -> Iterator[Status]:
    r.cancelled_by_lender()
    assert r.world.lender.scan(r.barcode, PICKUP) == "TRANSIT"
    yield S.RPBA  # in transit, but not for us
    yield S.FINALISED


def gone_once_then_back(r: Request) -> Iterator[Status]:
    yield from _to_the_shelf(r)
    path = f"/requests/{r.hold(Role.BORROWER)}$"
    r.world.borrower.fault(kind="refuse", method="GET", path=path, code="401694", times=1)
    yield S.READY_FOR_PICKUP
    yield S.READY_FOR_PICKUP
    r.borrow()
    yield S.LOANED
    yield from _back_home(r)


def scanned_at_the_sharing_desk(r: Request) -> Iterator[Status]:
    assert r.world.lender.scan(r.barcode, "STOR") == "HOLDSHELF"
    yield S.RPBA
    assert "DISPATCH_ON_WRONG_DESK" in r.tracked.state.standing
    yield from _to_the_patron(r)
    yield from _back_home(r)


def in_folio(r: Request) -> Iterator[Status]:
    r.ship()
    yield S.PICKUP_TRANSIT
    r.folio("AWAITING_PICKUP")
    yield S.READY_FOR_PICKUP
    r.folio("CHECK_OUT")
    yield S.LOANED
    r.folio("CHECK_IN")
    yield S.RETURN_TRANSIT
    assert r.come_home() == ""
    yield S.FINALISED


def fetched_at_a_third_library(r: Request) -> Iterator[Status]:
    r.ship()
    yield S.PICKUP_TRANSIT
    r.folio("AWAITING_PICKUP")
    yield S.READY_FOR_PICKUP
    r.folio("CHECK_OUT")
    yield S.LOANED
    mine = r.world.borrower.active_loan(r.tracked.legs[Role.BORROWER].item_pid or "")
    assert mine.user_id == r.patron, "the patron's own library knows of the loan"
    r.folio("CHECK_IN")
    yield S.RETURN_TRANSIT
    assert r.come_home() == ""
    yield S.FINALISED


def patron_cancels_while_it_travels(r: Request) -> Iterator[Status]:
    r.ship()
    yield S.PICKUP_TRANSIT
    r.cancelled_by_patron()
    yield S.PICKUP_TRANSIT
    yield S.AWAITING_RETURN
    r.send_back()
    yield S.AWAITING_RETURN
    assert r.come_home() == ""
    yield S.FINALISED


def withdrawn_when_it_had_just_left(r: Request) -> Iterator[Status]:
    r.ship()  # and nobody has looked since
    run = r.world.run("dcb_cancel_request", {"pr_id": r.pr_id})
    assert run.state == "success"
    assert r.status == S.AWAITING_RETURN
    yield S.AWAITING_RETURN
    assert r.world.borrower.made_bibs(r.pr_id), "the pickup library needs the virtual item to know the book"
    r.send_back()
    yield S.AWAITING_RETURN
    assert r.come_home() == ""
    yield S.FINALISED


def leaves_while_its_hold_is_cancelled(r: Request) -> Iterator[Status]:
    lender = r.world.lender
    r.cancelled_by_patron()
    yield S.RPBA
    path = f"/requests/{r.hold(Role.SUPPLIER)}"
    lender.fault(kind="server_error", method="DELETE", path=path)
    yield S.CANCELLED
    lender.end_faults()
    r.ship()
    for _ in range(2):
        yield S.CANCELLED
        assert lender.open_holds(r.pr_id) == []
        assert "CANCELLED_IN_TRANSIT" in r.tracked.state.standing
        assert r.world.borrower.made_bibs(r.pr_id), "somebody may scan the book where it was to be fetched"
    r.send_back()
    assert r.come_home() == ""
    yield S.FINALISED


def travels_for_a_local_patron_first(r: Request) -> Iterator[Status]:
    lender = r.world.lender
    hold = {"request_type": "HOLD", "pickup_location_type": "LIBRARY", "pickup_location_library": PICKUP}
    local = lender.call("POST", f"/users/{r.other}/requests?item_pid={r.book.pid}", hold)
    lender.control(f"requests/{local['request_id']}", first=True)
    assert lender.scan(r.barcode, "MAIN") == "TRANSIT"
    yield S.RPBA  # in transit, and our hold is seen, but waits
    assert lender.scan(r.barcode, PICKUP) == "HOLDSHELF"
    yield S.RPBA
    assert "DISPATCH_ON_WRONG_DESK" not in r.tracked.state.flags
    lender.lend(r.barcode, PICKUP, r.other)
    yield S.RPBA
    assert lender.scan(r.barcode, PICKUP) == "TRANSIT"  # and now for us
    yield S.PICKUP_TRANSIT
    r.arrive()
    yield S.READY_FOR_PICKUP
    r.borrow()
    yield S.LOANED
    yield from _back_home(r)


def patron_is_merged(r: Request) -> Iterator[Status]:
    """Old ids are gone with the user; the other user has the hold, then the loan."""
    yield from _to_the_shelf(r)
    r.world.borrower.control(f"users/{r.patron}", merge_into=r.other)
    r.patron = r.other
    yield S.READY_FOR_PICKUP
    yield S.READY_FOR_PICKUP
    r.borrow()
    yield S.LOANED
    assert r.tracked.legs[Role.BORROWER].user_id == r.other
    yield from _back_home(r)


def patron_is_merged_while_it_is_lent(r: Request) -> Iterator[Status]:
    """The other user is found by the old ids, too."""
    yield from _to_the_patron(r)
    r.world.borrower.control(f"users/{r.patron}", merge_into=r.other, keep_identifiers=True)
    r.patron = r.other
    yield S.LOANED
    yield S.LOANED
    assert r.tracked.legs[Role.BORROWER].user_id == r.other
    yield from _back_home(r)


def title_is_merged(r: Request) -> Iterator[Status]:
    r.ship()
    yield S.PICKUP_TRANSIT
    (survivor,) = r.world.lender.spare_titles(1)
    r.world.lender.control(f"bibs/{r.book.mms_id}", merge_into=survivor)
    yield S.PICKUP_TRANSIT
    r.arrive()
    yield S.READY_FOR_PICKUP
    assert r.tracked.legs[Role.SUPPLIER].mms_id == survivor
    r.borrow()
    yield S.LOANED
    yield from _back_home(r)


def item_is_moved(r: Request) -> Iterator[Status]:
    yield from _to_the_patron(r)
    lender = r.world.lender
    holding = lender.call("GET", f"/bibs/{r.book.mms_id}/holdings/{r.book.holding_id}")["anies"][0]
    made = lender.post_xml(
        f"/bibs/{r.book.mms_id}/holdings", f"<holding>{holding.partition('?>')[2]}</holding>"
    )
    lender.control(f"items/{r.book.pid}", holding_id=made["holding_id"])
    yield S.LOANED
    yield S.LOANED
    assert r.tracked.legs[Role.SUPPLIER].holding_id == made["holding_id"]
    yield from _back_home(r)


def lost_and_paid_by_the_patron(r: Request) -> Iterator[Status]:
    yield from _to_the_patron(r)
    loan = r.world.borrower.active_loan(r.tracked.legs[Role.BORROWER].item_pid or "")
    r.world.borrower.control(f"loans/{loan.id}", paid=True)
    for _ in range(2):
        yield S.LOANED  # the loan has ended, and nothing was returned
        assert "BORROWER_ITEM_LOST" in r.tracked.state.standing
    yield from _back_home(r)  # found after all


def lost_and_paid_at_the_lender(r: Request) -> Iterator[Status]:
    yield from _to_the_patron(r)
    loan = r.world.lender.active_loan(r.book.pid)
    r.world.lender.control(f"loans/{loan.id}", paid=True)
    for _ in range(2):
        yield S.LOANED
        assert "SUPPLIER_ITEM_LOST" in r.tracked.state.standing
    yield from _back_home(r)


def due_dates_are_moved_in_bulk(r: Request) -> Iterator[Status]:
    yield from _to_the_patron(r)
    world = r.world
    mine = world.borrower.active_loan(r.tracked.legs[Role.BORROWER].item_pid or "")
    lent = world.lender.active_loan(r.book.pid)
    for library, loan, days in ((world.lender, lent, -3), (world.borrower, mine, 3)):
        assert library.control("loans", by_days=days, loans=[loan.id])["changed"] == [loan.id]
    yield S.LOANED
    assert "LOAN_DUE_CHANGED" in r.tracked.state.flags
    virtual = world.borrower.item(mine.item_pid)
    assert virtual is not None
    assert virtual.codes["policy"] == "DCB", "nobody wants the book back"
    yield from _back_home(r)


def withdrawn_by_the_dag(r: Request) -> Iterator[Status]:
    run = r.world.run("dcb_cancel_request", {"pr_id": r.pr_id})
    assert run.state == "success"
    assert r.world.borrower.open_holds(r.pr_id) == []
    assert r.status == S.CANCELLED
    yield S.FINALISED


NOBODY = frozenset[str]()
SCENARIOS: dict[str, Scenario] = {
    "well": Scenario(all_goes_well, patron="patron001"),
    "lender-cancels": Scenario(lender_cancels, UNSUPPLIED, outcome="NOT_SUPPLIED", row="X1"),
    "cancelled-in-time": Scenario(
        patron_cancels_in_time, f"{PLACED} CANCELLED FINALISED", outcome="CANCELLED", row="X2"
    ),
    "cancelled-out": Scenario(
        patron_cancels_while_it_is_out,
        f"{TO_THE_SHELF} {PARKED}",
        outcome="CANCELLED",
        closure="CANCELED",
        row="X3",
    ),
    "shelf-expired": Scenario(
        hold_shelf_expires,
        f"{TO_THE_SHELF} {PARKED}",
        outcome="CANCELLED",
        closure="HOLD_SHELF_EXPIRED",
        row="X4",
    ),
    "skipped": Scenario(
        states_are_skipped,
        f"{PLACED} PICKUP_TRANSIT RECEIVED_AT_PICKUP* READY_FOR_PICKUP* LOANED {HOME}",
        patron="patron001",
        row="X5, X6",
    ),
    "missed": Scenario(
        loan_and_return_are_missed,
        f"{TO_THE_SHELF} LOANED* {HOME}",
        frozenset({"LOAN_MISSED_BETWEEN_POLLS"}),
        row="X7",
    ),
    "long-loan": Scenario(
        renewed_recalled_lost_and_found,
        flags=frozenset({"RENEWED", "RECALLED", "BORROWER_ITEM_LOST"}),
        row="X8, X9, X10",
    ),
    "straight-home": Scenario(
        straight_to_the_lender,
        f"{TO_THE_SHELF} LOANED RETURN_TRANSIT* COMPLETED FINALISED",
        frozenset({"RETURNED_DIRECT_TO_SUPPLIER"}),
        row="X11",
    ),
    "local-hold": Scenario(
        local_hold_catches_it, flags=frozenset({"RECALLED"}), book_ends="HOLDSHELF", row="L5, X9"
    ),
    "refused-loan": Scenario(
        lender_refuses_the_loan,
        flags=frozenset({"SUPPLIER_LOAN_FAILED", "SUPPLIER_PATRON_BLOCKED"}),
        row="X20",
    ),
    "lent-early": Scenario(lent_early, flags=frozenset({"SUPPLIER_LOANED_EARLY"}), row="X14"),
    "barcode": Scenario(barcode_is_corrected, flags=frozenset({"SUPPLIER_BARCODE_CHANGED"}), row="X22"),
    "false-dispatch": Scenario(
        sent_to_somebody_else, UNSUPPLIED, outcome="NOT_SUPPLIED", book_ends="TRANSIT", row="X16"
    ),
    "gone-once": Scenario(gone_once_then_back, row="X18"),
    "wrong-desk": Scenario(
        scanned_at_the_sharing_desk, flags=frozenset({"DISPATCH_ON_WRONG_DESK"}), row="X15"
    ),
    "third-library": Scenario(
        fetched_at_a_third_library,
        WHOLE_WAY.replace("RPBA", "RPBA RPPA"),
        pickup="FOLIO",
        row="2.3",
    ),
    "folio": Scenario(
        in_folio, borrower="FOLIO", pickup="FOLIO", patron="3c1b7a52-5a77-4d0e-8f6a-1d2e3f405162"
    ),
    "cancelled-travelling": Scenario(
        patron_cancels_while_it_travels,
        f"{PLACED} PICKUP_TRANSIT {PARKED}",
        outcome="CANCELLED",
    ),
    "just-left": Scenario(
        withdrawn_when_it_had_just_left,
        f"{PLACED} PICKUP_TRANSIT {PARKED}",
        outcome="CANCELLED",
        closure="CANCELED",
    ),
    "leaves-cancelled": Scenario(
        leaves_while_its_hold_is_cancelled,
        f"{PLACED} CANCELLED FINALISED",
        frozenset({"CANCELLED_IN_TRANSIT"}),
        outcome="CANCELLED",
    ),
    "local-first": Scenario(travels_for_a_local_patron_first, other="patron043"),
    "merged-patron": Scenario(patron_is_merged, other="patron041"),
    "merged-borrower": Scenario(patron_is_merged_while_it_is_lent, other="patron042"),
    "merged-title": Scenario(title_is_merged),
    "moved-item": Scenario(item_is_moved),
    "lost-and-paid": Scenario(lost_and_paid_by_the_patron, flags=frozenset({"BORROWER_ITEM_LOST"})),
    "paid-to-lender": Scenario(lost_and_paid_at_the_lender, flags=frozenset({"SUPPLIER_ITEM_LOST"})),
    "due-dates": Scenario(due_dates_are_moved_in_bulk, flags=frozenset({"LOAN_DUE_CHANGED"})),
    "withdrawn": Scenario(
        withdrawn_by_the_dag,
        f"{PLACED} CANCELLED FINALISED",
        outcome="CANCELLED",
        closure="CANCELED",
    ),
}
