"""Counters known by their names, and what falls short of what was expected."""

import pytest

from alma_etl.alma.jobs import JobCounter
from alma_etl.errors import InputProblem
from alma_etl.profile_runs.conf import Expected, read_conf
from alma_etl.profile_runs.counts import ACCOUNTED, accounted, compare, counts_of


def counters(**named: str) -> list[JobCounter]:
    return [JobCounter("", name.replace("_", " "), value) for name, value in named.items()]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Number of files", "files"),
        ("Files created", "files"),
        ("Total records in file", "records"),
        ("Number of records in the files", "records"),
        ("Number of records processed", "records"),
        ("Total records imported", "imported"),
        ("Records not imported", "discarded"),
        ("Records discarded", "discarded"),
        ("Number of records with exceptions", "discarded"),
        ("Single matches", "matched"),
        ("PO lines created", "po_lines"),
        ("PO-lines created for imported records", "po_lines"),
        ("Headings calculated", "headings"),
        ("PO lines not created", None),
        ("PO lines failed", None),
        ("Records that did not match", None),
        ("Records with no match", None),
        ("No. of records imported", "imported"),
        ("New records imported (no match)", "imported"),
        ("Something that nobody knows", None),
    ],
)
def test_a_counter_is_known_by_its_name(name: str, kind: str | None) -> None:
    assert counts_of([JobCounter("c.jobs.bibImport.files", name, "1,234")]) == ({kind: 1234} if kind else {})


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("c.jobs.bibImport.notImported", "discarded"),
        ("import.poLines", "po_lines"),
        ("job.import.records", "records"),
    ],
)
def test_without_a_name_the_end_of_the_code_tells(code: str, kind: str) -> None:
    assert counts_of([JobCounter(code, "", "7")]) == {kind: 7}


def test_a_total_counts_once_and_parts_add_up() -> None:
    found = counts_of(
        counters(
            Total_records_imported="10",
            New_records_imported="6",
            Single_matches="2",
            Multiple_matches="3",
            Number_of_files="many",
        )
    )
    assert found == {"imported": 10, "matched": 5}


def test_a_counter_whose_words_all_others_have_is_their_total() -> None:
    named = counters(Records_imported="10", Records_imported_no_match="6", Existing_records_imported="4")
    assert counts_of(named) == {"imported": 10}
    assert counts_of(counters(Single_matches="5", Multiple_matches="5")) == {"matched": 10}


@pytest.mark.parametrize(
    ("counts", "expected", "wrong"),
    [
        ({"records": 5, "imported": 4, "matched": 1, "discarded": 0}, 5, set()),
        ({"records": 6, "imported": 6}, 5, set()),
        ({"records": 4, "imported": 4}, 5, {"records", ACCOUNTED}),
        ({"records": 5, "imported": 5, "matched": 2, "discarded": 1}, 5, {ACCOUNTED}),  # merged ones are both
        ({"records": 5, "imported": 0, "discarded": 0}, 5, {ACCOUNTED}),
        ({"records": 5}, 5, {ACCOUNTED}),  # the report says nothing of them
        ({"imported": 5}, 5, {"records"}),
        ({}, 0, {"records", ACCOUNTED}),
        ({"records": 5, "imported": 4, "discarded": 1}, {"records": 5, "discarded": 1}, set()),
        (
            {"records": 5, "imported": 3, "discarded": 2},
            {"records": 5, "discarded": 1},
            {"discarded", ACCOUNTED},
        ),
        ({"files": 1, "po_lines": 5}, {"files": 1, "po_lines": 4}, {"po_lines"}),  # something is bought twice
        ({"files": 1, "po_lines": 4, "headings": 9}, {"files": 2, "po_lines": 4, "headings": 8}, {"files"}),
    ],
)
def test_what_falls_short(counts: dict[str, int], expected: int | dict[str, int], wrong: set[str]) -> None:
    wanted = read_conf({"job_id": "S1", "expected": expected}).to_compare()
    assert {row.kind for row in compare(counts, wanted) if row.wrong} == wrong


def test_what_is_not_expected_is_shown_and_not_judged() -> None:
    (row,) = compare({"imported": 0}, Expected())
    assert (row.kind, row.done, row.wrong) == ("imported", 0, False)
    assert accounted({"headings": 3}) is None


@pytest.mark.parametrize(
    ("conf", "words"),
    [
        ({}, "give either profile_id or job_id"),
        ({"profile_id": "5", "job_id": "S5"}, "give either profile_id or job_id"),
        (
            {"profile_id": "five"},
            "profile_id: must be the id of an import profile, which is digits, not 'five'",
        ),
        ({"profile_id": "5/../6"}, "which is digits"),
        ({"job_id": "M48"}, "must be the id of a scheduled job"),
        ({"job_id": "S1", "expected": "many"}, "must be a number of records"),
        ({"job_id": "S1", "expected": -1}, "expected"),
        ({"job_id": "S1", "expected": True}, "must be a number of records"),
        ({"job_id": "S1", "expected": {"recods": 5}}, "records"),
        ({"job_id": "S1", "expected": {"files": 1}, "expected_files": 2}, "different numbers of files"),
        ({"job_id": "S1", "profil_id": "5"}, "did you mean profile_id?"),
        ({"job_id": "S1", "read": 10**6}, "read"),
        ({"job_id": "S1", "read": True}, "read"),
        ({"profile_id": 5530000000004401}, "profile_id: must be text, put it in quotes"),
    ],
)
def test_a_conf_that_is_refused(conf: dict[str, object], words: str) -> None:
    with pytest.raises(InputProblem) as refused:
        read_conf(conf)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_is_left_empty_is_not_given() -> None:
    conf = read_conf(
        {"profile_id": " 102 ", "job_id": "", "expected": "120", "expected_files": None, "label": None}
    )
    assert (conf.profile_id, conf.job_id, conf.to_compare()) == ("102", None, Expected(records=120))
    assert read_conf({"job_id": "S1", "expected_files": 2}).to_compare() == Expected(files=2)
