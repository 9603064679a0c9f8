"""Working off the outbox: deeds one after the other for each request, sinks that are down, rows that are given up."""

import json
import time
from datetime import timedelta

import pytest

from alma_etl.dcb import __main__ as command
from alma_etl.dcb.decisions import decide
from alma_etl.dcb.flows.tick import act
from alma_etl.dcb.flows.tick.folder import Deadline, SyncFolder
from alma_etl.dcb.settings import DcbSettings
from alma_etl.dcb.sides.ports import Done, Later, Refused
from alma_etl.dcb.store import Report
from alma_etl.errors import InputProblem
from alma_etl.remote.errors import RemoteUnreachable
from alma_etl.store.locks import Lock, LockLost
from tests.unit.dcb.records import HOUR, SETTINGS, START, new_request, play, report, seen
from tests.unit.dcb.sync_world import Clock, Ears, MemoryBucket

pytestmark = pytest.mark.heavy


class Actor:
    """Does what it is told to answer."""

    def __init__(self, answer):
        self.answer, self.asked = answer, []

    def perform(self, row, tracked):
        self.asked.append((row.pr_id, row.type))
        answer = self.answer(row) if callable(self.answer) else self.answer
        if isinstance(answer, BaseException):
            raise answer
        return answer


class Bench:
    """The two steps with a store and nothing else."""

    def __init__(self, store):
        self.store, self.clock, self.bucket = store, Clock(START + timedelta(days=2)), MemoryBucket()
        self.settings, self.opened = SETTINGS, []

    def open_system(self, code, kind):
        self.opened.append(code)

    def act(self, actor, seconds=60):
        return act.act(
            SyncFolder(self.bucket, "run-1"),
            store=self.store,
            settings=self.settings,
            actor=actor,
            open_system=self.open_system,
            now=self.clock,
            deadline=Deadline(seconds),
        )

    def publish(self, *sinks, seconds=60, monotonic=time.monotonic):
        return act.publish(
            SyncFolder(self.bucket, "run-1"),
            store=self.store,
            settings=self.settings,
            sinks=sinks,
            now=self.clock,
            deadline=Deadline(seconds, monotonic),
        )

    def rows(self, pr_id="PR-1", kind="ALMA_ACTION"):
        return [(row.type, row.state) for row in self.store.history(pr_id).outbox if row.kind == kind]

    def state(self, pr_id="PR-1"):
        return self.store.get(pr_id).state


@pytest.fixture
def bench(store):
    return Bench(store)


def confirmed(bench, *pr_ids):
    """Requests that wait for their placing at the borrower."""
    for pr_id in pr_ids or ("PR-1",):
        bench.store.add(new_request(pr_id), START)
        told = seen("SUPPLIER", START + HOUR, "IN_PROCESS", "in place")
        bench.store.apply(pr_id, [told], settings=bench.settings, now=START + HOUR)


def placed(bench):
    return lambda row: Done((report({"ack": "BORROWER_PLACED", "role": "BORROWER"}, bench.clock()),))


def test_what_a_deed_asks_for_in_turn_is_done_as_well(bench):
    play(bench.store, "V03")  # not supplied: what follows is asked for by the status itself
    answers = {
        "RESOLVE_NEXT_SUPPLIER": lambda: Done((report({"ack": "NO_ITEMS"}, bench.clock()),)),
        "CLEANUP": lambda: Done((report({"ack": "CLEANED_UP"}, bench.clock()),)),
    }
    worked = bench.act(Actor(lambda row: answers[row.type]()))
    assert bench.store.get("PR-1").status.name in ("FINALISED", "NO_ITEMS")
    assert worked.done >= 1


def test_each_request_has_one_deed_at_a_time_and_all_systems_are_made_ready_first(bench):
    confirmed(bench, "PR-1", "PR-2")
    actor = Actor(placed(bench))
    assert bench.act(actor).done == 2
    assert sorted(actor.asked) == [("PR-1", "PLACE_AT_BORROWER"), ("PR-2", "PLACE_AT_BORROWER")]
    assert sorted(bench.opened) == ["BORROWER", "LENDER"]
    assert bench.store.get("PR-1").status.name == "RPBA"


def test_a_deed_that_cannot_be_done_now_is_tried_ever_more_seldom_and_then_given_up(bench):
    confirmed(bench)
    failing = Actor(Later("Alma failed"))
    assert bench.act(failing).later == 1
    for pause in (5, 10, 20, 40, 80, 160, 320):
        bench.clock.time += timedelta(minutes=pause - 1)
        assert len(bench.act(failing).problems) == 0
        bench.clock.time += timedelta(minutes=2)
        worked = bench.act(failing)
        assert (worked.later, worked.given_up) == ((1, 0) if pause < 320 else (0, 1))
    assert len(failing.asked) == 8
    assert bench.rows() == [("PLACE_AT_BORROWER", "DEAD")]
    (alert,) = bench.store.open_alerts()
    assert (alert.code, alert.detail["error"]) == ("OUTBOX_STALLED", "Alma failed")
    assert bench.state().status.name == "CONFIRMED"  # nobody knows that it failed for good
    decide(bench.store, bench.settings, "PR-1", "retry", by="sam", now=bench.clock())
    assert bench.act(Actor(placed(bench))).done == 1
    assert bench.store.open_alerts() == []


def test_a_pause_that_the_actor_names_is_kept(bench):
    confirmed(bench)
    bench.act(Actor(Later("the index is slow", timedelta(minutes=2))))
    bench.clock.time += timedelta(minutes=1)
    assert bench.act(Actor(placed(bench))).done == 0
    bench.clock.time += timedelta(minutes=2)
    assert bench.act(Actor(placed(bench))).done == 1


def test_a_required_deed_that_is_refused_stops_the_request_until_an_operator_puts_it_back(bench):
    confirmed(bench)
    worked = bench.act(Actor(Refused("the pickup library does not exist")))
    assert (worked.refused, worked.problems[0][2]) == (1, "the pickup library does not exist")
    assert bench.state().status.name == "ERROR"
    assert "PLACE_AT_BORROWER_FAILED" in bench.state().standing
    with pytest.raises(InputProblem, match="Nothing of PR-1"):
        decide(bench.store, bench.settings, "PR-1", "retry", by="sam", now=bench.clock())
    told = decide(bench.store, bench.settings, "PR-1", "rollback", by="sam", now=bench.clock())
    assert told == "PR-1: ERROR -> CONFIRMED. The next tick tries again: PLACE_AT_BORROWER."
    assert bench.store.history("PR-1").transitions[-1].actor == "user:sam"
    bench.act(Actor(placed(bench)))
    assert bench.state().status.name == "RPBA"


def test_an_actor_that_says_itself_what_failed_is_not_repeated(bench):
    confirmed(bench)
    at = bench.clock()
    own = Report(report({"ack": "ACTION_FAILED", "action": "PLACE_AT_BORROWER"}, at).seen, "ACK")
    bench.act(Actor(Refused("no", (own,))))
    acks = [
        each for step in bench.store.history("PR-1").steps for each in step.observations if "ack" in each.body
    ]
    assert [each.observed_at for each in acks] == [at]


def test_a_system_that_does_not_answer_costs_no_attempt_and_is_asked_once(bench):
    confirmed(bench, *(f"PR-{number:02d}" for number in range(20)))
    actor = Actor(RemoteUnreachable("POST /bibs", None, "", "Alma does not answer"))
    worked = bench.act(actor)
    assert (worked.held, worked.later) == (20, 0)
    assert len(actor.asked) <= 8  # those under way at once
    assert bench.act(Actor(placed(bench))).done == 20


def test_a_connection_that_cannot_be_used_holds_up_its_own_deeds_alone(bench):
    confirmed(bench)

    def open_system(code, kind):
        raise InputProblem("There is no connection alma_borrower")

    bench.open_system = open_system
    worked = bench.act(Actor(placed(bench)))
    assert (worked.held, worked.problems[0][2]) == (1, "There is no connection alma_borrower")


def test_a_fault_of_ours_tells_its_place_and_not_its_words(bench):
    confirmed(bench)
    worked = bench.act(Actor(KeyError("Jane Doe, jane@example.org")))
    assert worked.later == 1
    reason = worked.problems[0][2]
    assert reason.startswith("an unexpected KeyError at test_sync_outbox.py:")
    assert "Jane" not in reason


def test_time_that_is_up_leaves_deeds_free_for_the_next_tick(bench):
    confirmed(bench)
    worked = bench.act(Actor(placed(bench)), seconds=0)
    assert (worked.done, worked.late) == (0, True)
    assert bench.act(Actor(placed(bench))).done == 1


def test_a_killed_step_begun_anew_takes_up_its_own_rows(bench):
    confirmed(bench)
    with pytest.raises(KeyboardInterrupt):
        bench.act(Actor(KeyboardInterrupt()))
    (row,) = bench.store.lease_outbox("ALMA_ACTION", bench.clock(), 9, "run-1/act")  # as a kill leaves it
    assert row.attempts == 0
    assert bench.act(Actor(placed(bench))).done == 1


class Deaf(Ears):
    """A sink that is down."""

    name = "webhook:hook"

    def deliver(self, row, tracked):
        self.told.append(row)
        return Later("the receiver does not answer")


def test_a_worker_that_lost_its_lock_does_nothing_more_and_the_next_one_goes_on(bench, monkeypatch):
    confirmed(bench, "PR-1", "PR-2")
    before = bench.rows("PR-1") + bench.rows("PR-2")
    actor = Actor(Done())
    with monkeypatch.context() as lost:
        lost.setattr(Lock, "check", lose)
        with pytest.raises(LockLost):
            bench.act(actor)
    assert actor.asked == []
    assert bench.rows("PR-1") + bench.rows("PR-2") == before
    bench.act(actor)
    assert actor.asked


def lose(_lock):
    raise LockLost("lost")


def two_sinks(bench):
    sinks = [{"type": "log"}, {"type": "webhook", "conn_id": "hook"}]
    given = bench.settings.model_dump(mode="json", include={"systems", "mode"})
    bench.settings = DcbSettings.model_validate({**given, "sinks": sinks})


def test_a_sink_that_is_down_keeps_no_other_waiting_and_is_left_alone(bench):
    two_sinks(bench)
    confirmed(bench, *(f"PR-{number:02d}" for number in range(30)))
    deaf, ears = Deaf(), Ears()
    worked = bench.publish(deaf, ears)
    assert len(ears.told) == 30
    assert len(deaf.told) < 30
    assert worked.done == 30
    assert bench.store.count_open("EVENT") == {"webhook:hook": 30}


def test_a_slow_sink_has_no_more_than_its_share_of_the_time(bench):
    spent = []  # a second for each event that the slow sink was told

    class Slow(Deaf):
        def deliver(self, row, tracked):
            spent.append(1.0)
            return super().deliver(row, tracked)

    two_sinks(bench)
    confirmed(bench, *(f"PR-{number:02d}" for number in range(20)))
    slow, ears = Slow(), Ears()
    assert bench.publish(slow, ears, seconds=10, monotonic=lambda: sum(spent)).late
    assert len(slow.told) == 8  # those that were under way when its five seconds were up
    assert len(ears.told) == 20


def test_a_refused_event_is_no_reason_to_wait(bench):
    confirmed(bench)

    class Picky(Ears):
        def deliver(self, row, tracked):
            return Refused("HTTP 400")

    assert bench.publish(Picky()).refused == 1
    assert bench.rows(kind="EVENT") == [("dcb.status.changed", "FAILED")]
    assert bench.state().standing == ()


def test_the_commands_nudge_and_operator(bench, store_url, capsys):
    confirmed(bench)
    assert command.main(["nudge", store_url, "PR-1"]) == 0
    assert "1 of 1 request will" in capsys.readouterr().out
    assert bench.store.get("PR-1").nudged
    assert command.main(["nudge", store_url, "PR-9"]) == 1
    assert "not tracked" in capsys.readouterr().err
    assert command.main(["operator", store_url, "PR-9", "cleanup", "--by", "sam"]) == 1
    assert "There is no request PR-9" in capsys.readouterr().err
    assert command.main(["operator", store_url, "PR-1", "cleanup", "--by", "Jane Doe"]) == 1
    assert "Give your login" in capsys.readouterr().err
    assert command.main(["operator", store_url, "PR-1", "rollback", "--by", "sam"]) == 1
    assert "PR-1 is CONFIRMED: rollback does not fit. Nothing was changed." in capsys.readouterr().err
    assert command.main(["operator", store_url, "PR-1", "close-lost", "--by", "sam"]) == 0
    assert "PR-1: CONFIRMED -> COMPLETED" in capsys.readouterr().out
    assert command.main(["explain", store_url, "PR-1"]) == 0
    assert "by user:sam" in capsys.readouterr().out


def test_a_decision_without_settings_keeps_the_actions_of_a_system_that_drives(bench, store_url):
    confirmed(bench)
    assert command.main(["operator", store_url, "PR-1", "cleanup", "--by", "sam"]) == 0
    assert ("CLEANUP", "PENDING") in bench.rows()


def test_closing_while_the_book_is_out_needs_force_and_takes_the_settings_in_force(
    bench, store_url, tmp_path, capsys
):
    play(bench.store, "V18")  # in transit
    own = tmp_path / "dcb.yaml"
    own.write_text(
        "systems: {A: {kind: mod_dcb, conn_id: a}}\nmode: observe\nsinks: [{type: webhook, conn_id: hook}]\n",
        "utf-8",
    )
    rest = ["--by", "sam", "--config", str(own)]
    assert command.main(["operator", store_url, "PR-1", "cleanup", *rest]) == 1
    assert "only --force closes the request now" in capsys.readouterr().err
    assert command.main(["operator", store_url, "PR-1", "cleanup", "--force", *rest]) == 0
    told = [row for row in bench.store.history("PR-1").outbox if row.payload.get("to") == "COMPLETED"]
    assert sorted(row.target for row in told) == ["log", "webhook:hook"]
    assert ("CLEANUP", "PENDING") not in bench.rows()
    capsys.readouterr()
    own.write_text("mode: sideways\n", "utf-8")
    assert command.main(["operator", store_url, "PR-1", "retry", *rest]) == 1
    assert json.dumps(capsys.readouterr().err).count("dcb.yaml") >= 1
