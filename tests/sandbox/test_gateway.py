"""Keys, formats, thresholds and headers: what the gateway does around every call."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from lxml import etree

from alma_sandbox.catalogue import ids
from alma_sandbox.gateway.admission import SlidingSecond
from tests.sandbox.caller import Caller, error_of

BIB = f"/bibs/{ids.mms_id(0)}"


@pytest.mark.parametrize("key", [None, "", "wrong", "sandbox-"])
def test_a_missing_or_wrong_key_is_refused_in_xml_even_for_a_json_call(alma: Caller, key: str | None) -> None:
    response = alma.call("GET", BIB, key=key)
    assert response.headers["Content-Type"] == "application/xml;charset=UTF-8"
    assert error_of(response) == (400, "UNAUTHORIZED")
    assert b"trackingId" not in response.content


def test_the_key_may_come_in_the_query_and_never_stands_in_the_log(alma: Caller) -> None:
    response = alma.call("GET", BIB, key=None, params={"apikey": "sandbox", "view": "brief"})
    assert response.status_code == 200
    entry = alma.control("GET", "log")["entries"][-1]
    assert entry["query"] == "view=brief"
    assert entry["key"] == "full"
    assert "apikey" not in str(alma.control("GET", "log"))


def test_keys_of_less_right(alma: Caller) -> None:
    assert alma.call("GET", BIB, key="sandbox-ro").status_code == 200
    assert alma.refusal("POST", "/bibs/test", key="sandbox-ro") == (400, "UNAUTHORIZED")
    assert alma.call("POST", "/bibs/test", key="sandbox-bibs").status_code == 200
    assert alma.refusal("GET", "/conf/general", key="sandbox-bibs") == (400, "UNAUTHORIZED")


@pytest.mark.parametrize(
    ("accept", "query", "json"),
    [
        ("*/*", "", False),
        ("text/html", "", False),
        ("application/json", "", True),
        ("application/xml", "", False),
        ("text/xml", "", False),
        ("application/json, text/plain, */*", "", True),
        ("application/json, application/xml;q=0.9", "", True),
        ("application/json;q=0.8, application/xml", "", False),
        ("application/json;q=0, */*", "", False),
        ("*/*", "?format=json", True),
        ("application/json", "?format=xml", False),
        ("application/json", "?format=XML", False),
    ],
)
def test_the_format_follows_accept_unless_the_query_names_one(
    alma: Caller, accept: str, query: str, json: bool
) -> None:
    response = alma.call("GET", BIB + query, accept=accept)
    kind = "application/json;charset=UTF-8" if json else "application/xml;charset=UTF-8"
    assert response.headers["Content-Type"] == kind
    if json:
        assert response.json()["mms_id"] == ids.mms_id(0)
    else:
        assert response.text.startswith('<?xml version="1.0" encoding="UTF-8" standalone="yes"?><bib')


def test_every_answer_counts_the_calls_left_and_has_the_gateways_headers(alma: Caller) -> None:
    first, second = alma.call("GET", BIB), alma.call("GET", "/bibs/1")
    assert int(second.headers["X-Exl-Api-Remaining"]) == int(first.headers["X-Exl-Api-Remaining"]) - 1
    assert second.status_code == 400
    assert first.headers["Server"] == "Layer7-API-Gateway"
    assert first.headers["X-Request-ID"] != second.headers["X-Request-ID"]


def test_links_follow_the_host_that_the_caller_used(alma: Caller) -> None:
    port = alma.url.rsplit(":", 1)[1]
    body = alma.get(BIB, headers={"Host": f"localhost:{port}"})
    assert body["link"] == f"http://localhost:{port}/almaws/v1{BIB}"


@pytest.mark.parametrize("path", ["/nowhere", "/loans", "/bibs/1/2/3", "/conf/sets/1/members/2/3"])
def test_an_unknown_path_gets_an_html_page(alma: Caller, path: str) -> None:
    response = alma.call("GET", path)
    assert response.status_code == 404
    assert response.headers["Content-Type"].startswith("text/html")


def test_an_encoded_slash_gets_an_html_page_before_anything_else(alma: Caller) -> None:
    response = alma.call("GET", "/acq/po-lines/1%2F2", key="wrong")
    assert response.status_code == 400
    assert response.headers["Content-Type"].startswith("text/html")


def test_a_method_that_a_path_lacks_gets_an_html_page(alma: Caller) -> None:
    assert alma.call("PATCH", BIB).status_code == 405


def test_the_sliding_second_admits_its_limit_in_any_second() -> None:
    now = 0.0
    second = SlidingSecond(lambda: now)
    assert [second.admit(2) for _ in range(3)] == [True, True, False]
    now = 0.999
    assert not second.admit(2)
    now = 1.0
    assert second.admit(2)
    now = 1.6
    assert second.admit(2)
    now = 1.9  # a new second of the clock would admit here
    assert not second.admit(2)


def test_refusals_of_the_second_come_before_any_effect_and_take_nothing_from_the_day(alma: Caller) -> None:
    alma.settings(per_second=3, daily=1000)
    alma.sandbox.second = SlidingSecond(lambda: 0.0)  # everything happens in one second
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: alma.call("GET", BIB), range(12)))
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) == 9
    assert {error_of(answer) for answer in refused} == {(429, "PER_SECOND_THRESHOLD")}
    log = alma.control("GET", "log", status=429)
    assert log["matching"] == len(refused)
    assert not any(entry["applied"] for entry in log["entries"])
    counts = alma.control("GET", "counts")
    assert counts["calls_left"] == 1000 - (12 - len(refused))
    assert counts["peak_per_second"] == 3


def test_the_day_has_an_allowance_and_begins_anew_at_midnight_gmt(alma: Caller) -> None:
    alma.settings(daily=2)
    alma.control("POST", "clock", {"stopped": True, "now": "2026-03-01T23:30:00Z"})
    assert [alma.call("GET", BIB).status_code for _ in range(3)] == [200, 200, 429]
    response = alma.call("GET", BIB)
    assert error_of(response) == (429, "DAILY_THRESHOLD")
    assert response.headers["X-Exl-Api-Remaining"] == "0"
    alma.control("POST", "clock", {"advance_s": 3600})
    assert alma.call("GET", BIB).status_code == 200


def test_the_error_envelope_in_both_formats(alma: Caller) -> None:
    body = alma.call("GET", "/bibs/1/holdings").json()
    assert body["errorsExist"] is True
    assert set(body["errorList"]["error"][0]) == {"errorCode", "errorMessage", "trackingId"}
    response = alma.call("GET", "/bibs/1/holdings", accept="application/xml")
    root = etree.fromstring(response.content)
    assert root.tag == "{http://com/exlibris/urm/general/xmlbeans}web_service_result"
    assert root.findtext("{*}errorList/{*}error/{*}trackingId", "").startswith("E01-")


def test_the_control_surface_needs_no_key_and_refuses_nonsense(alma: Caller) -> None:
    for path, body in [
        ("faults", {"kind": "unheard-of"}),
        ("faults", {"kind": "drop", "nth": 1, "every": 2}),
        ("faults", {"kind": "drop", "path": "("}),
        ("settings", {"per_second": -1}),
        ("settings", {"colour": "red"}),
        ("settings", {"titles": 5}),
        ("clock", {"yesterday": True}),
        ("clock", {"now": "soon"}),
    ]:
        response = requests.post(f"{alma.url}/sandbox/{path}", json=body, timeout=30)
        assert response.status_code == 400, (path, body)
        assert response.json()["error"]
