"""What an item load leaves for people: reports, rejects, and where the file goes."""

import io
import json

import openpyxl
import pytest

from alma_etl.errors import RunStopped
from tests.unit.items.conftest import Load

pytestmark = pytest.mark.heavy


def lines(*pairs):
    return "".join(f"{mms_id}|{barcode}\r\n" for mms_id, barcode in pairs)


@pytest.fixture
def titles(alma):
    return alma.titles()


@pytest.fixture
def gift(alma):
    """A title without any holding."""
    return alma.add_title(("090", "PN1", ".A1"), ("050", "QA76", ".D6 2020"))


def test_the_rejects_file_corrected_and_dropped_again_loads_the_rest(loader, alma, gift, titles):
    body = f"MMS ID,Barcode,Library\r\n{gift},A,\r\n{gift},,\r\n{titles[0]},C,MIAN\r\n9.9E+17,D,\r\n".encode(
        "utf-16"
    )
    loaded = loader.load(body, "list.csv")
    assert loaded.ends() == [(2, "created"), (3, "invalid_row"), (4, "invalid_code"), (5, "invalid_row")]
    rejects = loaded.rejects().decode("utf-16")
    assert rejects == f"MMS ID,Barcode,Library\r\n{gift},,\r\n{titles[0]},C,MIAN\r\n9.9E+17,D,\r\n"
    mended = rejects.replace(f"{gift},,", f"{gift},B,").replace("MIAN", "MAIN").replace("9.9E+17", titles[1])
    again = loader.load(mended.encode("utf-16"), "list.rejected.csv")
    assert again.counts() == {"created": 3}
    assert alma.made()[0].keys() == {"A", "B", "C", "D"}


def workbook(*rows):
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def test_a_workbook_is_loaded_and_its_rejects_are_a_workbook(loader, alma, gift):
    loaded = loader.load(
        workbook(["mms_id", "barcode"], [gift, 31166002949495], [int(gift), "X"]), "list.xlsx"
    )
    assert loaded.ends() == [(2, "created"), (3, "invalid_row")]
    assert "31166002949495" in alma.made()[0]
    again = openpyxl.load_workbook(io.BytesIO(loaded.rejects())).active
    assert [row[1].value for row in again.rows] == ["barcode", "X"]
    assert loaded.keys("items/rejects/")[0].endswith(".rejected.xlsx")


def test_reports_keep_every_digit_and_run_no_formula(loader, gift):
    body = (
        f'mms_id,barcode,library\n{gift},31166002949495,\n{gift},B,"=HYPERLINK(""http://x"")"\n{gift},-1+1,\n'
    )
    loaded = loader.load(body, "f.csv")
    sheet = openpyxl.load_workbook(io.BytesIO(loaded.report(".xlsx"))).active
    cells = [[cell.value for cell in row] for row in sheet.rows]
    assert cells[1][:3] == ["2", gift, "31166002949495"]
    assert cells[1][6:8] == [loaded.rows()[0]["holding_id"], loaded.rows()[0]["item_pid"]]
    assert cells[2][3].startswith("=HYPERLINK")
    assert {(cell.data_type, cell.number_format) for row in sheet.rows for cell in row if cell.value} == {
        ("s", "@")
    }
    raw = loaded.report(".csv").decode()
    assert "'=HYPERLINK" in raw
    assert "'-1+1" in raw
    assert b"<script" not in loaded.report(".html")


@pytest.mark.parametrize(
    ("body", "name", "profile", "words"),
    [
        (b"%PDF-1.7 x", "list.txt", "gifts", "PDF document"),
        (b"", "list.txt", "gifts", "empty"),
        (b"991|1\n" * 40_000, "list.txt", "gifts", "more than the 0.2 MB"),
        (b"Dear all,\n", "list.txt", "gifts", "neither lines of the form"),
        (b"\n \n", "list.txt", "gifts", "empty"),
        (b"mms_id,barcode\n\n", "list.csv", "gifts", "no rows"),
        (b"991|1\n", "list.txt", "nobody", "There is no profile 'nobody'"),
        (b"PK\x03\x04", "list.xlsx", "gifts", "damaged"),
    ],
)
def test_a_file_that_cannot_be_read_is_red_says_why_and_goes_to_failed(loader, body, name, profile, words):
    loader.bucket.put("config/item_profiles.yaml", f"{PROFILES_WITH_BOUND}".encode())
    load = Load(loader, loader.drop(body, name, profile))
    loaded = load.whole()
    assert load.state == "failed"
    assert words in load.problem
    assert words in loaded.page()
    (row,) = loaded.rows()
    assert (row["line"], row["outcome"]) == ("1", "invalid_row")
    assert words in row["message"]
    (kept,) = loaded.keys("items/failed/")
    assert loaded.bucket.get(kept) == body
    assert loaded.keys("items/incoming/") == []


PROFILES_WITH_BOUND = "profiles:\n  gifts: {library: MAIN, location: stacks}\nmax_file_mb: 0.2\n"


def test_every_row_below_a_header_that_cannot_be_used_is_told_and_nothing_is_loaded(loader, alma, gift):
    body = f"mms_id,barcode,lcoation\n{gift},A,law\n{gift},B,law\n"
    loaded = loader.load(body, "typo.csv")
    assert loaded.ends() == [(2, "invalid_row"), (3, "invalid_row")]
    assert "line 1 cannot be used: unknown column 'lcoation'" in loaded.message(2)
    assert (loaded.state, loaded.rejects()) == ("failed", body.encode())
    assert alma.state()["counts"]["items"] == 0


@pytest.mark.parametrize(
    "key",
    [
        "config/item_profiles.yaml",
        "items/incoming/x.txt",
        "",
        "west/deliveries/x",
        "items/incoming/gifts/../x",
        "items/x",
    ],
)
def test_a_key_from_elsewhere_is_refused_and_its_file_left_alone(loader, bucket, key):
    before = [info.key for info in bucket.list("")]
    load = Load(loader, key)
    load.whole()
    assert load.state == "failed"
    assert set(before) <= {info.key for info in bucket.list("")}


def test_a_name_with_control_characters_is_refused_and_filed_under_a_harmless_one(loader, bucket):
    bucket.put("items/incoming/gifts/a\x01b\nc.txt", b"991|1")
    load = Load(loader, "items/incoming/gifts/a\x01b\nc.txt")
    load.whole()
    assert "control character" in load.problem
    assert [info.key for info in bucket.list("items/failed/")] == [f"items/failed/a_b_c.{load.run_id}.txt"]
    assert list(bucket.list("items/incoming/")) == []


def test_a_chunk_that_never_finished_is_accounted_for_row_by_row(loader, alma, titles):
    loader.bucket.put("config/item_profiles.yaml", PROFILES_SMALL.encode())
    load = Load(loader, loader.drop(lines(*((mms_id, f"B{n}") for n, mms_id in enumerate(titles[:9])))))
    assert load.read() == 3
    load.check()
    for number in (1, 2):
        load.resolve(number)
        load.create(number)
    loaded = load.finish({"create_items_2": "failed"})
    assert loaded.counts() == {"created": 6, "failed": 3}
    assert "chunk 0003 did not finish" in loaded.message(9)
    assert load.state == "failed"
    assert loaded.rejects().decode() == lines(*((mms_id, f"B{n}") for n, mms_id in enumerate(titles[6:9], 6)))
    load.resolve(3)
    load.create(3)
    assert load.finish().counts() == {"created": 9}


PROFILES_SMALL = "profiles:\n  gifts: {library: MAIN, location: stacks}\nchunk_size: 3\n"


def test_all_rows_of_a_title_stay_in_one_chunk(loader, titles):
    loader.bucket.put("config/item_profiles.yaml", PROFILES_SMALL.encode())
    pairs = [(titles[n % 4], f"B{n}") for n in range(20)]
    load = Load(loader, loader.drop(lines(*pairs)))
    chunks = [list(load.folder.rows(number)) for number in range(1, load.read() + 1)]
    assert sorted(row["barcode"] for chunk in chunks for row in chunk) == sorted(
        barcode for _, barcode in pairs
    )
    seen = [{row["mms_id"] for row in chunk} for chunk in chunks]
    assert sum(len(each) for each in seen) == len(set.union(*seen)) == 4


def test_the_summary_is_there_for_other_pages(loader, gift):
    loaded = loader.load(lines((gift, "A"), (gift, "")))
    summary = json.loads(loader.bucket.get(f"{loaded.run.folder.prefix}summary.json"))
    assert (summary["rows"], summary["counts"]["created"], summary["counts"]["invalid_row"]) == (2, 1, 1)
    assert set(summary["keys"]) == {"csv", "xlsx", "html", "missing", "rejects"}
    assert all(loader.bucket.info(key) for key in summary["keys"].values())


def test_a_file_that_is_gone_is_told(loader):
    load = Load(loader, "items/incoming/gifts/none.txt")
    with pytest.raises(RunStopped, match="There is no file"):
        load.read()
