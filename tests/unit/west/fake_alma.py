"""A scripted Alma of a few titles in memory, with the surface of the client that the WEST steps use.

For what the sandbox cannot be asked for: an exception for one id at its n-th call without retries and their waits, an
end after so many answers, pages of a set that no Alma setting gives, thousands of small catalogues for a property. All
else runs against the sandbox (``test_west_sandbox.py``, ``test_west_clears.py``).
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from alma_etl.alma.bibs import NO_BIB, Bib
from alma_etl.alma.errors import AlmaDailyThreshold
from alma_etl.alma.holdings import NO_HOLDING, Holding, HoldingSummary
from alma_etl.alma.sets import NO_SET, AlmaSet, MembersPage
from alma_etl.remote.answers import Answer, ListAnswer, ask, ask_list
from alma_etl.remote.errors import RemoteRefused
from alma_etl.remote.parallel import in_parallel
from tests.unit.west.builders import available, bib, mms

X = TypeVar("X")
Y = TypeVar("Y")


def refused(code: str) -> RemoteRefused:
    """What the client raises when Alma says no."""
    return RemoteRefused("GET /x", 400, code, "no", "E01-1")


@dataclass
class FakeAlma:
    """``bibs_known`` and ``held`` are the catalogue; ``trouble`` makes calls go wrong; ``asked`` is what came in.

    ``trouble`` maps ("bibs" | "bib" | "list" | "read" | "members", id) to an exception, or to a list of exceptions that
    are used up one a call. ``answers_left`` ends the client after so many answers, as a used-up allowance does.
    """

    bibs_known: dict[str, Bib] = field(default_factory=dict)
    held: dict[str, list[Holding]] = field(default_factory=dict)
    summaries: dict[str, list[HoldingSummary]] = field(default_factory=dict)
    trouble: dict[tuple[str, str], Exception | list[Exception]] = field(default_factory=dict)
    answers_left: int | None = None
    left_out: set[str] = field(
        default_factory=set
    )  # titles that a batch passes over, although they are there
    members: Callable[[int, int], tuple[list[str], int]] = lambda offset, limit: ([], 0)
    found_set: AlmaSet | None = None
    asked: list[tuple[str, Any]] = field(default_factory=list)
    threads: int = 4
    host: str = "alma.example"

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self.bibs, self.holdings, self.sets = _Bibs(self), _Holdings(self), _Sets(self)

    def add(
        self, number: int, holdings: Sequence[Holding] = (), *, listed: bool = True, **bib_values: Any
    ) -> None:
        """A title with holdings; ``listed`` says whether its availability names them."""
        rows = [available(number, each.holding_id) for each in holdings] if listed else []
        self.bibs_known[mms(number)] = bib(number, rows, **bib_values)
        self.held[mms(number)] = list(holdings)

    def count(self, kind: str) -> int:
        """How many calls of a kind came in."""
        return Counter(asked for asked, _ in self.asked)[kind]

    def in_parallel(self, function: Callable[[X], Y], items: Iterable[X]) -> Iterator[tuple[X, Y]]:
        return in_parallel(function, items, self.threads)

    def note(self, kind: str, what: Any, ids: Sequence[str]) -> None:
        """Record a call, then go wrong if the script says so."""
        with self._lock:
            if self.answers_left == 0:
                raise AlmaDailyThreshold("GET /x", 429, "DAILY_THRESHOLD", "no calls are left for today")
            if self.answers_left is not None:
                self.answers_left -= 1
            self.asked.append((kind, what))
            for id_ in ids:
                found = self.trouble.get((kind, id_))
                if isinstance(found, list):
                    found = found.pop(0) if found else None
                if found is not None:
                    raise found


class _Bibs:
    def __init__(self, alma: FakeAlma) -> None:
        self._alma = alma

    def read_many(
        self,
        mms_ids: Sequence[str],
        *,
        availability: bool,
        to_change: bool = False,
        attempts: int | None = None,
        timeout: float | None = None,
    ) -> dict[str, Bib]:
        assert len(mms_ids) <= 100
        assert not to_change
        self._alma.note("bibs", tuple(mms_ids), mms_ids)
        known = self._alma.bibs_known
        return {
            mms_id: known[mms_id]
            for mms_id in mms_ids
            if mms_id in known and mms_id not in self._alma.left_out
        }

    def read(self, mms_id: str, *, availability: bool = False) -> Answer[Bib]:
        def question() -> Bib:
            self._alma.note("bib", mms_id, [mms_id])
            if mms_id not in self._alma.bibs_known:
                raise refused("402203")
            return self._alma.bibs_known[mms_id]

        return ask(question, NO_BIB)


class _Holdings:
    def __init__(self, alma: FakeAlma) -> None:
        self._alma = alma

    def list(self, mms_id: str) -> ListAnswer[HoldingSummary]:
        def question() -> list[HoldingSummary]:
            self._alma.note("list", mms_id, [mms_id])
            if mms_id not in self._alma.held:
                raise refused("402203")
            if mms_id in self._alma.summaries:
                return self._alma.summaries[mms_id]
            return [
                HoldingSummary(each.holding_id, "MAIN", "stacks", "AP2", each.suppressed)
                for each in self._alma.held[mms_id]
            ]

        return ask_list(question, NO_BIB)

    def read(self, mms_id: str, holding_id: str) -> Answer[Holding]:
        def question() -> Holding:
            self._alma.note("read", (mms_id, holding_id), [holding_id])
            for each in self._alma.held.get(mms_id, []):
                if each.holding_id == holding_id:
                    return each
            raise refused("402208")

        return ask(question, NO_HOLDING)


class _Sets:
    def __init__(self, alma: FakeAlma) -> None:
        self._alma = alma

    def read(self, set_id: str) -> Answer[AlmaSet]:
        def question() -> AlmaSet:
            self._alma.note("set", set_id, [set_id])
            return self._alma.found_set or AlmaSet(set_id, "Archive", "BIB_MMS", "LOGICAL", "ACTIVE", 0)

        return ask(question, NO_SET)

    def members_page(self, set_id: str, offset: int, limit: int = 100) -> MembersPage:
        self._alma.note("members", (offset, limit), [str(offset)])
        ids, total = self._alma.members(offset, limit)
        return MembersPage(ids, [""] * len(ids), total)


def pages_of(ids: Sequence[str], total: int | None = None) -> Callable[[int, int], tuple[list[str], int]]:
    """Members of a set that stands still."""
    return lambda offset, limit: (list(ids[offset : offset + limit]), len(ids) if total is None else total)
