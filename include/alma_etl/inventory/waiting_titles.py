"""Which brief titles of imports wait for their full record: made for an order, by a template or by a vendor's record.

What is kept belongs to one Alma (`General.key`), and no purge empties it. A title is on the list once,
and what took it off is not undone by the run that put it there, however often that is cleared.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Protocol, cast

from sqlalchemy import Label, Select, Table, func, select, update
from sqlalchemy.dialects.postgresql import insert

from alma_etl.inventory.loaded_items import StoreMemory
from alma_etl.store.models import LoadedOrder, WaitingTitle

Settled = Literal["merged", "overlaid", "unchanged", "removed"]
"""What took a title off the list: its full record was merged into it, overlaid it, or is all in it; or a person did."""

_AT_ONCE = 300
_TABLE = cast(Table, WaitingTitle.__table__)
_ORDERS = cast(Table, LoadedOrder.__table__)


@dataclass(frozen=True)
class BriefTitle:
    """A title that waits. `key` is the number by which its record was known; `since` when it was made, by `run_id`."""

    mms_id: str
    title: str
    key: str
    since: datetime
    run_id: str


class WaitingTitles(Protocol):
    """The list of one Alma."""

    def note(self, titles: Iterable[BriefTitle]) -> None:
        """Put titles on the list; one that is or was on it stays as it is."""
        ...

    def settle(self, mms_ids: Collection[str], how: Settled, by: str) -> list[str]:
        """Take titles off the list, by a run or a user; return those that were on it. Others are no matter."""
        ...

    def received(self, mms_ids: Collection[str], when: datetime) -> None:
        """Note that an item of each was received; what was noted first stays. Titles that were never on the list are no
        matter."""
        ...

    def waiting(self, mms_ids: Collection[str]) -> set[str]:
        """Those of the titles that wait."""
        ...


class SqlWaitingTitles(StoreMemory):
    """The list in the state store at `url`; `alma` names gateway, institution and environment.

    Raises StoreUnavailable, one sentence, when the store cannot be asked; StoreRefused when it takes no part.
    """

    purpose = "to find out which titles wait for their full record"

    def note(self, titles: Iterable[BriefTitle]) -> None:
        rows = [
            {"alma": self.alma, **asdict(title), "settled_how": "", "settled_by": ""}
            for title in sorted(titles, key=lambda title: title.mms_id)
        ]
        if rows:
            with self.transaction() as connection:
                connection.execute(insert(_TABLE).on_conflict_do_nothing(), rows)

    def settle(self, mms_ids: Collection[str], how: Settled, by: str) -> list[str]:
        columns = _TABLE.c
        values = {"settled_at": datetime.now(UTC), "settled_how": how, "settled_by": by}
        found: list[str] = []
        with self.transaction() as connection:
            for part in _parts(mms_ids):
                ours = columns.alma == self.alma, columns.mms_id.in_(part), columns.settled_at.is_(None)
                statement = update(_TABLE).where(*ours).values(values).returning(columns.mms_id)
                found += connection.scalars(statement)
        return sorted(found)

    def received(self, mms_ids: Collection[str], when: datetime) -> None:
        columns = _TABLE.c
        with self.transaction() as connection:
            for part in _parts(mms_ids):
                ours = columns.alma == self.alma, columns.mms_id.in_(part), columns.received_at.is_(None)
                connection.execute(update(_TABLE).where(*ours).values(received_at=when))

    def waiting(self, mms_ids: Collection[str]) -> set[str]:
        columns = _TABLE.c
        found: set[str] = set()
        with self.transaction() as connection:
            for part in _parts(mms_ids):
                ours = columns.alma == self.alma, columns.mms_id.in_(part), columns.settled_at.is_(None)
                found |= {*connection.scalars(select(columns.mms_id).where(*ours))}
        return found


def all_waiting() -> Select[Any]:
    """The titles of all Almas that wait, each with its orders: `vendor`, `reference` without case and `po_line`,
    several with commas between them."""
    columns, orders = _TABLE.c, _ORDERS.c

    def listed(name: str) -> Label[str]:
        of_title = (orders.alma == columns.alma, orders.mms_id == columns.mms_id, orders[name] != "")
        each = select(orders[name].label("each")).where(*of_title).distinct().correlate(_TABLE).subquery()
        joined = select(func.coalesce(func.aggregate_strings(each.c.each, ", "), ""))
        return joined.scalar_subquery().label(name)

    return select(_TABLE, *map(listed, ("vendor", "reference", "po_line"))).where(
        columns.settled_at.is_(None)
    )


def _parts(mms_ids: Collection[str]) -> Iterator[Sequence[str]]:
    ordered = sorted(mms_ids)
    for start in range(0, len(ordered), _AT_ONCE):
        yield ordered[start : start + _AT_ONCE]
