"""`import_profile_run` through the real DAG: thresholds, a failing job, killed workers, a person who ends the run."""

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
import requests

import alma_sandbox
from alma_airflow.operators.profile_runs import SubmitImport, WaitForImport
from alma_airflow.triggers import import_run
from alma_etl.jobs.ledger import Ledger
from alma_etl.jobs.ledger_reading import JobRun, RunKey
from tests.e2e.conftest import Jobs
from tests.e2e.death import Death
from tests.e2e.ledger_view import entry, ledger  # noqa: F401 - a fixture

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]
ORDERS = {"files": 2, "titles": ["First", "Second", "Third"], "orders": True, "headings": 3}
RUN = "/conf/jobs/S102.op=run"


class ImportAlma:
    """The sandbox, whose time passes while triggers wait."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.before_each_wait: Callable[[], None] = lambda: None

    def control(self, method: str, path: str, body: object = None) -> Any:
        answer = requests.request(method, f"{self.url}/sandbox/{path}", json=body, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def advance(self, seconds: float) -> None:
        self.control("POST", "clock", {"advance_s": seconds})

    def fault(self, **rule: object) -> None:
        self.control("POST", "faults", rule)

    def instances(self) -> dict[str, Any]:
        found: dict[str, Any] = self.control("GET", "state")["jobs"]
        return found

    def starts(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.control("GET", "log?method=POST&path=op=run")["entries"]
        return found

    def mms_ids(self) -> list[str]:
        return [mms_id for run in self.instances().values() for mms_id, _ in (run["load"] or {})["imported"]]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[alma_sandbox.Running]:
    with alma_sandbox.serve(alma_sandbox.Settings(titles=30, per_second=0, job_step_s=60)) as running:
        yield running


@pytest.fixture
def alma(
    sandbox: alma_sandbox.Running, connect_alma: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> ImportAlma:
    found = ImportAlma(sandbox.url)
    found.control("POST", "reset")
    found.control("POST", "clock", {"stopped": True, "now": datetime.now(UTC).isoformat()})
    template = "https://alma.example/record/{mms_id}"
    connect_alma(
        sandbox.url,
        requests_per_second=1000,
        record_url=template,
        job_url="https://alma.example/job/{job_id}/{instance_id}",
    )

    async def time_passes(seconds: float) -> None:
        await asyncio.to_thread(found.before_each_wait)
        await asyncio.to_thread(found.advance, seconds)

    monkeypatch.setattr("alma_airflow.triggers.alma_job.sleep", time_passes)
    monkeypatch.setattr(SubmitImport, "turn_seconds", 0)
    monkeypatch.setattr("alma_etl.alma.client.time.sleep", lambda _: None)
    return found


def report_of(jobs: Jobs, run: Any, name: str = "report.html") -> str:
    return unescape(jobs.bucket.get(f"runs/import_profile_run/{run.run_id}/{name}").decode())


def ran(jobs: Jobs, ledger: Ledger, conf: dict[str, Any], at: datetime | None = None) -> tuple[Any, JobRun]:  # noqa: F811
    run = jobs.run("import_profile_run", conf, **({"at": at} if at else {}))
    return run, entry(ledger, run)


def test_a_profile_is_run_and_what_it_loaded_is_read(jobs: Jobs, alma: ImportAlma, ledger: Ledger) -> None:  # noqa: F811
    load = {**ORDERS, "multi_matches": [["991", "992"]], "single_matches": [["9900000000034401"]]}
    alma.control("POST", "import-profiles/102", load)
    conf = {"profile_id": "102", "expected": 5, "expected_files": 2, "label": "GOBI May", "note": "by <hand>"}
    run, kept = ran(jobs, ledger, conf)
    assert (str(run.state), kept.state) == ("success", "done"), kept.headline
    assert kept.headline.startswith("GOBI May: the job S102 Import orders (EOD): vendor profile ended as")
    assert "2 records wait for staff" in kept.headline
    assert kept.subject == "S102 Import orders (EOD): vendor profile"
    assert kept.counts == {"found": 3, "single_match": 1, "multi_match": 1}
    assert kept.measures["report"] == {
        "files": 2, "records": 5, "imported": 3, "matched": 2, "discarded": 0, "po_lines": 3, "headings": 3,
    }  # fmt: skip
    assert {each["role"] for each in kept.artefacts} == {"report", "table", "counts", "summary"}
    rows = [row.record for row in ledger.records(RunKey(kept.dag_id, kept.run_id))]
    assert [row.outcome for row in rows].count("po_line") == 3
    page = report_of(jobs, run)
    (instance_id,) = alma.instances()
    assert f"https://alma.example/job/S102/{instance_id}" in page
    for title in (alma.mms_ids()[0], "9900000000034401"):  # loaded, and matched by a record that waits
        assert f"https://alma.example/record/{title}" in page
    assert "by <hand>" in page
    assert "records in the files,5,5,ok" in report_of(jobs, run, "counts.csv")


def test_a_run_waits_for_its_turn_and_says_why(
    jobs: Jobs,
    alma: ImportAlma,
    ledger: Ledger,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Three others are running, then the profile's own job is, then Alma takes it."""
    for job in ("M31", "M18", "M48"):
        alma.control("POST", "jobs", {"start": job})
    alma.control("POST", "import-profiles/102", ORDERS)
    refused: list[str] = []
    turn = SubmitImport._wait_for_turn

    def time_passes(operator: SubmitImport, context: Any, busy: Any) -> None:
        refused.append(busy.reason.code)
        alma.advance(150)
        if len(refused) == 1:
            alma.control("POST", "jobs", {"start": "S102"})
            alma.control("POST", "import-profiles/102", ORDERS)
        turn(operator, context, busy)

    monkeypatch.setattr(SubmitImport, "_wait_for_turn", time_passes)
    run, kept = ran(jobs, ledger, {"job_id": "S102", "expected": 3})
    assert refused == ["402222", "60347"]
    assert (str(run.state), kept.state) == ("success", "done"), kept.headline
    assert len([each for each in alma.instances().values() if each["submitted_by"] == "exl_api"]) == 1


@pytest.mark.parametrize(
    ("load", "conf", "words"),
    [
        ({**ORDERS, "outcome": "COMPLETED_FAILED"}, {}, "ended as COMPLETED_FAILED: The job ended as"),
        (
            {**ORDERS, "discarded": 2},
            {"expected": 5},
            "Records imported or matched: 5 expected, 3 in",
        ),
        (ORDERS, {"expected_files": 3}, "Files: 3 expected, 2 in the job's report."),
        (None, {}, "found nothing to import"),
    ],
)
def test_a_run_is_red(
    jobs: Jobs,
    alma: ImportAlma,
    ledger: Ledger,  # noqa: F811
    load: Any,
    conf: dict[str, Any],
    words: str,
) -> None:
    if load:
        alma.control("POST", "import-profiles/102", load)
    run, kept = ran(jobs, ledger, {"profile_id": "102", **conf})
    assert (str(run.state), kept.state) == ("failed", "failed")
    assert words in kept.attention[-1]["what"]
    assert words in report_of(jobs, run)


def test_titles_that_are_gone_make_the_run_red(jobs: Jobs, alma: ImportAlma, ledger: Ledger) -> None:  # noqa: F811
    alma.control("POST", "import-profiles/102", ORDERS)

    def delete_one() -> None:
        headers = {"Authorization": "apikey sandbox"}
        url = f"{alma.url}/almaws/v1/bibs/{alma.mms_ids()[1]}?override=true"
        requests.delete(url, headers=headers, timeout=30)

    alma.before_each_wait = delete_one
    run, kept = ran(jobs, ledger, {"profile_id": "102", "expected": 3})
    assert str(run.state) == "failed"
    assert (
        f"1 title that the job loaded is no longer there: {alma.mms_ids()[1]}." in kept.attention[-1]["what"]
    )
    assert kept.counts == {"found": 2, "gone": 1}


@pytest.mark.parametrize(
    "action", [9, 10, *(pytest.param(action, marks=pytest.mark.nightly) for action in range(2, 9))]
)
def test_a_killed_worker_starts_no_second_job(
    jobs: Jobs,
    alma: ImportAlma,
    ledger: Ledger,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    action: int,
) -> None:
    """The actions of submit: looks, notes, the POST (9), the note of what it started (10). Each takes effect, nothing
    after it does."""
    alma.control("POST", "import-profiles/102", ORDERS)
    death = Death(monkeypatch, {"submit": action, "wait": 1, "report": 3})
    run, kept = ran(jobs, ledger, {"profile_id": "102", "expected": 3})
    assert "wait" in death.killed
    assert (str(run.state), kept.counts) == ("success", {"found": 3}), kept.headline
    assert len(alma.instances()) == len(alma.starts()) == 1


def test_a_run_that_is_ended_by_a_person_leaves_the_job_at_work(
    jobs: Jobs,
    alma: ImportAlma,
    ledger: Ledger,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As the triggerer does when the task is marked failed: the trigger is cancelled, after `on_kill`."""
    alma.control("POST", "import-profiles/102", ORDERS)
    said: list[JobRun] = []

    async def ended(trigger: import_run.ImportJobTrigger) -> Any:
        await trigger.on_kill()
        said.append(ledger.run(RunKey(trigger.dag_id, trigger.run_id)))
        raise RuntimeError("the trigger was cancelled")
        yield

    with monkeypatch.context() as patch:
        patch.setattr(import_run.ImportJobTrigger, "run", ended)
        patch.setattr(WaitForImport, "retries", 0)
        run, kept = ran(jobs, ledger, {"profile_id": "102"})
    (instance_id,) = alma.instances()
    assert said[0].state == "failed"
    assert f"Alma's job goes on (instance {instance_id})" in said[0].attention[-1]["what"]
    assert (str(run.state), kept.state) == ("failed", "failed")
    assert "no API cancels a job. Abort it in Alma" in kept.attention[-1]["what"]
    assert len(alma.starts()) == 1
    assert alma.instances()[instance_id]["aborted"] is None


def test_two_runs_of_one_profile_start_two_jobs_one_after_the_other(
    jobs: Jobs,
    alma: ImportAlma,
    ledger: Ledger,  # noqa: F811
) -> None:
    """The answer to the first start is lost, and its job is one that the second run must not take for its own."""
    alma.control("POST", "import-profiles/102", ORDERS)
    alma.fault(kind="drop", method="POST", path=RUN, nth=1)
    first, kept = ran(jobs, ledger, {"profile_id": "102", "expected": 3})
    assert (str(first.state), len(alma.starts())) == ("success", 1), kept.headline
    alma.control("POST", "import-profiles/102", {"titles": ["Fourth"]})
    second, kept = ran(
        jobs, ledger, {"profile_id": "102", "expected": 1}, first.logical_date + timedelta(hours=1)
    )
    assert str(second.state) == "success", kept.headline
    assert [len(run["load"]["imported"]) for run in alma.instances().values()] == [3, 1]


@pytest.mark.parametrize(
    ("conf", "words"),
    [
        ({}, "give either profile_id or job_id"),
        ({"profile_id": "999"}, "no scheduled job for the import profile 999"),
        ({"job_id": "S999"}, "Alma has no job S999"),
    ],
)
def test_a_conf_that_cannot_be_run(
    jobs: Jobs,
    alma: ImportAlma,
    ledger: Ledger,  # noqa: F811
    conf: dict[str, Any],
    words: str,
) -> None:
    run, kept = ran(jobs, ledger, conf)
    assert (str(run.state), alma.starts()) == ("failed", [])
    assert words in kept.attention[0]["what"]
    assert words in report_of(jobs, run)


def test_a_dry_run_looks_the_job_up_and_starts_nothing(jobs: Jobs, alma: ImportAlma, ledger: Ledger) -> None:  # noqa: F811
    run, kept = ran(jobs, ledger, {"profile_id": "101", "dry_run": True})
    assert (str(run.state), alma.starts()) == ("success", [])
    assert kept.headline.startswith("Dry run: the job S101 ")
    assert json.loads(report_of(jobs, run, "plan.json"))["job_id"] == "S101"
