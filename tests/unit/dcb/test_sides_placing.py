"""Placing step by step against two sandboxes: everything is checked first, and done once."""

import hashlib
import html
import json
import re
from dataclasses import replace

import pytest
from lxml import etree

from alma_etl.dcb.conf import nested
from alma_etl.dcb.flows.adopt.request import adopt
from alma_etl.dcb.flows.place import steps
from alma_etl.dcb.flows.place.track import track
from alma_etl.dcb.machine.vocabulary import Role, Status
from alma_etl.store.locks import LockLost, Locks
from tests.unit.dcb.adopting import PR_ID, reported
from tests.unit.dcb.records import SETTINGS
from tests.unit.dcb.sides_desk import NOTHING, ONE, STEPS, VP, refused
from tests.unit.dcb.sides_world import PATRON

pytestmark = pytest.mark.heavy


# --- placing


def test_a_request_is_placed_and_tracked(desk, almas):
    assert desk.place(almas.conf(note="For the desk")) == Status.RPBA
    assert desk.left() == ONE
    tracked = desk.context.store.get("PR-1")
    supplier, borrower = tracked.legs[Role.SUPPLIER], tracked.legs[Role.BORROWER]
    book = almas.book()
    assert (supplier.user_id, supplier.item_pid, supplier.holding_id) == (VP, book.pid, book.holding_id)
    assert (supplier.pickup_library, supplier.is_virtual) == ("STOR", False)
    assert (borrower.user_id, borrower.pickup_library, borrower.is_virtual) == (PATRON, "SCI", True)
    assert borrower.barcode == book.barcode
    (hold,) = almas.borrower.contents()["requests"].values()
    assert (hold["user_id"], hold["pickup_library"]) == (PATRON, "SCI")
    assert hold["values"]["comment"] == "For the desk [DCB-REQUEST:PR-1:BORROWER]"
    assert "note" not in tracked.conf
    assert "it is REQUEST_PLACED_AT_BORROWING_AGENCY" in desk.page("run-1")


def test_the_machine_is_told_in_the_right_order_and_nothing_is_left_to_place(desk, almas):
    desk.place(almas.conf())
    history = desk.context.store.history("PR-1")
    assert [each.to for each in history.transitions] == [Status.CONFIRMED, Status.RPBA]
    assert desk.context.store.lease_outbox("ALMA_ACTION", almas.now, 10, "test") == []


@pytest.mark.quick
def test_placing_costs_few_calls(desk, almas):
    almas.book()
    for side in (almas.lender, almas.borrower):
        side.control("DELETE", "log")
    desk.place(almas.conf())
    calls = {
        side.suffix: len(side.control("GET", "log")["entries"]) for side in (almas.lender, almas.borrower)
    }
    assert calls == {"4401": 9, "4402": 12}


SIX = ("pr_id", "supplier_system", "item_barcode", "borrower_system", "user_id", "pickup_library")


def test_what_the_conf_leaves_empty_is_looked_up_shown_and_kept(desk, almas):
    book, given = almas.book(), {name: value for name, value in almas.conf().items() if name in SIX}
    record = etree.fromstring(almas.at_lender.bibs.read(book.mms_id).value.record)
    for tag, value in (("020", "9780000000002"), ("100", "Winter, Mary,")):
        field = etree.SubElement(record, "datafield", tag=tag, ind1=" ", ind2=" ")
        etree.SubElement(field, "subfield", code="a").text = value
    almas.at_lender.bibs.update(book.mms_id, b"<bib>" + etree.tostring(record) + b"</bib>")
    assert desk.place(given, run_id="run-1") == Status.RPBA
    assert desk.left() == ONE
    bib = almas.at_lender.items.by_barcode(book.barcode).value.raw["bib_data"]
    title, page = bib["title"].rstrip(" /"), html.unescape(desk.page("run-1"))
    looked_up = {
        "supplier_mms_id": book.mms_id,
        "supplier_holding_id": book.holding_id,
        "supplier_item_pid": book.pid,
        "title": title,
        "author": "Winter, Mary",
        "isbn": "9780000000002",
        "material_type": book.material_type,
    }
    tracked = desk.context.store.get("PR-1")
    for name, value in looked_up.items():
        assert f"{name}: {value} (looked up)" in page
        assert tracked.conf[name] == value
    leg = tracked.legs[Role.BORROWER]
    made = almas.at_borrower.items.read(leg.mms_id, leg.holding_id, leg.item_pid).value
    assert (made.barcode, made.material_type) == (book.barcode, book.material_type)
    assert made.raw["bib_data"]["title"] == title
    assert desk.place(given) == desk.place(almas.conf(title=title, author="", isbn="")) == Status.RPBA
    assert "used before, for another one" in refused(desk, given | {"title": "Another title"})
    assert desk.left() == ONE


def test_what_was_placed_by_a_nested_conf_of_before_is_the_same_request(desk, almas):
    desk.place(almas.conf())
    desk.keep_conf(nested(almas.place()))
    six = {name: value for name, value in almas.conf().items() if name in SIX}
    assert desk.place(almas.conf()) == desk.place(six) == Status.RPBA
    assert "used before, for another one" in refused(desk, almas.conf(user_id="I000004"))
    assert desk.left() == ONE


def test_a_run_that_was_begun_by_a_nested_conf_of_before_is_gone_on_with(desk, almas):
    conf, bucket = almas.conf(), desk.context.bucket
    placing = desk.placing(conf, run_id="run-1")
    for step in STEPS[:3]:
        step(placing)
    digest = hashlib.sha256(json.dumps(nested(almas.place()), sort_keys=True).encode()).hexdigest()
    (claim,) = [key for key in desk.names() if "/claims/" in key]
    bucket.put(claim, json.dumps({"run_id": "run-1", "request": digest, "confs": [digest]}).encode())
    (key,) = [key for key in desk.names() if key.endswith("/progress.json")]
    progress = json.loads(bucket.get(key))
    before = {name: value for name, value in progress.items() if name not in ("found", "copy_number")}
    bucket.put(key, json.dumps(before | {"supplier_barcode": almas.book().barcode}).encode())
    assert "with another conf" in desk.place(almas.conf(title="Another"), run_id="run-2")
    assert desk.place(conf, run_id="run-3") == Status.RPBA
    assert desk.left() == ONE


def test_a_second_run_with_the_same_conf_adopts_and_one_with_another_is_refused(desk, almas):
    conf = almas.conf()
    assert desk.place(conf) == desk.place(conf) == desk.place(conf, run_id="run-1") == Status.RPBA
    assert desk.place(almas.conf(user_id="I000003")) == Status.RPBA
    assert desk.left() == ONE
    assert "its pr_id was used before, for another one" in refused(desk, almas.conf(number=1))
    assert desk.left() == ONE


class LostSession:
    """Gives every lock, and has lost it when it is asked."""

    def take(self, name):
        return self

    def holds(self, name, session):
        return False

    def release(self, name, session):
        pass

    def close(self):
        pass


@pytest.mark.parametrize("number", range(1, len(STEPS)))
def test_a_step_that_lost_its_lock_writes_nothing_and_a_retry_goes_on(desk, almas, number):
    conf, good = almas.conf(), desk.context
    for step in STEPS[:number]:
        step(desk.placing(conf, run_id="run-1"))
    before = [side.contents() for side in (almas.lender, almas.borrower)]
    desk.context = replace(good, locks=Locks(LostSession()))
    with pytest.raises(LockLost, match="dcb_request:PR-1 was lost"):
        STEPS[number](desk.placing(conf, run_id="run-1"))
    assert [side.contents() for side in (almas.lender, almas.borrower)] == before
    desk.context = good
    assert desk.place(conf, run_id="run-1") == Status.RPBA
    assert desk.left() == ONE


def test_a_placing_and_a_cancellation_that_lost_their_lock_write_nothing(desk, almas):
    conf, good = almas.conf(), desk.context
    for step in STEPS:
        step(desk.placing(conf, run_id="run-1"))
    desk.context = replace(good, locks=Locks(LostSession()))
    with pytest.raises(LockLost):
        track(desk.placing(conf, run_id="run-1"), {})
    assert good.store.get("PR-1") is None
    desk.context = good
    assert desk.place(conf, run_id="run-1") == Status.RPBA
    desk.context = replace(good, locks=Locks(LostSession()))
    with pytest.raises(LockLost):
        desk.cancel()
    assert desk.left() == ONE


def test_a_request_under_way_is_not_touched_when_its_patron_is_blocked_meanwhile(desk, almas):
    desk.place(almas.conf())
    user = almas.borrower.running.sandbox.users.find(PATRON)
    almas.borrower.running.sandbox.users.keep({**user, "status": {"value": "INACTIVE"}})
    assert desk.place(almas.conf()) == Status.RPBA
    almas.borrower.running.sandbox.users.drop(PATRON)
    assert "cannot be placed" in refused(desk, almas.conf()) or "so nothing was undone" in desk.problem
    assert desk.left() == ONE


def test_a_run_joins_another_of_the_same_conf_that_is_under_way(desk, almas):
    first = desk.placing(almas.conf())
    for step in STEPS[:3]:
        step(first)
    assert "is being placed with another conf by the run run-1" in refused(desk, almas.conf(note="Another"))
    assert desk.place(almas.conf()) == Status.RPBA
    for step in STEPS[3:]:
        step(first)
    assert track(first, {}) == Status.RPBA
    assert desk.left() == ONE


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"borrower_system": "BORROWER", "user_id": "nobody"}, "knows no such user"),
        ({"borrower_system": "BORROWER", "user_id": "patron047"}, "PATRON_BLOCKED"),
        ({"borrower_system": "BORROWER", "user_id": "patron048"}, "PATRON_EXPIRED"),
        ({"borrower_system": "BORROWER", "user_id": "patron049"}, "PATRON_INACTIVE"),
        ({"borrower_system": "BORROWER", "user_id": "patron050"}, "PATRON_BLOCKED"),
        (
            {"pickup_library": "NOWHERE"},
            r"has no library 'NOWHERE'; BORROWER has LAW \(Law Library\), MAIN \(",
        ),
        ({"pickup_library": ""}, r"pickup_library is missing; BORROWER has LAW \(Law Library\), MAIN"),
        ({"item_barcode": "ANOTHER"}, "has the barcode .*, not ANOTHER"),
        (
            {"item_barcode": "ANOTHER", "supplier_holding_id": ""},
            "No item of LENDER has the barcode ANOTHER: look at item_barcode",
        ),
        (
            {"supplier_item_pid": "999999999"},
            "does not exist: look at supplier_mms_id, supplier_holding_id and",
        ),
        (
            {"supplier_item_pid": "", "supplier_mms_id": "999999999"},
            "has the id [0-9]+, not 999999999: look at supplier_mms_id",
        ),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(change, why, desk, almas):
    assert re.search(why, refused(desk, almas.conf(**change)))
    assert desk.left() == NOTHING
    assert almas.lender.calls("POST") == almas.borrower.calls("POST") == []
    assert desk.context.store.get("PR-1") is None
    assert desk.place(almas.conf()) == Status.RPBA  # the id is still free


@pytest.mark.parametrize(
    ("process_type", "why"), [("LOAN", "is on loan"), ("MISSING", "is missing"), ("ACQ", "is not in place")]
)
def test_a_book_that_is_not_there_is_refused(process_type, why, desk, almas):
    almas.lender.control("POST", f"items/{almas.book().pid}", {"process_type": process_type})
    assert f"{why}: choose another copy" in refused(desk, almas.conf()) or why in desk.problem
    assert almas.lender.calls("POST") == []


def test_a_book_that_somebody_else_waits_for_is_refused(desk, almas):
    body = {"request_type": "HOLD", "pickup_location_type": "LIBRARY", "pickup_location_library": "MAIN"}
    almas.at_lender.requests.create("patron001", body, item_pid=almas.book().pid)
    assert "is requested by somebody: choose another copy" in refused(desk, almas.conf())


def test_a_duplicate_request_of_the_patron_for_the_book_is_refused(desk, almas):
    desk.place(almas.conf())
    assert "is requested by somebody" in desk.place(almas.conf("PR-2")) + desk.problem
    assert desk.left() == ONE


def test_the_barcode_of_a_real_item_of_the_borrower_is_refused(desk, almas):
    real = almas.borrower.lendable(almas.at_borrower)[0]
    almas.lender.control("POST", f"items/{almas.book().pid}", {"barcode": real.barcode})
    try:
        assert "belongs to another item of this Alma" in refused(desk, almas.conf(item_barcode=real.barcode))
        assert desk.left() == NOTHING
    finally:
        almas.lender.control("POST", f"items/{almas.book().pid}", {"barcode": almas.book().barcode})


def test_a_dry_run_writes_nothing_and_says_what_would_be_done(desk, almas):
    assert desk.place(almas.conf(), dry_run=True) == "dry run"
    assert desk.left() == NOTHING
    for method in ("POST", "PUT", "DELETE"):
        assert almas.lender.calls(method) == almas.borrower.calls(method) == []
    page = desk.page("run-1")
    assert "would be placed" in page
    assert "would be made at BORROWER" in page
    assert desk.place(almas.conf(item_barcode="X"), dry_run=True).startswith(
        "The request PR-1 cannot be placed"
    )
    assert desk.place(almas.conf()) == Status.RPBA
    assert desk.place(almas.conf(), dry_run=True, run_id="again") == "dry run"
    assert "is tracked already and REQUEST_PLACED_AT_BORROWING_AGENCY" in desk.page("again")


def test_a_dry_run_cleared_as_a_real_one_places_and_a_dry_run_between_forgets_nothing(desk, almas):
    conf = almas.conf()
    desk.place(conf, run_id="cleared", dry_run=True)
    placing = desk.placing(conf, run_id="cleared")
    for step in STEPS[:3]:  # the lender's hold stands, then somebody clears the run as a dry run
        step(placing)
    begun = placing.load()
    desk.place(conf, run_id="cleared", dry_run=True)
    assert placing.load() == begun
    assert desk.place(conf, run_id="cleared") == Status.RPBA
    assert desk.left() == ONE
    assert "would be" not in desk.page("cleared")


def test_a_request_that_dcb_service_runs_is_not_placed_here(desk, almas):
    assert adopt(desk.context.store, reported("LOANED"), settings=SETTINGS, now=almas.now) == "created"
    assert f"{PR_ID} cannot be placed: it is run by dcb-service already" in desk.place(almas.conf(PR_ID))
    assert desk.left() == NOTHING


def test_two_tasks_never_work_on_one_request_at_once(desk, almas):
    placing = desk.placing(almas.conf())
    with (
        placing.locked(),
        pytest.raises(Exception, match="somebody else has been working on dcb_request:PR-1"),
    ):
        steps.check_patron(desk.placing(almas.conf()))


def test_nothing_personal_is_kept_or_told(desk, almas, caplog):
    caplog.set_level("DEBUG", "alma_etl")
    desk.place(almas.conf())
    desk.place(almas.conf("PR-2", 1, user_id="patron047"))
    desk.cancel()
    kept = "".join(desk.context.bucket.get(key).decode() for key in desk.names())
    for text in (kept, caplog.text):
        assert text
        assert not re.search(r"Test Street|@example|Patron \d|deeds-test-word", text)
