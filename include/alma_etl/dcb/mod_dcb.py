"""FOLIO's mod-dcb: one side of a request whose system is a FOLIO.

By its API a transaction can be moved on, but not everywhere: some steps come only from FOLIO's own circulation (a
check-in, a check-out), a step back or in place is an error, and a CANCELLED that is accepted may still change nothing.
So every move looks first and looks again.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from alma_etl.dcb.machine.vocabulary import Role, Txn, txn_of
from alma_etl.dcb.sides.ports import Done, Later, Refused
from alma_etl.remote.answers import Absent, Answer, Found, Unknown
from alma_etl.remote.errors import RemoteMalformed, RemoteRefused, RemoteTransient
from alma_etl.remote.safe_write import WriteOutcome, Written
from alma_etl.remote.service import ServiceClient

_CHAIN = (
    Txn.CREATED,
    Txn.OPEN,
    Txn.AWAITING_PICKUP,
    Txn.ITEM_CHECKED_OUT,
    Txn.ITEM_CHECKED_IN,
    Txn.CLOSED,
)
_PAGE = 1000
_MOST_PAGES = 1000
_ROLES = {Role.SUPPLIER: "LENDER", Role.BORROWER: "BORROWING-PICKUP", Role.PICKUP: "PICKUP"}
_LENT = frozenset({Txn.ITEM_CHECKED_OUT, Txn.ITEM_CHECKED_IN})

_BY_CIRCULATION: dict[str, frozenset[Txn]] = {
    "LENDER": frozenset({Txn.OPEN, Txn.CLOSED}),
    "BORROWER": frozenset(),
    "BORROWING-PICKUP": frozenset({Txn.AWAITING_PICKUP, Txn.ITEM_CHECKED_OUT, Txn.ITEM_CHECKED_IN}),
    "PICKUP": frozenset({Txn.AWAITING_PICKUP, Txn.ITEM_CHECKED_OUT, Txn.ITEM_CHECKED_IN}),
}
"""What each role's own circulation brings about: expected and looked for, never sent."""


class ModDcb(ServiceClient):
    """The transactions of one mod-dcb, which is reached directly or through edge-dcb (then the access's ``url`` ends
    in ``/dcbService``). Close it when done, or use ``with``. Safe for several threads."""

    # --- reading

    def status(self, txn_id: str) -> Answer[str]:
        """The status of a transaction, as mod-dcb spells it; Absent when there is none (404).

        Raises RemoteUnauthorized, as every method here.
        """
        answer = self._look(txn_id)
        return Found(str(answer.value["status"])) if isinstance(answer, Found) else answer

    def changed(self, since: datetime, until: datetime) -> dict[str, str]:
        """The status of each transaction that changed in between, by its id: one call for each 1,000.

        Raises RemoteRefused and RemoteTransient; then nothing is known.
        """
        window: dict[str, str | int] = {"fromDate": _iso(since), "toDate": _iso(until), "pageSize": _PAGE}
        path, found = "/transactions/status", dict[str, str]()
        for number in range(_MOST_PAGES):
            page = self._service.get(path, window | {"pageNumber": number})
            rows = page.get("transactions") if isinstance(page, dict) else None
            if not isinstance(rows, list):
                raise RemoteMalformed(f"GET {path}", 200, "", "the answer lists no transactions")
            for row in rows:
                if row.get("id") and row.get("status"):
                    found[str(row["id"])] = str(row["status"])
            if len(rows) < _PAGE:
                break
        return found

    # --- writing

    def create(self, txn_id: str, body: Mapping[str, Any]) -> Written[str]:
        """Begin a transaction (mod-dcb's DcbTransaction: role, item, patron, pickup); safe to repeat.

        ADOPTED when it is there already in the same role with the same barcode; REFUSED with the code ANOTHER when it
        is there for something else; UNCONFIRMED when nobody can say.
        """
        there = self._adopted(txn_id, body)
        if there is not None:
            return there
        try:
            self._service.send("POST", _path(txn_id), dict(body))
        except RemoteRefused as error:
            return self._adopted(txn_id, body) or Written(WriteOutcome.REFUSED, error=error)
        except RemoteTransient as error:
            return self._adopted(txn_id, body) or Written(
                WriteOutcome.UNCONFIRMED if error.effect_unknown else WriteOutcome.FAILED, error=error
            )
        return Written(WriteOutcome.CREATED, Txn.CREATED.value)

    def change_item(self, txn_id: str, item: Mapping[str, Any]) -> Done | Later | Refused:
        """Let a transaction that is CREATED be about another item (mod-dcb's DcbUpdateItem): the next supplier's."""
        answer = self._look(txn_id)
        if isinstance(answer, Found) and _barcode(answer.value) == item.get("barcode"):
            return Done()
        if isinstance(answer, Unknown):
            return Later(str(answer.error))
        changed = {name: item.get(name) for name in ("barcode", "materialType", "lendingLibraryCode")}
        return self._order(txn_id, "", {"item": changed})

    def move_to(self, txn_id: str, target: Txn, role: Role) -> Done | Later | Refused:
        """See to it that the transaction stands at ``target`` or beyond; ``role`` is ours of that side.

        Done also when the step is one that only FOLIO's circulation can make: it is expected, and what was read shows
        whether it came. MISSING, ERROR, EXPIRED and CREATED are no targets: ValueError.
        """
        if target not in (*_CHAIN[1:], Txn.CANCELLED):
            raise ValueError(f"a transaction cannot be moved to {target}")
        answer = self._look(txn_id)
        if isinstance(answer, Absent):
            return Refused(f"mod-dcb has no transaction {txn_id}")
        if isinstance(answer, Unknown):
            return Later(str(answer.error))
        now = txn_of(str(answer.value["status"]))
        name = str(answer.value.get("role") or _ROLES[role])
        verdict = _verdict(txn_id, now, target, name)
        return verdict if verdict is not None else self._put(txn_id, target)

    def renew(self, txn_id: str) -> Done | Later | Refused:
        """Renew the lender's loan (role LENDER, while it is lent)."""
        return self._order(txn_id, "renew")

    def block_renewal(self, txn_id: str) -> Done | Later | Refused:
        """Let the patron's side renew no more: the lender wants the book back."""
        return self._order(txn_id, "block-renewal")

    def unblock_renewal(self, txn_id: str) -> Done | Later | Refused:
        """Let the patron's side renew again."""
        return self._order(txn_id, "unblock-renewal")

    def _look(self, txn_id: str) -> Answer[Mapping[str, Any]]:
        path = f"{_path(txn_id)}/status"
        answer = self._service.look(path)
        if isinstance(answer, Found) and not (isinstance(answer.value, dict) and answer.value.get("status")):
            return Unknown(RemoteMalformed(f"GET {path}", 200, "", "the answer names no status"))
        return answer

    def _adopted(self, txn_id: str, body: Mapping[str, Any]) -> Written[str] | None:
        """What is there already. None when nothing is."""
        answer = self._look(txn_id)
        if isinstance(answer, Unknown):
            return Written(WriteOutcome.UNCONFIRMED, error=answer.error)
        if isinstance(answer, Absent):
            return None
        there = answer.value
        if _kept(there, "role") in (None, body.get("role")) and _barcode(there) in (None, _barcode(body)):
            return Written(WriteOutcome.ADOPTED, str(there["status"]))
        message = f"the transaction {txn_id} exists already, for another item or role"
        return Written(
            WriteOutcome.REFUSED, error=RemoteRefused(f"POST {_path(txn_id)}", None, "ANOTHER", message)
        )

    def _put(self, txn_id: str, target: Txn) -> Done | Later | Refused:
        failure: RemoteRefused | RemoteTransient | None = None
        try:
            self._service.send("PUT", f"{_path(txn_id)}/status", {"status": target.value})
        except (RemoteRefused, RemoteTransient) as error:
            failure = error
        # Whatever it answered, what it shows now counts: a refusal may mean that somebody was quicker.
        answer = self._look(txn_id)
        if isinstance(answer, Found) and _is_reached(txn_of(str(answer.value["status"])), target):
            return Done()
        if isinstance(failure, RemoteRefused):
            return Refused(str(failure))
        if failure is not None:
            return Later(str(failure))
        return Later(f"mod-dcb accepted {target} for the transaction {txn_id}, but does not show it yet")

    def _order(self, txn_id: str, what: str, body: Mapping[str, Any] | None = None) -> Done | Later | Refused:
        try:
            self._service.send("PUT", f"{_path(txn_id)}/{what}".rstrip("/"), body)
        except RemoteRefused as error:
            return Refused(str(error))
        except RemoteTransient as error:
            return Later(str(error))
        return Done()


def _verdict(txn_id: str, now: Txn | None, target: Txn, role: str) -> Done | Later | Refused | None:
    """What is to be said without writing; None when the status is to be sent."""
    if now is None:
        return Later(f"the transaction {txn_id} has a status that nobody knows")
    if now is Txn.ERROR:
        return Refused(f"the transaction {txn_id} is in error: look in FOLIO")
    if _is_reached(now, target) or now is Txn.EXPIRED:  # what expired is closed by the next check-in
        return Done()
    if target is Txn.CANCELLED:
        if now in _LENT:
            return Refused(f"the transaction {txn_id} cannot be cancelled: the book is or was lent ({now})")
        return None
    if now is Txn.CANCELLED:
        return Refused(f"the transaction {txn_id} is cancelled and cannot become {target}")
    if target in _BY_CIRCULATION.get(role, frozenset()):
        return Done()
    if role == "LENDER" and now is Txn.CREATED:
        # Some versions of mod-dcb refuse to walk over OPEN, which stands for the check-in at the lender.
        return Later(
            f"FOLIO has not seen the item of the transaction {txn_id} leave: check it in at the lender"
        )
    if role in ("BORROWING-PICKUP", "PICKUP") and target is Txn.CLOSED and now is not Txn.ITEM_CHECKED_IN:
        if now is Txn.ITEM_CHECKED_OUT:
            return Later(f"FOLIO still has the book of the transaction {txn_id} lent: check it in there")
        return Refused(f"the transaction {txn_id} is {now}: it can be cancelled, not closed")
    return None


def _is_reached(now: Txn | None, target: Txn) -> bool:
    if now is target:
        return True
    if target is Txn.CANCELLED:
        return now is Txn.CLOSED
    return now in _CHAIN and _CHAIN.index(now) >= _CHAIN.index(target)


def _barcode(body: Mapping[str, Any]) -> str | None:
    item = body.get("item")
    return _kept(item, "barcode") if isinstance(item, Mapping) else None


def _kept(body: Mapping[str, Any], name: str) -> str | None:
    value = body.get(name)
    return str(value) if value else None


def _path(txn_id: str) -> str:
    return f"/transactions/{quote(txn_id, safe='')}"


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
