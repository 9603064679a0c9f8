"""What the areas of the API have in common: one answer, lists that Alma gives whole or in pages, deletions.

A list counts its rows (`total_record_count`) beside naming them, and the two need not agree: pages shift while
they are read, and some lists count what they do not show. A list that names fewer than it counts says that the
named rows are there and nothing about others, so it must not be taken for the whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from alma_etl.alma import shapes
from alma_etl.alma.call import Call, named, params
from alma_etl.alma.reply import Reply
from alma_etl.counted import counted
from alma_etl.remote.answers import Answer, ask
from alma_etl.remote.errors import RemoteShortList

T = TypeVar("T")
Param = str | int | bool | None

LIMIT = 100
_MAX_PAGES = 1000
_READINGS = 3


class AlmaCaller(Protocol):
    """What a resource needs of the client."""

    def call(
        self,
        call: Call,
        read: Callable[[Reply], T],
        *,
        attempts: int | None = None,
        timeout: float | None = None,
    ) -> T:
        """Make one call and return what `read` makes of its answer."""


class Resource:
    """One area of the API; its methods are calls, each by the client's policy."""

    def __init__(self, client: AlmaCaller) -> None:
        self._client = client

    def _every(
        self, where: str, name: str, make: Callable[[shapes.Json], T], key: Callable[[T], str], **query: Param
    ) -> list[T]:
        """All rows of the paged list at `where`, see `every`."""

        def get(offset: int) -> Page[T]:
            call = Call("GET", where, params(**query, limit=LIMIT, offset=offset))
            return self._client.call(call, page(name, make))

        return every(named("GET", where), get, key)

    def _whole(
        self,
        where: str,
        name: str,
        make: Callable[[shapes.Json], T],
        key: Callable[[T], str],
        *,
        counted: bool = True,
        **query: Param,
    ) -> list[T]:
        """All rows of the list at `where`, which is not paged, see `whole` and `page`."""
        call = Call("GET", where, params(**query))
        return whole(call.name, lambda: self._client.call(call, page(name, make, counted=counted)), key)

    def _delete(self, where: str, absent: frozenset[str], **query: Param) -> Answer[None]:
        """Found when it was deleted, Absent when it was gone already (also when a first attempt whose answer was
        lost had done it), Unknown when Alma refused it (`error.code`) or nobody knows.

        Doing it twice is doing it once, so the client repeats it after a lost answer."""
        call = Call("DELETE", where, params(**query), repeatable=True)
        return ask(lambda: self._client.call(call, _gone), absent)


def _gone(reply: Reply) -> None:
    # 204 alone says so. Another answer is asked again, which finds it gone if it was meant well.
    if reply.status != 204:
        raise ValueError("not the answer to a deletion")


@dataclass(frozen=True)
class Page(Generic[T]):
    """Rows of one page and the `total` of the whole list."""

    rows: list[T]
    total: int


def page(
    name: str, make: Callable[[dict[str, Any]], T], *, counted: bool = True
) -> Callable[[Reply], Page[T]]:
    """How to read a page whose rows are under `name`. Whether it names what it counts is for `every` and
    `whole` to see. `counted=False`: a list of Alma's configuration, which may lack its count, but must be of
    this kind."""

    def read(reply: Reply) -> Page[T]:
        document = reply.json()
        if not counted and not {name, "total_record_count", "name"} & set(document):
            raise ValueError(f"{name} is missing")
        rows = [make(row) for row in shapes.listed(document, name)]
        return Page(rows, shapes.total(document) if counted else shapes.total(document, least=len(rows)))

    return read


def every(call_name: str, get: Callable[[int], Page[T]], key: Callable[[T], str]) -> list[T]:
    """All rows of a list; `get` fetches the page at an offset, `key` identifies a row.

    Records that come and go shift the pages, so that a row may be met twice or not at all: unless as many
    different rows were met as the list counts, it is read again. Raises RemoteShortList, with all rows that
    were met, when no reading meets them all. A count that is too low does not end the reading."""
    met: dict[str, T] = {}
    for _ in range(_READINGS):
        found, total = _reading(get, key)
        if len(found) >= total:
            return list(found.values())
        met.update(found)
    message = f"the list counts {counted(total, 'row')} but gives {len(found)} in {_READINGS} readings"
    raise RemoteShortList(call_name, None, "", message, named=list(met.values()), counted=total)


def whole(call_name: str, get: Callable[[], Page[T]], key: Callable[[T], str]) -> list[T]:
    """All rows of a list that is not paged. Raises RemoteShortList like `every`."""
    return every(call_name, lambda offset: get() if offset == 0 else Page([], 0), key)


def _reading(get: Callable[[int], Page[T]], key: Callable[[T], str]) -> tuple[dict[str, T], int]:
    """What one reading names, and the count of its last page that had rows."""
    found: dict[str, T] = {}
    offset = total = 0
    for _ in range(_MAX_PAGES):
        part = get(offset)
        before = len(found)
        found.update((key(row), row) for row in part.rows)
        offset += len(part.rows)
        if not part.rows:
            # an empty page behind the end of a list may count nothing
            total = part.total if offset == 0 else max(total, part.total)
            break
        total = part.total
        if offset >= total and (len(found) <= total or len(found) == before):
            break
    return found, total
