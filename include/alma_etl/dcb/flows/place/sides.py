"""The sides of a request that is being placed."""

from __future__ import annotations

from alma_etl.dcb.conf import PlaceRequest
from alma_etl.dcb.flows.place.progress import Placing, Progress
from alma_etl.dcb.machine.vocabulary import Role
from alma_etl.dcb.settings import SystemSettings
from alma_etl.dcb.sides import marks


def patron_roles(place: PlaceRequest) -> tuple[Role, ...]:
    """The sides of the patron: at home, and at a third library where the book is fetched there."""
    return (Role.BORROWER, Role.PICKUP) if place.workflow == "RET-PUA" else (Role.BORROWER,)


def code_of(place: PlaceRequest, role: Role) -> str:
    """The code of a side's system."""
    systems = {
        Role.SUPPLIER: place.supplier.system,
        Role.BORROWER: place.borrower.system,
        Role.PICKUP: place.pickup.system,
    }
    return systems[role]


def system_of(placing: Placing, role: Role) -> tuple[str, SystemSettings]:
    """Code and settings of a side's system."""
    code = code_of(placing.place, role)
    return code, placing.tools.systems.settings(code)


def user_of(place: PlaceRequest, progress: Progress, role: Role) -> str:
    """In whose name a side's hold stands."""
    patron = progress.user_id or place.borrower.user_id
    if role is Role.BORROWER:
        return patron
    return progress.virtual_user or marks.virtual_user(place.borrower.system, patron)
