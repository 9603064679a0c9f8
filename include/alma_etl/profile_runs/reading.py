"""Step 3, what is read: the run of the job as Alma reports it, and whether the titles and PO lines are there.

The report of a job stays as it is whatever becomes of its records, so that it proves nothing of them.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from functools import partial
from typing import TypeVar

from pydantic import BaseModel, ConfigDict

from alma_etl.alma.bibs import Bib, in_batches, read_bibs
from alma_etl.alma.client import AlmaClient
from alma_etl.alma.jobs import MatchedRecord, Population, counter_rows
from alma_etl.alma.po_lines import IN_REVIEW, PoLine
from alma_etl.alma.shapes import text
from alma_etl.alma.tasks import ANY_JOB
from alma_etl.counted import counted
from alma_etl.identifiers import is_mms_id
from alma_etl.profile_runs.conf import ProfileRunConf
from alma_etl.profile_runs.counts import counts_of
from alma_etl.remote.answers import Absent, Answer, Found, ListAnswer, Unknown, ask_list, rows_of
from alma_etl.remote.errors import RemoteRefused

log = logging.getLogger(__name__)
T = TypeVar("T")

MOST_LINES = 500
"""Titles whose PO lines are read: a call each, since no API lists those of a job."""
POPULATIONS: tuple[Population, ...] = ("SINGLE_MATCHES", "MULTI_MATCHES")
_CANCELLED = "CANCELLED"


class Read(BaseModel):
    """The base of what is kept of a reading."""

    model_config = ConfigDict(frozen=True)


class WaitingRecord(Read):
    """A record that matches and waits for staff: Alma's name for it, the titles that it matches."""

    population: str
    key: str
    mms_ids: tuple[str, ...]


class TitleRead(Read):
    """A title that the job loaded: outcome found, gone, unknown, or not_read (outside the sample, or no MMS id).
    ``records``: how many of the file went into it."""

    mms_id: str
    outcome: str
    records: int = 1
    title: str = ""
    message: str = ""


class LineRead(Read):
    """A PO line of a title that the job loaded: outcome po_line, or po_line_cancelled."""

    number: str
    mms_id: str
    outcome: str
    status: str = ""


class ImportFacts(Read):
    """Everything that was read of a run of the job. ``imported``: how many records Alma's list of those that were
    imported has, None where it was not read. ``unread``: what could not be, with the reason; ``failed``: of that, what
    Alma did not refuse, so that it may be read another time."""

    status: str
    alerts: tuple[str, ...]
    submitted: str
    ended: str
    counters: tuple[tuple[str, str, str], ...]
    counts: dict[str, int]
    waiting: tuple[WaitingRecord, ...] = ()
    events: tuple[str, ...] = ()
    imported: int | None = None
    titles: tuple[TitleRead, ...] = ()
    lines: tuple[LineRead, ...] = ()
    titles_asked_for_lines: int = 0
    unread: dict[str, str] = {}
    failed: tuple[str, ...] = ()

    def having(self, outcome: str) -> list[TitleRead]:
        """The titles with this outcome."""
        return [each for each in self.titles if each.outcome == outcome]

    @property
    def lines_in_review(self) -> int:
        """How many PO lines wait for a review by staff."""
        return sum(each.status.upper() in IN_REVIEW for each in self.lines)

    @property
    def all_lines_read(self) -> bool:
        """Whether every title that the job loaded was asked for its PO lines."""
        return "PO lines" not in self.unread and self.titles_asked_for_lines == len(self.titles)


class _Reader:
    """One reading: answers that did not come stand in ``unread``."""

    def __init__(self) -> None:
        self.unread: dict[str, str] = {}
        self.failed: set[str] = set()

    def rows(self, what: str, answer: ListAnswer[T]) -> list[T]:
        """What a list names, be it whole or not."""
        if isinstance(answer, Absent | Unknown):
            self._note(what, answer)
        return rows_of(answer)

    def value(self, what: str, answer: Answer[T]) -> T | None:
        """What there is, None where it did not come."""
        if isinstance(answer, Found):
            return answer.value
        self._note(what, answer)
        return None

    def _note(self, what: str, answer: Absent | Unknown) -> None:
        self.unread[what] = str(answer.error)
        if not isinstance(answer.error, RemoteRefused):
            self.failed.add(what)


def read_import(
    client: AlmaClient, job_id: str, instance_id: str, conf: ProfileRunConf
) -> ImportFacts | None:
    """Read the run of a job and what it loaded: at most `conf.read` titles, 100 a call, and the PO lines of at most
    `MOST_LINES` of them, a call each. None where the run itself cannot be read. Raises RemoteStop."""
    reader = _Reader()
    run = reader.value("the run", client.jobs.instance(ANY_JOB, instance_id))
    if run is None:
        log.warning("The job instance %s could not be read: %s", instance_id, reader.unread["the run"])
        return None
    counters = counter_rows(run)
    counts = counts_of(counters)
    waiting = [
        WaitingRecord(population=each, key=record.key, mms_ids=record.mms_ids)
        for each in POPULATIONS
        for record in _matches(reader, client, (job_id, instance_id), each)
    ]
    events = reader.rows("events", client.jobs.events(job_id, instance_id))
    imported = _imported(reader, client, (job_id, instance_id)) if conf.read else None
    titles = read_titles(client, imported or [], conf.read)
    asked = [each.mms_id for each in titles if each.outcome in ("found", "gone")][:MOST_LINES]
    if not counts.get("po_lines") and conf.to_compare().po_lines is None:
        asked = []
    return ImportFacts(
        status=run.status,
        alerts=run.alerts,
        submitted=run.submit_time,
        ended=run.end_time,
        counters=tuple((each.code, each.name, each.value) for each in counters),
        counts=counts,
        waiting=tuple(waiting),
        events=tuple(events),
        imported=None if imported is None else len(imported),
        titles=tuple(titles),
        lines=tuple(_lines(reader, client, asked, run.submit_time)),
        titles_asked_for_lines=len(asked),
        unread=reader.unread,
        failed=tuple(sorted(reader.failed)),
    )


def _imported(reader: _Reader, client: AlmaClient, run: tuple[str, str]) -> list[str] | None:
    return reader.value("the imported records", client.jobs.imported(*run))


def _matches(
    reader: _Reader, client: AlmaClient, run: tuple[str, str], population: Population
) -> list[MatchedRecord]:
    return reader.rows(population, client.jobs.matches(*run, population))


def read_titles(client: AlmaClient, imported: Sequence[str], most: int) -> list[TitleRead]:
    """Whether the titles are there, in the order of the files; of more than ``most`` a sample, spread evenly."""
    distinct = Counter(imported)
    known = [each for each in distinct if is_mms_id(each)]
    step = max(1.0, len(known) / most) if most else 0.0
    sample = [known[int(number * step)] for number in range(min(most, len(known)))]
    read = partial(read_bibs, client.bibs, availability=False)
    answers = {
        mms_id: answer
        for _, found in client.in_parallel(read, in_batches(sample))
        for mms_id, answer in found.items()
    }
    log.info("%s of %s were read", counted(len(answers), "title"), counted(len(distinct), "imported record"))
    return [_title(each, records, answers.get(each)) for each, records in distinct.items()]


def _title(mms_id: str, records: int, answer: Answer[Bib] | None) -> TitleRead:
    if isinstance(answer, Found):
        outcome, message = "found", ""
    elif answer is None:
        outcome = "not_read"
        message = "outside the sample" if is_mms_id(mms_id) else "its field 001 is no MMS id"
    else:
        outcome = "gone" if isinstance(answer, Absent) else "unknown"
        message = str(answer.error or "Alma does not have it")
    title = answer.value.title if isinstance(answer, Found) else ""
    return TitleRead(mms_id=mms_id, outcome=outcome, records=records, title=title, message=message)


def _lines(reader: _Reader, client: AlmaClient, mms_ids: Sequence[str], submitted: str) -> list[LineRead]:
    """The PO lines of these titles that are as young as the job, closed and cancelled ones too."""
    since = _day_before(submitted)

    def find(mms_id: str) -> ListAnswer[PoLine]:
        query = f"mms_id~{mms_id}"
        return ask_list(lambda: client.po_lines.find(q=query, status="ALL_WITH_CLOSED"), frozenset())

    found: Mapping[str, list[PoLine]] = {
        mms_id: reader.rows("PO lines", answer) for mms_id, answer in client.in_parallel(find, mms_ids)
    }
    return [
        LineRead(
            number=line.number,
            mms_id=mms_id,
            outcome="po_line_cancelled" if line.status == _CANCELLED else "po_line",
            status=line.status,
        )
        for mms_id in mms_ids
        for line in found.get(mms_id, [])
        if line.mms_id == mms_id and (not since or _created(line) >= since)
    ]


def _day_before(submitted: str) -> str:
    """The day before the job: Alma writes days of the institution's time zone. "" where it names none."""
    try:
        return (date.fromisoformat(submitted[:10]) - timedelta(days=1)).isoformat()
    except ValueError:
        return ""


def _created(line: PoLine) -> str:
    return text(line.raw.get("created_date"))[:10] or "9999"
