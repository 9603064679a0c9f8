"""Acquisitions: PO lines with their inventory, vendors and funds (section 13)."""

import re

from alma_sandbox.administration.po_lines import PoLine
from alma_sandbox.catalogue.conf_data import LIBRARIES, location_of
from alma_sandbox.catalogue.marc import ControlField, DataField, Record, data_field
from alma_sandbox.catalogue.records import Bib, Holding, Item
from alma_sandbox.http import bodies
from alma_sandbox.http.answers import Answer, Payload, Plain, code, listing
from alma_sandbox.http.call import Call, route
from alma_sandbox.http.errors import Refusal
from alma_sandbox.routes import items, notices

VENDORS = {"VENDOR1": "First Vendor", "VENDOR2": "Second Vendor"}
FUNDS = {"BOOKS": "Books", "SERIALS": "Serials"}  # codes are case-sensitive
_NEEDED_TO_ORDER = ("vendor", "vendor_account", "price", "fund_distribution")


def _line(call: Call, number: str | None = None) -> PoLine:
    number = number if number is not None else call.path["number"]
    found = call.sandbox.po_lines.find(number)
    if found is None:
        raise Refusal("401871", f"PO Line with number {number} was not found.")
    return found


def _shape(call: Call, found: PoLine) -> Payload:
    metadata = dict(bodies.part(found.body, "resource_metadata"))
    if found.mms_id:
        metadata["mms_id"] = {"value": found.mms_id, "link": call.link(f"/bibs/{found.mms_id}")}
    return {
        **found.body,
        "number": found.number,
        "status": code(found.status, found.status.capitalize()),
        "created_date": found.created_date,
        "resource_metadata": metadata,
        "link": call.link(f"/acq/po-lines/{found.number}"),
    }


def read_list(call: Call) -> Answer:
    """``GET /acq/po-lines``: ``status=ALL`` leaves the closed ones out."""
    status = call.choice("status", "ACTIVE", ("ACTIVE", "CLOSED", "CANCELLED", "ALL", "ALL_WITH_CLOSED"))
    library = call.query.get("library", "")
    name, _, words = call.query.get("q", "").partition("~")
    offset, limit = call.page()
    found = [
        line
        for line in call.sandbox.po_lines.by_number.values()
        if _has_status(line, status)
        and library in ("", bodies.text(line.body.get("owner")))
        and words.replace("_", " ").lower() in _searched(line, name)
    ]
    rows = [_shape(call, line) for line in found[offset : offset + limit]]
    return Answer("po_lines", listing("po_line", rows, len(found)))


def _has_status(line: PoLine, status: str) -> bool:
    if status == "ALL_WITH_CLOSED":
        return True
    if status == "ALL":
        return line.status != "CLOSED"
    return (line.status if line.status in ("CLOSED", "CANCELLED") else "ACTIVE") == status


def _searched(line: PoLine, name: str) -> str:
    title = bodies.text(bodies.part(line.body, "resource_metadata").get("title"))
    texts = {"number": line.number, "title": title, "mms_id": line.mms_id}
    reference = bodies.text(line.body.get("vendor_reference_number"))
    return texts.get(name, f"{line.number} {title} {reference}").lower()


def read_one(call: Call) -> Answer:
    """``GET /acq/po-lines/{number}``: the number goes into the path as it is, slash and all."""
    return Answer("po_line", _shape(call, _line(call)))


def create(call: Call) -> Answer:
    """``POST /acq/po-lines``: makes the bib when only a title is given, and for each location a holding and
    items. Without vendor, account, price and fund the line waits in review."""
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
    places = _places(body)
    line = PoLine(
        number=call.sandbox.po_lines.new_number(),
        status=_status(body),
        body=body,
        mms_id=mms_id or _new_bib(call, title),
        created_date=call.sandbox.clock.date(),
    )
    call.sandbox.po_lines.by_number[line.number] = line
    for library, location, quantity in places:
        _order(call, line, library, location, quantity)
    return Answer("po_line", _shape(call, line))


def _status(body: Payload) -> str:
    funds = [
        bodies.text(row.get("fund_code"))
        for row in bodies.many(body.get("fund_distribution"))
        if isinstance(row, dict)
    ]
    complete = all(body.get(name) for name in _NEEDED_TO_ORDER)
    known = all(fund in FUNDS for fund in funds) and bodies.text(body.get("vendor")) in VENDORS
    return "SENT" if complete and known else "INREVIEW"


def _places(body: Payload) -> list[tuple[str, str, int]]:
    found = []
    for row in bodies.many(body.get("location")):
        if not isinstance(row, dict):
            continue
        library, location = bodies.text(row.get("library")), bodies.text(row.get("shelving_location"))
        if location_of(library, location) is None:
            raise Refusal("40166411", f"Parameter value is invalid: location {library} {location}.")
        quantity = bodies.text(row.get("quantity")) or "1"
        if not quantity.isdigit() or int(quantity) > 100:
            raise Refusal("40166411", f"Parameter value is invalid: quantity={quantity}.")
        found.append((library, location, int(quantity)))
    return found


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


def _order(call: Call, line: PoLine, library: str, location: str, quantity: int) -> None:
    """A holding where there is none yet, and the items that are on order."""
    holdings = call.catalogue.holdings_of(line.mms_id)
    place = next(
        (entry for entry in holdings if (entry.library, entry.location) == (library, location)), None
    )
    holding = place or _new_holding(call, line.mms_id, library, location)
    for _ in range(quantity):
        item = Item(
            pid=call.catalogue.counter.take("23"),
            mms_id=line.mms_id,
            holding_id=holding.holding_id,
            barcode=items.new_barcode(call),
            texts={"po_line": line.number, "pieces": "1"},
            codes={"physical_material_type": "BOOK"},
            process_type="ACQ",
            created_date=call.sandbox.clock.date(),
            modified_date=call.sandbox.clock.date(),
        )
        call.catalogue.keep_item(item)
        line.items.append(item.pid)


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
    """``PUT /acq/po-lines/{number}``: swap-all."""
    line = _line(call)
    line.body = bodies.read(call)
    if line.status in ("INREVIEW", "SENT"):
        line.status = _status(line.body)
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
    """``POST /acq/po-lines/{number}/items/{item_pid}?op=receive``."""
    line = _line(call)
    item = next((entry for entry in _items(call, line) if entry.pid == call.path["item_pid"]), None)
    if call.query.get("op") != "receive":
        raise Refusal("40166410", f"Parameter value is invalid: op={call.query.get('op', '')}.")
    if item is None:
        raise Refusal("401875", f"Item {call.path['item_pid']} does not belong to PO line {line.number}.")
    if item.texts.get("arrival_date"):
        raise Refusal("401877", f"Item {item.pid} was already received.")
    date = call.query.get("receive_date", "") or call.sandbox.clock.date()
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}Z?", date):
        raise Refusal("40166411", f"Parameter value is invalid: receive_date={date}.")
    department = call.query.get("department", "")
    holder = LIBRARIES.get(call.query.get("department_library", "MAIN"))
    item.texts["arrival_date"] = date
    item.process_type = ""
    if department and holder is not None and department in holder.departments:
        item.process_type, item.work_order_at = "WORK_ORDER_DEPARTMENT", department
    call.catalogue.keep_item(item)
    line.receipts[item.pid] = date
    return items.shown(call, item)


def vendor(call: Call) -> Answer:
    """``GET /acq/vendors/{vendor}``."""
    found = call.path["vendor"]
    if found not in VENDORS:
        raise Refusal("402880", f"Vendor {found} was not found.")
    accounts = [{"code": found, "description": VENDORS[found], "status": code("ACTIVE", "Active")}]
    return Answer("vendor", {"code": found, "name": VENDORS[found], "account": accounts})


def vendors(call: Call) -> Answer:
    """``GET /acq/vendors``."""
    return _codes(call, "/acq/vendors", ("vendors", "vendor"), VENDORS)


def funds(call: Call) -> Answer:
    """``GET /acq/funds``."""
    return _codes(call, "/acq/funds", ("funds", "fund"), FUNDS)


def _codes(call: Call, path: str, names: tuple[str, str], table: dict[str, str]) -> Answer:
    words = call.query.get("q", "").partition("~")[2].replace("_", " ")
    rows: list[Payload] = [
        {"code": key, "name": text, "status": code("ACTIVE", "Active"), "link": call.link(f"{path}/{key}")}
        for key, text in table.items()
        if words in f"{key} {text}"
    ]
    offset, limit = call.page()
    return Answer(names[0], listing(names[1], rows[offset : offset + limit], len(rows)))


# Numbers may hold a slash: the longer paths come first.
ROUTES = [
    route("/acq/po-lines", get=read_list, post=create),
    route("/acq/po-lines/{number:path}/items/{item_pid}", post=receive),
    route("/acq/po-lines/{number:path}/items", get=read_items),
    route("/acq/po-lines/{number:path}", get=read_one, put=update, delete=cancel),
    route("/acq/vendors", get=vendors),
    route("/acq/vendors/{vendor}", get=vendor),
    route("/acq/funds", get=funds),
]
