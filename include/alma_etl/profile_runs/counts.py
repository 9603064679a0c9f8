"""What a job's report counts, by kind, beside what was expected.

Alma names its counters by codes that no document lists; their English names say what they count. Kinds may overlap:
a record that was merged can be imported and matched.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from alma_etl.alma.jobs import JobCounter
from alma_etl.profile_runs.conf import Expected

KINDS: Mapping[str, str] = {
    "files": "files",
    "records": "records in the files",
    "imported": "records imported",
    "matched": "records that matched",
    "discarded": "records not imported",
    "po_lines": "PO lines created",
    "headings": "headings calculated",
}
ACCOUNTED = "accounted"
_BOUNDED = frozenset({"discarded", "po_lines"})
# In this order: "records not imported" are not imported, "records in file" are no files.
_MEANT: Mapping[str, re.Pattern[str]] = {
    kind: re.compile(pattern)
    for kind, pattern in {
        "po_lines": r"\bpo[ -]?lines?\b|\bpols?\b|\border lines?\b",
        "headings": r"\bheadings?\b",
        "discarded": r"\bnot (?:been )?(?:imported|processed|loaded)\b|discard|reject|invalid|fail|exception|error",
        "matched": r"\bmatch",
        "imported": r"\bimported\b|\bloaded\b",
        "records": r"\brecords?\b.*\bfiles?\b|\btotal (?:number of )?records\b|\brecords processed\b|^records$",
        "files": r"\bfiles?\b",
    }.items()
}
# "PO lines not created" are none; "No. of records" is a number.
_UNDONE = re.compile(r"\bnot\b|n't\b|\bno\b(?!\.| of\b)|fail|reject|discard|invalid|exception|error")
# "New records (no match)" were imported, and "records with no match" are nothing that is counted here.
_NO_MATCH = re.compile(r"\b(?:no|not|without(?: an?y?)?) match\w*")
_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])|[_.]+")


@dataclass(frozen=True)
class ComparedCount:
    """A kind of count: what was expected, what the job says, and `verdict`: ok, short, more, unknown, or "" where
    nothing was expected. None: not expected, not said. More is wrong of what was discarded or bought."""

    kind: str
    words: str
    expected: int | None
    done: int | None
    verdict: str

    @property
    def wrong(self) -> bool:
        """Whether it keeps the run from being acceptable."""
        return self.verdict in ("short", "unknown") or (self.verdict == "more" and self.kind in _BOUNDED)


def counts_of(counters: Sequence[JobCounter]) -> dict[str, int]:
    """The counts by kind. Where several counters are of one kind their total counts, else their sum."""
    found: dict[str, list[tuple[frozenset[str], int]]] = {}
    for counter in counters:
        words = _words(counter)
        kind = _kind_of(words)
        value = counter.value.replace(",", "").strip()
        if kind is not None and value.isascii() and value.isdigit():
            found.setdefault(kind, []).append((frozenset(re.findall(r"\w+", words)), int(value)))
    return {kind: _together(rows) for kind, rows in found.items()}


def _together(rows: Sequence[tuple[frozenset[str], int]]) -> int:
    """What the counters of one kind come to. A total says so, or all others have its words and more: "records imported"
    is the total of "new records imported" and "existing records imported"."""
    totals = [value for words, value in rows if "total" in words]
    if not totals and len(rows) > 1:
        totals = [value for words, value in rows if sum(words < other for other, _ in rows) == len(rows) - 1]
    return max(totals, default=sum(value for _, value in rows))


def _kind_of(words: str) -> str | None:
    words = _NO_MATCH.sub("", words)
    kind = next((each for each, pattern in _MEANT.items() if pattern.search(words)), None)
    return None if kind != "discarded" and _UNDONE.search(words) else kind


def _words(counter: JobCounter) -> str:
    said = counter.name or _WORDS.sub(" ", counter.code.rpartition(".")[2])
    return " ".join(said.lower().split())


def compare(counts: Mapping[str, int], expected: Expected) -> list[ComparedCount]:
    """Every kind that is counted or expected. Fewer than expected is short, but of discarded records; a count that the
    report does not have is unknown.

    Of expected records, those that are neither imported nor matched, or that were discarded, are missing: `accounted`
    is at most what the report allows.
    """
    wanted = expected.model_dump(exclude_none=True)
    rows = [
        _compared(kind, words, wanted.get(kind), counts.get(kind))
        for kind, words in KINDS.items()
        if kind in counts or kind in wanted
    ]
    if expected.records is not None:
        wanted_records = expected.records - (expected.discarded or 0)
        rows.append(_compared(ACCOUNTED, "records imported or matched", wanted_records, accounted(counts)))
    return rows


def accounted(counts: Mapping[str, int]) -> int | None:
    """At most how many records were imported or matched; None where the report has neither."""
    bounds = []
    if "imported" in counts or "matched" in counts:
        bounds.append(counts.get("imported", 0) + counts.get("matched", 0))
    if "records" in counts and "discarded" in counts:
        bounds.append(counts["records"] - counts["discarded"])
    return min(bounds, default=None)


def _compared(kind: str, words: str, expected: int | None, done: int | None) -> ComparedCount:
    if expected is None:
        verdict = ""
    elif done is None:
        verdict = "unknown"
    elif done > expected and kind != ACCOUNTED:
        verdict = "more"
    else:
        verdict = "short" if done < expected and kind != "discarded" else "ok"
    return ComparedCount(kind, words, expected, done, verdict)
