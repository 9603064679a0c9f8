"""What a check of the set-up came to, and what to do about it: for every job that checks instead of working."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from alma_etl.alma.client import AlmaClient
from alma_etl.jobs.folder import RunFiles
from alma_etl.remote.errors import (
    RemoteForbidden,
    RemoteReadOnly,
    RemoteRefused,
    RemoteTransient,
    RemoteUnauthorized,
)

CheckOutcome = Literal["ok", "warning", "missing", "unknown"]
"""``missing``: the work fails without it, or with it as it is. ``warning``: the work goes on, something else does not,
or not as people expect. ``unknown``: it could not be read, or nothing shows it; never taken for missing."""

SINGLE = (RemoteRefused, RemoteTransient, RemoteUnauthorized, RemoteForbidden)
"""What ends one read and not the reading: a key may have one area and not the other."""

CONNECTION = "Airflow: Admin > Connections"
KEYS = "Ex Libris Developer Network: Build > API Keys"
UNREAD = "It could not be read: "


class SetupCheck(BaseModel):
    """One check of one system. ``check`` is a fixed word, ``message`` what was found, ``where`` and ``advice`` how to
    put it right ("" when there is nothing to do). No names and no users' ids."""

    model_config = ConfigDict(frozen=True)

    system: str
    check: str
    label: str
    outcome: CheckOutcome
    message: str
    where: str = ""
    advice: str = ""


class SetupResult(BaseModel):
    """What a run found. ``unread``: systems that could not be read (any further), with the reason; ``mode``: that of
    DCB, where that was checked."""

    model_config = ConfigDict(frozen=True)

    at: datetime
    checks: tuple[SetupCheck, ...]
    unread: dict[str, str] = {}
    mode: str = ""

    def having(self, outcome: CheckOutcome) -> list[SetupCheck]:
        """The checks that came to this, in their order."""
        return [each for each in self.checks if each.outcome == outcome]


class SetupFolder(RunFiles):
    """The keys of one run's files, ``runs/{dag_id}/{run_id}/``."""

    def save(self, result: SetupResult) -> None:
        """The checks are made."""
        self.write_model("setup.json", result)

    def find(self) -> SetupResult | None:
        """What they came to, None when they were not made."""
        return self.find_model("setup.json", SetupResult)


class SetupRows:
    """Collects the rows of one system."""

    def __init__(self, system: str) -> None:
        self.system = system
        self.rows: list[SetupCheck] = []

    def add(
        self, check: str, label: str, outcome: CheckOutcome, message: str, where: str = "", advice: str = ""
    ) -> None:
        """One more row."""
        self.rows.append(
            SetupCheck(
                system=self.system,
                check=check,
                label=label,
                outcome=outcome,
                message=message,
                where=where,
                advice=advice,
            )
        )

    def ok(self, check: str, label: str, message: str) -> None:
        """It is as it should be."""
        self.add(check, label, "ok", message)

    def missing(self, check: str, label: str, message: str, where: str, advice: str) -> None:
        """The work fails without it."""
        self.add(check, label, "missing", message, where, advice)

    def warn(self, check: str, label: str, message: str, where: str, advice: str) -> None:
        """The work goes on without it."""
        self.add(check, label, "warning", message, where, advice)

    def unknown(self, check: str, label: str, message: str, where: str = "", advice: str = "") -> None:
        """It could not be read."""
        self.add(check, label, "unknown", message, where, advice)


# --- the rights of a key

AREAS: Mapping[str, str] = {
    "bibs": "Bibs",
    "users": "Users",
    "conf": "Configuration",
    "acq": "Acquisitions",
}
"""Areas of the API that a key may be given, as the Developer Network calls them. Items, holdings, requests on titles
are Bibs; loans and requests of patrons Users; sets, jobs and code tables Configuration."""


def check_right(
    alma: AlmaClient, area: str, rows: SetupRows, *, writes: bool, why: Callable[[Exception], str] = str
) -> None:
    """One row: whether the key may read, or read and write, an area, by Alma's test end points, which change nothing.

    ``why``: what to quote of an error. Raises RemoteStop where no further call makes sense.
    """
    label = f"The key may {'read and write' if writes else 'read'} {AREAS[area]}"
    check = f"rights_{area}"
    try:
        alma.test.read(area)
        if writes:
            alma.test.write(area)
    except RemoteReadOnly:
        advice = "Untick Read-only of this connection, or set mode: observe where DCB uses it."
        rows.missing(check, label, "The connection is read-only.", CONNECTION, advice)
    except (RemoteUnauthorized, RemoteForbidden) as problem:
        right = f"{AREAS[area]} (Production, {'Read/write' if writes else 'Read-only'})"
        advice = f"Give the key the area {right}; its allowed addresses must include this host's."
        rows.missing(check, label, f"Alma refuses: {why(problem).rstrip('.')}.", KEYS, advice)
    except SINGLE as problem:
        rows.unknown(check, label, f"{UNREAD}{why(problem).rstrip('.')}.")
    else:
        rows.ok(check, label, "It may.")
