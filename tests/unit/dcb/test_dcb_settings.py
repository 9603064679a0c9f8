"""config/dcb.yaml and the confs: what is wrong is reported with its line or its field, and what to write instead."""

import json
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from alma_etl.dcb.conf import (
    CancelRequest,
    PlaceRequest,
    is_same,
    made_id,
    nested,
    read_cancel,
    read_kept,
    read_place,
    schema_of,
)
from alma_etl.dcb.settings import SETTINGS, DcbSettings, read_dcb_settings, shipped_settings
from alma_etl.errors import InputProblem
from alma_etl.jobs.settings_files import read_settings
from alma_etl.store.bucket import Bucket

SHIPPED = (files("alma_etl.dcb") / "dcb.yaml").read_text("utf-8")


def read(text: str) -> DcbSettings:
    return read_settings(text, DcbSettings, source="config/dcb.yaml")


def test_the_shipped_file_says_what_the_code_takes_for_granted() -> None:
    shipped = shipped_settings()
    bare = DcbSettings(systems=shipped.systems, mode=shipped.mode)
    assert shipped == bare
    assert shipped.intervals.placed.longest == timedelta(hours=4)
    assert shipped.policy.gap == timedelta(minutes=10)


@pytest.mark.parametrize(
    ("old", "new", "reported"),
    [
        ("mode: observe", "mode: push", "mode: must be observe or drive, not 'push'"),
        ("    library: MAIN ", "    libary: MAIN ", "systems.LENDER"),
        (
            "missing_min_gap: 10m",
            "missing_min_gap: 10",
            "missing_min_gap: write a number and a unit",
        ),
        ("missing_confirmations: 2", "missing_confirmations: 1", "missing_confirmations"),
        ("  - type: log", "  - {type: webhook}", "the sink webhook needs conn_id"),
        (
            "{first: 5m,  longest: 30m}",
            "{first: 2h,  longest: 30m}",
            "longest must not be shorter than first",
        ),
        ("    location: DCB ", "    location: 01 ", "write it in quotes"),
        ("calls_per_day: 50000", "calls_per_day: 50", "calls_per_day"),
    ],
)
def test_a_fault_is_reported_with_its_line(old: str, new: str, reported: str) -> None:
    assert old in SHIPPED
    text = SHIPPED.replace(old, new, 1)
    wrong = next(number for number, line in enumerate(text.splitlines(), 1) if new in line)
    with pytest.raises(InputProblem) as problem:
        read(text)
    assert reported in str(problem.value)
    lines = {int(part.split(":")[0]) for part in str(problem.value).split("line ")[1:]}
    assert lines & set(range(wrong - 2, wrong + 1))


def test_a_system_lacks_what_its_kind_needs() -> None:
    with pytest.raises(InputProblem, match=r"line 2: .*also needs alma_conn_id, library"):
        read("systems:\n  A: {kind: alma}\n")


def test_what_goes_without_saying() -> None:
    settings = read("systems:\n  F: {kind: MOD_DCB}\nsinks: [log, mod_dcb, dcb_nudge]\n")
    assert (settings.systems["F"].kind, settings.systems["F"].conn_id) == ("mod_dcb", "mod_dcb_default")
    assert settings.sink_names == ("log", "mod_dcb:mod_dcb_default", "dcb_nudge:dcb_default")


def test_the_same_sink_twice() -> None:
    with pytest.raises(InputProblem, match="the same sink stands there twice"):
        read(SHIPPED.replace("  - type: log", "  - type: log\n  - type: log"))


class OneObject:
    """A bucket that holds the settings file or nothing."""

    def __init__(self, content: bytes | None) -> None:
        self.content = content

    def find(self, key: str) -> bytes | None:
        return self.content if key == SETTINGS.key else None


def bucket_with(content: bytes | None) -> Bucket:
    return OneObject(content)  # type: ignore[return-value]


def test_the_bucket_s_file_replaces_the_shipped_one() -> None:
    assert read_dcb_settings(bucket_with(None), is_sandbox=lambda _: True) == shipped_settings()
    own = SHIPPED.replace("mode: observe", "mode: drive").encode()
    assert read_dcb_settings(bucket_with(own)).mode == "drive"
    with pytest.raises(InputProblem, match="not UTF-8"):
        read_dcb_settings(bucket_with("mode: Übung".encode("latin-1")))


def test_the_shipped_systems_are_used_only_where_every_connection_is_a_sandbox() -> None:
    with pytest.raises(InputProblem) as problem:
        read_dcb_settings(bucket_with(None), is_sandbox=lambda name: name != "alma_borrower")
    for words in (
        "config/dcb.yaml",
        "`systems`",
        "include/alma_etl/dcb/dcb.yaml",
        "that of alma_borrower is not",
    ):
        assert words in str(problem.value)
    with pytest.raises(InputProblem, match="alma_borrower and alma_default"):
        read_dcb_settings(bucket_with(None))
    assert (Path(__file__).resolve().parents[3] / SETTINGS.example).is_file()


def test_own_systems_count_whatever_the_environment() -> None:
    own = read_dcb_settings(bucket_with(b"systems: {A: {alma_conn_id: alma_a, library: X}}"))
    assert (list(own.systems), own.mode) == (["A"], "observe")
    with pytest.raises(InputProblem, match=r"config/dcb\.yaml, line 1: systems: is missing"):
        read_dcb_settings(bucket_with(b"mode: drive"), is_sandbox=lambda _: True)


def test_the_shipped_mode_only_observes() -> None:
    assert shipped_settings().mode == "observe"


def test_the_log_is_always_sent_to() -> None:
    settings = read(SHIPPED.replace("  - type: log", "  - {type: webhook, conn_id: hook}"))
    assert settings.sink_names == ("log", "webhook:hook")


# --- confs

PLACE: dict[str, Any] = {
    "pr_id": "0b6f1c1e-7b1f-4f53-9d2f-3f1a5f6f0c11",
    "supplier_system": "LENDER",
    "supplier_mms_id": "9900000000004401",
    "supplier_holding_id": "2200000000004401",
    "supplier_item_pid": "2300000000004401",
    "borrower_system": "BORROWER",
    "user_id": "patron-1",
    "pickup_library": "MAIN",
    "title": "A title",
    "item_barcode": "321",
}


def test_a_complete_conf() -> None:
    place = read_place(PLACE, shipped_settings())
    assert (place.workflow, place.fetched_at, place.note) == ("RET-STD", "BORROWER", None)


@pytest.mark.parametrize(
    ("code", "setting"),
    [
        ("LENDER", "sharing_library"),
        ("LENDER", "user_group"),
        ("BORROWER", "location"),
        ("BORROWER", "item_policy"),
    ],
)
def test_a_system_needs_what_its_part_asks_for(code: str, setting: str) -> None:
    shipped = shipped_settings()
    system = shipped.systems[code].model_copy(update={setting: None})
    settings = shipped.model_copy(update={"systems": {**shipped.systems, code: system}})
    with pytest.raises(InputProblem, match=f"The system {code} of config/dcb.yaml lacks {setting}"):
        read_place(PLACE, settings)


def test_a_system_that_only_borrows_needs_no_sharing_library() -> None:
    shipped = shipped_settings()
    borrower = shipped.systems["BORROWER"].model_copy(update={"sharing_library": None, "user_group": None})
    settings = shipped.model_copy(update={"systems": {**shipped.systems, "BORROWER": borrower}})
    assert read_place(PLACE, settings).pr_id == PLACE["pr_id"]


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in PLACE.items() if name not in names}


IDS = ("supplier_mms_id", "supplier_holding_id", "supplier_item_pid")


@pytest.mark.parametrize(
    ("conf", "reported"),
    [
        (
            None,
            "supplier_system and borrower_system: are missing; the systems of config/dcb.yaml are BORROWER, LENDER",
        ),
        (
            without("supplier_system"),
            "supplier_system: is missing; the systems of config/dcb.yaml are BORROWER",
        ),
        (PLACE | {"borrower_system": " "}, "borrower_system: is missing"),
        (without("pr_id"), "pr_id"),
        (without("user_id"), "user_id: is missing"),
        (
            without("item_barcode", "supplier_item_pid"),
            "item_barcode is missing: give the barcode of the book, or",
        ),
        (PLACE | {"pr_id": "../x"}, "pr_id"),
        (PLACE | {"supplier_mms_id": "99/1"}, "supplier_mms_id"),
        (PLACE | {"supplier_mms_id": 990000}, "supplier_mms_id: must be text, put it in quotes"),
        (PLACE | {"title": "x" * 501}, "title"),
        (PLACE | {"item_barcode": "a\nb"}, "item_barcode"),
        (
            PLACE | {"suplier_mms_id": "9911"},
            "suplier_mms_id: is not known here, did you mean supplier_mms_id?",
        ),
        (PLACE | {"borrower_system": "LENDER"}, "that is a local request, which needs RET-LOCAL"),
        (PLACE | {"pickup_system": "LENDER"}, "another system needs RET-PUA"),
        (PLACE | {"workflow": "RET-PUA"}, "a third system for RET-PUA"),
        (PLACE | {"workflow": "RET-ALL"}, "workflow"),
        (PLACE | {"workflow": "RET-LOCAL"}, "a book of the patron's own system"),
        (
            PLACE | {"workflow": "RET-EXP", "pickup_system": "BORROWER"},
            "pickup_system must be the lender's for RET-EXP",
        ),
        (PLACE | {"workflow": "RET-EXP", "suppliers": "LENDER 31"}, "suppliers must be empty for RET-EXP"),
        (
            PLACE | {"supplier_system": "NOWHERE"},
            "there is no system 'NOWHERE' in config/dcb.yaml; known are BORROWER",
        ),
        (PLACE | {"suppliers": "LENDER"}, "suppliers"),
        (PLACE | {"suppliers": ["LENDER 31", "ELSEWHERE 32"]}, "suppliers: there is no system 'ELSEWHERE'"),
        (PLACE | {"suppliers": ["BORROWER 31"]}, "suppliers: BORROWER is the borrower's system"),
        (PLACE | {"pickup_system": "borrower"}, "pickup_system: there is no system 'borrower'"),
        (PLACE | {"title": "A\x00title"}, "title: holds characters that cannot be printed"),
    ],
)
def test_a_faulty_conf_is_reported_by_its_field(conf: dict[str, Any] | None, reported: str) -> None:
    with pytest.raises(InputProblem) as problem:
        read_place(conf, shipped_settings())
    assert reported in str(problem.value)
    assert "Value error" not in str(problem.value)


def test_what_a_form_leaves_empty_is_not_given() -> None:
    empty = dict.fromkeys(
        ["pickup_system", "pickup_desk", "author", "isbn", "material_type", "note", *IDS], ""
    )
    place = read_place(
        without("title") | empty | {"pr_id": "", "suppliers": ""}, shipped_settings(), own_id="X-1"
    )
    bare = without(*IDS, "title") | {"pr_id": "X-1"}
    assert place == read_place(bare, shipped_settings())
    assert (place.pr_id, place.suppliers, place.fetched_at) == ("X-1", (), "BORROWER")
    assert read_place(PLACE | {"workflow": " "}, shipped_settings()).workflow == "RET-STD"
    assert read_cancel({"pr_id": "X-1", "reason": ""}).reason is None


def test_blanks_that_came_along_with_a_pasted_value_are_not_part_of_it() -> None:
    pasted = {name: f" {value}\n" for name, value in PLACE.items()} | {"workflow": "RET-STD "}
    assert read_place(pasted, shipped_settings()) == read_place(PLACE, shipped_settings())
    assert read_place(PLACE | {"title": "A title\nin two lines"}, shipped_settings()).title == (
        "A title in two lines"
    )


@pytest.mark.parametrize(
    "given",
    [
        "LENDER 31 166\n\n  LENDER\t32 \n",
        ["LENDER 31 166", "LENDER  32"],
        ["\u202dLENDER 31 166", " LENDER 32"],
    ],
)
def test_more_copies_are_given_by_lines_or_as_a_list(given: object) -> None:
    place = read_place(PLACE | {"suppliers": given}, shipped_settings())
    assert [(copy.system, copy.barcode) for copy in place.copies] == [
        ("LENDER", "321"),
        ("LENDER", "31 166"),
        ("LENDER", "32"),
    ]


def test_the_id_of_a_run_is_the_same_as_often_as_it_is_asked_for() -> None:
    assert made_id("dag", "run", "2026") == made_id("dag", "run", "2026") != made_id("dag", "run", "2027")


# --- the nested form of before

NESTED: dict[str, Any] = {
    "pr_id": PLACE["pr_id"],
    "supplier": {
        "system": "LENDER",
        "mms_id": PLACE["supplier_mms_id"],
        "holding_id": PLACE["supplier_holding_id"],
        "item_pid": PLACE["supplier_item_pid"],
    },
    "borrower": {"system": "BORROWER", "user_id": "patron-1"},
    "pickup": {"system": "BORROWER", "library": "MAIN"},
    "bib": {"title": "A title"},
    "item": {"barcode": "321"},
}


def test_a_nested_conf_is_refused_with_the_flat_one() -> None:
    with pytest.raises(InputProblem, match="nested form of before") as problem:
        read_place(NESTED, shipped_settings())
    shown = json.loads(str(problem.value).partition("Write it so: ")[2])
    assert shown == PLACE | {"pickup_system": "BORROWER"}
    assert read_place(shown, shipped_settings()).copies == read_place(PLACE, shipped_settings()).copies


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"pickup_system": "BORROWER"}, True),
        ({"title": None, "supplier_item_pid": None}, True),
        ({"note": "Whatever"}, True),
        ({"material_type": "BOOK"}, True),
        ({"material_type": "DVD"}, False),
        ({"title": "Another"}, False),
        ({"author": "Somebody"}, False),
        ({"item_barcode": "322"}, False),
        ({"user_id": "patron-2"}, False),
        ({"pickup_library": "SCI"}, False),
        ({"pickup_desk": "DESK"}, False),
        ({"suppliers": ["LENDER 33"]}, False),
    ],
)
def test_a_kept_conf_is_compared_by_what_it_means(change: dict[str, Any], same: bool) -> None:
    kept = NESTED | {"workflow": "RET-STD", "item": {"barcode": "321", "material_type": "BOOK"}}
    place = read_place(PLACE | change, shipped_settings())
    assert is_same(place, kept) is same
    assert is_same(place, read_kept(kept).model_dump(mode="json", exclude_none=True)) is same
    assert not is_same(place, {})
    assert nested(read_kept(kept)) == kept


def test_a_lender_must_be_an_alma() -> None:
    text = SHIPPED + "\n"
    text = text.replace("systems:\n", "systems:\n  FOLIO: {kind: mod_dcb, conn_id: mod_dcb_default}\n", 1)
    with pytest.raises(InputProblem, match="supplier_system: FOLIO is not an Alma"):
        read_place(PLACE | {"supplier_system": "FOLIO"}, read(text))
    with pytest.raises(InputProblem, match="suppliers: FOLIO is not an Alma"):
        read_place(PLACE | {"suppliers": ["FOLIO 31"]}, read(text))
    borrowed = PLACE | {"borrower_system": "FOLIO", "pickup_library": "Annex"}
    assert read_place(borrowed, read(text)).borrower_system == "FOLIO"
    text = text.replace("systems:\n", "systems:\n  SIERRA: {kind: other, host_lms_code: SIERRA}\n", 1)
    for change in ({"supplier_system": "SIERRA"}, {"suppliers": ["SIERRA 31"]}):
        with pytest.raises(
            InputProblem, match=r"SIERRA is no Alma, and only dcb-service .* dcb_adopt_requests"
        ):
            read_place(PLACE | change, read(text))
    with pytest.raises(InputProblem, match=r"mode: observe of config/dcb\.yaml does not allow"):
        read_place(PLACE | {"workflow": "RET-EXP"}, shipped_settings())
    with pytest.raises(InputProblem, match="RET-EXP needs a borrower that is an Alma"):
        read_place(borrowed | {"workflow": "RET-EXP"}, read(text))


def test_a_cancellation() -> None:
    assert read_cancel({"pr_id": "PR-1"}).reason is None
    with pytest.raises(InputProblem, match="pr_id: is missing"):
        read_cancel({})


@pytest.mark.parametrize("model", [PlaceRequest, CancelRequest])
def test_the_schema_explains_every_field(model: type[PlaceRequest | CancelRequest]) -> None:
    schema = schema_of(model)
    parts = [schema, *schema.get("$defs", {}).values()]
    for part in parts:
        assert part["additionalProperties"] is False
        for field in part["properties"].values():
            assert "description" in field or "$ref" in field
