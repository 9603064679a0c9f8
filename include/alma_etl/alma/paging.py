"""Lists that Alma gives in pages of at most 100."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from alma_etl.alma import shapes
from alma_etl.alma.envelope import Reply
from alma_etl.alma.errors import AlmaMalformed

T = TypeVar("T")

LIMIT = 100
_MAX_PAGES = 1000
_READINGS = 3


@dataclass(frozen=True)
class Page(Generic[T]):
    """Rows of one page and the `total` of the whole list."""

    rows: list[T]
    total: int


def page(name: str, make: Callable[[dict[str, Any]], T]) -> Callable[[Reply], Page[T]]:
    """How to read a page whose rows are under `name`. Rows that are counted but not there, on the first page
    of a list that is not empty, are the caller's to notice (`every` does)."""

    def read(reply: Reply) -> Page[T]:
        document = reply.json()
        return Page([make(row) for row in shapes.listed(document, name)], shapes.total(document))

    return read


def every(call_name: str, get: Callable[[int], Page[T]], key: Callable[[T], str]) -> list[T]:
    """All rows of a list; `get` fetches the page at an offset, `key` tells rows apart.

    Records that come and go shift the pages, so that a row may be met twice or not at all: unless as many
    different rows were met as the list counts, it is read again. Raises AlmaMalformed when it does not come
    to rest."""
    for _ in range(_READINGS):
        found: dict[str, T] = {}
        offset = 0
        for _ in range(_MAX_PAGES):
            part = get(offset)
            found.update((key(row), row) for row in part.rows)
            offset += len(part.rows)
            if not part.rows or offset >= part.total:
                break
        if len(found) == part.total:
            return list(found.values())
    raise AlmaMalformed(
        call_name,
        None,
        "",
        f"the list counts {part.total} rows but gives {len(found)}; it changed while it was read",
    )
