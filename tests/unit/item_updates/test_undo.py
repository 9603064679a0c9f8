"""Undo files: the old values of what was changed, exactly, in the form that came, read again by the job itself."""

import io

import pytest

from alma_etl.item_updates.profiles import SETTINGS
from alma_etl.item_updates.reading import open_update, rows_of
from alma_etl.item_updates.undo import UndoFile
from tests.unit.item_updates.files import end

ALMA, ALEPH = (SETTINGS.shipped().profiles[name] for name in ("alma", "aleph"))
FORMS = ("XML", "CSV", "CSV with semicolons", "TSV", "text with | between the columns", "Excel workbook")
ODD = ['=1+1 "so"', "two\nlines; and | more,", "'98", "+", "Größe <b> & 漢字", "12\" disc", "0", "@x\\y"]  # fmt: skip


def written(undo):
    stream = io.BytesIO()
    undo.write(stream)
    return stream.getvalue()


@pytest.fixture
def dropped(tmp_path):
    """The rows that a file comes to when it is dropped."""

    def dropping(body, profile):
        path = tmp_path / "undo"
        path.write_bytes(body)
        found = list(rows_of(open_update(path, profile).rows(), profile))
        assert [refusal for _, refusal in found] == [""] * len(found)
        return [row for row, _ in found]

    return dropping


@pytest.mark.parametrize("form", FORMS)
def test_an_undo_file_for_alma_names_each_item_and_gives_it_what_it_had(form, dropped):
    undo = UndoFile("alma", form)
    for number, old in enumerate(ODD, 1):
        changes = {
            "public_note": (old, "new"),
            "pages": ("3", "3"),
            "copy_id": ("", "2"),
            "barcode": (f"A{number}", f"B{number}"),
        }
        undo.note(end(number, changes, item_pid=f"2300{number}", barcode=f"B{number}"))
    undo.note(end(99, dict.fromkeys(changes, ("x", "x")), item_pid="23999", barcode="C"))
    rows = dropped(written(undo), ALMA)
    assert [(row["item_pid"], row["barcode"]) for row in rows] == [
        (f"2300{number}", f"B{number}") for number in range(len(ODD), 0, -1)
    ]
    for row, (number, old) in zip(rows, reversed(list(enumerate(ODD, 1))), strict=True):
        assert row["remarks"] == []
        stays = {} if form == "XML" else {"pages": "3"}
        assert row["values"] == {"public_note": old, "copy_id": "", "barcode": f"A{number}", **stays}


@pytest.mark.parametrize("form", FORMS)
def test_an_undo_file_for_aleph(form, dropped):
    undo = UndoFile("aleph", form)
    for number, old in enumerate(ODD, 1):
        changes = {
            "note-opac": (old, ""),
            "item-status": ("01", "02"),
            "issue-date": ("00000000", "20260102"),
        }
        undo.note(end(number, changes, doc_number="51077", item_sequence=f"{number}0", barcode="B"))
    rows = dropped(written(undo), ALEPH)
    assert [row["item_sequence"].lstrip("0") for row in rows] == [f"{n}0" for n in range(len(ODD), 0, -1)]
    assert [row["values"]["note-opac"] for row in rows] == list(reversed(ODD))
    assert {(row["values"]["item-status"], row["values"]["issue-date"]) for row in rows} == {
        ("01", "00000000")
    }


@pytest.mark.parametrize("form", FORMS)
def test_an_item_that_stood_twice_has_its_oldest_values_once(form, dropped):
    undo = UndoFile("alma", form)
    undo.note(end(1, {"pages": ("1", "2"), "barcode": ("A", "B")}, item_pid="23001", barcode="B"))
    undo.note(end(2, {"pages": ("1", "9"), "barcode": ("K", "K")}, item_pid="23002", barcode="K"))
    undo.note(end(3, {"pages": ("2", "3"), "barcode": ("B", "C")}, item_pid="23001", barcode="C"))
    undo.note(end(4, {"pages": ("9", "1"), "barcode": ("K", "K")}, item_pid="23002", barcode="K"))
    [row] = dropped(written(undo), ALMA)
    assert (row["item_pid"], row["barcode"], row["values"]) == ("23001", "C", {"pages": "1", "barcode": "A"})


def test_a_table_leaves_out_what_it_cannot_say_and_counts_it_and_xml_says_it(dropped):
    for form, left, values in (("CSV", 3, [{"pages": "1", "copy_id": "4"}]), ("XML", 0, None)):
        undo = UndoFile("alma", form)
        undo.note(end(1, {"pages": ("1", "2"), "copy_id": ("4", "4")}, item_pid="23001"))
        undo.note(end(2, {"pages": ("5", "2")}, item_pid="23002"))
        undo.note(
            end(
                3,
                {"pages": ("6", "2"), "copy_id": ("4", "5"), "barcode": ("", "N")},
                item_pid="23003",
                barcode="N",
            )
        )
        undo.note(end(4, {"pages": ("6", "2"), "copy_id": ("1.0", "5")}, item_pid="23004"))
        assert undo.left_out() == left
        rows = dropped(written(undo), ALMA)
        if form == "CSV":
            assert [row["values"] for row in rows] == values
        else:
            assert [row["values"].get("copy_id") for row in rows] == ["1.0", "4", None, None]


def test_nothing_changed_is_nothing_to_undo():
    undo = UndoFile("alma", "CSV")
    assert undo.is_empty()
    undo.note(end(1, {"pages": ("1", "1")}, item_pid="23001"))
    undo.note(end(2, {}, item_pid="23001"))
    assert undo.is_empty()
