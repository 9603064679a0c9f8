"""A request as the service that runs it reports it, and its adoption. JSON schema: docs/schemas/dcb_adopt.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from alma_etl.dcb.conf import Barcode, RequestId
from alma_etl.dcb.machine.model import Ack, Moment
from alma_etl.dcb.machine.vocabulary import BOOK_OUT, TERMINAL, AckName, Role, Status, Workflow
from alma_etl.dcb.settings import DcbSettings, SystemCode, SystemSettings
from alma_etl.dcb.store import DcbStore, HoldTaken, LegRecord, NewRequest
from alma_etl.dcb.store.adoption import Adoption
from alma_etl.dcb.store.rows import SystemKind
from alma_etl.errors import InputProblem
from alma_etl.jobs.settings_files import Form, sentence_of

Reporter = Literal["dcb_service", "mod_dcb", "list", "alma_scan"]
SystemId = Annotated[
    str, Form(r"^[^\x00-\x20\x7f/?#]{1,100}$", "an id of 1 to 100 characters without blanks, /, ? and #")
]
"""An id in whatever system; it may become part of a URL's path."""


class _AdoptPart(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ReportedStatus(_AdoptPart):
    """What was reported of the request's status. It is no proof: the looks decide what follows."""

    status: Status = Field(description="Status of the request, in dcb-service's words")
    since: AwareDatetime | None = Field(None, description="Since when, with its zone")
    by: Reporter = Field(description="Who reports it")


class AdoptedSide(_AdoptPart):
    """One side of the request, by its ids. What is not known is learned from Alma's rows where they show it."""

    system: SystemCode = Field(
        description="Code of the system in config/dcb.yaml, or dcb-service's code of it (host_lms_code)"
    )
    user_id: SystemId | None = Field(None, description="Primary id of the user in whose name the hold stands")
    request_id: SystemId | None = Field(
        None, description="Id of the hold; at a FOLIO that of the transaction"
    )
    mms_id: SystemId | None = Field(None, description="MMS id of the title")
    holding_id: SystemId | None = Field(None, description="Id of the holding")
    item_pid: SystemId | None = Field(None, description="Id (pid) of the item")
    barcode: Barcode | None = Field(None, description="Barcode of the item")


class AdoptedRequest(_AdoptPart):
    """One request to be adopted. No names, no barcodes of people, no notes."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "pr_id": "0b6f1c1e-7b1f-4f53-9d2f-3f1a5f6f0c11",
                    "workflow": "RET-STD",
                    "told": {"status": "LOANED", "since": "2026-11-02T10:00:00Z", "by": "dcb_service"},
                    "owner": "dcb_service",
                    "supplier": {
                        "system": "LENDER",
                        "user_id": "DCB-1",
                        "request_id": "4401000000000004401",
                        "mms_id": "990010000000004401",
                        "holding_id": None,
                        "item_pid": "230010000000004401",
                        "barcode": "31000000000000",
                    },
                    "borrower": {
                        "system": "BORROWER",
                        "user_id": "patron001",
                        "request_id": "4402000000000004402",
                        "mms_id": "990020000000004402",
                        "holding_id": "220020000000004402",
                        "item_pid": "230020000000004402",
                    },
                    "pickup": None,
                }
            ]
        }
    )

    pr_id: RequestId = Field(description="Id of the patron request at dcb-service")
    workflow: Workflow = Field(Workflow.STANDARD, description="RET-STD, RET-PUA, RET-EXP or RET-LOCAL")
    reported: ReportedStatus = Field(alias="told")
    owner: Literal["dcb_service"] = Field("dcb_service", description="Who runs the request")
    supplier: AdoptedSide
    borrower: AdoptedSide | None = None
    pickup: AdoptedSide | None = Field(None, description="The third library of RET-PUA")

    @model_validator(mode="after")
    def _pickup_fits(self) -> AdoptedRequest:
        if self.pickup is not None and self.workflow is not Workflow.PICKUP_ANYWHERE:
            raise ValueError("pickup: only RET-PUA has a third library; leave it empty")
        return self

    @property
    def sides(self) -> dict[Role, AdoptedSide]:
        """The sides that are known."""
        sides = {Role.SUPPLIER: self.supplier, Role.BORROWER: self.borrower, Role.PICKUP: self.pickup}
        return {role: side for role, side in sides.items() if side is not None}


def read_adopted(data: object) -> AdoptedRequest:
    """Check a request to be adopted. Raises InputProblem with a sentence for each fault."""
    try:
        return AdoptedRequest.model_validate(data)
    except ValidationError as error:
        raise InputProblem(f"It cannot be adopted as given: {sentence_of(error, AdoptedRequest)}") from error


# --- may it be adopted?


class RefusalCode(StrEnum):
    """Why a request is not adopted. Those that begin with ADOPT_ are findings: people have to do something."""

    BAD_ROW = "BAD_ROW"
    NOT_READ = "NOT_READ"
    ORPHAN_LOAN = "ORPHAN_LOAN"
    UNKNOWN_TXN = "UNKNOWN_TXN"
    NOT_PLACED_YET = "NOT_PLACED_YET"
    OVER = "OVER"
    OURS = "OURS"
    HOLD_TAKEN = "HOLD_TAKEN"
    ADOPT_NO_SYSTEM = "ADOPT_NO_SYSTEM"
    ADOPT_NO_IDS = "ADOPT_NO_IDS"


@dataclass(frozen=True, slots=True)
class AdoptedAs:
    """What came of one request; ``reason`` and ``message`` of one that was refused."""

    pr_id: str
    outcome: Adoption
    reason: RefusalCode | None = None
    message: str = ""


class NotAdopted(Exception):
    """A request is refused; the message says why."""

    def __init__(self, reason: RefusalCode, message: str) -> None:
        super().__init__(message)
        self.reason = reason


OVER = TERMINAL | {Status.CANCELLED, Status.NO_ITEMS}
"""What dcb-service has done with: nothing of it is left to be watched."""

ERROR_IS_OVER = timedelta(days=30)
_KINDS: Mapping[str, SystemKind] = {"alma": "ALMA", "mod_dcb": "MOD_DCB", "other": "OTHER"}


def adopt(store: DcbStore, request: AdoptedRequest, *, settings: DcbSettings, now: datetime) -> Adoption:
    """Track a request that another service runs, or take over the ids that it has now: ``created``, ``updated``,
    ``same`` or ``refused``. Safe to repeat, and for several at once. Raises StoreUnavailable."""
    return adopted_as(store, request, settings=settings, now=now).outcome


def adopted_as(
    store: DcbStore,
    request: AdoptedRequest,
    *,
    settings: DcbSettings,
    now: datetime,
    run_id: str | None = None,
    dry_run: bool = False,
) -> AdoptedAs:
    """`adopt`, with the reason where the request is refused. A dry run changes nothing."""
    pr_id = request.pr_id
    try:
        new = new_request(request, settings, now)
        reported = request.reported
        at = min(reported.since or now, now)
        ack = Ack(AckName.ADOPTED, Moment.at(at), status=reported.status, by=reported.by)
        outcome = store.adopt(new, ack, settings=settings, now=now, run_id=run_id, dry_run=dry_run)
    except HoldTaken as problem:
        return AdoptedAs(pr_id, "refused", RefusalCode.HOLD_TAKEN, f"{pr_id}: {problem}")
    except NotAdopted as problem:
        return AdoptedAs(pr_id, "refused", problem.reason, str(problem))
    if outcome == "refused":
        why = f"{pr_id} is a request of ours (dcb_place_request), so nobody else runs it"
        return AdoptedAs(pr_id, outcome, RefusalCode.OURS, why)
    return AdoptedAs(pr_id, outcome)


def new_request(request: AdoptedRequest, settings: DcbSettings, now: datetime) -> NewRequest:
    """The request as it is tracked. Raises NotAdopted."""
    reported = request.reported
    if reported.status in OVER:
        raise NotAdopted(RefusalCode.OVER, f"{request.pr_id} is over: {reported.status}")
    if (
        reported.status is Status.ERROR
        and reported.since is not None
        and now - reported.since > ERROR_IS_OVER
    ):
        raise NotAdopted(
            RefusalCode.OVER, f"{request.pr_id} is over: in ERROR since {reported.since:%Y-%m-%d}"
        )
    legs = tuple(_leg(request, role, side, settings) for role, side in request.sides.items())
    return NewRequest(
        request.pr_id,
        legs,
        workflow=request.workflow,
        conf={"status": reported.model_dump(mode="json", exclude_none=True)},
        owner=request.owner,
    )


def find_system(settings: DcbSettings, code: str) -> tuple[str, SystemSettings] | None:
    """Our code and the settings of a system, by our code or by dcb-service's."""
    if code in settings.systems:
        return code, settings.systems[code]
    return next(((ours, each) for ours, each in settings.systems.items() if each.host_lms_code == code), None)


def _leg(request: AdoptedRequest, role: Role, side: AdoptedSide, settings: DcbSettings) -> LegRecord:
    found = find_system(settings, side.system)
    if found is None:
        known = ", ".join(sorted(settings.systems))
        raise NotAdopted(
            RefusalCode.ADOPT_NO_SYSTEM,
            f"{request.pr_id}: no system of config/dcb.yaml has the code or host_lms_code {side.system!r} "
            f"({role.lower()}); known are {known}",
        )
    code, system = found
    kind = _KINDS[system.kind]
    needed = role is Role.SUPPLIER or request.reported.status in BOOK_OUT
    if kind != "OTHER" and needed and not (side.request_id or (kind == "ALMA" and side.item_pid)):
        raise NotAdopted(
            RefusalCode.ADOPT_NO_IDS,
            f"{request.pr_id}: neither the hold nor the item of the {role.lower()} at {code} is known",
        )
    ids: dict[str, Any] = side.model_dump(exclude={"system"})
    if kind == "MOD_DCB":
        ids = {"user_id": side.user_id, "txn_id": side.request_id, "barcode": side.barcode}
    return LegRecord(role=role, system_code=code, system_kind=kind, **ids)
