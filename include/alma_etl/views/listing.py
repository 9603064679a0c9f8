"""Tables that are sorted, filtered and paged in the database, their state in the query string of the page.

A page is found by the last row of the one before (keyset), so that the last of 4,000 pages costs what the first does.
What a query string says is never an error: what does not fit is as if it were not said.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    Row,
    Select,
    func,
    literal,
    or_,
    select,
    tuple_,
)

from alma_etl.jobs.ledger import clean
from alma_etl.store.models import UtcTime

COUNTED_TO = 10_000
"""Rows are counted up to this number; beyond it a page says "more than"."""
_LONGEST_WORD = 200  # characters of what is searched for
_AT_ONCE = 1_000
_LARGEST = {Integer: 2**31, BigInteger: 2**63}


@dataclass(frozen=True)
class Column:
    """A column of a table. `by`: what it sorts by, which is never NULL; None: it cannot be sorted by.

    `kind`: text, code, number, time, state or outcome; `cell` makes the text for a download from the row, by default
    the value of this name; `shown`: it has a heading on the page, not in the download alone.
    """

    name: str
    label: str
    by: ColumnElement[Any] | None = None
    kind: str = "text"
    cell: Callable[[Row[Any]], Any] | None = None
    shown: bool = True

    def text(self, row: Row[Any]) -> str:
        """The cell in a download."""
        value = self.cell(row) if self.cell else getattr(row, self.name)
        if value is None:
            return ""
        return value.isoformat(timespec="seconds") if isinstance(value, datetime) else str(value)


@dataclass(frozen=True)
class Choice:
    """A value that a filter may have, and what the page calls it."""

    value: str
    label: str


@dataclass(frozen=True)
class Filter:
    """What a table can be narrowed by: one of `choices`, or where there are none, words to look for."""

    name: str
    label: str
    where: Callable[[str], ColumnElement[bool]]
    choices: Sequence[Choice] = ()


@dataclass(frozen=True)
class Heading:
    """A column's heading. `link`: the query string that sorts by it, None where nothing does; `sorted`: "ascending",
    "descending", or "" where the table is not sorted by it."""

    column: Column
    link: str | None
    sorted: str


@dataclass(frozen=True)
class FilterField:
    """A filter as the page's form shows it."""

    filter: Filter
    value: str


@dataclass(frozen=True)
class TablePage:
    """One page of a table. Links are query strings, None where they lead nowhere.

    `total` counts the filtered rows up to `COUNTED_TO`, above which `more` is True.
    """

    rows: Sequence[Row[Any]]
    headings: Sequence[Heading]
    fields: Sequence[FilterField]
    sort: str
    total: int
    more: bool
    first: str | None
    previous: str | None
    next: str | None
    all: str
    """The query string of everything that is filtered, for a download."""

    @property
    def filtered(self) -> bool:
        """Whether a filter is set."""
        return any(field.value for field in self.fields)


def contains(
    *texts: ColumnElement[Any], codes: Sequence[ColumnElement[Any]] = ()
) -> Callable[[str], ColumnElement[bool]]:
    """A filter's `where`: one of the texts contains the words in whatever case, or one of the codes just as they are.

    Codes, such as ids, are apart since folding the case of every row is most of what a search costs.
    """

    def where(words: str) -> ColumnElement[bool]:
        if words.upper() == words.lower():
            return or_(*(column.contains(words, autoescape=True) for column in (*texts, *codes)))
        folded = (column.icontains(words, autoescape=True) for column in texts)
        return or_(*folded, *(column.contains(words, autoescape=True) for column in codes))

    return where


def equals(column: ColumnElement[Any]) -> Callable[[str], ColumnElement[bool]]:
    """A filter's `where`: the column has this value."""
    return lambda value: column == value


@dataclass(frozen=True)
class Listing:
    """A table that can be asked for: `query` selects what the columns show, `key` makes a row's place certain.

    `sort`: the column that it is sorted by where nothing else is asked, with "-" in front where from the last on.
    """

    query: Select[Any]
    columns: Sequence[Column]
    key: Sequence[ColumnElement[Any]]
    sort: str
    filters: Sequence[Filter] = ()
    size: int = 50

    def page(self, connection: Connection, asked: Mapping[str, str]) -> TablePage:
        """The page that a query string asks for; two queries at most."""
        state = _State.read(self, asked)
        rows, before, after = self._rows(connection, state)
        total = len(rows)
        if before or after:
            total = connection.execute(_counted(self._filtered(state))).scalar_one()
        return TablePage(
            rows=rows,
            headings=[self._heading(each, state) for each in self.columns if each.shown],
            fields=[FilterField(each, state.filters.get(each.name, "")) for each in self.filters],
            sort=state.sort if state.sort != self.sort else "",
            total=min(total, COUNTED_TO),
            more=total > COUNTED_TO,
            first=state.link() if before else None,
            previous=state.link(before=_cursor(rows[0])) if before and rows else None,
            next=state.link(after=_cursor(rows[-1])) if after and rows else None,
            all=state.link(),
        )

    def every_row(self, connection: Connection, asked: Mapping[str, str]) -> Iterator[Row[Any]]:
        """All filtered rows in the order asked for, in flat memory."""
        state = _State.read(self, asked)
        query = self._filtered(state).order_by(*_directed(self._order(state), state.descending))
        with connection.execution_options(yield_per=_AT_ONCE).execute(query) as found:
            yield from found

    def _rows(self, connection: Connection, state: _State) -> tuple[list[Row[Any]], bool, bool]:
        """The rows, and whether there are rows before and after them."""
        backwards = state.before is not None
        order = self._order(state)
        at = state.before if backwards else state.after
        query = self._filtered(state).add_columns(
            *(part.label(f"{_CURSOR}{number}") for number, part in enumerate(order))
        )
        descending = state.descending != backwards
        if at is not None:
            here = tuple_(*order)
            there = tuple_(*(literal(value, part.type) for value, part in zip(at, order, strict=True)))
            query = query.where(here < there if descending else here > there)
        query = query.order_by(*_directed(order, descending)).limit(self.size + 1)
        rows = list(connection.execute(query))
        further, rows = len(rows) > self.size, rows[: self.size]
        if backwards:
            return rows[::-1], further, True
        return rows, at is not None, further

    def _filtered(self, state: _State) -> Select[Any]:
        return self.query.where(
            *(each.where(state.filters[each.name]) for each in self.filters if each.name in state.filters)
        )

    def _order(self, state: _State) -> list[ColumnElement[Any]]:
        (by,) = (each.by for each in self.columns if each.name == state.sorted_by)
        assert by is not None
        return [by, *(each for each in self.key if each is not by)]

    def _heading(self, column: Column, state: _State) -> Heading:
        if column.by is None:
            return Heading(column, None, "")
        if column.name != state.sorted_by:
            return Heading(column, state.link(sort=column.name), "")
        turned = column.name if state.descending else f"-{column.name}"
        return Heading(column, state.link(sort=turned), "descending" if state.descending else "ascending")


_CURSOR = "cursor_"


@dataclass(frozen=True)
class _State:
    """What a query string asks of a table."""

    listing: Listing
    sort: str
    filters: Mapping[str, str]
    before: Sequence[Any] | None
    after: Sequence[Any] | None

    @classmethod
    def read(cls, listing: Listing, asked: Mapping[str, str]) -> _State:
        sort = asked.get("sort", "")
        if sort.removeprefix("-") not in {each.name for each in listing.columns if each.by is not None}:
            sort = listing.sort
        filters = {}
        for each in listing.filters:
            value = _word(asked.get(each.name, ""))
            if value and (not each.choices or value in {choice.value for choice in each.choices}):
                filters[each.name] = value
        state = cls(listing, sort, filters, None, None)
        order = listing._order(state)
        before, after = (_place(asked.get(name, ""), order) for name in ("before", "after"))
        return cls(listing, sort, filters, before, None if before else after)

    @property
    def sorted_by(self) -> str:
        return self.sort.removeprefix("-")

    @property
    def descending(self) -> bool:
        return self.sort.startswith("-")

    def link(self, sort: str | None = None, **place: str) -> str:
        """A query string with the same filters."""
        sort = self.sort if sort is None else sort
        asked = {**self.filters, **({"sort": sort} if sort != self.listing.sort else {}), **place}
        return f"?{urlencode(asked)}" if asked else "?"


def _word(text: str) -> str:
    return str(clean(text.replace("\0", ""))).strip()[:_LONGEST_WORD]


def _directed(order: Sequence[ColumnElement[Any]], descending: bool) -> list[ColumnElement[Any]]:
    return [each.desc() if descending else each.asc() for each in order]


def _counted(query: Select[Any]) -> Select[Any]:
    bounded = query.with_only_columns(*list(query.selected_columns)[:1]).limit(COUNTED_TO + 1)
    return select(func.count()).select_from(bounded.subquery())


def _cursor(row: Row[Any]) -> str:
    values = [value for name, value in row._mapping.items() if str(name).startswith(_CURSOR)]
    plain = [value.isoformat() if isinstance(value, datetime) else value for value in values]
    return base64.urlsafe_b64encode(json.dumps(plain).encode()).decode().rstrip("=")


def _place(cursor: str, order: Sequence[ColumnElement[Any]]) -> list[Any] | None:
    """The values of a cursor; None for one that was not made for this order."""
    if not cursor or len(cursor) > 8 * _LONGEST_WORD:
        return None
    try:
        values = json.loads(base64.urlsafe_b64decode(f"{cursor}{'=' * (-len(cursor) % 4)}"))
        if not isinstance(values, list):
            return None
        return [_value(value, part) for value, part in zip(values, order, strict=True)]
    except (ValueError, binascii.Error, RecursionError):
        return None


def _value(value: object, part: ColumnElement[Any]) -> Any:
    """A value as the database compares it; ValueError for one of another kind."""
    if isinstance(part.type, UtcTime):
        when = datetime.fromisoformat(str(value))
        return when if when.tzinfo else when.replace(tzinfo=UTC)
    if isinstance(part.type, Integer):
        most = _LARGEST[BigInteger if isinstance(part.type, BigInteger) else Integer]
        if isinstance(value, bool) or not isinstance(value, int) or not -most <= value < most:
            raise ValueError("not a number that a column can have")
        return value
    if not isinstance(value, str) or "\0" in value:
        raise ValueError("not a text")
    value.encode()  # UnicodeEncodeError is a ValueError
    return value
