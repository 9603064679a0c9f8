"""Lists of titles to order as imports: brief titles, one PO line each, and the list of those that wait."""

import io

import openpyxl
import pytest

from alma_etl.alma.bib_writes import BibOptions, change_bib
from alma_etl.bibs.matches import Matcher
from alma_etl.inventory.waiting_titles import SqlWaitingTitles, all_waiting
from alma_etl.jobs.corrections import RejectedTable
from alma_etl.marc.xml import record_from_xml, xml_from_record
from alma_etl.remote.answers import Absent
from tests.e2e.death import Reaper, WorkerKilled
from tests.unit.bibs.conftest import JOB, Run
from tests.unit.bibs.records import record
from tests.unit.bibs.test_bib_imports import new
from tests.unit.bibs.test_order_imports import gobi, lines, orders, posts
from tests.unit.bibs.test_templates import workbook

pytestmark = pytest.mark.heavy
PROFILES = """profiles:
  to_order: &to_order
    match: [system]
    on_match: skip
    suppress: true
    suppress_externally: true
    sync_with_oclc: NONE
    awaits_full_record: true
    template: &template
      fields:
        - "008 ######s{year:4}####xx############000#0#und#d"
        - "020 __ $a{isbn}"
        - "035 __ $a(ORDERS){reference}"
        - "049 __ $a{location}"
        - "245 00 $a{title}$c{author}"
        - "264 _1 $b{publisher}$c{year}"
        - "980 __ $b{price}$f{reference}$g{quantity}"
        - "981 __ $b{fund}"
    orders: &orders
      layout: 980_981
      po_line_type: PRINTED_BOOK_OT
      owner: MAIN
      vendor: GOBI
      vendor_account: GOBI-1
  dry: {<<: *to_order, dry_run: true}
  no_orders: {<<: *to_order, orders: none}
  by_isbn: {<<: *to_order, match: [isbn, system]}
  vendor: {suppress: true, awaits_full_record: true, orders: *orders}
  patient: {suppress: true, orders: *orders}
"""
HEADER = "Title,ISBN,Author,Publisher,Year,Reference,Price,Quantity,Location,Fund"
ONE = "A history,9780306406157,Eva,Verlag,2024,R-1,27.95,1,MAIN/stacks,HIST"
TWO = 'Another one,0306406152,"Doe, J.",Press,2025,R-2,12.50,2,MAIN/stacks,HIST'


@pytest.fixture
def imports(imports):
    imports.profiles(PROFILES)
    return imports


def listed(imports):
    """The titles that wait, by their key."""
    titles = SqlWaitingTitles(imports.store, "whichever")
    with titles.transaction() as connection:
        found = list(connection.execute(all_waiting()))
    titles.close()
    return {row.key: row for row in found}


def run_of(imports, *rows, name="list.csv", profile="to_order", **params):
    return Run(imports, "\n".join((HEADER, *rows)).encode(), name, profile, **params)


def load(imports, *rows, **given):
    run = run_of(imports, *rows, **given)
    run.whole()
    return run


def test_rows_become_brief_titles_with_an_order_and_wait(imports):
    run = load(imports, ONE, TWO)
    assert run.outcomes == ["created", "created"], run.rows
    assert run.problem == ""
    title = imports.alma.get(f"/bibs/{run.rows[0]['mms_id']}")
    flags = ("suppress_from_publishing", "suppress_from_external_search")
    assert [str(title[flag]).lower() for flag in flags] == ["true", "true"]
    assert title["sync_with_oclc"] == "NONE"
    ordered = lines(imports)
    assert {reference: (line.mms_id, line.vendor) for reference, line in ordered.items()} == {
        "R-1": (run.rows[0]["mms_id"], "GOBI"), "R-2": (run.rows[1]["mms_id"], "GOBI"),
    }  # fmt: skip
    assert {
        key: (row.mms_id, row.title, row.vendor, row.reference, row.po_line, row.run_id, row.received_at)
        for key, row in listed(imports).items()
    } == {
        f"(ORDERS)R-{n}": (
            run.rows[n - 1]["mms_id"], ("A history", "Another one")[n - 1], "GOBI", f"r-{n}",
            ordered[f"R-{n}"].number, run.run_id, None,
        )
        for n in (1, 2)
    }  # fmt: skip


def test_the_same_rows_again_in_whatever_order_write_nothing(imports):
    load(imports, ONE, TWO)
    waited = listed(imports)
    imports.alma.forget()
    assert load(imports, ONE, TWO).outcomes == ["conflict", "conflict"]
    again = load(imports, TWO, ONE, name="b.csv")
    assert again.outcomes == ["conflict", "conflict"], again.rows
    assert "ordered before, PO line" in again.rows[0]["message"]
    assert imports.writes() == []
    assert listed(imports) == waited


def test_bad_rows_are_told_in_words_and_come_back_as_a_table(imports):
    bad = [
        ",9780306406157,Eva,Verlag,2024,R-3,27.95,1,MAIN/stacks,HIST",
        "A title,9780306406158,Eva,Verlag,2024,R-4,27.95,1,MAIN/stacks,HIST",
        "A title,,Eva,Verlag,2024,,27.95,1,MAIN/stacks,HIST",
        'A title,,Eva,Verlag,2024,R-6,"12,50",1,MAIN/stacks,HIST',
        "A title,,Eva,Verlag,2024,R-7,12.50,1,MAIN/stacks,NOPE",
        "A title,,Eva,Verlag,2024,r-1,12.50,1,MAIN/stacks,HIST",
    ]
    run = load(imports, ONE, *bad)
    assert run.outcomes == [
        "created", "invalid_record", "invalid_record", "no_key", "invalid_order", "invalid_order", "duplicate_in_file",
    ], run.rows  # fmt: skip
    assert [row["record"] for row in run.rows] == [str(line) for line in range(2, 9)]
    for row, words in zip(
        run.rows[1:],
        [
            "fill in Title",
            "isbn '9780306406158' is no ISBN",
            "no number",
            "en_US",
            "no fund NOPE",
            "record 2",
        ],
        strict=True,
    ):
        assert words.casefold() in row["message"].casefold()
    assert run.keys["rejects"].endswith(".csv")
    assert run.text("rejects").splitlines() == [HEADER, *bad]
    assert len(posts(imports)) == 1
    assert set(listed(imports)) == {"(ORDERS)R-1"}


def test_a_workbook_is_loaded_and_its_bad_rows_come_out_as_one(imports):
    headings, good, bad = (
        [*HEADER.split(",")],
        ["A history", 9780306406157, "Eva", "Verlag", 2024, "R-1", 27.5, 2, "MAIN/stacks", "HIST"],
        ["A title", 9780306406158, "Eva", "Verlag", 2024, "R-2", 27.5, 1, "MAIN/stacks", "HIST"],
    )
    run = Run(imports, workbook(headings, good, bad), "list.xlsx", "to_order")
    run.whole()
    assert run.outcomes == ["created", "invalid_record"], run.rows
    assert run.rows[0]["message"].endswith("55.00 USD")
    rejects = openpyxl.load_workbook(io.BytesIO(imports.bucket.get(run.keys["rejects"]))).active
    assert [list(row) for row in rejects.iter_rows(values_only=True)] == [headings, bad]


def test_bad_rows_are_corrected_in_a_form(imports, tmp_path):
    settings = JOB.profiles(imports.bucket, sandbox=True).profiles["to_order"]
    path, corrected = tmp_path / "rejected.csv", tmp_path / "corrected.csv"
    bad = "A title,9780306406158,Eva,Verlag,2024,R-4,27.95,1,MAIN/stacks,HIST"
    path.write_text(f"{HEADER}\n{bad}\n")
    table = RejectedTable(JOB.open_records(path, settings))
    [row] = table.fields()
    given = {value.name: value.value.replace("406158", "406157") for value in row.values}
    table.write(given, corrected, lambda written: JOB.open_records(written, settings))
    assert corrected.read_text() == f"{HEADER}\n{bad.replace('406158', '406157')}\n"


def test_an_unknown_column_refuses_the_file_before_anything_is_written(imports):
    run = Run(imports, b"Title,ISBN,Subject\nA history,9780306406157,History\n", "list.csv", "to_order")
    run.whole()
    assert run.outcomes == ["invalid_record"]
    assert "unknown column 'Subject' (known are year, isbn" in run.rows[0]["message"]
    assert run.filed.startswith("bibs/failed/")
    assert imports.writes() == []


def test_a_file_of_marc_is_not_read_as_a_list_nor_a_list_as_marc(imports):
    run = imports.load(new(801), name="a.mrc", profile="to_order")
    assert run.outcomes == ["invalid_record"]
    listed = load(imports, ONE, profile="catalog")
    assert listed.outcomes == ["invalid_record"]
    assert "is text, and no MARC" in listed.rows[0]["message"]


def test_a_dry_run_puts_nothing_on_the_list(imports):
    imports.alma.forget()
    assert load(imports, ONE, profile="dry").outcomes == ["would_create"]
    assert (imports.writes(), listed(imports)) == ([], {})


def test_a_vendor_s_records_wait_too_and_others_do_not(imports):
    there = imports.add("035 __ $a (OCoLC)803", "245 00 $a Old")
    vendor = imports.load(gobi(801, "V-1"), gobi(803, "V-3"), name="a.mrc", profile="vendor")
    assert vendor.outcomes == ["created", "merged"]
    assert vendor.rows[1]["mms_id"] == there
    assert imports.load(gobi(802, "V-2"), name="b.mrc", profile="patient").outcomes == ["created"]
    assert {key: row.reference for key, row in listed(imports).items()} == {"(OCoLC)801": "v-1"}


def test_a_cleared_run_puts_nothing_on_the_list_again(imports):
    run = load(imports, ONE, TWO)
    [first, _] = listed(imports).values()
    titles = SqlWaitingTitles(imports.store, first.alma)
    titles.settle([first.mms_id], "merged", "run-later")
    titles.close()
    run.whole()
    assert run.outcomes == ["created", "created"]
    assert len(listed(imports)) == 1


def test_titles_wait_once_the_setting_is_on_and_their_run_cleared(imports):
    imports.profiles(PROFILES.replace("awaits_full_record: true", "awaits_full_record: false"))
    run = load(imports, ONE)
    assert (run.outcomes, listed(imports)) == (["created"], {})
    imports.profiles(PROFILES)
    imports.alma.forget()
    run.imports.bucket.put(run.params["key"], "\n".join((HEADER, ONE)).encode())
    run.whole()
    assert run.outcomes == ["created"], run.rows
    assert set(listed(imports)) == {"(ORDERS)R-1"}
    assert imports.writes() == []


@pytest.mark.parametrize("dry_run", [False, True])
def test_two_orders_of_one_book_are_rows_of_one_title(imports, dry_run):
    imports.with_sru()
    other = ONE.replace("R-1", "R-2").replace("Eva", "Eva Doe").replace(",1,MAIN", ",2,MAIN")
    run = load(imports, ONE, other, profile="by_isbn", dry_run=dry_run)
    assert run.outcomes == (["would_create", "would_merge"] if dry_run else ["created", "merged"]), run.rows
    assert "and the profile leaves it as it is" in run.rows[1]["message"]
    assert [(each["reference"], each["total"]) for each in orders(run)] == [
        ("R-1", "27.95"),
        ("R-2", "55.90"),
    ]
    titles = {line.mms_id for line in lines(imports).values()}
    assert len(titles) == (0 if dry_run else 1)


def test_an_online_edition_with_the_isbn_of_a_printed_one_is_no_order_of_that(imports):
    imports.with_sru()
    imports.profiles(PROFILES + "  skipped: {match: [isbn], on_match: skip, orders: *orders}\n")
    fields = ("020 __ $a9780306406157", "245 00 $aA history")
    printed, online = (gobi(number, f"R-{number}") for number in (801, 802))
    for each in (printed, online):
        each.remove_fields("035", "245")
        each.add_field(*record(*fields).fields)
    online.add_field(*record("338 __ $bcr").fields)
    run = imports.load(printed, online, profile="skipped")
    assert run.outcomes == ["created", "created"], run.rows
    assert "carriers disagree" in run.rows[1]["message"]
    assert run.rows[0]["mms_id"] != run.rows[1]["mms_id"]
    assert len(posts(imports)) == 2


def test_a_reference_that_excel_has_rounded_is_refused_wherever_it_stands(imports):
    imports.with_sru()
    imports.profiles(
        PROFILES.replace('        - "035 __ $a(ORDERS){reference}"\n', "")
        + "  isbn: {<<: *to_order, match: [isbn]}\n"
    )
    run = load(imports, ONE.replace("R-1", "9.00E+10"), profile="isbn")
    assert run.outcomes == ["invalid_record"], run.rows
    assert "rounded number by Excel" in run.rows[0]["message"]


def replaced_by_hand(imports, mms_id, subtitle):
    """A title gets a full record in Alma, as cataloguers bring one from OCLC."""
    title = imports.client.bibs.read_to_change(mms_id).value
    full = record_from_xml(title.record)
    full.remove_fields("035")
    full["245"].add_subfield("b", subtitle)
    options = BibOptions("", False, True)
    change_bib(imports.client, title, xml_from_record(full), as_wanted=lambda bib: False, options=options)
    assert not imports.title(mms_id).get_fields("035")


@pytest.mark.parametrize("by", ["api", "sru"])
def test_a_list_without_orders_finds_titles_again_whose_number_a_full_record_took_out(imports, by):
    if by == "sru":
        imports.with_sru()
    first = load(imports, ONE, TWO, profile="no_orders")
    made = first.rows[0]["mms_id"]
    replaced_by_hand(imports, made, "whole")
    there = imports.count()
    again = load(imports, ONE, TWO, name="b.csv", profile="no_orders")
    assert again.outcomes == ["unchanged", "unchanged"], again.rows
    assert again.rows[0]["mms_id"] == made
    assert "(ORDERS)R-1 (which was taken out of it) is there" in again.rows[0]["message"]
    assert imports.count() == there


def test_a_number_that_another_title_has_now_is_that_title_s(imports):
    made = load(imports, ONE, profile="no_orders").rows[0]["mms_id"]
    replaced_by_hand(imports, made, "another work")
    other = imports.add("035 __ $a (ORDERS)R-1", "245 00 $a A history")
    again = load(imports, ONE, name="b.csv", profile="no_orders")
    assert (again.outcomes, again.rows[0]["mms_id"]) == (["unchanged"], other)


@pytest.mark.nightly
@pytest.mark.parametrize("then", ["retried", "dropped again"])
def test_a_title_whose_worker_was_killed_is_on_the_list(imports, monkeypatch, then):
    reaper = Reaper(monkeypatch, (SqlWaitingTitles, "note"))
    for kill_at in range(1, 40):
        imports.alma.reset()
        titles = SqlWaitingTitles(imports.store, "x")
        with titles.transaction() as connection:
            for table in ("waiting_titles", "loaded_bibs"):
                connection.exec_driver_sql(f"DELETE FROM {table}")
        titles.close()
        reaper.fresh_process()
        run = run_of(imports, ONE, name=f"{kill_at}.csv", profile="no_orders")
        run.read()
        run.match()
        reaper.fresh_process(kill_at)
        try:
            run.write()
        except WorkerKilled:
            reaper.fresh_process()
        else:
            break
        if then == "retried":
            run.write()
            run.finish()
            assert run.outcomes == ["created"], (kill_at, run.rows)
        else:
            again = load(imports, ONE, name="again.csv", profile="no_orders")
            assert again.outcomes[0] in ("created", "unchanged"), (kill_at, again.rows)
        assert set(listed(imports)) == {"(ORDERS)R-1"}, kill_at
    else:
        raise AssertionError("the step never came to its end")


def test_a_title_whose_answer_was_lost_is_listed_by_the_drop_that_finds_it(imports, monkeypatch):
    imports.alma.faults(
        {"kind": "server_error", "method": "POST", "path": "/bibs(\\?|$)", "applied": True, "first": 1}
    )
    with monkeypatch.context() as patched:
        patched.setattr(Matcher, "find_new", lambda *_: Absent())
        first = load(imports, ONE, profile="no_orders")
    assert (first.outcomes, listed(imports)) == (["unconfirmed"], {})
    again = load(imports, ONE, name="b.csv", profile="no_orders")
    assert again.outcomes == ["unchanged"], again.rows
    assert {row.mms_id for row in listed(imports).values()} == {again.rows[0]["mms_id"]}
