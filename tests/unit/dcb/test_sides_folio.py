"""Every action on a side that is a FOLIO library, against a pretend mod-dcb."""

from dataclasses import replace

import pytest

from alma_etl.dcb.conf import read_place
from alma_etl.dcb.machine.vocabulary import AckName, ActionType, Role, Status
from alma_etl.dcb.mod_dcb import ModDcb
from alma_etl.dcb.settings import DcbSettings
from alma_etl.dcb.sides import marks
from alma_etl.dcb.sides.actor import AlmaActor
from alma_etl.dcb.sides.ports import Refused
from alma_etl.dcb.store import LegRecord
from alma_etl.remote.service import HttpAccess
from alma_sandbox.consortium import serve_consortium
from tests.unit.dcb.sides_course import Course, acks
from tests.unit.dcb.sides_world import PATRON, supplier_leg

pytestmark = pytest.mark.heavy

A, S = ActionType, Status
VP = marks.virtual_user("BORROWER", PATRON)


# --- a FOLIO library as the borrower


@pytest.fixture
def folio(almas):
    with serve_consortium() as running, ModDcb(HttpAccess(running.url, api_key="sandbox")) as mod_dcb:
        systems = {**almas.settings.systems, "FOLIO": {"kind": "mod_dcb", "conn_id": "mod_dcb_default"}}
        almas.settings = DcbSettings(systems=systems, mode="drive")
        almas.folios["mod_dcb_default"] = mod_dcb
        almas.systems = type(almas.systems)(almas.settings, almas)
        yield FolioCourse(almas, running)


class FolioCourse(Course):
    def __init__(self, almas, running) -> None:
        self.almas, self.running = almas, running
        conf = almas.conf(
            borrower_system="FOLIO",
            user_id="b0c0a3b8-4c2f-4e0c-9a55-3b2f0f6f9a10",
            pickup_system="FOLIO",
            pickup_library="5c9b7f4e-4bb0-4f0f-9f6f-b1a2a9c3d4e5",
        )
        self.place = read_place(conf, almas.settings)
        self.supplier = supplier_leg(almas, None, VP)
        self.borrower = LegRecord(Role.BORROWER, "FOLIO", "MOD_DCB", txn_id="PR-1")
        self.actor = AlmaActor(almas.systems, almas.tick)

    def status(self):
        return self.almas.folios["mod_dcb_default"].status("PR-1").value


@pytest.mark.quick
def test_a_folio_transaction_is_begun_once(folio):
    answer = folio.do(A.PLACE_AT_BORROWER, S.CONFIRMED)
    assert acks(answer) == [AckName.BORROWER_PLACED]
    (leg,) = answer.legs
    assert (leg.system_kind, leg.txn_id, leg.request_id) == ("MOD_DCB", "PR-1", None)
    assert acks(folio.do(A.PLACE_AT_BORROWER, S.CONFIRMED)) == [AckName.BORROWER_PLACED]
    (made,) = folio.running.consortium.transactions.by_id.values()
    assert (made.role, made.status) == ("BORROWING-PICKUP", "CREATED")
    assert made.details["item"]["barcode"] == folio.almas.book().barcode


def test_a_folio_transaction_is_moved_on_and_ended(folio):
    folio.do(A.PLACE_AT_BORROWER, S.CONFIRMED)
    assert acks(folio.do(A.BORROWER_SCAN_IN, S.PICKUP_TRANSIT, "TRANSIT")) == []
    assert folio.status() == "OPEN"
    assert acks(folio.do(A.CLEANUP, S.CANCELLED)) == [AckName.CLEANED_UP]
    assert folio.status() == "CANCELLED"
    assert acks(folio.do(A.CLEANUP, S.CANCELLED)) == [AckName.CLEANED_UP]


def test_without_another_lender_a_folio_transaction_is_cancelled(folio):
    folio.do(A.PLACE_AT_BORROWER, S.CONFIRMED)
    assert acks(folio.do(A.RESOLVE_NEXT_SUPPLIER, S.NOT_SUPPLIED)) == [AckName.NO_ITEMS]
    assert folio.status() == "CANCELLED"


def test_what_mod_dcb_cannot_do_is_refused_and_what_it_does_not_know_is_told(folio):
    folio.do(A.PLACE_AT_BORROWER, S.CONFIRMED)
    answer = folio.do(A.SYNC_BARCODE, S.RPBA, "SUPPLIER", "NEW-BARCODE")
    assert isinstance(answer, Refused)
    assert "do it in FOLIO" in answer.reason
    folio.borrower = replace(folio.borrower, txn_id="ANOTHER")
    answer = folio.do(A.BORROWER_SCAN_IN, S.PICKUP_TRANSIT, "TRANSIT")
    assert isinstance(answer, Refused)
    assert "has no transaction ANOTHER" in answer.reason


def test_a_recall_blocks_renewals_in_folio(folio):
    folio.do(A.PLACE_AT_BORROWER, S.CONFIRMED)
    assert acks(folio.do(A.PREVENT_RENEWAL_AT_BORROWER, S.LOANED)) == []
    (made,) = folio.running.consortium.transactions.by_id.values()
    assert made.renewal_blocked
    for _ in range(2):
        assert acks(folio.do(A.RESTORE_RENEWAL_AT_BORROWER, S.LOANED)) == []
    assert not made.renewal_blocked
