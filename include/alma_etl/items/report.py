"""Step 5 of an item load: what became of every row, for people and for spreadsheets, and the rows to mend."""

import logging
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO

from alma_etl.errors import InputProblem
from alma_etl.items.codes import CodeCheck, read_check
from alma_etl.items.collecting import Collection, collected, used_holdings
from alma_etl.items.outcomes import COLUMNS, LOADED, MEANING, Outcome, RowResult, cells
from alma_etl.items.reading import opened
from alma_etl.items.run import LoadFolder, Plan, names_of
from alma_etl.items.summary import Summary, find_summary, problems_of, verdict_of, write_summary
from alma_etl.jobs.pages import render
from alma_etl.jobs.places import ITEMS, dropped_file, printable
from alma_etl.jobs.report_tables import CsvWriter, XlsxWriter
from alma_etl.store.bucket import Bucket, NoSuchObject

log = logging.getLogger(__name__)

PAGE = "report.html"  # the copy in the run's folder, which the Airflow UI shows
_SHOWN = 500  # rows on the page; the tables have all
_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def write_reports(folder: LoadFolder, key: str, task_states: Mapping[str, str]) -> dict[str, str]:
    """Write the reports of a run, however far it got; their keys by kind come back.

    `csv`, `xlsx`, `html`, `missing` (holdings without a call number) and, when rows were not loaded, `rejects`
    (those rows in the format of the file, ready to be mended and dropped again). `key` is the file that the run
    was given; ``task_states`` are tasks that did not succeed, by name with their state.
    """
    folder.stop_if_superseded()
    names = _Names(folder, key)
    plan = folder.find_plan()
    earlier = find_summary(folder)
    if plan is None:
        summary = _report_unread(folder, names, key, task_states)
    else:
        with collected(folder, plan) as ends:
            summary = _report_rows(folder, names, plan, ends, task_states)
    write_summary(folder, summary)
    if earlier is not None:  # an attempt of the version before called them otherwise
        folder.bucket.delete(set(earlier.keys.values()) - set(summary.keys.values()))
    for kind, written in summary.keys.items():
        log.info("%s: %s", kind, written)
    log.info("%s", ", ".join(f"{count} {word}" for word, count in summary.counts.items() if count))
    return summary.keys


class _Names:
    """How the reports of a run are called."""

    def __init__(self, folder: LoadFolder, key: str) -> None:
        try:
            file = dropped_file(ITEMS, key)
        except InputProblem:
            file = None
        self._stem, _ = names_of(file, key)
        self._run_id = folder.run_id

    def keys(self) -> dict[str, str]:
        """The reports that are always written."""
        endings = {"csv": ".csv", "xlsx": ".xlsx", "html": ".html", "missing": ".missing-call-numbers.txt"}
        return {kind: ITEMS.report(self._stem, self._run_id, ending) for kind, ending in endings.items()}

    def rejects(self, extension: str) -> str:
        """The rows that were not loaded."""
        return ITEMS.rejects(self._stem, self._run_id, extension)


def _report_unread(folder: LoadFolder, names: _Names, key: str, task_states: Mapping[str, str]) -> Summary:
    """A file that could not be read has one row in its report, so that its sender finds the reason there."""
    problem = folder.problem()
    states = ", ".join(f"{task} {state}" for task, state in task_states.items())
    row = RowResult(
        line=1,
        mms_id="",
        barcode="",
        library="",
        location="",
        outcome=(Outcome.FAILED if problem is None else Outcome.INVALID_ROW).value,
        holding_id="",
        item_pid="",
        message=problem or f"the file was not read ({states}): see the log of the first of these tasks",
    )
    summary = Summary(
        run_id=folder.run_id,
        key=key,
        problem=row["message"],
        rows=1,
        counts={outcome.value: int(outcome == row["outcome"]) for outcome in Outcome},
        keys=names.keys(),
    )
    _write(folder.bucket, summary, [row], _Findings(refused=[row], to_look_at=1), task_states, folder)
    return summary


@dataclass
class _Findings:
    """What is noted while the rows are written."""

    refused: list[RowResult] = field(default_factory=list)
    remarked: list[RowResult] = field(default_factory=list)  # loaded, and something is to be said of them
    to_look_at: int = 0
    rejected_lines: set[int] = field(default_factory=set)
    used: set[str] = field(default_factory=set)
    missing: list[tuple[str, str, str, str]] = field(default_factory=list)

    def note(self, row: RowResult) -> None:
        """Look at one row."""
        if row["outcome"] not in LOADED:
            self.rejected_lines.add(row["line"])
        elif row["outcome"] == Outcome.CREATED:
            self.used.add(row["holding_id"])
        if row["outcome"] not in LOADED or row["message"]:
            self.to_look_at += 1
            rows = self.refused if row["outcome"] not in LOADED else self.remarked
            if len(rows) < _SHOWN:
                rows.append(row)

    def shown(self) -> list[RowResult]:
        """The rows for the page, by line: those that were not loaded before those that were."""
        return sorted((self.refused + self.remarked)[:_SHOWN], key=lambda row: row["line"])


def _report_rows(
    folder: LoadFolder, names: _Names, plan: Plan, ends: Collection, task_states: Mapping[str, str]
) -> Summary:
    findings = _Findings()
    for row in ends:
        findings.note(row)
    made = {each["holding_id"]: each for each in used_holdings(folder, plan)}
    for holding_id, each in sorted(made.items(), key=lambda pair: (pair[1]["mms_id"], pair[0])):
        if not each["call_number"] and (each["made"] or holding_id in findings.used):
            findings.missing.append((each["mms_id"], holding_id, each["library"], each["location"]))
    keys = names.keys()
    if findings.rejected_lines:
        keys["rejects"] = names.rejects(plan.rejects_extension)
    summary = Summary(
        run_id=folder.run_id,
        key=plan.source.key,
        profile=plan.profile_name,
        form=plan.form,
        dry_run=plan.dry_run,
        rows=plan.rows,
        counts=ends.counts(),
        repeated=ends.repeated,
        holdings_used=len(findings.used),
        holdings_made=sum(each["made"] for each in made.values()),
        without_call_number=len(findings.missing),
        unfinished=ends.unfinished,
        remarks=_remarks(folder),
        keys=keys,
    )
    _write_rejects(folder, names, plan, findings)
    _write(folder.bucket, summary, ends, findings, task_states, folder)
    return summary


def _remarks(folder: LoadFolder) -> tuple[str, ...]:
    try:
        check: CodeCheck = read_check(folder)
    except NoSuchObject:
        return ()
    return check.remarks


def _write_rejects(folder: LoadFolder, names: _Names, plan: Plan, findings: _Findings) -> None:
    key = names.rejects(plan.rejects_extension)
    if not findings.rejected_lines:
        folder.bucket.delete([key])  # of an earlier attempt
        return
    with opened(folder, plan.source) as table, folder.bucket.writer(key) as stream:
        table.excerpt(findings.rejected_lines, stream)


def _write(
    bucket: Bucket,
    summary: Summary,
    rows: Collection | list[RowResult],
    findings: _Findings,
    task_states: Mapping[str, str],
    folder: LoadFolder,
) -> None:
    with bucket.writer(summary.keys["csv"]) as stream:
        _tables(rows, stream, bucket, summary.keys["xlsx"])
    with bucket.writer(summary.keys["missing"]) as stream:
        for line in _missing_lines(findings):
            stream.write(line.encode())
    problems = problems_of(summary, task_states)
    shown = findings.shown()
    page = render(
        "item_load.html",
        summary=summary,
        file=printable(summary.key),
        sentences=problems or [verdict_of(summary)],
        verdict_class="bad" if problems else ("rehearsal" if summary.dry_run else ""),
        meaning={outcome.value: text for outcome, text in MEANING.items()},
        rows=shown,
        hidden=findings.to_look_at - len(shown),
        missing=findings.missing[:_SHOWN],
    )
    for key in (summary.keys["html"], folder.key(PAGE)):
        bucket.put(key, page, "text/html; charset=utf-8")


def _tables(rows: Collection | list[RowResult], stream: IO[bytes], bucket: Bucket, xlsx_key: str) -> None:
    csv_table, xlsx_table = CsvWriter(stream, COLUMNS), XlsxWriter(COLUMNS, "Items")
    for row in rows:
        csv_table.add(cells(row))
        xlsx_table.add(cells(row))
    with tempfile.TemporaryFile(prefix="item-report-") as local:
        xlsx_table.save(local)
        local.seek(0)
        bucket.upload(xlsx_key, local, _XLSX)


def _missing_lines(findings: _Findings) -> Iterator[str]:
    """One holding a line; the column MMS ID is what Alma wants when a set is made from a file."""
    yield "MMS ID\tHolding ID\tLibrary\tLocation\n"
    for row in findings.missing:
        yield "\t".join(row) + "\n"
