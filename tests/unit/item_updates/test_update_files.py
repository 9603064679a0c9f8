"""Dropped files of item updates: what is read of them, what is refused record by record, and what as a whole."""

import io

import pytest

from alma_etl.errors import InputProblem
from alma_etl.item_updates.profiles import SETTINGS, ItemUpdateProfile, PlaceRow
from alma_etl.item_updates.reading import open_update, rows_of
from tests.unit.item_updates.files import MARK, many, workbook, z30

ALMA, ALEPH = (SETTINGS.shipped().profiles[name] for name in ("alma", "aleph"))
# The request of the service's own description, shortened by fields that are like others.
SEED = (
    '<?xml version="1.0" encoding="UTF-8" ?> <update-item> <z30> <z30-doc-number>51077</z30-doc-number> '
    "<z30-item-sequence>10</z30-item-sequence> <z30-barcode>B51872</z30-barcode> "
    "<z30-sub-library>WID</z30-sub-library> "
    "<z30-material>BOOK</z30-material> <z30-item-status>01</z30-item-status> <z30-no-loans>011</z30-no-loans> "
    "<z30-call-no-2-type /> <z30-description>v.1</z30-description> <z30-hol-doc-number></z30-hol-doc-number> "
    "<z30-arrival-date>00000000</z30-arrival-date> <z30-temp-location>No</z30-temp-location> </z30> </update-item>"
)


@pytest.fixture
def read(tmp_path):
    """Reads a file; its rows with why they are refused, and the records."""

    def reading(body, profile=ALEPH):
        path = tmp_path / "dropped"
        path.write_bytes(body.encode() if isinstance(body, str) else body)
        records = open_update(path, profile)
        return list(rows_of(records.rows(), profile)), records

    return reading


def excerpt(records, *lines):
    stream = io.BytesIO()
    records.excerpt(lines, stream)
    return stream.getvalue()


def test_the_request_of_the_description_is_read_as_it_stands(read):
    [(row, refusal)], records = read(SEED)
    assert refusal == ""
    assert (row["doc_number"], row["item_sequence"], row["barcode"]) == ("51077", "10", "")
    assert row["values"] == {
        "barcode": "B51872", "sub-library": "WID", "material": "BOOK", "item-status": "01", "no-loans": "011",
        "call-no-2-type": "", "description": "v.1", "hol-doc-number": "", "arrival-date": "00000000",
        "temp-location": "No",
    }  # fmt: skip
    assert excerpt(records, 1) == SEED.encode()


def test_the_same_request_for_alma_is_mapped_and_what_is_not_is_named(read):
    [(row, refusal)], _ = read(SEED, ALMA)
    assert (refusal, row["barcode"], row["item"]) == ("", "B51872", "barcode B51872")
    assert row["values"] == {
        "material_type": "BOOK", "alternative_call_number_type": "", "description": "v.1", "arrival_date": "",
    }  # fmt: skip
    said = "; ".join(row["remarks"])
    for name in ("item-status '01'", "sub-library 'WID'", "no-loans", "hol-doc-number", "temp-location"):
        assert f"z30-{name}" in said


MINE = ItemUpdateProfile(
    target="alma",
    aleph_key="internal_note_2",
    price="inventory_price",
    item_status={"01": "11", "*DEFAULT*": "99"},
    order_number={"ORD-1": "POL-1"},
    places=(
        PlaceRow(sub_library="WID", collection="GEN", library="MAIN", location="stacks"),
        PlaceRow(sub_library="WID", library="MAIN", location="annex"),
        PlaceRow(sub_library="LAW", collection=None, library="LAW", location="open"),
    ),
)


@pytest.mark.parametrize(
    ("fields", "values"),
    [
        ({"item_status": "01"}, {"item_policy": "11"}),
        ({"item_status": "77"}, {"item_policy": "99"}),
        ({"item_status": ""}, {"item_policy": ""}),
        ({"sub_library": "WID", "collection": "GEN"}, {"library": "MAIN", "location": "stacks"}),
        ({"sub_library": "WID", "collection": ""}, {"library": "MAIN", "location": "annex"}),
        ({"sub_library": "LAW", "collection": ""}, {"library": "LAW", "location": "open"}),
        ({"price": "12.50", "order_number": "ORD-1"}, {"inventory_price": "12.50", "po_line": "POL-1"}),
        ({"issue_date": "20260102", "inventory_number_date": ""}, {"issue_date": "2026-01-02", "inventory_date": ""}),
        ({"note_internal": "a", "linking_number": "000000000"}, {"internal_note_1": "a", "linking_number": ""}),
        ({"barcode": "B2", "chronological_i": "2026"}, {"barcode": "B2", "chronology_i": "2026"}),
    ],
)  # fmt: skip
def test_maps_of_a_profile(read, fields, values):
    [(row, refusal)], _ = read(z30(**fields), MINE)
    assert (refusal, row["values"], row["remarks"]) == ("", values, [])
    assert row["item"] == "aleph 51077/10"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"sub_library": "SCI", "collection": "GEN"}, "places of the profile has no row"),
        ({"collection": "GEN"}, "z30-collection 'GEN' is not written"),
        ({"order_number": "ORD-2"}, "order_number of the profile has no row"),
        ({"item_process_status": ""}, "z30-item-process-status"),
    ],
)
def test_what_has_no_map_is_said_and_alone_it_is_nothing_to_write(read, fields, words):
    [(row, refusal)], _ = read(z30(note_opac="x", **fields), MINE)
    assert (refusal, row["values"]) == ("", {"public_note": "x"})
    assert words in "; ".join(row["remarks"])
    [(_, refusal)], _ = read(z30(**fields), MINE)
    assert refusal == "there is nothing in it to be written"


def test_a_note_that_keeps_the_aleph_key_is_not_overwritten(read):
    profile = MINE.model_copy(update={"aleph_key": "internal_note_1"})
    [(row, _)], _ = read(z30(note_internal="mine", pages="3"), profile)
    assert row["values"] == {"pages": "3"}
    assert "keeps the item's Aleph key" in row["remarks"][0]
    [(_, refusal)], _ = read("barcode,internal_note_1\nB1,mine\n", profile)
    assert "keeps the item's Aleph key" in refusal


BAD = {
    "z30-doc-number is missing": "<update-item><z30><z30-item-sequence>10</z30-item-sequence></z30></update-item>",
    "z30-item-sequence is missing": "<z30><z30-doc-number>1</z30-doc-number><z30-item-sequence/></z30>",
    "<z30-doc-number> stands twice: the key of an item": z30(more="<z30-doc-number>2</z30-doc-number>"),
    "<z30-item-sequence> stands twice: the key": z30(more="<z30-item-sequence>20</z30-item-sequence>"),
    "<z30-pages> stands twice, so": z30(pages="1", more="<z30-pages>2</z30-pages>"),
    "unknown element <z30-colour>": z30(colour="red"),
    "unknown element <barcode>": z30(more="<barcode>B</barcode>"),
    "<b> stands within <z30-pages>": z30(pages="<b>3</b>"),
    "'doc_number'|doc_number 'ABC' is no number": z30(doc_number="ABC", pages="1"),
    "<hello> stands where <update-item>": "<hello/>",
    "<update-item> without <z30>": "<update-item/>",
    "beside another <z30>": "<update-item><z30/><z30/></update-item>",
    "text outside": z30(more="loose"),
    "20,000 bytes": z30(note_opac="é" * 10_000),
    "is no code": z30(sub_library="Main Library"),
    "translated date": z30(issue_date="17/10/2001"),
    "nothing in it": z30(),
}  # fmt: skip


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "iso-8859-1"])
def test_bad_records_are_refused_one_by_one_and_come_out_as_they_came_ready_to_be_dropped(read, encoding):
    mark = f'<?xml version="1.0" encoding="{encoding.removesuffix("-sig")}"?>'
    good = [z30(item_sequence=str(number), pages=str(number)) for number in (10, 20)]
    file = many(good[0], *BAD.values(), good[1], mark=mark).encode(encoding)
    rows, records = read(file)
    assert [refusal == "" for _, refusal in rows] == [True, *[False] * len(BAD), True]
    for words, (row, refusal) in zip(BAD, rows[1:-1], strict=True):
        assert words.rpartition("|")[2] in refusal, row
    body = excerpt(records, *range(2, len(BAD) + 2))
    assert body == many(*BAD.values(), mark=mark).replace("\n  ", "\n").encode(encoding)
    again, _ = read(body)
    assert [refusal for _, refusal in again] == [refusal for _, refusal in rows[1:-1]]


def test_a_record_of_exactly_the_limit_is_taken_and_one_byte_more_is_not(read):
    from alma_etl.aleph.z30 import MAX_BYTES, ItemKey, record_xml

    around = len(record_xml("update-item", ItemKey("51077", "10"), {"note-opac": "x"})) - 1
    for more, taken in ((0, True), (1, False)):
        text = "x" * (MAX_BYTES - around + more)
        record = z30("000051077", note_opac=text).replace("><z30-", ">\n    <z30-")
        [(_, refusal)], _ = read(record)
        assert (refusal == "") is taken


LOLS = '<!DOCTYPE u [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (f"{MARK}{LOLS}{z30(pages='&b;')}", "declares a document type"),
        (f'{MARK}<!DOCTYPE u SYSTEM "file:///etc/passwd">{z30(pages="1")}', "declares a document type"),
        (many(z30(pages="1"), "<update-item><z30>"), "not well-formed"),
        (many(z30(pages="&nbsp;")), "not well-formed"),
        (z30(pages="1") + z30(pages="2"), "not well-formed"),
        (many(z30(pages="1"), z30(pages="\x01")), "not well-formed"),
        (f"{MARK}<update-item><z30><z30-pages>caf\xe9".encode("latin-1"), "not well-formed"),
        (f"<?xml version='1.0' encoding='x-mine'?>{z30(pages='1')}", "encoding"),
        ("<html><body>403 Forbidden</body></html>", "no update-item: it begins with <html>"),
        (f"{MARK}<bib><record/></bib>", "no update-item"),
        (f"{MARK}<update-items>\n</update-items>", "nothing to load"),
        (f"{MARK}<update-items>loose{z30(pages='1')}</update-items>", "text outside"),
        (f"{MARK}<update-items>" + "<z30>" * 5_000, "deep"),
        ("item,colour\n1,red\n", "no header with the columns doc_number, item_sequence"),
        ("", "empty"),
        ("%PDF-1.7", "PDF"),
    ],
)
def test_files_that_are_refused_as_a_whole(read, body, words):
    with pytest.raises(InputProblem, match=words):
        read(body)


def test_a_refusal_at_the_end_of_a_large_file_comes_before_the_first_row(read, tmp_path):
    path = tmp_path / "large.xml"
    path.write_text(many(*(z30(item_sequence=str(n), pages="1") for n in range(1, 3_000))) + "<")
    with pytest.raises(InputProblem, match="not well-formed"):
        open_update(path, ALEPH)


# --- tables


@pytest.mark.parametrize(
    ("body", "item", "values"),
    [
        ("item_pid,mms_id,pages\n23001,9910010000000044,3\n", "item 23001", {"pages": "3"}),
        ("MMS ID\tBarcode\tPublic Note\n9910010000000044\tB1\t\n", "barcode B1", {"public_note": ""}),
        ("barcode;new_barcode;item_policy\nB1;B2;05\n", "barcode B1", {"item_policy": "05", "barcode": "B2"}),
        ("barcode|new_barcode|arrival_date\nB1||20260102\n", "barcode B1", {"arrival_date": "20260102"}),
        (workbook(["barcode", "pages", "copy_id"], ["B1", "", "007"]), "barcode B1", {"pages": "", "copy_id": "007"}),
    ],
)  # fmt: skip
def test_tables_for_alma(read, body, item, values):
    [(row, refusal)], _ = read(body, ALMA)
    assert (refusal, row["item"], row["values"]) == ("", item, values)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("item_pid,barcode,pages\n,,3\n", "names no item"),
        ("item_pid,pages\nABC,3\n", "not an id of Alma's"),
        ("mms_id,barcode,pages\n22,B1,3\n", "is not an MMS id"),
        ("mms_id,pages\n9910010000000044,3\n", "names no item"),
        ("barcode,library,location\nB1,,\n", "cannot be emptied"),
        ("barcode,arrival_date\nB1,soon\n", "is not a date"),
        ("barcode,new_doc_number,pages\nB1,7,3\n", "the key of an item cannot be changed"),
        ("barcode,process_type\nB1,LOAN\n", "nothing in it"),
        ("barcode,new_barcode\nB1,3.1166E+13\n", "rounded number"),
        ("barcode,colour\nB1,red\n", "unknown column 'colour'"),
    ],
)
def test_rows_for_alma_that_are_refused(read, body, words):
    [(_, refusal)], _ = read(body, ALMA)
    assert words in refusal


def test_output_only_columns_are_named_by_each_row_that_fills_them(read):
    rows, _ = read("barcode,title,pages\nB1,Emma,3\nB2,,4\n", ALMA)
    assert [row["remarks"] for row, _ in rows] == [["title is not written: it is the title's"], []]


def test_tables_for_aleph(read):
    body = "doc_number,item-sequence,barcode,new_barcode,item_status,issue date\n000051077,000010,B1,B2,02,2026-01-02\n"
    [(row, refusal)], _ = read(body)
    assert (refusal, row["item"], row["barcode"]) == ("", "aleph 51077/10", "B1")
    assert row["values"] == {"item-status": "02", "issue-date": "20260102", "barcode": "B2"}
    [(_, refusal)], _ = read("doc_number,item_sequence,new_doc_number,pages\n1,10,2,3\n")
    assert refusal == "new_doc_number '2': the key of an item cannot be changed"
    [(_, refusal)], _ = read("doc_number,item_sequence,note-opac\n1,10," + "x" * 20_000 + "\n")
    assert "20,000" in refusal


def test_rows_of_one_item_are_together_and_name_each_other(read):
    rows, _ = read("barcode,new_barcode,pages\nA,B,1\nX,,1\nB,,2\nA,,3\nC,D,4\nA,,\nbad value,,5\nY,\n", ALMA)
    items = {row["line"]: row["item"] for row, _ in rows}
    assert items[2] == items[4] == items[5] == items[7] == "barcode A"
    assert (items[3], items[6]) == ("barcode X", "barcode C")
    remarks = {row["line"]: row["remarks"] for row, _ in rows}
    assert remarks[2] == ["line 4 after it named this item or its barcode, too"]
    assert remarks[5] == ["line 4 before it and line 7 after it named this item or its barcode, too"]
    assert (remarks[3], remarks[6]) == ([], [])
