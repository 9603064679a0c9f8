"""Which orders imports placed, by vendor and reference: no API searches PO lines by reference, and an order that is
placed twice buys twice.

What is kept belongs to one Alma (`General.key`), and no purge empties it. That an order is about to be
sent is noted before, by one sender alone: after a kill it is known which orders may have been placed, and which not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar, cast

from sqlalchemy import ColumnElement, Row, Table, delete, select, tuple_
from sqlalchemy.dialects.postgresql import insert

from alma_etl.alma.acq_writes import normal_reference
from alma_etl.inventory.loaded_items import StoreMemory
from alma_etl.store.db import store_key
from alma_etl.store.models import LoadedOrder

_AT_ONCE = 300
_TABLE = cast(Table, LoadedOrder.__table__)
_KEY = ["alma", "vendor", "reference"]
K = TypeVar("K", str, "OrderReference")


@dataclass(frozen=True, order=True)
class OrderReference:
    """What an order is known by: its vendor, and its reference in the normal form, without case."""

    vendor: str
    reference: str

    @classmethod
    def of(cls, vendor: str, reference: str) -> OrderReference:
        """The key of a reference as it is written in a record or in a PO line."""
        return cls(vendor, store_key(normal_reference(reference)))

    def __str__(self) -> str:
        return f"order {self.vendor} {self.reference}"


@dataclass(frozen=True)
class KnownOrder:
    """The PO line of an order. `po_line` is "" as long as no answer was noted: it may be there or not. `sender` is who
    sent it, and `sent_at` when (UTC)."""

    po_line: str
    mms_id: str
    sender: str
    sent_at: datetime


class LoadedOrders(Protocol):
    """The memory of the orders of one Alma."""

    def find(self, keys: Collection[OrderReference]) -> dict[OrderReference, KnownOrder]:
        """Those of the orders that are known."""
        ...

    def of_senders(self, senders: Collection[str]) -> dict[str, dict[OrderReference, KnownOrder]]:
        """What each of the senders noted, under whatever vendor and reference."""
        ...

    def reserve(
        self, key: OrderReference, order: KnownOrder, *, instead_of: KnownOrder | None = None
    ) -> KnownOrder | None:
        """Note that an order is about to be sent; return None, or what is known of it already: then it must not be
        sent. ``instead_of``: what was known when Alma was asked, and had no PO line; one sender alone takes it over."""
        ...

    def note(self, key: OrderReference, order: KnownOrder) -> None:
        """Keep the PO line of an order; what was known of it is replaced."""
        ...

    def forget(self, keys: Collection[OrderReference], sender: str) -> None:
        """It is known that this sender did not place them; what others noted, and what was placed, stays."""
        ...


class SqlLoadedOrders(StoreMemory):
    """The memory in the state store at `url`; `alma` names gateway, institution and environment.

    Raises StoreUnavailable, one sentence, when the store cannot be asked; StoreRefused when it takes no part.
    """

    purpose = "to find out which orders were placed"

    def find(self, keys: Collection[OrderReference]) -> dict[OrderReference, KnownOrder]:
        columns = _TABLE.c
        found: dict[OrderReference, KnownOrder] = {}
        with self.transaction() as connection:
            for part in _parts(keys):
                query = select(_TABLE).where(columns.alma == self.alma, _among(part))
                found |= map(_known, connection.execute(query))
        return found

    def of_senders(self, senders: Collection[str]) -> dict[str, dict[OrderReference, KnownOrder]]:
        columns = _TABLE.c
        found: dict[str, dict[OrderReference, KnownOrder]] = {}
        with self.transaction() as connection:
            for part in _parts(senders):
                query = select(_TABLE).where(columns.alma == self.alma, columns.sender.in_(part))
                for key, order in map(_known, connection.execute(query)):
                    found.setdefault(order.sender, {})[key] = order
        return found

    def reserve(
        self, key: OrderReference, order: KnownOrder, *, instead_of: KnownOrder | None = None
    ) -> KnownOrder | None:
        if order.po_line:
            raise ValueError(f"{key} has the PO line {order.po_line} already: note it")
        columns = _TABLE.c
        statement = insert(_TABLE).values(alma=self.alma, **asdict(key), **asdict(order))
        if instead_of is not None:
            given_up = (columns.po_line == "") & (columns.sender == instead_of.sender)
            given_up &= columns.sent_at == instead_of.sent_at  # two workers may be one sender
            statement = statement.on_conflict_do_update(
                index_elements=_KEY, set_=asdict(order), where=given_up
            )
        else:
            statement = statement.on_conflict_do_nothing(index_elements=_KEY)
        while True:
            # Of two senders the second one changes nothing, and the answer says so.
            with self.transaction() as connection:
                if connection.execute(statement.returning(columns.sender)).one_or_none() is not None:
                    return None
            known = self.find([key]).get(key)
            if known is not None:  # else the other one has forgotten it meanwhile
                return known

    def note(self, key: OrderReference, order: KnownOrder) -> None:
        if not order.po_line:
            raise ValueError(f"{key} has no PO line yet: reserve it")
        statement = insert(_TABLE).values(alma=self.alma, **asdict(key), **asdict(order))
        with self.transaction() as connection:
            connection.execute(statement.on_conflict_do_update(index_elements=_KEY, set_=asdict(order)))

    def forget(self, keys: Collection[OrderReference], sender: str) -> None:
        columns = _TABLE.c
        ours = (columns.alma == self.alma, columns.sender == sender, columns.po_line == "")
        with self.transaction() as connection:
            for part in _parts(keys):
                connection.execute(delete(_TABLE).where(*ours, _among(part)))


def _among(keys: Sequence[OrderReference]) -> ColumnElement[bool]:
    return tuple_(_TABLE.c.vendor, _TABLE.c.reference).in_([(key.vendor, key.reference) for key in keys])


def _known(row: Row[Any]) -> tuple[OrderReference, KnownOrder]:
    return (
        OrderReference(row.vendor, row.reference),
        KnownOrder(row.po_line, row.mms_id, row.sender, row.sent_at),
    )


def _parts(keys: Collection[K]) -> Iterator[Sequence[K]]:
    ordered = sorted(keys)
    for start in range(0, len(ordered), _AT_ONCE):
        yield ordered[start : start + _AT_ONCE]
