"""What the ledger says of runs of `west_holdings`."""

import csv
import io
import json
from collections import Counter

import pytest

from alma_airflow.hooks import ledger as hooks
from alma_airflow.operators import base
from alma_airflow.operators.west import CheckWestOutcome
from alma_etl.jobs.ledger_reading import RunKey, RunRecord
from tests.e2e.alma import SandboxView
from tests.e2e.death import Death, WorkerKilled
from tests.e2e.ledger_view import entry, ledger  # noqa: F401 - a fixture

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]

DELIVERY = "west/deliveries/ZZMAIN.alma.archived.20261120"
ALL_TITLES, EMPTY_SET = "59000000000004401", "59000000000014401"


@pytest.fixture
def alma(sandbox, connect_alma):
    view = SandboxView(sandbox(titles=20, per_second=0).url)
    connect_alma(view.url, requests_per_second=500)
    view.forget()
    return view


def outcomes(bucket):
    return list(csv.DictReader(io.StringIO(bucket.get(f"{DELIVERY}.outcomes.csv").decode())))


def test_a_delivery_is_read_from_the_ledger(jobs, alma, ledger):  # noqa: F811
    run = jobs.run("west_holdings", {"chunk_size": 10})
    found = entry(ledger, run)
    told = json.loads(jobs.bucket.get(f"{DELIVERY}.manifest.json"))
    assert (found.state, found.job, found.subject, found.dry_run) == (
        "done",
        "west_holdings",
        ALL_TITLES,
        False,
    )
    assert found.institution == alma.url.removeprefix("http://")
    assert (found.counts, found.attention) == (told["counts"], [])
    assert found.headline.endswith("delivered.")
    assert found.measures == {
        "titles": told["titles"],
        "holdings": told["holdings"],
        "symbols": {
            "ZZMAIN": {
                "records": told["records"], "added": None, "dropped": None, "compared_with": None, "sftp": False,
            }
        },
    }  # fmt: skip
    assert {each["role"] for each in found.artefacts} == {"marc", "manifest", "outcomes", "report"}
    for each in found.artefacts:
        assert jobs.bucket.info(each["key"]).size == each["size"]
    assert found.calls == {"alma_default": len(alma.calls())}
    assert sum(
        use.calls for use in ledger.api_use(found.started_at.replace(minute=0, second=0, microsecond=0))
    ) == len(alma.calls())
    assert list(ledger.all_records(RunKey(run.dag_id, run.run_id))) == [
        RunRecord(row["outcome"], "ZZMAIN", None, row["mms_id"], row["holding_id"], label=row["title"],
               reasons=row["reasons"])
        for row in outcomes(jobs.bucket)
    ]  # fmt: skip


def test_a_run_that_fails_in_its_first_task_has_its_row_and_a_cleared_one_replaces_it(
    jobs,
    alma,
    ledger,  # noqa: F811
    monkeypatch,
):
    key = RunKey("west_holdings", "one run, cleared")
    for module in (base, hooks):
        monkeypatch.setattr(module, "run_key", lambda context: key)
    run = jobs.run("west_holdings", {"set_id": EMPTY_SET, "dry_run": True})
    found = ledger.run(key)
    assert (run.state, found.state, found.subject, found.dry_run) == ("failed", "failed", EMPTY_SET, True)
    (attention,) = found.attention
    assert "is empty" in attention["what"]
    assert "docs/runbooks/west_holdings.md" in attention["what_to_do"]
    assert [each["role"] for each in found.artefacts] == ["report"]
    assert (found.counts, ledger.records(key)) == ({}, [])
    before = found.calls["alma_default"]

    assert jobs.run("west_holdings", {"dry_run": True}).state == "success"
    found = ledger.run(key)
    assert (found.state, found.subject, found.attention) == ("done", ALL_TITLES, [])
    assert {each["key"].partition("/")[0] for each in found.artefacts} == {"runs"}
    assert found.calls["alma_default"] == len(alma.calls()) > before
    counts = Counter(row.record.outcome for row in ledger.records(key, limit=1000))
    assert counts == Counter({word: count for word, count in found.counts.items() if count})


def test_with_the_worker_killed_in_each_task_the_run_ends_as_one_without(
    jobs,
    alma,
    ledger,  # noqa: F811
    monkeypatch,
):
    states = []
    execute = base.EtlOperator.execute

    def noted(operator, context):
        try:
            return execute(operator, context)
        except WorkerKilled:
            key = RunKey(context["dag_run"].dag_id, context["dag_run"].run_id)
            states.append(ledger.run(key).state)
            raise

    monkeypatch.setattr(base.EtlOperator, "execute", noted)
    deeds = {"extract_mms_ids": 2, "list_holdings": 2, "fetch_holdings": 2, "convert_to_marc21": 2}
    deeds |= {"assemble_delivery": 1, "deliver": 2, "report": 1}
    death = Death(monkeypatch, deeds)
    run = jobs.run("west_holdings", {"chunk_size": 20})
    found = entry(ledger, run)
    assert death.killed == [*deeds]
    assert states == ["running"] * len(deeds)
    assert (run.state, found.state) == ("success", "done")
    assert found.calls == {"alma_default": len(alma.calls())}
    assert sum(found.counts.values()) == len(outcomes(jobs.bucket))


def test_a_run_that_is_killed_in_its_last_task_says_that_it_runs(jobs, alma, ledger, monkeypatch):  # noqa: F811
    def killed(operator, context):
        raise WorkerKilled("check_outcome")

    monkeypatch.setattr(CheckWestOutcome, "work", killed)
    monkeypatch.setattr(
        base.RunLedger, "fail", lambda *given, **named: None
    )  # a killed worker calls nothing back
    found = entry(ledger, jobs.run("west_holdings", {}))
    assert (found.state, found.ended_at) == ("running", None)
    assert found.counts["delivered"] > 0
