"""Purchase order lines (`/acq/po-lines`), in JSON: reading only."""

from __future__ import annotations

from dataclasses import dataclass, field

from alma_etl.alma import shapes
from alma_etl.alma.call import Call, path
from alma_etl.alma.resource import Resource
from alma_etl.alma.shapes import Json
from alma_etl.remote.answers import Answer, ListAnswer, ask, ask_list

NO_PO_LINE = frozenset({"401871"})


@dataclass(frozen=True)
class PoLine:
    """A PO line; `raw` is Alma's whole object."""

    number: str
    status: str
    type: str
    owner: str
    vendor: str
    mms_id: str
    raw: Json = field(repr=False)


class PoLines(Resource):
    """The calls about PO lines."""

    def read(self, number: str) -> Answer[PoLine]:
        """GET /acq/po-lines/{number}. Absent: 401871. A slash in a number is part of it and goes out as it
        is."""
        call = Call("GET", path("acq", "po-lines", *number.split("/")))
        return ask(lambda: self._client.call(call, lambda reply: _po_line(reply.json())), NO_PO_LINE)

    def find(
        self, *, q: str | None = None, status: str = "ACTIVE", library: str | None = None
    ) -> list[PoLine]:
        """GET /acq/po-lines: all pages. `status` ACTIVE, CLOSED, CANCELLED, ALL (without the closed),
        ALL_WITH_CLOSED. Raises RemoteError."""
        return self._every(
            "/acq/po-lines",
            "po_line",
            _po_line,
            lambda each: each.number,
            q=q,
            status=status,
            library=library,
        )

    def items(self, number: str) -> ListAnswer[tuple[str, str]]:
        """GET /acq/po-lines/{number}/items: (barcode, link) of each item."""
        where = path("acq", "po-lines", *number.split("/"), "items")
        return ask_list(lambda: self._whole(where, "item", _item, " ".join), NO_PO_LINE)


def _item(row: Json) -> tuple[str, str]:
    return shapes.text((row.get("item_data") or row).get("barcode")), shapes.text(row.get("link"))


def _po_line(row: Json) -> PoLine:
    return PoLine(
        number=shapes.required(row, "number"),
        status=shapes.text(row.get("status")),
        type=shapes.text(row.get("type")),
        owner=shapes.text(row.get("owner")),
        vendor=shapes.text(row.get("vendor")),
        mms_id=shapes.text((row.get("resource_metadata") or {}).get("mms_id")),
        raw=row,
    )
