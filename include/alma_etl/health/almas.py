"""Each connection to an Alma: whether it answers, what its key may do, and how many calls are left today."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from alma_etl.alma.client import AlmaClient
from alma_etl.alma.errors import AlmaDailyThreshold, AlmaQuotaFloor
from alma_etl.counted import counted
from alma_etl.errors import InputProblem
from alma_etl.health.house import ANSWERS, said
from alma_etl.health.settings import DEFAULT_ALMA, Installation
from alma_etl.jobs.setup_checks import (
    CONNECTION,
    KEYS,
    SINGLE,
    UNREAD,
    SetupCheck,
    SetupRows,
    check_right,
)
from alma_etl.remote.answers import Absent, Found
from alma_etl.remote.errors import RemoteError, RemoteForbidden, RemoteUnauthorized

_CREATE = (
    "Create or correct the connection, of type alma: the gateway's URL as host, the API key as password."
)


@dataclass(frozen=True)
class AlmaAccess:
    """What a connection gives: a client for the time of a ``with`` block, the calls that must be left for reads and for
    writes, and whether it says that it is a sandbox."""

    client: Callable[[], AbstractContextManager[AlmaClient]]
    floor: int
    floor_writes: int
    sandbox: bool


Access = Callable[[str], AlmaAccess]
"""Opens a connection by its id. Raises InputProblem for one that is not there or cannot be used, as does its client."""


def check_answers(conn_ids: Iterable[str], access: Access) -> list[SetupCheck]:
    """Every Alma answers, takes the key, and is of the kind that the connection says."""
    checks: list[SetupCheck] = []
    for conn_id in sorted(conn_ids):
        rows, label = SetupRows(conn_id), "It answers, and takes the key"
        try:
            there = access(conn_id)
            with there.client() as alma:
                _answers(alma, there, rows, label)
        except InputProblem as problem:
            rows.missing(ANSWERS, label, said(problem), CONNECTION, _CREATE)
        except (RemoteUnauthorized, RemoteForbidden) as problem:
            advice = "Put a valid API key into the password; its allowed addresses must include this host's."
            rows.missing(ANSWERS, label, said(problem), KEYS, advice)
        except RemoteError as problem:
            advice = "Look at Ex Libris' status page and at the host of the connection, then run this again."
            rows.unknown(ANSWERS, label, f"{UNREAD}{said(problem)}", CONNECTION, advice)
        checks += rows.rows
    return checks


def _answers(alma: AlmaClient, access: AlmaAccess, rows: SetupRows, label: str) -> None:
    try:
        general = alma.conf.general()
    except (RemoteUnauthorized, RemoteForbidden):
        alma.test.read("bibs")  # a key may have this area and not the configuration
        rows.ok(ANSWERS, label, "It does. The key may not read which Alma it opens.")
        return
    kind = general.environment_type or "environment not given"
    rows.ok(ANSWERS, label, f"{general.institution} ({kind}).")
    if access.sandbox and general.environment_type.strip().upper() == "PRODUCTION":
        found = "The connection says sandbox, Alma says PRODUCTION: what ships for the sandbox would be used there."
        advice = "Take sandbox out of the environment of the connection."
        rows.missing("environment", "The connection says which Alma it is", found, CONNECTION, advice)


def check_rights(settings: Installation, access: Access) -> list[SetupCheck]:
    """The areas that the jobs need, and the WEST set. Nothing is written: Alma's test end points change nothing."""
    checks: list[SetupCheck] = []
    for conn_id, areas in sorted(settings.almas().items()):
        rows = SetupRows(conn_id)
        try:
            with access(conn_id).client() as alma:
                for area, writes in areas.items():
                    check_right(alma, area, rows, writes=writes)
                if conn_id == DEFAULT_ALMA:
                    if settings.loads_items:
                        _orders(alma, rows)
                    _west_set(alma, settings, rows)
        except (InputProblem, RemoteError) as problem:
            label = "Everything else that the key may do" if rows.rows else "What the key may do"
            rows.unknown("rights", label, f"{UNREAD}{said(problem)}", CONNECTION)
        checks += rows.rows
    return checks


def _orders(alma: AlmaClient, rows: SetupRows) -> None:
    """Acquisitions are asked for nothing but the order lines of item files."""
    asked = SetupRows(rows.system)
    check_right(alma, "acq", asked, writes=False)
    for row in asked.rows:
        if row.outcome == "missing":
            advice = f"{row.advice} Needed for files with a column po_line alone."
            row = row.model_copy(update={"outcome": "warning", "advice": advice})
        rows.rows.append(row)


def _west_set(alma: AlmaClient, settings: Installation, rows: SetupRows) -> None:
    if settings.west is None or settings.west.set_id is None:
        return
    label, where = f"The WEST set {settings.west.set_id} is there", "config/west.yaml in the bucket"
    try:
        answer = alma.sets.read(settings.west.set_id)
    except SINGLE as problem:
        rows.unknown("west_set", label, f"{UNREAD}{said(problem)}")
        return
    if isinstance(answer, Found):
        members = answer.value.number_of_members
        if members:
            rows.ok("west_set", label, f"It has {counted(members, 'member')}.")
        else:
            found, advice = "It has no members.", "Fill it, or name another set_id."
            rows.missing("west_set", label, found, where, advice)
    elif isinstance(answer, Absent):
        found, advice = "Alma has no such set.", "Name another set_id (Alma: Admin > Manage Sets)."
        rows.missing("west_set", label, found, where, advice)
    else:
        rows.unknown("west_set", label, f"{UNREAD}{said(answer.error)}")


def check_quota(conn_ids: Iterable[str], access: Access) -> list[SetupCheck]:
    """Calls left today, against the reserves of the connection: one call for each Alma."""
    checks: list[SetupCheck] = []
    for conn_id in sorted(conn_ids):
        rows, label = SetupRows(conn_id), "Enough calls are left today"
        try:
            there = access(conn_id)
            with there.client() as alma:
                try:
                    alma.conf.general()
                except (RemoteUnauthorized, RemoteForbidden):
                    alma.test.read("bibs")
                _left(alma.calls_left, there, rows, label)
        except (AlmaQuotaFloor, AlmaDailyThreshold) as problem:
            advice = "Wait until midnight UTC, or lower the quota floor of the connection; the page API budget says "
            advice += "who called."
            rows.missing("calls_left", label, said(problem), "Alma: API budget", advice)
        except (InputProblem, RemoteError) as problem:
            rows.unknown("calls_left", label, f"{UNREAD}{said(problem)}", CONNECTION)
        checks += rows.rows
    return checks


def _left(left: int | None, access: AlmaAccess, rows: SetupRows, label: str) -> None:
    where = "Alma: API budget"
    if left is None:
        rows.unknown("calls_left", label, "Alma did not say how many are left.")
        return
    found = f"{counted(left, 'call')} left today; {access.floor:,} are kept for other work, "
    found += f"{access.floor_writes:,} of them from writes too."
    if left <= access.floor:
        advice = "Nothing is read before midnight UTC. Find who called, or lower the quota floor."
        rows.missing("calls_left", label, found, where, advice)
    elif left <= 2 * access.floor:
        advice = "A large run may stop at the reserve. Find who called."
        rows.warn("calls_left", label, found, where, advice)
    else:
        rows.ok("calls_left", label, found)
