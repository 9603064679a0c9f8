"""Jobs of import profiles: what waits for their next run, their overlaps, counts, matches, events and records."""

from typing import Any

import pytest

from alma_sandbox.catalogue import ids
from tests.sandbox.caller import Caller

LOAD: dict[str, Any] = {
    "files": 2,
    "titles": ["First", "Second"],
    "merged": [ids.mms_id(3)],
    "single_matches": [[ids.mms_id(4)]],
    "multi_matches": [[ids.mms_id(5), ids.mms_id(6)]],
    "discarded": 1,
    "headings": 4,
    "orders": True,
    "events": ["A file had no records"],
}


def run(alma: Caller, job: str = "S102") -> str:
    link: str = alma.post(f"/conf/jobs/{job}?op=run", {})["additional_info"]["link"]
    return link.partition("/almaws/v1")[2]


@pytest.fixture
def ended(alma: Caller) -> str:
    """The path of a run that has loaded LOAD."""
    alma.settings(job_step_s=0)
    alma.control("POST", "import-profiles/102", LOAD)
    return run(alma)


def test_the_job_of_a_profile_is_found_by_its_id(alma: Caller) -> None:
    def found(**query: str) -> list[str]:
        return [row["id"] for row in alma.get("/conf/jobs", params=query).get("job", [])]

    assert found(type="SCHEDULED", profile_id="102") == ["S102"]
    assert found(type="MANUAL", profile_id="102") == found(profile_id="9") == []
    assert alma.get("/conf/md-import-profiles/102")["job_id"] == "S102"


def test_a_run_counts_what_it_loaded(alma: Caller, ended: str) -> None:
    row = alma.get(ended)
    counts = {counter["type"]["desc"]: int(counter["value"]) for counter in row["counter"]}
    assert counts == {
        "Number of files": 2,
        "Total records in file": 6,
        "Total records imported": 3,
        "Records with a single match": 1,
        "Records with multiple matches": 1,
        "Records not imported": 1,
        "PO lines created": 2,
        "Headings calculated": 4,
    }
    assert row["status"]["value"] == "COMPLETED_SUCCESS"
    loaded = alma.xml(f"{ended}/download?download_format=XML&line_type=TOTAL_RECORDS_IMPORTED")
    first, second, merged = loaded.xpath("//controlfield[@tag='001']/text()")
    assert merged == ids.mms_id(3)
    assert alma.get(f"/bibs/{first}")["title"] == "First"
    lines = alma.get(f"/acq/po-lines?q=mms_id~{second}")["po_line"]
    assert [line["resource_metadata"]["mms_id"]["value"] for line in lines] == [second]
    alma.call("DELETE", f"/bibs/{first}")
    again = alma.xml(f"{ended}/download?download_format=XML&line_type=TOTAL_RECORDS_IMPORTED")
    assert first in again.xpath("//controlfield[@tag='001']/text()")  # the report stays
    empty = alma.get(run(alma))  # the files were taken
    assert (empty["status"]["value"], empty["counter"][1]["value"]) == ("COMPLETED_NO_BULKS", "0")


def test_matches_and_events(alma: Caller, ended: str) -> None:
    single = alma.get(f"{ended}/matches?population=SINGLE_MATCHES")
    assert (single["total_record_count"], single["match"][0]["matched"]) == (1, [{"mms_id": ids.mms_id(4)}])
    (several,) = alma.get(f"{ended}/matches?population=MULTI_MATCHES")["match"]
    assert [row["mms_id"] for row in several["matched"]] == [ids.mms_id(5), ids.mms_id(6)]
    assert alma.refusal("GET", f"{ended}/matches") == (400, "40166411")
    assert alma.refusal("GET", f"{ended}/events") == (400, "401873")
    alma.settings(import_events="listed")
    assert alma.get(f"{ended}/events")["event"][0]["description"] == LOAD["events"][0]


def test_no_two_runs_of_a_profile_at_once(alma: Caller) -> None:
    alma.control("POST", "clock", {"stopped": True})
    instance_id = alma.control("POST", "jobs", {"start": "S102"})["instance_id"]
    assert alma.refusal("POST", "/conf/jobs/S102?op=run", body={}) == (400, "60347")
    run(alma, "S101")
    assert alma.control("POST", f"jobs/{instance_id}", {"abort": True})["status"] == "USER_ABORTED"
    assert alma.control("GET", f"jobs/{instance_id}")["submitted_by"] == "System"
    failing = run(alma)
    alma.control("POST", f"jobs/{failing.rpartition('/')[2]}", {"outcome": "COMPLETED_FAILED"})
    alma.control("POST", "clock", {"advance_s": 60})
    assert alma.get(failing)["status"]["value"] == "COMPLETED_FAILED"


def test_what_waits_and_what_ran_outlive_a_restart(alma: Caller, ended: str) -> None:
    from alma_sandbox.sandbox import Sandbox
    from alma_sandbox.state.kept import dump, restore

    alma.control("POST", "import-profiles/101", {"titles": ["Waiting"]})
    fresh = Sandbox(alma.sandbox.settings)
    restore(fresh, dump(alma.sandbox))
    assert fresh.jobs.waiting == alma.sandbox.jobs.waiting
    instance_id = ended.rpartition("/")[2]
    assert fresh.jobs.by_id[instance_id].load == alma.sandbox.jobs.by_id[instance_id].load


@pytest.mark.parametrize("body", [{"colour": 1}, {"files": "many"}, {}])
def test_a_load_that_cannot_be_read(alma: Caller, body: dict[str, Any]) -> None:
    answer = alma.session.post(f"{alma.url}/sandbox/import-profiles/102", json=body, timeout=30)
    assert answer.status_code == 400
