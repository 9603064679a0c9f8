"""Items (`/bibs/{mms_id}/holdings/{holding_id}/items`), in JSON.

A PUT replaces the whole item: what it leaves out is emptied, and an item without `barcode` gets a new one. So
an Item keeps what Alma gave in `raw`, and `update` takes nothing that lacks the barcode."""

from __future__ import annotations

import builtins
import re
from dataclasses import dataclass, field
from urllib.parse import unquote

from alma_etl.alma import shapes
from alma_etl.alma.bibs import NO_BIB
from alma_etl.alma.call import Call, json_call, params, path
from alma_etl.alma.reply import Reply
from alma_etl.alma.resource import LIMIT, Page, Param, Resource, page
from alma_etl.alma.shapes import Json
from alma_etl.remote.answers import Answer, ListAnswer, ask, ask_list

NO_BARCODE = frozenset({"401689"})
NO_ITEM = NO_BIB | {"401688", "402208", "401683", "401684"}


@dataclass(frozen=True)
class Item:
    """One item. Codes, not descriptions; `process_type` is "" on the shelf, else LOAN, TRANSIT, HOLDSHELF,
    ...; `base_status` "1" in place, "0" not. `library` and `location` are the permanent ones; `raw` is Alma's
    whole object."""

    pid: str
    mms_id: str
    holding_id: str
    barcode: str
    library: str
    location: str
    item_policy: str
    material_type: str
    base_status: str
    process_type: str
    requested: bool
    in_temp_location: bool
    raw: Json = field(repr=False)


@dataclass(frozen=True)
class ItemPlace:
    """By what an item is asked for."""

    mms_id: str
    holding_id: str
    pid: str


class Items(Resource):
    """The calls about items."""

    def listed(self, mms_id: str, *, most: int) -> Answer[builtins.list[Item]]:
        """GET .../holdings/ALL/items: the items of a bib, 100 a call, as far as `most` calls go; no more than the first
        call is made for a bib that has more items."""
        where = path("bibs", mms_id, "holdings", "ALL", "items")
        order: dict[str, Param] = {"order_by": "description", "direction": "asc"}

        def get(offset: int) -> Page[Item]:
            call = Call("GET", where, params(**order, limit=LIMIT, offset=offset))
            return self._client.call(call, page("item", item))

        def read() -> builtins.list[Item]:
            part = get(0)
            rows = part.rows
            while part.rows and len(rows) < part.total <= most * LIMIT:
                part = get(len(rows))
                rows = rows + part.rows
            return rows

        return ask(read, NO_ITEM)

    def list(self, mms_id: str, holding_id: str = "ALL", *, expand: str | None = None) -> ListAnswer[Item]:
        """GET .../items: all items of a holding, or of the whole bib, 100 a call. `expand`: due_date,
        due_date_policy. An empty list when there are none; Absent when bib or holding is unknown."""
        where = path("bibs", mms_id, "holdings", holding_id, "items")
        # without an order the pages need not fit together
        order: dict[str, Param] = {"order_by": "description", "direction": "asc"}
        return ask_list(
            lambda: self._every(where, "item", item, lambda each: each.pid, **order, expand=expand), NO_ITEM
        )

    def read(self, mms_id: str, holding_id: str, pid: str, *, expand: str | None = None) -> Answer[Item]:
        """GET .../items/{pid}. Alma does not check the holding id here; the item's `holding_id` is the real
        one."""
        call = Call("GET", path("bibs", mms_id, "holdings", holding_id, "items", pid), params(expand=expand))
        return ask(lambda: self._client.call(call, _item), NO_ITEM)

    def by_barcode(self, barcode: str) -> Answer[Item]:
        """GET /items?item_barcode=, which redirects: two calls. Absent when no item has the barcode (401689)."""
        call = Call("GET", "/items", params(item_barcode=barcode))
        return ask(lambda: self._client.call(call, _item), NO_BARCODE)

    def locate(self, barcode: str) -> Answer[ItemPlace]:
        """Where the item with a barcode is, without reading it: one call, whose redirect is not followed. Absent when
        no item has the barcode (401689)."""
        call = Call("GET", "/items", params(item_barcode=barcode), follow=False)
        return ask(lambda: self._client.call(call, _place), NO_BARCODE)

    def create(self, mms_id: str, holding_id: str, body: Json) -> Item:
        """POST .../items. `body` as {"holding_data": {...}, "item_data": {...}} with a barcode, since Alma
        would make one up; library and location are the holding's. Raises RemoteError; after one with
        `effect_unknown` the item may exist (`writes.create_item` looks). ValueError without a barcode.
        """
        _need_barcode(body)
        if not shapes.text(body["item_data"]["barcode"]):
            raise ValueError("an item is created with a barcode, otherwise Alma makes one up")
        return self._client.call(
            json_call("POST", path("bibs", mms_id, "holdings", holding_id, "items"), body), _item
        )

    def update(self, mms_id: str, holding_id: str, pid: str, body: Json) -> Item:
        """PUT .../items/{pid} with a whole item: what GET gave, changed. Another library or location moves it
        to another holding. Raises RemoteError, ValueError when the body lacks the barcode."""
        _need_barcode(body)
        return self._client.call(
            json_call("PUT", path("bibs", mms_id, "holdings", holding_id, "items", pid), body), _item
        )

    def withdraw(self, mms_id: str, holding_id: str, pid: str, *, override: bool = False) -> Answer[None]:
        """DELETE .../items/{pid}; its holding and bib stay. Refused with 401849 while the item is on loan or
        requested, which `override` does not ask about: it ends the loan and cancels the requests. Absent when
        there is no such item, see `Resource._delete`."""
        where = path("bibs", mms_id, "holdings", holding_id, "items", pid)
        return self._delete(where, NO_ITEM, override=override, holdings="retain")

    def scan_in(
        self,
        mms_id: str,
        holding_id: str,
        pid: str,
        *,
        library: str,
        circ_desk: str | None = None,
        department: str | None = None,
        work_order_type: str | None = None,
        status: str | None = None,
        done: bool | None = None,
        request_id: str | None = None,
        place_on_hold_shelf: bool | None = None,
        register_in_house_use: bool = False,
    ) -> Item:
        """POST .../items/{pid}?op=scan at a desk of `library`, or at a department. Returns loans, fills
        holds, starts and ends work orders. Alma counts an in-house use unless it is said not to, as here.
        The holding id must be the real one. Has been seen to take 52 seconds, and to take effect without an
        answer. Raises RemoteError, ValueError unless exactly one of desk and department is given."""
        if (circ_desk is None) == (department is None):
            raise ValueError("scan in at either a circulation desk or a department")
        return self._client.call(
            json_call(
                "POST",
                path("bibs", mms_id, "holdings", holding_id, "items", pid),
                {},
                op="scan",
                library=library,
                circ_desk=circ_desk,
                department=department,
                work_order_type=work_order_type,
                status=status,
                done=done,
                request_id=request_id,
                place_on_hold_shelf=place_on_hold_shelf,
                register_in_house_use=register_in_house_use,
            ),
            _item,
        )


def _need_barcode(body: Json) -> None:
    if "barcode" not in body.get("item_data", {}):
        raise ValueError("the item's body has no barcode; Alma would give it another")


def _item(reply: Reply) -> Item:
    return item(reply.json())


_ITEM_PATH = re.compile(r"/bibs/([^/?]+)/holdings/([^/?]+)/items/([^/?]+)(?:\?.*)?$")


def _place(reply: Reply) -> ItemPlace:
    """Where a redirect leads; some gateways follow it themselves and answer with the item."""
    if reply.status == 200:
        found = _item(reply)
        return ItemPlace(found.mms_id, found.holding_id, found.pid)
    target = _ITEM_PATH.search(reply.headers.get("Location", ""))
    if target is None:
        raise ValueError("the answer leads to no item")
    return ItemPlace(*map(unquote, target.groups()))


def item(document: Json) -> Item:
    """Alma's item object as an Item."""
    bib, holding, data = document["bib_data"], document["holding_data"], document["item_data"]
    return Item(
        pid=shapes.required(data, "pid"),
        mms_id=shapes.required(bib, "mms_id"),
        holding_id=shapes.required(holding, "holding_id"),
        barcode=shapes.text(data.get("barcode")),
        library=shapes.text(data.get("library")),
        location=shapes.text(data.get("location")),
        item_policy=shapes.text(data.get("policy")),
        material_type=shapes.text(data.get("physical_material_type")),
        base_status=shapes.text(data.get("base_status")),
        process_type=shapes.text(data.get("process_type")),
        requested=shapes.flag(data.get("requested")),
        in_temp_location=shapes.flag(holding.get("in_temp_location")),
        raw=document,
    )
