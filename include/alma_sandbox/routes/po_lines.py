"""PO lines with their inventory: ordering, review, receiving (section 13)."""

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from alma_sandbox.administration import acquisitions
from alma_sandbox.administration.acquisitions import FUNDS, VENDORS
from alma_sandbox.administration.po_lines import PoLine
from alma_sandbox.catalogue.conf_data import CODE_TABLES, LIBRARIES, location_of
from alma_sandbox.catalogue.marc import ControlField, DataField, Record, data_field
from alma_sandbox.catalogue.records import Bib, Holding, Item
from alma_sandbox.http import bodies
from alma_sandbox.http.answers import Answer, Payload, Plain, code, listing
from alma_sandbox.http.call import Call, route
from alma_sandbox.http.errors import Refusal
from alma_sandbox.routes import items, notices

_REFERENCES = ("vendor_reference_number", "additional_order_reference")


# Reading


def _line(call: Call) -> PoLine:
    number = call.path["number"]
    found = call.sandbox.po_lines.find(number)
    if found is None:
        raise Refusal("401871", f"PO Line with number {number} was not found.")
    return found


def _shape(call: Call, found: PoLine) -> Payload:
    metadata = dict(bodies.part(found.body, "resource_metadata"))
    if found.mms_id:
        metadata["mms_id"] = {"value": found.mms_id, "link": call.link(f"/bibs/{found.mms_id}")}
    payload = {
        **found.body,
        "number": found.number,
        "created_date": found.created_date,
        "resource_metadata": metadata,
        "link": call.link(f"/acq/po-lines/{found.number}"),
    }
    if call.sandbox.lists_po_line(found):  # what Alma decides afterwards is not there at once
        payload["status"] = code(found.status, found.status.capitalize())
        payload["alert"] = [code(alert) for alert in found.alerts]
    return payload


def seen(call: Call) -> list[PoLine]:
    """The PO lines that lists name by now."""
    return [line for line in call.sandbox.po_lines.by_number.values() if call.sandbox.lists_po_line(line)]


def listed(call: Call, found: list[PoLine]) -> Answer:
    """A page of PO lines."""
    offset, limit = call.page()
    rows = [_shape(call, line) for line in found[offset : offset + limit]]
    if call.sandbox.settings.po_line_lists == "brief":
        rows = [{name: row[name] for name in row if name not in _REFERENCES} for row in rows]
    return Answer("po_lines", listing("po_line", rows, len(found)))


def vendor_of(line: PoLine) -> str:
    """The code of a line's vendor."""
    return bodies.text(line.body.get("vendor"))


def read_list(call: Call) -> Answer:
    """``GET /acq/po-lines``: ``status=ALL`` leaves the closed ones out; ``q`` knows no reference of a line."""
    status = call.choice("status", "ALL", ("ACTIVE", "CLOSED", "CANCELLED", "ALL", "ALL_WITH_CLOSED"))
    library = call.query.get("library", "")
    name, _, words = call.query.get("q", "").partition("~")
    if name and name != "all" and name not in _INDEXES:
        known = ", ".join([*_INDEXES, "all"])
        raise Refusal("40166411", f"Parameter value is invalid: q={name}. Valid indexes are {known}.")
    indexes = [_INDEXES[name]] if name in _INDEXES else list(_INDEXES.values())
    wanted = words.replace("_", " ").lower()
    found = [
        line
        for line in seen(call)
        if _has_status(line, status)
        and library in ("", bodies.text(line.body.get("owner")))
        and (not wanted or any(wanted in index(call, line).lower() for index in indexes))
    ]
    return listed(call, found)


def _has_status(line: PoLine, status: str) -> bool:
    if status == "ALL_WITH_CLOSED":
        return True
    if status == "ALL":
        return line.status != "CLOSED"
    return (line.status if line.status in ("CLOSED", "CANCELLED") else "ACTIVE") == status


_Index = Callable[[Call, PoLine], str]


def _of_bib(tag: str, subfield: str, name: str) -> _Index:
    """An index of a field of the title; of a line without a title, what was sent as ``name``."""

    def text(call: Call, line: PoLine) -> str:
        bib = call.catalogue.bib(line.mms_id) if line.mms_id else None
        if bib is None:
            return bodies.text(bodies.part(line.body, "resource_metadata").get(name))
        return " ".join(entry.first(subfield) for entry in bib.record.data(*tag.split()))

    return text


def _rows(line: PoLine, name: str) -> list[Payload]:
    return [row for row in bodies.many(line.body.get(name)) if isinstance(row, dict)]


def _fund_names(line: PoLine) -> str:
    codes = [bodies.text(row.get("fund_code")) for row in _rows(line, "fund_distribution")]
    return " ".join(FUNDS[each].name for each in codes if each in FUNDS)


_INDEXES: Mapping[str, _Index] = {
    "title": _of_bib("245", "a", "title"),
    "author": _of_bib("100 110", "a", "author"),
    "mms_id": lambda call, line: line.mms_id,
    "publisher": _of_bib("260 264", "b", "publisher"),
    "publication_year": _of_bib("260 264", "c", "publication_year"),
    "publication_place": _of_bib("260 264", "a", "publication_place"),
    "issn_isbn": _of_bib("020 022", "a", "isbn"),
    "shelving_location": lambda call, line: " ".join(
        bodies.text(row.get("shelving_location")) for row in _rows(line, "location")
    ),
    "vendor_code": lambda call, line: vendor_of(line),
    "vendor_name": lambda call, line: VENDORS[vendor_of(line)].name if vendor_of(line) in VENDORS else "",
    "vendor_account": lambda call, line: bodies.text(line.body.get("vendor_account")),
    "fund_code": lambda call, line: " ".join(
        bodies.text(row.get("fund_code")) for row in _rows(line, "fund_distribution")
    ),
    "fund_name": lambda call, line: _fund_names(line),
    "number": lambda call, line: line.number,
    "po_number": lambda call, line: bodies.text(line.body.get("po_number")),
    "invoice_reference": lambda call, line: bodies.text(line.body.get("invoice_reference")),
}


def read_one(call: Call) -> Answer:
    """``GET /acq/po-lines/{number}``: the number goes into the path as it is, slash and all."""
    return Answer("po_line", _shape(call, _line(call)))


# Ordering


@dataclass(frozen=True)
class _Copies:
    """What is ordered for one place; ``copies`` may say of each its barcode and item policy."""

    library: str
    location: str
    quantity: int
    copies: list[Payload]


def create(call: Call) -> Answer:
    """``POST /acq/po-lines``: without ``mms_id`` the title is matched by ISBN or ISSN, one of several taken at random,
    or made; for each place of a physical line a holding, where there is none, and items. What lacks vendor, account,
    price or fund waits in review. A repeated POST orders again."""
    body = bodies.read(call)
    metadata = bodies.part(body, "resource_metadata")
    mms_id, title = bodies.text(metadata.get("mms_id")), bodies.text(metadata.get("title"))
    for name, value in (
        ("owner", bodies.text(body.get("owner"))),
        ("type", bodies.text(body.get("type"))),
        ("title or mms_id", title or mms_id),
    ):
        if not value:
            raise Refusal("401664", f"Mandatory field is missing: {name}")
    if mms_id and call.catalogue.bib(mms_id) is None:
        raise Refusal("402203", f"Input parameters mmsId {mms_id} is not valid.")
    _check(body)
    places = _places(call, body)
    number = _number(call, body)
    taken, alerts = _taken(body)
    line = PoLine(
        number=number,
        status="",
        body=taken,
        mms_id=mms_id or _matched(call, body, number) or _new_bib(call, title),
        created_date=call.sandbox.clock.date(),
        alerts=alerts,
        manual_review=call.flag("requires_manual_review", False),
        made_at=call.sandbox.clock.time(),
    )
    _review(call, line)
    call.sandbox.po_lines.by_number[line.number] = line
    if bodies.text(body.get("type")) in acquisitions.PHYSICAL:
        for place in places:
            _order(call, line, place)
    return Answer("po_line", _shape(call, line))


def _illegal(name: str, value: str) -> Refusal:
    return Refusal("401872", f"Given {name} {value} is illegal.")


def _check(body: Payload) -> None:
    """What is refused: codes that no table has, sums that are none, no charge where something is paid."""
    method = bodies.text(body.get("acquisition_method"))
    for name, known in (
        ("owner", LIBRARIES),
        ("type", acquisitions.TYPES),
        ("acquisition_method", acquisitions.METHODS),
        ("vendor", VENDORS),
        ("material_type", CODE_TABLES["PhysicalMaterialType"]),
    ):
        value = bodies.text(body.get(name))
        if value and value not in known:
            raise _illegal(name, value)
    try:
        discount = Decimal(bodies.text(body.get("discount")) or "0")
        sums = [acquisitions.amount(body["price"])] if body.get("price") else []
        sums += [(total, currency) for _, total, currency in acquisitions.shares(body)]
    except (ArithmeticError, ValueError) as error:
        raise _illegal("amount", str(error)) from error
    if not 0 <= discount <= 100:
        raise _illegal("discount", str(discount))
    for _, currency in sums:
        if currency not in acquisitions.RATES:
            raise _illegal("currency", currency)
    if bodies.text(body.get("no_charge")) == "true" and method not in acquisitions.WITHOUT_CHARGE:
        raise Refusal("60320", "No charge is not allowed for this PO line configuration.")


def _number(call: Call, body: Payload) -> str:
    sent = bodies.text(body.get("number"))
    if not sent or call.sandbox.settings.po_line_numbers == "ignored":
        return call.sandbox.po_lines.new_number()
    if call.sandbox.po_lines.find(sent) is not None:
        raise Refusal("401870", f"PoLine {sent} already exists.")
    return sent


def _places(call: Call, body: Payload) -> list[_Copies]:
    found, barcodes = [], set()
    for row in bodies.many(body.get("location")):
        if not isinstance(row, dict):
            continue
        library, location = bodies.text(row.get("library")), bodies.text(row.get("shelving_location"))
        if location_of(library, location) is None:
            raise _illegal("location", f"{library} {location}")
        copies = [copy for copy in bodies.many(row.get("copy")) if isinstance(copy, dict)]
        quantity = bodies.text(row.get("quantity")) or str(len(copies) or 1)
        if not quantity.isdigit() or not max(1, len(copies)) <= int(quantity) <= 999:
            raise _illegal("quantity", quantity)
        for copy in copies:
            policy, barcode = bodies.text(copy.get("item_policy")), bodies.text(copy.get("barcode"))
            if policy and policy not in CODE_TABLES["ItemPolicy"]:
                raise _illegal("item_policy", policy)
            if barcode and (barcode in barcodes or call.catalogue.item_by_barcode(barcode) is not None):
                raise _illegal("barcode", barcode)
            barcodes.add(barcode)
        found.append(_Copies(library, location, int(quantity), copies))
    return found


def _taken(body: Payload) -> tuple[Payload, list[str]]:
    """What of a body becomes the line, and what is wrong with the rest: a fund that is not known as it is written, and
    an account that is not the vendor's, are left out without a refusal."""
    alerts = []
    taken = {name: value for name, value in body.items() if name != "number"}
    rows = [row for row in bodies.many(body.get("fund_distribution")) if isinstance(row, dict)]
    known = [row for row in rows if bodies.text(row.get("fund_code")) in FUNDS]
    if rows:
        taken["fund_distribution"] = known
    if len(known) < len(rows):
        alerts.append("FUND_NOT_FOUND")
    vendor = VENDORS.get(bodies.text(body.get("vendor")))
    account = bodies.text(body.get("vendor_account"))
    if vendor is not None and account and vendor.account(account) is None:
        del taken["vendor_account"]
        alerts.append("ACCOUNT_NOT_OF_VENDOR")
    return taken, alerts


def _review(call: Call, line: PoLine) -> None:
    """Whether a line waits in review, and why; and what it encumbers where it does not."""
    line.encumbers = acquisitions.encumbrances(line.body)
    line.alerts = [*line.alerts, *_lacks(line.body), *_fund_alerts(call, line)]
    line.status = "INREVIEW" if line.alerts or line.manual_review else "SENT"


def _lacks(body: Payload) -> list[str]:
    """What a line lacks to be sent."""
    free = bodies.text(body.get("acquisition_method")) in acquisitions.WITHOUT_CHARGE
    found = [f"{name.upper()}_IS_MISSING" for name in ("vendor", "vendor_account") if not body.get(name)]
    vendor = VENDORS.get(bodies.text(body.get("vendor")))
    account = vendor.account(bodies.text(body.get("vendor_account"))) if vendor else None
    if vendor is not None and vendor.status != "ACTIVE":
        found.append("VENDOR_IS_INACTIVE")
    if account is not None and account.status != "ACTIVE":
        found.append("ACCOUNT_IS_INACTIVE")
    if free:
        return found
    if not acquisitions.net_price(body):
        found.append("PRICE_IS_MISSING")
    if not body.get("fund_distribution"):
        found.append("FUND_IS_MISSING")
    return found


def _fund_alerts(call: Call, line: PoLine) -> list[str]:
    """What is wrong with the funds of a line: closed, spent, or for another sum than the line's."""
    if not line.encumbers:
        return []
    found = []
    closed = call.sandbox.settings.closed_funds
    funds = [FUNDS[name] for name in line.encumbers]
    if any(
        fund.type != "ALLOCATED" or fund.status != "ACTIVE" or fund.period or fund.code in closed
        for fund in funds
    ):
        found.append("FUND_IS_NOT_ACTIVE")
    others = acquisitions.encumbered(list(call.sandbox.po_lines.by_number.values()))
    if any(Decimal(sum_) > FUNDS[fund].allocated - others[fund] for fund, sum_ in line.encumbers.items()):
        found.append("FUND_IS_OVER_ENCUMBERED")
    if acquisitions.uncovered(line.body):
        found.append("FUNDS_DO_NOT_COVER_THE_PRICE")
    return found


def _matched(call: Call, body: Payload, number: str) -> str:
    """The title that Alma takes when none is named: by ISBN or ISSN, rather one that has inventory of the ordered kind
    alone, one of several at random. Empty where nothing matches."""
    metadata = bodies.part(body, "resource_metadata")
    found: list[Bib] = []
    for tag, name in (("020", "isbn"), ("022", "issn")):
        value = bodies.text(metadata.get(name))
        if value:
            found += call.catalogue.bibs_with_standard_number(tag, value, call.sandbox.numbers_see)
    physical = bodies.text(body.get("type")) in acquisitions.PHYSICAL

    def has_only_this_kind(bib: Bib) -> bool:
        printed = bool(call.catalogue.holdings_of(bib.mms_id))
        return (printed, bib.portfolio) == ((True, False) if physical else (False, True))

    rather = [bib for bib in found if has_only_this_kind(bib)] or found
    return _at_random(call, number, [bib.mms_id for bib in rather]) if rather else ""


def _at_random(call: Call, number: str, values: list[str]) -> str:
    """One of several values: nobody can foresee which, and it is the same each time."""
    return random.Random(f"{call.catalogue.seed} {number}").choice(values)  # noqa: S311 - no secret


def _new_bib(call: Call, title: str) -> str:
    bib = Bib(
        mms_id=call.catalogue.counter.take("99"),
        record=Record("     nam a22     u  4500", [data_field("245", "00", ("a", title))]),
        suppressed=True,
        created_by="exl_api",
        created_date=call.sandbox.clock.date(),
        originating_system="API",
    )
    bib.record.set_control("001", bib.mms_id)
    bib.record.set_control("005", call.sandbox.clock.marc())
    call.catalogue.keep_bib(bib)
    notices.bib(call, bib, "BIB_CREATED", "Bib created")
    return bib.mms_id


def _order(call: Call, line: PoLine, place: _Copies) -> None:
    """A holding where there is none yet, and the items that are on order."""
    holdings = call.catalogue.holdings_of(line.mms_id)
    there = next(
        (each for each in holdings if (each.library, each.location) == (place.library, place.location)), None
    )
    holding = there or _new_holding(call, line.mms_id, place.library, place.location)
    copies = [*place.copies, *({} for _ in range(place.quantity - len(place.copies)))]
    for copy in copies:
        item = Item(
            pid=call.catalogue.counter.take("23"),
            mms_id=line.mms_id,
            holding_id=holding.holding_id,
            barcode=bodies.text(copy.get("barcode")) or _first_barcode(call),
            texts={
                "po_line": line.number,
                "pieces": "1",
                "description": bodies.text(copy.get("description")),
            },
            codes={
                "physical_material_type": bodies.text(line.body.get("material_type")) or "BOOK",
                "policy": bodies.text(copy.get("item_policy")),
            },
            process_type="ACQ",
            created_date=call.sandbox.clock.date(),
            modified_date=call.sandbox.clock.date(),
        )
        call.catalogue.keep_item(item)
        line.items.append(item.pid)


def _first_barcode(call: Call) -> str:
    return "" if call.sandbox.settings.po_line_barcodes == "none" else items.new_barcode(call)


def _new_holding(call: Call, mms_id: str, library: str, location: str) -> Holding:
    holding_id = call.catalogue.counter.take("22")
    fields: list[ControlField | DataField] = [
        ControlField("001", holding_id),
        ControlField("004", mms_id),
        ControlField("005", call.sandbox.clock.marc()),
        data_field("852", "0 ", ("b", library), ("c", location)),
    ]
    made = Holding(
        holding_id=holding_id,
        mms_id=mms_id,
        record=Record("     nx  a22     1n 4500", fields),
        created_by="exl_api",
        created_date=call.sandbox.clock.date(),
        originating_system="API",
        made_at=call.sandbox.clock.time(),
    )
    call.catalogue.keep_holding(made)
    return made


def update(call: Call) -> Answer:
    """``PUT /acq/po-lines/{number}``: swap-all; the title stays. What waited for its data leaves review, what staff are
    to look at does not."""
    line = _line(call)
    body = bodies.read(call)
    _check(body)
    line.body, line.alerts = _taken(body)
    if line.status in ("INREVIEW", "SENT"):
        line.status = "INREVIEW"  # its own encumbrance does not count against it
        _review(call, line)
    return Answer("po_line", _shape(call, line))


def cancel(call: Call) -> Plain:
    """``DELETE /acq/po-lines/{number}``: needs a ``reason``."""
    line = _line(call)
    if not call.query.get("reason"):
        raise Refusal("401664", "Mandatory field is missing: reason")
    line.status = "CANCELLED"
    return Plain()


def _items(call: Call, line: PoLine) -> list[Item]:
    found = (call.catalogue.item(pid) for pid in line.items)
    return [item for item in found if item is not None]


def read_items(call: Call) -> Answer:
    """``GET /acq/po-lines/{number}/items``: barcode and link only."""
    rows: list[Payload] = [
        {
            "item_data": {"barcode": item.barcode},
            "link": call.link(f"/bibs/{item.mms_id}/holdings/{item.holding_id}/items/{item.pid}"),
        }
        for item in _items(call, _line(call))
    ]
    return Answer("items", listing("item", rows))


def receive(call: Call) -> Answer:
    """``POST /acq/po-lines/{number}/items/{item_pid}?op=receive``: without a department into one that Alma picks at
    random."""
    line = _line(call)
    if call.query.get("op") != "receive":
        raise Refusal("40166410", f"Parameter value is invalid: op={call.query.get('op', '')}.")
    if not call.body.strip():
        raise Refusal("401652", "General Error: the body of the request is missing.")
    item = next((entry for entry in _items(call, line) if entry.pid == call.path["item_pid"]), None)
    if item is None:
        raise Refusal("401875", f"Item {call.path['item_pid']} does not belong to PO line {line.number}.")
    if line.status in ("INREVIEW", "CLOSED", "CANCELLED"):
        raise Refusal("401877", f"PO line {line.number} is {line.status}: item {item.pid} was not received.")
    if item.texts.get("arrival_date"):
        raise Refusal("401877", f"Item {item.pid} was already received.")
    date = call.query.get("receive_date", "") or call.sandbox.clock.date()
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}Z?", date):
        raise Refusal("40166411", f"Parameter value is invalid: receive_date={date}.")
    item.process_type, item.work_order_at = "WORK_ORDER_DEPARTMENT", _department(call, item)
    item.texts["arrival_date"] = date
    call.catalogue.keep_item(item)
    line.receipts[item.pid] = date
    if len(line.receipts) == len(line.items):
        line.status = "WAITING_FOR_INVOICE"
    return items.shown(call, item)


def _department(call: Call, item: Item) -> str:
    """The department that receives; one of any library where the call names none."""
    department, library = call.query.get("department", ""), call.query.get("department_library", "")
    if not department:
        every = [name for each in LIBRARIES.values() for name in each.departments]
        return _at_random(call, item.pid, every)
    if library not in LIBRARIES or department not in LIBRARIES[library].departments:
        raise Refusal("40166411", f"Parameter value is invalid: department={library} {department}.")
    return department


# Numbers may hold a slash: the longer paths come first.
ROUTES = [
    route("/acq/po-lines", get=read_list, post=create),
    route("/acq/po-lines/{number:path}/items/{item_pid}", post=receive),
    route("/acq/po-lines/{number:path}/items", get=read_items),
    route("/acq/po-lines/{number:path}", get=read_one, put=update, delete=cancel),
]
