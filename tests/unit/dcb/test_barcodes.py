"""Whatever barcode a book has in Alma, it can be lent: in the conf, in calls, in mod-dcb, in the store and on pages."""

import html
import json
from dataclasses import replace

import pytest

from alma_etl.dcb.conf import PlaceRequest, read_place, schema_of
from alma_etl.dcb.machine.vocabulary import ActionType, Role, Status
from alma_etl.dcb.sides.virtual_item import remove
from alma_etl.dcb.store import Report
from alma_etl.errors import InputProblem
from tests.unit.dcb.records import HOUR, SETTINGS, START, new_request, report
from tests.unit.dcb.sides_desk import ONE
from tests.unit.dcb.test_sides_folio import folio  # noqa: F401 - a fixture

BARCODES = [
    "MAIN 31166 000000001",
    "A/B/1",
    "what?",
    "31#5",
    "100%",
    "50%25 of %2F",
    "a&b=c;d+e",
    "1, 2",
    'it\'s "quoted"',
    "(1)*2",
    "<b>1</b>",
    "\\back\\slash",
    "]DCB-REQUEST:X:SUPPLIER]",
    "..",
    "=1+1",
    "{{ 1 }}",
    "Ä Ö ß",
    "図書 1",
    "×" * 100,
    "1E5",
    "007",
]


def conf(barcode: str) -> dict[str, object]:
    return {
        "pr_id": "PR-1",
        "supplier_system": "LENDER",
        "supplier_mms_id": "99111",
        "supplier_holding_id": "22111",
        "supplier_item_pid": "23111",
        "borrower_system": "BORROWER",
        "user_id": "patron003",
        "pickup_library": "SCI",
        "title": "A title",
        "item_barcode": barcode,
    }


@pytest.mark.parametrize("barcode", BARCODES)
def test_the_conf_takes_a_barcode_as_alma_has_it(barcode: str) -> None:
    place = read_place(conf(barcode), SETTINGS)
    assert place.item_barcode == barcode
    again = PlaceRequest.model_validate(json.loads(place.model_dump_json()))
    assert again == place
    assert len(barcode) <= 100
    pattern = schema_of(PlaceRequest)["properties"]["item_barcode"]["anyOf"][0]["pattern"]
    assert pattern == "^[^\\x00-\\x1f\\x7f]{1,100}$"


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (" 31166 ", "31166"),
        ("\u202d31166000000002\u202c", "31166000000002"),
        ("311\u200b66", "31166"),
        ("\ufeff31166", "31166"),
        ("３１１６６", "31166"),
        ("31166\u00a0", "31166"),
        ("31\u00ad166\ufe0f", "31166"),
    ],
)
def test_what_cannot_be_seen_is_no_part_of_a_barcode(given: str, meant: str) -> None:
    assert read_place(conf(given), SETTINGS).item_barcode == meant


@pytest.mark.parametrize("given", ["", "   ", "\u200b", "1\n2", "1\t2", "x" * 101, "1\ufffd"])
def test_what_can_be_no_barcode_is_refused_by_name(given: str) -> None:
    without_ids = {name: value for name, value in conf(given).items() if not name.endswith(("_id", "_pid"))}
    with pytest.raises(InputProblem, match="item_barcode"):
        read_place(without_ids | {"pr_id": "PR-1", "user_id": "patron003"}, SETTINGS)


# --- through both Almas


@pytest.mark.heavy
@pytest.mark.parametrize("barcode", BARCODES[:13:2])
def test_a_book_of_any_barcode_is_placed_found_again_and_cleaned_up(barcode: str, desk, almas) -> None:
    book = almas.book()
    almas.lender.control("POST", f"items/{book.pid}", {"barcode": barcode})
    given = almas.conf(item_barcode=barcode)
    assert desk.place(given, run_id="run-1") == Status.RPBA
    assert desk.left() == ONE
    leg = desk.context.store.get("PR-1").legs[Role.BORROWER]
    assert leg.barcode == barcode
    found = almas.at_borrower.items.by_barcode(barcode)
    assert (found.value.pid, found.value.barcode) == (leg.item_pid, barcode)
    assert "is placed and tracked" in html.unescape(desk.page("run-1"))
    assert desk.place(given) == Status.RPBA  # the same again finds what is there
    assert desk.left() == ONE
    second = almas.conf("PR-2", item_barcode=barcode)
    desk.place(second)
    assert desk.left() == ONE
    desk.cancel()
    assert remove(almas.at_borrower, "PR-1")
    assert (desk.left()["borrower holds"], desk.left()["bibs"], desk.left()["items"]) == (0, 0, 0)


@pytest.mark.heavy
@pytest.mark.parametrize("barcode", BARCODES[:13:2])
def test_mod_dcb_is_given_the_barcode_as_it_is(barcode: str, folio) -> None:  # noqa: F811
    folio.place = folio.place.model_copy(update={"item_barcode": barcode})
    folio.supplier = replace(folio.supplier, barcode=barcode)
    answer = folio.do(ActionType.PLACE_AT_BORROWER, Status.CONFIRMED)
    (leg,) = answer.legs
    assert leg.barcode == barcode
    assert folio.running.consortium.transactions.by_id["PR-1"].details["item"]["barcode"] == barcode


@pytest.mark.parametrize("barcode", BARCODES)
def test_a_new_barcode_of_the_book_is_kept_and_handed_on(barcode: str, store) -> None:
    drives = SETTINGS.model_copy(update={"mode": "drive"})
    store.add(new_request(), START)
    placed = report({"ack": "BORROWER_PLACED", "role": "BORROWER", "barcode": "31"}, START + 2 * HOUR)
    for hours, told in ((1, shown("31", 1)), (2, placed), (3, shown(barcode, 3))):
        store.apply("PR-1", [told], settings=drives, now=START + hours * HOUR)
    (row,) = [each for each in store.history("PR-1").outbox if each.type == "SYNC_BARCODE"]
    assert row.payload["args"][-1] == barcode
    assert store.get("PR-1").legs[Role.SUPPLIER].barcode == barcode


def shown(barcode: str, hours: int) -> Report:
    item = {"found": True, "base_status": "1", "barcode": barcode}
    hold = {"found": True, "request_status": "IN_PROCESS"}
    return report({"role": "SUPPLIER", "request": hold, "item": item}, START + hours * HOUR)
