"""What the tasks of `alma_health_check` found, as one result: report, ledger, verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from alma_etl.errors import NotAcceptable
from alma_etl.health.house import ANSWERS
from alma_etl.jobs.setup_checks import UNREAD, SetupCheck, SetupResult
from alma_etl.jobs.setup_report import SetupWords, problems_of_run, verdict_of

DAG_ID = "alma_health_check"
WORDS = SetupWords(
    title="Health of the installation",
    fit="Nothing that the night's runs need is missing",
    note="Whether requests of direct consortial borrowing can be placed is checked by dcb_check_setup.",
)


def as_rows(checks: Iterable[SetupCheck]) -> list[dict[str, Any]]:
    """Checks as plain values, for the way from task to task."""
    return [each.model_dump() for each in checks]


def result_of(parts: Iterable[Iterable[Mapping[str, Any]] | None], now: datetime) -> SetupResult | None:
    """The rows of all tasks, sorted by system; None when no task made any. A system whose first question was not
    answered is unread."""
    checks = [SetupCheck.model_validate(row) for part in parts for row in part or ()]
    if not checks:
        return None
    order = list(dict.fromkeys(each.system for each in checks))
    unread = {
        each.system: each.message.removeprefix(UNREAD)
        for each in checks
        if each.check == ANSWERS and each.outcome == "unknown"
    }
    return SetupResult(
        at=now, checks=tuple(sorted(checks, key=lambda each: order.index(each.system))), unread=unread
    )


def health_problems(result: SetupResult | None, task_states: Mapping[str, str]) -> list[str]:
    """Why the night's runs would fail, or why that is not known."""
    return problems_of_run(result, None, task_states)


def health_verdict(result: SetupResult | None, task_states: Mapping[str, str]) -> str:
    """One sentence. Raises NotAcceptable when something that the night's runs need is missing or could not be read."""
    problems = health_problems(result, task_states)
    if problems:
        raise NotAcceptable(" ".join(problems))
    return verdict_of(result, WORDS)
