"""docs/dcb.md says what the code does: every edge, every flag, every handler, examples that are accepted."""

import json
import re
from itertools import product
from pathlib import Path

import pytest
from pydantic import BaseModel

from alma_etl.dcb.advice import OTHERS, STANDING, advice_of
from alma_etl.dcb.conf import CancelRequest, PlaceRequest, read_cancel, read_place, schema_of
from alma_etl.dcb.flows.adopt.request import AdoptedRequest, read_adopted
from alma_etl.dcb.flows.reconcile.findings import Code
from alma_etl.dcb.machine import flags
from alma_etl.dcb.machine.vocabulary import ActionType, Role, Status, is_legal
from alma_etl.dcb.settings import shipped_settings
from tests.unit.dcb.records import VECTORS

DOCS = Path(__file__).parents[3] / "docs"
TEXT = (DOCS / "dcb.md").read_text("utf-8")


def test_the_diagram_shows_every_legal_edge_and_no_other() -> None:
    drawn = set(re.findall(r"^    (\w+) --> (\w+)$", TEXT, re.MULTILINE))
    assert drawn == {(frm.name, to.name) for frm, to in product(Status, Status) if is_legal(frm, to)}
    named = dict(re.findall(r"^    (\w+): (\w+)$", TEXT, re.MULTILINE))
    assert all(Status[short] == full for short, full in named.items())


def test_every_flag_is_explained() -> None:
    known = {value for name, value in vars(flags).items() if name.isupper() and isinstance(value, str)}
    known |= {flags.barcode_changed(role) for role in Role}
    known |= {f"{role}_ITEM_LOST" for role in Role}
    missing = {flag for flag in known if not re.search(rf"\b{flag}\b", TEXT)}
    assert missing == set()
    for trouble in flags.TROUBLE_ITEMS.values():
        assert trouble in TEXT


def rows_of(heading: str) -> list[list[str]]:
    """The cells of the table below a heading."""
    part = TEXT.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("| ")][1:]
    return [[cell.strip() for cell in line.strip().strip("|").split(" | ")] for line in lines]


def named(cell: str) -> list[str]:
    return re.findall(r"[A-Z][A-Z_]+[A-Z]", cell.replace("*ACTION*", "SYNC_BARCODE"))


def test_standing_flags_say_what_the_code_says() -> None:
    written = {flag: row[3] for row in rows_of("Flags") if "standing" in row[1] for flag in named(row[0])}
    actions = {flags.action_failed(action) for action in ActionType}
    assert {flag: written[flag] for flag in set(STANDING) - actions} == {
        flag: advice for flag, advice in STANDING.items() if flag not in actions
    }
    for flag in actions:  # those that have no row of their own have one sentence
        assert written.get(flag, written["SYNC_BARCODE_FAILED"]) == STANDING[flag]
    assert set(written) <= set(STANDING)


def test_other_alerts_say_what_the_code_says() -> None:
    assert {code: row[2] for row in rows_of("Alerts") for code in named(row[0])} == OTHERS


def test_the_runbook_of_the_comparison_says_the_same() -> None:
    text = (DOCS / "runbooks" / "dcb_reconcile.md").read_text("utf-8")
    found = dict(re.findall(r"^\| `([A-Z_]+)`(?: \(urgent\))? \|.*\| ([^|]+) \|$", text, re.MULTILINE))
    assert {code: advice for code, advice in found.items() if code != "STUCK_"} == {
        code: advice_of(code) for code in [*Code, "STUCK_ERROR"]
    }


def test_every_handler_of_the_vectors_is_named() -> None:
    handlers = {
        transition["handler"]
        for vector in VECTORS
        for entry in vector["trace"]
        for transition in entry["transitions"]
    }
    assert {handler for handler in handlers if handler not in TEXT} == set()


@pytest.mark.parametrize("place", [0, 1])
def test_the_examples_are_accepted(place: int) -> None:
    examples = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)]
    assert len(examples) == 2
    if place == 0:
        assert read_place(examples[0], shipped_settings()).pr_id == examples[0]["pr_id"]
    else:
        assert read_cancel(examples[1]).reason == examples[1]["reason"]


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("dcb_place_request", PlaceRequest),
        ("dcb_cancel_request", CancelRequest),
        ("dcb_adopt", AdoptedRequest),
    ],
)
def test_the_schemas_of_the_confs_are_those_of_the_code(name: str, model: type[BaseModel]) -> None:
    kept = json.loads((DOCS / "schemas" / f"{name}.json").read_text("utf-8"))
    assert kept == schema_of(model)


def test_the_example_of_the_adoption_schema_is_accepted() -> None:
    (example,) = schema_of(AdoptedRequest)["examples"]
    assert read_adopted(example).reported.status is Status.LOANED
