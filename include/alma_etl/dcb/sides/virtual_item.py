"""The virtual item: a suppressed title, holding and item with the book's barcode, so that it can be scanned.

Taken away again is only what is provably ours, and never a book that is out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from lxml import etree

from alma_etl.alma import writes
from alma_etl.alma.client import AlmaClient
from alma_etl.alma.items import Item
from alma_etl.alma.shapes import Json, coded, text
from alma_etl.dcb.settings import SystemSettings
from alma_etl.dcb.sides import marks
from alma_etl.dcb.sides.ports import Impossible, Unsettled, describe, gone, known, settled
from alma_etl.remote.answers import Unknown, ask
from alma_etl.remote.errors import RemoteRefused


@dataclass(frozen=True, slots=True)
class LentCopy:
    """The lender's item as the desk must know it. ``library``: its own, "" where that is not known; ``note``: whose it
    is and where it is sent back; ``parts``: description, enumeration and chronology by Alma's names, those that it has.
    """

    library: str
    note: str
    parts: Mapping[str, str]


PARTS = ("description", *(f"enumeration_{letter}" for letter in "abcdefgh"))
PARTS += tuple(f"chronology_{letter}" for letter in "ijklm")


@dataclass(frozen=True, slots=True)
class VirtualWish:
    """What the virtual item shows; without ``copy`` a barcode alone can be asked about."""

    pr_id: str
    barcode: str
    material_type: str
    title: str
    author: str | None = None
    isbn: str | None = None
    copy: LentCopy | None = None


@dataclass(frozen=True, slots=True)
class VirtualItem:
    """Its ids in the borrower's (or pickup library's) Alma."""

    mms_id: str
    holding_id: str
    item_pid: str
    barcode: str


def create(
    alma: AlmaClient,
    system: SystemSettings,
    wish: VirtualWish,
    now: datetime,
    *,
    pauses: Sequence[float] = (),
) -> VirtualItem:
    """Make the virtual item of a request, or go on with what an earlier attempt left.

    ``pauses``: seconds before each further look for a title that an attempt whose answer was lost may have made;
    Alma's index lags. Raises Impossible when the barcode is that of a real item or of another request under way, or
    when Alma does not take a part; Unsettled; RemoteStop. What was made until then stays, for `remove`.
    """
    ready = _by_barcode(alma, wish)
    if ready is not None:
        return ready
    mms_id = _find_title(alma, wish.pr_id, pauses)
    if mms_id is not None:
        return _completed(alma, system, wish, mms_id, now)
    record = _bib_record(wish, now)
    made = writes.create_bib(alma, record, marker=marks.bib_mark(wish.pr_id), suppressed=True)
    bib = settled(made, "The virtual title could not be made")
    return _with_item(alma, wish, bib.mms_id, _make_holding(alma, system, bib.mms_id, (), now), system)


def check_barcode(alma: AlmaClient, wish: VirtualWish) -> None:
    """The barcode must be used by no item, by this request's own, or by an idle leftover of ours.

    Raises Impossible as `create` does, Unsettled, RemoteStop.
    """
    item = known(alma.items.by_barcode(wish.barcode), "The barcode")
    if item is not None:
        _refuse_foreign(alma, wish, item)


def check_location(alma: AlmaClient, system: SystemSettings) -> None:
    """The library must have the location of the virtual items. Raises Impossible, Unsettled, RemoteStop."""
    library, wanted = system.library or "", system.location
    answer = ask(lambda: alma.conf.locations(library), frozenset())
    if isinstance(answer, Unknown) and isinstance(answer.error, RemoteRefused):
        raise Impossible(
            f"library: Alma does not list the locations of {library!r} ({describe(answer.error)}): look at library in "
            "config/dcb.yaml"
        )
    rows = known(answer, "The list of locations") or []
    codes = sorted(location.code for location in rows)
    if wanted not in codes:
        raise Impossible(
            f"location: the library {library} has no location {wanted!r}, in which its virtual items are; it has "
            f"{', '.join(codes)}. Look at location in config/dcb.yaml"
        )


def _by_barcode(alma: AlmaClient, wish: VirtualWish) -> VirtualItem | None:
    item = known(alma.items.by_barcode(wish.barcode), "The barcode")
    if item is None:
        return None
    owner = _refuse_foreign(alma, wish, item)
    if owner == wish.pr_id:
        return _as_wished(alma, item, wish)
    remove(alma, owner, item.mms_id)
    return None


def _refuse_foreign(alma: AlmaClient, wish: VirtualWish, item: Item) -> str:
    """The request that the item with our barcode belongs to. Raises Impossible when it must not be touched."""
    bib = known(alma.bibs.read(item.mms_id), "The title of the item with this barcode")
    owner = marks.owner_of(bib) if bib is not None else None
    if owner is None or not is_virtual_holding(alma, item.mms_id, item.holding_id):
        raise Impossible(
            f"The barcode {wish.barcode} belongs to another item of this Alma (title {item.mms_id}, item {item.pid}): "
            "the book could not be distinguished from it. Look which of the two has the wrong barcode"
        )
    if owner != wish.pr_id and is_used(alma, item):
        raise Impossible(
            f"The barcode {wish.barcode} is in use by the request {owner}, which is not over: close that one first"
        )
    return owner


def _find_title(alma: AlmaClient, pr_id: str, pauses: Sequence[float]) -> str | None:
    for pause in (0.0, *pauses):
        if pause:
            alma.pause(pause)
        rows = known(alma.bibs.by_system_number(marks.bib_mark(pr_id)), "The virtual title") or []
        ours = [bib.mms_id for bib in rows if marks.owner_of(bib) == pr_id]
        if ours:
            return ours[0]
    return None


def _completed(
    alma: AlmaClient, system: SystemSettings, wish: VirtualWish, mms_id: str, now: datetime
) -> VirtualItem:
    """Go on with a title that is there: it may lack its holding or item, or have the barcode of an earlier lender."""
    rows = known(alma.holdings.list(mms_id), "The virtual title's holdings") or []
    ours = next((row.holding_id for row in rows if row.call_number == marks.VIRTUAL_CALL_NUMBER), None)
    holding_id = ours or _make_holding(alma, system, mms_id, [row.holding_id for row in rows], now)
    items = known(alma.items.list(mms_id, holding_id), "The virtual items") or []
    if not items:
        return _with_item(alma, wish, mms_id, holding_id, system)
    return _as_wished(alma, items[0], wish)


def _as_wished(alma: AlmaClient, item: Item, wish: VirtualWish) -> VirtualItem:
    """It may show the book of an earlier lender."""
    fields: Json = {"barcode": wish.barcode, **_shown(wish, all_parts=True)}
    changed = {name: value for name, value in fields.items() if _noted(item, name) != value}
    if changed:
        item = _changed(alma, item, changed, "The virtual item could not be changed")
    return VirtualItem(item.mms_id, item.holding_id, item.pid, item.barcode)


def _shown(wish: VirtualWish, *, all_parts: bool = False) -> dict[str, str]:
    if wish.copy is None:
        return {}
    parts = dict.fromkeys(PARTS, "") if all_parts else {}
    return {"fulfillment_note": wish.copy.note, **parts, **wish.copy.parts}


def _make_holding(
    alma: AlmaClient, system: SystemSettings, mms_id: str, known_ids: Sequence[str], now: datetime
) -> str:
    made = writes.create_holding(alma, mms_id, _holding_record(system, now), known=known_ids)
    return settled(made, "The virtual holding could not be made").holding_id


def _with_item(
    alma: AlmaClient, wish: VirtualWish, mms_id: str, holding_id: str, system: SystemSettings
) -> VirtualItem:
    made = writes.create_item(alma, mms_id, holding_id, _item_body(system, wish))
    item = settled(made, "The virtual item could not be made")
    return VirtualItem(mms_id, holding_id, item.pid, item.barcode)


def set_barcode(alma: AlmaClient, item: Item, barcode: str) -> Item:
    """Give a virtual item another barcode: that of the book now. Refused on items that are not virtual.

    Raises Impossible, Unsettled, RemoteStop.
    """
    if item.barcode == barcode:
        return item
    return _changed(alma, item, {"barcode": barcode}, "The barcode of the virtual item could not be changed")


def prevent_renewal(alma: AlmaClient, system: SystemSettings, item: Item) -> Item:
    """Let nobody renew the loan of a virtual item any more: by its policy, or else by a note for the desk.

    The policy that it had is kept with the item, for `restore_renewal`. Raises Impossible, Unsettled, RemoteStop.
    """
    what = "Renewals of the virtual item could not be prevented"
    policy = system.no_renew_policy
    if policy:
        if item.item_policy == policy:
            return item
        kept = _POLICIES.sub("", _noted(item, "internal_note_2"))
        kept = f"{kept} [DCB-POLICY:{item.item_policy}>{policy}]".strip()
        try:
            return _changed(alma, item, {"policy": coded(policy), "internal_note_2": kept}, what)
        except Impossible as refused:
            if not refused.code:
                raise
    note = _noted(item, "fulfillment_note")
    if _NO_RENEWAL in note:
        return item
    return _changed(alma, item, {"fulfillment_note": f"{note} {_NO_RENEWAL}".strip()}, what)


def restore_renewal(alma: AlmaClient, system: SystemSettings, item: Item) -> Item:
    """Undo what `prevent_renewal` did: the policy that stood before, and the note goes. A policy that somebody else has
    set since stays. Raises Impossible, Unsettled, RemoteStop.
    """
    fields: Json = {}
    kept = _noted(item, "internal_note_2")
    found = _POLICIES.search(kept)
    if found is not None:
        fields["internal_note_2"] = _POLICIES.sub("", kept).strip()
        if item.item_policy == found["after"]:
            fields["policy"] = coded(found["before"])
    elif system.item_policy and item.item_policy == system.no_renew_policy:
        fields["policy"] = coded(system.item_policy)
    note = _noted(item, "fulfillment_note")
    if _NO_RENEWAL in note:
        fields["fulfillment_note"] = note.replace(_NO_RENEWAL, "").strip()
    if not fields:
        return item
    return _changed(alma, item, fields, "Renewals of the virtual item could not be allowed again")


_NO_RENEWAL = "The lender wants it back: do not renew"
_POLICIES = re.compile(r"\s*\[DCB-POLICY:(?P<before>[^>\]]*)>(?P<after>[^\]]*)\]")


def _noted(item: Item, field: str) -> str:
    return text(item.raw["item_data"].get(field))


def _changed(alma: AlmaClient, item: Item, fields: Json, what: str) -> Item:
    if not is_virtual_holding(alma, item.mms_id, item.holding_id):
        raise Impossible(f"{what}: the item {item.pid} is not a virtual one")
    changes = {"item_data": fields}
    written = writes.update_item(
        alma, item.mms_id, item.holding_id, item.pid, changes, least=("pid", *_SENT, *fields)
    )
    return settled(written, what)


# --- what is sent


def _bib_record(wish: VirtualWish, now: datetime) -> bytes:
    record = etree.Element("record")
    etree.SubElement(record, "leader").text = "00000nam a2200000   4500"
    control = etree.SubElement(record, "controlfield", tag="008")
    control.text = f"{now:%y%m%d}nuuuuuuuuxx {'':17}und d"
    _add(record, "020", "  ", wish.isbn)
    _add(record, "035", "  ", marks.bib_mark(wish.pr_id))
    _add(record, "100", "1 ", wish.author)
    _add(record, "245", "10" if wish.author else "00", wish.title)
    _add(record, "500", "  ", marks.BIB_NOTE)
    return etree.tostring(record, encoding="utf-8")


def _holding_record(system: SystemSettings, now: datetime) -> bytes:
    record = etree.Element("record")
    etree.SubElement(record, "leader").text = "     nx  a22     1n 4500"
    control = etree.SubElement(record, "controlfield", tag="008")
    control.text = f"{now:%y%m%d}2u    0   4001uu   0000000"
    place = etree.SubElement(record, "datafield", ind1="8", ind2=" ", tag="852")
    for code, value in (("b", system.library), ("c", system.location), ("h", marks.VIRTUAL_CALL_NUMBER)):
        etree.SubElement(place, "subfield", code=code).text = value
    return etree.tostring(record, encoding="utf-8")


def _add(record: etree._Element, tag: str, indicators: str, value: str | None) -> None:
    if value:
        field = etree.SubElement(record, "datafield", ind1=indicators[0], ind2=indicators[1], tag=tag)
        etree.SubElement(field, "subfield", code="a").text = value


_SENT = (
    "barcode",
    "physical_material_type",
    "policy",
    "library",
    "location",
    "internal_note_1",
    "fulfillment_note",
    *PARTS,
)
"""The fields of a virtual item that we send: all that need be sent when it is changed."""


def _item_body(system: SystemSettings, wish: VirtualWish) -> Json:
    return {
        "holding_data": {},
        "item_data": {
            "barcode": wish.barcode,
            "physical_material_type": coded(system.material_type(wish.material_type)),
            "policy": coded(system.item_policy or ""),
            "library": coded(system.library or ""),
            "location": coded(system.location or ""),
            "internal_note_1": f"DCB request {wish.pr_id}",
            **_shown(wish),
        },
    }


# --- taken away again


def is_virtual_holding(alma: AlmaClient, mms_id: str, holding_id: str) -> bool:
    """Whether a holding has the call number of virtual ones. Raises Unsettled, RemoteStop."""
    rows = known(alma.holdings.list(mms_id), "The title's holdings") or []
    numbers = {row.holding_id: row.call_number for row in rows}
    return numbers.get(holding_id) == marks.VIRTUAL_CALL_NUMBER


def is_used(alma: AlmaClient, item: Item) -> bool:
    """Whether an item is lent or requested. Raises Unsettled, RemoteStop."""
    if is_lent(alma, item):
        return True
    rows = known(alma.requests.of_item(item.mms_id, item.holding_id, item.pid), "The item's requests")
    return bool(rows)


def is_lent(alma: AlmaClient, item: Item) -> bool:
    """Whether an item is lent to anybody; the loan outvotes the item. Raises Unsettled, RemoteStop."""
    loans = known(alma.loans.of_item(item.mms_id, item.holding_id, item.pid), "The item's loans")
    return bool(loans) or item.process_type == "LOAN"


def remove(alma: AlmaClient, pr_id: str, mms_id: str | None = None) -> bool:
    """Delete the virtual item of a request with its holding and title; False when there was nothing.

    ``mms_id``: where it is known; else it is found by its mark. Raises Unsettled while the item is lent; Impossible
    when something hangs on the title that is not ours, which a person has to look at; RemoteStop.
    """
    titles = [mms_id] if mms_id is not None else _titles(alma, pr_id)
    removed = [_remove_title(alma, pr_id, each) for each in titles]
    return any(removed)


def _titles(alma: AlmaClient, pr_id: str) -> list[str]:
    rows = known(alma.bibs.by_system_number(marks.bib_mark(pr_id)), "The virtual title") or []
    return [bib.mms_id for bib in rows]


def _remove_title(alma: AlmaClient, pr_id: str, mms_id: str) -> bool:
    bib = known(alma.bibs.read(mms_id), f"The virtual title {mms_id}")
    if bib is None:
        return False
    if marks.owner_of(bib) != pr_id:
        raise Impossible(
            f"The title {mms_id} is not provably the virtual one of the request {pr_id} (suppressed, with our note and "
            "mark): nothing was deleted; look at it in Alma"
        )
    holdings = known(alma.holdings.list(mms_id), "The virtual title's holdings") or []
    for holding in holdings:
        if holding.call_number != marks.VIRTUAL_CALL_NUMBER:
            raise Impossible(
                f"The virtual title {mms_id} has a holding {holding.holding_id} that is not ours: nothing was "
                "deleted; move it to its own title in Alma"
            )
    items = known(alma.items.list(mms_id), "The virtual items") or []
    for item in items:
        _may_go(alma, pr_id, item)
    for item in items:
        # Alma asks before it deletes an item that is in transit or on a hold shelf; nobody is there to answer.
        removed = alma.items.withdraw(mms_id, item.holding_id, item.pid, override=True)
        gone(removed, f"The virtual item {item.pid} could not be deleted")
    for holding in holdings:
        removed = alma.holdings.delete(mms_id, holding.holding_id)
        gone(removed, f"The virtual holding {holding.holding_id} could not be deleted")
    gone(alma.bibs.delete(mms_id), f"The virtual title {mms_id} could not be deleted")
    return True


def _may_go(alma: AlmaClient, pr_id: str, item: Item) -> None:
    if is_lent(alma, item):
        raise Unsettled(f"The virtual item {item.pid} is lent: it stays until it is returned")
    rows = known(alma.requests.of_item(item.mms_id, item.holding_id, item.pid), "The virtual item's requests")
    foreign = [row.request_id for row in rows or () if f"[DCB-REQUEST:{pr_id}:" not in row.comment]
    if foreign:
        raise Impossible(
            f"Somebody else requested the virtual item {item.pid} (request {', '.join(foreign)}): cancel that in Alma, "
            "then try again"
        )
