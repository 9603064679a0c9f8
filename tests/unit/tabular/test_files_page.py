"""docs/files.md: its examples are what the reader does, and people find it."""

import re
from pathlib import Path

import pytest

from alma_etl.identifiers import read_identifier
from alma_etl.tabular.number_formats import shown_text, shown_whole

HOUSE = Path(__file__).resolve().parents[3]
PAGE = (HOUSE / "docs/files.md").read_text("utf-8")


def table(heading):
    """The cells of the rows below the heading of a table."""
    lines = PAGE.split(heading + "\n", 1)[1].splitlines()[1:]
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        rows.append(cells)
    return rows


def as_typed(cell):
    return re.sub(r"U\+(FE0F|2[0-9A-F]{3}|00A0)", lambda code: chr(int(code[1], 16)), cell.strip("`"))


CLEANED = table("| In the file | What Alma gets | What the report says |")
REFUSED = table("| In the file | Refused, because |")
SHOWN = table("| Stored | Format | What is taken |")


@pytest.mark.parametrize(("typed", "value", "says"), CLEANED)
def test_each_example_of_a_cleaning_is_cleaned_so(typed, value, says):
    read = read_identifier(as_typed(typed))
    assert (read.value, read.changes, read.problem) == (as_typed(value), (says,) if says else (), "")


@pytest.mark.parametrize(("typed", "says"), REFUSED)
def test_each_example_of_a_refusal_is_refused_so(typed, says):
    assert says in read_identifier(as_typed(typed)).problem


@pytest.mark.parametrize(("stored", "number_format", "taken"), SHOWN)
def test_each_example_of_a_format_is_shown_so(stored, number_format, taken):
    shown = as_typed(taken.split(",")[0])
    if stored.isdigit():
        assert shown_whole(int(stored), number_format.strip("`")) == shown
    else:
        assert shown_text(stored.removeprefix("the text "), number_format.strip("`")) == shown


def test_the_page_has_an_example_of_each():
    assert min(len(CLEANED), len(REFUSED)) >= 10
    assert len(SHOWN) >= 5


@pytest.mark.parametrize(
    "path",
    [
        "README.md",
        "dags/item_creation.py",
        "include/alma_etl/jobs/file_job.py",
        "include/alma_etl/tabular/tables.py",
    ],
)
def test_the_page_is_named_where_people_look(path):
    assert "docs/files.md" in (HOUSE / path).read_text("utf-8")
