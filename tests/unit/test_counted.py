"""Counted nouns: one helper, and no sentence that counts without it."""

import ast
import re
from pathlib import Path

import pytest

from alma_etl.counted import counted, verb

HOUSE = Path(__file__).resolve().parents[2]
FOLDERS = (HOUSE / "include/alma_etl", HOUSE / "plugins/alma_airflow")
NOUNS = (
    "requests|holdings|titles|records|rows|chunks|items|events|actions|deeds|files|lines|members|runs|steps|reads|bytes|calls|"
    "tasks|systems|groups|alerts|codes|barcodes|members|bibs|columns|attempts"
)
# Bounds that are never 1, by the file and the expression.
BOUNDS = {("exchange.py", "self._max_body"), ("iso2709.py", "len(data)"), ("workbook.py", "unpacked")}
IN_F_STRING = re.compile(rf" (?:\w+ )?(?:{NOUNS})\b")
IN_LOG = re.compile(rf"%[ds] (?:{NOUNS})\b")
IN_TEMPLATE = re.compile(rf"\}}\}} (?:{NOUNS})\b")


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, "0 records"), (1, "1 record"), (2, "2 records"), (1_234, "1,234 records"), (-1, "-1 records")],
)
def test_a_noun_agrees_with_its_number(number, words):
    assert counted(number, "record") == words


def test_a_plural_may_be_given_and_a_verb_agrees_too():
    assert [counted(number, "library", "libraries") for number in (1, 2)] == ["1 library", "2 libraries"]
    assert [verb(number, "is", "are") for number in (0, 1, 2)] == ["are", "is", "are"]


def uncounted(path: Path) -> list[str]:
    """Where a text says a number and a noun in the plural, whatever the number is."""
    found = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.JoinedStr):
            for value, words in zip(node.values, node.values[1:], strict=False):
                follows = isinstance(words, ast.Constant) and IN_F_STRING.match(str(words.value))
                if not isinstance(value, ast.FormattedValue) or not follows or _is_constant(value.value):
                    continue
                if (path.name, ast.unparse(value.value)) not in BOUNDS:
                    found.append(f"{path.name}:{value.lineno}: {ast.unparse(value.value)}{words.value}")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and IN_LOG.search(node.value):
            found.append(f"{path.name}:{node.lineno}: {node.value}")
    return found


def _is_constant(value: ast.expr) -> bool:
    return isinstance(value, ast.Name) and value.id.isupper()


def test_no_sentence_counts_by_itself():
    assert [
        each for folder in FOLDERS for path in sorted(folder.rglob("*.py")) for each in uncounted(path)
    ] == []


def test_no_template_counts_by_itself():
    found = {
        f"{path.name}: {words}"
        for folder in FOLDERS
        for path in sorted(folder.rglob("*.html"))
        for words in IN_TEMPLATE.findall(path.read_text("utf-8"))
    }
    assert found == set()
