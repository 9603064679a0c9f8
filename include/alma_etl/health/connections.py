"""The other connections: those that settings name must be usable, those that are optional when they are there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from alma_etl.errors import InputProblem
from alma_etl.health.house import said
from alma_etl.jobs.setup_checks import CONNECTION, UNREAD, SetupCheck, SetupRows
from alma_etl.remote.errors import RemoteError, RemoteTransient, RemoteUnreachable


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


def check_aleph(conn_ids: Iterable[str], say: Callable[[str], str]) -> list[SetupCheck]:
    """Each Aleph: a half-made connection is a warning, an X-Server that refuses what the connection gives is missing,
    one that does not answer is unknown; no night's run depends on that.

    ``say`` asks by the connection's id, changes nothing, and returns what was found; raises InputProblem before
    anything is asked, and RemoteError.
    """
    checks: list[SetupCheck] = []
    for conn_id in sorted(conn_ids):
        rows, label = SetupRows(conn_id), "Aleph's X-Server answers, and takes user and library"
        try:
            rows.ok("connection", label, say(conn_id))
        except InputProblem as problem:
            advice = "Correct it, or delete it where no items of Aleph are changed. Nothing was asked."
            rows.warn("connection", label, said(problem), CONNECTION, advice)
        except (RemoteTransient, RemoteUnreachable) as problem:
            advice = "Look at the X-Server and at the host of the connection, then run this again."
            rows.unknown("connection", label, f"{UNREAD}{said(problem)}", CONNECTION, advice)
        except RemoteError as problem:
            advice = "Correct login, password or library, or ask the Aleph administrator for what the finding names."
            rows.missing("connection", label, said(problem), CONNECTION, advice)
        checks += rows.rows
    return checks
