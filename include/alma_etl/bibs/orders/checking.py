"""What orders name, asked for in Alma before anything is written: vendors and accounts, funds, currencies, and where a
profile wants it, which references stand in the vendors' PO lines."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from pydantic import BaseModel, ConfigDict

from alma_etl.alma.acq_writes import lines_of_vendor
from alma_etl.alma.client import AlmaClient
from alma_etl.alma.errors import is_of_a_value
from alma_etl.alma.funds import FundCheck, FundState
from alma_etl.alma.resource import LIMIT
from alma_etl.alma.vendors import Vendor
from alma_etl.bibs.orders.order import Order
from alma_etl.bibs.orders.profile import OrderProfile
from alma_etl.counted import counted
from alma_etl.inventory.codes import CodeCheck
from alma_etl.inventory.loaded_orders import OrderReference
from alma_etl.jobs.file_run import FileRun
from alma_etl.jobs.outcomes import Row
from alma_etl.remote.answers import Absent, Answer, Found, Unknown, rows_of

log = logging.getLogger(__name__)

RESULT = "orders.json"
_VENDORS, _FUNDS, _CURRENCIES = "vendors", "funds", "currencies"  # kinds of codes of the rows
_POLICY, _MATERIAL, _TYPE, _METHOD = "item_policy", "material_type", "po_line_type", "acquisition_method"


class VendorCheck(BaseModel):
    """What is known of a vendor: what is wrong with it, its accounts in use, its own currency, and its PO lines
    by reference, where they were looked through; `searched` says what that cost."""

    model_config = ConfigDict(frozen=True)

    fault: str = ""
    accounts: tuple[str, ...] = ()
    currency: str = ""
    lines: dict[str, str] = {}
    searched: str = ""


class OrderCheck(BaseModel):
    """What Alma said of the codes that orders name. `funds`: by the library that orders and the code, what is wrong;
    `spelling`: likewise the code as Alma writes it. `currencies`: those that are wrong. `remarks` are sentences for the
    report."""

    model_config = ConfigDict(frozen=True)

    vendors: dict[str, VendorCheck] = {}
    funds: dict[str, str] = {}
    spelling: dict[str, str] = {}
    currencies: dict[str, str] = {}
    remarks: tuple[str, ...] = ()

    def applied(self, order: Order, codes: CodeCheck) -> Order:
        """Return the order with what Alma knows, such as the vendor's currency, and with what is wrong with it."""
        vendor = self.vendors.get(order.vendor, VendorCheck())
        if vendor.fault:
            return order.with_problems(vendor.fault)
        if vendor.currency:
            order = order.in_currency(vendor.currency)
        if not order.vendor_account and len(vendor.accounts) == 1:
            order = replace(order, vendor_account=vendor.accounts[0])
        order = order.with_fund_codes({share.code: self._spelt(order, share.code) for share in order.shares})
        return order.with_problems(*self._faults(order, vendor), *_code_faults(order, codes))

    def _spelt(self, order: Order, code: str) -> str:
        return self.spelling.get(f"{order.owner} {code}", code)

    def _faults(self, order: Order, vendor: VendorCheck) -> Iterator[str]:
        there = f"there {'is' if len(vendor.accounts) == 1 else 'are'} {', '.join(vendor.accounts) or 'none'}"
        if not order.vendor_account:
            yield f"it names no account of vendor {order.vendor}, {there}: set `vendor_account`"
        elif order.vendor_account not in vendor.accounts:
            yield f"vendor {order.vendor} has no account {order.vendor_account} in use, {there}: correct one of them"
        currency = order.price.currency if order.price else ""
        if not currency:
            yield f"neither the record nor vendor {order.vendor} names a currency: set `currency`"
        for fault in (
            self.currencies.get(currency), *(self.funds.get(f"{order.owner} {share.code}") for share in order.shares)
        ):  # fmt: skip
            if fault:
                yield fault


def codes_of(orders: Iterable[Order]) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield what Alma is to be asked for before orders are placed, as `FileJob.codes_of` wants it."""
    for order in orders:
        yield _VENDORS, (order.vendor, "")
        if order.price is not None:
            yield _CURRENCIES, (order.price.currency, order.vendor)
        for share in order.shares:
            yield _FUNDS, (order.owner, share.code)
        if order.material_type:
            yield "fields", (_MATERIAL, order.material_type)
        yield "fields", (_TYPE, order.po_line_type)
        yield "fields", (_METHOD, order.acquisition_method)
        yield "places", (order.owner, "")
        for copy in order.copies:
            yield "places", (copy.library, copy.location)
            if copy.item_policy:
                yield "fields", (_POLICY, copy.item_policy)


def check_orders(client: AlmaClient, run: FileRun, profile: OrderProfile) -> dict[str, int]:
    """Ask Alma for the vendors, funds and currencies that the orders of a run name; return counts of what is wrong.

    Costs a request for each vendor, one or two for each fund, one for the currencies, with `search_vendor_lines` one
    for 100 PO lines of each vendor, and one for each line that its list shows without references. Raises RemoteError
    when a question gets no answer.
    """
    codes = run.plan().codes
    vendors = {
        code: client.vendors.read(code) for code in sorted({code for code, _ in codes.get(_VENDORS, ())})
    }
    currencies = _used(codes.get(_CURRENCIES, ()), vendors)
    funds: dict[str, str] = {}
    spelling: dict[str, str] = {}
    for library, named in _by_library(codes.get(_FUNDS, ())).items():
        for code, answer in client.funds.check(named, library=library).items():
            found = _sure(answer)
            if isinstance(found, str):
                funds[f"{library} {code}"] = (
                    f"the fund {code} cannot be asked for in Alma ({found}): correct it"
                )
                continue
            fault = _fund_fault(code, library, found, profile)
            if fault:
                funds[f"{library} {code}"] = fault
            elif found.fund is not None and found.fund.code != code:
                spelling[f"{library} {code}"] = found.fund.code
    checked = {code: _vendor_check(client, code, answer, profile) for code, answer in vendors.items()}
    check = OrderCheck(
        vendors=checked,
        funds=funds,
        spelling=spelling,
        currencies=_currency_faults(client, currencies),
        remarks=tuple(vendor.searched for vendor in checked.values() if vendor.searched),
    )
    run.write_model(RESULT, check)
    wrong = sum(bool(vendor.fault) for vendor in check.vendors.values())
    return {_VENDORS: wrong, _FUNDS: len(check.funds), _CURRENCIES: len(check.currencies)}


def find_order_check(run: FileRun) -> OrderCheck | None:
    """What `check_orders` found, None when it did not get that far."""
    return run.find_model(RESULT, OrderCheck)


def read_order_check(run: FileRun) -> OrderCheck:
    """What `check_orders` found. Raises NoSuchObject when it did not get that far."""
    return OrderCheck.model_validate_json(run.bucket.get(run.key(RESULT)))


def _why_not(answer: Unknown) -> str:
    """Why a code cannot be asked for. Raises the error where it says nothing of the code: Alma may be refusing every
    question, of which no order is at fault."""
    if is_of_a_value(answer.error):
        return answer.error.message
    raise answer.error


def _sure(answer: Answer[FundCheck]) -> FundCheck | str:
    """What is known of a fund; why nothing is, where its code cannot be asked for."""
    if isinstance(answer, Unknown):
        return _why_not(answer)
    return answer.value if isinstance(answer, Found) else FundCheck(FundState.NOT_THERE)


def _fund_fault(code: str, library: str, found: FundCheck, profile: OrderProfile) -> str:
    """Why an order cannot name a fund, "" when it can."""
    spelt = found.fund.code if found.fund else code
    match found.state:
        case FundState.OPEN:
            return ""
        case FundState.OTHER_CASE:
            if len(found.alike) > 1:
                alike = ", ".join(found.alike)
                return f"the fund {code} is none of {alike}, which are several in Alma: write the one that is meant"
            if profile.fund_case == "correct":
                return ""
            return f"the fund {code} is {spelt} in Alma: write it so, or set `fund_case: correct`"
        case FundState.CLOSED:
            return (
                f"the fund {spelt} is inactive, or of a fiscal period that is not open today: name one that is, or "
                "have it opened"
            )
        case FundState.LEDGER:
            return f"{spelt} is a ledger or summary fund, from which nothing is bought: name an allocated fund of it"
        case _:
            return f"there is no fund {code} for orders of {library}: correct it"


def _vendor_check(
    client: AlmaClient, code: str, answer: Answer[Vendor], profile: OrderProfile
) -> VendorCheck:
    match answer:
        case Unknown():  # a code such as A/B
            return VendorCheck(
                fault=f"vendor {code} cannot be asked for in Alma ({_why_not(answer)}): correct it"
            )
        case Absent():
            return VendorCheck(fault=f"vendor {code} is unknown to Alma: correct it, or add it there")
        case Found(vendor):
            if vendor.code != code:  # its orders would be kept apart from those of the other spelling
                return VendorCheck(fault=f"vendor {code} is {vendor.code} in Alma: write it so")
            if not vendor.active:
                return VendorCheck(fault=f"vendor {code} is inactive in Alma: name another, or activate it")
            lines, searched = _lines(client, code) if profile.search_vendor_lines else ({}, "")
            return VendorCheck(
                accounts=tuple(account.code for account in vendor.accounts if account.active),
                currency=next(iter(vendor.currencies), ""),
                lines=lines,
                searched=searched,
            )


def _lines(client: AlmaClient, code: str) -> tuple[dict[str, str], str]:
    """The numbers of a vendor's PO lines by their references, and what it cost to know. A line whose row shows no
    reference is read: it may be the one that is looked for."""
    listed, single = lines_of_vendor(client, code)
    if not isinstance(listed, Found | Absent):
        raise listed.error
    lines = rows_of(listed)
    found = {
        OrderReference.of(code, reference).reference: line.number
        for line in lines
        for reference in (line.vendor_reference, line.additional_reference)
        if reference
    }
    requests = max(1, -(-len(lines) // LIMIT)) + single
    cost = f"{counted(len(lines), 'PO line')} of vendor {code} searched for the references of orders"
    alone = f", {single:,} of them read one by one, since their list shows no references" if single else ""
    return found, f"{cost}: {counted(requests, 'request')}{alone}"


def _used(named: Iterable[tuple[str, str]], vendors: Mapping[str, Answer[Vendor]]) -> dict[str, set[str]]:
    """The currencies of the orders, those of their vendors where they name none, each with its vendors."""
    found: dict[str, set[str]] = {}
    for currency, code in named:
        answer = vendors.get(code)
        own = answer.value.currencies if isinstance(answer, Found) else ()
        for each in (currency,) if currency else own[:1]:
            found.setdefault(each, set()).add(code)
    return found


def _currency_faults(client: AlmaClient, used: Mapping[str, set[str]]) -> dict[str, str]:
    """The currencies that the institution does not use; where Alma does not say which it does, none."""
    answer = client.conf.currencies() if used else Absent()
    match answer:
        case Unknown(error):
            raise error
        case Found(known):
            return {
                code: f"the institution does not use the currency {code}: name another, or add it in Alma"
                for code in used
                if code not in known
            }
        case _:
            return {}


def _by_library(named: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for library, code in sorted(map(tuple, named)):
        found.setdefault(library, []).append(code)
    return found


def _code_faults(order: Order, codes: CodeCheck) -> Iterator[str]:
    named: list[Row] = [
        {_TYPE: order.po_line_type, _METHOD: order.acquisition_method, "library": order.owner},
        *(
            {"library": copy.library, "location": copy.location, _POLICY: copy.item_policy}
            for copy in order.copies
        ),
        {_MATERIAL: order.material_type},
    ]
    for values in named:
        fault = codes.fault_of_values({name: value for name, value in values.items() if value})
        if fault:
            yield fault
