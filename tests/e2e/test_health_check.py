"""`alma_health_check` through the real DAG: healthy, half-configured, broken, and what is kept of it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from alma_etl.jobs.ledger import Ledger
from alma_etl.jobs.ledger_reading import JobRun, RunKey, RunRecord
from local.servers import Server
from tests.e2e.conftest import Jobs

pytestmark = pytest.mark.heavy


class Health:
    """Runs the check and reads what it kept."""

    def __init__(self, jobs: Jobs, ledger: Ledger) -> None:
        self.jobs, self.ledger = jobs, ledger

    def run(self) -> tuple[JobRun, list[RunRecord]]:
        done = self.jobs.run("alma_health_check", {})
        kept = self.ledger.run(RunKey("alma_health_check", done.run_id))
        assert kept is not None
        assert (str(done.state) == "success") == (kept.state == "done")
        records = self.ledger.records(RunKey(kept.dag_id, kept.run_id), limit=200)
        return kept, [each.record for each in records]


@pytest.fixture
def health(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> Iterator[Health]:
    from alma_airflow.hooks.store import store_url

    ledger = Ledger(store_url())
    yield Health(jobs, ledger)
    ledger.close()


def outcome(records: list[RunRecord], system: str, check: str) -> str:
    return next(each.outcome for each in records if (each.symbol, each.reasons) == (system, check))


def test_from_healthy_over_half_configured_to_broken(
    health: Health, sandbox: Callable[..., Server], connect_alma: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    alma = sandbox(titles=12)
    connect_alma(alma.url)
    connect_alma(alma.url, conn_id="alma_borrower")
    for conn_id in ("mod_dcb_default", "dcb_default"):
        monkeypatch.setenv(
            f"AIRFLOW_CONN_{conn_id.upper()}", '{"conn_type": "http", "host": "http://127.0.0.1:1"}'
        )
    kept, records = health.run()
    assert (kept.state, kept.headline[:42]) == ("done", "Nothing that the night's runs need is miss"), kept
    assert {each.outcome for each in records} == {"ok"}
    assert {each["role"] for each in kept.artefacts} == {"report", "table", "summary"}
    run_folder = f"runs/alma_health_check/{kept.run_id}/"
    kept_keys = {each.key.removeprefix(run_folder) for each in health.jobs.bucket.list("")}
    assert kept_keys == {"report.html", "checks.csv", "setup.json"}
    assert kept.calls["alma_default"] < 15

    connect_alma(alma.url, environment="production")
    connect_alma(alma.url, conn_id="alma_borrower", environment="production")
    kept, records = health.run()
    assert (kept.state, kept.counts["warning"]) == ("done", 3), "nothing is set up, and nothing is broken"

    health.jobs.bucket.put("config/west.yaml", b"set_id: '404'\noclc_symbol: ZZZ\n")
    connect_alma(alma.url, key="sandbox-ro", environment="production")
    health.jobs.bucket.put("config/item_profiles.yaml", b"profiles: {a: {librry: X}}\n")
    kept, records = health.run()
    assert kept.state == "failed"
    assert outcome(records, "alma_default", "west_set") == "missing"
    (broken,) = [each for each in records if each.symbol == "settings" and each.outcome == "missing"]
    assert "config/item_profiles.yaml, line 1" in broken.message
    assert "The WEST set 404 is there" in kept.attention[-1]["what"]
    assert "sandbox-ro" not in repr((kept, records))


def test_a_broken_bucket_and_an_alma_that_does_not_answer_are_still_said(
    health: Health, connect_alma: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect_alma("http://127.0.0.1:1")
    monkeypatch.setenv("ALMA_ETL_BUCKET", "no-such-bucket-here")
    kept, records = health.run()
    assert kept.state == "failed"
    assert outcome(records, "the bucket", "answers") == "missing"
    assert outcome(records, "the state store", "store") == "ok"
    assert outcome(records, "alma_default", "answers") == "unknown"
    assert kept.artefacts == []
    assert "the bucket" in kept.attention[-1]["what"]
