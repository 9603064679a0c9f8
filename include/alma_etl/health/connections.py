"""The other connections: those that settings name must be usable, those that are optional when they are there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from alma_etl.errors import InputProblem
from alma_etl.health.house import said
from alma_etl.jobs.setup_checks import CONNECTION, SetupCheck, SetupRows


@dataclass(frozen=True)
class OptionalPart:
    """A part that works when its connection is there. ``ask`` connects and returns what was found, None where there is
    no such connection; it raises whatever its client raises. ``nightly``: a night's run fails when it cannot be used.
    """

    conn_id: str
    label: str
    ask: Callable[[], str | None]
    nightly: bool


def check_services(conn_ids: Iterable[str], usable: Callable[[str], object]) -> list[SetupCheck]:
    """The connections that `config/dcb.yaml` names. ``usable`` raises InputProblem; whether the service answers is
    what `dcb_check_setup` asks."""
    checks: list[SetupCheck] = []
    for conn_id in sorted(conn_ids):
        rows, label = SetupRows(conn_id), "It is there and can be used"
        try:
            usable(conn_id)
        except InputProblem as problem:
            advice = "Create or correct it, or the name of it in config/dcb.yaml."
            rows.missing("connection", label, said(problem), CONNECTION, advice)
        else:
            rows.ok("connection", label, "It can. Whether the service answers is asked by dcb_check_setup.")
        checks += rows.rows
    return checks


def check_optional(parts: Iterable[OptionalPart]) -> list[SetupCheck]:
    """Each optional part whose connection is there; no row for one that is not."""
    checks: list[SetupCheck] = []
    for part in parts:
        rows = SetupRows(part.conn_id)
        try:
            found = part.ask()
        except Exception as problem:  # noqa: BLE001 - of whatever client: it cannot be used as it stands
            words = f"{type(problem).__name__}: {problem}".strip(": ")
            advice = "Correct the connection, or delete it where this is not wanted."
            add = rows.missing if part.nightly else rows.warn
            add("connection", part.label, f"{words.rstrip('.')}.", CONNECTION, advice)
        else:
            if found is not None:
                rows.ok("connection", part.label, found)
        checks += rows.rows
    return checks
