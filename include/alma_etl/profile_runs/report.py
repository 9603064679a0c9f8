"""Step 3, what is written, and step 4: the counts beside what was expected, the records, the page, the final check."""

from __future__ import annotations

import io
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from alma_etl.alma.client import AlmaClient
from alma_etl.alma.jobs import SUCCESS
from alma_etl.counted import counted, verb
from alma_etl.errors import InputProblem, NotAcceptable
from alma_etl.jobs.ledger import Results, run_artefacts
from alma_etl.jobs.ledger_reading import RunRecord
from alma_etl.jobs.links import AlmaUrls, filled
from alma_etl.jobs.pages import render
from alma_etl.jobs.report_tables import CsvWriter
from alma_etl.profile_runs.counts import KINDS, ComparedCount, accounted, compare
from alma_etl.profile_runs.reading import ImportFacts, TitleRead, read_import
from alma_etl.profile_runs.submit import ProfilePlan, ProfileRunFolder, look

log = logging.getLogger(__name__)

OUTCOMES: Mapping[str, str] = {
    "found": "loaded, and there when it was read",
    "not_read": "loaded; not read: outside the sample, or its field 001 is no MMS id",
    "gone": "loaded, and no longer there when it was read",
    "unknown": "loaded; it could not be read",
    "single_match": "matches one title: waits for staff under Resolve Import Issues",
    "multi_match": "matches several titles: waits for staff under Resolve Import Issues",
    "discarded": "not imported: Alma's report says why",
    "po_line": "a PO line of a title that was loaded",
    "po_line_cancelled": "a cancelled PO line of a title that was loaded",
}
"""Every outcome of a record, with what it says. Those of PO lines stand beside their titles' and are not counted."""
COUNT_COLUMNS = ("count", "expected", "done", "verdict")
RECORD_COLUMNS = ("outcome", "mms_id", "po_line", "record", "title", "message")
WARNED = frozenset({"COMPLETED_WARNING", "MANUAL_HANDLING_REQUIRED"})
"""Final statuses of a job that did its work, and has something to say."""
EMPTY = "COMPLETED_NO_BULKS"
MONITOR = "Admin > Monitor Jobs"
RESOLVE = "Import > Resolve Import Issues under Resources, or under Acquisitions for profiles of orders"
REVIEW = "Acquisitions > Review"
_SHOWN = 500
_FACTS = "facts.json"


def write_report(
    folder: ProfileRunFolder, client: AlmaClient, urls: AlmaUrls, task_states: Mapping[str, str]
) -> dict[str, str]:
    """Read what the job did, then write `counts.csv`, `records.csv`, `facts.json` and `report.html`; return their keys.

    Raises RemoteStop, after which a further attempt reads again.
    """
    plan, instance_id = folder.find_plan(), folder.instance_id()
    facts = None
    if plan is not None and instance_id is not None and _has_ended(folder, client):
        facts = read_import(client, plan.job_id, instance_id, plan.conf)
    folder.bucket.delete([folder.key(name) for name in (_FACTS, "counts.csv", "records.csv")])
    keys = {"html": folder.key("report.html")}
    rows = compared(plan, facts)
    if facts is not None:
        keys |= {name: folder.key(f"{name}.csv") for name in ("counts", "records")} | {
            "json": folder.key(_FACTS)
        }
        folder.write_model(_FACTS, facts)
        _put_table(folder, "counts.csv", COUNT_COLUMNS, map(_count_cells, rows))
        _put_table(folder, "records.csv", RECORD_COLUMNS, map(_record_cells, _records(facts)))
    problems, records = problems_of(folder, task_states), _records(facts)
    page = render(
        "import_profile_run.html",
        plan=plan,
        run_id=folder.run_id,
        instance_id=instance_id,
        job_url=urls.of_job(plan.job_id, instance_id) if plan and instance_id else "",
        facts=facts,
        rows=rows,
        sentences=problems or [verdict(folder)],
        verdict_class="bad" if problems else "dry-run" if plan and plan.conf.dry_run else "",
        remarks=_remarks(facts) if facts else [],
        records=[
            (each, [(mms_id, filled(urls.record, mms_id=mms_id)) for mms_id in ids])
            for each, ids in zip(records[:_SHOWN], _ids(records, facts), strict=False)
        ],
        hidden=max(0, len(records) - _SHOWN),
        resolve=RESOLVE,
        monitor=MONITOR,
    )
    folder.bucket.put(keys["html"], page, "text/html; charset=utf-8")
    return keys


def _has_ended(folder: ProfileRunFolder, client: AlmaClient) -> bool:
    """Whether the job has ended: it is looked at once more, since nobody may have waited for it."""
    if folder.end() is not None:
        return True
    try:
        return look(folder, client) is not None
    except InputProblem as problem:
        log.warning("%s", problem)
        return False


def compared(plan: ProfilePlan | None, facts: ImportFacts | None) -> list[ComparedCount]:
    """The counts beside what was expected; none where the job was not read. A job that found no files counts nothing,
    which is zero of everything."""
    if plan is None or facts is None:
        return []
    none = dict.fromkeys(KINDS, 0) if facts.status == EMPTY and not facts.counts else {}
    return compare(facts.counts or none, plan.conf.to_compare())


def check_outcome(folder: ProfileRunFolder, task_states: Mapping[str, str]) -> str:
    """The final check: one sentence. Raises NotAcceptable when the job failed or its end is not known, counts are
    short, or records are gone."""
    problems = problems_of(folder, task_states)
    if problems:
        raise NotAcceptable(" ".join(problems))
    return verdict(folder)


def problems_of(folder: ProfileRunFolder, task_states: Mapping[str, str]) -> list[str]:
    """Why the run is not acceptable, a sentence each."""
    failed = [f"The task {task} is {state}." for task, state in sorted(task_states.items())]
    problem, plan, instance_id = folder.problem(), folder.find_plan(), folder.instance_id()
    if plan is not None and plan.conf.dry_run and not problem:
        return failed
    if plan is None or instance_id is None:
        return [_not_started(folder, plan), *([f"{problem.rstrip('.')}."] if problem else failed)]
    if folder.end() is None:
        why = [f"{problem.rstrip('.')}."] if problem else []
        return [still_running(plan, instance_id), *why, *failed]
    facts = folder.find_model(_FACTS, ImportFacts)
    if facts is None:
        return [f"The job instance {instance_id} could not be read: clear report.", *failed]
    return [*_of_job(plan, facts, instance_id), *_of_counts(plan, facts), *_of_records(facts), *failed]


def _not_started(folder: ProfileRunFolder, plan: ProfilePlan | None) -> str:
    if plan is None and folder.may_have_started():
        return (
            "The plan of this run is no longer kept: clear submit, which finds the job that the run started."
        )
    if plan is None or not folder.notes(plan).any():
        return "No job of Alma was started."
    return f"Nobody knows whether Alma started the job {plan.subject}: clear submit, which looks before it starts it."


def still_running(plan: ProfilePlan, instance_id: str) -> str:
    """That a run has ended and its job has not."""
    return (
        f"Nobody waits for the job {plan.subject} any more, and it goes on in Alma (instance {instance_id}): no API "
        f"cancels a job. Abort it in Alma under {MONITOR} > Running, or clear wait to go on waiting."
    )


def _of_job(plan: ProfilePlan, facts: ImportFacts, instance_id: str) -> Iterator[str]:
    expected = plan.conf.to_compare()
    if facts.status == EMPTY and 0 not in (expected.records, expected.files):
        yield "The job found nothing to import: see whether the files are where the profile fetches them."
    elif facts.status not in SUCCESS | WARNED | {EMPTY}:
        why = "; ".join(each.rstrip(". ") for each in facts.alerts) or "Alma gives no reason"
        yield f"The job {plan.subject} (instance {instance_id}) ended as {facts.status}: {why}."


def _of_counts(plan: ProfilePlan, facts: ImportFacts) -> Iterator[str]:
    for row in compared(plan, facts):
        named = row.words[:1].upper() + row.words[1:]
        if row.verdict == "unknown":
            yield f"{named}: {row.expected:,} expected, and the job's report does not say how many there are."
        elif row.wrong:
            yield f"{named}: {row.expected:,} expected, {row.done:,} in the job's report."
    records, done = facts.counts.get("records"), accounted(facts.counts)
    if plan.conf.to_compare().records is not None or facts.status == EMPTY:
        return  # compared, or said already
    if records == 0:
        yield "The files held no records."
    elif done is not None and done <= 0 and (records or facts.counts.get("discarded")):
        yield "None of the records were imported, and none matched: the job's report in Alma says why."


def _of_records(facts: ImportFacts) -> Iterator[str]:
    for outcome, words in (
        ("gone", "is no longer there|are no longer there"),
        ("unknown", "could not be read"),
    ):
        found = facts.having(outcome)
        if found:
            named = ", ".join(each.mms_id for each in found[:5]) + (", …" if len(found) > 5 else "")
            said = verb(len(found), words.partition("|")[0], words.rpartition("|")[2])
            yield f"{counted(len(found), 'title')} that the job loaded {said}: {named}."
    counted_as = facts.counts.get("imported", 0)
    if facts.imported is not None and facts.imported < counted_as:
        yield (
            f"The job counts {counted(counted_as, 'imported record')}, and Alma's list of them has "
            f"{facts.imported:,}: the others could not be read."
        )
    for what in facts.failed:
        yield f"{_named(what)} could not be read: clear report."
    lines = sum(each.outcome == "po_line" for each in facts.lines)
    said_lines = facts.counts.get("po_lines", 0)
    if facts.titles_asked_for_lines and facts.all_lines_read and lines < said_lines:
        yield (
            f"The job counts {counted(said_lines, 'PO line')}, and the titles that it loaded have {lines:,} that are "
            "not cancelled."
        )


def verdict(folder: ProfileRunFolder) -> str:
    """A run that is acceptable, in one sentence."""
    plan, facts = folder.find_plan(), folder.find_model(_FACTS, ImportFacts)
    if plan is None:
        return "No job of Alma was started."
    label = f"{plan.conf.label}: " if plan.conf.label else ""
    if plan.conf.dry_run:
        return f"Dry run: {label}the job {plan.subject} would be started. Nothing was sent."
    if facts is None:
        return f"{label}the job {plan.subject} could not be read."
    known = ", ".join(
        f"{words}: {facts.counts[kind]:,}" for kind, words in KINDS.items() if kind in facts.counts
    )
    read = len(facts.having("found"))
    sentences = [
        f"{label}the job {plan.subject} ended as {facts.status}, with {known or 'no counts in its report'}"
    ]
    sentences.append(
        f"Of {counted(len(facts.titles), 'loaded title')} {read:,} {verb(read, 'was', 'were')} read and there"
    )
    if not facts.titles:
        sentences[-1] = "Alma lists no title that it loaded"
    if "the imported records" in facts.unread:
        sentences[-1] = "which titles it loaded Alma does not show, so that none were read"
    elif not plan.conf.read:
        sentences[-1] = "the titles were not read, as the form says"
    if facts.waiting:
        waits = verb(len(facts.waiting), "waits", "wait")
        sentences.append(f"{counted(len(facts.waiting), 'record')} {waits} for staff ({RESOLVE})")
    not_known = [_named(what) for what in facts.unread if what not in ("events", "the imported records")]
    if not_known:
        sentences.append(f"Not shown by Alma: {', '.join(not_known)}")
    if facts.lines_in_review:
        waits = verb(facts.lines_in_review, "waits", "wait")
        sentences.append(f"{counted(facts.lines_in_review, 'PO line')} {waits} for a review ({REVIEW})")
    more = [row for row in compared(plan, facts) if row.verdict == "more"]
    if more:
        named = ", ".join(f"{row.words}: {row.done:,} instead of {row.expected:,}" for row in more)
        sentences.append(f"More than expected: {named}")
    if facts.status in WARNED and facts.alerts:
        sentences.append("; ".join(each.rstrip(". ") for each in facts.alerts))
    said = ". ".join(each[:1].upper() + each[1:] for each in sentences)
    return f"{said}."


def _remarks(facts: ImportFacts) -> list[str]:
    """What the page says of the reading itself."""
    not_read = facts.having("not_read")
    found = [
        f"{counted(len(facts.titles) - len(not_read), 'title')} of {len(facts.titles):,} that the job loaded were "
        "asked for by their MMS ids."
    ]
    if facts.titles_asked_for_lines:
        found.append(f"PO lines were looked for in {counted(facts.titles_asked_for_lines, 'title')}.")
    for what, why in facts.unread.items():
        said = "Alma shows none of this job by API" if what == "events" else "not known"
        found.append(f"{_named(what)}: {said} ({why}).")
    return found


def _named(what: str) -> str:
    words = what.replace("_", " ").removeprefix("the ")
    return words if words.startswith("PO") else words.capitalize()


def _records(facts: ImportFacts | None) -> list[RunRecord]:
    if facts is None:
        return []
    waiting = (
        RunRecord(
            outcome="single_match" if each.population == "SINGLE_MATCHES" else "multi_match",
            mms_id=each.mms_ids[0] if each.mms_ids else "",
            label=each.key,
            message="matches " + (", ".join(each.mms_ids) or "titles that Alma does not name"),
        )
        for each in facts.waiting
    )
    titles = (
        RunRecord(each.outcome, mms_id=each.mms_id, label=each.title or each.mms_id, message=_said(each))
        for each in sorted(facts.titles, key=lambda title: title.outcome in ("found", "not_read"))
    )
    lines = (
        RunRecord(each.outcome, mms_id=each.mms_id, label=each.number, message=each.status)
        for each in facts.lines
    )
    return [*waiting, *titles, *lines]


def _said(title: TitleRead) -> str:
    several = f"{counted(title.records, 'record')} of the files" if title.records > 1 else ""
    return "; ".join(each for each in (several, title.message) if each)


def _ids(records: Sequence[RunRecord], facts: ImportFacts | None) -> Iterator[tuple[str, ...]]:
    """The titles that each of these is about: of a record that waits all that it matches."""
    waiting = facts.waiting if facts else ()
    yield from (each.mms_ids for each in waiting)
    yield from ((each.mms_id,) for each in records[len(waiting) :])


def _record_cells(record: RunRecord) -> list[str]:
    line = record.outcome.startswith("po_line")
    match = record.outcome.endswith("_match")
    return [
        record.outcome,
        record.mms_id,
        record.label if line else "",
        record.label if match else "",
        "" if line or match else record.label,
        record.message,
    ]


def _count_cells(row: ComparedCount) -> list[str]:
    return [
        row.words,
        *("" if value is None else str(value) for value in (row.expected, row.done)),
        row.verdict,
    ]


def _put_table(
    folder: ProfileRunFolder, name: str, columns: Sequence[str], rows: Iterable[Iterable[str]]
) -> None:
    stream = io.BytesIO()
    table = CsvWriter(stream, columns)
    for row in rows:
        table.add(row)
    folder.bucket.put(folder.key(name), stream.getvalue(), "text/csv; charset=utf-8")


def results_of(folder: ProfileRunFolder) -> Results:
    """Return for the ledger the records by outcome, and what the job's report says."""
    plan, facts = folder.find_plan(), folder.find_model(_FACTS, ImportFacts)
    artefacts = run_artefacts(folder, table="records.csv", counts="counts.csv", summary=_FACTS)
    measures = {"instance": folder.instance_id() or ""}
    if plan is not None:
        expected = plan.conf.to_compare().model_dump(exclude_none=True)
        measures |= {"label": plan.conf.label, "note": plan.conf.note, "expected": expected}  # type: ignore[dict-item]
    if facts is None:
        return Results({}, measures, artefacts, subject=plan.subject if plan else None)
    records = _records(facts)
    counts = Counter(each.outcome for each in records[: len(facts.waiting)])
    for title in facts.titles:
        counts[title.outcome] += title.records
    if facts.counts.get("discarded"):
        counts["discarded"] = facts.counts["discarded"]
    return Results(
        dict(counts),
        {**measures, "status": facts.status, "report": facts.counts},
        artefacts,
        records,
        subject=plan.subject if plan else None,
    )
