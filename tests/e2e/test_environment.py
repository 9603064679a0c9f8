"""A connection whose `environment` is not sandbox: what ships is not used, and the job says what to make."""

import pytest

from tests.e2e.items import ItemSandbox, Loaded

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]

KEY = "items/incoming/gifts/march.txt"
EXAMPLE = "include/alma_etl/dcb/dcb.yaml"
PROFILES = b'profiles: {maps: {library: "MAIN", location: "stacks"}}\n'


@pytest.fixture
def alma(sandbox, connect_alma):
    """Two connections to one sandbox, of which Airflow knows as a production Alma."""
    found = ItemSandbox(sandbox(titles=20, per_second=0).url)
    connect_alma(found.url, environment="production")
    connect_alma(found.url, conn_id="alma_borrower", environment="sandbox")
    found.forget()
    return found


def page(jobs, run):
    return jobs.bucket.get(f"runs/{run.dag_id}/{run.run_id}/report.html").decode()


def test_a_dropped_file_writes_nothing_until_there_are_profiles_and_then_names_them(jobs, alma):
    jobs.bucket.put(KEY, f"{alma.titles()[0]}|B1\r\n".encode())
    alma.forget()
    loaded = Loaded(jobs.bucket, jobs.run("item_creation", {"key": KEY}), "march")
    assert loaded.state == "failed"
    assert alma.calls() == []
    words = loaded.page()
    for word in ("config/item_profiles.yaml", "include/alma_etl/items/item_profiles.yaml", "environment"):
        assert word in words
    jobs.bucket.put("config/item_profiles.yaml", PROFILES)
    jobs.bucket.put(KEY, f"{alma.titles()[0]}|B1\r\n".encode())
    again = Loaded(jobs.bucket, jobs.run("item_creation", {"key": KEY}), "march")
    assert "(maps)" in again.page()
    assert (
        jobs.run("item_creation", {"key": again.keys("items/failed/")[0], "profile": "maps"}).state
        == "success"
    )


def test_a_misspelt_name_in_the_conf_is_refused_before_anything_is_written(jobs, alma):
    jobs.bucket.put("config/item_profiles.yaml", PROFILES)
    jobs.bucket.put(KEY, f"{alma.titles()[0]}|B1\r\n".encode())
    alma.forget()
    loaded = Loaded(
        jobs.bucket, jobs.run("item_creation", {"key": KEY, "profile": "maps", "dryrun": True}), "march"
    )
    assert loaded.state == "failed"
    assert alma.calls() == []
    assert "dryrun: is not known here, did you mean dry_run?" in loaded.page()


@pytest.mark.parametrize("dag_id", ["dcb_status_sync", "dcb_reconcile"])
def test_the_dcb_jobs_name_the_file_to_make(jobs, alma, dag_id):
    run = jobs.run(dag_id, {})
    assert run.state == "failed"
    assert alma.calls() == []
    for words in ("There is no config/dcb.yaml in the bucket", EXAMPLE, "that of alma_default is not"):
        assert words in page(jobs, run)


def test_a_placing_names_the_file_to_make(jobs, alma):
    conf = {
        "pr_id": "PR-1",
        "supplier_system": "LENDER",
        "supplier_mms_id": "990010000000004401",
        "supplier_holding_id": "220010000000004401",
        "supplier_item_pid": "230010000000004401",
        "borrower_system": "BORROWER",
        "user_id": "patron001",
        "pickup_library": "SCI",
        "title": "A title",
        "item_barcode": "31000000000000",
    }
    placed = jobs.run("dcb_place_request", conf)
    cancelled = jobs.run("dcb_cancel_request", {"pr_id": "PR-1"})
    assert alma.calls() == []
    for run, last in ((placed, "track"), (cancelled, "report")):
        assert run.state == "failed"
        why = run.get_task_instance(last).xcom_pull(task_ids=last, key="problem")
        assert "There is no config/dcb.yaml in the bucket" in why
