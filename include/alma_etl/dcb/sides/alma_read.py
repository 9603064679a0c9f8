"""One side of a request whose system is an Alma: read, and turned into the parts of an observation.

Codes are kept as they came, "" for absent, nothing personal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import TypeVar

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
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NO_ID = "NO_ID"
_SHORT_LIST = "SHORT_LIST"
"""The user's list counts more than it names, and what it does not name could not be read singly either."""


class AlmaReader:
    """Implements `ports.SideReader`. One for each thread and question; the client may be shared. ``zone``: in which the
    institution's days end."""

    def __init__(self, alma: AlmaClient, zone: tzinfo = UTC) -> None:
        self._alma = alma
        self._zone = zone
        self._failures = Failures()
        self._user_seen: bool | None = None
        self._short: set[str] = set()

    @property
    def user_seen(self) -> bool | None:
        """Whether the reads so far show that the user is there; None when they do not show it."""
        return self._user_seen

    def errors(self) -> Sequence[ReadError]:
        """What failed since this was last asked."""
        return self._failures.take()

    # --- holds

    def request(self, leg: LegRecord) -> RequestRead:
        """GET /users/{user_id}/requests/{request_id}: 401694 or HTTP 404 means gone."""
        if leg.user_id is None or leg.request_id is None:
            self._failures.add("request", code=_NO_ID)
            return RequestRead(None)
        answer = self._settled("request", self._alma.requests.read(leg.user_id, leg.request_id))
        if isinstance(answer, Found):
            self._user_seen = True
            return of_request(answer.value, leg.closure_hint, self._zone)
        return RequestRead(None) if isinstance(answer, Unknown) else gone_hold(leg.closure_hint)

    def requests_of(self, user_id: str) -> Mapping[str, RequestRead] | None:
        """GET /users/{user_id}/requests, all pages; None when it could not be read."""
        rows = self._rows("request", self._alma.requests.of_user(user_id, request_type="HOLD"))
        return None if rows is None else {row.request_id: of_request(row, zone=self._zone) for row in rows}

    def unnamed_request(self, leg: LegRecord) -> RequestRead:
        """The hold that a list which was read does not name: gone, if the list is whole; else it is read singly."""
        if "request" not in self._short:
            return gone_hold(leg.closure_hint)
        read = self.request(leg)
        if read.found is None:
            self._failures.add("request", code=_SHORT_LIST)
        return read

    # --- items

    def item(self, leg: LegRecord) -> ItemRead:
        """GET .../items/{pid}. The holding need not be known."""
        if leg.mms_id is None or leg.item_pid is None:
            self._failures.add("item", code=_NO_ID)
            return ItemRead(None)
        answer = self._settled(
            "item", self._alma.items.read(leg.mms_id, leg.holding_id or "ALL", leg.item_pid)
        )
        if isinstance(answer, Found):
            return of_item(answer.value, leg)
        return ItemRead(None if isinstance(answer, Unknown) else False)

    # --- loans

    def loan(self, leg: LegRecord) -> LoanRead:
        """The active loan of the item to the user, else the latest complete one: one call while a known loan runs."""
        if leg.user_id is None or leg.item_pid is None:
            self._failures.add("loan", code=_NO_ID)
            return LoanRead(None)
        known = self._known_loan(leg)
        if known is not None and (known.found is None or known.loan_status == LoanWord.ACTIVE):
            return known
        active = self.loans_of(leg.user_id)
        if active is None:
            return LoanRead(None)
        return active.get(leg.item_pid) or self._active_of_item(leg) or known or self._latest_of_item(leg)

    def loans_of(self, user_id: str) -> Mapping[str, LoanRead] | None:
        """GET /users/{user_id}/loans, all pages: the active ones by item; None when it could not be read."""
        rows = self._rows("loan", self._alma.loans.of_user(user_id))
        return None if rows is None else {loan.item_pid: of_loan(loan) for loan in rows}

    def ended_loan(self, leg: LegRecord) -> LoanRead:
        """The latest complete loan of the item to the user: by its id where it is known, else by the item's loans.

        Where the list of active ones that was read is not whole, an active one is looked for at the item first.
        """
        return self._known_loan(leg) or self._active_of_item(leg) or self._latest_of_item(leg)

    def _active_of_item(self, leg: LegRecord) -> LoanRead | None:
        """The active loan that the user's list does not name, as the item has it; None when there is none."""
        if "loan" not in self._short:
            return None
        if leg.mms_id is None or leg.item_pid is None or leg.user_id is None:
            self._failures.add("loan", code=_SHORT_LIST)
            return LoanRead(None)
        answer = self._settled(
            "loan", self._alma.loans.of_item(leg.mms_id, leg.holding_id or "ALL", leg.item_pid)
        )
        if isinstance(answer, Unknown):
            self._failures.add("loan", code=_SHORT_LIST)
            return LoanRead(None)
        rows = answer.value if isinstance(answer, Found) else []
        return next((of_loan(row) for row in rows if _is_of(row, leg.user_id)), None)

    def _known_loan(self, leg: LegRecord) -> LoanRead | None:
        """The loan that was seen before, active or complete; None when Alma does not have it any more."""
        if leg.loan_id is None or leg.user_id is None:
            return None
        answer = self._settled("loan", self._alma.loans.read(leg.user_id, leg.loan_id))
        if isinstance(answer, Found):
            self._user_seen = True
            return of_loan(answer.value)
        return LoanRead(None) if isinstance(answer, Unknown) else None

    def _latest_of_item(self, leg: LegRecord) -> LoanRead:
        if leg.mms_id is None or leg.item_pid is None or leg.user_id is None:
            self._failures.add("loan", code=_NO_ID)
            return LoanRead(None)
        answer = self._settled(
            "loan",
            self._alma.loans.of_item(
                leg.mms_id, leg.holding_id or "ALL", leg.item_pid, loan_status="Complete"
            ),
        )
        if isinstance(answer, Unknown):
            return LoanRead(None)
        rows = answer.value if isinstance(answer, Found) else []
        ended = [of_loan(row) for row in rows if _is_of(row, leg.user_id)]
        return max(ended, key=lambda read: read.loan_date or _EPOCH, default=LoanRead(False))

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

    def _settled(self, part: str, answer: Answer[T]) -> Answer[T]:
        """Take note of what failed; HTTP 404 is Alma's word that a thing is not there, whatever the code."""
        if not isinstance(answer, Unknown):
            return answer
        if answer.error.code in NO_USER:
            self._user_seen = False
        elif isinstance(answer.error, RemoteRefused) and answer.error.status == 404:
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
            self._user_seen = False
        self._failures.add(part, error, code="NO_USER")


def _is_of(loan: Loan, user_id: str) -> bool:
    return loan.user_id.casefold() == user_id.casefold()


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
