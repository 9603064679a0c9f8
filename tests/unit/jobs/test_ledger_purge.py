"""What is dropped with age, and what is left alone."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from alma_etl.jobs.ledger import About, Results
from alma_etl.jobs.ledger_purge import TICKS, Purge, Purged, Retention
from alma_etl.jobs.ledger_reading import Artefact, RunKey
from tests.unit.jobs.ledger_world import RUN, WEST, opened

BOTH = ["sqlite", pytest.param("postgresql", marks=pytest.mark.heavy)]
KEEP = Retention()


@pytest.fixture(params=BOTH)
def world(request, tmp_path):
    with opened(request, tmp_path) as made:
        yield made


def run_ids(ledger, **filters):
    return [run.run_id for run in ledger.runs(**filters)]


def test_records_go_before_runs_and_a_run_that_is_under_way_keeps_all(world, bucket):
    ledger, purge = world.ledger, world.purge
    world.done(RUN)
    ledger.begin(RunKey("west_holdings", "killed"), WEST)
    world.clock.pass_time(days=29)
    ledger.begin(RunKey("west_holdings", "waiting"), WEST)
    ledger.wait(RunKey("west_holdings", "waiting"), "")
    assert purge.purge(KEEP, bucket) == Purged(0, 0, 0, 0)
    world.clock.pass_time(days=2)
    assert purge.purge(KEEP, bucket).records == 3
    assert ledger.records(RUN) == []
    assert ledger.run(RUN).counts == {"delivered": 3}
    world.clock.pass_time(days=370)
    assert purge.purge(KEEP, bucket).runs == 2
    assert run_ids(ledger) == ["waiting"]
    world.clock.pass_time(days=400)
    assert purge.purge(KEEP, bucket).runs == 1


def test_ticks_are_kept_for_thirty_days(world, bucket):
    world.ledger.begin(RunKey(TICKS, "t1"), About(TICKS))
    attempt = world.ledger.begin(RunKey(TICKS, "t1"), About(TICKS))
    world.ledger.finish(RunKey(TICKS, "t1"), "done", "", attempt)
    world.done(RUN)
    world.clock.pass_time(days=31)
    assert world.purge.purge(KEEP, bucket).runs == 1
    assert run_ids(world.ledger) == [RUN.run_id]


def test_of_large_runs_the_last_three_of_a_subject_keep_their_records(world, bucket):
    ledger = world.ledger
    keep = KEEP.model_copy(update={"large_run": 10})
    for number in range(5):
        world.done(RunKey("west_holdings", f"large{number}"), 11)
        world.done(RunKey("west_holdings", f"small{number}"), 10, replace(WEST, subject="another"))
        world.clock.pass_time(days=1)
    assert world.purge.purge(keep, bucket).records == 22
    found = {run.run_id: bool(ledger.records(RunKey(run.dag_id, run.run_id))) for run in ledger.runs()}
    assert [run_id for run_id, kept in found.items() if not kept] == ["large1", "large0"]


def test_files_go_with_the_runs_unless_they_wait_or_are_under_way(world, bucket):
    ledger = world.ledger
    for number, state in enumerate(("arrived", "started", "done", "ignored")):
        file = world.file(key=f"items/incoming/main/{state}.csv", version=str(number))
        ledger.arrive(file)
        if state == "done":
            ledger.move(file.key, file.version, "started", run=RUN)
        if state != "arrived":
            ledger.move(file.key, file.version, state, run=RUN)
    world.clock.pass_time(days=399)
    assert world.purge.purge(KEEP, bucket).files == 0
    world.clock.pass_time(days=2)
    assert world.purge.purge(KEEP, bucket).files == 2
    assert sorted(file.state for file in ledger.files()) == ["arrived", "started"]


def test_working_files_of_the_bucket_go_and_reports_stay(world, bucket, monkeypatch):
    ledger = world.ledger
    folder = f"runs/{RUN.dag_id}/{RUN.run_id}/"
    kept = [
        "west/deliveries/X.mrc",
        "runs/file_intake/started.json",
        "runs/dcb_place_request/claims/PR-1.json",
    ]
    kept += ["runs/dcb_place_request/failed/progress.json", "runs/west_holdings/live/plan.json"]
    kept += ["runs/import_profile_run/a/start/0f/started-531"]
    gone = [
        "runs/import_profile_run/a/plan.json",
        f"{folder}report.html",
        f"{folder}chunks/0001/a",
        "runs/dcb_place_request/done/progress.json",
    ]
    gone += ["runs/west_holdings/of-before-the-ledger/plan.json"]
    for key in kept + gone:
        bucket.put(key, b"x")

    world.clock.now = datetime.now(UTC)
    artefacts = [
        _artefact("runs/west_holdings/scheduled__2026-03-02/report.html"),
        _artefact("west/deliveries/X.mrc"),
    ]
    attempt = ledger.begin(RUN, WEST)
    ledger.replace(RUN, Results({}, artefacts=artefacts), attempt)
    ledger.finish(RUN, "done", "", attempt)
    for name in ("done", "failed"):
        key = RunKey("dcb_place_request", name)
        ledger.finish(key, name, "", ledger.begin(key, About("dcb_place_request")))
    assert world.purge.purge(KEEP, bucket).folders == 0

    ledger.begin(RunKey("west_holdings", "live"), WEST)
    _pass_days(monkeypatch, bucket, 31)
    assert world.purge.purge(KEEP, bucket).folders == 4
    assert world.purge.purge(KEEP, bucket).folders == 0
    assert sorted(each.key for each in bucket.list("")) == sorted(kept)
    assert [each["key"] for each in ledger.run(RUN).artefacts] == ["west/deliveries/X.mrc"]


def test_one_purges_a_day_of_all_who_would(world, bucket):
    start = threading.Barrier(4)

    def would(_number):
        purge = Purge(world.url, now=world.clock)
        start.wait(30)
        done = purge.once_a_day(KEEP, bucket)
        purge.close()
        return done is not None

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(would, range(4))) == 1
    assert world.purge.once_a_day(KEEP, bucket) is None
    world.clock.pass_time(hours=24)
    assert world.purge.once_a_day(KEEP, bucket) is not None


def _artefact(key):
    return Artefact(role="report", key=key, name=key.rpartition("/")[2], size=1, type="text/html")


def _pass_days(monkeypatch, bucket, days):
    server_time = bucket.server_time
    monkeypatch.setattr(bucket, "server_time", lambda: server_time() + timedelta(days=days))
