"""Two actors at one request: nudges, sides, rows and leases, and what one of them makes of what the other knows."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from alma_etl.dcb.flows.reconcile.findings import BookFindings, Code
from alma_etl.dcb.flows.tick import apply, poll
from alma_etl.dcb.flows.tick.folder import Deadline, PollGroup, SyncFolder, TickPlan, seen_row
from alma_etl.dcb.machine.model import LoanRead, Moment, Observation, RequestRead, State
from alma_etl.dcb.machine.vocabulary import ActionType, Role, Status
from alma_etl.dcb.sides.ports import Done
from alma_etl.dcb.store import Alert, Hint, LegRecord, Report, applying
from alma_etl.store.db import StoreConflict
from tests.unit.dcb.records import HOUR, SETTINGS, START, new_request, play, report, seen
from tests.unit.dcb.story import shipped
from tests.unit.dcb.sync_world import MemoryBucket, SyncWorld
from tests.unit.dcb.test_sync_gather import Books, tracked
from tests.unit.dcb.test_sync_outbox import Actor, Bench, Ears, confirmed, placed

pytestmark = pytest.mark.heavy

B, S = Role.BORROWER, Role.SUPPLIER
MINUTE = timedelta(minutes=1)
OF_A_MOMENT = START + HOUR


@pytest.fixture
def bench(store: Any) -> Bench:
    return Bench(store)


# --- nudges


def looked_at(sync: SyncWorld, between: Callable[[], object]) -> Any:
    """A tick in which somebody does something after everything was read, and before it is taken in."""
    sync.new_run()
    sync.select()
    sync.poll()
    between()
    sync.apply()
    return sync.store.get("PR-1")


@pytest.mark.heavy
def test_a_nudge_given_during_a_tick_makes_the_next_one_look_at_everything(sync: SyncWorld) -> None:
    sync.place()
    sync.tick()
    sync.pass_time(30 * HOUR)
    after = looked_at(sync, lambda: sync.store.nudge(["PR-1"], sync.clock.time))
    assert after.nudged
    assert after.next_poll_at <= sync.clock.time
    sync.new_run()
    sync.select()
    assert sync.folder().plan().pr_ids == ["PR-1"]
    sync.poll()
    sync.apply()
    after = sync.store.get("PR-1")
    assert not after.nudged
    assert after.next_poll_at > sync.clock.time


@pytest.mark.heavy
def test_a_second_nudge_is_not_taken_for_the_first(sync: SyncWorld) -> None:
    sync.place()
    sync.tick()
    sync.pass_time(30 * HOUR)
    sync.store.nudge(["PR-1"], sync.clock.time)
    after = looked_at(sync, lambda: sync.store.nudge(["PR-1"], sync.clock.time))
    assert after.nudged


@pytest.mark.heavy
def test_a_webhook_that_comes_during_a_tick_is_followed_by_the_next(sync: SyncWorld) -> None:
    sync.place()
    sync.tick()
    sync.pass_time(30 * HOUR)
    leg = sync.store.get("PR-1").legs[S]
    hint = Hint("LENDER:9", "LENDER", "REQUEST_CLOSED", leg.request_id)

    def webhook() -> None:
        sync.store.keep_hint(hint, sync.clock.time)
        sync.store.follow_hints(sync.clock.time)

    assert looked_at(sync, webhook).nudged


def test_what_came_of_an_action_is_no_look(store: Any) -> None:
    play(store, "V01")
    store.add(new_request("PR-2"), START)
    told = seen("SUPPLIER", START + HOUR, "IN_PROCESS", "in place")
    store.apply("PR-2", [told], settings=SETTINGS, now=START + HOUR)
    store.nudge(["PR-2"], START + HOUR + MINUTE)
    ack = report({"ack": "BORROWER_PLACED", "role": "BORROWER"}, START + HOUR + 2 * MINUTE)
    store.apply("PR-2", [ack], settings=SETTINGS, now=START + HOUR + 2 * MINUTE)
    assert store.get("PR-2").nudged


def test_a_nudge_while_nothing_could_be_read_keeps_the_request_due(store: Any) -> None:
    store.add(new_request(), START)
    (leased,) = store.lease_due(START, 9, "run-1")
    store.nudge(["PR-1"], START + MINUTE)
    store.put_off("PR-1", START + 9 * HOUR, "run-1", nudges=leased.nudges)
    (again,) = store.lease_due(START + MINUTE, 9, "run-2")
    assert again.nudged


# --- sides


def read(at: Any, **parts: Any) -> Report:
    return Report(Observation(B, Moment.at(at), **parts), "POLL")


def test_an_actor_with_an_old_picture_of_a_side_changes_only_what_it_made(store: Any) -> None:
    store.add(new_request(), START)
    old = store.get("PR-1").legs[B]
    loan = LoanRead(True, "ACTIVE", loan_id="L-1")
    store.apply("PR-1", [read(OF_A_MOMENT, loan=loan)], settings=SETTINGS, now=OF_A_MOMENT)
    ack = report({"ack": "BORROWER_PLACED", "role": "BORROWER"}, OF_A_MOMENT + MINUTE)
    made = replace(old, request_id="77", item_pid="78")
    store.apply("PR-1", [ack], settings=SETTINGS, now=OF_A_MOMENT + MINUTE, legs=[made])
    leg = store.get("PR-1").legs[B]
    assert (leg.request_id, leg.item_pid) == ("77", "78")
    assert (leg.loan_id, leg.last_ok_at, leg.last_read_at) == ("L-1", OF_A_MOMENT, OF_A_MOMENT)


def test_what_is_read_together_with_new_ids_takes_none_of_them_away(store: Any) -> None:
    store.add(new_request(), START)
    made = LegRecord(B, "BORROWER", user_id="patron-1", request_id="77", item_pid="78", barcode="31")
    told = read(OF_A_MOMENT, request=RequestRead(True, "NOT_STARTED"))
    store.apply("PR-1", [told], settings=SETTINGS, now=OF_A_MOMENT, legs=[made])
    leg = store.get("PR-1").legs[B]
    assert (leg.request_id, leg.item_pid, leg.barcode, leg.last_ok_at) == ("77", "78", "31", OF_A_MOMENT)


def test_a_look_that_comes_late_does_not_turn_the_health_of_a_side_back(store: Any) -> None:
    store.add(new_request(), START)
    new, old = OF_A_MOMENT + HOUR, OF_A_MOMENT
    fine = seen("SUPPLIER", new, "IN_PROCESS", "in place")
    store.apply("PR-1", [fine], settings=SETTINGS, now=new)
    store.apply("PR-1", [seen("SUPPLIER", old, "?", "?")], settings=SETTINGS, now=new + MINUTE)
    leg = store.get("PR-1").legs[S]
    assert (leg.last_read_at, leg.last_ok_at, leg.error_repeat, leg.last_error) == (new, new, 0, None)


# --- rows of the outbox


class Broken:
    """A store of which one request's results cannot be kept, however often."""

    def __init__(self, store: Any, pr_id: str, problem: Exception) -> None:
        self._store, self._pr_id, self.problem = store, pr_id, problem

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def settle_action(self, row: Any, *args: Any, **more: Any) -> Any:
        if row.pr_id == self._pr_id and self.problem is not None:
            raise self.problem
        return self._store.settle_action(row, *args, **more)


@pytest.mark.parametrize("problem", [ValueError("Jane Doe"), KeyError("x"), StoreConflict("a key is taken")])
def test_a_row_that_cannot_be_settled_is_tried_later_and_the_others_go_on(
    problem: Exception, bench: Bench
) -> None:
    confirmed(bench, *(f"PR-{number}" for number in range(12)))
    real, bench.store = bench.store, Broken(bench.store, "PR-3", problem)
    worked = bench.act(Actor(placed(bench)))
    assert (worked.done, worked.later, worked.refused) == (11, 1, 0)
    ((pr_id, _, reason),) = worked.problems
    assert pr_id == "PR-3"
    assert "could not be kept" in reason
    assert "Jane" not in reason
    for minutes in (5, 10, 20, 40, 80, 160, 320):
        bench.clock.time += timedelta(minutes=minutes + 1)
        worked = bench.act(Actor(placed(bench)))
    assert worked.given_up == 1
    (alert,) = real.open_alerts()
    assert (alert.code, alert.pr_id) == ("OUTBOX_STALLED", "PR-3")
    bench.store.problem = None
    real.revive_of("PR-3", bench.clock())
    assert bench.act(Actor(placed(bench))).done == 1
    assert real.open_alerts() == []


def test_a_row_that_this_version_does_not_know_stops_no_other(bench: Bench) -> None:
    confirmed(bench, "PR-1", "PR-2")
    with bench.store._transaction() as connection:
        connection.execute(
            text("UPDATE dcb_outbox SET type = 'OF_TOMORROW' WHERE pr_id = 'PR-1' AND kind = 'ALMA_ACTION'")
        )
    worked = bench.act(Actor(lambda row: placed(bench)(ActionType(row.type))))
    assert (worked.done, worked.later) == (1, 1)


# --- leases of rows


def test_a_retry_does_not_do_what_its_zombie_is_still_doing(bench: Bench) -> None:
    confirmed(bench, *(f"PR-{number}" for number in range(3)))
    of_retry = Actor(placed(bench))

    def zombie(row: Any) -> Done:
        bench.act(of_retry)  # the same step of the same run begins again meanwhile
        return placed(bench)(row)

    of_zombie = Actor(zombie)
    assert bench.act(of_zombie).done == 3
    assert of_retry.asked == []
    assert sorted(of_zombie.asked) == [(f"PR-{number}", "PLACE_AT_BORROWER") for number in range(3)]


def test_a_retry_sends_no_event_that_its_zombie_is_still_sending(bench: Bench) -> None:
    confirmed(bench, "PR-1")
    of_retry = Ears()

    class Zombie(Ears):
        def deliver(self, row: Any, tracked: Any) -> Done:
            bench.publish(of_retry)
            return super().deliver(row, tracked)

    of_zombie = Zombie()
    bench.publish(of_zombie)
    assert (len(of_zombie.told), of_retry.told) == (1, [])


def test_what_a_dead_worker_left_is_free_at_once(bench: Bench) -> None:
    confirmed(bench, "PR-1")
    (row,) = bench.store.lease_outbox("ALMA_ACTION", bench.clock(), 9, "run-1/act/0123456789ab")
    assert bench.act(Actor(placed(bench))).done == 1
    assert row.attempts == 0


def test_a_worker_whose_lease_ended_does_not_free_that_of_the_next(bench: Bench) -> None:
    confirmed(bench, "PR-1")
    now = bench.clock()
    (row,) = bench.store.lease_outbox("ALMA_ACTION", now, 9, "run-1/act/one", MINUTE)
    assert bench.store.lease_outbox("ALMA_ACTION", now + 2 * MINUTE, 9, "run-2/act/two", HOUR)
    bench.store.postpone(row.outbox_id, now + 3 * MINUTE, "slow", owner="run-1/act/one")
    assert bench.store.lease_outbox("ALMA_ACTION", now + 5 * MINUTE, 9, "run-3/act/three") == []


# --- a step that fails

ALL = ("PR-1", "PR-2", "PR-3")


@pytest.fixture
def take_in(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, int]]:
    """A tick takes in what was read of three requests; the machine fails at the word BOOM with a problem."""
    for pr_id in ALL:
        bench.store.add(new_request(pr_id), START)
    real, runs = applying.step, iter(range(99))

    def take(word: str, problem: Exception, **more: Any) -> dict[str, int]:
        def step(state: State, told: Sequence[Any], *rest: Any) -> Any:
            if any(each.request.request_status == "BOOM" for each in told):
                raise problem
            return real(state, told, *rest)

        monkeypatch.setattr(applying, "step", step)
        folder, now = SyncFolder(MemoryBucket(), f"run-{next(runs)}"), bench.clock()
        groups = (PollGroup(number=1, label="", pr_ids=ALL),)
        plan = TickPlan(run_id=folder.run_id, dry_run=False, started=now, groups=groups, due=3, left=0)
        folder.save("plan.json", plan)
        bench.store.lease_due(now, 99, folder.run_id)
        rows = []
        for pr_id in ALL:
            told = seen("SUPPLIER", now, word if pr_id == "PR-2" else "IN_PROCESS", "in place")
            rows.append(seen_row(pr_id, [told], 0, **(more if pr_id == "PR-2" else {})))
        folder.seen(1, plan).add_all(rows)
        return apply.apply(folder, store=bench.store, settings=bench.settings, now=bench.clock)

    return take


@pytest.mark.parametrize("problem", [KeyError("Jane Doe"), ValueError("x"), AssertionError(), TypeError("x")])
def test_a_request_whose_step_fails_has_an_alert_and_waits_while_the_others_go_on(
    problem: Exception, bench: Bench, take_in: Callable[..., dict[str, int]]
) -> None:
    assert take_in("BOOM", problem)["changed"] == 2
    (alert,) = bench.store.open_alerts()
    assert (alert.key, alert.pr_id) == ("STEP_FAILED:PR-2", "PR-2")
    assert type(problem).__name__ in alert.detail["error"]
    assert "Jane" not in str(alert.detail)
    waits = []
    for _ in range(10):
        until = bench.store.get("PR-2").next_poll_at
        waits.append(until - bench.clock.time)
        assert "PR-2" not in [each.pr_id for each in bench.store.find_due(until - MINUTE, 9)]
        bench.clock.time = until
        assert "PR-2" in [each.pr_id for each in bench.store.find_due(until, 9)]  # its lease was given back
        take_in("BOOM", problem)
    assert timedelta(minutes=5) < waits[0] < waits[1] < waits[-1] < timedelta(hours=7)
    (alert,) = bench.store.open_alerts()
    assert alert.repeat_count == 10
    bench.clock.time += MINUTE
    take_in("IN_PROCESS", problem)
    assert bench.store.open_alerts() == []
    assert bench.store.get("PR-2").status is Status.CONFIRMED


def test_a_request_that_cannot_be_looked_at_has_an_alert_too(
    bench: Bench, take_in: Callable[..., dict[str, int]]
) -> None:
    assert take_in("IN_PROCESS", KeyError("x"), failed="an unexpected KeyError at plan.py:9")["changed"] == 2
    (alert,) = bench.store.open_alerts()
    assert (alert.key, alert.detail["error"]) == ("STEP_FAILED:PR-2", "an unexpected KeyError at plan.py:9")


def test_one_request_of_which_nobody_knows_what_to_read_stops_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = poll.parts_wanted

    def parts_wanted(state: State, *rest: Any) -> Any:
        if state.seq == 99:
            raise KeyError("Jane Doe")
        return real(state, *rest)

    monkeypatch.setattr(poll, "parts_wanted", parts_wanted)
    ill, well = tracked(State(seq=99), "PR-1", roles=(S,)), tracked(State(), "PR-2", roles=(S,))
    books = Books()
    looked = _read(books, ill, well)
    assert "KeyError" in looked[0].failed
    assert "Jane" not in looked[0].failed
    assert looked[1].reports()


def test_one_answer_that_cannot_be_taken_stops_no_other() -> None:
    class Odd(Books):
        def ask(self, questions: Any, *, listed: bool) -> Any:
            told = super().ask(questions, listed=listed)
            if questions[0].leg.request_id == "PR-1-BORROWER":
                raise TypeError("Jane Doe")
            return told

    looked = _read(Odd(), *(tracked(shipped().state, f"PR-{n}", user=f"u-{n}", roles=(B,)) for n in (1, 2)))
    (ill,), (well,) = (each.reports() for each in looked)
    assert ill.seen.request.found is None
    assert "an unexpected TypeError at test_two_actors.py" in str(ill.errors[0].code)
    assert "Jane" not in str(ill.errors)
    assert (well.errors, well.seen.request.found) == ((), True)


def _read(books: Any, *requests: Any) -> Any:
    now = START + timedelta(days=20)
    reading = poll.Gather(books, SETTINGS, poll.Circuits(), now=lambda: now, deadline=Deadline(60))
    return reading.read(requests)


# --- alerts


def test_who_looked_before_an_alert_was_opened_does_not_close_it(store: Any) -> None:
    alert = Alert("OUTBOX_STALLED:1", "OUTBOX_STALLED", "urgent")
    store.open_alert(alert, START + HOUR)
    store.close_alert(alert.key, START + 2 * HOUR, looked_at=START)
    assert [each.key for each in store.open_alerts()] == [alert.key]
    store.close_alert(alert.key, START + 2 * HOUR, looked_at=START + HOUR)
    assert store.open_alerts() == []


def test_a_comparison_does_not_close_what_was_opened_while_it_looked(store: Any) -> None:
    findings, began = BookFindings(), START
    findings.looked([Code.OUTBOX_STALLED])
    store.open_alert(Alert("OUTBOX_STALLED:1", "OUTBOX_STALLED", "urgent"), began + MINUTE)
    findings.settle(store, began)
    assert len(store.open_alerts()) == 1
