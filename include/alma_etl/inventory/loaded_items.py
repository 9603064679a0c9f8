"""Which items and holdings earlier loads made: so that a file dropped again is looked up instead of written again,
and a holding that Alma's lists do not name yet is used instead of made once more.

What is kept belongs to one Alma (`General.key`), however the connection is called.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import ClassVar, Protocol, cast

from sqlalchemy import ColumnElement, Connection, Table, case, delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError

from alma_etl.store.db import open_engine, parse_url, store_problem
from alma_etl.store.models import LoadedItem, MadeHolding, StoredItemKey

_AT_ONCE = 500


@dataclass(frozen=True)
class KnownItem:
    """Where an item was when a load last had to do with it."""

    barcode: str
    mms_id: str
    holding_id: str
    item_pid: str


@dataclass(frozen=True)
class KeyedItem:
    """The item that has a key of another system, such as Aleph's."""

    key: str
    mms_id: str
    item_pid: str


@dataclass(frozen=True)
class HoldingPlace:
    """What a load makes one holding for."""

    mms_id: str
    library: str
    location: str


@dataclass(frozen=True)
class KnownHolding:
    """The holding that loads last sent for a place. `holding_id` is "" as long as no answer was noted: it may have been
    made or not, and may still be under way. `sender` is who sent it."""

    holding_id: str
    sender: str


class LoadedItems(Protocol):
    """The memory of one Alma's loads."""

    def find(self, barcodes: Sequence[str]) -> dict[str, KnownItem]:
        """Those of the barcodes that are known."""
        ...

    def remember(self, items: Iterable[KnownItem], run_id: str) -> None:
        """Keep items; what was known of their barcodes before is replaced."""
        ...

    def find_holding(self, place: HoldingPlace) -> KnownHolding | None:
        """The holding that a load made or sent there."""
        ...

    def keep_holding(self, place: HoldingPlace, holding: KnownHolding) -> None:
        """Keep that a holding is about to be sent, or was made; what was known of the place is replaced."""
        ...

    def forget_holding(self, place: HoldingPlace, holding: KnownHolding) -> None:
        """It is known not to be there; what others noted since stays."""
        ...


class StoreMemory:
    """A memory in the state store at `url`; `alma` names gateway, institution and environment.

    Raises StoreUnavailable, one sentence, when the store cannot be asked; StoreRefused when it takes no part.
    """

    purpose: ClassVar[str] = "to find out what was loaded before"

    def __init__(self, url: str, alma: str) -> None:
        self._url = parse_url(url)
        self.alma = alma
        self._engine = open_engine(self._url)

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction of the store, for the block."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as problem:
            raise store_problem(problem, self._url, self.purpose) from problem


class SqlLoadedItems(StoreMemory):
    """The memory in the state store. `formerly`: the name under which the versions before kept the items, the
    connection's id; they are looked up there, too, and may be another Alma's."""

    def __init__(self, url: str, alma: str, *, formerly: str = "") -> None:
        super().__init__(url, alma)
        self._names = [name for name in (formerly, alma) if name]

    def find(self, barcodes: Sequence[str]) -> dict[str, KnownItem]:
        table = cast(Table, LoadedItem.__table__)
        columns = table.c.barcode, table.c.mms_id, table.c.holding_id, table.c.item_pid
        current_last = case((table.c.alma == self.alma, 1), else_=0)
        found: dict[str, KnownItem] = {}
        with self.transaction() as connection:
            for part in _parts(barcodes):
                query = select(*columns).where(table.c.alma.in_(self._names), table.c.barcode.in_(part))
                query = query.order_by(current_last)
                found |= {row.barcode: KnownItem(*row) for row in connection.execute(query)}
        return found

    def remember(self, items: Iterable[KnownItem], run_id: str) -> None:
        statement = insert(
            cast(Table, LoadedItem.__table__)
        )  # PostgreSQL's words for it are SQLite's as well
        new = statement.excluded
        statement = statement.on_conflict_do_update(
            index_elements=["alma", "barcode"],
            set_={name: new[name] for name in ("mms_id", "holding_id", "item_pid", "run_id")},
        )
        rows = [
            {
                "alma": self.alma,
                "barcode": item.barcode,
                "mms_id": item.mms_id,
                "holding_id": item.holding_id,
                "item_pid": item.item_pid,
                "run_id": run_id,
            }
            for item in items
        ]
        # One order for all, so that two loads that remember the same barcodes wait instead of blocking each other.
        rows.sort(key=lambda row: row["barcode"])
        if not rows:
            return
        with self.transaction() as connection:
            connection.execute(statement, rows)

    def find_key(self, key: str) -> KeyedItem | None:
        """The item that an update noted for a key."""
        columns = cast(Table, StoredItemKey.__table__).c
        query = select(columns.key, columns.mms_id, columns.item_pid)
        with self.transaction() as connection:
            row = connection.execute(query.where(columns.alma == self.alma, columns.key == key)).one_or_none()
        return None if row is None else KeyedItem(*row)

    def remember_key(self, item: KeyedItem) -> None:
        """Note which item has a key; what was noted before is replaced."""
        statement = insert(cast(Table, StoredItemKey.__table__)).values(alma=self.alma, **asdict(item))
        new = {"mms_id": item.mms_id, "item_pid": item.item_pid}
        with self.transaction() as connection:
            connection.execute(statement.on_conflict_do_update(index_elements=["alma", "key"], set_=new))

    def find_holding(self, place: HoldingPlace) -> KnownHolding | None:
        table = cast(Table, MadeHolding.__table__)
        query = select(table.c.holding_id, table.c.sender).where(*self._at(place))
        with self.transaction() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else KnownHolding(*row)

    def keep_holding(self, place: HoldingPlace, holding: KnownHolding) -> None:
        values = asdict(holding)
        statement = insert(cast(Table, MadeHolding.__table__))
        statement = statement.values(alma=self.alma, **asdict(place), **values)
        with self.transaction() as connection:
            connection.execute(
                statement.on_conflict_do_update(index_elements=["alma", *asdict(place)], set_=values)
            )

    def forget_holding(self, place: HoldingPlace, holding: KnownHolding) -> None:
        table = cast(Table, MadeHolding.__table__)
        same = (table.c.holding_id == holding.holding_id, table.c.sender == holding.sender)
        with self.transaction() as connection:
            connection.execute(delete(table).where(*self._at(place), *same))

    def _at(self, place: HoldingPlace) -> list[ColumnElement[bool]]:
        columns = cast(Table, MadeHolding.__table__).c
        return [columns[name] == value for name, value in {"alma": self.alma, **asdict(place)}.items()]


def _parts(barcodes: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(barcodes), _AT_ONCE):
        yield barcodes[start : start + _AT_ONCE]
