"""What the desks of both libraries read of a request: where the book goes, whose it is, and who fetches it.

Nothing in these texts is about the patron. What only adorns a text never stops a request: a library that Alma does not
name now is called by its code.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from alma_etl.alma import shapes
from alma_etl.dcb.settings import ANY_LIBRARY, SystemSettings
from alma_etl.dcb.sides.patrons import Card, read_card
from alma_etl.dcb.sides.ports import Unsettled, describe, known
from alma_etl.dcb.sides.systems import Systems
from alma_etl.dcb.sides.virtual_item import PARTS, LentCopy
from alma_etl.dcb.store.rows import LegRecord
from alma_etl.remote.errors import RemoteError, RemoteStop

T = TypeVar("T")


def ship_note(systems: Systems, code: str, library: str) -> str:
    """For the lender's desk: the pickup library to which the book is sent."""
    return f"Ship to {_address(systems, code, library)}"


def lent_copy(systems: Systems, supplier: LegRecord) -> LentCopy:
    """The lender's item as the other side's desk must know it, read now where the lender is an Alma.

    Raises Unsettled when it cannot be read; an item that is gone is described by its library's name alone.
    """
    code, system = supplier.system_code, systems.settings(supplier.system_code)
    item = None
    if system.kind == "alma" and supplier.mms_id and supplier.item_pid:
        where = supplier.mms_id, supplier.holding_id or "ALL", supplier.item_pid
        item = _elsewhere(
            lambda: known(systems.alma(code).items.read(*where), "The lender's item"), "The lender's item"
        )
    if item is None:
        return LentCopy("", _belongs(_address(systems, code, system.library)), {})
    data = item.raw["item_data"]
    parts = {name: value for name in PARTS if (value := shapes.text(data.get(name)))}
    return LentCopy(item.library, _belongs(_address(systems, code, item.library)), parts)


def _belongs(address: str) -> str:
    return f"Belongs to {address}: send it back there."


def _address(systems: Systems, code: str, library: str | None) -> str:
    """What a library is called, by `ship_to`, else by its name in Alma, else by its code; and its system's code."""
    system = systems.settings(code)
    words = system.ship_to.get(library or "") or system.ship_to.get(ANY_LIBRARY)
    if words is None and library and system.kind == "alma":
        with suppress(RemoteError):
            words = {each.code: each.name for each in systems.alma(code).conf.libraries()}.get(library)
    words = words or library
    return f"{words} ({code})" if words else code


def card_for(systems: Systems, home: str, user_id: str, at: SystemSettings, *, fetches: bool) -> Card:
    """What a library may know of a patron whose home is the system ``home``: nothing without `user_groups` and
    `barcode_prefix`; the card's barcode only where the patron fetches the book. Raises Unsettled."""
    if not (at.user_groups or (at.barcode_prefix and fetches)) or systems.settings(home).kind != "alma":
        return Card()
    card = _elsewhere(lambda: read_card(systems.alma(home), user_id), "The patron")
    return card if fetches else Card(card.group)


def _elsewhere(question: Callable[[], T], what: str) -> T:
    """Ask another system than the one in which we act: that it cannot be reached ends nothing, but is waited for."""
    try:
        return question()
    except RemoteStop as stop:
        raise Unsettled(f"{what} could not be read: {describe(stop)}") from stop
