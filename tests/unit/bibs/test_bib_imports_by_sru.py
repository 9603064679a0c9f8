"""Files of records where the institution has SRU: what it costs, an index that lags, one that does not answer."""

import pytest

from tests.unit.bibs.records import lines, record
from tests.unit.bibs.test_bib_imports import F008, new

pytestmark = pytest.mark.heavy
OLD = "245 00 $a Old"


@pytest.fixture
def imports(imports):
    imports.with_sru()
    yield imports
    imports.alma.settings(sru_lag_s=0)


def test_many_records_cost_a_write_each_and_a_hundredth_of_a_look(imports):
    for number in range(901, 911):
        imports.add(f"035 __ $a (OCoLC)ocm{number:08}", OLD)
    file = [new(number) for number in (*range(801, 821), *range(901, 911))]
    imports.alma.forget()
    assert imports.load(*file).counts == {"created": 20, "merged": 10}
    assert imports.calls() == (31, 2)
    imports.alma.forget()
    assert imports.load(*file, name="april.mrc").counts == {"unchanged": 30}
    assert imports.calls() == (1, 2)


def test_methods_that_are_not_needed_are_not_asked(imports):
    imports.profiles("profiles:\n  all: {match: [oclc, '019', isbn, issn, system, mms_id]}\n")
    there = [
        imports.add("035 __ $a (OCoLC)901", OLD),
        imports.add("035 __ $a (OCoLC)700", OLD),
        imports.add("020 __ $a 0306406152 (pbk.)", OLD),
        imports.add("022 __ $a 0317-8471", OLD),
        imports.add("035 __ $a (DE-599)AB12", OLD),
        imports.add("245 00 $a Old one"),
    ]
    imports.alma.forget()
    file = [
        new(901, "020 __ $a 9783161484100"),
        new(902, "019 __ $a 700"),
        record(F008, "020 __ $a 9780306406157", "245 00 $a By ISBN"),
        record(F008, "022 __ $a 03178471", "245 00 $a By ISSN"),
        record(F008, "035 __ $a (DE-599)AB12", "245 00 $a By another number"),
        record(f"001 {there[5]}", F008, "245 00 $a By MMS id"),
    ]
    run = imports.load(*file, profile="all")
    assert [(row["outcome"], row["mms_id"]) for row in run.rows] == [("merged", each) for each in there]
    assert imports.calls() == (
        1 + 6,
        4,
    )  # each record by its first numbers: a query an index, one reading of all


def test_what_the_index_does_not_know_yet_was_made_once(imports):
    imports.alma.settings(sru_lag_s=3600)
    imports.profiles("profiles:\n  isbn: {match: [isbn]}\n")
    file = [new(801), new(802)]
    assert imports.load(*file).outcomes == ["created", "created"]
    assert imports.load(*file, name="again.mrc").outcomes == ["unchanged", "unchanged"]
    book = record(F008, "020 __ $a 9780306406157", "245 00 $a T")
    assert imports.load(book, profile="isbn").outcomes == ["created"]
    assert imports.load(book, profile="isbn", name="again.mrc").outcomes == ["unchanged"]
    assert imports.count() == 3


def test_every_title_of_a_shared_isbn_is_known_while_the_index_lags(imports):
    imports.alma.settings(sru_lag_s=3600)
    imports.profiles("profiles:\n  isbn: {match: [isbn]}\n")
    isbn = "020 __ $a 9780306406157"
    one, two = new(801, isbn, title="One"), new(802, isbn, title="Two")  # their OCLC numbers disagree
    for name, book in enumerate((one, two)):
        assert imports.load(book, profile="isbn", name=f"{name}.mrc").outcomes == ["created"]
    for name, book in enumerate((one, two)):
        assert imports.load(book, profile="isbn", name=f"again{name}.mrc").outcomes == ["unchanged"]
    either = imports.load(record(F008, isbn, "245 00 $a T"), profile="isbn", name="either.mrc")
    assert either.outcomes == ["multi_match"]
    assert imports.count() == 2


def test_an_old_index_entry_is_no_match_and_a_former_number_is_one(imports):
    moved = imports.add("035 __ $a (OCoLC)901", OLD)
    present = imports.add("035 __ $a (OCoLC)902 $z (OCoLC)903", OLD)
    former = imports.add("035 __ $a (OCoLC)904", OLD)
    imports.alma.settings(sru_lag_s=3600)
    whole = imports.client.bibs.whole(moved).value
    imports.client.bibs.update(moved, whole.replace(b"(OCoLC)901", b"(OCoLC)999"))
    run = imports.load(new(901), new(903), new(902, "019 __ $a 904"))
    assert run.outcomes == ["created", "merged", "multi_match"]
    assert lines(imports.title(moved), "245") == [OLD]
    assert run.rows[1]["mms_id"] == present
    assert former in run.rows[2]["message"]


def test_owned_titles_cost_no_more_than_others_that_are_not_written(imports):
    imports.profiles("profiles:\n  search: {search_first: true}\n")
    held = [imports.add(f"035 __ $a (OCoLC){number}", OLD) for number in range(901, 921)]
    for mms_id in held:
        imports.alma.add_holding(mms_id, "MAIN", "stacks")
    imports.alma.forget()
    file = [new(number) for number in range(901, 921)]
    assert imports.load(*file, profile="search").counts == {"already_owned": 20}
    assert imports.calls() == (1, 1)


@pytest.mark.parametrize("with_sru", [True, False])
def test_holdings_that_availability_hides_are_asked_for_where_the_title_would_be_written(imports, with_sru):
    imports.profiles("profiles:\n  search: {search_first: true}\n")
    if not with_sru:
        imports.sru = None
    hidden, free, same = (imports.add(f"035 __ $a (OCoLC){number}", OLD) for number in (901, 902, 903))
    for mms_id in (hidden, same):
        holding = imports.alma.add_holding(mms_id, "MAIN", "stacks")
        whole = imports.client.holdings.whole(mms_id, holding).value
        hiding = whole.replace(b"publishing>false", b"publishing>true")
        assert hiding != whole
        imports.client.holdings.update(mms_id, holding, hiding)
    there = record(F008, "035 __ $a (OCoLC)903", OLD)
    imports.alma.forget()
    run = imports.load(new(901), new(902), there, profile="search")
    assert run.outcomes == ["already_owned", "merged", "unchanged"]
    reading = 1 if with_sru else 3
    assert imports.calls()[0] == reading + 2 + 1  # the holdings of two, one PUT
    assert lines(imports.title(free), "245") == ["245 00 $a Made up"]


@pytest.mark.parametrize("kind", ["server_error", "malformed"])
def test_where_sru_does_not_answer_the_api_is_asked_and_the_report_says_so(imports, kind):
    imports.profiles("profiles:\n  isbn: {match: [isbn]}\n")
    there = imports.add("035 __ $a (OCoLC)901", OLD)
    imports.add("020 __ $a 9780306406157", OLD)
    imports.alma.faults({"kind": kind, "path": "/view/sru/"})
    run = imports.load(new(901), new(801))
    assert run.outcomes == ["merged", "created"]
    assert [row["reasons"] for row in run.rows] == ["NO_SRU", "NO_SRU"]
    assert run.rows[0]["mms_id"] == there
    assert "SRU gave no answer for 2 records" in run.text("html")
    made = imports.count()
    book = record(F008, "020 __ $a 9780306406157", "245 00 $a T")
    refused = imports.load(book, profile="isbn")
    assert refused.outcomes == ["failed"]
    assert imports.count() == made
    imports.alma.heal()
    assert imports.load(book, profile="isbn", name="b.mrc").outcomes == ["merged"]


def test_sru_that_is_switched_off_is_asked_once_a_chunk(imports):
    imports.alma.settings(sru=False)
    imports.alma.forget()
    assert imports.load(*(new(number) for number in range(801, 861))).counts == {"created": 60}
    api, sru = imports.calls()
    assert (api, sru) == (3 * 60, 1)


def test_a_lost_answer_is_looked_for_where_its_number_can_be_found(imports):
    imports.profiles("profiles:\n  isbn: {match: [isbn]}\n")
    imports.alma.faults(
        {"kind": "server_error", "method": "POST", "path": "/bibs(\\?|$)", "applied": True, "first": 1}
    )
    run = imports.load(record(F008, "020 __ $a 9780306406157", "245 00 $a T"), profile="isbn")
    assert run.outcomes == ["created"]
    assert "a look confirmed it" in run.rows[0]["message"]
    assert imports.count() == 1


def test_a_title_that_no_method_before_matched_is_read_once_for_all_methods(imports):
    imports.profiles("profiles:\n  both: {match: [system, isbn]}\n")
    online = imports.add("020 __ $a 9780306406157", "035 __ $a (V)1", OLD, "338 __ $b cr")
    printed = record(F008, "020 __ $a 9780306406157", "035 __ $a (V)1", "245 00 $a P", "338 __ $b nc")
    run = imports.load(printed, profile="both")
    assert run.outcomes == ["created"]
    assert run.rows[0]["mms_id"] != online
    assert run.rows[0]["reasons"] == "WEAK_MATCH"


def test_a_lost_call_takes_no_title_that_the_record_did_not_match(imports):
    imports.profiles("profiles:\n  both: {match: [oclc, isbn]}\n")
    imports.add("020 __ $a 9780306406157", "035 __ $a (OCoLC)700", OLD, "338 __ $b cr")
    imports.alma.faults({"kind": "server_error", "method": "POST", "path": "/bibs(\\?|$)", "first": 1})
    printed = new(901, "020 __ $a 9780306406157", "338 __ $b nc")
    run = imports.load(printed, profile="both")
    assert [(row["outcome"], row["mms_id"]) for row in run.rows] == [("unconfirmed", "")]


def test_the_sru_of_another_institution_is_not_asked(imports):
    imports.with_sru("01ABC_INST")
    run = imports.load(new(801))
    assert run.outcomes == ["failed"]
    assert "leads to the institution 01ABC_INST" in run.problem
    assert imports.count() == 0
