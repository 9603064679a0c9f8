"""Step 2: the checks as a table and as a page, and whether requests can be placed."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping
from itertools import groupby

from alma_etl.counted import counted, verb
from alma_etl.dcb.flows.check_setup.rows import SetupCheck, SetupFolder, SetupResult
from alma_etl.errors import NotAcceptable
from alma_etl.jobs.ledger import Results, run_artefacts
from alma_etl.jobs.ledger_reading import RunRecord
from alma_etl.jobs.pages import render
from alma_etl.jobs.report_tables import CsvWriter

COLUMNS = ("system", "check", "label", "outcome", "message", "where", "advice")


def write_report(folder: SetupFolder, task_states: Mapping[str, str]) -> dict[str, str]:
    """`checks.csv` (a row a check) and `report.html` beside `setup.json`; return their keys.

    ``task_states``: tasks that did not succeed.
    """
    result = folder.find()
    keys = {"html": folder.key("report.html")}
    if result is not None:
        keys |= {"json": folder.key("setup.json"), "csv": folder.key("checks.csv")}
        folder.bucket.put(keys["csv"], _table(result), "text/csv; charset=utf-8")
    problems = _problems(folder, result, task_states)
    checks = result.checks if result is not None else ()
    page = render(
        "dcb_setup.html",
        result=result,
        run_id=folder.run_id,
        sentences=problems or [verdict_of(result)],
        verdict_class="bad" if problems else "",
        systems=[(system, list(rows)) for system, rows in groupby(checks, key=lambda each: each.system)],
    )
    folder.bucket.put(keys["html"], page, "text/html; charset=utf-8")
    return keys


def check_outcome(folder: SetupFolder, task_states: Mapping[str, str]) -> str:
    """One sentence. Raises NotAcceptable when something that a placing needs is missing, when a system could not be
    read, or when the checks were not made."""
    result = folder.find()
    problems = _problems(folder, result, task_states)
    if problems:
        raise NotAcceptable(" ".join(problems))
    return verdict_of(result)


def _problems(folder: SetupFolder, result: SetupResult | None, task_states: Mapping[str, str]) -> list[str]:
    failed = [f"The task {task} is {state}." for task, state in sorted(task_states.items())]
    problem = folder.problem()
    if result is None:
        return ["Nothing was checked.", *([f"{problem.rstrip('.')}."] if problem else failed)]
    return [*problems_of(result), *failed]


def problems_of(result: SetupResult) -> list[str]:
    """Why requests cannot be placed as it stands, or why that is not known; one sentence each."""
    sentences, missing = [], result.having("missing")
    if missing:
        named = "; ".join(f"{each.system}: {each.label}" for each in missing[:5])
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        sentences.append(f"Missing or wrong: {named}{more}. The page says where to put it right.")
    for system, why in sorted(result.unread.items()):
        sentences.append(f"{system} could not be read: {why.rstrip('.')}.")
    return sentences


def verdict_of(result: SetupResult | None) -> str:
    """A set-up with which requests can be placed, in one sentence."""
    if result is None:
        return "Nothing was checked."
    warnings, unknown = len(result.having("warning")), len(result.having("unknown"))
    sentence = f"Nothing that a placing needs is missing; {counted(warnings, 'warning')}"
    return (
        f"{sentence}, {unknown} {verb(unknown, 'check is', 'checks are')} not known."
        if unknown
        else f"{sentence}."
    )


def _cells(check: SetupCheck) -> list[str]:
    return [str(getattr(check, name)) for name in COLUMNS]


def _table(result: SetupResult) -> bytes:
    stream = io.BytesIO()
    table = CsvWriter(stream, COLUMNS)
    for check in result.checks:
        table.add(_cells(check))
    return stream.getvalue()


def results_of(folder: SetupFolder) -> Results:
    """Return for the ledger the checks by outcome, and a record of each."""
    result = folder.find()
    if result is None:
        return Results({}, artefacts=run_artefacts(folder))
    return Results(
        dict(Counter(each.outcome for each in result.checks)),
        {"systems": sorted({each.system for each in result.checks}), "unread": sorted(result.unread)},
        run_artefacts(folder, table="checks.csv", summary="setup.json"),
        records=(
            RunRecord(
                outcome=each.outcome,
                symbol=each.system,
                line=number,
                label=each.label,
                reasons=each.check,
                message=" ".join(part for part in (each.message, each.advice, each.where) if part),
            )
            for number, each in enumerate(result.checks, 1)
        ),
    )
