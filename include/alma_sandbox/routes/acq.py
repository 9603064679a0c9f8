"""Acquisitions beside the PO lines: funds and vendors (section 13)."""

from alma_sandbox.administration.acquisitions import CURRENCY, FUNDS, VENDORS, Fund, Vendor, balances
from alma_sandbox.catalogue.conf_data import library_name
from alma_sandbox.http.answers import Answer, Payload, code, listing
from alma_sandbox.http.call import Call, route
from alma_sandbox.http.errors import Refusal
from alma_sandbox.routes import po_lines


def is_open(call: Call, fund: Fund) -> bool:
    """Whether something may be ordered from a fund today: allocated, active, of the fiscal period of today."""
    closed = fund.code in call.sandbox.settings.closed_funds
    return fund.type == "ALLOCATED" and fund.status == "ACTIVE" and fund.period == 0 and not closed


def funds(call: Call) -> Answer:
    """``GET /acq/funds``: ``mode=POL`` names those from which may be ordered today, ``ALL`` ledgers, summary funds and
    closed ones, too. ``q`` finds parts of a code or name, as they are written."""
    mode = call.choice("mode", "POL", ("POL", "ALL"))
    library = call.query.get("library", "")
    index, _, words = call.query.get("q", "").partition("~")
    if index not in ("", "fund_code", "fund_name", "all"):
        raise Refusal("40166411", f"Parameter value is invalid: q={index}.")
    searched = {"fund_code": "{0.code}", "fund_name": "{0.name}"}.get(index, "{0.code} {0.name}")
    found = [
        fund
        for fund in FUNDS.values()
        if (mode == "ALL" or is_open(call, fund))
        and (not library or fund.owner in ("", library))
        and words.replace("_", " ") in searched.format(fund).replace("_", " ")
    ]
    offset, limit = call.page()
    left = balances(list(call.sandbox.po_lines.by_number.values()))
    rows = [_fund(call, fund, left[fund.code]) for fund in found[offset : offset + limit]]
    return Answer("funds", listing("fund", rows, len(found)))


def _fund(call: Call, fund: Fund, left: dict[str, str]) -> Payload:
    institution = call.catalogue.institution
    number = f"40{list(FUNDS).index(fund.code) + 1:07d}{institution.suffix}"
    period = f"FY-{call.sandbox.clock.now().year + fund.period}"
    active = fund.status == "ACTIVE" and fund.code not in call.sandbox.settings.closed_funds
    return {
        "link": call.link(f"/acq/funds/{number}"),
        "id": number,
        "code": fund.code,
        "external_id": "",
        "name": fund.name,
        "type": code(fund.type, fund.type.capitalize()),
        "owner": code(fund.owner or institution.code, library_name(fund.owner) or institution.name),
        "status": code("ACTIVE" if active else "INACTIVE", "Active" if active else "Inactive"),
        "fiscal_period": code(period, period),
        "currency": code(CURRENCY, CURRENCY),
        "allocated_balance": left["allocated"],
        "encumbered_balance": left["encumbered"],
        "available_balance": left["available"],
    }


def vendor(call: Call) -> Answer:
    """``GET /acq/vendors/{vendor}``, with its accounts."""
    return Answer("vendor", _vendor(call, _found(call), whole=True))


def _found(call: Call) -> Vendor:
    found = VENDORS.get(call.path["vendor"])
    if found is None:
        raise Refusal("401871", f"Vendor with code {call.path['vendor']} was not found.")
    return found


def _vendor(call: Call, found: Vendor, *, whole: bool) -> Payload:
    payload: Payload = {
        "code": found.code,
        "name": found.name,
        "status": code(found.status, found.status.capitalize()),
        "link": call.link(f"/acq/vendors/{found.code}"),
    }
    if whole:
        payload["currency"] = [code(each, each) for each in found.currencies]
        payload["account"] = [
            {
                "code": account.code,
                "description": f"{found.name}, {account.code}",
                "status": code(account.status, account.status.capitalize()),
            }
            for account in found.accounts
        ]
    return payload


def vendors(call: Call) -> Answer:
    """``GET /acq/vendors``: without accounts."""
    words = call.query.get("q", "").partition("~")[2].replace("_", " ")
    found = [each for each in VENDORS.values() if words in f"{each.code} {each.name}"]
    offset, limit = call.page()
    rows = [_vendor(call, each, whole=False) for each in found[offset : offset + limit]]
    return Answer("vendors", listing("vendor", rows, len(found)))


def lines_of_vendor(call: Call) -> Answer:
    """``GET /acq/vendors/{vendor}/po-lines``: whatever their status."""
    found = _found(call).code
    return po_lines.listed(call, [line for line in po_lines.seen(call) if po_lines.vendor_of(line) == found])


ROUTES = [
    *po_lines.ROUTES,
    route("/acq/vendors", get=vendors),
    route("/acq/vendors/{vendor}", get=vendor),
    route("/acq/vendors/{vendor}/po-lines", get=lines_of_vendor),
    route("/acq/funds", get=funds),
]
