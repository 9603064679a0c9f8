"""What a deed works with: the clients, the clock, and the request as it stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from alma_etl.alma.client import AlmaClient
from alma_etl.dcb.machine.model import Ack, Moment
from alma_etl.dcb.machine.vocabulary import Role
from alma_etl.dcb.settings import SystemSettings
from alma_etl.dcb.sides.systems import Systems
from alma_etl.dcb.sides.words import Impossible
from alma_etl.dcb.store.rows import LegRecord, OutboxRow, Tracked


@dataclass(frozen=True)
class Hand:
    """One deed for one request."""

    systems: Systems
    now: Callable[[], datetime]
    tracked: Tracked
    row: OutboxRow

    @property
    def args(self) -> tuple[str, ...]:
        """What the deed needs beside the request, such as a barcode."""
        return tuple(self.row.payload.get("args", ()))

    def leg(self, role: Role) -> LegRecord:
        """One side. Raises Impossible when the request has none."""
        leg = self.tracked.legs.get(role)
        if leg is None:
            raise Impossible(f"The request has no {role.lower()} side")
        return leg

    def alma(self, leg: LegRecord) -> AlmaClient:
        """The client of a side."""
        return self.systems.alma(leg.system_code)

    def settings(self, leg: LegRecord) -> SystemSettings:
        """The settings of a side's system."""
        return self.systems.settings(leg.system_code)

    def moment(self) -> Moment:
        """The time of what was just done: ask before reading back, so that nothing read since is called stale."""
        return Moment.at(self.now())


@dataclass(frozen=True, slots=True)
class Result:
    """What the machine is to know of a deed, and ids that came of it."""

    acks: tuple[Ack, ...] = ()
    legs: tuple[LegRecord, ...] = ()


NOTHING_TO_TELL = Result()
