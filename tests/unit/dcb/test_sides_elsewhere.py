"""Placing and cancelling where a third library or a FOLIO takes part."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from alma_etl.dcb.machine.vocabulary import Role, Status
from alma_etl.dcb.mod_dcb import ModDcb
from alma_etl.dcb.settings import DcbSettings
from alma_etl.dcb.sides.systems import Systems
from alma_etl.remote.service import HttpAccess
from alma_sandbox import Settings, serve
from alma_sandbox.consortium import serve_consortium
from tests.unit.dcb.sides_desk import NOTHING, ONE, VP
from tests.unit.dcb.sides_world import KEY, PATRON, SandboxSide

pytestmark = pytest.mark.heavy


# --- a third library, and a FOLIO library


def with_system(desk, code, **system):
    """One more system takes part."""
    almas = desk.almas
    systems = {code: each.model_dump() for code, each in almas.settings.systems.items()}
    almas.settings = DcbSettings.model_validate({"systems": {**systems, code: system}, "mode": "drive"})
    almas.systems = Systems(almas.settings, almas)
    desk.context = replace(desk.context, settings=almas.settings, systems=almas.systems)


@pytest.fixture(scope="module")
def third_alma() -> Iterator[SandboxSide]:
    with serve(
        Settings(per_second=0, titles=10, api_key=KEY, institution="01ZX_INST", suffix="4403")
    ) as running:
        yield SandboxSide(running, "4403")


@pytest.fixture
def third(desk, third_alma):
    third_alma.reset()
    desk.almas.others["alma_third"] = third_alma
    system = desk.almas.settings.systems["BORROWER"].model_dump()
    with_system(desk, "THIRD", **{**system, "alma_conn_id": "alma_third"})
    return third_alma


ELSEWHERE = {"workflow": "RET-PUA", "pickup_system": "THIRD", "pickup_library": "LAW"}


def test_a_book_fetched_at_a_third_library_needs_a_hold_in_each_of_three_almas(desk, almas, third):
    assert desk.place(almas.conf(**ELSEWHERE)) == Status.RPPA
    assert desk.left() == ONE
    tracked = desk.context.store.get("PR-1")
    at_home, away = tracked.legs[Role.BORROWER], tracked.legs[Role.PICKUP]
    assert (at_home.user_id, at_home.pickup_library) == (PATRON, "STOR")
    assert (away.system_code, away.user_id, away.pickup_library, away.is_virtual) == (
        "THIRD",
        VP,
        "LAW",
        True,
    )
    (hold,) = third.contents()["requests"].values()
    assert (hold["user_id"], hold["pickup_library"]) == (VP, "LAW")
    assert [each.to for each in desk.context.store.history("PR-1").transitions] == [
        Status.CONFIRMED,
        Status.RPBA,
        Status.RPPA,
    ]
    assert desk.context.store.lease_outbox("ALMA_ACTION", almas.now, 10, "test") == []


def test_what_the_third_library_refuses_is_undone_in_all_three(desk, almas, third):
    third.strike("refuse", "POST", "/requests", code="401652")
    told = desk.place(almas.conf(**ELSEWHERE))
    assert (
        "Undone: the virtual item at the pickup, the hold of the borrower, the virtual item at the borrower"
        in told
    )
    assert desk.left() == NOTHING
    assert third.contents()["bibs"] == third.contents()["requests"] == {}


def test_a_cancellation_cancels_the_holds_at_home_and_at_the_third_library(desk, almas, third):
    desk.place(almas.conf(**ELSEWHERE))
    assert "is cancelled: CANCELLED" in desk.cancel()
    assert desk.left()["borrower holds"] == len(third.contents()["requests"]) == 0


@pytest.fixture
def folio(desk):
    with serve_consortium() as running, ModDcb(HttpAccess(running.url, api_key="sandbox")) as mod_dcb:
        desk.almas.folios["mod_dcb_default"] = mod_dcb
        with_system(desk, "FOLIO", kind="mod_dcb", conn_id="mod_dcb_default")
        yield running.consortium.transactions


PATRON_UUID = "b0c0a3b8-4c2f-4e0c-9a55-3b2f0f6f9a10"
IN_FOLIO = {
    "borrower_system": "FOLIO",
    "user_id": PATRON_UUID,
    "pickup_system": "FOLIO",
    "pickup_library": "5c9b7f4e-4bb0-4f0f-9f6f-b1a2a9c3d4e5",
}


def test_a_borrower_in_folio_gets_a_transaction_instead_of_a_virtual_item(desk, almas, folio):
    assert desk.place(almas.conf(**IN_FOLIO)) == desk.place(almas.conf(**IN_FOLIO)) == Status.RPBA
    (made,) = folio.by_id.values()
    assert (made.id, made.role, made.status) == ("PR-1", "BORROWING-PICKUP", "CREATED")
    assert made.details["patron"]["id"] == PATRON_UUID
    assert desk.left() == {**NOTHING, "lender holds": 1}
    leg = desk.context.store.get("PR-1").legs[Role.BORROWER]
    assert (leg.system_kind, leg.txn_id, leg.is_virtual) == ("MOD_DCB", "PR-1", False)
    assert "FOLIO transaction PR-1 is placed at FOLIO" in desk.page("run-1")


def test_a_transaction_that_is_there_for_something_else_undoes_the_placing(desk, almas, folio):
    desk.almas.folios["mod_dcb_default"].create(
        "PR-1", {"role": "LENDER", "item": {"id": "1", "barcode": "X"}, "patron": {"id": "2"}}
    )
    told = desk.place(almas.conf(**IN_FOLIO))
    assert "The FOLIO transaction could not be begun" in told
    assert "Undone: " in told
    assert "the lender's hold" in told
    assert desk.left() == NOTHING
    (made,) = folio.by_id.values()
    assert made.status == "CREATED"  # it is not ours


def test_a_request_in_folio_is_cancelled_by_its_transaction(desk, almas, folio):
    desk.place(almas.conf(**IN_FOLIO))
    assert "is cancelled: CANCELLED" in desk.cancel()
    assert [made.status for made in folio.by_id.values()] == ["CANCELLED"]


def test_a_book_that_folio_has_lent_is_not_cancelled(desk, almas, folio):
    desk.place(almas.conf(**IN_FOLIO))
    (made,) = folio.by_id.values()
    made.status = "ITEM_CHECKED_OUT"
    desk.cancel()
    assert "the book is lent at FOLIO" in desk.problem
    assert made.status == "ITEM_CHECKED_OUT"
