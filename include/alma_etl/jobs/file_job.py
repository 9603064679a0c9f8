"""The skeleton of every job that works on a dropped file.

A run goes read -> check -> per chunk: the job's own steps -> report (with the rejects) -> file_away -> check_outcome.
`FileJob` has these steps; a job fills in what its records are, how they end, and how they get to where they belong.
docs/jobs.md shows how to write one.
"""

import logging
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import IO, Any, ClassVar, Protocol, final

from alma_etl.errors import InputProblem, NotAcceptable, RunStopped
from alma_etl.jobs.cutting import Cutting
from alma_etl.jobs.ends import CollectedEnds, collecting
from alma_etl.jobs.file_run import (
    PAGE,
    FilePlan,
    FileRun,
    ProfileT,
    Superseded,
    names_of,
)
from alma_etl.jobs.folder import Chunk
from alma_etl.jobs.ledger import FileLedger, NoLedger, Results, found_artefacts
from alma_etl.jobs.ledger_reading import RunRecord
from alma_etl.jobs.lines import Lines
from alma_etl.jobs.outcomes import End, Row, RowOutcome
from alma_etl.jobs.pages import render
from alma_etl.jobs.places import Area, dropped_file, printable
from alma_etl.jobs.profiles import JobProfiles, profile_named
from alma_etl.jobs.report_tables import CsvWriter, XlsxWriter
from alma_etl.jobs.row_ends import RowEnds
from alma_etl.jobs.settings_files import SettingsFile, refuse_unknown
from alma_etl.jobs.staging import staging
from alma_etl.jobs.summary import SUMMARY, FileSummary, problems_of, verdict_of
from alma_etl.store.bucket import Bucket, ObjectInfo

log = logging.getLogger(__name__)

PARAMS = ("key", "profile", "dry_run", "version")
_TITLES = {  # {}: what one of the job's records is called
    "csv": "All {}s as CSV",
    "xlsx": "All {}s as an Excel workbook",
    "html": "This page",
    "rejects": "The {}s to correct and drop again",
}
_ROLES = {"csv": "table", "xlsx": "workbook", "html": "report"}  # of artefacts in the ledger
_SHOWN = 500  # rows on the page; the tables have all
_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


@dataclass(frozen=True)
class JobContext:
    """What one task of a run gives to its step.

    ``params``: `key`, and optionally `profile` (instead of the folder's), `dry_run` (instead of the profile's),
    `version` (which version of the file is meant), and those of the job. ``day``: the run's date. ``open_client``:
    opens the client of a kind of service (`alma`) for a block, of `sru` None where the Alma connection has none, by
    the connection of that kind or by a further one, whose id it is given; ``connections`` has the id of the connection
    of each kind. ``is_sandbox``: whether the shipped profiles apply.
    ``store_url``: the address of the state store. ``ledger``: where it is kept what becomes of the run and its file.
    ``task_states``: tasks of the run that did not succeed, by name with their state, for the final steps.
    """

    folder: FileRun
    params: Mapping[str, Any]
    day: date
    open_client: "OpenClient"
    store_url: Callable[[], str]
    is_sandbox: Callable[[], bool] = lambda: False
    connections: Mapping[str, str] = field(default_factory=dict)
    ledger: FileLedger = field(default_factory=NoLedger)
    task_states: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The key of the file that the run was given."""
        return str(self.params.get("key") or "")


class OpenClient(Protocol):
    """Opens the client of a kind of service. Raises InputProblem for a connection that is not there."""

    def __call__(self, kind: str, conn_id: str = "", /) -> AbstractContextManager[Any]: ...


class Record(Protocol):
    """One record of a file: a row of a table, a MARC record, an element of XML."""

    @property
    def line(self) -> int:
        """The number of its first line, or its ordinal from 1; it grows, and no two have the same."""
        ...


class Records(Protocol):
    """A dropped file as a job reads it. ``form`` names it for the report, ``extension`` is the one that fits it."""

    form: str
    extension: str

    def rows(self) -> Iterator[Any]:
        """Yield all records, each a `Record`, in their order. Can be asked for again."""
        ...

    def excerpt(self, lines: Collection[int], stream: IO[bytes]) -> None:
        """Write the records with these numbers as they came, in the format they came in, ready to be dropped again."""
        ...


@dataclass(frozen=True)
class Refusal:
    """Why a row is not loaded, seen without asking anybody."""

    message: str
    outcome: RowOutcome


@dataclass(frozen=True)
class ReportFile:
    """A file that a job writes beside its report: the ending of its name, and what the page calls it."""

    ending: str
    title: str


class ReportExtras:
    """What the report of a job has beyond the rows and their counts. `note` sees every end before the rest is asked."""

    remarks: tuple[str, ...] = ()  # sentences for the page, without a full stop

    def note(self, end: End) -> None:
        """Look at one end."""

    def figures(self) -> dict[str, int]:
        """Return what is counted beyond the outcomes."""
        return {}

    def has(self, kind: str) -> bool:
        """Return whether there is something to write into one of the job's `files`."""
        return True

    def write(self, kind: str, stream: IO[bytes]) -> None:
        """Write one of the job's `files`."""

    def page_values(self) -> dict[str, Any]:
        """Return what the template of the job's page asks for."""
        return {}


class FileJob(RowEnds[ProfileT], ABC):
    """A job that loads dropped files; an instance is one DAG's, for the files of one `area`.

    To fill in: the class variables without a value, `open_records`, `rows`, and the job's steps, which are methods
    of any name: `check(context)` and others of the run as a whole, `load(context, number)` and others of a chunk.
    Steps return counts. `run_step` and `chunk_step` keep the sentence of an error for the report.

    A row is a dict that JSON can hold. It has its `line`, and what `identity`, `columns` and the steps ask for.
    """

    things: ClassVar[str]  # what a file is a list of
    guide: ClassVar[str] = "docs/files.md"  # the page that says why its records are refused
    takes: ClassVar[str] = ""  # the forms of a file, for people who upload one
    title: ClassVar[str]  # of the report's sheet
    workbook_columns: ClassVar[tuple[str, ...]] = ()  # of the workbook, where it has others
    settings: ClassVar[SettingsFile[Any]]  # of `JobProfiles`
    profile_gives: ClassVar[str]  # what a profile names, for people who have none yet
    plan_type: ClassVar[type[FilePlan[Any]]]
    params: ClassVar[tuple[str, ...]] = ()  # beyond `PARAMS`
    page: ClassVar[str] = "file_job.html"
    page_columns: ClassVar[
        tuple[tuple[str, str, str], ...]
    ]  # column, heading, and `number`, `code` or `text`
    files: ClassVar[Mapping[str, ReportFile]] = {}
    labels: ClassVar[tuple[str, ...]] = (
        "title",
        "barcode",
        "mms_id",
    )  # what a record is called in the ledger

    def __init__(self, area: Area) -> None:
        self.area = area

    # --- what a job fills in

    @abstractmethod
    def open_records(self, path: Path, profile: ProfileT) -> Records:
        """Open a file. Raises InputProblem, one sentence, for one that cannot be read at all."""

    @abstractmethod
    def rows(self, records: Records, profile: ProfileT, day: date) -> Iterator[tuple[Row, Refusal | None]]:
        """Yield the row of every record, in order; for one that is not to be loaded with the reason."""

    def group_of(self, row: Row) -> str:
        """Return what a row shares with those that are to be in its chunk. Chunks are in the order of this text."""
        return f"{row['line']:012d}"

    def links_of(self, row: Row) -> Iterable[str]:
        """Return what a row may share with rows of other groups that have to be in its chunk; nothing by default."""
        return ()

    def label_of(self, row: Row) -> str:
        """Return how a chunk that begins or ends with this row is labelled."""
        return str(row["line"])

    def unique_of(self, row: Row) -> Collection[str]:
        """Return the values that no other row of the file may have."""
        return ()

    def duplicate(self, row: Row, first: Row) -> Refusal:
        """Return why a row is refused of whose `unique_of` an earlier row has one."""
        raise NotImplementedError

    def codes_of(self, row: Row) -> Iterable[tuple[str, Hashable]]:
        """Yield what a row names that is asked for before anything is written: a kind and a value, in any order."""
        return ()

    def written_rows(self, run: FileRun, number: int) -> Collection[Hashable]:
        """Return the rows of a chunk of which this run has written something, by `row_key`: a later reading of the file
        leaves them as they are, whatever its settings."""
        return self.made_rows(run, number)

    def compare(self, plan: FilePlan[ProfileT], ends: CollectedEnds) -> None:
        """Add to the ends what all of them together show; nothing by default."""

    def extras(self, run: FileRun, plan: FilePlan[ProfileT] | None) -> ReportExtras:
        """Return what the report has beyond the rows; without a plan the file could not be read."""
        return ReportExtras()

    def report_files(self, plan: FilePlan[ProfileT] | None) -> Mapping[str, ReportFile]:
        """Return the files that are written beside the report, by kind; `files` unless they depend on the run."""
        return self.files

    def workbook_cells(self, end: End) -> list[str]:
        """Return an end as text in the order of `workbook_columns`."""
        return [str(end[column]) for column in self.workbook_columns or self.columns]

    # --- the steps

    @final
    def run_folder(self, bucket: Bucket, run_id: str, dag_id: str) -> FileRun:
        """Return the working files of a run."""
        return FileRun(bucket, run_id, dag_id, self.plan_type)

    @final
    def run_step(self, name: str, context: JobContext) -> Any:
        """Do a step of the run as a whole that the job has under this name."""
        context.folder.stop_if_superseded()
        with context.folder.keeping_problem():
            return getattr(self, name)(context)

    @final
    def chunk_step(self, name: str, context: JobContext, number: int) -> Any:
        """Do a step of a chunk that the job has under this name."""
        context.folder.stop_if_superseded()
        with context.folder.keeping_problem(number):
            return getattr(self, name)(context, number)

    @final
    def read(self, context: JobContext) -> list[Chunk]:
        """Read the file and cut its good rows into chunks; bad ones get their outcome at once.

        Raises RunStopped for a file that cannot be read at all, with the sentence kept for the report; Superseded
        when the file is no longer the version that is meant.
        """
        run, params = context.folder, context.params
        with run.keeping_problem():
            refuse_unknown(params, (*PARAMS, *self.params))
            run.not_superseded()
            file = dropped_file(self.area, context.key, profile=params.get("profile") or None)
            settings = self._profiles_of(context)
            version = params.get("version") or None
            try:
                source = run.take_in(
                    file, version=version, check_size=lambda info: self._check_size(info, settings)
                )
            except Superseded:
                context.ledger.end_file(file.key, version or "", "superseded")
                raise
            profile = self.profile(settings, file.profile, params)
            context.ledger.take_file(source.file_version(self.area), start=not profile.dry_run)
            with self._opened(run, profile) as records, staging() as stage:
                cutting = Cutting(self, context, source, file.profile or "", profile, records, stage)
                return cutting.cut(settings.chunk_size)

    @final
    def report(self, context: JobContext) -> dict[str, str]:
        """Write the reports of a run, however far it got; return their keys by kind.

        `csv`, `xlsx`, `html`, those of `files` and, when rows were not loaded, `rejects` (those rows in the format
        of the file, ready to be corrected and dropped again).
        """
        run = context.folder
        run.stop_if_superseded()
        plan = run.find_plan()
        earlier = run.find_model(SUMMARY, FileSummary)
        if plan is None:
            summary = self._report_unread(context)
        else:
            with collecting(self.outcomes) as ends:
                ends.collect(self, run, plan.chunks)
                self.compare(plan, ends)
                summary = self._report_rows(context, plan, ends)
                context.ledger.replace(self._results(run, summary, ends))
        run.write_model(SUMMARY, summary)
        if earlier is not None:  # an attempt of the version before called them otherwise
            run.bucket.delete(set(earlier.keys.values()) - set(summary.keys.values()))
        for kind, written in summary.keys.items():
            log.info("%s: %s", kind, written)
        log.info("%s", ", ".join(f"{count} {word}" for word, count in summary.counts.items() if count))
        return summary.keys

    @final
    def file_away(self, context: JobContext) -> str:
        """Put the file under `done/`, or under `failed/` when nothing of it could be loaded; return its key.

        After a dry run it stays where it is. Returns "" when there is nothing to file.
        """
        run, key = context.folder, context.key
        run.stop_if_superseded()
        if self._is_dry_run(context):
            log.info("A dry run: %s stays where it is", printable(key))
            return run.filed_key() or ""
        summary = run.find_model(SUMMARY, FileSummary)
        loaded = summary is not None and summary.arrived(self.outcomes) > 0
        stem, extension = names_of(self.area, key)
        target = self.area.filed(loaded=loaded, stem=stem, run_id=run.run_id, extension=extension)
        if not run.file_away(self.area, key, target):
            return ""
        source = run.source()
        if source is not None:
            context.ledger.take_file(source.file_version(self.area), start=True)
            context.ledger.end_file(source.key, source.version, "done" if loaded else "failed", target)
        log.info("%s is filed as %s", printable(key), target)
        return target

    @final
    def check_outcome(self, context: JobContext) -> str:
        """The final check: return a sentence when the run is acceptable. Raises NotAcceptable with what is wrong.

        Acceptable is a run in which every row has its end and none is `failed` or `unconfirmed`; rows that were
        rejected are for their sender to correct, unless no row at all could be loaded.
        """
        context.folder.stop_if_superseded()
        summary = context.folder.find_model(SUMMARY, FileSummary)
        problems = problems_of(summary, context.task_states, self.outcomes, self.unit)
        if problems or summary is None:
            raise NotAcceptable(" ".join(problems))
        sentence = verdict_of(summary, self.outcomes, self.unit, self.guide)
        log.info("%s", sentence)
        return sentence

    # --- the ledger

    def record_of(self, end: End) -> RunRecord:
        """Return an end as the ledger keeps it. The label is the title, else the name that the input gives."""
        texts = {name: str(end.get(name) or "") for name in RunRecord._fields if name != "line"}
        texts["label"] = str(next((end[name] for name in self.labels if end.get(name)), ""))
        return RunRecord(**texts, line=end["line"])

    def _results(self, run: FileRun, summary: FileSummary, ends: Iterable[End]) -> Results:
        named = [(_ROLES.get(kind, kind), key) for kind, key in summary.keys.items()]
        return Results(
            counts=summary.counts,
            measures={f"{self.unit}s": summary.rows, **summary.figures},
            artefacts=found_artefacts(run.bucket, named),
            records=(self.record_of(end) for end in ends),
            dry_run=summary.dry_run,
        )

    # --- settings

    def profiles(self, bucket: Bucket, *, sandbox: bool) -> JobProfiles[ProfileT]:
        """Return the profiles of the bucket; without them the shipped ones where the Alma is a sandbox or they hold
        everywhere, else none."""
        found = self.settings.read(bucket, may_use_shipped=sandbox)
        return found or self.settings.model(profiles={})  # type: ignore[no-any-return]

    def _profiles_of(self, context: JobContext) -> JobProfiles[ProfileT]:
        sandbox = not self.settings.everywhere and context.is_sandbox()  # no Alma is asked for in vain
        return self.profiles(context.folder.bucket, sandbox=sandbox)

    def profile(
        self, settings: JobProfiles[ProfileT], name: str | None, params: Mapping[str, Any]
    ) -> ProfileT:
        """Return the profile that holds for the run, with what the run's form says laid over it."""
        profile: ProfileT = profile_named(settings, name, self.settings, self.profile_gives)
        dry_run = params.get("dry_run")
        return profile if dry_run is None else profile.model_copy(update={"dry_run": bool(dry_run)})

    def _check_size(self, info: ObjectInfo, settings: JobProfiles[ProfileT]) -> None:
        if info.size > settings.max_file_mb * 1_000_000:
            raise InputProblem(
                f"The file has {info.size / 1_000_000:,.1f} MB, more than the {settings.max_file_mb:g} MB that "
                f"max_file_mb allows: "
                f"a list of this many {self.things} is dropped in parts, or the bound is raised in {self.settings.key}"
            )
        if info.size == 0:
            raise InputProblem("The file is empty: there is nothing to load")

    def _is_dry_run(self, context: JobContext) -> bool:
        """Whether nothing was to be written; also of a file that could not be read."""
        plan = context.folder.find_plan()
        if plan is not None:
            return plan.dry_run
        asked = context.params.get("dry_run")
        if asked is not None:
            return bool(asked)
        try:
            file = dropped_file(self.area, context.key, profile=context.params.get("profile") or None)
            settings = self._profiles_of(context)
            return self.profile(settings, file.profile, {}).dry_run
        except RunStopped:
            return False

    @contextmanager
    def _opened(self, run: FileRun, profile: ProfileT) -> Iterator[Records]:
        with run.input_on_disk() as path:
            yield self.open_records(path, profile)

    # --- the report

    def _keys(self, context: JobContext, files: Mapping[str, ReportFile]) -> dict[str, str]:
        stem, _ = names_of(self.area, context.key)
        endings = {"csv": ".csv", "xlsx": ".xlsx", "html": ".html"}
        endings |= {kind: file.ending for kind, file in files.items()}
        return {kind: self.area.report(stem, context.folder.run_id, end) for kind, end in endings.items()}

    def _report_unread(self, context: JobContext) -> FileSummary:
        """A file that could not be read has one row in its report, so that its sender finds the reason there."""
        problem = context.folder.problem()
        states = ", ".join(f"{task} {state}" for task, state in context.task_states.items())
        message = problem or f"the file was not read ({states}): see the log of the first of these tasks"
        outcome = self.failed if problem is None else self.invalid
        end = self.end({"line": 1, self.columns[0]: 1}, outcome, message)  # the first column is the number
        files = self.report_files(None)
        summary = FileSummary(
            run_id=context.folder.run_id,
            key=context.key,
            problem=message,
            rows=1,
            counts={each.value: int(each is outcome) for each in self.outcomes},
            keys=self._keys(context, files),
        )
        findings = _Findings(self)
        findings.note(end)
        self._write(context, summary, [end], findings, self.extras(context.folder, None), files)
        context.ledger.replace(self._results(context.folder, summary, [end]))
        return summary

    def _report_rows(self, context: JobContext, plan: FilePlan[ProfileT], ends: CollectedEnds) -> FileSummary:
        run = context.folder
        findings, extras = _Findings(self), self.extras(run, plan)
        for end in ends:
            findings.note(end)
            extras.note(end)
        files = {kind: file for kind, file in self.report_files(plan).items() if extras.has(kind)}
        stem, _ = names_of(self.area, context.key)
        rejects = self.area.rejects(stem, run.run_id, plan.rejects_extension)
        summary = FileSummary(
            run_id=run.run_id,
            key=plan.source.key,
            profile=plan.profile_name,
            form=plan.form,
            dry_run=plan.dry_run,
            rows=plan.rows,
            counts=ends.counts(),
            in_part=findings.in_part,
            repeated=ends.repeated,
            figures=extras.figures(),
            unfinished=ends.unfinished,
            remarks=extras.remarks,
            keys=self._keys(context, files) | ({"rejects": rejects} if findings.rejected else {}),
        )
        if findings.rejected:
            with self._opened(run, plan.profile) as records, run.bucket.writer(rejects) as stream:
                records.excerpt(findings.rejected, stream)
        else:
            run.bucket.delete([rejects])  # of an earlier attempt
        self._write(context, summary, ends, findings, extras, files)
        return summary

    def _write(
        self,
        context: JobContext,
        summary: FileSummary,
        ends: Iterable[End],
        findings: "_Findings",
        extras: ReportExtras,
        files: Mapping[str, ReportFile],
    ) -> None:
        bucket = context.folder.bucket
        workbook = XlsxWriter(self.workbook_columns or self.columns, self.title)
        with bucket.writer(summary.keys["csv"]) as stream:
            table = CsvWriter(stream, self.columns)
            for end in ends:
                table.add([str(end[column]) for column in self.columns])
                workbook.add(self.workbook_cells(end))
        with tempfile.TemporaryFile(prefix="file-report-") as local:
            workbook.save(local)
            local.seek(0)
            bucket.upload(summary.keys["xlsx"], local, _XLSX)
        for kind in files:
            with bucket.writer(summary.keys[kind]) as stream:
                extras.write(kind, stream)
        problems = problems_of(summary, context.task_states, self.outcomes, self.unit)
        shown = findings.shown()
        page = render(
            self.page,
            job=self,
            summary=summary,
            file=printable(summary.key),
            sentences=problems or [verdict_of(summary, self.outcomes, self.unit, self.guide)],
            verdict_class="bad" if problems else ("dry-run" if summary.dry_run else ""),
            meaning={outcome.value: outcome.meaning for outcome in self.outcomes},
            rows=shown,
            hidden=findings.to_look_at - len(shown),
            titles={kind: title.format(self.unit) for kind, title in _TITLES.items()}
            | {kind: file.title for kind, file in files.items()},
            **extras.page_values(),
        )
        for key in (summary.keys["html"], context.folder.key(PAGE)):
            bucket.put(key, page, "text/html; charset=utf-8")


class _Findings:
    """What is noted of the ends while they go by."""

    def __init__(self, job: FileJob[Any]) -> None:
        self._job = job
        self._refused: list[End] = []
        self._remarked: list[End] = []  # loaded, and something is to be said of them
        self.to_look_at = 0
        self.in_part = 0
        self.rejected = Lines()

    def note(self, end: End) -> None:
        """Look at one end."""
        weight = self._job.outcome_of(end).weight
        loaded = weight.loaded
        self.in_part += bool(end.get("in_part")) and not (loaded or weight.in_part)
        if not loaded:
            self.rejected.add(end["line"])
        if not loaded or end["message"]:
            self.to_look_at += 1
            rows = self._remarked if loaded else self._refused
            if len(rows) < _SHOWN:
                rows.append(end)

    def shown(self) -> list[End]:
        """The rows for the page, by line: those that were not loaded before those that were."""
        return sorted((self._refused + self._remarked)[:_SHOWN], key=lambda end: end["line"])
