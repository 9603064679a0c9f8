"""Placing and cancelling step by step against two sandboxes: done once, undone when refused, gone on with."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from alma_etl.alma.errors import AlmaStop
from alma_etl.dcb.conf import CancelRequest, read_place
from alma_etl.dcb.deeds.marks import virtual_user
from alma_etl.dcb.deeds.words import Unsettled
from alma_etl.dcb.moments import Moment
from alma_etl.dcb.observations import Ack, ItemRead, LoanRead, Observation, RequestRead
from alma_etl.dcb.placing import cancel, steps
from alma_etl.dcb.placing.cancel import Cancelling
from alma_etl.dcb.placing.problems import keeping
from alma_etl.dcb.placing.progress import Placing, Tools
from alma_etl.dcb.placing.track import track
from alma_etl.dcb.store import DcbStore, Report
from alma_etl.dcb.vocabulary import AckName, Closure, Outcome, Role, Status
from alma_etl.errors import InputProblem, NotAcceptable, RunStopped
from alma_etl.store.bucket import Bucket
from alma_etl.store.locks import open_locks
from alma_etl.store.upgrade import upgrade
from tests.e2e.death import Reaper, WorkerKilled
from tests.unit.dcb.deeds_world import PATRON, Almas

pytestmark = pytest.mark.heavy

VP = virtual_user("BORROWER", PATRON)
STEPS = (
    steps.check_patron,
    steps.ensure_virtual_patron,
    steps.place_supplier_request,
    steps.create_virtual_item,
    steps.place_borrower_request,
)


class Desk:
    """Runs the DAGs' steps in their order."""

    def __init__(self, almas: Almas, tools: Tools, folder: Path) -> None:
        self.almas, self.tools, self.folder = almas, tools, folder
        self.runs = 0
        self.numbers = itertools.count()

    def placing(self, conf, run_id=None, dry_run=False) -> Placing:
        self.runs += 1
        return Placing(
            self.tools, read_place(conf, self.tools.settings), run_id or f"run-{self.runs}", dry_run=dry_run
        )

    def forget(self):
        """A new state store and an empty bucket."""
        for name in self.names():
            self.tools.bucket.delete([name])
        self.tools.store.close()
        url = f"sqlite:///{self.folder}/store-{next(self.numbers)}.db"
        upgrade(url)
        self.tools = replace(self.tools, store=DcbStore(url))

    def place(self, conf, **more):
        """All steps, as the DAG does them; the status, or the last sentence."""
        placing = self.placing(conf, **more)
        states = {}
        self.problem = ""
        for step in STEPS:
            try:
                with keeping(placing.files):
                    step(placing)
            except (RunStopped, Unsettled, AlmaStop) as problem:
                self.problem = str(problem)
                states[step.__name__] = "failed"
                break
        try:
            return track(placing, states)
        except NotAcceptable as problem:
            return str(problem)

    def cancel(self, pr_id="PR-1", dry_run=False, **conf):
        self.runs += 1
        run = Cancelling(
            self.tools, CancelRequest(pr_id=pr_id, **conf), f"cancel-{self.runs}", dry_run=dry_run
        )
        states = {}
        self.problem = ""
        try:
            with keeping(run.files):
                cancel.cancel(run)
                cancel.verify(run)
        except (RunStopped, Unsettled, AlmaStop) as problem:
            self.problem = str(problem)
            states["cancel"] = "failed"
        try:
            return cancel.report(run, states)
        except NotAcceptable as problem:
            return str(problem)

    def left(self):
        """What stands in both Almas of requests."""
        lender, borrower = self.almas.lender.contents(), self.almas.borrower.contents()
        return {
            "lender holds": len(lender["requests"]),
            "borrower holds": len(borrower["requests"]),
            "bibs": len(borrower["bibs"]),
            "items": len([item for item in borrower["items"].values() if item["mms_id"] in borrower["bibs"]]),
        }

    def names(self):
        return [each.key for each in self.tools.bucket.list("runs/")]

    def page(self, run_id):
        (key,) = [key for key in self.names() if key.endswith(f"/{run_id}/report.html")]
        return self.tools.bucket.get(key).decode()

    def apply(self, *seen, pr_id="PR-1"):
        reports = [Report(each, "ACK" if isinstance(each, Ack) else "POLL") for each in seen]
        return self.tools.store.apply(pr_id, reports, settings=self.tools.settings, now=self.almas.now).status


ONE = {"lender holds": 1, "borrower holds": 1, "bibs": 1, "items": 1}
NOTHING = dict.fromkeys(ONE, 0)


@pytest.fixture(scope="session")
def placing_bucket(s3_server) -> Bucket:
    client = s3_server.client()
    client.create_bucket(Bucket="placing-tests")
    return Bucket(client, "placing-tests")


@pytest.fixture
def desk(almas, placing_bucket, tmp_path) -> Iterator[Desk]:
    url = f"sqlite:///{tmp_path}/store.db"
    upgrade(url)
    with DcbStore(url) as store, open_locks(url, patience=1) as locks:
        tools = Tools(almas.settings, store, almas.systems, placing_bucket, locks, almas.tick)
        made = Desk(almas, tools, tmp_path)
        yield made
        made.tools.store.close()
    placing_bucket.delete(each.key for each in placing_bucket.list(""))


# --- placing


def test_a_request_is_placed_and_tracked(desk, almas):
    assert desk.place(almas.conf(note="For the desk")) == Status.RPBA
    assert desk.left() == ONE
    tracked = desk.tools.store.get("PR-1")
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
    history = desk.tools.store.history("PR-1")
    assert [each.to for each in history.transitions] == [Status.CONFIRMED, Status.RPBA]
    assert desk.tools.store.lease_outbox("ALMA_ACTION", almas.now, 10, "test") == []


def test_placing_costs_few_calls(desk, almas):
    almas.book()
    for side in (almas.lender, almas.borrower):
        side.control("DELETE", "log")
    desk.place(almas.conf())
    calls = {
        side.suffix: len(side.control("GET", "log")["entries"]) for side in (almas.lender, almas.borrower)
    }
    assert calls == {"4401": 7, "4402": 10}


def test_a_second_run_with_the_same_conf_adopts_and_one_with_another_is_refused(desk, almas):
    conf = almas.conf()
    assert desk.place(conf) == desk.place(conf) == desk.place(conf, run_id="run-1") == Status.RPBA
    assert desk.place(almas.conf(borrower={"system": "BORROWER", "user_id": "I000003"})) == Status.RPBA
    assert desk.left() == ONE
    assert "its pr_id was used before, for another one" in refused(desk, almas.conf(number=1))
    assert desk.left() == ONE


def test_a_request_under_way_is_not_touched_when_its_patron_is_blocked_meanwhile(desk, almas):
    desk.place(almas.conf())
    user = almas.borrower.running.sandbox.users.find(PATRON)
    almas.borrower.running.sandbox.users.keep({**user, "status": {"value": "INACTIVE"}})
    assert desk.place(almas.conf()) == Status.RPBA
    almas.borrower.running.sandbox.users.drop(PATRON)
    assert "cannot be placed" in refused(desk, almas.conf()) or "so nothing was undone" in desk.problem
    assert desk.left() == ONE


def refused(desk, conf):
    """The sentence of the step that refused, which is also the last one of the run."""
    told = desk.place(conf)
    assert told == desk.problem
    return told


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
        ({"borrower": {"system": "BORROWER", "user_id": "nobody"}}, "knows no such user"),
        ({"borrower": {"system": "BORROWER", "user_id": "patron047"}}, "PATRON_BLOCKED"),
        ({"borrower": {"system": "BORROWER", "user_id": "patron048"}}, "PATRON_EXPIRED"),
        ({"borrower": {"system": "BORROWER", "user_id": "patron049"}}, "PATRON_INACTIVE"),
        ({"borrower": {"system": "BORROWER", "user_id": "patron050"}}, "PATRON_BLOCKED"),
        (
            {"pickup": {"system": "BORROWER", "library": "NOWHERE"}},
            "has no library 'NOWHERE'; it has LAW, MAIN",
        ),
        ({"item": {"barcode": "ANOTHER"}}, "has the barcode .*, not ANOTHER"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(change, why, desk, almas):
    assert re.search(why, refused(desk, almas.conf(**change)))
    assert desk.left() == NOTHING
    assert almas.lender.calls("POST") == almas.borrower.calls("POST") == []
    assert desk.tools.store.get("PR-1") is None
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
        assert "belongs to another item of this Alma" in refused(
            desk, almas.conf(item={"barcode": real.barcode})
        )
        assert desk.left() == NOTHING
    finally:
        almas.lender.control("POST", f"items/{almas.book().pid}", {"barcode": almas.book().barcode})


def test_a_rehearsal_writes_nothing_and_says_what_would_be_done(desk, almas):
    assert desk.place(almas.conf(), dry_run=True) == "rehearsed"
    assert desk.left() == NOTHING
    for method in ("POST", "PUT", "DELETE"):
        assert almas.lender.calls(method) == almas.borrower.calls(method) == []
    page = desk.page("run-1")
    assert "would be placed" in page
    assert "would be made at BORROWER" in page
    assert desk.place(almas.conf(item={"barcode": "X"}), dry_run=True).startswith(
        "The request PR-1 cannot be placed"
    )
    assert desk.place(almas.conf()) == Status.RPBA


# --- refusals on the way, and what is undone


@pytest.mark.parametrize(
    ("side", "path", "undone"),
    [
        ("lender", "/users$", "Nothing was left behind"),
        ("lender", "/requests", "Nothing was left behind"),
        ("borrower", "/bibs$", "Undone: the lender's hold."),
        ("borrower", "/holdings$", "Undone: the virtual item at the borrower, the lender's hold."),
        ("borrower", "/items$", "Undone: the virtual item at the borrower, the lender's hold."),
        ("borrower", "/requests", "Undone: the virtual item at the borrower, the lender's hold."),
    ],
)
def test_a_refusal_for_good_undoes_what_was_done(side, path, undone, desk, almas):
    getattr(almas, side).strike("refuse", "POST", path, code="401652", message="words about a person")
    told = desk.place(almas.conf())
    assert told.startswith("The request PR-1 was not placed. ")
    assert undone in told
    assert "401652" in told
    assert "words about" not in told
    assert desk.left() == NOTHING
    assert desk.tools.store.get("PR-1") is None
    with pytest.raises(InputProblem, match="clear the run from check_patron on"):
        steps.place_supplier_request(desk.placing(almas.conf(), run_id="run-1"))
    getattr(almas, side).control("DELETE", "faults")
    assert desk.place(almas.conf(note="Now otherwise")) == Status.RPBA
    assert desk.left() == ONE


def test_what_cannot_be_undone_is_listed_and_undone_by_the_next_run(desk, almas):
    almas.borrower.strike("refuse", "POST", "/requests", code="401652")
    almas.lender.strike("server_error", "DELETE", "/requests/", applied=False)
    told = desk.place(almas.conf())
    assert "Undone: the virtual item at the borrower." in told
    assert re.search(r"Left: the lender's hold \(.*500.*\)\. Run it once more with the same conf", told)
    assert desk.left() == {**NOTHING, "lender holds": 1}
    almas.lender.control("DELETE", "faults")
    assert "Undone: the virtual item at the borrower, the lender's hold." in desk.place(almas.conf())
    assert desk.left() == NOTHING


def test_when_an_alma_does_not_answer_everything_stays_and_is_gone_on_with(desk, almas):
    almas.borrower.strike("server_error", "POST", "/holdings$", applied=False)
    told = desk.place(almas.conf(), run_id="run-1")
    assert "is not placed: The virtual holding could not be made: " in told
    assert "What stands: lender's hold" in told
    assert "Clear create_virtual_item with downstream to go on" in told
    assert desk.left() == {**NOTHING, "lender holds": 1, "bibs": 1}
    almas.borrower.control("DELETE", "faults")
    placing = desk.placing(almas.conf(), run_id="run-1")
    for step in STEPS[3:]:
        step(placing)
    assert track(placing, {}) == Status.RPBA
    assert desk.left() == ONE


@pytest.mark.parametrize("kind", ["drop", "truncated", "server_error"])
def test_every_post_may_lose_its_answer(kind, desk, almas):
    for side in (almas.lender, almas.borrower):
        for path in ("/users$", "/bibs$", "/holdings$", "/items$", "/requests"):
            side.strike(kind, "POST", path, applied=True, first=1)
    assert desk.place(almas.conf()) == Status.RPBA
    assert desk.left() == ONE
    assert len([each for each in almas.lender.contents()["users"] if each.startswith("DCB-")]) == 1


def test_a_worker_killed_at_any_deed_and_begun_again_places_once(desk, almas, monkeypatch):
    reaper = Reaper(monkeypatch)
    for name in ("add", "apply"):
        reaper._watch(monkeypatch, DcbStore, name)
    for kill_at in range(1, 200):
        reaper.fresh_process()
        desk.forget()
        for side in (almas.lender, almas.borrower):
            side.reset()
        pr_id = f"PR-{kill_at}"
        conf, died = almas.conf(pr_id), False
        reaper.fresh_process(kill_at)
        placing = desk.placing(conf)
        for step in (*STEPS, lambda each: track(each, {})):
            try:
                step(placing)
            except WorkerKilled:
                died = True
                reaper.fresh_process()
                step(placing)
        assert desk.left() == ONE, f"killed at deed {kill_at}"
        assert desk.tools.store.get(pr_id).status is Status.RPBA
        assert [each.to for each in desk.tools.store.history(pr_id).transitions] == [
            Status.CONFIRMED,
            Status.RPBA,
        ]
        if not died:
            assert kill_at > 20
            return
    raise AssertionError("the placing never came to its end")


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
    desk.place(almas.conf("PR-2", 1, borrower={"system": "BORROWER", "user_id": "patron047"}))
    desk.cancel()
    kept = "".join(desk.tools.bucket.get(key).decode() for key in desk.names())
    for text in (kept, caplog.text):
        assert text
        assert not re.search(r"Test Street|@example|Patron \d|deeds-test-word", text)


# --- cancelling


def test_before_the_book_is_sent_a_cancellation_ends_the_request(desk, almas):
    desk.place(almas.conf())
    assert "is cancelled: CANCELLED" in desk.cancel()
    assert desk.left()["borrower holds"] == 0
    tracked = desk.tools.store.get("PR-1")
    assert (tracked.state.outcome, tracked.state.closure) == (Outcome.CANCELLED, Closure.CANCELED)
    wanted = desk.tools.store.lease_outbox("ALMA_ACTION", almas.now, 10, "test")
    assert [row.type for row in wanted] == ["CANCEL_SUPPLIER_HOLD"]
    assert "is cancelled: CANCELLED" in desk.cancel()
    assert "is cancelled already" in desk.page("cancel-3")
    assert almas.borrower.control("GET", "state")["letters"] == {}


def later(almas, minutes=30):
    almas.now += timedelta(minutes=minutes)
    return Moment.at(almas.now)


def send(desk, almas):
    """The lender sends the book, and a poll sees it."""
    almas.lender.control("POST", "desk", {"pid": almas.book().pid, "library": almas.book().library})
    at = later(almas)
    return desk.apply(
        Observation(
            Role.SUPPLIER, at, request=RequestRead(True, "IN_PROCESS"), item=ItemRead(True, "0", "TRANSIT")
        )
    )


def test_once_the_book_is_out_a_cancellation_waits_for_it_to_come_home(desk, almas):
    desk.place(almas.conf())
    assert send(desk, almas) is Status.PICKUP_TRANSIT
    later(almas)
    assert "is cancelled: AWAITING_RETURN_TO_SUPPLIER" in desk.cancel()
    assert desk.left()["borrower holds"] == 0


def test_a_book_that_left_since_the_last_poll_is_waited_for_as_well(desk, almas):
    desk.place(almas.conf())
    almas.lender.control("POST", "desk", {"pid": almas.book().pid, "library": almas.book().library})
    later(almas)
    assert "AWAITING_RETURN_TO_SUPPLIER" in desk.cancel()


def lend_to_the_patron(desk, almas):
    item = desk.tools.store.get("PR-1").legs[Role.BORROWER].item_pid
    almas.borrower.control("POST", "desk", {"pid": item, "library": "SCI"})
    almas.borrower.control("POST", "desk", {"pid": item, "library": "SCI", "lend_to": PATRON})


def test_a_book_that_is_lent_by_now_is_not_cancelled_even_before_a_poll_has_seen_it(desk, almas):
    desk.place(almas.conf())
    send(desk, almas)
    lend_to_the_patron(desk, almas)
    later(almas)
    desk.cancel()
    assert "the book is lent at BORROWER. It ends when the patron has returned it" in desk.problem
    assert almas.borrower.calls("DELETE") == []
    seen = Observation(
        Role.BORROWER, later(almas), request=RequestRead(False), item=ItemRead(True, "0", "LOAN"),
        loan=LoanRead(True, "ACTIVE"),
    )  # fmt: skip
    assert desk.apply(seen) is Status.LOANED
    assert "was not cancelled as asked, cancel failed: The request PR-1 is LOANED" in desk.cancel()
    assert "is LOANED and cannot be cancelled: the patron has had the book" in desk.problem


def test_nothing_is_cancelled_when_nobody_knows_whether_the_book_is_lent(desk, almas):
    desk.place(almas.conf())
    almas.borrower.strike("server_error", "GET", "/loans")
    desk.cancel()
    assert "does not say whether the book is lent; nothing was cancelled" in desk.problem
    assert desk.left() == ONE


def test_a_request_that_is_not_tracked_or_over_cannot_be_cancelled(desk, almas):
    desk.cancel("PR-9")
    assert "There is no request PR-9 here" in desk.problem
    desk.place(almas.conf())
    desk.apply(Ack(AckName.OPERATOR_CLEANUP, later(almas)))
    desk.cancel()
    assert "is COMPLETED and cannot be cancelled: it is over" in desk.problem


def test_a_cancellation_that_alma_refuses_is_told(desk, almas):
    desk.place(almas.conf())
    told = desk.cancel(reason="WHIM")
    assert "was not cancelled as asked" in told
    assert "Alma does not know one of the codes" in desk.problem
    assert desk.left() == ONE


def test_a_rehearsed_cancellation_cancels_nothing(desk, almas):
    desk.place(almas.conf())
    assert "A rehearsal: the request PR-1 can be cancelled" in desk.cancel(dry_run=True)
    assert desk.left() == ONE
    assert desk.tools.store.get("PR-1").status is Status.RPBA


@pytest.mark.parametrize("kind", ["drop", "server_error"])
def test_a_cancellation_whose_answer_is_lost_is_done_once(kind, desk, almas):
    desk.place(almas.conf())
    almas.borrower.strike(kind, "DELETE", "/requests/", applied=True, first=1)
    assert "is cancelled: CANCELLED" in desk.cancel()
