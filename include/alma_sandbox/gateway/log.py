"""What the sandbox was asked, and what it answered."""

import re
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(slots=True)
class Entry:
    """One call. Times: ``*_at`` in UTC, ``received`` and ``answered`` in seconds of the monotonic clock.

    ``query`` never holds the key. ``code`` is the errorCode of a refusal. ``applied`` says whether the
    handler ran, whatever the caller got to see. ``fault`` names the kinds of the faults that were applied.
    """

    number: int
    method: str
    path: str
    query: str
    key: str
    received_at: str
    received: float
    route: str = ""
    status: int = 0
    code: str = ""
    fault: str = ""
    applied: bool = False
    answered_at: str = ""
    answered: float = 0.0


class Log:
    """The latest calls, and counters of all of them."""

    def __init__(self, size: int) -> None:
        self._size = size
        self.in_flight = 0  # not set back by ``clear``: calls may be under way
        self.clear()

    def clear(self) -> None:
        """Forget every call and set the counters to zero."""
        self.entries: deque[Entry] = deque(maxlen=self._size)
        self.total = 0
        self.by_status: Counter[str] = Counter()
        self.by_route: Counter[str] = Counter()
        self.by_code: Counter[str] = Counter()
        self.by_fault: Counter[str] = Counter()
        self.max_in_flight = 0
        self.peak_per_second = 0

    def resize(self, size: int) -> None:
        """Keep at most ``size`` entries from now on."""
        self._size = size
        self.entries = deque(self.entries, maxlen=size)

    def open(self, method: str, path: str, query: str) -> Entry:
        """A call has arrived."""
        self.total += 1
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        entry = Entry(self.total, method, path, query, "", _now(), time.monotonic())
        self.entries.append(entry)
        return entry

    def close(self, entry: Entry) -> None:
        """A call was answered (status 0: the connection was dropped without an answer)."""
        entry.answered_at, entry.answered = _now(), time.monotonic()
        self.in_flight -= 1
        self.by_status[str(entry.status)] += 1
        self.by_route[f"{entry.method} {entry.route or entry.path}"] += 1
        if entry.code:
            self.by_code[entry.code] += 1
        if entry.fault:
            self.by_fault[entry.fault] += 1

    def select(
        self,
        *,
        method: str | None = None,
        path: str | None = None,
        status: int | None = None,
        code: str | None = None,
        fault: str | None = None,
        since: int = 0,
    ) -> Iterator[Entry]:
        """Entries after number ``since``; ``path`` is a regular expression over path and query."""
        pattern = re.compile(path) if path else None
        for entry in self.entries:
            if entry.number <= since or (method and entry.method != method.upper()):
                continue
            if pattern and not pattern.search(f"{entry.path}?{entry.query}" if entry.query else entry.path):
                continue
            if status is not None and entry.status != status:
                continue
            if (code and entry.code != code) or (fault and fault not in entry.fault.split(",")):
                continue
            yield entry

    def counts(self) -> dict[str, Any]:
        """The counters as JSON."""
        return {
            "total": self.total,
            "by_status": dict(self.by_status),
            "by_route": dict(self.by_route),
            "by_code": dict(self.by_code),
            "by_fault": dict(self.by_fault),
            "in_flight": self.in_flight,
            "max_in_flight": self.max_in_flight,
            "peak_per_second": self.peak_per_second,
        }


def as_dict(entry: Entry) -> dict[str, Any]:
    """One entry as JSON."""
    return asdict(entry)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
