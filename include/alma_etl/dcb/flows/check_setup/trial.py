"""The trial of a placing: may a virtual patron request an item that is to be lent? Nothing is placed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from alma_etl.alma.client import AlmaClient
from alma_etl.alma.items import Item
from alma_etl.alma.shapes import listed, text
from alma_etl.alma.users import User
from alma_etl.dcb.flows.check_setup import menus as at
from alma_etl.dcb.flows.reconcile.findings import why
from alma_etl.dcb.settings import DcbSettings, SystemSettings
from alma_etl.dcb.sides.patrons import state_of
from alma_etl.dcb.store import DcbStore, LegRecord
from alma_etl.errors import InputProblem
from alma_etl.jobs.setup_checks import SINGLE, SetupRows
from alma_etl.remote.answers import Absent, Found, Unknown
from alma_etl.remote.errors import RemoteError

_PATRON, _HOLD = "200", "HOLD"  # Alma's code of the role Patron; a type of request
_TRIAL = "A virtual patron may request an item"
_ROLE = "A virtual patron is an active patron"
_HOW = (
    "Give a line SYSTEM BARCODE USER in the form: an item that is lent, and a user of the virtual patrons' group. "
    "docs/alma-setup.md says how to make such a user."
)


@dataclass(frozen=True)
class Sample:
    """What a trial is made with: an item by its barcode, or by its ids where a request had it; ``user_id`` stands for
    the virtual patron."""

    barcode: str = ""
    mms_id: str = ""
    holding_id: str = ""
    item_pid: str = ""
    user_id: str = ""

    @classmethod
    def of_leg(cls, leg: LegRecord) -> Sample:
        """The lender's side of a request that has ended."""
        return cls(
            mms_id=leg.mms_id or "",
            holding_id=leg.holding_id or "ALL",
            item_pid=leg.item_pid or "",
            user_id=leg.user_id or "",
        )


def read_samples(lines: str, systems: Mapping[str, SystemSettings]) -> dict[str, Sample]:
    """Samples by system from lines of `SYSTEM BARCODE` or `SYSTEM BARCODE USER`. Raises InputProblem."""
    found: dict[str, Sample] = {}
    for number, line in enumerate(lines.splitlines(), 1):
        words = line.split()
        if not words:
            continue
        if len(words) not in (2, 3):
            raise InputProblem(f"samples, line {number}: give SYSTEM BARCODE or SYSTEM BARCODE USER")
        if words[0] not in systems:
            known = ", ".join(sorted(systems))
            raise InputProblem(f"samples, line {number}: there is no system {words[0]!r}; known are {known}")
        found[words[0]] = Sample(barcode=words[1], user_id="".join(words[2:]))
    return found


def samples_of(store: DcbStore, settings: DcbSettings) -> dict[str, Sample]:
    """What requests that have ended were placed with, by lending system."""
    legs = {code: store.last_lent(code) for code, each in settings.systems.items() if each.kind == "alma"}
    return {code: Sample.of_leg(leg) for code, leg in legs.items() if leg is not None}


def try_placing(
    alma: AlmaClient, system: SystemSettings, sample: Sample | None, rows: SetupRows, now: datetime
) -> None:
    """Two rows: the user's role, and what request options say. Raises RemoteStop."""
    if sample is None or not sample.user_id:
        found = "No item and user to try it with; no API shows request rules and role-assignment rules."
        rows.unknown("patron_role", _ROLE, found, at.ROLES, _HOW)
        rows.unknown("trial", _TRIAL, found, at.RULES, _HOW)
        return
    if _is_patron(alma, system, sample.user_id, rows, now):
        _options(alma, sample, rows)
    else:
        found = "Not tried: the user cannot stand for a virtual patron."
        rows.unknown("trial", _TRIAL, found, at.RULES, _HOW)


def _is_patron(
    alma: AlmaClient, system: SystemSettings, user_id: str, rows: SetupRows, now: datetime
) -> bool:
    answer = alma.users.read(user_id)
    if not isinstance(answer, Found):
        found = "There is no such user." if isinstance(answer, Absent) else _unread(answer)
        rows.unknown("patron_role", _ROLE, found, at.ROLES, _HOW)
        return False
    user = answer.value
    group = user.user_group
    if group not in (system.user_group, *system.user_groups.values()):
        found = f"The user is in the group {group or '(none)'}, which is not one of virtual patrons."
        rows.unknown("patron_role", _ROLE, found, at.ROLES, _HOW)
        return False
    problems = list(state_of(user, now).problems)
    if not _has_role(user):
        problems.append(f"users of the group {group} do not have the role Patron")
    if problems:
        advice = f"Add a role-assignment rule that gives new users of the group {group} the role Patron."
        rows.missing("patron_role", _ROLE, f"{'; '.join(problems)}.", at.ROLES, advice)
        return False
    rows.ok("patron_role", _ROLE, f"A user of the group {group} is active and has the role Patron.")
    return True


def _has_role(user: User) -> bool:
    return any(
        text(role.get("role_type")) == _PATRON and text(role.get("status")) == "ACTIVE"
        for role in listed(user.raw, "user_role")
    )


def _options(alma: AlmaClient, sample: Sample, rows: SetupRows) -> None:
    try:
        ids = _ids(alma, sample)
        kinds: Sequence[str] = (
            [] if ids is None else alma.requests.options_for_item(*ids, user_id=sample.user_id)
        )
    except SINGLE as problem:
        rows.unknown("trial", _TRIAL, f"It could not be read: {why(problem)}.", at.RULES)
        return
    if ids is None:
        rows.unknown("trial", _TRIAL, "There is no such item.", at.RULES, _HOW)
    elif _HOLD in kinds:
        rows.ok("trial", _TRIAL, f"Alma offers a hold on the item {ids[2]}.")
    else:
        offered = ", ".join(kinds) or "nothing"
        advice = (
            "Add a request rule to the fulfilment unit of the item's location that lets the group place holds, with "
            "pickup at the sharing library or desk."
        )
        rows.missing(
            "trial", _TRIAL, f"Of the item {ids[2]} Alma offers: {offered} (401129).", at.RULES, advice
        )


def _ids(alma: AlmaClient, sample: Sample) -> tuple[str, str, str] | None:
    if sample.item_pid:
        return sample.mms_id, sample.holding_id, sample.item_pid
    answer = alma.items.by_barcode(sample.barcode)
    if isinstance(answer, Unknown):
        raise answer.error
    if not isinstance(answer, Found):
        return None
    item: Item = answer.value
    return item.mms_id, item.holding_id, item.pid


def _unread(answer: Unknown) -> str:
    error: RemoteError = answer.error
    return f"The user could not be read: {why(error)}."
