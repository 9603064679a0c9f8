"""How a run ends: every status of the job, what was read of what it loaded, and what could not be read."""

import io
from collections.abc import Callable

import pytest
import requests

from alma_etl.errors import NotAcceptable
from alma_etl.jobs.links import AlmaUrls
from alma_etl.jobs.report_tables import read_csv
from alma_etl.profile_runs.reading import ImportFacts, read_titles
from alma_etl.profile_runs.report import OUTCOMES, check_outcome, problems_of, results_of, write_report
from alma_sandbox.catalogue import ids
from tests.unit.profile_runs.import_world import ImportWorld, WorkerKilled

Fault = Callable[..., None]
URLS = AlmaUrls("https://alma.example/{mms_id}", "https://alma.example/job/{instance_id}")


def facts_of(world: ImportWorld, **conf: object) -> ImportFacts:
    folder = world.ended(**(conf or {"profile_id": "102"}))
    write_report(folder, world.client, URLS, {})
    facts = folder.find_model("facts.json", ImportFacts)
    assert facts is not None
    return facts


def rows_of(world: ImportWorld, name: str) -> list[dict[str, str]]:
    return list(read_csv(io.BytesIO(world.bucket.get(world.folder("a").key(name)))))


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("COMPLETED_SUCCESS", ""),
        ("COMPLETED_WARNING", ""),
        ("MANUAL_HANDLING_REQUIRED", ""),
        ("COMPLETED_NO_BULKS", "found nothing to import"),
        ("COMPLETED_FAILED", "ended as COMPLETED_FAILED: The job ended as COMPLETED_FAILED."),
        ("FAILED", "ended as FAILED"),
        ("USER_ABORTED", "ended as USER_ABORTED"),
        ("SYSTEM_ABORTED", "ended as SYSTEM_ABORTED"),
        ("ABORTED", "ended as ABORTED"),
        ("SKIPPED", "ended as SKIPPED"),
        ("ON_ANOTHER_PLANET", "ended as ON_ANOTHER_PLANET"),
    ],
)
def test_every_status(world: ImportWorld, status: str, words: str) -> None:
    world.load(titles=["One"], outcome=status)
    facts_of(world)
    problems = problems_of(world.folder("a"), {})
    assert [words in each for each in problems] == ([True] if words else [])
    if not words:
        assert f"ended as {status}" in check_outcome(world.folder("a"), {})


def test_no_files_are_right_where_none_are_expected(world: ImportWorld) -> None:
    facts_of(world, profile_id="102", expected=0)
    said = check_outcome(world.folder("a"), {})
    assert said.startswith("The job S102")
    assert said.endswith("Alma lists no title that it loaded.")
    with pytest.raises(NotAcceptable, match="The task wait is failed"):
        check_outcome(world.folder("a"), {"wait": "failed"})


@pytest.mark.parametrize(
    "expected", [{"records": 0}, {"files": 0}, {"records": 0, "files": 0, "po_lines": 0}]
)
def test_a_job_without_files_counts_nothing(
    world: ImportWorld, fault: Fault, expected: dict[str, int]
) -> None:
    """Its report need not have counts at all."""
    instance_id = world.submit(profile_id="102", expected=expected)
    text = f'{{"id": "{instance_id}", "status": {{"value": "COMPLETED_NO_BULKS"}}}}'
    fault(kind="body", path="/instances/[0-9]+$", text=text, content_type="application/json", status=200)
    write_report(world.folder("a"), world.client, URLS, {})
    assert problems_of(world.folder("a"), {}) == []


def test_no_files_are_short_of_what_was_expected(world: ImportWorld) -> None:
    facts_of(world, profile_id="102", expected=5)
    assert problems_of(world.folder("a"), {})[:2] == [
        "The job found nothing to import: see whether the files are where the profile fetches them.",
        "Records in the files: 5 expected, 0 in the job's report.",
    ]


@pytest.mark.parametrize("conf", [{}, {"expected_files": 1}])
def test_a_job_that_did_nothing_is_no_success(world: ImportWorld, conf: dict[str, object]) -> None:
    world.load(discarded=5)
    facts_of(world, profile_id="102", **conf)
    (problem,) = problems_of(world.folder("a"), {})
    assert problem.startswith("None of the records were imported, and none matched")


@pytest.mark.parametrize(
    "load", [{"discarded": 4, "single_matches": [[ids.mms_id(1)]]}, {"discarded": 4, "titles": ["One"]}]
)
def test_one_that_did_something_is(world: ImportWorld, load: dict[str, object]) -> None:
    world.load(**load)
    facts_of(world)
    assert problems_of(world.folder("a"), {}) == []
    assert "records not imported: 4" in check_outcome(world.folder("a"), {})


def test_a_list_that_has_fewer_records_than_were_imported_makes_the_run_red(
    world: ImportWorld, fault: Fault
) -> None:
    world.load(titles=["One", "Two", "Three"])
    text = (
        "<collection><record><controlfield tag='001'>990000000010004401</controlfield></record></collection>"
    )
    fault(kind="body", path="/download", text=text, content_type="application/xml", status=200)
    facts_of(world)
    words = "The job counts 3 imported records, and Alma's list of them has 1: the others could not be read."
    assert words in problems_of(world.folder("a"), {})


def test_two_records_of_one_title_are_two(world: ImportWorld) -> None:
    world.load(merged=[ids.mms_id(0), ids.mms_id(0), ids.mms_id(1)])
    facts = facts_of(world)
    assert [each.records for each in facts.titles] == [2, 1]
    assert problems_of(world.folder("a"), {}) == []
    assert results_of(world.folder("a")).counts == {"found": facts.counts["records"]} == {"found": 3}
    assert [row["message"] for row in rows_of(world, "records.csv")] == ["2 records of the files", ""]


def test_more_than_expected_is_said_and_of_orders_wrong(world: ImportWorld) -> None:
    world.load(titles=["One", "Two"], orders=True, headings=3)
    facts_of(world, profile_id="102", expected={"records": 1, "po_lines": 2, "headings": 3})
    said = check_outcome(world.folder("a"), {})
    assert "More than expected: records in the files: 2 instead of 1." in said
    world.load(titles=["Three", "Four"], orders=True)
    world.ended("b", profile_id="102", expected={"po_lines": 1})
    write_report(world.folder("b"), world.client, URLS, {})
    assert problems_of(world.folder("b"), {}) == ["PO lines created: 1 expected, 2 in the job's report."]


def test_lines_that_wait_for_a_review_are_said(world: ImportWorld, fault: Fault) -> None:
    world.load(titles=["One"], orders=True)
    folder = world.ended()
    (run,) = world.control("GET", "state")["jobs"].values()
    mms_id = run["load"]["imported"][0][0]
    line = f'{{"number": "POL-1", "status": {{"value": "INREVIEW"}}, "resource_metadata": {{"mms_id": "{mms_id}"}}}}'
    text = f'{{"po_line": [{line}], "total_record_count": 1}}'
    fault(kind="body", path="/acq/po-lines", text=text, content_type="application/json", status=200)
    write_report(folder, world.client, URLS, {})
    assert "1 PO line waits for a review (Acquisitions > Review)." in check_outcome(folder, {})


def test_a_start_of_which_nobody_knows_is_not_called_none(world: ImportWorld) -> None:
    world.bucket.dies_at = "/started-"
    with pytest.raises(WorkerKilled):
        world.submit()
    write_report(world.folder("a"), world.client, URLS, {"submit": "failed"})
    assert problems_of(world.folder("a"), {"submit": "failed"})[0].startswith(
        "Nobody knows whether Alma started the job S102"
    )


def test_what_was_loaded_is_read_and_every_record_has_one_outcome(world: ImportWorld) -> None:
    world.control("POST", "settings", {"import_events": "listed"})
    world.load(
        titles=["One", "=2+3"],
        merged=[ids.mms_id(0)],
        single_matches=[[ids.mms_id(1)]],
        multi_matches=[[ids.mms_id(2), ids.mms_id(3)]],
        discarded=2,
        orders=True,
        events=["A file was empty <b>"],
    )
    facts = facts_of(world)
    results = results_of(world.folder("a"))
    assert results.counts == {"found": 3, "single_match": 1, "multi_match": 1, "discarded": 2}
    assert sum(results.counts.values()) == facts.counts["records"] == 7
    assert {row["outcome"] for row in rows_of(world, "records.csv")} <= set(OUTCOMES)
    several = next(row for row in rows_of(world, "records.csv") if row["outcome"] == "multi_match")
    assert several["message"] == f"matches {ids.mms_id(2)}, {ids.mms_id(3)}"
    assert [row["title"] for row in rows_of(world, "records.csv") if row["title"].startswith("'")] == [
        "'=2+3"
    ]
    page = world.bucket.get(world.folder("a").key("report.html")).decode()
    for number in range(4):  # of a record that matches several, each
        assert f"https://alma.example/{ids.mms_id(number)}" in page
    assert "A file was empty &lt;b&gt;" in page
    assert facts.events == ("1; Warning; A file was empty <b>",)


def test_titles_and_lines_that_are_gone(world: ImportWorld) -> None:
    world.load(titles=["One", "Two", "Three"], orders=True)
    folder = world.ended()
    state = world.control("GET", "state")
    (run,) = state["jobs"].values()
    gone = run["load"]["imported"][0][0]
    with world.client_of(world.url) as client:
        client.bibs.delete(gone, override=True)
    write_report(folder, world.client, URLS, {})
    assert f"1 title that the job loaded is no longer there: {gone}." in problems_of(folder, {})
    assert results_of(folder).counts == {"found": 2, "gone": 1}
    assert rows_of(world, "records.csv")[0]["outcome"] == "gone"  # first what needs somebody


def test_a_line_that_was_cancelled_is_missing(world: ImportWorld) -> None:
    world.load(titles=["One", "Two"], orders=True)
    folder = world.ended()
    line = next(iter(each for each in world.control("GET", "state")["po_lines"] if each.startswith("POL-2")))
    url = f"{world.url}/almaws/v1/acq/po-lines/{line}?reason=LIBRARY_CANCELLED"
    requests.delete(url, headers={"Authorization": "apikey sandbox"}, timeout=30).raise_for_status()
    write_report(folder, world.client, URLS, {})
    (problem,) = problems_of(folder, {})
    assert problem.startswith("The job counts 2 PO lines, and the titles that it loaded have 1")


def test_of_more_titles_a_sample_is_read(world: ImportWorld) -> None:
    world.load(titles=[f"Title {number}" for number in range(7)])
    facts = facts_of(world, profile_id="102", read=3, expected=7)
    read = [number for number, each in enumerate(facts.titles) if each.outcome == "found"]
    assert read == [0, 2, 4]
    assert "Of 7 loaded titles 3 were read and there" in check_outcome(world.folder("a"), {})


@pytest.mark.parametrize("between", [",", ", ", ";", " "])
def test_ids_that_stand_in_one_text_are_all_matches(world: ImportWorld, fault: Fault, between: str) -> None:
    """So users of the API describe the list of records that match several titles."""
    both = (ids.mms_id(1), ids.mms_id(2))
    row = f'{{"record": "Sea, the", "mms_ids": "{between.join(both)}"}}'
    text = f'{{"match": [{row}], "total_record_count": 1}}'
    fault(kind="body", path="population=MULTI", text=text, content_type="application/json", status=200)
    (waiting,) = facts_of(world).waiting
    assert (waiting.key, waiting.mms_ids) == ("Sea, the", both)


def test_ids_that_are_none_are_not_asked_for(world: ImportWorld) -> None:
    found = read_titles(world.client, ["ocm123", "", ids.mms_id(0), ids.mms_id(0)], 10)
    assert [(each.mms_id, each.outcome) for each in found] == [
        ("ocm123", "not_read"),
        ("", "not_read"),
        (ids.mms_id(0), "found"),
    ]
    assert [each.outcome for each in read_titles(world.client, [ids.mms_id(0)], 0)] == ["not_read"]


def test_what_cannot_be_read_is_never_taken_for_gone(world: ImportWorld, fault: Fault) -> None:
    world.load(titles=["One"], multi_matches=[[ids.mms_id(2)]])
    folder = world.ended()
    fault(kind="refuse", path="/matches", code="401873", message="Not for this job.")
    fault(kind="maintenance", path="/bibs")
    write_report(folder, world.client, URLS, {})
    assert "1 title that the job loaded could not be read" in " ".join(problems_of(folder, {}))
    assert "gone" not in results_of(folder).counts
    assert "Single matches: not known" in world.bucket.get(folder.key("report.html")).decode()
    fault(kind="maintenance", path="/instances/")
    write_report(folder, world.client, URLS, {})
    assert "could not be read: clear report." in problems_of(folder, {})[0]


@pytest.mark.parametrize(
    ("path", "words"),
    [("/download", "Imported records could not be read"), ("/matches", "Multi matches could not be read")],
)
def test_what_may_be_read_another_time_makes_the_run_red(
    world: ImportWorld, fault: Fault, path: str, words: str
) -> None:
    world.load(titles=["One"])
    folder = world.ended()
    fault(kind="maintenance", path=path)
    write_report(folder, world.client, URLS, {})
    assert words in " ".join(problems_of(folder, {}))
    world.control("DELETE", "faults")
    write_report(folder, world.client, URLS, {})
    assert problems_of(folder, {}) == []


def test_what_alma_does_not_show_is_said(world: ImportWorld, fault: Fault) -> None:
    world.load(titles=["One"])
    folder = world.ended()
    fault(kind="refuse", path="/download", code="401873", message="Not for this job.")
    fault(kind="refuse", path="/matches", code="401873", message="Not for this job.")
    write_report(folder, world.client, URLS, {})
    said = check_outcome(folder, {})
    assert "Which titles it loaded Alma does not show, so that none were read." in said
    assert "Not shown by Alma: Single matches, Multi matches." in said


def test_no_titles_are_read_where_the_form_says_so(world: ImportWorld) -> None:
    world.load(titles=["One"], orders=True)
    assert facts_of(world, profile_id="102", read=0).titles == ()
    assert "The titles were not read, as the form says." in check_outcome(world.folder("a"), {})
    assert world.control("GET", "log?path=/download")["entries"] == []


def test_a_job_that_nobody_waits_for_goes_on(world: ImportWorld) -> None:
    instance_id = world.submit()
    write_report(world.folder("a"), world.client, URLS, {"wait": "failed"})
    with pytest.raises(
        NotAcceptable, match=rf"goes on in Alma \(instance {instance_id}\): no API cancels a job"
    ):
        check_outcome(world.folder("a"), {"wait": "failed"})
    assert str(instance_id) in world.bucket.get(world.folder("a").key("report.html")).decode()


def test_the_end_of_a_job_that_nobody_waited_for_is_seen_by_a_report_that_is_cleared(
    world: ImportWorld,
) -> None:
    world.load(titles=["One"])
    assert isinstance(world.submit(), str)
    world.advance(150)
    write_report(world.folder("a"), world.client, URLS, {})
    assert check_outcome(world.folder("a"), {}).startswith("The job S102")
    assert results_of(world.folder("a")).counts == {"found": 1}


def test_an_instance_that_alma_does_not_know_is_no_end(world: ImportWorld, fault: Fault) -> None:
    instance_id = world.submit()
    fault(kind="refuse", path="/instances/", code="402218", message="Not valid.")
    write_report(world.folder("a"), world.client, URLS, {})
    with pytest.raises(NotAcceptable, match=rf"instance {instance_id}"):
        check_outcome(world.folder("a"), {})
