"""From the chunks to one file per OCLC symbol, streamed, with its table of outcomes; then the gates."""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from datetime import date
from typing import IO

from alma_etl.jobs.report_tables import CsvWriter, read_csv
from alma_etl.store.bucket import Bucket
from alma_etl.west.converting import ConvertedRow, converted
from alma_etl.west.gates import Assembly, SymbolResult, shut_gates
from alma_etl.west.id_index import IdIndex, id_index
from alma_etl.west.listing import fallbacks
from alma_etl.west.naming import FOLDER, DeliveryName
from alma_etl.west.outcomes import COLUMNS, Outcome, Row, count_outcomes
from alma_etl.west.run import RunFolder, WestPlan

log = logging.getLogger(__name__)

ASSEMBLY = "assembly.json"
UNLISTED_SHOWN = 50  # different 583 $f; more would make the report long


def assemble_delivery(folder: RunFolder) -> Assembly:
    """Build the files of the delivery in the run's folder, every row and record exactly once, in flat memory.

    A chunk that did not finish is not passed over: its titles become ``failed``. Two holdings with the same id
    (a list that names a holding under two titles) give one record; the second is ``bad_marc`` with ``DUP001``.
    The verdict of the gates is part of the result, which is saved for the next steps.

    Raises NoSuchObject when the first step made no plan.
    """
    plan = folder.plan()
    with ExitStack() as stack:
        files = _Files(folder, plan, stack)
        unfinished: dict[int, str] = {}
        titles = fell_back = 0
        unlisted: Counter[str] = Counter()
        for number in range(1, plan.chunks + 1):
            last_title = None
            with converted(folder, plan, number) as rows:
                if rows is None:
                    unfinished[number] = folder.problem(number) or ""
                    log.warning("Chunk %04d did not finish: its titles are reported as failed", number)
                    rows = _failed(folder, number, plan, unfinished[number])
                for row, data in rows:
                    if row["mms_id"] != last_title:
                        last_title = row["mms_id"]
                        titles += 1
                    files.of(row["symbol"]).add(row, data)
                    _count_unlisted(unlisted, row.get("unlisted", ()))
            fell_back += fallbacks(folder, number)
        # Only the first titles of the set say nothing about what the last delivery had.
        results = [file.result(compared=plan.settings.limit is None) for file in files.all()]
    counts: Counter[str] = Counter()
    for result in results:
        counts.update(result.counts)
    assembly = Assembly(
        symbols=tuple(results),
        counts={word: counts[word] for word in count_outcomes(())},
        titles=titles,
        holdings=sum(result.holdings for result in results),
        fell_back=fell_back,
        unfinished_chunks=tuple(unfinished),
        unlisted=dict(unlisted.most_common()),
    )
    shut = tuple(shut_gates(plan, results, assembly.counts, titles, unfinished))
    assembly = assembly.model_copy(update={"shut": shut})
    folder.write_model(ASSEMBLY, assembly)
    for sentence in shut:
        log.warning("%s", sentence)
    return assembly


def read_assembly(folder: RunFolder) -> Assembly:
    """What `assemble_delivery` saved. Raises NoSuchObject when it did not get that far."""
    return Assembly.model_validate_json(folder.bucket.get(folder.key(ASSEMBLY)))


def assembled_key(folder: RunFolder, name: str) -> str:
    """The key, in the run's folder, of a file that waits for its delivery."""
    return folder.key(f"delivery/{name}")


def _failed(
    folder: RunFolder, number: int, plan: WestPlan, problem: str
) -> Iterator[tuple[ConvertedRow, bytes]]:
    """The titles of a chunk that did not finish; ``problem`` is why, "" when nobody knows."""
    reason = f"chunk {number:04d} did not finish{': ' if problem else ''}{problem}"
    for mms_id in folder.mms_ids(number):
        yield (
            ConvertedRow(
                mms_id=mms_id,
                holding_id="",
                outcome=Outcome.FAILED,
                reasons=[reason],
                title="",
                symbol=plan.settings.default_symbol,
                size=0,
                unlisted=[],
            ),
            b"",
        )


def _count_unlisted(counts: Counter[str], values: Iterable[str]) -> None:
    for value in (value[:200] for value in values):
        counts[value if value in counts or len(counts) < UNLISTED_SHOWN else "(others)"] += 1


class _Files:
    """The open files of the delivery by symbol; each configured symbol has one, so that its end is noticed."""

    def __init__(self, folder: RunFolder, plan: WestPlan, stack: ExitStack) -> None:
        self._folder, self._plan, self._stack = folder, plan, stack
        self._open: dict[str, _SymbolFile] = {}
        for symbol in plan.settings.symbols:
            self.of(symbol)

    def of(self, symbol: str) -> "_SymbolFile":
        if symbol not in self._open:
            self._open[symbol] = _SymbolFile(self._folder, DeliveryName(symbol, self._plan.day), self._stack)
        return self._open[symbol]

    def all(self) -> list["_SymbolFile"]:
        return [self._open[symbol] for symbol in sorted(self._open)]


class _SymbolFile:
    """One symbol's MARC21 file and table of outcomes while they are written."""

    def __init__(self, folder: RunFolder, name: DeliveryName, stack: ExitStack) -> None:
        self._bucket = folder.bucket
        self._name = name
        self._marc = stack.enter_context(folder.bucket.writer(assembled_key(folder, name.marc)))
        outcomes: IO[bytes] = stack.enter_context(folder.bucket.writer(assembled_key(folder, name.outcomes)))
        self._outcomes = CsvWriter(outcomes, COLUMNS)
        self._delivered: IdIndex = stack.enter_context(id_index())
        self._sha256 = hashlib.sha256()
        self._counts: Counter[str] = Counter()
        self._records = self._bytes = self._titles = self._holdings = 0
        self._last_title: str | None = None

    def add(self, row: ConvertedRow, data: bytes) -> None:
        outcome, reasons = Outcome(row["outcome"]), tuple(row["reasons"])
        if outcome is Outcome.DELIVERED and not self._delivered.add_new(row["holding_id"]):
            outcome, reasons = Outcome.BAD_MARC, ("DUP001", *reasons)
        if outcome is Outcome.DELIVERED:
            self._marc.write(data)
            self._sha256.update(data)
            self._records += 1
            self._bytes += len(data)
        if row["mms_id"] != self._last_title:
            self._last_title = row["mms_id"]
            self._titles += 1
        self._holdings += bool(row["holding_id"])
        self._counts[outcome] += 1
        self._outcomes.add(Row(row["mms_id"], row["holding_id"], outcome, reasons, row["title"]).cells())

    def result(self, *, compared: bool) -> SymbolResult:
        last = last_delivery(self._bucket, self._name.symbol, self._name.day) if compared else None
        last_records, dropped = (0, 0) if last is None else self._compare(last)
        return SymbolResult(
            symbol=self._name.symbol,
            stem=self._name.stem,
            records=self._records,
            bytes=self._bytes,
            sha256=self._sha256.hexdigest(),
            counts={word: self._counts[word] for word in count_outcomes(())},
            titles=self._titles,
            holdings=self._holdings,
            last_stem=None if last is None else last.stem,
            last_records=last_records,
            dropped=dropped,
        )

    def _compare(self, last: DeliveryName) -> tuple[int, int]:
        records = dropped = 0
        if self._bucket.info(FOLDER + last.outcomes) is None:
            log.warning("%s has no outcomes beside it, so this delivery is not compared with it", last.marc)
            return 0, 0
        with self._bucket.reader(FOLDER + last.outcomes) as stream:
            for row in read_csv(stream):
                if row["outcome"] == Outcome.DELIVERED:
                    records += 1
                    dropped += row["holding_id"] not in self._delivered
        return records, dropped


def last_delivery(bucket: Bucket, symbol: str, day: date) -> DeliveryName | None:
    """The newest delivery of a symbol up to and including ``day``: a second run of a day is measured by the first.

    The MARC21 file is what makes a delivery: it is written last.
    """
    names = (DeliveryName.of_marc(item.key) for item in bucket.list(f"{FOLDER}{symbol}.alma.archived."))
    earlier = [name for name in names if name is not None and name.symbol == symbol and name.day <= day]
    return max(earlier, key=lambda name: name.day, default=None)
