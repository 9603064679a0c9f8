"""Faults on demand: each kind, and each way of choosing calls."""

from typing import Any

import pytest
import requests
from lxml import etree

from alma_sandbox.catalogue import ids
from alma_sandbox.gateway.endpoint import latency
from alma_sandbox.gateway.faults import FaultRule, Faults
from tests.sandbox.caller import Caller, error_of

BIB = f"/bibs/{ids.mms_id(0)}"


def hits(rule: dict[str, Any], calls: int = 10) -> list[int]:
    """Which of a row of equal calls a rule hits (from 1)."""
    faults = Faults()
    faults.add(FaultRule.model_validate({"kind": "drop", **rule}))
    return [number for number in range(1, calls + 1) if faults.strike("GET", "/almaws/v1/bibs/1")]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({}, list(range(1, 11))),
        ({"nth": 3}, [3]),
        ({"nth": [2, 5]}, [2, 5]),
        ({"first": 2}, [1, 2]),
        ({"every": 4}, [4, 8]),
        ({"every": 2, "times": 3}, [2, 4, 6]),
        ({"method": "post"}, []),
        ({"method": "get", "first": 1}, [1]),
        ({"path": "^/almaws/v1/bibs/[0-9]+$", "nth": 1}, [1]),
        ({"path": "/holdings"}, []),
    ],
)
def test_which_calls_a_rule_hits(rule: dict[str, Any], expected: list[int]) -> None:
    assert hits(rule) == expected


def test_probability_is_drawn_from_the_seed() -> None:
    some = hits({"probability": 0.3, "seed": 5}, 200)
    assert some == hits({"probability": 0.3, "seed": 5}, 200)
    assert some != hits({"probability": 0.3, "seed": 6}, 200)
    assert 30 < len(some) < 90
    assert hits({"probability": 0}) == []
    assert hits({"probability": 1}) == list(range(1, 11))


def test_refuse_names_code_and_message_in_the_format_asked_for(alma: Caller) -> None:
    alma.fault(kind="refuse", code="60340", message="restricted <library>")
    response = alma.call("GET", BIB)
    assert error_of(response) == (400, "60340")
    assert response.json()["errorList"]["error"][0]["errorMessage"] == "restricted <library>"
    assert error_of(alma.call("GET", BIB, accept="application/xml")) == (400, "60340")
    assert alma.control("GET", "log")["entries"][-1]["fault"] == "refuse"


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("per_second", 429, "PER_SECOND_THRESHOLD"),
        ("daily", 429, "DAILY_THRESHOLD"),
        ("server_error", 500, "INTERNAL_SERVER_ERROR"),
        ("xml_error", 400, "401652"),
    ],
)
def test_errors_that_strike_before_any_effect(alma: Caller, kind: str, status: int, code: str) -> None:
    alma.fault(kind=kind, nth=1)
    response = alma.call("GET", BIB)
    assert error_of(response) == (status, code)
    assert ("json" in response.headers["Content-Type"]) is (kind == "server_error")
    entry = alma.control("GET", "log")["entries"][-1]
    assert (entry["status"], entry["code"], entry["applied"]) == (status, code, False)
    assert alma.call("GET", BIB).status_code == 200


@pytest.mark.parametrize(("kind", "status"), [("bad_gateway", 502), ("maintenance", 200)])
def test_html_pages(alma: Caller, kind: str, status: int) -> None:
    alma.fault(kind=kind)
    response = alma.call("GET", BIB)
    assert response.status_code == status
    assert response.headers["Content-Type"].startswith("text/html")


def test_drop_closes_the_connection_after_the_effect_unless_asked_otherwise(alma: Caller) -> None:
    for applied, rule in [(True, {}), (False, {"applied": False})]:
        alma.control("DELETE", "faults")
        alma.fault(kind="drop", **rule)
        with pytest.raises(requests.ConnectionError):
            alma.call("GET", BIB)
        entry = alma.control("GET", "log", fault="drop")["entries"][-1]
        assert (entry["status"], entry["applied"]) == (0, applied)


def test_truncated_promises_more_than_it_sends(alma: Caller) -> None:
    alma.fault(kind="truncated")
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.ConnectionError)):
        alma.call("GET", BIB)


def test_malformed_is_complete_and_cannot_be_parsed(alma: Caller) -> None:
    alma.fault(kind="malformed")
    response = alma.call("GET", BIB)
    assert response.status_code == 200
    with pytest.raises(ValueError, match=r"delimiter|Expecting"):
        response.json()
    response = alma.call("GET", BIB, accept="application/xml")
    with pytest.raises(etree.XMLSyntaxError):
        etree.fromstring(response.content)


def test_charset_says_utf8_and_is_not(alma: Caller) -> None:
    alma.fault(kind="charset")
    response = alma.call("GET", BIB)
    assert "UTF-8" in response.headers["Content-Type"]
    with pytest.raises(UnicodeDecodeError):
        response.content.decode("utf-8")


def test_huge_is_as_large_as_asked_and_streamed(alma: Caller) -> None:
    alma.fault(kind="huge", bytes=5_000_000)
    assert len(alma.call("GET", BIB).content) == 5_000_000


def test_body_is_whatever_the_rule_says(alma: Caller) -> None:
    alma.fault(kind="body", text="<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", content_type="application/xml")
    response = alma.call("GET", BIB)
    assert (response.status_code, response.headers["Content-Type"]) == (200, "application/xml")
    assert response.text.startswith("<!DOCTYPE")


def test_slow_comes_on_top_of_another_fault(alma: Caller) -> None:
    alma.control("POST", "faults", [{"kind": "slow", "ms": 30}, {"kind": "bad_gateway"}, {"kind": "daily"}])
    assert alma.call("GET", BIB).status_code == 502
    entry = alma.control("GET", "log")["entries"][-1]
    assert entry["fault"] == "slow,bad_gateway"


def test_latency_by_route_wins_over_the_general_one(alma: Caller) -> None:
    alma.settings(latency_ms=1, latencies=[{"path": "/holdings$", "ms": 2}])
    assert alma.call("GET", BIB + "/holdings").status_code == 200
    assert latency(alma.sandbox, f"/almaws/v1{BIB}/holdings") == 2
    assert latency(alma.sandbox, f"/almaws/v1{BIB}") == 1


def test_rules_can_be_read_and_lifted(alma: Caller) -> None:
    alma.control(
        "POST", "faults", [{"kind": "drop", "path": "/users"}, {"id": "mine", "kind": "daily", "nth": 2}]
    )
    alma.call("GET", BIB)
    rules = {rule["id"]: rule for rule in alma.control("GET", "faults")}
    assert (rules["1"]["matched"], rules["mine"]["matched"], rules["mine"]["hit"]) == (0, 1, 0)
    assert alma.control("DELETE", "faults/mine") == {"removed": 1}
    assert alma.control("DELETE", "faults") == {"removed": 1}
    assert alma.control("GET", "faults") == []


def test_a_list_that_does_not_name_what_it_counts(alma: Caller) -> None:
    holdings = f"{BIB}/holdings"
    whole = alma.call("GET", holdings).json()
    alma.fault(kind="short", path="/holdings$", first=1)
    alma.fault(kind="miscount", path="/holdings$", by=2)
    short, counted = alma.call("GET", holdings).json(), alma.call("GET", holdings).json()
    assert short["total_record_count"] == whole["total_record_count"]
    assert len(short["holding"]) == len(whole["holding"]) - 1
    assert counted["total_record_count"] == whole["total_record_count"] + 2
    assert counted["holding"] == whole["holding"]


def test_a_batch_that_leaves_out_a_bib(alma: Caller) -> None:
    mms_ids = [ids.mms_id(number) for number in range(3)]
    alma.fault(kind="short", path="mms_id=", text=mms_ids[1])
    root = etree.fromstring(
        alma.call("GET", f"/bibs?mms_id={','.join(mms_ids)}", accept="application/xml").content
    )
    assert {each.text for each in root.iterfind("bib/mms_id")} == {mms_ids[0], mms_ids[2]}
    assert root.get("total_record_count") == "3"
