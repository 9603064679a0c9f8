"""A job is started once for a run, whatever dies, is lost, or runs beside it."""

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from alma_etl.alma.tasks import JobBusy
from alma_etl.errors import InputProblem, RunStopped
from alma_etl.jobs.folder import STARTS
from alma_etl.jobs.links import AlmaUrls
from alma_etl.profile_runs.report import problems_of, write_report
from alma_etl.profile_runs.submit import look
from alma_etl.remote.errors import RemoteError
from tests.unit.profile_runs.import_world import ImportWorld, WorkerKilled

RUN = "/jobs/S102.op=run"
Fault = Callable[..., None]


def busy(answer: object) -> str:
    assert isinstance(answer, JobBusy)
    return answer.reason.code


def test_thresholds_and_overlaps_are_waited_for(world: ImportWorld) -> None:
    for job in ("M31", "M18", "M48"):
        world.control("POST", "jobs", {"start": job})
    assert busy(world.submit()) == "402222"
    world.advance(150)
    for _ in range(5):
        world.control("POST", "jobs", {"start": "S102"})
        assert busy(world.submit()) in ("60347", "402222", "402223")
        world.advance(150)
    assert busy(world.submit()) == "402223"
    assert world.folder("a").instance_id() is None
    assert not [key for key in world.bucket.objects if "/start/" in key]  # what others start is not ours
    world.advance(3600)
    assert world.submit() == world.folder("a").instance_id() == world.instances()[-1]


@pytest.mark.parametrize("kind", ["drop", "truncated", "malformed"])
def test_a_lost_answer_leads_to_the_instance(world: ImportWorld, fault: Fault, kind: str) -> None:
    fault(kind=kind, method="POST", path=RUN, nth=1)
    assert [world.submit()] == world.instances()


def test_when_nobody_knows_the_next_attempt_looks_first(world: ImportWorld, fault: Fault) -> None:
    fault(kind="drop", method="POST", path=RUN)
    fault(kind="maintenance", method="GET", path="/S102/instances", nth=list(range(3, 60)))
    with pytest.raises(RemoteError):
        world.submit()
    world.control("DELETE", "faults")
    assert [world.submit()] == world.instances()


@pytest.mark.parametrize("dies_at", ["plan.json", "instances_before", "/started-"])
def test_a_killed_worker_leaves_no_second_start(world: ImportWorld, dies_at: str) -> None:
    world.bucket.dies_at = dies_at
    with pytest.raises(WorkerKilled):
        world.submit()
    assert [world.submit()] == world.instances()
    assert [world.submit()] == world.instances()  # cleared


@pytest.mark.parametrize("dies_at", ["/started-", "nothing"])
def test_a_start_of_days_ago_is_found(world: ImportWorld, fault: Fault, dies_at: str) -> None:
    """A worker that dies, or an answer that is lost and cannot be looked for; the task is cleared two days later."""
    world.bucket.dies_at = dies_at
    if dies_at == "nothing":
        fault(kind="drop", method="POST", path=RUN)
        fault(kind="maintenance", method="GET", path="/S102/instances", nth=list(range(3, 60)))
    with pytest.raises((WorkerKilled, RemoteError)):
        world.submit()
    world.control("DELETE", "faults")
    world.advance(2 * 86400)
    assert [world.submit()] == world.instances()


@pytest.mark.parametrize("hours", [-12, 0, 14])
@pytest.mark.parametrize("seconds", [-5, 5])
def test_a_start_about_midnight_is_found_whatever_day_the_institution_has(
    world: ImportWorld, hours: int, seconds: int
) -> None:
    world.set_clocks(datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=seconds), hours=hours)
    world.bucket.dies_at = "/started-"
    with pytest.raises(WorkerKilled):
        world.submit()
    world.advance(10)
    assert [world.submit()] == world.instances()


def test_what_ran_before_the_start_is_not_taken_days_later(world: ImportWorld) -> None:
    before = world.submit("another")
    world.advance(86400)
    world.bucket.dies_at = "/started-"
    with pytest.raises(WorkerKilled):
        world.submit()
    world.advance(2 * 86400)
    assert [before, world.submit()] == world.instances()


@pytest.mark.parametrize("how", ["killed", "lost"])
def test_a_run_that_no_list_names_yet_is_no_reason_to_start_another(
    world: ImportWorld, fault: Fault, how: str
) -> None:
    """The list lags behind. A second start is refused, since the first one's run is under way."""
    nothing = '{"job_instance": [], "total_record_count": 0}'
    hidden = {"kind": "body", "method": "GET", "path": "/S102/instances", "text": nothing}
    if how == "killed":
        world.bucket.dies_at = "/started-"
        with pytest.raises(WorkerKilled):
            world.submit()
    else:
        fault(kind="drop", method="POST", path=RUN, nth=1)
    fault(**hidden, content_type="application/json", status=200)
    assert busy(world.submit()) == "60347"
    world.control("DELETE", "faults")
    world.advance(900)
    assert [world.submit()] == world.instances()


def test_a_run_that_the_list_names_is_waited_for_and_not_taken(world: ImportWorld) -> None:
    """The worker died before it sent anything; what was started by hand before and since is none of the run's."""
    by_hand = world.control("POST", "jobs", {"start": "S102"})["instance_id"]
    assert busy(world.submit()) == "60347"
    notes = world.folder("a").notes(world.folder("a").plan())
    notes.set("alma_job_instances_before", {"day": world.client.today().isoformat(), "ids": [by_hand]})
    assert busy(world.submit()) == "60347"
    world.advance(900)
    since = world.control("POST", "jobs", {"start": "S102"})["instance_id"]
    world.advance(900)
    assert world.submit() not in (by_hand, since, None)


def test_notes_of_an_earlier_version_are_read(world: ImportWorld) -> None:
    world.bucket.dies_at = "/started-"
    with pytest.raises(WorkerKilled):
        world.submit()
    world.folder("a").notes(world.folder("a").plan()).set("alma_job_instances_before", [])
    assert [world.submit()] == world.instances()


def test_what_another_run_started_is_not_taken(world: ImportWorld) -> None:
    """The first run dies before it can note its instance, and then there is one more, of another run."""
    world.bucket.dies_at = "/started-"
    with pytest.raises(WorkerKilled):
        world.submit("a")
    assert busy(world.submit("b")) == "60347"
    world.advance(150)
    of_b = world.submit("b")
    (of_a,) = set(world.instances()) - {of_b}
    assert world.submit("a") == of_a
    assert world.submit("b") == of_b
    assert len(world.instances()) == 2


@pytest.mark.parametrize("dies_at", ["/started-", "nothing"])
def test_a_run_that_is_cleared_after_its_profile_got_another_job_starts_nothing(
    world: ImportWorld, fault: Fault, dies_at: str
) -> None:
    world.bucket.dies_at = dies_at
    with suppress(WorkerKilled):
        world.submit()
    text = '{"job": [{"id": "S101", "name": "Its new job"}], "total_record_count": 1}'
    fault(kind="body", path="/conf/jobs.*profile_id", text=text, content_type="application/json", status=200)
    assert [world.submit()] == world.instances()
    assert isinstance(world.submit(profile_id="101"), str)  # another form is another job
    assert len(world.instances()) == 2


def test_a_run_that_is_cleared_after_its_working_files_were_dropped_starts_nothing(
    world: ImportWorld,
) -> None:
    begun = world.submit()
    world.advance(40 * 86400)
    folder = world.folder("a")
    world.bucket.delete([key for key in world.bucket.objects if not key.startswith(folder.key(STARTS))])
    assert folder.find_plan() is None
    assert problems_of(folder, {})[0].startswith("The plan of this run is no longer kept: clear submit")
    with pytest.raises(InputProblem, match="clear submit"):
        look(folder, world.client)
    assert world.submit() == begun
    assert world.instances() == [begun]


def test_several_that_nobody_knows_are_not_decided_by_guessing(world: ImportWorld) -> None:
    world.bucket.dies_at = "/started-"
    with pytest.raises(WorkerKilled):
        world.submit()
    world.advance(150)
    world.control("POST", "jobs", {"start": "S102"})
    with pytest.raises(RunStopped) as stopped:
        world.submit()
    assert set(world.instances()) <= set(re.findall(r"\d{10,}", str(stopped.value)))
    assert len(world.instances()) == 2


def test_a_run_that_is_cleared_after_its_alma_changed_starts_there(world: ImportWorld) -> None:
    here = world.submit()
    world.advance(150)
    with world.client_of(world.url.replace("127.0.0.1", "localhost")) as elsewhere:
        there = world.submit(client=elsewhere)
    assert world.instances() == [here, there]
    assert world.folder("a").end() is None


def another_alma(fault: Fault, institution: str, environment: str) -> None:
    text = f'{{"institution": {{"value": "{institution}"}}, "environment_type": "{environment}"}}'
    fault(kind="body", path="/conf/general", text=text, content_type="application/json", status=200)


@pytest.mark.parametrize("other", [("02OTHER_INST", "SANDBOX"), ("01ZZ_INST", "PRODUCTION")])
def test_a_run_that_is_cleared_after_its_key_changed_starts_at_that_alma(
    world: ImportWorld, fault: Fault, other: tuple[str, str]
) -> None:
    """All Almas of a region have one gateway, and a sandbox has the job ids of the production it was copied from."""
    here = world.submit()
    world.advance(150)
    another_alma(fault, *other)
    there = world.submit()
    assert world.instances() == [here, there]
    world.advance(150)
    world.control("DELETE", "faults")
    assert world.submit() == here  # the connection is set back
    assert world.instances() == [here, there]


@pytest.mark.parametrize("plan_is_kept", [True, False])
def test_a_run_that_an_earlier_version_began_starts_nothing(world: ImportWorld, plan_is_kept: bool) -> None:
    """Starts were noted by gateway and job, without the institution."""
    begun = world.submit()
    folder = world.folder("a")
    plan = folder.plan()
    earlier = plan.of_an_earlier_version
    for key in [each for each in world.bucket.objects if "/start/" in each]:
        world.bucket.delete([key])
    folder.notes(earlier).set("alma_job_instance", begun)
    folder.write_plan(earlier)
    if not plan_is_kept:
        world.bucket.delete([folder.key("plan.json")])
    world.advance(150)
    assert [world.submit()] == world.instances() == [begun]
    assert folder.instance_id() == begun
    assert folder.of_others(plan) == set()
    assert world.folder("b").of_others(plan) == {begun}


@pytest.mark.parametrize(
    ("code", "words"),
    [("402248", "FTP/SFTP or OAI"), ("402249", "jobs of this category"), ("402228", "was not")],
)
def test_what_alma_never_starts(world: ImportWorld, fault: Fault, code: str, words: str) -> None:
    fault(kind="refuse", method="POST", path=RUN, code=code, message="Not this one.")
    with pytest.raises(InputProblem, match=code) as refused:
        world.submit()
    assert words in str(refused.value)
    assert world.folder("a").instance_id() is None


def test_several_jobs_of_a_profile(world: ImportWorld, fault: Fault) -> None:
    rows = ",".join(f'{{"id": "S{number}", "name": "Same"}}' for number in range(7))
    text = f'{{"job": [{rows}], "total_record_count": 7}}'
    fault(kind="body", path="/conf/jobs.*profile_id", text=text, content_type="application/json", status=200)
    with pytest.raises(
        InputProblem, match=r"several scheduled jobs .* S0 \(Same\).* and 2 more; give the job_id"
    ):
        world.submit()


def test_a_job_that_runs_no_profile_is_not_started(world: ImportWorld, fault: Fault) -> None:
    category = '{"value": "FULFILLMENT", "desc": "Fulfillment"}'
    text = f'{{"id": "S5", "name": "Notifications - Send Overdue Notices", "category": {category}}}'
    fault(kind="body", path="/conf/jobs/S5$", text=text, content_type="application/json", status=200)
    with pytest.raises(InputProblem, match=r"Overdue Notices\) runs no import profile, .* Fulfillment"):
        world.submit(job_id="S5")
    assert world.instances() == []


@pytest.mark.parametrize("category", ["null", '{"value": "REPOSITORY", "desc": "Import"}'])
def test_a_job_of_which_alma_says_nothing_else_is(world: ImportWorld, fault: Fault, category: str) -> None:
    text = f'{{"id": "S102", "name": "A profile", "category": {category}}}'
    fault(kind="body", path="/conf/jobs/S102$", text=text, content_type="application/json", status=200)
    assert [world.submit(job_id="S102")] == world.instances()


def test_nothing_is_waited_for_that_was_not_started(world: ImportWorld) -> None:
    assert world.submit(profile_id="102", dry_run=True) is None
    with pytest.raises(InputProblem, match="clear submit"):
        look(world.folder("a"), world.client)
    assert world.instances() == []


@pytest.mark.parametrize("kind", ["daily", "maintenance", "drop"])
def test_an_alma_that_cannot_be_asked_ends_no_waiting(world: ImportWorld, fault: Fault, kind: str) -> None:
    world.submit()
    world.advance(150)
    fault(kind=kind, path="/instances/")
    assert look(world.folder("a"), world.client) is None
    world.control("DELETE", "faults")
    with world.client_of(world.url) as other:
        end = look(world.folder("a"), other)
    assert end is not None
    assert world.folder("a").end() == end


def test_two_reports_are_the_same(world: ImportWorld) -> None:
    world.control("POST", "settings", {"import_events": "listed"})  # a refusal has a tracking id of its own
    world.load(titles=["One", "Two"])
    folder = world.ended()
    pages = []
    for _ in range(2):
        write_report(folder, world.client, AlmaUrls(), {})
        pages.append(world.bucket.get(folder.key("report.html")))
    assert pages[0] == pages[1]
