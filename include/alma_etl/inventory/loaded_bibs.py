"""Which titles imports made or gave numbers to, by these numbers: Alma's index does not know them at once, and a second
record with such a number must not make a second title. And who of them last saved a title, in which version.

Several titles may have one number, such as an ISBN that two editions share: all of them are kept.

What is kept belongs to one Alma (`General.key`), and no purge empties it: it has a row a title that
imports wrote, and one for each number by which Alma may not find it. That a title is about to be sent is noted before:
after a kill it is known which ones may have been made, and which not.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Protocol, TypeVar, cast

from sqlalchemy import ColumnElement, Connection, Table, bindparam, delete, or_, select, tuple_
from sqlalchemy.dialects.postgresql import insert

from alma_etl.inventory.loaded_items import StoreMemory
from alma_etl.store.models import DueInventory, LoadedBib

_AT_ONCE = 500
_MOST = 20  # titles of one number; of what a number without meaning stands in, such as `(Vnd)0`, the last ones are kept
_TABLE = cast(Table, LoadedBib.__table__)
_COLUMNS = _TABLE.c
_DUE = cast(Table, DueInventory.__table__)
_TIME = re.compile(r"\d{14}(?:\.\d+)?", re.ASCII)

X = TypeVar("X")


@dataclass(frozen=True)
class KnownBib:
    """A title that imports made for a number, or gave it to. `mms_id` is "" as long as no answer was noted: it may be
    there or not. `sender` is who sent it last, and `sent_at` when (UTC)."""

    mms_id: str
    sender: str
    sent_at: datetime


@dataclass(frozen=True)
class SavedTitle:
    """What imports last saved of a title: who did, and its versions, by their 005, from `since` to `until`, between
    which nobody else saved it. `since` is what the first of them read."""

    sender: str
    since: str
    until: str

    def is_last(self, version: str) -> bool:
        """Whether this is the version that the last of them made."""
        return _word(version) == self.until

    def is_later(self, version: str) -> bool:
        """Whether imports alone have saved the title since it had this version."""
        version = _word(version)
        if version == self.until:
            return False
        given = [_TIME.fullmatch(each) for each in (self.since, version, self.until)]
        if not all(given):
            return version == self.since
        since, at, until = (Decimal(each[0]) for each in given if each)
        return since <= at < until


@dataclass(frozen=True, order=True)
class DueItem:
    """What a title waits for: an item by its barcode, or a holding by library and location."""

    mms_id: str
    item: str


class LoadedBibs(Protocol):
    """The memory of the imports into one Alma."""

    def find(self, keys: Collection[str]) -> dict[str, list[KnownBib]]:
        """Those of the numbers that are known, each with its titles by MMS id, and with what was about to be sent."""
        ...

    def note(self, keys: Iterable[str], bib: KnownBib) -> None:
        """Keep that a title is about to be sent, in place of what others were; or that it was made, in place of what
        its sender was about to send, and beside other titles of its numbers."""
        ...

    def claim(
        self, keys: Collection[str], bib: KnownBib, *, over: Collection[str | KnownBib]
    ) -> dict[str, list[KnownBib]]:
        """Keep, as `note` does, what is about to be sent, unless something stands against it: a title that others made,
        or what they were about to send, but for those titles (by MMS id) and that in ``over``. Return that, by its
        numbers; then nothing is kept. Of two that claim one number at once, one gets it."""
        ...

    def saved(self, mms_ids: Collection[str]) -> dict[str, SavedTitle]:
        """What imports last saved of those titles of which they saved anything."""
        ...

    def note_saved(self, mms_id: str, sender: str, *, before: str, after: str) -> None:
        """Keep that an import saved a title, and its 005 before and after."""
        ...

    def forget(self, keys: Collection[str], sender: str) -> None:
        """It is known that this sender did not make it; what others noted, and what was made, stays."""
        ...

    def keep_due(self, due: Mapping[str, Collection[DueItem]]) -> None:
        """Keep which items of these senders are to come, in place of what was kept of them."""
        ...

    def settle_due(self, items: Collection[DueItem], titles: Collection[str]) -> None:
        """Nobody has to make these items any more, and all is there that imports had for these ``titles`` before it was
        kept which items that was."""
        ...

    def is_due(self, mms_id: str) -> bool:
        """Return whether items are to come that an import has for a title."""
        ...


class SqlLoadedBibs(StoreMemory):
    """The memory in the state store at `url`; `alma` names gateway, institution and environment.

    Raises StoreUnavailable, one sentence, when the store cannot be asked; StoreRefused when it takes no part.
    """

    purpose = "to find out which titles imports made"

    def find(self, keys: Collection[str]) -> dict[str, list[KnownBib]]:
        if not keys:
            return {}
        with self.transaction() as connection:
            return self._find(connection, keys)

    def _find(self, connection: Connection, keys: Collection[str]) -> dict[str, list[KnownBib]]:
        query = select(_COLUMNS.key, _COLUMNS.mms_id, _COLUMNS.sender, _COLUMNS.sent_at)
        query = query.order_by(_COLUMNS.key, _COLUMNS.mms_id)
        found: dict[str, list[KnownBib]] = {}
        for part in _parts(list(keys)):
            rows = connection.execute(query.where(_COLUMNS.alma == self.alma, _COLUMNS.key.in_(part)))
            for row in rows:
                found.setdefault(row.key, []).append(KnownBib(row.mms_id, row.sender, row.sent_at))
        return found

    def note(self, keys: Iterable[str], bib: KnownBib) -> None:
        if keys := set(keys):
            with self.transaction() as connection:
                self._note(connection, keys, bib)

    def claim(
        self, keys: Collection[str], bib: KnownBib, *, over: Collection[str | KnownBib]
    ) -> dict[str, list[KnownBib]]:
        if not keys:
            return {}
        given_up = [each for each in over if isinstance(each, KnownBib)]
        # Two workers may be one sender.
        sent = [(_COLUMNS.sender == each.sender) & (_COLUMNS.sent_at == each.sent_at) for each in given_up]
        free = or_(_COLUMNS.sender == bib.sender, *sent)
        with self.transaction() as connection:
            # What is about to be sent has one row a number: a claim of the same numbers waits for this one's end.
            self._put(connection, keys, replace(bib, mms_id=""), free)
            known = self._find(connection, keys)
            against = {
                key: others
                for key, titles in known.items()
                if (others := [each for each in titles if not _gives_way(each, bib, over)])
            }
            if against:
                connection.rollback()
                return against
            for key, titles in known.items():
                if len(titles) > _MOST:
                    self._drop_oldest(connection, key, titles)
            if bib.mms_id:
                self._note(connection, keys, bib)
        return {}

    def _drop_oldest(self, connection: Connection, key: str, titles: Iterable[KnownBib]) -> None:
        made = sorted((each for each in titles if each.mms_id), key=lambda each: each.sent_at, reverse=True)
        old = (_COLUMNS.key == key) & _COLUMNS.mms_id.in_([each.mms_id for each in made[_MOST - 1 :]])
        connection.execute(delete(_TABLE).where(_COLUMNS.alma == self.alma, old))

    def saved(self, mms_ids: Collection[str]) -> dict[str, SavedTitle]:
        keys = {_title(mms_id): mms_id for mms_id in mms_ids}
        return {keys[key]: _saved(each) for key, [each] in self.find(keys).items()}

    def note_saved(self, mms_id: str, sender: str, *, before: str, after: str) -> None:
        before, after = _word(before), _word(after)
        earlier = self.saved([mms_id]).get(mms_id)
        since = earlier.since if earlier is not None and before == earlier.until else before
        if earlier is None or after != earlier.until:
            row = KnownBib(mms_id, f"{since} {after} {sender}", datetime.now(UTC))
            self.note([_title(mms_id)], row)

    def _put(
        self,
        connection: Connection,
        keys: Iterable[str],
        bib: KnownBib,
        free: ColumnElement[bool] | None = None,
    ) -> None:
        values = {"mms_id": bib.mms_id, "sender": bib.sender, "sent_at": bib.sent_at}
        # One order for all, so that two imports that note the same numbers wait instead of blocking each other.
        rows = [{"alma": self.alma, "key": key, **values} for key in sorted(set(keys))]
        statement = insert(_TABLE)  # PostgreSQL's words for it are SQLite's as well
        new = {name: statement.excluded[name] for name in ("sender", "sent_at")}
        connection.execute(
            statement.on_conflict_do_update(index_elements=["alma", "key", "mms_id"], set_=new, where=free),
            rows,
        )

    def _note(self, connection: Connection, keys: Collection[str], bib: KnownBib) -> None:
        if bib.mms_id:
            self._forget(connection, keys, bib.sender)
        self._put(connection, keys, bib)

    def forget(self, keys: Collection[str], sender: str) -> None:
        if not keys:
            return
        with self.transaction() as connection:
            self._forget(connection, keys, sender)

    def _forget(self, connection: Connection, keys: Collection[str], sender: str) -> None:
        ours = (_COLUMNS.alma == self.alma, _COLUMNS.sender == sender, _COLUMNS.mms_id == "")
        statement = delete(_TABLE).where(*ours, _COLUMNS.key == bindparam("number"))
        connection.execute(statement, [{"number": key} for key in sorted(keys)])  # in the order of `_put`

    def keep_due(self, due: Mapping[str, Collection[DueItem]]) -> None:
        ours = _DUE.c.alma == self.alma
        rows = [
            {"alma": self.alma, "mms_id": each.mms_id, "item": each.item, "sender": sender}
            for sender, items in due.items()
            for each in sorted(set(items))
        ]
        with self.transaction() as connection:
            for part in _parts(sorted(due)):
                connection.execute(delete(_DUE).where(ours, _DUE.c.sender.in_(part)))
            if rows:
                connection.execute(insert(_DUE).on_conflict_do_nothing(), rows)

    def settle_due(self, items: Collection[DueItem], titles: Collection[str]) -> None:
        ours = _DUE.c.alma == self.alma
        settled = [*sorted(set(items)), *(DueItem(mms_id, "") for mms_id in sorted(titles))]
        with self.transaction() as connection:
            for part in _parts(settled):
                pairs = [(each.mms_id, each.item) for each in part]
                connection.execute(delete(_DUE).where(ours, tuple_(_DUE.c.mms_id, _DUE.c.item).in_(pairs)))

    def is_due(self, mms_id: str) -> bool:
        query = select(_DUE.c.mms_id).where(_DUE.c.alma == self.alma, _DUE.c.mms_id == mms_id)
        with self.transaction() as connection:
            return connection.execute(query).first() is not None


def _parts(keys: Sequence[X]) -> Iterable[Sequence[X]]:
    for start in range(0, len(keys), _AT_ONCE):
        yield keys[start : start + _AT_ONCE]


def _gives_way(known: KnownBib, bib: KnownBib, over: Collection[str | KnownBib]) -> bool:
    """Whether what is known of a number does not stand against a title that is about to be sent."""
    if known.mms_id:
        return known.mms_id == bib.mms_id or known.mms_id in over
    return known.sender == bib.sender  # what was given up has become this sender's


def _title(mms_id: str) -> str:
    """The key of what was saved of a title; its `sender` is behind the two versions."""
    return f"title:{mms_id}"


def _saved(row: KnownBib) -> SavedTitle:
    since, until, sender = row.sender.split(" ", 2)
    return SavedTitle(sender, since, until)


def _word(version: str) -> str:
    return "".join(version.split()) or "-"
