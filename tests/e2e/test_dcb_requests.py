"""Patron requests from their placing to their end, through the real DAGs: the happy path and what goes otherwise.

All scenarios share one consortium and go on side by side: between two runs of `dcb_status_sync` the people of each do
their part. The tests look at what came of it.
"""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow import settings
from sqlalchemy import create_engine, inspect, text

from alma_etl.dcb.explain import explain
from alma_etl.dcb.machine.vocabulary import Role, Status
from alma_etl.jobs.ledger import Ledger
from alma_etl.jobs.ledger_purge import TICKS
from local.servers import S3Server
from tests.conftest import Bucket as S3Bucket
from tests.e2e.dcb_scenarios import SCENARIOS, Scenario
from tests.e2e.dcb_world import KEYS, Request, World, small_world

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(900)]

MOST_TICKS = 14


@dataclass
class Story:
    """One scenario as it went. ``wrong``: where the sync did not do what the script says."""

    scenario: Scenario
    request: Request
    wrong: list[str] = field(default_factory=list)
    ticks: int = 0


@dataclass
class Told:
    """Everything that happened in the shared world."""

    world: World
    stories: dict[str, Story]
    runs: list[Any] = field(default_factory=list)


@pytest.fixture(scope="module")
def told(s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """All scenarios, played to their end."""
    client = s3_server.client()
    client.create_bucket(Bucket="dcb-scenarios")
    s3 = S3Bucket("dcb-scenarios", s3_server.endpoint_url, s3_server.access_key, s3_server.secret_key)
    with small_world(s3, tmp_path_factory.mktemp("dcb")) as world:
        stories = _begin(world)
        found = Told(world, stories)
        _play(found)
        yield found


def _begin(world: World) -> dict[str, Story]:
    stories = {}
    for number, (name, book) in enumerate(
        zip(SCENARIOS, world.lender.books(len(SCENARIOS)), strict=True), start=1
    ):
        scenario = SCENARIOS[name]
        patron = scenario.patron or f"patron{number:03d}"
        stories[name] = Story(
            scenario,
            Request(world, f"pr-{name}", book, patron, scenario.borrower, scenario.pickup, scenario.other),
        )
    for story in stories.values():
        run = world.run("dcb_place_request", story.request.conf)
        assert run.state == "success", story.request.pr_id
        assert story.request.status in (Status.RPBA, Status.RPPA)
    return stories


def _play(told: Told) -> None:
    scripts = {name: story.scenario.script(story.request) for name, story in told.stories.items()}
    for _ in range(MOST_TICKS):
        told.world.tick()
        expected = {}
        for name, script in list(scripts.items()):
            story = told.stories[name]
            try:
                expected[name] = next(script)
            except StopIteration:
                del scripts[name]
            except AssertionError as error:
                story.wrong.append(f"tick {story.ticks + 1}: {error}")
                del scripts[name]
        if not scripts:
            return
        told.runs.append(told.world.run("dcb_status_sync"))
        for name, status in expected.items():
            story = told.stories[name]
            story.ticks += 1
            if story.request.status != status:
                story.wrong.append(f"tick {story.ticks}: {story.request.status}, not {status}")
    raise AssertionError(f"not at their end after {MOST_TICKS} ticks: {', '.join(scripts)}")


def test_every_run_succeeded(told: Told) -> None:
    assert [str(run.state) for run in told.runs] == ["success"] * len(told.runs)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_request_goes_the_way_that_its_book_goes(told: Told, name: str) -> None:
    story = told.stories[name]
    history = told.world.history(story.request.pr_id)
    path = " ".join(Status(each.to).name + ("*" if each.inferred else "") for each in history.transitions)
    state = story.request.tracked.state
    assert story.wrong == []
    assert path == story.scenario.path
    assert set(state.flags) == story.scenario.flags
    assert state.standing == ()
    assert state.outcome == story.scenario.outcome
    if story.scenario.closure:
        assert state.closure == story.scenario.closure
    assert [each.seq for each in history.transitions] == list(range(1, len(history.transitions) + 1))


@pytest.mark.parametrize("name", SCENARIOS)
def test_nothing_is_left_in_any_library(told: Told, name: str) -> None:
    story, world = told.stories[name], told.world
    request = story.request
    for library in (world.lender, world.borrower):
        assert library.open_holds(request.pr_id) == []
        assert library.made_bibs(request.pr_id) == []
    book = world.lender.item(request.book.pid)
    assert book is not None
    assert book.process_type == story.scenario.book_ends
    assert world.lender.active_loan(book.pid) is None
    side = request.tracked.legs[Role.BORROWER]
    if story.scenario.pickup == "FOLIO":
        assert world.consortium.transactions.get(request.pr_id).status == "CLOSED"
    if story.scenario.borrower == "BORROWER":
        assert side.item_pid is not None
        assert world.borrower.item(side.item_pid) is None
        assert world.borrower.active_loan(side.item_pid) is None


@pytest.mark.parametrize("name", SCENARIOS)
def test_its_history_explains_it_and_everything_was_told_once(told: Told, name: str) -> None:
    request = told.stories[name].request
    history = told.world.history(request.pr_id)
    assert {row.state for row in history.outbox} <= {"SENT", "SUPERSEDED"} | (
        {"FAILED"} if name == "refused-loan" else set()
    )
    events = [row for row in history.outbox if row.kind == "EVENT" and row.target == "log"]
    changes = [row.payload["to"] for row in events if row.type == "dcb.status.changed"]
    assert changes == [each.to for each in history.transitions]
    assert len({row.payload["event_id"] for row in events}) == len(events)
    assert explain(told.world.store, request.pr_id).agrees


def test_the_books_agree_in_the_end(told: Told) -> None:
    compared = told.world.reconcile()
    assert compared["findings"] == []
    assert compared["unread"] == {}
    assert compared["looked"]


def test_what_is_wrong_is_found(told: Told) -> None:
    world, story = told.world, told.stories["gone-once"]
    stranger, forgotten = world.lender.books(len(SCENARIOS) + 2)[-2:]
    user_id = story.request.tracked.legs[Role.SUPPLIER].user_id
    hold = {
        "request_type": "HOLD",
        "pickup_location_type": "LIBRARY",
        "pickup_location_library": "STOR",
        "comment": "[DCB-REQUEST:pr-of-nobody:SUPPLIER]",
    }
    held = world.lender.call("POST", f"/users/{user_id}/requests?item_pid={stranger.pid}", hold)["request_id"]
    world.lender.lend(story.request.barcode, "MAIN", str(user_id))
    waiting = Request(world, "pr-forgotten", forgotten, "patron040")
    world.run("dcb_place_request", waiting.conf)
    world.tick(timedelta(days=8))  # and nobody looks
    compared = world.reconcile()
    found = {each["code"]: each["pr_id"] for each in compared["findings"]}
    assert found == {
        "ORPHAN_HOLD": "pr-of-nobody",
        "FINALISED_WHILE_OUT": story.request.pr_id,
        "STUCK_REQUEST_PLACED_AT_BORROWING_AGENCY": waiting.pr_id,
        "OUTBOX_STALLED": waiting.pr_id,
    }
    assert {alert.code for alert in world.store.open_alerts()} == set(found)
    assert compared["state"] == "failed"  # a book is out although its request has ended
    ledger = Ledger(world.store_url)
    (kept,) = ledger.runs(job="dcb_reconcile", limit=1)
    ledger.close()
    assert (kept.state, kept.counts) == ("failed", Counter(each["code"] for each in compared["findings"]))
    assert "FINALISED_WHILE_OUT" in kept.attention[-1]["what"]
    world.lender.control(f"requests/{held}", cancel="CannotBeFulfilled")
    assert story.request.come_home() == ""
    world.run("dcb_status_sync")
    world.tick()
    compared = world.reconcile()
    still = {"STUCK_REQUEST_PLACED_AT_BORROWING_AGENCY"}  # as it is: only the lender can send the book
    assert {each["code"] for each in compared["findings"]} == still
    assert {alert.code for alert in world.store.open_alerts()} == still
    assert compared["state"] == "success"


def test_each_run_is_read_from_the_ledger(told: Told) -> None:
    told.world.reconcile()
    ledger = Ledger(told.world.store_url)
    found = {job: ledger.runs(job=job, limit=1000) for job in ("dcb_place_request", TICKS, "dcb_reconcile")}
    placed = {run.subject: run for run in found["dcb_place_request"]}
    assert set(placed) >= {story.request.pr_id for story in told.stories.values()}
    well = placed["pr-well"]
    assert (well.state, sum(well.counts.values()), well.attention) == ("done", 1, [])
    assert well.calls["alma_default"] > 0
    assert well.calls["alma_borrower"] > 0
    assert sum(sum(tick.counts.values()) for tick in found[TICKS]) > 0
    assert found["dcb_reconcile"][0].measures["looked"]
    hosts = sorted(
        library.url.removeprefix("http://") for library in (told.world.lender, told.world.borrower)
    )
    for run in [*found["dcb_place_request"], *found[TICKS], *found["dcb_reconcile"]]:
        assert run.state in ("done", "failed")
        assert run.institution == ", ".join(hosts)
        assert run.artefacts
        for each in run.artefacts:
            info = told.world.bucket.info(each["key"])
            assert info is not None
            assert info.size == each["size"]
    ledger.close()


def test_the_ledger_names_no_user(told: Told) -> None:
    users = {
        leg.user_id
        for each in told.world.store.list_by(limit=1000)
        for leg in each.legs.values()
        if leg.user_id
    }
    assert "patron001" in users
    kept = _kept_by_us(told.world)
    for table in ("job_run", "run_record", "dropped_file"):
        assert [user_id for user_id in users if user_id in kept[table]] == []


def _kept_by_airflow() -> dict[str, str]:
    """What Airflow's database holds of the DCB DAGs: conf, XComs, rendered fields; and the log files of their tasks."""
    found = {}
    with settings.engine.connect() as connection:
        for table in inspect(settings.engine).get_table_names():
            if "dag_id" in {column["name"] for column in inspect(settings.engine).get_columns(table)}:
                rows = connection.execute(text(f"SELECT * FROM {table} WHERE dag_id LIKE 'dcb_%'")).all()
                found[f"Airflow's {table}"] = str(rows)
    logs = Path(os.environ["AIRFLOW__LOGGING__BASE_LOG_FOLDER"])
    found |= {str(path): path.read_text("utf-8", "replace") for path in logs.rglob("*dcb_*/**/*.log")}
    return found


def _kept_by_us(world: World) -> dict[str, str]:
    """The state store, the bucket, and what loggers wrote."""
    engine = create_engine(world.store_url)
    with engine.connect() as connection:
        found = {
            table: str(connection.execute(text(f'SELECT * FROM "{table}"')).all())
            for table in inspect(engine).get_table_names()
        }
    engine.dispose()
    for info in world.bucket.list(""):
        assert info.key.endswith((".json", ".jsonl", ".html", ".csv", ".yaml")), (
            f"{info.key} would not be seen into"
        )
        found[info.key] = world.bucket.get(info.key).decode()
    return {**found, "log": "\n".join(world.heard.lines)}


def test_no_patron_and_no_key_is_named_anywhere(told: Told) -> None:
    world = told.world
    words = {*KEYS.values(), "@example.org", "Test Street"}
    for library in (world.lender, world.borrower):
        for primary_id, user in library.sandbox.users.by_id.items():
            if primary_id.startswith("patron"):
                words |= {str(user["full_name"]), str(user["user_identifier"][0]["value"])}
    kept = {**_kept_by_us(world), **_kept_by_airflow()}
    # The scan would see them: ids, which may be kept, are there.
    assert "patron001" in kept["dcb_leg"]
    assert "patron001" in kept["Airflow's dag_run"]
    assert "pr-well" in kept["log"]
    assert any("pr-well" in kept[key] for key in kept if key.endswith("report.html"))
    for place, content in kept.items():
        assert [word for word in words if word in content] == [], place
