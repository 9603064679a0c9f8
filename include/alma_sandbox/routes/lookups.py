"""Finding the records that a path names, with Alma's error when there is none."""

from alma_sandbox.catalogue.records import Bib, Holding, Item
from alma_sandbox.circulation.loans import Loan
from alma_sandbox.circulation.requests import UserRequest
from alma_sandbox.http.answers import Payload
from alma_sandbox.http.call import Call
from alma_sandbox.http.errors import Refusal

GENERAL = "General Error: An error has occurred while processing the request."


def bib(call: Call) -> Bib:
    """The bib of the path: 402204 when the id is no number, 402203 when there is no such bib."""
    return bib_by_id(call, call.path["mms_id"])


def bib_by_id(call: Call, mms_id: str) -> Bib:
    """A bib by its id, with the same errors."""
    if not mms_id.isascii() or not mms_id.isdigit():
        raise Refusal("402204", f"Input parameters mmsId {mms_id} is not numeric.")
    found = call.catalogue.bib(mms_id)
    if found is None:
        raise Refusal("402203", f"Input parameters mmsId {mms_id} is not valid.")
    return found


def holding(call: Call) -> Holding:
    """The holding of the path under the bib of the path: 402208 when there is none."""
    mms_id, holding_id = bib(call).mms_id, call.path["holding_id"]
    found = call.catalogue.holding(holding_id)
    if found is None or found.mms_id != mms_id:
        raise Refusal("402208", f"Search failed for Holdings ID {holding_id}")
    return found


def item(call: Call, *, strict: bool = False) -> Item:
    """The item of the path: 401688 when there is none.

    Reading does not check the holding in the path; scan-in and requests do (``strict``).
    """
    mms_id, holding_id, pid = call.path["mms_id"], call.path["holding_id"], call.path["item_pid"]
    bib(call)
    found = call.catalogue.item(pid)
    if found is None or found.mms_id != mms_id or (strict and found.holding_id != holding_id):
        raise Refusal(
            "401688", f"Search failed for Items with mmsId {mms_id}, holdings id {holding_id}, item id {pid}."
        )
    return found


def user(call: Call, code: str = "401890") -> Payload:
    """The user of the path by any unique identifier: 401861 for the user itself, 401890 for what belongs to it."""
    return user_by_id(call, call.path["user_id"], code)


def user_by_id(call: Call, user_id: str, code: str = "401890") -> Payload:
    """A user by any unique identifier, or by the type that ``user_id_type`` names."""
    kind = call.query.get("user_id_type", "all_unique")
    found = call.sandbox.users.find(user_id, kind)
    if found is None:
        of_type = "" if kind == "all_unique" else f" of type {kind}"
        raise Refusal(code, f"User with identifier {user_id}{of_type} was not found.")
    return found


def request(call: Call) -> UserRequest:
    """The request of the path, in any of the three trees: 401694 when there is none (any more).

    The page of GET lists no code but 401652 for it, so that the settings may choose.
    """
    settings = call.sandbox.settings
    found = call.sandbox.requests.by_id.get(call.path["request_id"])
    closed = found is not None and not found.active and settings.closed_requests != "history"
    if found is None or closed or not _belongs(call, found.user_id, found.mms_id, found.item_pid):
        if call.method == "GET" and settings.request_not_found == "401652":
            raise Refusal("401652", GENERAL)
        raise Refusal("401694", f"Request Identifier not found: {call.path['request_id']}.")
    return found


def loan(call: Call) -> Loan:
    """The loan of the path, in any of the three trees. When there is none (any more): 401652 for GET, whose page
    lists no other code, and 401823 for renewing and for changing the due date."""
    found = call.sandbox.loans.by_id.get(call.path["loan_id"])
    kept = found is not None and call.sandbox.loans.is_kept(found)
    if found is None or not kept or not _belongs(call, found.user_id, found.mms_id, found.item_pid):
        if call.method == "GET":
            raise Refusal("401652", GENERAL)
        raise Refusal("401823", f"Loan ID {call.path['loan_id']} does not exist.")
    return found


def _belongs(call: Call, user_id: str, mms_id: str, pid: str) -> bool:
    """Whether a record belongs to what the path names above it."""
    if "user_id" in call.path:
        return str(user(call)["primary_id"]) == user_id
    if call.path.get("mms_id") != mms_id:
        return False
    return "item_pid" not in call.path or call.path["item_pid"] == pid
