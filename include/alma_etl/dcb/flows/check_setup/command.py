"""`python -m alma_etl.dcb check-setup`: the checks without Airflow, for whoever sets up the Almas."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from alma_etl.alma.client import AlmaClient
from alma_etl.dcb.dcb_service import DcbService
from alma_etl.dcb.flows.check_setup.checks import check_setup
from alma_etl.dcb.flows.check_setup.report import WORDS
from alma_etl.dcb.flows.check_setup.trial import read_samples
from alma_etl.dcb.mod_dcb import ModDcb
from alma_etl.dcb.settings import DcbSettings
from alma_etl.dcb.sides.systems import Systems
from alma_etl.errors import InputProblem
from alma_etl.jobs.settings_files import read_settings
from alma_etl.jobs.setup_report import problems_of, verdict_of
from alma_etl.remote.limiter import LocalLimiter
from alma_etl.remote.service import HttpAccess

_PER_SECOND = 15


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("config", type=Path, help="your config/dcb.yaml")
    parser.add_argument(
        "--connection",
        nargs=3,
        action="append",
        default=[],
        metavar=("CONN_ID", "URL", "KEYFILE"),
        help="a connection that the settings name: its gateway and a file with its API key; repeat it for each",
    )
    parser.add_argument(
        "--sample",
        action="append",
        default=[],
        metavar="'SYSTEM BARCODE USER'",
        help="an item that is lent and a user of the virtual patrons' group, to try a placing with",
    )


def run(given: argparse.Namespace) -> int:
    """Print a line a check, then the verdict; 1 when requests cannot be placed as it stands. Raises InputProblem."""
    settings = read_settings(text_of(given.config), DcbSettings, source=str(given.config))
    samples = read_samples("\n".join(given.sample), settings.systems)
    with ExitStack() as stack:
        systems = Systems(settings, _Named(given.connection, stack))
        result = check_setup(settings, systems, datetime.now(UTC), samples=samples)
    for each in result.checks:
        parts = [each.outcome, each.system, each.label, each.message, each.advice, each.where]
        sys.stdout.write("\t".join(part for part in parts if part) + "\n")
    problems = problems_of(result)
    sys.stdout.write(" ".join(problems or [verdict_of(result, WORDS)]) + "\n")
    return 1 if problems else 0


def text_of(path: Path) -> str:
    """The text of a file. Raises InputProblem."""
    try:
        return path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as problem:
        raise InputProblem(f"{path} cannot be read: {type(problem).__name__}") from problem


class _Named:
    """Opens the connections that the command names."""

    def __init__(self, named: list[tuple[str, str, str]], stack: ExitStack) -> None:
        self._named = {conn_id: (url, Path(file)) for conn_id, url, file in named}
        self._stack = stack

    def alma(self, conn_id: str) -> AlmaClient:
        url, key = self._of(conn_id)
        try:
            client = AlmaClient(url, key, limiter=LocalLimiter(_PER_SECOND), attempts=2, quota_floor=0)
        except ValueError as problem:
            raise InputProblem(str(problem)) from problem
        self._stack.callback(client.close)
        return client

    def mod_dcb(self, conn_id: str) -> ModDcb:
        url, key = self._of(conn_id)
        return self._stack.enter_context(ModDcb(HttpAccess(url, api_key=key)))

    def dcb_service(self, conn_id: str) -> DcbService:
        raise InputProblem(f"{conn_id} is not asked by this command")

    def _of(self, conn_id: str) -> tuple[str, str]:
        if conn_id not in self._named:
            raise InputProblem(f"Give --connection {conn_id} URL KEYFILE")
        url, file = self._named[conn_id]
        return url, text_of(file).strip()
