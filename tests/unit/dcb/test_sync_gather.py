"""In what order a tick reads, and what it makes of a system that cannot be reached: without any server."""

import threading
from datetime import timedelta

import pytest

from alma_etl.dcb.flows.tick.folder import Deadline
from alma_etl.dcb.flows.tick.poll import Answered, Circuits, Gather
from alma_etl.dcb.machine.model import ItemRead, LoanRead, RequestRead, State
from alma_etl.dcb.machine.vocabulary import Role, Status, Workflow
from alma_etl.dcb.plan import Part
from alma_etl.dcb.settings import DcbSettings
from alma_etl.dcb.store import LegRecord, ReadError, Tracked
from alma_etl.errors import InputProblem
from alma_etl.remote.errors import RemoteUnreachable
from tests.unit.dcb.records import SETTINGS, START
from tests.unit.dcb.story import loaned, placed, shipped

S, B, P = Role.SUPPLIER, Role.BORROWER, Role.PICKUP
READS = {
    Part.REQUEST: ("request", RequestRead(True, "IN_PROCESS")),
    Part.ITEM: ("item", ItemRead(True, "1")),
    Part.LOAN: ("loan", LoanRead(True, "ACTIVE")),
}


class Books:
    """Answers every question, and notes in which order they came."""

    def __init__(self, **answers):
        self.answers, self.asked, self.lists, self.down = answers, [], [], {}
        self._lock = threading.Lock()

    def budget_of(self, system):
        return system

    def open(self, system, kind):
        if isinstance(self.down.get(system), InputProblem):
            raise self.down[system]

    def ask(self, questions, *, listed):
        code = questions[0].leg.system_code
        with self._lock:
            self.asked += [(each.leg.role, each.part) for each in questions]
            self.lists.append(listed)
        if code in self.down:
            raise self.down[code]
        return [self._told(each) for each in questions]

    def _told(self, question):
        if question.leg.system_kind == "MOD_DCB":
            return Answered({"txn": self.answers.get("txn")}, [ReadError("txn", 500)])
        name, read = READS[question.part]
        read = self.answers.get(f"{question.leg.role}_{name}", read)
        return Answered({name: read}, user_seen=True)


def tracked(state, pr_id="PR-1", *, user="patron-1", borrower_kind="ALMA", nudged=False, roles=(S, B)):
    codes = {S: "LENDER", B: "BORROWER", P: "PICKUP"}
    legs = {
        role: LegRecord(
            role,
            codes[role],
            system_kind="ALMA" if role is S else borrower_kind,
            user_id="vp-1" if role is S else user,
            request_id=f"{pr_id}-{role}",
            txn_id=pr_id,
            item_pid=f"{pr_id}-{role}-item",
        )
        for role in roles
    }
    return Tracked(
        pr_id,
        state.workflow,
        state.status,
        START,
        state,
        legs,
        {},
        1,
        1,
        0,
        START,
        nudged,
        False,
        False,
        START,
        START,
    )


@pytest.fixture
def look():
    def work(books, *requests, seconds=60, circuits=None, settings: DcbSettings = SETTINGS):
        gather = Gather(
            books,
            settings,
            circuits or Circuits(),
            now=lambda: START + timedelta(days=20),
            deadline=Deadline(seconds),
        )
        return gather.read(requests)

    return work


def test_the_hold_is_read_before_the_item_and_the_lender_before_the_patron(look):
    books = Books()
    look(books, tracked(shipped().state, nudged=True))
    assert books.asked[:3] == [(S, Part.ITEM), (B, Part.REQUEST), (B, Part.ITEM)]


def test_a_book_that_was_just_shipped_makes_the_patrons_hold_worth_reading(look):
    books = Books(SUPPLIER_item=ItemRead(True, "0", "TRANSIT"))
    state = placed().state
    for leg in state.legs.values():
        leg.at = None
    settled = Books()
    (quiet,) = look(settled, tracked(state))
    (moved,) = look(books, tracked(state))
    assert (B, Part.REQUEST) in books.asked
    assert moved.reports()[-1].seen.role is B
    assert len(quiet.reports()) == len(settled.asked) - 1  # hold and item are one observation


def test_a_loan_that_ended_raises_the_item(look):
    books = Books(BORROWER_loan=LoanRead(True, "COMPLETE"), BORROWER_item=ItemRead(True, "0", "TRANSIT"))
    (looked,) = look(books, tracked(loaned().state))
    assert [part for role, part in books.asked if role is B] == [Part.LOAN, Part.ITEM]
    seen = next(each.seen for each in looked.reports() if each.seen.role is B)
    assert (seen.loan.loan_status, seen.item.process_type) == ("COMPLETE", "TRANSIT")


def test_two_requests_of_one_user_share_a_list_and_a_third_users_does_not(look):
    state = shipped().state
    books = Books()
    look(books, tracked(state, "PR-1"), tracked(state, "PR-2"), tracked(state, "PR-3", user="patron-2"))
    holds = [asked for asked in books.asked if asked == (B, Part.REQUEST)]
    assert len(holds) == 3
    assert books.lists.count(True) == 1


def test_a_folio_side_is_one_read_whatever_the_status(look):
    books = Books(txn="OPEN")
    (looked,) = look(books, tracked(placed().state, borrower_kind="MOD_DCB"))
    report = next(each for each in looked.reports() if each.seen.role is B)
    assert report.seen.txn == "OPEN"
    assert report.errors == (ReadError("txn", 500),)
    assert books.asked.count((B, Part.REQUEST)) == 1


def test_a_third_side_is_read_beside_the_borrowers(look):
    state = State(workflow=Workflow.PICKUP_ANYWHERE, status=Status.PICKUP_TRANSIT)
    books = Books()
    (looked,) = look(books, tracked(state, roles=(S, B, P)))
    assert {report.seen.role for report in looked.reports()} == {S, B, P}


def test_a_side_that_is_not_placed_is_not_read(look):
    request = tracked(placed().state)
    bare = LegRecord(B, "BORROWER", user_id="patron-1")
    request = Tracked(**{name: getattr(request, name) for name in request.__slots__} | {"legs": {B: bare}})
    books = Books()
    (looked,) = look(books, request)
    assert (looked.reports(), books.asked) == ([], [])


def test_an_outage_freezes_those_that_needed_the_system_and_is_met_once(look):
    books = Books()
    books.down["BORROWER"] = RemoteUnreachable("GET /users", None, "", "Alma does not answer")
    circuits = Circuits()
    away = [tracked(shipped().state, f"PR-{number}", user=f"patron-{number}") for number in range(30)]
    near = tracked(State(), "PR-near", roles=(S,))
    looked = look(books, *away, near, circuits=circuits)
    assert [each.frozen for each in looked] == ["BORROWER"] * 30 + [None]
    assert books.asked.count((B, Part.REQUEST)) == 1
    assert list(circuits.closed) == ["BORROWER"]
    before = len(books.asked)
    look(books, *away, circuits=circuits)  # the next part of the group does not try again
    assert (B, Part.REQUEST) not in books.asked[before:]


class Silent(Books):
    """The borrower's system takes calls and gives no answer; ``but``: only these requests' calls."""

    def __init__(self, but=()):
        super().__init__()
        self.but = but

    def ask(self, questions, *, listed):
        told = super().ask(questions, listed=listed)
        (leg, *_) = (each.leg for each in questions)
        if leg.role is not B or (self.but and leg.request_id not in self.but):
            return told
        return [_silence(each.part) for each in questions]


UNKNOWN = {Part.REQUEST: RequestRead(None), Part.ITEM: ItemRead(None), Part.LOAN: LoanRead(None)}


def _silence(part):
    return Answered({READS[part][0]: UNKNOWN[part]}, [ReadError(READS[part][0], None, "RemoteTimeout")])


def test_a_system_that_gives_no_answer_is_not_asked_once_for_each_request(look):
    books, circuits = Silent(), Circuits()
    away = [tracked(shipped().state, f"PR-{number}", user=f"patron-{number}") for number in range(30)]
    looked = look(books, *away, tracked(State(), "PR-near", roles=(S,)), circuits=circuits)
    assert [each.frozen for each in looked] == ["BORROWER"] * 30 + [None]
    assert books.asked.count((B, Part.REQUEST)) == 1
    assert circuits.closed == {"BORROWER": "it gave no answer in time"}


def test_one_call_that_always_takes_too_long_does_not_speak_for_its_system_for_ever():
    away = [tracked(shipped().state, f"PR-{number}", user=f"patron-{number}") for number in range(4)]
    read = []
    for minute in range(4):
        now = START + timedelta(days=20, seconds=minute)
        books = Silent(but=("PR-2-BORROWER",))
        gather = Gather(books, SETTINGS, Circuits(), now=lambda now=now: now, deadline=Deadline(60))
        read.append([each.frozen is None for each in gather.read(away)])
    assert read.count([True] * 4) == 3
    assert read.count([False] * 4) == 1


class Evasive(Books):
    """Answers, but leaves out these parts of what it is asked; ``instead``: and gives another in their place."""

    def __init__(self, *parts, instead=None):
        super().__init__()
        self.parts, self.instead = parts, instead or {}

    def ask(self, questions, *, listed):
        return [
            Answered(self.instead) if each.part in self.parts else told
            for each, told in zip(questions, super().ask(questions, listed=listed), strict=True)
        ]


@pytest.mark.parametrize("instead", [{}, {"request": None, "item": None, "loan": None}, {"patron": None}])
@pytest.mark.parametrize("parts", [(Part.REQUEST,), (Part.ITEM,), (Part.LOAN,), tuple(Part)])
@pytest.mark.parametrize("story", [placed, shipped, loaned])
def test_no_question_is_asked_twice_in_one_look_whatever_the_source_leaves_out(
    look, story, parts, instead, caplog
):
    books = Evasive(*parts, instead=instead)
    (looked,) = look(books, tracked(story().state, nudged=True))
    assert len(books.asked) == len(set(books.asked))
    left_out = [(role, part) for role, part in books.asked if part in parts]
    told = [(each.seen.role, error) for each in looked.reports() for error in each.errors]
    assert sorted(told, key=str) == sorted(
        ((role, ReadError(part, None, "NOT_ANSWERED")) for role, part in left_out), key=str
    )
    for report in looked.reports():  # not answered is not known, never not there
        for _, part in (each for each in left_out if each[0] is report.seen.role):
            assert getattr(report.seen, part).found is None
    for role, part in left_out:
        system = {S: "LENDER", B: "BORROWER"}[role]
        assert f"{system} was asked for the {part} of PR-1 and did not answer it" in caplog.text


def test_a_connection_that_cannot_be_opened_is_an_outage_too(look):
    books = Books()
    books.down["LENDER"] = InputProblem("There is no connection alma_default")
    circuits = Circuits()
    (looked,) = look(books, tracked(State(), roles=(S,)), circuits=circuits)
    assert looked.frozen == "LENDER"
    assert circuits.closed == {"LENDER": "There is no connection alma_default"}
    assert books.asked == []


def test_when_time_is_up_nothing_half_read_counts(look):
    books = Books()
    (looked,) = look(books, tracked(shipped().state, nudged=True), seconds=0)
    assert looked.late
    assert books.asked == []


def test_what_was_read_bears_the_time_before_the_first_read_and_its_supplier_in_turn(look):
    (looked,) = look(Books(), tracked(State(), roles=(S,)))
    (report,) = looked.reports()
    assert report.seen.at.time == START + timedelta(days=20)
    assert report.seen.generation == 1
