"""Where requests to be adopted come from: dcb-service's GraphQL, lists in the bucket, the marks of holds in Alma.

Each source gives `Offered` rows, of which one that cannot be adopted says why. mod-dcb's transactions name no request,
since their ids are random: it is no source, but lists what nobody knows (`unknown_transactions`).
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from alma_etl.alma.client import AlmaClient
from alma_etl.alma.loans import Loan
from alma_etl.alma.user_requests import UserRequest
from alma_etl.dcb.dcb_service import DcbService
from alma_etl.dcb.flows.adopt.request import (
    OVER,
    AdoptedRequest,
    NotAdopted,
    RefusalCode,
    find_system,
    read_adopted,
)
from alma_etl.dcb.machine.model import read_time
from alma_etl.dcb.machine.vocabulary import Status, Txn, Workflow, alma_code, txn_of
from alma_etl.dcb.settings import ANY_LIBRARY, DcbSettings
from alma_etl.dcb.sides.marks import request_of_comment
from alma_etl.dcb.sides.ports import describe
from alma_etl.dcb.sides.systems import Systems
from alma_etl.dcb.store import DcbStore
from alma_etl.errors import InputProblem
from alma_etl.remote.answers import Answer, Unknown, rows_of
from alma_etl.remote.errors import RemoteError, RemoteRefused, RemoteTransient
from alma_etl.store.bucket import Bucket
from alma_etl.tabular.cells import Holds
from alma_etl.tabular.tables import Columns, open_table

LISTS = "dcb/adopt/"
"""Where in the bucket lists are dropped."""


@dataclass(frozen=True)
class Offered:
    """One row of a source: a request, or why it is none. ``place``: the file and line, or the system."""

    request: AdoptedRequest | None = None
    pr_id: str = ""
    place: str = ""
    reason: RefusalCode | None = None
    message: str = ""

    def to_json(self) -> dict[str, Any]:
        """The form of a run's files."""
        row = {"pr_id": self.pr_id, "place": self.place, "reason": self.reason, "message": self.message}
        request = self.request and self.request.model_dump(mode="json", by_alias=True, exclude_none=True)
        return {**row, "request": request}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Offered:
        """What `to_json` made."""
        reason = RefusalCode(data["reason"]) if data["reason"] else None
        request = read_adopted(data["request"]) if data["request"] else None
        return cls(request, data["pr_id"], data["place"], reason, data["message"])


def _offered(pr_id: str, place: str, data: Mapping[str, Any]) -> Offered:
    try:
        return Offered(read_adopted(data), pr_id, place)
    except InputProblem as problem:
        return Offered(None, pr_id, place, RefusalCode.BAD_ROW, str(problem))


# --- dcb-service


def of_dcb_service(service: DcbService, settings: DcbSettings) -> Iterator[Offered]:
    """All requests that dcb-service has not ended. Raises RemoteRefused, RemoteTransient, RemoteUnauthorized."""
    for row in service.with_statuses(status for status in Status if status not in OVER):
        pr_id = str(row.get("id") or "")
        try:
            yield _offered(pr_id, "dcb-service", _of_row(row, settings))
        except NotAdopted as problem:
            yield Offered(None, pr_id, "dcb-service", problem.reason, f"{pr_id}: {problem}")


def _of_row(row: Mapping[str, Any], settings: DcbSettings) -> dict[str, Any]:
    """A PatronRequest of dcb-service's GraphQL in the form of the schema."""
    supplier = next((each for each in row.get("suppliers") or () if each.get("isActive")), None)
    if supplier is None or not (supplier.get("localId") or supplier.get("localItemId")):
        raise NotAdopted(RefusalCode.NOT_PLACED_YET, "nothing is placed at a lender")
    workflow = row.get("activeWorkflow") or Workflow.STANDARD
    data = {
        "pr_id": row.get("id"),
        "workflow": workflow,
        "told": {
            "status": _status_of(row),
            "since": _moment(row.get("currentStatusTimestamp")),
            "by": "dcb_service",
        },
        "supplier": {
            "system": supplier.get("hostLmsCode"),
            "user_id": (supplier.get("virtualPatron") or {}).get("localId"),
            "request_id": supplier.get("localId"),
            "mms_id": supplier.get("localBibId"),
            "holding_id": supplier.get("localHoldingId"),
            "item_pid": supplier.get("localItemId"),
            "barcode": supplier.get("localItemBarcode"),
        },
        "borrower": {
            "system": row.get("patronHostlmsCode"),
            "user_id": (row.get("requestingIdentity") or {}).get("localId"),
            "request_id": row.get("localRequestId"),
            "mms_id": row.get("localBibId"),
            "holding_id": row.get("localHoldingId"),
            "item_pid": row.get("localItemId"),
        },
    }
    if workflow == Workflow.PICKUP_ANYWHERE and row.get("pickupRequestId"):
        data["pickup"] = {
            "system": _pickup_system(str(row.get("pickupLocationCode") or ""), settings),
            "user_id": row.get("pickupPatronId"),
            "request_id": row.get("pickupRequestId"),
            "mms_id": row.get("pickupBibId"),
            "holding_id": row.get("pickupHoldingId"),
            "item_pid": row.get("pickupItemId"),
            "barcode": row.get("pickupItemBarcode"),
        }
    return data


def _status_of(row: Mapping[str, Any]) -> object:
    """Its status; in ERROR, which says nothing of the book, the one before."""
    status, before = row.get("status"), row.get("previousStatus")
    known = {each.value for each in Status} - OVER
    return before if status == Status.ERROR and before in known else status


def _moment(text: object) -> str | None:
    try:
        return read_time(str(text)).isoformat() if text else None
    except ValueError:
        return None


def _pickup_system(location: str, settings: DcbSettings) -> str:
    """The system of a pickup location: by its own code, dcb-service's code, or that of one of its libraries."""
    found = find_system(settings, location)
    codes = (
        [found[0]]
        if found
        else [
            code
            for code, system in settings.systems.items()
            if location in {system.library, *system.desks, *system.ship_to} - {ANY_LIBRARY}
        ]
    )
    if len(codes) == 1:
        return codes[0]
    raise NotAdopted(
        RefusalCode.ADOPT_NO_SYSTEM,
        f"{'several systems have' if codes else 'no system has'} the pickup location {location!r}: name it in "
        "config/dcb.yaml under ship_to of its own system alone",
    )


# --- lists in the bucket


_SIDE = ("system", "user_id", "request_id", "mms_id", "holding_id", "item_pid", "barcode")
_LEAVES = (
    "pr_id",
    "workflow",
    "told.status",
    "told.since",
    "told.by",
    "owner",
    *(f"{side}.{name}" for side in ("supplier", "borrower", "pickup") for name in _SIDE),
)
LIST_COLUMNS = Columns(
    known=_LEAVES,
    required=("pr_id", "told.status", "supplier.system"),
    holds=dict.fromkeys(_LEAVES, Holds.IDENTIFIER) | {"told.since": Holds.LABEL},
)
_MOST_BYTES = 50 * 1024 * 1024


def of_lists(bucket: Bucket) -> Iterator[Offered]:
    """The rows of all lists that lie in the bucket below `LISTS`."""
    for each in sorted(bucket.list(LISTS), key=lambda info: info.key):
        if each.key.endswith("/"):
            continue
        if each.size > _MOST_BYTES:
            yield _bad("", each.key, f"{each.key} is larger than 50 MB: drop it in parts")
            continue
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / Path(each.key).name
            path.write_bytes(bucket.get(each.key))
            yield from of_file(path, each.key)


def of_file(path: Path, name: str) -> Iterator[Offered]:
    """The rows of one list: JSON (an array, or one object), JSON lines, or a table whose columns are the leaves of the
    schema, such as ``supplier.request_id``. ``name`` is what messages call it. A row that is wrong does not stop the
    others."""
    try:
        if path.suffix.lower() in (".json", ".jsonl", ".ndjson"):
            yield from _of_json(path, name)
        else:
            yield from _of_table(path, name)
    except InputProblem as problem:
        yield _bad("", name, f"{name}: {problem}")


def _bad(pr_id: str, place: str, message: str) -> Offered:
    return Offered(None, pr_id, place, RefusalCode.BAD_ROW, message)


def _of_json(path: Path, name: str) -> Iterator[Offered]:
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise InputProblem("it is not text in UTF-8") from problem
    for number, data in _documents(text):
        place = f"{name}, {number}"
        if isinstance(data, Mapping):
            yield _placed(_offered(str(data.get("pr_id") or ""), place, _from_list(data)))
        else:
            yield _bad("", place, f"{place}: it is no JSON object")


def _documents(text: str) -> Iterator[tuple[str, Any]]:
    try:
        whole = json.loads(text)
    except ValueError:
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                yield f"line {number}", _parsed(line)
        return
    rows = whole if isinstance(whole, list) else [whole]
    yield from ((f"request {number}", row) for number, row in enumerate(rows, 1))


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _of_table(path: Path, name: str) -> Iterator[Offered]:
    for row in open_table(path, LIST_COLUMNS).rows():
        place = f"{name}, line {row.line}"
        if row.problem:
            yield _bad(row.cells.get("pr_id", ""), place, f"{place}: {row.problem}")
            continue
        data: dict[str, Any] = {}
        for leaf, value in row.cells.items():
            if value:
                part, _, field = leaf.rpartition(".")
                (data.setdefault(part, {}) if part else data)[field] = value
        yield _placed(_offered(row.cells["pr_id"], place, _from_list(data)))


def _from_list(data: Mapping[str, Any]) -> dict[str, Any]:
    """Whoever made a list need not say that it is one."""
    reported = data.get("told")
    return {**data, "told": {"by": "list", **reported}} if isinstance(reported, Mapping) else dict(data)


def _placed(offered: Offered) -> Offered:
    if offered.request is not None:
        return offered
    return _bad(offered.pr_id, offered.place, f"{offered.place}: {offered.message}")


# --- a scan of Alma
#
# Holds of virtual patrons are known by the marks in their comments: dcb-service's of 9.0 and ours, or that of 8.x. The
# lender's side is all that they show. A loan has no comment: it is known by its item.


def of_alma(store: DcbStore, settings: DcbSettings, systems: Systems) -> Iterator[Offered]:
    """What the virtual patrons of every Alma have: a call for each system, two for each patron. Raises RemoteStop."""
    known: dict[str, set[str]] = {}
    for code, user_id in store.virtual_users():
        known.setdefault(code, set()).add(user_id)
    for code, system in settings.systems.items():
        if system.kind != "alma":
            continue
        alma, users = systems.alma(code), set(known.get(code, ()))
        for group in sorted({group for group in (system.user_group, *system.user_groups.values()) if group}):
            answer = alma.users.search("user_group", group)
            users |= set(rows_of(answer))
            if isinstance(
                answer, Unknown
            ):  # some versions do not search by group: those that are known remain
                yield _unread(code, f"the users of the group {group}", answer.error)
        for user_id, (holds, loans) in alma.in_parallel(partial(_read, alma), sorted(users)):
            yield from _of_holds(code, user_id, holds)
            yield from _of_loans(store, code, user_id, loans)


def _unread(code: str, what: str, error: RemoteError) -> Offered:
    return Offered(
        None, "", code, RefusalCode.NOT_READ, f"{code}: {what} could not be read: {describe(error)}"
    )


def _read(alma: AlmaClient, user_id: str) -> tuple[Answer[list[UserRequest]], Answer[list[Loan]]]:
    return alma.requests.of_user(user_id, request_type="HOLD"), alma.loans.of_user(user_id)


def _of_holds(code: str, user_id: str, holds: Answer[list[UserRequest]]) -> Iterator[Offered]:
    if isinstance(holds, Unknown):
        yield _unread(code, "the holds of a virtual patron", holds.error)
    for hold in rows_of(holds):
        pr_id = request_of_comment(hold.comment)
        if pr_id is None:
            continue
        side = {
            "system": code,
            "user_id": user_id,
            "request_id": hold.request_id,
            "mms_id": hold.mms_id or None,
            "item_pid": hold.item_pid or None,
        }
        travels = alma_code(hold.status) == "IN_PROCESS" and "TRANSIT" in alma_code(hold.task_name)
        status = Status.PICKUP_TRANSIT if travels else Status.RPBA
        yield _offered(
            pr_id, code, {"pr_id": pr_id, "told": {"status": status, "by": "alma_scan"}, "supplier": side}
        )


def _of_loans(store: DcbStore, code: str, user_id: str, loans: Answer[list[Loan]]) -> Iterable[Offered]:
    if isinstance(loans, Unknown):
        yield _unread(code, "the loans of a virtual patron", loans.error)
    items = {side.item_pid for side in store.sides_of(code, user_id)}
    for loan in rows_of(loans):
        if loan.item_pid not in items:
            yield Offered(
                None,
                "",
                code,
                RefusalCode.ORPHAN_LOAN,
                f"{code}: a virtual patron has the item {loan.item_pid} on loan ({loan.loan_id}), and no request that "
                "is known here has it: adopt from dcb-service or a list",
            )


# --- what mod-dcb knows and nobody here


_CHANGED_IN = timedelta(days=7)
_ENDED = frozenset({Txn.CLOSED, Txn.CANCELLED, Txn.EXPIRED, Txn.ERROR})


def unknown_transactions(
    store: DcbStore, settings: DcbSettings, systems: Systems, now: datetime
) -> Iterator[Offered]:
    """The open transactions of the last seven days of each mod-dcb that no request here has: a call for each thousand.
    Raises RemoteStop."""
    for code, system in settings.systems.items():
        if system.kind != "mod_dcb":
            continue
        try:
            found = systems.mod_dcb(code).changed(now - _CHANGED_IN, now)
        except (RemoteRefused, RemoteTransient) as problem:
            yield _unread(code, "the transactions", problem)
            continue
        open_ones = [txn_id for txn_id, status in found.items() if txn_of(status) not in _ENDED]
        for txn_id in sorted(set(open_ones) - store.known_transactions(code, open_ones)):
            yield Offered(
                None,
                "",
                code,
                RefusalCode.UNKNOWN_TXN,
                f"{code}: no request here has the transaction {txn_id} ({found[txn_id]})",
            )
