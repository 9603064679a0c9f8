"""Loans, in JSON, at the documented end points: those of users, bibs and items. There is no `/loans`, and no
call that returns a loan: that is a scan-in (`Items.scan_in`)."""

from __future__ import annotations

from dataclasses import dataclass, field

from alma_etl.alma import shapes
from alma_etl.alma.call import Call, json_call, params, path
from alma_etl.alma.items import NO_ITEM
from alma_etl.alma.reply import Reply
from alma_etl.alma.resource import Resource
from alma_etl.alma.shapes import Json
from alma_etl.alma.users import NO_USER
from alma_etl.remote.answers import Answer, ListAnswer, ask, ask_list

NO_LOAN = frozenset({"401823"})


@dataclass(frozen=True)
class Loan:
    """One loan. `loan_status` in upper case: ACTIVE or COMPLETE; `process_status` NORMAL, RENEW, ...;
    `due_date` and `loan_date` as Alma writes them (ISO 8601, UTC)."""

    loan_id: str
    user_id: str
    item_pid: str
    barcode: str
    mms_id: str
    holding_id: str
    library: str
    due_date: str
    loan_date: str
    loan_status: str
    process_status: str
    raw: Json = field(repr=False)


class Loans(Resource):
    """The calls about loans."""

    def create(
        self,
        user_id: str,
        *,
        item_pid: str | None = None,
        barcode: str | None = None,
        library: str,
        circ_desk: str,
        request_id: str | None = None,
        return_circ_desk: str | None = None,
    ) -> Loan:
        """POST /users/{user_id}/loans at a desk of `library`; `request_id`: the hold that it fulfils.

        How long it runs is decided by Alma's rules: the loan object has no loan policy, and its due date is for
        `change_due_date`. Documented refusals: 401153 the desk may not lend, 401651 not loanable, 401890 no such
        user; seen by others: 401163/401201 blocked, 401161 limit, 401168 expired, 401151 no patron, 400042 on
        loan already. `writes.create_loan` looks after a lost answer. Raises RemoteError, ValueError unless
        exactly one of pid and barcode is given."""
        if (item_pid is None) == (barcode is None):
            raise ValueError("a loan is of one item, by item_pid or by barcode")
        body: Json = {"circ_desk": shapes.coded(circ_desk), "library": shapes.coded(library)}
        if request_id is not None:
            body["request_id"] = shapes.coded(request_id)
        if return_circ_desk is not None:
            body["return_circ_desk"] = shapes.coded(return_circ_desk)
        call = json_call(
            "POST", path("users", user_id, "loans"), body, item_pid=item_pid, item_barcode=barcode
        )
        return self._client.call(call, _loan)

    def of_user(self, user_id: str, *, loan_status: str = "Active") -> ListAnswer[Loan]:
        """GET /users/{user_id}/loans: all pages. `loan_status` Active or Complete. Absent: no such user. Ask
        `read` for a loan that a PartlyFound does not name."""
        return self._listed(path("users", user_id, "loans"), loan_status, NO_USER)

    def of_item(
        self, mms_id: str, holding_id: str, pid: str, *, loan_status: str = "Active"
    ) -> ListAnswer[Loan]:
        """GET .../items/{pid}/loans: all pages. Absent when item, holding or bib is unknown."""
        return self._listed(
            path("bibs", mms_id, "holdings", holding_id, "items", pid, "loans"), loan_status, NO_ITEM
        )

    def _listed(self, where: str, loan_status: str, absent: frozenset[str]) -> ListAnswer[Loan]:
        return ask_list(
            lambda: self._every(
                where, "item_loan", loan, lambda each: each.loan_id, loan_status=loan_status, order_by="id"
            ),
            absent,
        )

    def read(self, user_id: str, loan_id: str) -> Answer[Loan]:
        """GET /users/{user_id}/loans/{loan_id}. Absent: 401823."""
        call = Call("GET", path("users", user_id, "loans", loan_id))
        return ask(lambda: self._client.call(call, _loan), NO_LOAN)

    def renew(self, user_id: str, loan_id: str) -> Loan:
        """POST .../loans/{loan_id}?op=renew. Refused with 401822 when it cannot be renewed. Raises RemoteError;
        after one with `effect_unknown` compare the due date (`writes.renew_loan` does)."""
        call = Call("POST", path("users", user_id, "loans", loan_id), params(op="renew"))
        return self._client.call(call, _loan)

    def change_due_date(
        self, user_id: str, loan_id: str, due_date: str, *, notify_user: bool = False
    ) -> Loan:
        """PUT .../loans/{loan_id}. `due_date` as 2026-12-31T22:00:00Z. Refused with 401681 for a date that is
        past. Raises RemoteError; doing it twice is doing it once, so the client repeats it."""
        call = json_call(
            "PUT", path("users", user_id, "loans", loan_id), {"due_date": due_date}, notify_user=notify_user
        )
        return self._client.call(call.repeated(), _loan)


def _loan(reply: Reply) -> Loan:
    return loan(reply.json())


def loan(document: Json) -> Loan:
    """Alma's loan object as a Loan."""
    return Loan(
        loan_id=shapes.required(document, "loan_id"),
        user_id=shapes.text(document.get("user_id")),
        item_pid=shapes.text(document.get("item_id")),
        barcode=shapes.text(document.get("item_barcode")),
        mms_id=shapes.text(document.get("mms_id")),
        holding_id=shapes.text(document.get("holding_id")),
        library=shapes.text(document.get("library")),
        due_date=shapes.text(document.get("due_date")),
        loan_date=shapes.text(document.get("loan_date")),
        loan_status=shapes.text(document.get("loan_status")).upper(),
        process_status=shapes.text(document.get("process_status")).upper(),
        raw=document,
    )
