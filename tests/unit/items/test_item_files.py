"""Files as people make them: what they say is what Alma gets, or their rows are refused in words."""

import io

import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alma_etl.tabular.cells import is_blank
from tests.e2e.item_files import (
    FORMS,
    INVISIBLE,
    SHEET,
    WRAPPED,
    Case,
    agrees,
    check,
    file_of,
    fits,
    sheet_of,
)
from tests.unit.items.conftest import Load

pytestmark = pytest.mark.heavy

EXTENSIONS = {"csv": "csv", "semicolon": "csv", "tsv": "tsv", "xlsx": "xlsx"}


@pytest.fixture
def title(alma):
    return alma.titles()[0]


def name(form):
    return f"list.{EXTENSIONS.get(form, 'txt')}"


def dropped(loader, form, rows, header=("mms_id", "barcode")):
    return loader.load(file_of(form, header, rows), name(form))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("table", [INVISIBLE, WRAPPED], ids=["invisible", "wrapped"])
def test_barcodes_are_cleaned_or_refused_by_the_same_rule_in_every_form(loader, alma, title, form, table):
    cases = [case for case in table if fits(form, case)]
    loaded = dropped(loader, form, [(title, case.typed) for case in cases])
    check(loaded, alma, cases, first_line=1 if form == "lines" else 2)
    assert loaded.state == "success"


def test_what_a_sheet_shows_is_what_alma_gets(loader, alma, title):
    cases = [Case(str(value), barcode, words) for value, _, barcode, words in SHEET]
    check(loader.load(sheet_of(title), "list.xlsx"), alma, cases, first_line=2)


@pytest.mark.parametrize("form", ["csv", "tsv", "xlsx"])
def test_mms_ids_are_read_by_the_same_rule(loader, alma, title, form):
    typed = [
        (f"\u202d{title}\u202c", True),
        (f'="{title}"', True),
        (f"'{title}", True),
        (f"\u00a0{title}\u200b", True),
        (title.translate({ord(d): chr(0xFF10 + int(d)) for d in "0123456789"}), True),
        (title.translate({ord(d): chr(0x660 + int(d)) for d in "0123456789"}), False),
        (f"{title}.0", False),
        (f"{title[:1]}.{title[1:6]}E+17", False),
        (f"{title[:9]}\u00a0{title[9:]}", True),
        (f"{title} {title}", False),
        (f"{title}\u00a0{title}", False),
        ("#N/A", False),
        ("null", False),
    ]
    loaded = dropped(loader, form, [(mms_id, f"M{n}") for n, (mms_id, _) in enumerate(typed)])
    assert [row["outcome"] == "created" for row in loaded.rows()] == [good for _, good in typed]
    assert {item["mms_id"] for item in alma.made()[0].values()} == {title}
    assert "mms_id: 2 invisible characters removed" in loaded.message(2)


FIELDS = [  # column, what stands in the cell, what Alma gets; None: the row is refused
    ("library", "MA\u200bIN", "MAIN"),
    ("library", '="MAIN"', "MAIN"),
    ("library", "NULL", None),
    ("location", "\u00a0stacks", "stacks"),
    ("item_policy", '="03"', "03"),
    ("item_policy", "#NV", None),
    ("po_line", "\u202dPOL-1001\u202c", "POL-1001"),
    ("po_line", "=POL", None),
    ("copy_id", "007", "007"),
    ("copy_id", "'007", "007"),
    ("copy_id", "2.0", "2"),
    ("copy_id", "nan", None),
    ("inventory_number", "1.234.567", None),
    ("enumeration_a", "3/4", "3/4"),
    ("enumeration_a", '="3/4"', "3/4"),
    ("enumeration_a", "#REF!", None),
    ("chronology_i", "'98", "'98"),
    ("description", "=1+1", "=1+1"),
    ("description", '"Mixed" media, 12"', '"Mixed" media, 12"'),
    ("public_note", "line 1\nline 2", "line 1\nline 2"),
    ("public_note", "a\u00a0b\u200cc", "a\u00a0b\u200cc"),
    ("public_note", "  two  blanks  ", "two  blanks"),
    ("public_note", "'quoted'", "'quoted'"),
    ("public_note", "N/A", "N/A"),
    ("public_note", "３", "３"),
    ("internal_note_1", "a\tb", "a b"),
    ("internal_note_1", "3.1E+13", "3.1E+13"),
]


@pytest.mark.parametrize("form", ["csv", "semicolon", "tsv", "pipe", "xlsx"])
def test_codes_are_read_like_ids_and_free_text_stays_as_it_was_typed(loader, alma, title, form):
    header = ["mms_id", "barcode", *dict.fromkeys(column for column, _, _ in FIELDS)]
    rows = [
        [{"mms_id": title, "barcode": f"F{n}", column: typed}.get(each, "") for each in header]
        for n, (column, typed, _) in enumerate(FIELDS)
    ]
    loaded = dropped(loader, form, rows, header)
    items = alma.made()[0]
    for n, (column, typed, expected) in enumerate(FIELDS):
        row = next(row for row in loaded.rows() if row["barcode"] == f"F{n}")
        assert (row["outcome"] == "created") == (expected is not None), (column, typed, row)
        if expected is None:
            assert row["message"].startswith(f"{column} ")
            continue
        item = items[f"F{n}"]
        held = {
            "library": row["library"],
            "location": row["location"],
            "item_policy": item["codes"]["policy"],
        }
        held |= {"copy_id": item.get("copy_id")}
        assert (held[column] if column in held else item["texts"][column]) == expected, (column, typed)


QUOTES = [  # rows of a TSV as they stand; description in Alma, None: the row is refused
    ('60001\t"Mixed media', '"Mixed media'),
    ('60002\t12" disc', '12" disc'),
    ("60003\tx", "x"),
    ('60004\t"a', '"a'),
    ('60005\t7"', '7"'),
    ('60006\t"quoted"', "quoted"),
    ('60007\t"say ""so"""', 'say "so"'),
    ('60008\t"two\nlines"', "two\nlines"),
    ('60009\t"three\n12\t13\nlines"', "three\n12 13\nlines"),
    ('60010\t"a" b', '"a" b'),
    ('60011\t"', '"'),
    ("60012", None),
    ("60013\ta\tb", None),
    ('60014\t"last and open', '"last and open'),
]


def test_every_line_that_is_a_row_is_a_row_whatever_quotation_marks_stand_in_it(loader, alma, title):
    body = "mms_id\tbarcode\tdescription\n" + "".join(f"{title}\t{row}\n" for row, _ in QUOTES)
    loaded = loader.load(body, "list.tsv")
    found = {row["barcode"]: row["outcome"] == "created" for row in loaded.rows()}
    assert found == {row[:5]: text is not None for row, text in QUOTES}
    assert {barcode: item["texts"]["description"] for barcode, item in alma.made()[0].items()} == {
        row[:5]: text for row, text in QUOTES if text is not None
    }
    again = loader.load(loaded.rejects(), "list.rejected.tsv")
    assert again.counts() == {"invalid_row": 2}
    assert again.rejects() == loaded.rejects()


def test_a_line_that_is_lost_on_the_way_fails_the_run_before_anything_is_loaded(
    loader, alma, title, monkeypatch
):
    from alma_etl.tabular import text_table

    def one_lost(*given):
        return (record for record in records(*given) if record.number != 3)

    records = text_table.records
    monkeypatch.setattr(text_table, "records", one_lost)
    load = Load(loader, loader.drop(f"mms_id,barcode\n{title},A1\n{title},A2\n{title},A3\n", "list.csv"))
    loaded = load.whole()
    assert load.state == "failed"
    assert "The file has 4 lines, but 3 of them were read: nothing is loaded" in loaded.page()
    assert alma.state()["counts"]["items"] == 0


def test_a_barcode_is_what_the_pattern_of_its_profile_says(loader, alma, title):
    loader.bucket.put(
        "config/item_profiles.yaml",
        b"profiles:\n  gifts: {library: MAIN, location: stacks, barcode_pattern: '[0-9]{5}|[A-Z]+ [0-9]+'}\n",
    )
    loaded = loader.load(f"{title}|12345\n{title}|123456\n{title}|AB 12\n{title}|\u202d54321\u202c\n")
    assert loaded.ends() == [(1, "created"), (2, "invalid_row"), (3, "created"), (4, "created")]
    assert loaded.message(2).startswith("barcode '123456' is not of the form [0-9]{5}|")
    assert alma.made()[0].keys() == {"12345", "AB 12", "54321"}


def test_what_was_cleaned_is_told_of_rows_that_are_refused_too(loader, title):
    loaded = loader.load(f"{title}|\u202d3116 6000\u202c\n99\u200b1x|A\n")
    assert "has a space in it; barcode: 2 invisible characters removed" in loaded.message(1)
    assert loaded.message(2).endswith("mms_id: 1 invisible character removed")
    assert "2 invisible characters removed" in loaded.page()


def test_rejected_rows_of_a_sheet_dropped_again_end_as_before(loader, title):
    first = loader.load(sheet_of(title), "list.xlsx")
    again = loader.load(first.rejects(), "list.rejected.xlsx")
    refused = [row["message"] for row in first.rows() if row["outcome"] == "invalid_row"]
    assert [row["message"] for row in again.rows()] == refused
    assert openpyxl.load_workbook(io.BytesIO(again.rejects())).active.max_row == len(refused) + 1


CHARACTERS = st.characters(codec="utf-8", exclude_categories=("Cc",), exclude_characters="\ufffe\uffff")
TEXT = st.text(CHARACTERS | st.sampled_from("\"'=,;\t|\n0123"), max_size=8)
IDS = TEXT | st.from_regex(r"[0-9]{1,15}", fullmatch=True)


@pytest.mark.timeout(300)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(FORMS), st.lists(st.tuples(st.booleans(), IDS, IDS, TEXT), min_size=1, max_size=6))
def test_any_text_in_any_cell_of_any_form_is_what_alma_holds_or_its_row_is_refused(
    loader, alma, title, form, found
):
    alma.reset()
    rows = [[title if known else mms_id, barcode, note] for known, mms_id, barcode, note in found]
    if form == "lines":
        rows = [[part.replace("\n", " ").replace("|", "/") for part in row[:2]] for row in rows]
    rows.append([title, "B-1", "x"][: len(rows[0])])  # without any row that can be read a file is no list
    seen = rows if form == "lines" else [row for row in rows if not all(map(is_blank, row))]
    agrees(dropped(loader, form, rows, ("mms_id", "barcode", "description")), alma, len(seen))


def test_rows_that_were_cleaned_do_not_crowd_out_the_refused_ones_on_the_page(loader, title, monkeypatch):
    monkeypatch.setattr("alma_etl.jobs.file_job._SHOWN", 3)
    loaded = loader.load("".join(f"{title}|\u202dC{n}\n" for n in range(5)) + f"{title}|=1+1\n{title}|C9\n")
    page = loaded.page()
    assert "'=1+1' is a formula" in page
    assert "<code>C1</code>" in page
    assert "<code>C2</code>" not in page
    assert "3 more are in the tables" in page
