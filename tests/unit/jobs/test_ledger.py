"""The ledger of runs and files, on both databases."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest

from alma_etl.jobs.ledger import MOVES, About, Ledger, Results
from alma_etl.jobs.ledger_reading import RunKey, RunRecord
from alma_etl.remote.meter import CallCounts
from alma_etl.store.db import StoreUnavailable
from tests.unit.jobs.ledger_world import RUN, START, WEST, opened

BOTH = ["sqlite", pytest.param("postgresql", marks=pytest.mark.heavy)]
LATER = RunKey(RUN.dag_id, "manual__2")


@pytest.fixture(params=BOTH)
def world(request, tmp_path):
    with opened(request, tmp_path) as made:
        yield made


@pytest.fixture
def ledger(world):
    return world.ledger


def outcomes(ledger, key=RUN, **filters):
    return [(row.ord, row.record.outcome, row.record.mms_id) for row in ledger.records(key, **filters)]


def test_a_run_from_its_first_task_to_its_end(world, ledger):
    first = ledger.begin(RUN, WEST)
    run = ledger.run(RUN)
    assert (run.state, run.job, run.subject, run.institution) == (
        "running", "west_holdings", "59000000000004401", "alma.example.org",
    )  # fmt: skip
    assert (run.requested_by, run.dry_run, run.started_at, run.ended_at) == ("librarian", False, START, None)
    ledger.note(RUN, headline="12 of 40 chunks", subject="a set")
    world.clock.pass_time(minutes=5)
    last = ledger.begin(RUN, WEST)
    assert last > first
    artefact = {"role": "marc", "key": "west/x.mrc", "name": "x.mrc", "size": 9, "type": "application/marc"}
    results = Results(
        {"delivered": 1}, {"titles": 1}, [artefact], [RunRecord("delivered", mms_id="991", label="T")]
    )
    assert ledger.replace(RUN, results, last)
    assert ledger.finish(RUN, "done", "1 record delivered.", last)
    run = ledger.run(RUN)
    assert (run.state, run.headline, run.counts, run.measures) == (
        "done", "1 record delivered.", {"delivered": 1}, {"titles": 1},
    )  # fmt: skip
    assert (run.artefacts, run.attention, run.calls, run.decision) == ([artefact], [], {}, None)
    assert (run.started_at, run.ended_at) == (START, START + timedelta(minutes=5))
    (row,) = ledger.records(RUN)
    assert row.record == RunRecord("delivered", mms_id="991", label="T")


def test_a_run_that_was_killed_stays_running(ledger):
    ledger.begin(RUN, WEST)
    assert ledger.run(RUN).state == "running"


def test_a_failed_task_calls_attention_and_the_last_one_says_it_all(ledger):
    ledger.begin(RUN, WEST)
    first = {"what": "The set is empty.", "what_to_do": "Name another."}
    chunk = {"what": "Chunk 2 did not finish.", "what_to_do": "Clear it."}
    assert ledger.fail(RUN, first, 1)
    assert ledger.fail(RUN, chunk, 1)
    run = ledger.run(RUN)
    assert (run.state, run.ended_at, run.attention) == ("failed", None, [first, chunk])
    last = ledger.begin(RUN, WEST)
    assert ledger.run(RUN).attention == [first, chunk]
    verdict = {"what": "Nothing was delivered. The set is empty.", "what_to_do": "Read the report."}
    assert ledger.fail(RUN, verdict, last, last=True)
    run = ledger.run(RUN)
    assert (run.state, run.headline, run.ended_at) == ("failed", verdict["what"], START)
    assert run.attention == [chunk, verdict]


def test_a_cleared_run_replaces_its_results_and_adds_its_calls(ledger):
    attempt = ledger.begin(RUN, WEST)
    ledger.add_calls(RUN, "alma_default", CallCounts(5, 1))
    ledger.replace(RUN, Results({"failed": 2}, records=[RunRecord("failed"), RunRecord("failed")]), attempt)
    ledger.fail(RUN, {"what": "2 failed.", "what_to_do": "Clear."}, attempt, last=True)
    attempt = ledger.begin(RUN, WEST)
    assert (ledger.run(RUN).state, ledger.run(RUN).attention, ledger.run(RUN).ended_at) == (
        "running",
        [],
        None,
    )
    ledger.add_calls(RUN, "alma_default", CallCounts(3))
    ledger.add_calls(RUN, "alma_lender", CallCounts(2))
    ledger.replace(RUN, Results({"delivered": 1}, records=[RunRecord("delivered", mms_id="9")]), attempt)
    ledger.finish(RUN, "done", "All well.", attempt)
    run = ledger.run(RUN)
    assert (run.calls, run.counts) == ({"alma_default": 8, "alma_lender": 2}, {"delivered": 1})
    assert outcomes(ledger) == [(1, "delivered", "9")]


def test_a_zombie_that_ends_late_changes_nothing(ledger):
    zombie = ledger.begin(RUN, WEST)
    newer = ledger.begin(RUN, WEST)
    assert ledger.replace(RUN, Results({"delivered": 1}, records=[RunRecord("delivered")]), newer)
    assert ledger.finish(RUN, "done", "Delivered.", newer)
    attention = {"what": "It broke.", "what_to_do": "Clear."}
    assert not ledger.replace(RUN, Results({"failed": 1}, records=[RunRecord("failed")]), zombie)
    assert not ledger.finish(RUN, "failed", "It broke.", zombie)
    assert not ledger.fail(RUN, attention, zombie)
    assert not ledger.fail(RUN, attention, None)
    run = ledger.run(RUN)
    assert (run.state, run.headline, run.counts, run.attention) == (
        "done",
        "Delivered.",
        {"delivered": 1},
        [],
    )
    assert outcomes(ledger) == [(1, "delivered", "")]
    assert ledger.replace(RUN, Results({"delivered": 0}), newer)  # the same attempt, again


def test_results_of_which_the_rows_break_off_leave_everything_as_it_was(ledger):
    attempt = ledger.begin(RUN, WEST)
    ledger.replace(RUN, Results({"delivered": 1}, records=[RunRecord("delivered")]), attempt)

    def rows():
        yield RunRecord("failed")
        raise OSError("the bucket is gone")

    with pytest.raises(OSError, match="the bucket is gone"):
        ledger.replace(RUN, Results({"failed": 9}, records=rows()), attempt)
    assert outcomes(ledger) == [(1, "delivered", "")]
    assert ledger.run(RUN).counts == {"delivered": 1}


def test_texts_that_a_column_cannot_hold_are_cleaned_and_cut(ledger):
    attempt = ledger.begin(RUN, replace(WEST, subject="a\0b"))
    odd = RunRecord("failed", line=7, mms_id="9\0", label="\ud800 Böll " + "x" * 900, message="m" * 9_000)
    ledger.replace(RUN, Results({"fai\0led": 1}, {"titles": {"\0": "\ud800"}}, records=[odd]), attempt)
    ledger.fail(RUN, {"what": "w\0" + "y" * 9_000, "what_to_do": "\udfff"}, attempt)
    (row,) = ledger.records(RUN)
    assert (row.record.mms_id, row.record.line) == ("9\ufffd", 7)
    assert row.record.label.startswith("? Böll xxx")
    assert (len(row.record.label), len(row.record.message)) == (500, 2_000)
    run = ledger.run(RUN)
    assert (run.subject, run.counts, run.measures) == (
        "a\ufffdb",
        {"fai\ufffdled": 1},
        {"titles": {"\ufffd": "?"}},
    )
    assert (len(run.attention[0]["what"]), run.attention[0]["what_to_do"]) == (4_000, "?")


def test_results_of_a_run_that_could_not_begin_are_kept_all_the_same(ledger):
    assert ledger.replace(RUN, Results({"delivered": 1}, subject="a set", dry_run=True), 0)
    run = ledger.run(RUN)
    assert (run.counts, run.subject, run.dry_run) == ({"delivered": 1}, "a set", True)


def test_two_tasks_that_begin_at_once_make_one_row_and_count_every_call(world):
    start = threading.Barrier(6)

    def work(_number):
        own = Ledger(world.url, now=world.clock)
        start.wait(30)
        own.begin(RUN, WEST)
        for _ in range(5):
            own.add_calls(RUN, "alma_default", CallCounts(2, 1))
        own.close()

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(work, range(6)))
    assert [run.calls for run in world.ledger.runs()] == [{"alma_default": 60}]
    (use,) = world.ledger.api_use(START - timedelta(hours=1))
    assert (use.hour, use.calls, use.refused) == (START.replace(minute=0), 60, 30)


def test_calls_are_kept_by_the_hour_also_of_dags_that_keep_no_run(world, ledger):
    own = RunKey("a_dag_of_ours", "r1")
    ledger.add_calls(own, "alma_default", CallCounts(4, 1))
    world.clock.pass_time(hours=1)
    ledger.add_calls(own, "alma_default", CallCounts(2))
    ledger.add_calls(RUN, "alma_default", CallCounts(1))
    assert [(use.hour.hour, use.dag_id, use.calls, use.refused) for use in ledger.api_use(START.replace(minute=0))] == [
        (8, "a_dag_of_ours", 4, 1), (9, "a_dag_of_ours", 2, 0), (9, "west_holdings", 1, 0),
    ]  # fmt: skip
    assert len(ledger.api_use(world.clock.now.replace(minute=0))) == 2
    assert ledger.runs() == []


def test_a_run_waits_for_a_decision(ledger):
    ledger.begin(RUN, WEST)
    ledger.wait(RUN, "37 records fewer than last time.")
    assert (ledger.run(RUN).state, ledger.run(RUN).headline) == (
        "waiting",
        "37 records fewer than last time.",
    )
    ledger.decide(RUN, "librarian", "deliver")
    ledger.begin(RUN, WEST)
    run = ledger.run(RUN)
    assert run.state == "running"
    assert run.decision == {"who": "librarian", "when": "2026-03-02T08:15:00+00:00", "what": "deliver"}


# --- files


def test_moves_of_a_file(world, ledger):
    to = {"arrived": [], "started": ["started"], "done": ["started", "done"], "failed": ["started", "failed"]}
    to |= {"superseded": ["superseded"], "ignored": ["ignored"]}
    for before, after in product(MOVES, MOVES):
        file = world.file(key=f"items/incoming/main/{before}-{after}.csv")
        assert ledger.arrive(file)
        for state in to[before]:
            assert ledger.move(file.key, file.version, state, run=RUN)
        assert ledger.file(file.key, file.version).state == before
        allowed = after in MOVES[before]
        assert ledger.move(file.key, file.version, after, run=RUN) == allowed
        assert ledger.file(file.key, file.version).state == (after if allowed else before)


def test_a_file_from_its_arrival_to_its_rest(world, ledger):
    file = world.file(uploaded_by="librarian", sha256="abc")
    assert ledger.arrive(file)
    assert not ledger.arrive(world.file(corrects="items/rejects/x.csv", uploaded_by="somebody else"))
    world.clock.pass_time(minutes=1)
    assert ledger.start(file, RUN)
    world.clock.pass_time(minutes=1)
    assert ledger.move(file.key, file.version, "done", run=RUN, filed_key="items/done/list.csv")
    (row,) = ledger.files(area="items", state="done")
    assert (row.dag_id, row.run_id, row.filed_key, row.profile) == (*RUN, "items/done/list.csv", "main")
    assert (row.uploaded_by, row.corrects, row.sha256) == ("librarian", "items/rejects/x.csv", "abc")
    assert (row.arrived_at, row.state_at) == (START, START + timedelta(minutes=2))


def test_a_file_that_nobody_announced_gets_its_row_from_its_run(world, ledger):
    assert ledger.start(world.file(), RUN)
    assert ledger.files(run=RUN)[0].state == "started"


def test_of_two_runs_of_one_file_only_the_one_that_started_it_last_ends_it(world, ledger):
    file = world.file()
    ledger.start(file, RUN)
    ledger.start(file, LATER)
    assert not ledger.move(file.key, file.version, "failed", run=RUN)
    assert not ledger.move(file.key, file.version, "done")
    assert ledger.move(file.key, file.version, "done", run=LATER)
    assert not ledger.move(file.key, file.version, "failed", run=RUN)
    assert ledger.file(file.key, file.version).state == "done"


def test_a_cleared_run_starts_its_file_once_more(world, ledger):
    file = world.file()
    ledger.start(file, RUN)
    ledger.move(file.key, file.version, "failed", run=RUN, filed_key="items/failed/list.csv")
    assert ledger.start(file, RUN)
    assert ledger.move(file.key, file.version, "done", run=RUN, filed_key="items/done/list.csv")
    assert ledger.file(file.key, file.version).filed_key == "items/done/list.csv"


def test_a_newer_version_supersedes_those_that_nobody_started(world, ledger):
    first, second = world.file("e1@t1"), world.file("e2@t2")
    ledger.arrive(first)
    ledger.start(second, RUN)
    world.clock.pass_time(minutes=1)
    ledger.arrive(world.file("e3@t3"))
    assert {row.version: row.state for row in ledger.files(key=first.key)} == {
        "e1@t1": "superseded",
        "e2@t2": "started",
        "e3@t3": "arrived",
    }


def test_an_unknown_file_moves_nowhere(ledger):
    assert not ledger.move("items/incoming/main/x.csv", "e@t", "done", run=RUN)
    assert ledger.file("items/incoming/main/x.csv", "e@t") is None


# --- reading


def test_runs_by_job_subject_and_state_page_by_page(world, ledger):
    for number in range(5):
        about = replace(WEST, subject=f"set {number % 2}")
        ledger.begin(RunKey("west_holdings", f"r{number}"), about)
        world.clock.pass_time(hours=1)
    ledger.begin(RunKey("file_intake", "r9"), About("file_intake"))
    attempt = ledger.begin(RunKey("west_holdings", "r4"), WEST)
    ledger.finish(RunKey("west_holdings", "r4"), "done", "", attempt)
    page = ledger.runs(job="west_holdings", limit=2)
    assert [run.run_id for run in page] == ["r4", "r3"]
    assert [run.run_id for run in ledger.runs(job="west_holdings", before=page[-1].started_at)] == [
        "r2",
        "r1",
        "r0",
    ]
    assert [run.run_id for run in ledger.runs(job="west_holdings", subject="set 1")] == ["r3", "r1"]
    assert [run.run_id for run in ledger.runs(state="done")] == ["r4"]
    last = ledger.last_runs(["west_holdings", "file_intake", "item_creation"])
    assert {job: run.run_id for job, run in last.items()} == {"west_holdings": "r4", "file_intake": "r9"}
    assert ledger.last_runs([]) == {}


def test_records_by_outcome_and_symbol_page_by_page(ledger):
    attempt = ledger.begin(RUN, WEST)
    words = ["delivered", "failed", "delivered"]
    rows = [RunRecord(words[number % 3], "AB"[number // 6], mms_id=str(number)) for number in range(12)]
    ledger.replace(RUN, Results({}, records=rows), attempt)
    assert [row.ord for row in ledger.records(RUN)] == [*range(1, 13)]
    assert list(ledger.all_records(RUN)) == rows
    found = []
    after = None
    while page := ledger.records(RUN, outcome="delivered", after=after, limit=3):
        found += [row.record for row in page]
        after = page[-1]
    assert found == [row for row in rows if row.outcome == "delivered"]
    assert list(ledger.all_records(RUN, outcome="failed", symbol="B")) == [rows[7], rows[10]]


def test_a_store_that_is_not_there_is_named(tmp_path):
    ledger = Ledger(f"sqlite:///{tmp_path / 'none' / 'store.db'}")
    with pytest.raises(StoreUnavailable, match="for the ledger of runs"):
        ledger.begin(RUN, WEST)
    (tmp_path / "none").mkdir()
    with pytest.raises(StoreUnavailable, match=r"alma_etl\.store upgrade"):
        ledger.begin(RUN, WEST)
