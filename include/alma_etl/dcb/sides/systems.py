"""The library systems that take part in requests: their settings, a client of each, and what an action works with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from alma_etl.alma.client import AlmaClient
from alma_etl.dcb.dcb_service import DcbService
from alma_etl.dcb.machine.model import Ack, Moment
from alma_etl.dcb.machine.vocabulary import Role
from alma_etl.dcb.mod_dcb import ModDcb
from alma_etl.dcb.settings import DcbSettings, SystemSettings
from alma_etl.dcb.sides.ports import Impossible
from alma_etl.dcb.store.rows import LegRecord, OutboxRow, Tracked
from alma_etl.errors import InputProblem


class Connect(Protocol):
    """Opens the client of one connection; whoever made it closes what it opened."""

    def alma(self, conn_id: str) -> AlmaClient:
        """A client of an Alma."""
        ...

    def mod_dcb(self, conn_id: str) -> ModDcb:
        """A client of a FOLIO's mod-dcb."""
        ...

    def dcb_service(self, conn_id: str) -> DcbService:
        """A client of a dcb-service."""
        ...


class Systems:
    """Clients by the code of their system in ``config/dcb.yaml``, each opened when it is first asked for.

    Several codes may name one connection (two libraries of one Alma): they share its client. Not for several threads;
    the clients themselves are.
    """

    def __init__(self, settings: DcbSettings, connect: Connect) -> None:
        self._systems: Mapping[str, SystemSettings] = settings.systems
        self._dcb_conn_id = settings.adopt.conn_id
        self.align_due_date = settings.align_due_date
        self._connect = connect
        self._almas: dict[str, AlmaClient] = {}
        self._folios: dict[str, ModDcb] = {}
        self._dcb_service: DcbService | None = None

    def settings(self, code: str) -> SystemSettings:
        """The settings of a system. Raises InputProblem for a code that is not in the settings (any more)."""
        if code not in self._systems:
            known = ", ".join(sorted(self._systems))
            raise InputProblem(f"There is no system {code!r} in config/dcb.yaml; known are {known}")
        return self._systems[code]

    def alma(self, code: str) -> AlmaClient:
        """The client of a system of kind ``alma``."""
        conn_id = self.settings(code).alma_conn_id
        if conn_id is None:
            raise InputProblem(f"The system {code} is not an Alma: it has no alma_conn_id in config/dcb.yaml")
        if conn_id not in self._almas:
            self._almas[conn_id] = self._connect.alma(conn_id)
        return self._almas[conn_id]

    def mod_dcb(self, code: str) -> ModDcb:
        """The client of a system of kind ``mod_dcb``."""
        conn_id = self.settings(code).conn_id
        if conn_id is None:
            raise InputProblem(f"The system {code} is no mod-dcb: it has no conn_id in config/dcb.yaml")
        if conn_id not in self._folios:
            self._folios[conn_id] = self._connect.mod_dcb(conn_id)
        return self._folios[conn_id]

    def dcb_service(self) -> DcbService:
        """The client of the dcb-service through which systems of kind ``other`` are read (``adopt.conn_id``)."""
        if self._dcb_service is None:
            self._dcb_service = self._connect.dcb_service(self._dcb_conn_id)
        return self._dcb_service

    def budget_of(self, code: str) -> str:
        """Whose calls a system's reads are: the connection, which several codes may share."""
        settings = self.settings(code)
        return settings.alma_conn_id or settings.conn_id or code

    @property
    def opened(self) -> Mapping[str, AlmaClient]:
        """The Alma clients in use, by connection."""
        return self._almas


@dataclass(frozen=True)
class ActionContext:
    """What one action of one request works with: the clients, the clock, and the request as it stands."""

    systems: Systems
    now: Callable[[], datetime]
    tracked: Tracked
    row: OutboxRow

    @property
    def args(self) -> tuple[str, ...]:
        """What the action needs beside the request, such as a barcode."""
        return tuple(self.row.payload.get("args", ()))

    def leg(self, role: Role) -> LegRecord:
        """One side. Raises Impossible when the request has none."""
        leg = self.tracked.legs.get(role)
        if leg is None:
            raise Impossible(f"The request has no {role.lower()} side")
        return leg

    @property
    def patron_legs(self) -> list[LegRecord]:
        """The patron's sides: at home, and at a third library where the book is fetched there."""
        legs = self.tracked.legs
        return [legs[role] for role in (Role.BORROWER, Role.PICKUP) if role in legs]

    def alma(self, leg: LegRecord) -> AlmaClient:
        """The client of a side. Raises Impossible for another library system, where nothing can be done from here."""
        if leg.system_kind == "OTHER":
            raise Impossible(
                f"{leg.system_code} is no Alma and no FOLIO, so that nothing can be done there from here: have "
                f"{self.row.type} done in dcb-service, or by the staff of {leg.system_code}"
            )
        return self.systems.alma(leg.system_code)

    def settings(self, leg: LegRecord) -> SystemSettings:
        """The settings of a side's system."""
        return self.systems.settings(leg.system_code)

    def moment(self) -> Moment:
        """The time of what was just done: ask before reading back, so that nothing read since is called stale."""
        return Moment.at(self.now())


@dataclass(frozen=True, slots=True)
class ActionResult:
    """What the machine is to know of an action, and ids that came of it."""

    acks: tuple[Ack, ...] = ()
    legs: tuple[LegRecord, ...] = ()


NOTHING_TO_REPORT = ActionResult()
