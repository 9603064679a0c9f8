"""Searching an Alma by SRU: many numbers a query, without a key and outside the API's quota.

The institution switches SRU on, and may allow some addresses only. Its indexes lag behind the catalogue and are broader
than a field: a number counts only where it stands in the record that came. What is no answer to the query, counts more
hits than it names, or is a diagnostic, proves nothing of any number.
Source: Ex Libris' page on SRU, and the standard SRU 1.2 of the Library of Congress.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

from lxml import etree

from alma_etl.counted import counted
from alma_etl.errors import InputProblem
from alma_etl.remote import xml
from alma_etl.remote.answers import Found, ListAnswer, PartlyFound, Unknown
from alma_etl.remote.errors import (
    RemoteError,
    RemoteMalformed,
    RemoteRefused,
    RemoteShortList,
)
from alma_etl.remote.limiter import Limiter
from alma_etl.remote.service import HttpAccess, HttpService
from alma_etl.remote.throttle import Throttle

NUMBERS_A_QUERY = 25
REQUESTS_PER_SECOND = 5.0  # of one institution, whoever asks
OCLC, ISBN, ISSN = "alma.oclc_control_number_035_az", "alma.isbn", "alma.issn"
OTHER_SYSTEM = "alma.other_system_number"
_PAGE = 50  # records a request: the most that Alma gives
_MOST_PAGES = 20  # of a query: what so many titles have is no number of one of them
_ADDED = {"AVA", "AVE", "AVD"}  # fields of Alma's own that an SRU profile adds
# Diagnostics: general, query syntax, too many characters in a term, boolean operators, or hits.
_MAY_BE_ONE_NUMBER = frozenset(("1/1", "1/10", "1/27", "1/38", "1/60"))
_DIAGNOSTIC = re.compile(r"info:srw/diagnostic/1/(\d{1,4})")


@dataclass(frozen=True)
class SruTitle:
    """A title that a search found. `record`: its serialised MARC <record>, as the index has it."""

    mms_id: str
    record: bytes = field(repr=False)


@dataclass(frozen=True)
class _Hits:
    counted: int
    titles: list[SruTitle]
    named: int


class SruClient:
    """The SRU of one institution. ``url``: its address up to the institution's code, without a query. ``limiter``: the
    budget that all tasks share, of `REQUESTS_PER_SECOND`. Close it when done, or use ``with``. Safe for several
    threads, which take turns: one request at a time.
    """

    def __init__(
        self,
        url: str,
        *,
        limiter: Limiter,
        timeout: float = 30,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        parts = urlsplit(url.strip())
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise InputProblem(
                "sru_url is the address of the institution's SRU up to its code, without a query, such as "
                "https://example.alma.exlibrisgroup.com/view/sru/01ABC_INST"
            )
        if parts.username is not None:
            raise InputProblem("sru_url holds a user or password: SRU needs none")
        self._path = parts.path.rstrip("/")
        access = HttpAccess(f"{parts.scheme}://{parts.netloc}", timeout=timeout)
        self._service = HttpService(access, sleep=sleep, throttle=Throttle(limiter, 1))

    @property
    def institution(self) -> str:
        """The institution's code, the end of the address."""
        return self._path.rpartition("/")[2]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._service.close()

    def find(
        self, index: str, numbers: Collection[str], numbers_of: Callable[[bytes], Collection[str]]
    ) -> dict[str, ListAnswer[SruTitle]]:
        """Search an index (`OCLC`, `ISBN`, `ISSN`, `OTHER_SYSTEM`) for many numbers; return what is known of each.

        ``numbers_of``: the numbers of this kind in a serialised <record>, written as in ``numbers``; a ValueError says
        that it cannot be read. Found has the titles that have the number, none where the index names none. A query that
        one number may have spoilt is put again in halves. Raises no RemoteError: what fails is Unknown.
        """
        answers: dict[str, ListAnswer[SruTitle]] = {}
        distinct = list(dict.fromkeys(numbers))
        for start in range(0, len(distinct), NUMBERS_A_QUERY):
            answers |= self._find(index, distinct[start : start + NUMBERS_A_QUERY], numbers_of)
        return answers

    def _find(
        self, index: str, numbers: Sequence[str], numbers_of: Callable[[bytes], Collection[str]]
    ) -> dict[str, ListAnswer[SruTitle]]:
        try:
            hits = self._search(_query(index, numbers))
        except RemoteError as error:
            failed: RemoteError = error
            may_be_one = error.code in _MAY_BE_ONE_NUMBER
        else:
            try:
                titles = _by_number(hits.titles, numbers, numbers_of)
            except ValueError:
                titles = None
            if titles is not None and hits.named == hits.counted:
                return {number: Found(titles[number]) for number in numbers}
            may_be_one = True
            if titles is None:
                failed = RemoteMalformed(self._name, 200, "", "a record of the answer cannot be read")
            else:
                why = f"the answer counts {counted(hits.counted, 'title')} and names {hits.named}"
                failed = RemoteShortList(self._name, 200, "", why, named=hits.titles, counted=hits.counted)
                if len(numbers) == 1:
                    return {numbers[0]: PartlyFound(failed, titles[numbers[0]], hits.counted)}
        if len(numbers) == 1 or not may_be_one:
            return dict.fromkeys(numbers, Unknown(failed))
        half = len(numbers) // 2
        return self._find(index, numbers[:half], numbers_of) | self._find(index, numbers[half:], numbers_of)

    @property
    def _name(self) -> str:
        return f"GET {self._path}"

    def _search(self, query: str) -> _Hits:
        """All hits of a query, page by page."""
        titles: dict[str, SruTitle] = {}
        named = 0
        while True:
            page = self._page(query, named + 1)
            named += page.named
            titles |= {title.mms_id: title for title in page.titles}
            if named >= page.counted or not page.named or named >= _PAGE * _MOST_PAGES:
                return _Hits(page.counted, list(titles.values()), named)

    def _page(self, query: str, start: int) -> _Hits:
        asked: dict[str, str | int] = {
            "version": "1.2",
            "operation": "searchRetrieve",
            "recordSchema": "marcxml",
            "maximumRecords": _PAGE,
            "startRecord": start,
            "query": query,
        }
        return self._service.call(
            "GET", self._path, self._read, writes=False, params=asked, accept="application/xml"
        )

    def _read(self, body: bytes) -> _Hits:
        """An answer. Raises ValueError for what is none, RemoteRefused for a diagnostic."""
        root = xml.named(xml.parse(body), "searchRetrieveResponse")
        if (diagnostics := xml.child(root, "diagnostics")) is not None:
            code = _DIAGNOSTIC.search("".join(str(text) for text in diagnostics.itertext()))
            number = f"1/{code[1]}" if code else ""
            raise RemoteRefused(self._name, 200, number, "SRU answers the query with a diagnostic")
        number_of_records = xml.text(root, "numberOfRecords")
        if not re.fullmatch(r"[0-9]{1,12}", number_of_records):
            raise ValueError("no number of records")
        holder = xml.child(root, "records")
        records = xml.children(holder, "record") if holder is not None else []
        return _Hits(int(number_of_records), list(_titles(records)), len(records))


def _query(index: str, numbers: Sequence[str]) -> str:
    quoted = (number.replace("\\", "\\\\").replace('"', '\\"') for number in numbers)
    return " or ".join(f'{index}="{number}"' for number in quoted)


def _titles(records: Sequence[etree._Element]) -> Iterator[SruTitle]:
    for each in records:
        data = xml.child(each, "recordData")
        record = xml.child(data, "record") if data is not None else None
        if record is None:
            raise ValueError("a hit without a MARC record")
        for added in [element for element in record if element.get("tag") in _ADDED]:
            record.remove(added)
        mms_id = xml.text(each, "recordIdentifier") or next(
            (str(element.text or "").strip() for element in record if element.get("tag") == "001"), ""
        )
        if not mms_id:
            raise ValueError("a hit without an MMS id")
        yield SruTitle(mms_id, xml.serialise(record))


def _by_number(
    titles: Sequence[SruTitle], numbers: Sequence[str], numbers_of: Callable[[bytes], Collection[str]]
) -> dict[str, list[SruTitle]]:
    """The titles in whose records each number stands."""
    found: dict[str, list[SruTitle]] = {number: [] for number in numbers}
    for title in titles:
        for number in set(numbers_of(title.record)).intersection(found):
            found[number].append(title)
    return found
