"""Which items earlier loads made: so that a file dropped again is looked up instead of written again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

from sqlalchemy import Table, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError

from alma_etl.store.db import open_engine, parse_url, store_problem
from alma_etl.store.models import LoadedItem

_AT_ONCE = 500
_PURPOSE = "to find out which items were loaded before"


@dataclass(frozen=True)
class KnownItem:
    """Where an item was when a load last had to do with it."""

    barcode: str
    mms_id: str
    holding_id: str
    item_pid: str


class LoadedItems(Protocol):
    """The memory of one Alma's loads."""

    def find(self, barcodes: Sequence[str]) -> dict[str, KnownItem]:
        """Those of the barcodes that are known."""
        ...

    def remember(self, items: Iterable[KnownItem], run_id: str) -> None:
        """Keep items; what was known of their barcodes before is replaced."""
        ...


class SqlLoadedItems:
    """The memory in the state store at `url`; `alma` names the institution, as the connection does.

    Raises StoreUnavailable, one sentence, when the store cannot be asked; StoreRefused when it takes no part.
    """

    def __init__(self, url: str, alma: str) -> None:
        self._url = parse_url(url)
        self._alma = alma
        self._engine = open_engine(self._url)

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    def find(self, barcodes: Sequence[str]) -> dict[str, KnownItem]:
        """See `LoadedItems`."""
        table = cast(Table, LoadedItem.__table__)
        columns = table.c.barcode, table.c.mms_id, table.c.holding_id, table.c.item_pid
        found: dict[str, KnownItem] = {}
        try:
            with self._engine.begin() as connection:
                for part in _parts(barcodes):
                    query = select(*columns).where(table.c.alma == self._alma, table.c.barcode.in_(part))
                    found |= {row.barcode: KnownItem(*row) for row in connection.execute(query)}
        except SQLAlchemyError as problem:
            raise store_problem(problem, self._url, _PURPOSE) from problem
        return found

    def remember(self, items: Iterable[KnownItem], run_id: str) -> None:
        """See `LoadedItems`."""
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
                "alma": self._alma,
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
        try:
            with self._engine.begin() as connection:
                connection.execute(statement, rows)
        except SQLAlchemyError as problem:
            raise store_problem(problem, self._url, _PURPOSE) from problem


def _parts(barcodes: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(barcodes), _AT_ONCE):
        yield barcodes[start : start + _AT_ONCE]
