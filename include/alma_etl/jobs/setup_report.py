"""The checks of a set-up as a table, a page and rows of the ledger, and whether the work can be done as it stands."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from alma_etl.counted import counted, verb
from alma_etl.jobs.ledger import Results
from alma_etl.jobs.ledger_reading import Artefact, RunRecord
from alma_etl.jobs.pages import render
from alma_etl.jobs.report_tables import CsvWriter
from alma_etl.jobs.setup_checks import SetupCheck, SetupFolder, SetupResult

COLUMNS = ("system", "check", "label", "outcome", "message", "where", "advice")
NOT_CHECKED = "Nothing was checked."


@dataclass(frozen=True)
class SetupWords:
    """What the report of a job says: the page's ``title``, what holds where nothing is missing (``fit``), and what the
    page says at its end."""

    title: str
    fit: str
    note: str = ""


def problems_of(result: SetupResult) -> list[str]:
    """Why the work cannot be done as it stands, or why that is not known; one sentence each."""
    sentences, missing = [], result.having("missing")
    if missing:
        named = "; ".join(f"{each.system}: {each.label}" for each in missing[:5])
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        sentences.append(f"Missing or wrong: {named}{more}. The page says where to put it right.")
    for system, why in sorted(result.unread.items()):
        sentences.append(f"{system} could not be read: {why.rstrip('.')}.")
    return sentences


def problems_of_run(
    result: SetupResult | None, problem: str | None, task_states: Mapping[str, str]
) -> list[str]:
    """`problems_of` a run: ``problem`` is what it stopped at, ``task_states`` are tasks that did not succeed."""
    failed = [f"The task {task} is {state}." for task, state in sorted(task_states.items())]
    if result is None:
        return [NOT_CHECKED, *([f"{problem.rstrip('.')}."] if problem else failed)]
    return [*problems_of(result), *failed]


def verdict_of(result: SetupResult | None, words: SetupWords) -> str:
    """A set-up that lacks nothing, in one sentence."""
    if result is None:
        return NOT_CHECKED
    warnings, unknown = len(result.having("warning")), len(result.having("unknown"))
    sentence = f"{words.fit}; {counted(warnings, 'warning')}"
    return (
        f"{sentence}, {unknown} {verb(unknown, 'check is', 'checks are')} not known."
        if unknown
        else f"{sentence}."
    )


def write_setup_report(
    folder: SetupFolder, result: SetupResult | None, problems: Sequence[str], words: SetupWords
) -> dict[str, str]:
    """`checks.csv` (a row a check) and `report.html` beside `setup.json`; return their keys."""
    keys = {"html": folder.key("report.html")}
    if result is not None:
        keys |= {"json": folder.key("setup.json"), "csv": folder.key("checks.csv")}
        folder.bucket.put(keys["csv"], _table(result), "text/csv; charset=utf-8")
    checks = result.checks if result is not None else ()
    page = render(
        "setup.html",
        words=words,
        result=result,
        run_id=folder.run_id,
        sentences=problems or [verdict_of(result, words)],
        verdict_class="bad" if problems else "",
        systems=[(system, list(rows)) for system, rows in groupby(checks, key=lambda each: each.system)],
    )
    folder.bucket.put(keys["html"], page, "text/html; charset=utf-8")
    return keys


def _cells(check: SetupCheck) -> list[str]:
    return [str(getattr(check, name)) for name in COLUMNS]


def _table(result: SetupResult) -> bytes:
    stream = io.BytesIO()
    table = CsvWriter(stream, COLUMNS)
    for check in result.checks:
        table.add(_cells(check))
    return stream.getvalue()


def setup_results(result: SetupResult | None, artefacts: Sequence[Artefact]) -> Results:
    """Return for the ledger the checks by outcome, and a record of each."""
    if result is None:
        return Results({}, artefacts=artefacts)
    return Results(
        dict(Counter(each.outcome for each in result.checks)),
        {"systems": sorted({each.system for each in result.checks}), "unread": sorted(result.unread)},
        artefacts,
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
