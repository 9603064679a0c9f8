"""Funds, vendors, PO lines: what is refused, what waits in review, what an order makes, what lists show."""

from typing import Any

from alma_sandbox.catalogue import ids
from tests.sandbox.caller import Caller

TITLE = ids.mms_id(0)
LINES = "/acq/po-lines"


def order(**more: Any) -> dict[str, Any]:
    """An order of one book that needs no review."""
    return {
        "owner": {"value": "MAIN"},
        "type": {"value": "PRINTED_BOOK_OT"},
        "acquisition_method": {"value": "VENDOR_SYSTEM"},
        "vendor": {"value": "GOBI"},
        "vendor_account": "GOBI-1",
        "price": {"sum": "27.95", "currency": {"value": "USD"}},
        "fund_distribution": [funded("HIST", "27.95")],
        "vendor_reference_number": "90000000001",
        "additional_order_reference": "A-1",
        "material_type": {"value": "BOOK"},
        "resource_metadata": {"mms_id": {"value": TITLE}},
        "location": [place()],
        **more,
    }


def funded(fund: str, total: str, currency: str = "USD") -> dict[str, Any]:
    return {"fund_code": {"value": fund}, "amount": {"sum": total, "currency": {"value": currency}}}


def place(quantity: int = 1, location: str = "reserves", **more: Any) -> dict[str, Any]:
    return {"quantity": quantity, "library": {"value": "MAIN"}, "shelving_location": location, **more}


def codes(alma: Caller, query: str) -> list[str]:
    return [row["code"] for row in alma.get(f"/acq/funds?limit=100&{query}").get("fund", [])]


def numbers(alma: Caller, query: str) -> list[str]:
    return [row["number"] for row in alma.get(f"{LINES}?limit=100&{query}").get("po_line", [])]


def encumbered(alma: Caller, fund: str) -> str:
    return str(alma.control("GET", "state")["funds"][fund]["encumbered"])


def outcome(made: dict[str, Any]) -> tuple[str, list[str]]:
    return made["status"]["value"], [alert["value"] for alert in made["alert"]]


# Funds and vendors


def test_only_open_funds_can_be_ordered_from_and_all_are_known(alma: Caller) -> None:
    alma.control("POST", "clock", {"now": "2026-03-01T12:00:00Z", "stopped": True})
    assert codes(alma, "mode=POL") == ["BOOKS", "SERIALS", "HIST", "GIFTS", "SCIENCE", "TINY", "ART&MUSIC"]
    assert codes(alma, "mode=POL&q=fund_code~BOOKS") == ["BOOKS"]
    # a part of a code is found, another spelling is not
    assert codes(alma, "mode=ALL&q=fund_code~BOOKS") == ["BOOKS", "OLDBOOKS", "NEXTBOOKS"]
    assert codes(alma, "mode=ALL&q=fund_code~books") == []
    assert codes(alma, "mode=ALL&q=fund_name~ledger") == ["GENERAL"]
    assert "SCIENCE" not in codes(alma, "mode=POL&library=MAIN")
    assert alma.refusal("GET", "/acq/funds?q=colour~red") == (400, "40166411")
    rows = {row["code"]: row for row in alma.get("/acq/funds?mode=ALL&limit=100")["fund"]}
    periods = [rows[fund]["fiscal_period"]["value"] for fund in ("OLDBOOKS", "BOOKS", "NEXTBOOKS")]
    assert periods == ["FY-2025", "FY-2026", "FY-2027"]
    assert rows["GENERAL"]["type"]["value"] == "LEDGER"
    assert len({row["id"] for row in rows.values()}) == len(rows)
    alma.settings(closed_funds=["BOOKS"])
    assert "BOOKS" not in codes(alma, "mode=POL")
    assert alma.xml("/acq/funds?mode=ALL&q=fund_code~BOOKS").findtext("fund/status") == "INACTIVE"


def test_a_vendor_shows_its_accounts_and_currencies(alma: Caller) -> None:
    found = alma.get("/acq/vendors/VENDOR2")
    assert {row["code"]: row["status"]["value"] for row in found["account"]} == {
        "VENDOR2": "ACTIVE",
        "V2-OLD": "INACTIVE",
    }
    assert [row["value"] for row in alma.get("/acq/vendors/UKBOOKS")["currency"]] == ["GBP"]
    assert alma.refusal("GET", "/acq/vendors/gobi") == (400, "401871")
    assert alma.refusal("GET", "/acq/vendors/gobi/po-lines") == (400, "401871")
    assert "EUR" in [row["code"] for row in alma.get("/conf/code-tables/CurrencySubset")["row"]]


# Ordering


def test_an_order_makes_holding_and_items_at_its_place_and_encumbers_its_fund(alma: Caller) -> None:
    copies = [{"item_policy": {"value": "01"}, "barcode": "ORDERED-1"}, {"item_policy": {"value": "02"}}]
    made = alma.post(
        LINES, order(location=[place(2, copy=copies)], fund_distribution=[funded("HIST", "55.90")])
    )
    assert outcome(made) == ("SENT", [])
    assert (made["vendor_reference_number"], made["additional_order_reference"]) == ("90000000001", "A-1")
    state = alma.control("GET", "state")
    [holding] = state["holdings"].values()
    assert (holding["mms_id"], '<subfield code="c">reserves' in holding["record"]) == (TITLE, True)
    made_items = list(state["items"].values())
    assert [item["codes"]["policy"] for item in made_items] == ["01", "02"]
    assert made_items[0]["barcode"] == "ORDERED-1"
    assert {(item["process_type"], item["texts"]["po_line"]) for item in made_items} == {
        ("ACQ", made["number"])
    }
    assert state["po_lines"][made["number"]]["items"] == [item["pid"] for item in made_items]
    assert state["funds"]["HIST"] == {
        "allocated": "10000.00",
        "encumbered": "55.90",
        "available": "9944.10",
    }
    # a second order for the same place uses the holding
    alma.post(LINES, order())
    assert len(alma.control("GET", "state")["holdings"]) == 1
    assert alma.call("DELETE", f"{LINES}/{made['number']}?reason=LIBRARY_CANCELLED").status_code == 204
    assert encumbered(alma, "HIST") == "27.95"


REVIEWED: list[tuple[dict[str, Any], list[str]]] = [
    ({"vendor": None, "vendor_account": None}, ["VENDOR_IS_MISSING", "VENDOR_ACCOUNT_IS_MISSING"]),
    ({"vendor_account": "VENDOR1"}, ["ACCOUNT_NOT_OF_VENDOR", "VENDOR_ACCOUNT_IS_MISSING"]),
    ({"vendor": {"value": "GONE"}, "vendor_account": "GONE-1"}, ["VENDOR_IS_INACTIVE"]),
    ({"vendor": {"value": "VENDOR2"}, "vendor_account": "V2-OLD"}, ["ACCOUNT_IS_INACTIVE"]),
    ({"price": None}, ["PRICE_IS_MISSING"]),
    ({"fund_distribution": []}, ["FUND_IS_MISSING"]),
    ({"fund_distribution": [funded("hist", "27.95")]}, ["FUND_NOT_FOUND", "FUND_IS_MISSING"]),
    ({"fund_distribution": [funded("OLDBOOKS", "27.95")]}, ["FUND_IS_NOT_ACTIVE"]),
    ({"fund_distribution": [funded("GENERAL", "27.95")]}, ["FUND_IS_NOT_ACTIVE"]),
    ({"fund_distribution": [funded("HIST", "20.00")]}, ["FUNDS_DO_NOT_COVER_THE_PRICE"]),
    (
        {
            "price": {"sum": "60", "currency": {"value": "USD"}},
            "fund_distribution": [funded("TINY", "60")],
        },
        ["FUND_IS_OVER_ENCUMBERED"],
    ),
    ({"location": [place(2)]}, ["FUNDS_DO_NOT_COVER_THE_PRICE"]),
]


def test_what_lacks_something_waits_in_review_and_encumbers_nothing(alma: Caller) -> None:
    for more, alerts in REVIEWED:
        assert outcome(alma.post(LINES, order(**more))) == ("INREVIEW", alerts), more
    assert {row["encumbered"] for row in alma.control("GET", "state")["funds"].values()} == {"0.00"}


def test_a_line_for_manual_review_waits_until_staff_release_it(alma: Caller) -> None:
    made = alma.post(f"{LINES}?requires_manual_review=true", order())
    assert outcome(made) == ("INREVIEW", [])
    number = made["number"]
    pid = alma.get(f"{LINES}/{number}/items")["item"][0]["link"].rsplit("/", 1)[1]
    receiving = f"{LINES}/{number}/items/{pid}?op=receive&department=AcqDeptMAIN&department_library=MAIN"
    assert alma.refusal("POST", receiving, body={}) == (400, "401877")
    alma.put(f"{LINES}/{number}", made)
    assert alma.get(f"{LINES}/{number}")["status"]["value"] == "INREVIEW"
    alma.control("POST", f"po-lines/{number}", {"status": "SENT"})
    assert encumbered(alma, "HIST") == "27.95"
    alma.post(receiving)


def test_an_update_brings_what_a_line_lacked(alma: Caller) -> None:
    made = alma.post(LINES, order(fund_distribution=[]))
    changed = alma.put(f"{LINES}/{made['number']}", order(fund_distribution=[funded("HIST", "27.95")]))
    assert (changed["number"], outcome(changed)) == (made["number"], ("SENT", []))


def test_discount_percentages_and_other_currencies_are_reckoned(alma: Caller) -> None:
    made = alma.post(
        LINES,
        order(
            vendor={"value": "UKBOOKS"},
            vendor_account="UK-1",
            price={"sum": "20.00", "currency": {"value": "GBP"}},
            discount="10",
            fund_distribution=[
                {"fund_code": {"value": "HIST"}, "percent": "75"},
                {"fund_code": {"value": "BOOKS"}, "percent": "25"},
            ],
        ),
    )
    assert outcome(made) == ("SENT", [])
    assert (encumbered(alma, "HIST"), encumbered(alma, "BOOKS")) == ("16.88", "5.63")


def test_a_discount_that_was_rounded_is_no_other_price(alma: Caller) -> None:
    # 25.00 of 29.99 is 16.639 %
    discounted = {"price": {"sum": "29.99", "currency": {"value": "USD"}}, "discount": "16.64"}
    assert (
        outcome(alma.post(LINES, order(**discounted, fund_distribution=[funded("HIST", "25.00")])))[0]
        == "SENT"
    )
    assert encumbered(alma, "HIST") == "25.00"
    other = order(**discounted, fund_distribution=[funded("HIST", "24.99")])
    assert outcome(alma.post(LINES, other)) == ("INREVIEW", ["FUNDS_DO_NOT_COVER_THE_PRICE"])


def test_a_gift_needs_neither_price_nor_fund(alma: Caller) -> None:
    gift = {"price": None, "fund_distribution": None, "no_charge": True}
    assert outcome(alma.post(LINES, order(acquisition_method={"value": "GIFT"}, **gift))) == ("SENT", [])
    assert alma.refusal("POST", LINES, body=order(**gift)) == (400, "60320")


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"type": None}, "401664"),
    ({"resource_metadata": {"isbn": "9780000000002"}}, "401664"),
    ({"resource_metadata": {"mms_id": {"value": "991"}}}, "402203"),
    ({"owner": {"value": "NOWHERE"}}, "401872"),
    ({"type": {"value": "PAPYRUS"}}, "401872"),
    ({"vendor": {"value": "gobi"}}, "401872"),
    ({"acquisition_method": {"value": "STOLEN"}}, "401872"),
    ({"price": {"sum": "12,50 $"}}, "401872"),
    ({"price": {"sum": "27.95", "currency": {"value": "XXX"}}}, "401872"),
    ({"location": [place(location="attic")]}, "401872"),
    ({"location": [place(1, copy=[{}, {}])]}, "401872"),
    ({"location": [place(copy=[{"item_policy": {"value": "99"}}])]}, "401872"),
    ({"location": [place(2, copy=[{"barcode": "TWICE"}, {"barcode": "TWICE"}])]}, "401872"),
]


def test_what_is_refused_leaves_nothing_behind(alma: Caller) -> None:
    before = alma.control("GET", "state")
    for more, refused in REFUSED:
        assert alma.refusal("POST", LINES, body=order(**more)) == (400, refused), more
    assert alma.control("GET", "state") == before


def test_a_number_that_is_sent_is_the_lines_own_and_can_be_used_once(alma: Caller) -> None:
    assert alma.post(LINES, order(number="MINE-1"))["number"] == "MINE-1"
    assert alma.refusal("POST", LINES, body=order(number="MINE-1")) == (400, "401870")
    alma.settings(po_line_numbers="ignored")
    assert alma.post(LINES, order(number="MINE-2"))["number"] != "MINE-2"


def test_without_an_mms_id_one_of_several_titles_is_taken(alma: Caller) -> None:
    issn = "1234-5679"
    record = (
        "<bib><record><leader>     nas a22     a  4500</leader><datafield tag='022' ind1=' ' ind2=' '>"
        f"<subfield code='a'>{issn}</subfield></datafield><datafield tag='245' ind1='0' ind2='0'>"
        "<subfield code='a'>Twin</subfield></datafield></record></bib>"
    )
    twins = [
        alma.post("/bibs", record)["mms_id"],
        alma.post("/bibs", record)["mms_id"],
        alma.post("/bibs", record)["mms_id"],
    ]
    wanted = {"title": "Twin", "issn": issn}
    first = alma.post(LINES, order(resource_metadata=wanted, location=[]))
    more = [alma.post(LINES, order(resource_metadata=wanted, location=[])) for _ in range(11)]
    taken = {line["resource_metadata"]["mms_id"]["value"] for line in [first, *more]}
    assert len(taken) > 1
    assert taken <= set(twins)
    # rather one that has inventory of the kind that is ordered
    alma.post(LINES, order(resource_metadata={"mms_id": {"value": twins[1]}}))
    rather = [alma.post(LINES, order(resource_metadata=wanted))["resource_metadata"] for _ in range(6)]
    assert {metadata["mms_id"]["value"] for metadata in rather} == {twins[1]}
    # nothing matches: a new, suppressed title
    made = alma.post(LINES, order(resource_metadata={"title": "Twin", "issn": "0000-0019"}))
    mms_id = made["resource_metadata"]["mms_id"]["value"]
    assert alma.get(f"/bibs/{mms_id}")["suppress_from_publishing"] == "true"


def test_an_electronic_line_makes_no_inventory(alma: Caller) -> None:
    made = alma.post(LINES, order(type={"value": "ELECTRONIC_BOOK_OT"}))
    assert alma.get(f"{LINES}/{made['number']}/items") == {"total_record_count": 0}
    assert alma.control("GET", "state")["counts"]["items"] == 0


# Lists


def test_lines_are_found_by_what_is_indexed_and_not_by_their_references(alma: Caller) -> None:
    number = alma.post(LINES, order())["number"]
    for query in (
        f"mms_id~{TITLE}",
        "vendor_code~GOBI",
        "vendor_name~books_on",
        "vendor_account~GOBI-1",
        "fund_code~HIST",
        "fund_name~history",
        f"number~{number}",
        "shelving_location~reserves",
    ):
        assert numbers(alma, f"q={query}") == [number], query
    assert numbers(alma, "q=all~90000000001") == []
    for name in _REFERENCES:
        assert alma.refusal("GET", f"{LINES}?q={name}~90000000001") == (400, "40166411")
    alma.control("POST", f"po-lines/{number}", {"status": "CLOSED"})
    assert numbers(alma, f"q=mms_id~{TITLE}") == []
    assert numbers(alma, f"q=mms_id~{TITLE}&status=ALL_WITH_CLOSED") == [number]
    assert [row["number"] for row in alma.get("/acq/vendors/GOBI/po-lines")["po_line"]] == [number]


_REFERENCES = ("vendor_reference_number", "additional_order_reference")


def test_rows_may_lack_the_references(alma: Caller) -> None:
    number = alma.post(LINES, order())["number"]
    alma.settings(po_line_lists="brief")
    [row] = alma.get(f"{LINES}?q=mms_id~{TITLE}")["po_line"]
    assert not set(_REFERENCES) & set(row)
    assert alma.get(f"{LINES}/{number}")["vendor_reference_number"] == "90000000001"


def test_a_line_is_listed_late_and_has_its_status_late(alma: Caller) -> None:
    alma.control("POST", "clock", {"now": "2026-03-01T12:00:00Z", "stopped": True})
    alma.settings(po_line_lag_s=30)
    made = alma.post(LINES, order())
    assert not {"status", "alert"} & set(made)
    assert alma.get(f"{LINES}/{made['number']}")["additional_order_reference"] == "A-1"
    assert numbers(alma, f"q=mms_id~{TITLE}") == []
    assert alma.get("/acq/vendors/GOBI/po-lines")["total_record_count"] == 0
    alma.control("POST", "clock", {"advance_s": 30})
    assert numbers(alma, f"q=mms_id~{TITLE}") == [made["number"]]
    assert alma.get(f"{LINES}/{made['number']}")["status"]["value"] == "SENT"


# Receiving


def test_receiving_goes_to_the_department_that_is_named_else_to_any(alma: Caller) -> None:
    made = alma.post(LINES, order(location=[place(9)], fund_distribution=[funded("HIST", "251.55")]))
    path = f"{LINES}/{made['number']}"
    pids = [row["link"].rsplit("/", 1)[1] for row in alma.get(f"{path}/items")["item"]]
    named = "department=AcqDeptSCI&department_library=SCI&receive_date=2026-05-01Z"
    received = alma.post(f"{path}/items/{pids[0]}?op=receive&{named}", "<item/>")["item_data"]
    assert (received["arrival_date"], received["process_type"]["value"]) == (
        "2026-05-01Z",
        "WORK_ORDER_DEPARTMENT",
    )
    assert alma.control("GET", "state")["items"][pids[0]]["work_order_at"] == "AcqDeptSCI"
    assert alma.refusal("POST", f"{path}/items/{pids[0]}?op=receive&{named}", body={}) == (400, "401877")
    assert alma.refusal("POST", f"{path}/items/1?op=receive&{named}", body={}) == (400, "401875")
    assert alma.refusal("POST", f"{path}/items/{pids[1]}?op=receive&{named}") == (400, "401652")
    for wrong in ("department=AcqDeptSCI", "department=AcqDeptSCI&department_library=MAIN"):
        assert alma.refusal("POST", f"{path}/items/{pids[1]}?op=receive&{wrong}", body={}) == (
            400,
            "40166411",
        )
    for pid in pids[1:]:
        alma.post(f"{path}/items/{pid}?op=receive")
    state = alma.control("GET", "state")
    assert len({state["items"][pid]["work_order_at"] for pid in pids[1:]}) > 1
    assert state["po_lines"][made["number"]]["status"] == "WAITING_FOR_INVOICE"


def test_lines_follow_their_title_when_it_is_merged_or_they_are_relinked(alma: Caller) -> None:
    number = alma.post(LINES, order(location=[]))["number"]
    other, third = ids.mms_id(1), ids.mms_id(2)
    alma.control("POST", f"bibs/{TITLE}", {"merge_into": other})
    assert numbers(alma, f"q=mms_id~{other}") == [number]
    alma.control("POST", f"po-lines/{number}", {"mms_id": third})
    assert numbers(alma, f"q=mms_id~{third}") == [number]
