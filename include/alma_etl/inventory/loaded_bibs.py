"""Which titles imports made, by the numbers of their records: Alma's index does not know a new title at once, and a
second record with its number must not make a second one.

What is kept belongs to one Alma, by its gateway and institution, and no purge empties it. That a title is about to be
sent is noted before: after a kill it is known which ones may have been made, and which not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, cast

from sqlalchemy import Table, delete, select
from sqlalchemy.dialects.postgresql import insert

from alma_etl.inventory.loaded_items import StoreMemory
from alma_etl.store.models import LoadedBib

_AT_ONCE = 500


@dataclass(frozen=True)
class KnownBib:
    """The title that imports last made for a number. `mms_id` is "" as long as no answer was noted: it may be there or
    not. `sender` is who sent it, and `sent_at` when (UTC)."""

    mms_id: str
    sender: str
    sent_at: datetime


class LoadedBibs(Protocol):
    """The memory of the imports into one Alma."""

    def find(self, keys: Collection[str]) -> dict[str, KnownBib]:
        """Those of the numbers that are known."""
        ...

    def note(self, keys: Iterable[str], bib: KnownBib) -> None:
        """Keep that a title is about to be sent, or was made; what was known of its numbers is replaced."""
        ...

    def forget(self, keys: Collection[str], sender: str) -> None:
        """It is known that this sender did not make it; what others noted, and what was made, stays."""
        ...


class SqlLoadedBibs(StoreMemory):
    """The memory in the state store at `url`; `alma` names gateway and institution.

    Raises StoreUnavailable, one sentence, when the store cannot be asked; StoreRefused when it takes no part.
    """

    purpose = "to find out which titles imports made"

    def find(self, keys: Collection[str]) -> dict[str, KnownBib]:
        columns = cast(Table, LoadedBib.__table__).c
        query = select(columns.key, columns.mms_id, columns.sender, columns.sent_at)
        found: dict[str, KnownBib] = {}
        with self.transaction() as connection:
            for part in _parts(list(keys)):
                rows = connection.execute(query.where(columns.alma == self.alma, columns.key.in_(part)))
                found |= {row.key: KnownBib(row.mms_id, row.sender, row.sent_at) for row in rows}
        return found

    def note(self, keys: Iterable[str], bib: KnownBib) -> None:
        values = {"mms_id": bib.mms_id, "sender": bib.sender, "sent_at": bib.sent_at}
        # One order for all, so that two imports that note the same numbers wait instead of blocking each other.
        rows = [{"alma": self.alma, "key": key, **values} for key in sorted(set(keys))]
        if not rows:
            return
        statement = insert(cast(Table, LoadedBib.__table__))  # PostgreSQL's words for it are SQLite's as well
        new = {name: statement.excluded[name] for name in values}
        with self.transaction() as connection:
            connection.execute(
                statement.on_conflict_do_update(index_elements=["alma", "key"], set_=new), rows
            )

    def forget(self, keys: Collection[str], sender: str) -> None:
        columns = cast(Table, LoadedBib.__table__).c
        ours = (columns.alma == self.alma, columns.sender == sender, columns.mms_id == "")
        with self.transaction() as connection:
            for part in _parts(sorted(keys)):
                connection.execute(
                    delete(cast(Table, LoadedBib.__table__)).where(*ours, columns.key.in_(part))
                )


def _parts(keys: Sequence[str]) -> Iterable[Sequence[str]]:
    for start in range(0, len(keys), _AT_ONCE):
        yield keys[start : start + _AT_ONCE]
