"""Purchase order lines (`/acq/po-lines`), in JSON. Creating one so that nothing is bought twice: `acq_writes`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date
from urllib.parse import unquote

from alma_etl.alma import shapes
from alma_etl.alma.call import Call, json_call, params, path
from alma_etl.alma.items import Item, item
from alma_etl.alma.resource import Resource
from alma_etl.alma.shapes import Json
from alma_etl.alma.vendors import NO_VENDOR
from alma_etl.remote.answers import Answer, ListAnswer, ask, ask_list

NO_PO_LINE = frozenset({"401871"})
IN_REVIEW = frozenset({"INREVIEW", "REVIEW", "IN_REVIEW"})
"""Statuses of a line that waits for staff, as they are spelt in different releases."""
_ENDED = frozenset({"CLOSED", "CANCELLED"})
_EVERY_STATUS = "ALL_WITH_CLOSED"
_VENDOR_REFERENCE = "vendor_reference_number"
_ADDITIONAL_REFERENCE = "additional_order_reference"


@dataclass(frozen=True)
class PoLine:
    """A PO line; `raw` is Alma's whole object. `status` and `alerts` may be empty right after it was created."""

    number: str
    status: str
    type: str
    owner: str
    vendor: str
    mms_id: str
    raw: Json = field(repr=False)
    vendor_account: str = ""
    vendor_reference: str = ""
    additional_reference: str = ""
    alerts: tuple[str, ...] = ()

    @property
    def in_review(self) -> bool:
        """Whether staff have to look at it before it is sent."""
        return self.status.upper() in IN_REVIEW

    @property
    def ended(self) -> bool:
        """Whether it was closed or cancelled."""
        return self.status.upper() in _ENDED

    @property
    def is_whole(self) -> bool:
        """Whether it shows its title and a reference. A row of a list that lacks them may belong to a line that has
        them: read it."""
        return bool(self.mms_id) and self.shows_references

    @property
    def shows_references(self) -> bool:
        """Whether it has a field of references, be it empty: rows of some lists lack both."""
        return _VENDOR_REFERENCE in self.raw or _ADDITIONAL_REFERENCE in self.raw


@dataclass(frozen=True)
class PoLineItem:
    """An item of a PO line, as far as its list says."""

    barcode: str
    link: str

    @property
    def place(self) -> tuple[str, str, str] | None:
        """Its title, holding and item id, from the link; None for a link that leads to no item."""
        found = _ITEM_LINK.search(self.link)
        return (unquote(found[1]), unquote(found[2]), unquote(found[3])) if found else None


_ITEM_LINK = re.compile(r"/bibs/([^/?]+)/holdings/([^/?]+)/items/([^/?]+)(?:\?.*)?$")


class PoLines(Resource):
    """The calls about PO lines."""

    def read(self, number: str) -> Answer[PoLine]:
        """GET /acq/po-lines/{number}. Absent: 401871. A slash in a number is part of it and goes out as it
        is."""
        call = Call("GET", _path(number))
        return ask(lambda: self._client.call(call, lambda reply: po_line(reply.json())), NO_PO_LINE)

    def find(
        self, *, q: str | None = None, status: str = "ACTIVE", library: str | None = None
    ) -> list[PoLine]:
        """GET /acq/po-lines: all pages. `status` ACTIVE, CLOSED, CANCELLED, ALL (without the closed),
        ALL_WITH_CLOSED. `q` knows no reference of a line. Raises RemoteError."""
        return self._every("/acq/po-lines", "po_line", po_line, _number, q=q, status=status, library=library)

    def of_title(self, mms_id: str) -> ListAnswer[PoLine]:
        """The lines of a title, closed and cancelled ones too; a row that does not say its title may be another's. One
        made a moment ago may be missing."""

        def lines() -> list[PoLine]:
            found = self.find(q=f"mms_id~{mms_id}", status=_EVERY_STATUS)
            return [line for line in found if line.mms_id in ("", mms_id)]

        return ask_list(lines, frozenset())

    def of_vendor(self, code: str) -> ListAnswer[PoLine]:
        """GET /acq/vendors/{code}/po-lines: all pages, 100 lines a request: a sweep. Absent: no such vendor. Unknown
        for a code that cannot stand in a path, see `path`."""

        def lines() -> list[PoLine]:
            return self._every(path("acq", "vendors", code, "po-lines"), "po_line", po_line, _number)

        return ask_list(lines, NO_VENDOR)

    def items(self, number: str) -> ListAnswer[PoLineItem]:
        """GET /acq/po-lines/{number}/items."""
        where = f"{_path(number)}/items"
        return ask_list(
            lambda: self._whole(where, "item", _item, lambda row: f"{row.barcode} {row.link}"), NO_PO_LINE
        )

    def create(self, body: Json, *, manual_review: bool = False, profile_code: str | None = None) -> PoLine:
        """POST /acq/po-lines. `manual_review`: it waits for staff, whatever it has. `profile_code`: a New Order API
        profile. Alma needs owner, type and a title (401664), refuses a code that it does not know (401872) and leaves
        in review what lacks vendor, account, price or fund. Raises RemoteError; ValueError without an MMS id, since
        Alma would choose a title itself, at random among several. After an error with `effect_unknown` it may exist:
        `acq_writes.create_po_line` looks."""
        if not mms_id_of(body):
            raise ValueError("a PO line is ordered with an MMS id, otherwise Alma chooses the title")
        review = True if manual_review else None
        call = json_call(
            "POST", "/acq/po-lines", body, profile_code=profile_code, requires_manual_review=review
        )
        return self._client.call(call, lambda reply: po_line(reply.json()))

    def receive(
        self, number: str, pid: str, *, department: str, department_library: str, received: date
    ) -> Item:
        """POST /acq/po-lines/{number}/items/{pid}?op=receive. The department is named always, since Alma takes any at
        random otherwise. Refused with 401875 for an item of another line, with 401877 for one that cannot be received
        or has been. Raises RemoteError, ValueError without a department; `acq_writes.receive_item` looks after an
        answer that was lost."""
        if not department or not department_library:
            raise ValueError("an item is received in a department, otherwise Alma takes any at random")
        where = f"{_path(number)}{path('items', pid)}"
        call = Call(
            "POST",
            where,
            params(
                op="receive",
                receive_date=f"{received:%Y-%m-%d}Z",
                department=department,
                department_library=department_library,
            ),
            b"{}",
        )
        return self._client.call(call, lambda reply: item(reply.json()))


def _path(number: str) -> str:
    return path("acq", "po-lines", *number.split("/"))


def mms_id_of(body: Json) -> str:
    """The title of a line, as Alma writes it and as it is sent."""
    return shapes.text((body.get("resource_metadata") or {}).get("mms_id"))


def _number(line: PoLine) -> str:
    return line.number


def _item(row: Json) -> PoLineItem:
    barcode = (row.get("item_data") or row).get("barcode")
    return PoLineItem(shapes.text(barcode), shapes.text(row.get("link")))


def po_line(row: Json) -> PoLine:
    """Alma's object of a PO line as a PoLine."""
    return PoLine(
        number=shapes.required(row, "number"),
        status=shapes.text(row.get("status")),
        type=shapes.text(row.get("type")),
        owner=shapes.text(row.get("owner")),
        vendor=shapes.text(row.get("vendor")),
        mms_id=mms_id_of(row),
        raw=row,
        vendor_account=shapes.text(row.get("vendor_account")),
        vendor_reference=shapes.text(row.get(_VENDOR_REFERENCE)),
        additional_reference=shapes.text(row.get(_ADDITIONAL_REFERENCE)),
        alerts=tuple(shapes.text(each) for each in shapes.listed(row, "alert")),
    )
