"""Step 1: the checks of every system of the settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from alma_etl.dcb.dcb_service import DcbService
from alma_etl.dcb.flows.check_setup.alma_checks import AlmaChecks
from alma_etl.dcb.flows.check_setup.alma_conf import Unread
from alma_etl.dcb.flows.check_setup.trial import Sample, try_placing
from alma_etl.dcb.flows.reconcile.findings import why
from alma_etl.dcb.settings import DcbSettings
from alma_etl.dcb.sides.systems import Systems
from alma_etl.errors import InputProblem
from alma_etl.jobs.setup_checks import CONNECTION, SINGLE, SetupResult, SetupRows
from alma_etl.remote.answers import Unknown
from alma_etl.remote.errors import RemoteStop, RemoteUnauthorized

_NOBODYS = "00000000-0000-0000-0000-000000000000"
_LATELY = timedelta(minutes=1)


def check_setup(
    settings: DcbSettings,
    systems: Systems,
    now: datetime,
    *,
    samples: Mapping[str, Sample] | None = None,
    dcb_service: Callable[[], DcbService] | None = None,
) -> SetupResult:
    """Check every system; nothing is written anywhere but to Alma's test end points, which change nothing.

    ``samples``: what to try a placing with, by system. ``dcb_service`` opens the dcb-service of systems of kind other;
    whoever calls closes the clients of ``systems``. About 25 calls for each Alma. A system that cannot be read any
    further is named in ``unread``, and the others are checked all the same.
    """
    checked, unread = [], dict[str, str]()
    for code in sorted(settings.systems):
        rows = SetupRows(code)
        try:
            _check(rows, settings, systems, now, (samples or {}).get(code), dcb_service)
        except InputProblem as problem:
            advice = "Create or correct the connection, or the name of it in config/dcb.yaml."
            rows.missing("connection", "The connection", f"{str(problem).rstrip('.')}.", CONNECTION, advice)
        except (RemoteStop, Unread) as problem:
            unread[code] = why(problem)
            rows.unknown("reach", "Everything else", f"It could not be read: {unread[code]}.", CONNECTION)
        checked += rows.rows
    return SetupResult(at=now, mode=settings.mode, checks=tuple(checked), unread=unread)


def _check(
    rows: SetupRows,
    settings: DcbSettings,
    systems: Systems,
    now: datetime,
    sample: Sample | None,
    dcb_service: Callable[[], DcbService] | None,
) -> None:
    system = settings.systems[rows.system]
    if system.kind == "alma":
        alma = systems.alma(rows.system)
        AlmaChecks(alma, system, rows, drives=settings.mode == "drive").run()
        if system.sharing_library:
            try_placing(alma, system, sample, rows, now)
    elif system.kind == "mod_dcb":
        _reached(rows, "mod-dcb", lambda: systems.mod_dcb(rows.system).changed(now - _LATELY, now))
    elif dcb_service is None:
        found = "It is read through dcb-service, which was not opened here."
        rows.unknown("reach", "dcb-service answers, and takes the credentials", found)
    else:
        _through_dcb_service(rows, dcb_service)


def _through_dcb_service(rows: SetupRows, dcb_service: Callable[[], DcbService]) -> None:
    def ask() -> None:
        with dcb_service() as service:
            answer = service.status(_NOBODYS)
        if isinstance(answer, Unknown):
            raise answer.error

    _reached(rows, "dcb-service", ask)


def _reached(rows: SetupRows, name: str, ask: Callable[[], object]) -> None:
    """One harmless question, which shows that it answers and takes the credentials."""
    label = f"{name} answers, and takes the credentials"
    try:
        ask()
    except RemoteUnauthorized as problem:
        advice = "Correct login and password (for edge-dcb: the API key) of the connection."
        rows.missing("reach", label, f"It refuses: {why(problem)}.", CONNECTION, advice)
    except SINGLE as problem:
        rows.unknown("reach", label, f"It could not be read: {why(problem)}.", CONNECTION)
    else:
        rows.ok("reach", label, "It does.")
