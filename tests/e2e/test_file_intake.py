"""`file_intake` by `dag.test()`: a run for every dropped file, and only one for each version of it."""

import json
import re
from datetime import timedelta

import pytest
from airflow.models import DagRun
from airflow.utils.session import create_session
from sqlalchemy import delete, select

from alma_airflow.operators import intake as operators
from alma_etl.jobs import arrivals
from alma_etl.jobs.arrivals import STARTED
from alma_etl.jobs.places import ITEMS, Area, dropped_file
from alma_etl.jobs.starting import new_starts
from tests.e2e.conftest import LOGICAL_DATE
from tests.e2e.items import PROFILES, ItemSandbox, Loaded
from tests.e2e.ledger_view import entry, ledger  # noqa: F401 - a fixture

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]


@pytest.fixture
def drop(jobs):
    """Puts a file into the folder of the profile `gifts`; its key."""

    def put(name, body=b"991|1"):
        jobs.bucket.put(f"items/incoming/gifts/{name}", body)
        return f"items/incoming/gifts/{name}"

    with create_session() as session:
        session.execute(delete(DagRun).where(DagRun.dag_id == "item_creation"))
    return put


@pytest.fixture
def intake(jobs):
    """Runs `file_intake`; the states of its tasks come back."""
    moments = iter(LOGICAL_DATE + timedelta(minutes=minute) for minute in range(100))

    def run():
        found = jobs.run("file_intake", {}, at=next(moments))
        return found, {(task.task_id, task.map_index): str(task.state) for task in found.get_task_instances()}

    return run


def loads():
    """The runs of `item_creation` that wait: id and conf."""
    with create_session() as session:
        runs = session.scalars(select(DagRun).where(DagRun.dag_id == "item_creation"))
        return {run.run_id: run.conf for run in runs}


def test_each_file_gets_a_run_and_is_not_offered_again(jobs, drop, intake):
    keys = {drop(f"list {number}.txt") for number in range(3)}
    drop("still coming.txt.part")
    run, states = intake()
    assert run.state == "success"
    assert [states["start_load", number] for number in range(3)] == ["success"] * 3
    assert {conf["key"] for conf in loads().values()} == keys
    run, states = intake()
    assert run.state == "success"
    assert states["start_load", -1] == "skipped"
    assert len(loads()) == 3


def test_what_arrived_and_what_was_started_is_read_from_the_ledger(jobs, drop, intake, ledger):  # noqa: F811
    key = drop("list.txt", b"991|12")
    run, _ = intake()
    found = entry(ledger, run)
    assert (found.state, found.job) == ("done", "file_intake")
    assert found.counts == {"started": 1, "already_started": 0, "failed": 0}
    assert found.headline.startswith("1 run started")
    (file,) = ledger.files()
    ((_, conf),) = loads().items()
    assert (file.key, file.version, file.state) == (key, conf["version"], "arrived")
    assert (file.area, file.profile, file.size) == ("items", "gifts", 6)
    drop("list.txt", b"991|123")
    intake()
    assert [each.state for each in ledger.files(key=key)] == ["arrived", "superseded"]


def test_a_version_starts_once_even_when_the_note_of_it_is_lost(jobs, drop, intake):
    drop("a.txt")
    intake()
    jobs.bucket.delete([STARTED])
    run, states = intake()
    assert (run.state, states["start_load", 0]) == ("success", "skipped")
    assert len(loads()) == 1


def test_a_run_tells_its_file_by_its_id_and_its_note_and_is_named_in_the_log(jobs, drop, intake, capfd):
    key = drop("march gifts.txt", b"991|12")
    intake()
    (run_id,) = loads()
    assert re.fullmatch(r"march-gifts__\d{8}T\d{6}Z__[0-9a-f]{16}", run_id)
    with create_session() as session:
        found = session.scalars(select(DagRun).where(DagRun.run_id == run_id)).one()
        assert found.note == f"`{key}`, 6 bytes"
    assert f"/dags/item_creation/runs/{run_id}" in "".join(capfd.readouterr())


def test_names_that_differ_only_in_what_an_id_leaves_out_have_a_run_each(jobs, drop, intake):
    names = [
        "日本語.txt",
        "中文.txt",
        "a b.txt",
        "a-b.txt",
        "a_b.csv",
        "manual.txt",
        "backfill",
        "x" * 240 + ".txt",
    ]
    keys = {drop(name) for name in names}
    run, _ = intake()
    assert run.state == "success"
    assert {conf["key"] for conf in loads().values()} == keys


def test_what_the_version_before_started_is_not_started_again_even_without_a_note(jobs, drop, intake):
    key = drop("march.txt")
    (arrival,) = arrivals.settled(jobs.bucket, settle=timedelta(0))
    jobs.bucket.put(STARTED, json.dumps({"started": [f"file__{arrival.mark}"]}).encode())
    intake()
    assert loads() == {}
    jobs.bucket.delete([STARTED])
    former = DagRun(
        dag_id="item_creation",
        run_id=f"file__{arrival.mark}",
        run_type="manual",
        state="success",
        conf={"key": key},
        run_after=LOGICAL_DATE,
    )
    with create_session() as session:
        session.add(former)
    run, states = intake()
    assert (run.state, states["start_load", 0]) == ("success", "skipped")
    assert set(loads()) == {f"file__{arrival.mark}"}


def test_the_same_file_dropped_again_is_a_new_run(jobs, drop, intake):
    key = drop("a.txt")
    intake()
    first = jobs.bucket.info(key)
    while jobs.bucket.info(drop("a.txt")).last_modified == first.last_modified:  # S3 counts in seconds
        pass
    intake()
    assert len({conf["version"] for conf in loads().values()}) == 2


def test_a_name_is_data_and_never_a_template(jobs, drop, intake):
    keys = {
        drop("{{ 7 * 7 }} {% raw %}.txt"),
        drop("{{ conn.aws_default.password }}.txt"),
        drop("${HOME}.txt"),
        drop("bell \x07 and\nline.txt"),
    }
    run, _ = intake()
    assert run.state == "success"
    assert {conf["key"] for conf in loads().values()} == keys
    names = {task.rendered_map_index for task in run.get_task_instances() if task.map_index >= 0}
    assert names == keys
    for key in keys:  # a list of keys to delete is XML, which cannot hold control characters
        jobs.bucket.client.delete_object(Bucket=jobs.bucket.name, Key=key)


def test_a_burst_is_started_in_portions_without_losing_one(jobs, drop, intake, monkeypatch):
    def five(bucket, *, at_most, **more):
        return new_starts(bucket, at_most=5, **more)

    monkeypatch.setattr(operators, "new_starts", five)
    keys = {drop(f"{number:02d}.txt") for number in range(12)}
    started = []
    for _ in range(3):
        _, states = intake()
        started.append(sum(state == "success" for (_, index), state in states.items() if index >= 0))
    assert started == [5, 5, 2]
    assert {conf["key"] for conf in loads().values()} == keys


def test_a_run_that_cannot_be_started_makes_the_intake_red_and_stops_no_other(
    jobs, drop, intake, monkeypatch
):
    monkeypatch.setattr(arrivals, "AREAS", (ITEMS, Area("bibs", "no_such_dag")))
    monkeypatch.setattr(arrivals.settled, "__kwdefaults__", {"areas": arrivals.AREAS})
    jobs.bucket.put("bibs/incoming/gifts/x.mrc", b"1")
    key = drop("a.txt")
    run, states = intake()
    assert {conf["key"] for conf in loads().values()} == {key}
    assert run.state == "failed"
    assert sorted(state for (_, index), state in states.items() if index >= 0) == ["failed", "success"]
    assert len(json.loads(jobs.bucket.get(STARTED))["started"]) == 1


def test_what_intake_starts_is_loaded_and_filed(jobs, drop, intake, sandbox, connect_alma):
    alma = ItemSandbox(sandbox(titles=20, per_second=0).url)
    connect_alma(alma.url, requests_per_second=1000)
    jobs.bucket.put("config/item_profiles.yaml", PROFILES.encode())
    key = drop("März.txt", "".join(f"{mms}|B{n}\r\n" for n, mms in enumerate(alma.titles()[:5])).encode())
    intake()
    (conf,) = loads().values()
    loaded = Loaded(jobs.bucket, jobs.run("item_creation", conf), dropped_file(ITEMS, key).stem)
    assert (loaded.state, loaded.counts()) == ("success", {"created": 5})
    assert jobs.bucket.info(key) is None
    _, states = intake()
    assert states["start_load", -1] == "skipped"
    assert json.loads(jobs.bucket.get(STARTED)) == {"started": []}
