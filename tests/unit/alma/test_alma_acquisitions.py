"""Funds, vendors and PO lines: the calls as they go out, what is made of the answers, and orders that are made once."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from lxml import etree

from alma_etl.alma.acq_writes import (
    OrderKey,
    arrival_date,
    create_po_line,
    find_order,
    in_words,
    lines_of_title,
    not_taken,
    order_key,
    receive_item,
)
from alma_etl.alma.bib_writes import (
    BibFlags,
    BibOptions,
    change_bib,
    find_linked,
    import_bib,
    link_network_record,
)
from alma_etl.alma.funds import Funds, FundState
from alma_etl.remote.answers import Absent, Found, PartlyFound, Unknown
from alma_etl.remote.safe_write import WriteOutcome
from alma_sandbox import Running, Settings, serve
from tests.unit.alma.matrix import KEY, Bench
from tests.unit.alma.ordering import AT, order, ordered_item
from tests.unit.alma.scripted import HTML, as_json, refusal, sent
from tests.unit.alma.writing import BIB_RECORD, scene

TODAY = date(2026, 5, 1)


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with serve(Settings(per_second=0, titles=40, api_key=KEY)) as found:
        yield found


@pytest.fixture
def bench(running: Running) -> Iterator[Bench]:
    found = Bench(running)
    yield found
    found.close()


@pytest.fixture
def title(bench: Bench) -> str:
    return scene(bench.client()).mms_id


def settings(bench: Bench, **values: Any) -> None:
    bench.control("POST", "settings", values)


def calls(bench: Bench) -> list[str]:
    return [f"{entry['method']} {entry['path']}" for entry in bench.control("GET", "log")["entries"]]


# Reading


def test_a_fund_is_open_closed_a_ledger_in_other_case_or_not_there(bench):
    client = bench.client()
    codes = [
        "BOOKS",
        "ART&MUSIC",
        "OLDBOOKS",
        "NEXTBOOKS",
        "ASLEEP",
        "GENERAL",
        "MONOGRAPHS",
        "books",
        "oldbooks",
        "B",
    ]
    found = {code: answer.value for code, answer in client.funds.check([*codes, "BOOKS"]).items()}
    assert {code: check.state for code, check in found.items()} == {
        "BOOKS": FundState.OPEN,
        "ART&MUSIC": FundState.OPEN,
        "OLDBOOKS": FundState.CLOSED,
        "NEXTBOOKS": FundState.CLOSED,
        "ASLEEP": FundState.CLOSED,
        "GENERAL": FundState.LEDGER,
        "MONOGRAPHS": FundState.LEDGER,
        "books": FundState.OTHER_CASE,
        "oldbooks": FundState.CLOSED,
        "B": FundState.NOT_THERE,
    }
    assert (found["books"].fund.code, found["OLDBOOKS"].fund.fiscal_period) == ("BOOKS", "FY-2025")
    assert client.funds.check(["SCIENCE"], library="MAIN")["SCIENCE"].value.state is FundState.NOT_THERE
    assert client.funds.check(["SCIENCE"], library="SCI")["SCIENCE"].value.state is FundState.OPEN


def test_funds_that_differ_in_capitals_alone_are_all_named(alma, client):
    def listed(*codes):
        rows = [{"code": code, "id": code, "type": {"value": "ALLOCATED"}} for code in codes]
        return as_json({"fund": rows, "total_record_count": len(rows)})

    alma.says(listed(), listed(), listed("HIST", "Hist", "HISTORY"), listed("HIST", "Hist", "HISTORY"))
    found = client.funds.check(["hist"])["hist"].value
    assert (found.state, found.alike) == (FundState.OTHER_CASE, ("HIST", "Hist"))


def test_a_fund_that_the_search_does_not_find_is_found_in_the_list(bench, monkeypatch):
    """Alma takes an underscore of a search for a blank."""
    find = Funds.find

    def deaf(self, *, mode="POL", q=None, library=None):
        return [] if q else find(self, mode=mode, library=library)

    monkeypatch.setattr(Funds, "find", deaf)
    found = {
        code: answer.value for code, answer in bench.client().funds.check(["HIST", "ASLEEP", "hist"]).items()
    }
    assert {code: check.state for code, check in found.items()} == {
        "HIST": FundState.OPEN, "ASLEEP": FundState.CLOSED, "hist": FundState.OTHER_CASE,
    }  # fmt: skip


def test_a_request_a_fund_that_is_open_and_nothing_is_guessed(alma, client):
    rows = [{"code": code, "id": code, "type": {"value": "ALLOCATED"}} for code in ("HISTORY", "HIST")]
    alma.says(as_json({"fund": rows, "total_record_count": 2}))
    assert client.funds.check(["HIST"])["HIST"].value.fund.code == "HIST"
    assert sent(alma)[1] == "/acq/funds?mode=POL&q=fund_code~HIST&limit=100&offset=0"
    assert len(alma.asked) == 1
    # a list that names fewer than it counts says nothing of what it does not name
    alma.says(*[as_json({"fund": rows if n % 2 == 0 else [], "total_record_count": 3}) for n in range(6)])
    assert client.funds.check(["HIST"])["HIST"].value.state is FundState.OPEN
    alma.says(as_json({"fund": rows, "total_record_count": 3}), as_json({"total_record_count": 3}))
    assert isinstance(client.funds.check(["GIFTS"])["GIFTS"], Unknown)
    # a list that ignores what it was asked for
    alma.says(as_json({"fund": [{"code": "HIST", "status": {"value": "INACTIVE"}}], "total_record_count": 1}))
    assert client.funds.check(["HIST"])["HIST"].value.state is FundState.CLOSED
    alma.says(HTML)
    assert isinstance(client.funds.check(["HIST"])["HIST"], Unknown)


def test_a_vendor_has_accounts_and_currencies(bench):
    client = bench.client()
    vendor = client.vendors.read("VENDOR2").value
    assert (vendor.active, vendor.currencies) == (True, ("USD",))
    assert {account.code: account.active for account in vendor.accounts} == {"VENDOR2": True, "V2-OLD": False}
    assert vendor.account("GOBI-1") is None
    assert not client.vendors.read("GONE").value.active
    assert isinstance(client.vendors.read("gobi"), Absent)
    for code in ("", "A/B"):
        assert isinstance(client.vendors.read(code), Unknown)
        assert isinstance(client.po_lines.of_vendor(code), Unknown)
    assert client.conf.currencies() == Found(frozenset({"EUR", "GBP", "JPY", "USD"}))


def test_a_code_table_of_currencies_that_the_api_does_not_know_is_absent(alma, client):
    alma.says(refusal("90100"))
    assert isinstance(client.conf.currencies(), Absent)


def test_the_lines_of_a_title_have_their_references_although_rows_lack_them(bench, title):
    client = bench.client()
    made = create_po_line(client, order(title)).value
    bench.control("POST", f"po-lines/{made.number}", {"status": "CLOSED"})
    settings(bench, po_line_lists="brief")
    [line] = lines_of_title(client, title).value
    assert (line.number, line.ended, line.additional_reference) == (made.number, True, "A-1")
    assert find_order(client, OrderKey(title, "GOBI", "90000000001", "A-1")).value.number == made.number
    for other in (
        OrderKey(title, "GOBI", "90000000001", "A-2"),
        OrderKey(title, "GOBI", "90000000002", "A-1"),
        OrderKey(title, "VENDOR1", "90000000001", "A-1"),
        OrderKey("991", "GOBI", "90000000001", "A-1"),
    ):
        assert find_order(client, other) == Absent()
    assert [line.number for line in client.po_lines.of_vendor("GOBI").value] == [made.number]
    assert isinstance(client.po_lines.of_vendor("NOBODY"), Absent)
    # a line whose references cannot be read: nobody knows whether it is this order
    bench.control("POST", "faults", {"kind": "bad_gateway", "path": f"/acq/po-lines/{made.number}$"})
    assert isinstance(lines_of_title(bench.client(attempts=1), title), PartlyFound)
    assert isinstance(find_order(bench.client(attempts=1), OrderKey.of(line)), Unknown)


# Ordering


def test_an_order_costs_one_call_and_goes_to_the_title_that_is_named(alma, client):
    line = {
        **order("991"),
        "number": "POL-1",
        "status": {"value": "INREVIEW"},
        "alert": [{"value": "FUND_IS_MISSING"}],
    }
    alma.says(as_json(line))
    written = create_po_line(client, order("991"), manual_review=True, profile_code="NEW")
    assert (written.outcome, written.value.in_review, written.value.alerts) == (
        WriteOutcome.CREATED,
        True,
        ("FUND_IS_MISSING",),
    )
    assert len(alma.asked) == 1
    assert sent(alma) == ("POST", "/acq/po-lines?profile_code=NEW&requires_manual_review=true", order("991"))
    for body in (
        order("991", resource_metadata={"title": "A title"}),
        order("991", vendor_reference_number="", additional_order_reference=None),
    ):
        with pytest.raises(ValueError, match="MMS id"):
            create_po_line(client, body)
    with pytest.raises(ValueError, match="MMS id"):
        client.po_lines.create(order("", resource_metadata={"title": "A title"}))
    assert len(alma.asked) == 1


def test_a_refused_order_is_not_looked_for_and_says_what_is_wrong(bench, title):
    client = bench.client()
    for more, code, words in (
        (
            {"owner": None},
            "401664",
            "a field that the order does not have (401664: Mandatory field is missing: owner)",
        ),
        (
            {"vendor": {"value": "gobi"}},
            "401872",
            "a code of the order, or does not take one of its values (401872: ",
        ),
        ({"no_charge": True}, "60320", "cannot be free of charge"),
        (
            {"resource_metadata": {"mms_id": {"value": "991"}}},
            "402203",
            "the title is not in Alma (any more)",
        ),
    ):
        sent = bench.sent()
        written = create_po_line(client, order(title, **more))
        assert (written.outcome, written.error.code) == (WriteOutcome.REFUSED, code)
        assert words in in_words(written.error)
        assert bench.sent() == sent + 1
    bench.control("POST", "faults", {"kind": "refuse", "code": "401652", "message": "General error"})
    assert "General error" in in_words(create_po_line(client, order(title)).error)


@pytest.mark.parametrize(("lag", "outcome"), [(0, "adopted"), (45, "adopted"), (600, "unconfirmed")])
def test_a_line_that_is_listed_late_is_waited_for_and_never_ordered_again(lag, outcome, bench, title):
    settings(bench, po_line_lag_s=lag)
    bench.control("POST", "faults", {"kind": "drop", "method": "POST", "path": "/acq/po-lines"})
    waiting = bench.client(sleep=lambda seconds: bench.control("POST", "clock", {"advance_s": seconds}))
    written = create_po_line(waiting, order(title))
    assert written.outcome == outcome
    assert calls(bench).count("POST /almaws/v1/acq/po-lines") == 1
    assert [line["body"]["additional_order_reference"] for line in orders(bench)] == ["A-1"]


def orders(bench: Bench) -> list[dict[str, Any]]:
    """The lines that calls have made."""
    return [line for line in bench.state()["po_lines"].values() if line["made_at"]]


def test_a_cancelled_line_with_the_same_references_is_not_taken_for_the_new_one(bench, title):
    client = bench.client()
    old = create_po_line(client, order(title)).value
    bench.control("POST", f"po-lines/{old.number}", {"status": "CANCELLED"})
    bench.control(
        "POST", "faults", {"kind": "drop", "method": "POST", "path": "/acq/po-lines", "applied": False}
    )
    assert create_po_line(client, order(title), known=[old.number]).outcome is WriteOutcome.UNCONFIRMED
    bench.control("DELETE", "faults")
    bench.control("POST", "faults", {"kind": "drop", "method": "POST", "path": "/acq/po-lines"})
    again = create_po_line(client, order(title), known=[old.number])
    assert (again.outcome, again.value.number != old.number) == (WriteOutcome.ADOPTED, True)


def test_a_number_of_our_own_is_read_at_once_and_can_be_used_once(bench, title):
    client = bench.client()
    settings(bench, po_line_lag_s=600)
    bench.control("POST", "faults", {"kind": "drop", "method": "POST", "path": "/acq/po-lines", "times": 1})
    body = order(title, number="MINE/1")
    assert create_po_line(client, body).outcome is WriteOutcome.ADOPTED
    again = create_po_line(client, body)
    assert (again.outcome, again.value.number, again.error.code) == (WriteOutcome.ADOPTED, "MINE/1", "401870")
    other = create_po_line(client, order(title, number="MINE/1", additional_order_reference="A-2"))
    assert (other.outcome, other.error.code) == (WriteOutcome.REFUSED, "401870")
    settings(bench, po_line_numbers="ignored")
    bench.control("POST", "faults", {"kind": "drop", "method": "POST", "path": "/acq/po-lines", "times": 1})
    ignored = create_po_line(client, order(title, number="MINE/2", additional_order_reference="A-3"))
    assert ignored.outcome is WriteOutcome.UNCONFIRMED  # it is there under Alma's number, and not listed yet
    assert len(orders(bench)) == 2


def test_a_number_that_cannot_be_read_does_not_hide_an_order(bench, title):
    bench.control("POST", "faults", {"kind": "drop", "method": "POST", "path": "/acq/po-lines"})
    body = order(title, number="MINE//1", additional_order_reference=" A-1  of 2 ")
    written = create_po_line(bench.client(), body)
    assert (written.outcome, len(orders(bench))) == (WriteOutcome.ADOPTED, 1)
    assert order_key(body).additional_reference == "a-1 of 2"


@pytest.mark.parametrize("kept", ["a-1  of 2 ", "A-1 OF 2"])
def test_a_line_whose_reference_alma_wrote_otherwise_is_the_order(alma, client, kept):
    body = order("991", additional_order_reference="A-1 of 2", vendor_reference_number="Ref  1")
    row = {**body, "number": "POL-1", "additional_order_reference": kept, "vendor_reference_number": "REF 1"}
    alma.says(as_json({"po_line": [row], "total_record_count": 1}))
    answer = find_order(client, order_key(body))
    assert answer.value.number == "POL-1"
    assert not_taken(answer.value, body) == []


def test_what_alma_did_not_take_of_an_order_is_named(bench, title):
    client = bench.client()
    assert not_taken(create_po_line(client, order(title)).value, order(title)) == []
    fund = [{"fund_code": {"value": "hist"}, "amount": {"sum": "27.95", "currency": {"value": "USD"}}}]
    body = order(title, fund_distribution=fund, vendor_account="VENDOR1", additional_order_reference="A-2")
    made = create_po_line(client, body)
    assert (made.outcome, made.value.in_review) == (WriteOutcome.CREATED, True)
    assert not_taken(made.value, body) == ["vendor_account", "fund_distribution"]


# Receiving


def test_an_item_is_received_in_the_department_that_is_named(bench, title):
    client = bench.client()
    number, item = ordered_item(client, title)
    written = receive_item(client, number, item, **AT)
    assert (written.outcome, written.value.raw["item_data"]["arrival_date"]) == (
        WriteOutcome.CREATED,
        "2026-05-01Z",
    )
    assert bench.state()["items"][item.pid]["work_order_at"] == "AcqDeptMAIN"
    # again, by who read it before and by who reads it now
    again = receive_item(client, number, item, **AT)
    assert (again.outcome, again.error.code) == (WriteOutcome.ADOPTED, "401877")
    assert receive_item(client, number, written.value, **AT).outcome is WriteOutcome.UNCHANGED
    with pytest.raises(ValueError, match="department"):
        client.po_lines.receive(number, item.pid, department="", department_library="MAIN", received=TODAY)


def test_what_cannot_be_received_is_refused(bench, title):
    client = bench.client()
    number, item = ordered_item(client, title)
    bench.control("POST", f"po-lines/{number}", {"status": "INREVIEW"})
    refused = receive_item(client, number, item, **AT)
    assert (refused.outcome, refused.error.code) == (WriteOutcome.REFUSED, "401877")
    refused = receive_item(client, "POL-1001", item, **AT)
    assert (refused.outcome, refused.error.code) == (WriteOutcome.REFUSED, "401875")


# Titles that wait for their full record


def test_a_record_of_the_network_zone_is_linked_once(bench):
    client = bench.client()
    nz_id = scene(client).mms_id[:-4] + "4400"
    assert client.bibs.by_network_id(nz_id) == Found([])
    linked = link_network_record(client, nz_id)
    assert (linked.outcome, linked.value.linked_to) == (WriteOutcome.CREATED, "NZ")
    again = link_network_record(client, nz_id)
    assert (again.outcome, again.value.mms_id) == (WriteOutcome.ADOPTED, linked.value.mms_id)
    refused = link_network_record(client, "991234")
    assert (refused.outcome, refused.error.code) == (WriteOutcome.REFUSED, "33007")


def test_a_link_that_the_index_still_names_and_that_is_another_ones_now_does_not_count(bench, monkeypatch):
    client = bench.client()
    nz_id = scene(client).mms_id[:-4] + "4400"
    title = link_network_record(client, nz_id).value.mms_id
    stale = client.bibs.read_to_change(title).value
    for now in (replace(stale, linked_id="99104400"), replace(stale, linked_to="", linked_id="")):
        monkeypatch.setattr(client.bibs, "by_network_id", lambda nz_mms_id, now=now: Found([now]))
        assert find_linked(client, nz_id) == Absent()
        assert link_network_record(client, nz_id).outcome is WriteOutcome.CREATED


def test_a_record_whose_link_is_not_listed_yet_is_not_linked_again(bench):
    settings(bench, number_lag_s=600)
    bench.control("POST", "faults", {"kind": "drop", "method": "POST", "path": "from_nz_mms_id"})
    client = bench.client()
    nz_id = scene(client).mms_id[:-4] + "4400"
    assert link_network_record(client, nz_id).outcome is WriteOutcome.UNCONFIRMED
    assert len(bench.state()["bibs"]) == 1


def test_a_brief_record_is_hidden(bench):
    client = bench.client()
    brief = import_bib(
        client,
        BIB_RECORD.format("1").encode(),
        find=Absent,
        suppressed=True,
        suppressed_externally=True,
        sync_with_oclc="NONE",
        options=BibOptions(),
    ).value

    bib = bench.state()["bibs"][brief.mms_id]
    assert (bib["suppressed"], bib["suppressed_external"], bib["sync_with_oclc"]) == (True, True, "NONE")


FULL = BIB_RECORD.format("1").replace("Made for a test", "The full record").encode()


def test_order_and_item_stay_with_a_brief_record_that_its_full_one_replaces(bench):
    """The way from a brief record to its full copy, the item received in between: nothing has to be relinked."""
    client = bench.client()
    brief = import_bib(
        client,
        BIB_RECORD.format("1").encode(),
        find=Absent,
        suppressed=True,
        sync_with_oclc="NONE",
        options=BibOptions(),
    ).value
    number, item = ordered_item(client, brief.mms_id)
    assert receive_item(client, number, item, **AT).done

    title = client.bibs.read_to_change(brief.mms_id).value
    stamp = etree.fromstring(title.record).xpath("controlfield[@tag='005']")[0]
    full = etree.fromstring(FULL)
    full.insert(1, stamp)
    replaced = change_bib(
        client,
        title,
        etree.tostring(full),
        as_wanted=lambda bib: b"The full record" in bib.record,
        options=BibOptions(),
        flags=BibFlags(suppressed=False, suppressed_externally=False, sync_with_oclc="BIBS"),
    )
    assert replaced.outcome is WriteOutcome.UPDATED

    now = client.bibs.read(brief.mms_id).value
    assert (now.title, now.suppressed) == ("The full record", False)
    assert client.po_lines.read(number).value.mms_id == brief.mms_id
    there = client.items.read(brief.mms_id, item.holding_id, item.pid).value
    assert arrival_date(there) == "2026-05-01Z"
