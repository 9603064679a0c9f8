"""What the ledger says of runs of `item_creation`."""

import pytest

from alma_etl.jobs.ledger_reading import RunKey
from tests.e2e.death import Death
from tests.e2e.items import PROFILES, ItemSandbox
from tests.e2e.ledger_view import entry, ledger  # noqa: F401 - a fixture

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]

KEY = "items/incoming/gifts/march.txt"


@pytest.fixture
def alma(sandbox, connect_alma, jobs):
    found = ItemSandbox(sandbox(titles=20, per_second=0).url)
    connect_alma(found.url, requests_per_second=1000)
    jobs.bucket.put("config/item_profiles.yaml", PROFILES.encode())
    body = [f"{mms_id}|B{number}" for number, mms_id in enumerate(found.titles()[:5])]
    jobs.bucket.put(KEY, "\r\n".join([*body, "991|"]).encode())
    found.forget()
    return found


def test_a_load_is_read_from_the_ledger_with_the_worker_killed_in_each_task(
    jobs,
    alma,
    ledger,  # noqa: F811
    monkeypatch,
):
    deeds = {
        "read_file": 2,
        "check_codes": 2,
        "resolve_holdings": 2,
        "create_items": 3,
        "report": 2,
        "file_away": 1,
    }
    death = Death(monkeypatch, deeds)
    run = jobs.run("item_creation", {"key": KEY})
    assert death.killed == [*deeds]
    found = entry(ledger, run)
    assert (run.state, found.state, found.job, found.subject) == ("success", "done", "item_creation", KEY)
    assert {word: count for word, count in found.counts.items() if count} == {"created": 5, "invalid_row": 1}
    assert found.headline.startswith("5 of 6 rows loaded")
    assert found.calls == {"alma_default": len(alma.calls())}
    assert {"table", "workbook", "report", "rejects"} <= {each["role"] for each in found.artefacts}
    for each in found.artefacts:
        assert jobs.bucket.info(each["key"]).size == each["size"]
    records = [row.record for row in ledger.records(RunKey(run.dag_id, run.run_id))]
    assert [(each.line, each.label, each.outcome) for each in records] == [
        *((number + 1, f"B{number}", "created") for number in range(5)),
        (6, "991", "invalid_row"),
    ]
    assert all(each.item_pid and each.holding_id for each in records[:5])
    (file,) = ledger.files()
    assert (file.key, file.state, file.run_id) == (KEY, "done", run.run_id)
    assert jobs.bucket.info(file.filed_key) is not None


def test_a_load_that_fails_in_its_first_task_has_its_row(jobs, alma, ledger):  # noqa: F811
    run = jobs.run("item_creation", {"key": "items/incoming/gifts/none.txt"})
    found = entry(ledger, run)
    assert (run.state, found.state) == ("failed", "failed")
    assert "There is no file items/incoming/gifts/none.txt" in found.attention[-1]["what"]
    assert "docs/runbooks/item_creation.md" in found.attention[-1]["what_to_do"]
    assert ledger.files() == []
