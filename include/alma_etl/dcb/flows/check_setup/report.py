"""Step 2: the checks as a table and as a page, and whether requests can be placed."""

from __future__ import annotations

from collections.abc import Mapping

from alma_etl.errors import NotAcceptable
from alma_etl.jobs.ledger import Results, run_artefacts
from alma_etl.jobs.setup_checks import SetupFolder
from alma_etl.jobs.setup_report import (
    SetupWords,
    problems_of_run,
    setup_results,
    verdict_of,
    write_setup_report,
)

WORDS = SetupWords(
    title="DCB set-up",
    fit="Nothing that a placing needs is missing",
    note="What no API shows (request rules, loan rules, role-assignment rules) is in docs/alma-setup.md, for the Alma "
    "administrator.",
)


def write_report(folder: SetupFolder, task_states: Mapping[str, str]) -> dict[str, str]:
    """`checks.csv` (a row a check) and `report.html` beside `setup.json`; return their keys.

    ``task_states``: tasks that did not succeed.
    """
    return write_setup_report(folder, folder.find(), _problems(folder, task_states), WORDS)


def check_outcome(folder: SetupFolder, task_states: Mapping[str, str]) -> str:
    """One sentence. Raises NotAcceptable when something that a placing needs is missing, when a system could not be
    read, or when the checks were not made."""
    problems = _problems(folder, task_states)
    if problems:
        raise NotAcceptable(" ".join(problems))
    return verdict_of(folder.find(), WORDS)


def _problems(folder: SetupFolder, task_states: Mapping[str, str]) -> list[str]:
    return problems_of_run(folder.find(), folder.problem(), task_states)


def results_of(folder: SetupFolder) -> Results:
    """Return for the ledger the checks by outcome, and a record of each."""
    named = {"table": "checks.csv", "summary": "setup.json"}
    return setup_results(folder.find(), run_artefacts(folder, **named))
