"""What the DCB tasks work with: settings, store, and a client of each system, from their connections."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from airflow.sdk.exceptions import AirflowNotFoundException

from alma_airflow.hooks.alma import AlmaHook, is_known_sandbox
from alma_airflow.hooks.store import open_bucket, store_url
from alma_etl.alma.client import AlmaClient
from alma_etl.dcb.dcb_service import DcbService
from alma_etl.dcb.mod_dcb import ModDcb
from alma_etl.dcb.settings import DcbSettings, read_dcb_settings
from alma_etl.dcb.sides.systems import Systems
from alma_etl.dcb.store import DcbStore
from alma_etl.errors import InputProblem
from alma_etl.store.bucket import Bucket


def now() -> datetime:
    """The time that the DCB jobs go by, UTC; tests set another clock here."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Dcb:
    """The tools of one task."""

    settings: DcbSettings
    store: DcbStore
    systems: Systems
    bucket: Bucket


class _Connections:
    """Opens clients by their connections and closes them all with the stack."""

    def __init__(self, stack: ExitStack, **haste: Any) -> None:
        self._stack = stack
        self._haste = haste

    def alma(self, conn_id: str) -> AlmaClient:
        try:
            return self._stack.enter_context(AlmaHook(conn_id).client(**self._haste))
        except AirflowNotFoundException as problem:
            raise InputProblem(
                f"There is no connection {conn_id}, which config/dcb.yaml names: create it, of type alma"
            ) from problem

    def mod_dcb(self, conn_id: str) -> ModDcb:
        from alma_airflow.hooks.http import http_access

        return self._stack.enter_context(ModDcb(http_access(conn_id)))

    def dcb_service(self, conn_id: str) -> DcbService:
        from alma_airflow.hooks.http import http_access

        return self._stack.enter_context(DcbService(http_access(conn_id)))


def dcb_settings() -> DcbSettings:
    """The settings of the DCB jobs. Raises InputProblem when they cannot be used, or are missing."""
    return read_dcb_settings(open_bucket(), is_sandbox=is_known_sandbox)


def gateways(settings: DcbSettings) -> str:
    """The hosts of the Almas that the settings name, for the ledger: a request has more than one institution."""
    conn_ids = {each.alma_conn_id for each in settings.systems.values() if each.alma_conn_id}
    found = set()
    for conn_id in conn_ids:
        with suppress(AirflowNotFoundException, InputProblem):  # said when the system is opened
            found.add(AlmaHook(conn_id).gateway())
    return ", ".join(sorted(found))


@contextmanager
def open_dcb(*, attempts: int | None = None, longest: float | None = None) -> Iterator[Dcb]:
    """The tools, closed when the block ends; ``attempts``, ``longest``: see `AlmaHook.client`.

    Raises InputProblem for settings or connections that cannot be used.
    """
    settings = dcb_settings()
    with ExitStack() as stack:
        store = stack.enter_context(DcbStore(store_url()))
        yield Dcb(
            settings,
            store,
            Systems(settings, _Connections(stack, attempts=attempts, longest=longest)),
            open_bucket(),
        )
