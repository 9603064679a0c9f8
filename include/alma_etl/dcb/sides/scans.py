"""Scan-ins at the system's own desk: send a virtual item on its way, take it back, put it in place."""

from __future__ import annotations

from alma_etl.alma import writes
from alma_etl.alma.client import AlmaClient
from alma_etl.alma.items import Item
from alma_etl.dcb.settings import SystemSettings
from alma_etl.dcb.sides.words import Impossible, known, settled
from alma_etl.dcb.store.rows import LegRecord

_ON_ITS_WAY = frozenset({"TRANSIT", "HOLDSHELF", "LOAN"})


def read_item(alma: AlmaClient, leg: LegRecord) -> Item:
    """The side's item by its pid, with its real holding. Raises Impossible when it is gone, Unsettled, RemoteStop."""
    if leg.mms_id is None or leg.item_pid is None:
        raise Impossible(f"No item is known at {leg.system_code}")
    found = known(alma.items.read(leg.mms_id, leg.holding_id or "ALL", leg.item_pid), "The item")
    if found is None:
        raise Impossible(f"The item {leg.item_pid} is not in the Alma of {leg.system_code} any more")
    return found


def scan_in(alma: AlmaClient, system: SystemSettings, item: Item) -> Item:
    """Scan an item, read a moment ago, in at the library that owns it. Raises Impossible, Unsettled, RemoteStop.

    The system's desk is one of its own library; every other library has Alma's default one.
    """
    desk = system.circ_desk if item.library == system.library else "DEFAULT_CIRC_DESK"
    written = writes.scan_in(alma, item, library=item.library, circ_desk=desk)
    return settled(written, f"The item {item.pid} could not be scanned in")


def send_out(alma: AlmaClient, system: SystemSettings, leg: LegRecord) -> Item:
    """Put a virtual item in transit, as the book is.

    Left as it is when it is on its way already, and when it is to be picked up at the very library that owns it: a
    scan there would put it on the hold shelf, as if the book had come.
    """
    item = read_item(alma, leg)
    if item.process_type in _ON_ITS_WAY or item.library == leg.pickup_library:
        return item
    return scan_in(alma, system, item)


def receive(alma: AlmaClient, system: SystemSettings, leg: LegRecord) -> Item:
    """Scan in an item that has arrived where the patron fetches it; one that is lent is left alone, since a scan
    would return it."""
    item = read_item(alma, leg)
    return item if item.process_type == "LOAN" else scan_in(alma, system, item)


def check_in(alma: AlmaClient, system: SystemSettings, leg: LegRecord) -> Item:
    """Return an item that is lent; one that is not lent is returned already."""
    item = read_item(alma, leg)
    return scan_in(alma, system, item) if item.process_type == "LOAN" else item


def put_in_place(alma: AlmaClient, system: SystemSettings, leg: LegRecord) -> Item:
    """Bring an item back to its shelf, from wherever it is."""
    item = read_item(alma, leg)
    in_place = not item.process_type and item.base_status == "1"
    return item if in_place else scan_in(alma, system, item)
