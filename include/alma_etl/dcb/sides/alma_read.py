"""One side of a request whose system is an Alma: read, and turned into the parts of an observation.

Codes are kept as they came, "" for absent, nothing personal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import partial
from typing import Any, TypeVar

from alma_etl.alma import shapes
from alma_etl.alma.client import AlmaClient
from alma_etl.alma.items import Item
from alma_etl.alma.loans import Loan
from alma_etl.alma.user_requests import UserRequest
from alma_etl.alma.users import NO_USER, UserBlock
from alma_etl.dcb.machine.model import ItemRead, LoanRead, PatronRead, RequestRead, read_end, read_time
from alma_etl.dcb.machine.vocabulary import HISTORY, Closure, Role, alma_code
from alma_etl.dcb.machine.vocabulary import LoanState as LoanWord
from alma_etl.dcb.sides.ports import Failures
from alma_etl.dcb.store.rows import LegRecord, ReadError
from alma_etl.remote.answers import Absent, Answer, Found, ListAnswer, PartlyFound, Unknown, rows_of
from alma_etl.remote.errors import RemoteError, RemoteRefused

T = TypeVar("T")
A = TypeVar("A", bound=Found[Any] | Absent | Unknown)
R = TypeVar("R", RequestRead, LoanRead)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NO_ID = "NO_ID"
_SHORT_LIST = "SHORT_LIST"
"""The user's list counts more than it names, and what it does not name could not be read singly either."""


@dataclass
class HistoryKept:
    """Whether an institution keeps closed requests (``should_anonymize_requests``): True until it is seen not to."""

    kept: bool = True


class AlmaReader:
    """Implements `ports.SideReader`. One for each thread and question; the client may be shared. ``zone``: in which the
    institution's days end; ``history``: what other readers of this Alma have found out."""

    def __init__(self, alma: AlmaClient, zone: tzinfo = UTC, history: HistoryKept | None = None) -> None:
        self._alma = alma
        self._zone = zone
        self._history = history or HistoryKept()
        self._failures = Failures()
        self._user_seen: bool | None = None
        self._user_gone = False
        self._short: set[str] = set()
        self._ids: dict[tuple[str, str], dict[str, str]] = {}

    @property
    def user_seen(self) -> bool | None:
        """Whether the reads so far show that the user is there; None when they do not show it."""
        return self._user_seen

    def errors(self) -> Sequence[ReadError]:
        """What failed since this was last asked."""
        return self._failures.take()

    def ids_of(self, leg: LegRecord) -> Mapping[str, str]:
        """The ids of the side by the rows of Alma that were read: those of the item by the item itself, if it was."""
        rows = (("request", leg.request_id), ("loan", leg.item_pid), ("item", leg.item_pid))
        found: dict[str, str] = {}
        for part, key in rows:
            found |= self._ids.get((part, key or ""), {})
        return found

    # --- holds

    def request(self, leg: LegRecord) -> RequestRead:
        """GET /users/{user_id}/requests/{request_id}. Where Alma refuses it, the user's whole list is asked, and then
        the item: a list that is whole and does not name the hold proves that it is gone."""
        if leg.user_id is None or leg.request_id is None:
            self._failures.add("request", code=_NO_ID)
            return RequestRead(None)
        mark = self._failures.mark()
        read = self._known_hold(leg) or self._listed_hold(leg, leg.user_id)
        return self._forgiving(read, mark)

    def requests_of(self, user_id: str) -> Mapping[str, RequestRead] | None:
        """GET /users/{user_id}/requests, all pages; None when it could not be read."""
        rows = self._rows("request", self._alma.requests.of_user(user_id, request_type="HOLD"))
        return None if rows is None else {row.request_id: self._hold(row) for row in rows}

    def unnamed_request(self, leg: LegRecord) -> RequestRead:
        """The hold that the list read last does not name: gone, if the list is whole; else it is read singly, and where
        that is refused, or the user is not there, at its item."""
        if not self._user_gone and "request" not in self._short:
            return self._vanished(leg)
        mark = self._failures.mark()
        known = None if self._user_gone else self._known_hold(leg)
        read = known or self._hold_at_item(leg)
        if read.found is None and "request" in self._short:
            self._failures.add("request", code=_SHORT_LIST)
        return self._forgiving(read, mark)

    def _known_hold(self, leg: LegRecord) -> RequestRead | None:
        """The hold by its id; None when Alma refuses to show it, be it gone or another user's by now."""
        answer = self._settled("request", self._alma.requests.read(leg.user_id or "", leg.request_id or ""))
        if isinstance(answer, Found):
            self._user_seen = True
            return self._hold(answer.value, leg.closure_hint)
        return None if _is_refusal(answer) else RequestRead(None)

    def _listed_hold(self, leg: LegRecord, user_id: str) -> RequestRead:
        holds = None if self._user_gone else self.requests_of(user_id)
        named = (holds or {}).get(leg.request_id or "")
        if named is not None:
            return named
        if holds is not None and "request" not in self._short:
            return self._vanished(leg)
        if holds is None and not self._user_gone:
            return RequestRead(None)
        return self._hold_at_item(leg)

    def _hold_at_item(self, leg: LegRecord) -> RequestRead:
        """The hold among those of its item, whosever it is: that of a user who was merged into another moved there."""
        rows, whole = self._at_item("request", leg, self._alma.requests.of_item)
        ours = next((row for row in rows if row.request_id == leg.request_id), None)
        self._see_user(ours)
        if ours is not None:
            return self._hold(ours, leg.closure_hint)
        return gone_hold(leg.closure_hint) if whole else RequestRead(None)

    def _vanished(self, leg: LegRecord) -> RequestRead:
        """The hold is not there. How it ended is asked where the institution keeps that and nobody reported it."""
        if _hinted(leg.closure_hint) is not None or not self._history.kept:
            return gone_hold(leg.closure_hint)
        answer = self._alma.requests.of_user(leg.user_id or "", request_type="HOLD", status="history")
        if isinstance(answer, Found) and not answer.value:
            self._history.kept = False  # this user has a closed one for certain
        row = next((row for row in rows_of(answer) if row.request_id == leg.request_id), None)
        return gone_hold(None) if row is None else RequestRead(False, closure=_ended(row, None))

    def _hold(self, row: UserRequest, hint: str | None = None) -> RequestRead:
        self._ids["request", row.request_id] = _ids(row.mms_id, row.holding_id, row.item_pid, row.user_id)
        return of_request(row, hint, self._zone)

    # --- items

    def item_was_read(self, leg: LegRecord) -> None:
        """The item was read a moment ago, and the side has its ids: a list that is empty at this place is whole."""
        if leg.mms_id and leg.item_pid:
            self._ids["item", leg.item_pid] = _ids(leg.mms_id, leg.holding_id or "", leg.item_pid)

    def item(self, leg: LegRecord) -> ItemRead:
        """GET .../items/{pid}, see `find_item`. The holding need not be known."""
        if leg.mms_id is None or leg.item_pid is None:
            self._failures.add("item", code=_NO_ID)
            return ItemRead(None)
        answer = self._item("item", leg, leg.mms_id, leg.item_pid)
        if isinstance(answer, Found):
            return of_item(answer.value, leg)
        return ItemRead(None if isinstance(answer, Unknown) else False)

    def _item(self, part: str, leg: LegRecord, mms_id: str, pid: str) -> Answer[Item]:
        answer = self._settled(part, find_item(self._alma, leg, mms_id, pid))
        if isinstance(answer, Found):
            row = answer.value
            self._ids["item", pid] = _ids(row.mms_id, row.holding_id, row.pid)
        return answer

    def _at_item(
        self, part: str, leg: LegRecord, ask: Callable[[str, str, str], ListAnswer[T]]
    ) -> tuple[list[T], bool]:
        """The rows that a list of the item names, and whether those are all.

        That there are none counts only by the item's own title and holding: to others, and to ALL, Alma may answer
        with an error or with nothing.
        """
        if leg.mms_id is None or leg.item_pid is None:
            self._failures.add(part, code=_NO_ID)
            return [], False
        mark = self._failures.mark()
        place = (leg.mms_id, leg.holding_id or "ALL")
        answer = self._settled(part, ask(*place, leg.item_pid))
        if rows_of(answer) or not (isinstance(answer, Found) or _is_refusal(answer)):
            return rows_of(answer), isinstance(answer, Found)
        if ("item", leg.item_pid) not in self._ids:
            item = self._item(part, leg, leg.mms_id, leg.item_pid)
            if not isinstance(item, Found):
                return [], isinstance(item, Absent)
        read = self._ids["item", leg.item_pid]
        real = (read.get("mms_id", place[0]), read.get("holding_id", place[1]))
        if real != place:
            self._failures.forget(mark)
            answer = self._settled(part, ask(*real, leg.item_pid))
        return rows_of(answer), not isinstance(answer, Unknown)

    # --- loans

    def loan(self, leg: LegRecord) -> LoanRead:
        """The active loan of the item to the user, else the latest complete one: one call while a known loan runs.

        Where Alma refuses a known one, the user's active loans are asked, and then those of the item.
        """
        if leg.user_id is None or leg.item_pid is None:
            self._failures.add("loan", code=_NO_ID)
            return LoanRead(None)
        mark = self._failures.mark()
        known = self._known_loan(leg)
        if known is not None and (known.found is None or known.loan_status == LoanWord.ACTIVE):
            return known
        active = None if self._user_gone else self.loans_of(leg.user_id)
        if active is None and not self._user_gone:
            return LoanRead(None)
        named = (active or {}).get(leg.item_pid)
        return self._forgiving(named or self._unlisted_loan(leg, known), mark)

    def loans_of(self, user_id: str) -> Mapping[str, LoanRead] | None:
        """GET /users/{user_id}/loans, all pages: the active ones by item; None when it could not be read."""
        rows = self._rows("loan", self._alma.loans.of_user(user_id))
        return None if rows is None else {loan.item_pid: self._loan(loan) for loan in rows}

    def ended_loan(self, leg: LegRecord) -> LoanRead:
        """The latest complete loan of the item to the user: by its id where it is known, else by the item's loans.

        Where the list of active ones that was read is not whole, or the user is not there, an active one is looked for
        at the item first.
        """
        mark = self._failures.mark()
        known = None if self._user_gone else self._known_loan(leg)
        return self._forgiving(known or self._unlisted_loan(leg, None), mark)

    def _unlisted_loan(self, leg: LegRecord, known: LoanRead | None) -> LoanRead:
        """The loan that the user's active ones do not name. ``known``: it was seen complete."""
        active = self._active_of_item(leg) if self._user_gone or "loan" in self._short else None
        return active or known or self._latest_of_item(leg)

    def _active_of_item(self, leg: LegRecord) -> LoanRead | None:
        """The active loan as the item has it; None when there is none."""
        rows, whole = self._at_item("loan", leg, self._alma.loans.of_item)
        ours = next((row for row in rows if _is_of(row, leg)), None)
        self._see_user(ours)
        if ours is not None:
            return self._loan(ours)
        if not whole and "loan" in self._short:
            self._failures.add("loan", code=_SHORT_LIST)
        # The loan of a user whom we do not know may be that of ours, merged into that one.
        unclear = bool(rows) and self._user_gone and leg.loan_id is None
        return None if whole and not unclear else LoanRead(None)

    def _known_loan(self, leg: LegRecord) -> LoanRead | None:
        """The loan that was seen before, active or complete; None when Alma refuses to show it, as one that it made
        anonymous, or when none was seen."""
        if leg.loan_id is None or leg.user_id is None:
            return None
        answer = self._settled("loan", self._alma.loans.read(leg.user_id, leg.loan_id))
        if isinstance(answer, Found):
            self._user_seen = True
            return self._loan(answer.value)
        return None if _is_refusal(answer) else LoanRead(None)

    def _latest_of_item(self, leg: LegRecord) -> LoanRead:
        complete = partial(self._alma.loans.of_item, loan_status="Complete")
        rows, whole = self._at_item("loan", leg, complete)
        ended = [self._loan(row) for row in rows if _is_of(row, leg)]
        nothing = LoanRead(False if whole else None)
        return max(ended, key=lambda read: read.loan_date or _EPOCH, default=nothing)

    def _loan(self, row: Loan) -> LoanRead:
        self._ids["loan", row.item_pid] = _ids(row.mms_id, row.holding_id, row.item_pid, row.user_id)
        return of_loan(row)

    # --- users

    def patron(self, leg: LegRecord) -> PatronRead:
        """GET /users/{user_id}: whether the user is there, and whether a block stands. Nothing else of it is kept."""
        if leg.user_id is None:
            return PatronRead(None)
        answer = self._alma.users.read(leg.user_id, view="full")
        if isinstance(answer, Found):
            today = self._alma.today().isoformat()
            return PatronRead(True, any(_stands(block, today) for block in answer.value.blocks))
        if isinstance(answer, Unknown):
            self._failures.add("patron", answer.error)
            return PatronRead(None)
        return PatronRead(False)

    # --- answers

    def _see_user(self, ours: UserRequest | Loan | None) -> None:
        """A row of ours at the item has a user, be it another one by now than the one who was asked for."""
        if ours is not None:
            self._user_seen = True
        elif self._user_gone:
            self._user_seen = False

    def _forgiving(self, read: R, mark: int) -> R:
        """What could be read in another way did not fail."""
        if read.found is not None:
            self._failures.forget(mark)
        return read

    def _settled(self, part: str, answer: A) -> A | Absent:
        """Take note of what failed."""
        if not isinstance(answer, Unknown):
            return answer
        if answer.error.code in NO_USER:
            self._user_seen, self._user_gone = False, True
        elif isinstance(answer.error, RemoteRefused) and _is_absence(answer):
            return Absent(answer.error)
        self._failures.add(part, answer.error)
        return answer

    def _rows(self, part: str, answer: ListAnswer[T]) -> list[T] | None:
        """What a list of the user names. One that counts more proves nothing of what it does not name."""
        self._short.discard(part)
        if isinstance(answer, PartlyFound):
            self._short.add(part)
        elif not isinstance(answer, Found):
            self._no_list(part, answer)
            return None
        self._user_seen = True
        return rows_of(answer)

    def _no_list(self, part: str, answer: Absent | Unknown) -> None:
        error: RemoteError | None = answer.error
        if isinstance(answer, Absent):
            self._user_seen, self._user_gone = False, True
        self._failures.add(part, error, code="NO_USER")


def find_item(alma: AlmaClient, leg: LegRecord, mms_id: str, pid: str) -> Answer[Item]:
    """The item of a side by its pid, with its real title and holding.

    One that Alma does not show there is looked for by its barcode, since a title that was merged, or an item that was
    moved, is elsewhere; it is the same one only with the same pid.
    """
    answer = alma.items.read(mms_id, leg.holding_id or "ALL", pid)
    if not leg.barcode or not _is_refusal(answer):
        return answer
    again = alma.items.by_barcode(leg.barcode)
    if isinstance(again, Found):
        return again if again.value.pid == pid else answer
    return answer if _is_absence(again) else again


def _is_absence(answer: Absent | Unknown) -> bool:
    """HTTP 404 is Alma's word that a thing is not there, whatever the code."""
    error = answer.error
    return isinstance(answer, Absent) or (isinstance(error, RemoteRefused) and error.status == 404)


def _is_refusal(answer: Answer[T] | ListAnswer[T]) -> bool:
    """Whether Alma said no, for whatever reason; not that no answer came."""
    return isinstance(answer, Absent) or (
        isinstance(answer, Unknown) and isinstance(answer.error, RemoteRefused)
    )


def _ids(mms_id: str, holding_id: str, item_pid: str, user_id: str = "") -> dict[str, str]:
    """What a row says of ids. A holding id with asterisks is that of a temporary place, which is none."""
    places = {"mms_id": mms_id, "holding_id": holding_id, "item_pid": item_pid}
    found = {name: value for name, value in places.items() if value.isascii() and value.isdigit()}
    return found | ({"user_id": user_id} if user_id else {})


def _is_of(loan: Loan, leg: LegRecord) -> bool:
    """Whether a loan is that of the side: the very one that was seen before, or one to its user."""
    return loan.loan_id == leg.loan_id or loan.user_id.casefold() == (leg.user_id or "").casefold()


def _stands(block: UserBlock, today: str) -> bool:
    ended = block.expiry_date[:10]
    return block.status == "ACTIVE" and not (ended and ended < today)


# --- parts of an observation


_NEVER = 9000


def gone_hold(hint: str | None) -> RequestRead:
    """The hold is not there; ``hint`` is how it ended, where a webhook reported it."""
    return RequestRead(False, closure=_hinted(hint))


def of_request(request: UserRequest, hint: str | None = None, zone: tzinfo = UTC) -> RequestRead:
    """A hold that Alma shows: an open one, or a closed one in the history."""
    raw = request.raw
    closed = alma_code(request.status) == HISTORY
    return RequestRead(
        found=True,
        request_status=request.status or None,
        task_name=request.task_name or None,
        expiry_date=_time(raw.get("expiry_date"), lambda text: read_end(text, zone)),
        request_date=_time(raw.get("request_time")) or _time(raw.get("request_date")),
        item_id=request.item_pid or None,
        closure=_ended(request, hint) if closed else None,
    )


def _ended(request: UserRequest, hint: str | None) -> Closure | None:
    cancelled = shapes.text(request.raw.get("cancel_reason"))
    return Closure.CANCELED if cancelled else _hinted(hint)


def _hinted(hint: str | None) -> Closure | None:
    """What a webhook says for certain. "Closed" says only that it is over, though older versions kept COMPLETED."""
    return Closure.CANCELED if hint == Closure.CANCELED else None


def of_item(item: Item, leg: LegRecord) -> ItemRead:
    """An item. Whether others want it is counted only while our loan has taken our own hold out of the queue."""
    data = item.raw.get("item_data", {})
    lent = leg.role is Role.SUPPLIER and leg.loan_id is not None and item.process_type == "LOAN"
    return ItemRead(
        found=True,
        base_status=item.base_status or None,
        process_type=item.process_type or None,
        barcode=item.barcode or None,
        other_requests=int(item.requested) if lent and "requested" in data else None,
    )


def of_loan(loan: Loan) -> LoanRead:
    """A loan, active or complete."""
    return LoanRead(
        found=True,
        loan_status=loan.loan_status or None,
        process_status=loan.process_status or None,
        due_date=_time(loan.due_date),
        loan_date=_time(loan.loan_date),
        last_renew_date=_time(loan.raw.get("last_renew_date")),
        loan_id=loan.loan_id,
    )


def _time(value: object, read: Callable[[str], datetime] = read_time) -> datetime | None:
    """A date or time of Alma's. One that cannot be read says nothing, and must not spoil what is beside it; no more
    does one that means "never", from which nothing can be reckoned on."""
    text = shapes.text(value)
    try:
        moment = read(text) if text else None
    except ValueError:
        return None
    return moment if moment is None or moment.year < _NEVER else None
