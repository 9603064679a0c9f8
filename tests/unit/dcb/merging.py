"""What staff and jobs do in an Alma that changes ids: users merged, titles merged, items moved, loans made anonymous.

Done to the sandbox's own records, since no call does it.
"""

from copy import deepcopy
from typing import Any

from tests.unit.dcb.sides_world import SandboxSide


def merge_users(side: SandboxSide, old: str, new: str, *, keep_id: bool = False) -> None:
    """Requests and loans of ``old`` move to ``new``, and ``old`` is deleted; ``keep_id``: its id stays, as another
    identifier of ``new``."""
    sandbox = side.running.sandbox
    for kind in (sandbox.requests, sandbox.loans):
        moved = kind._of_user.pop(old, [])
        for each in moved:
            each.user_id = new
        kind._of_user.setdefault(new, []).extend(moved)
    sandbox.users.drop(old)
    if keep_id:
        user: dict[str, Any] = deepcopy(sandbox.users.by_id[new])
        user["user_identifier"].append({"value": old, "id_type": {"value": "OTHER_ID_1"}, "status": "ACTIVE"})
        sandbox.users.keep(user)


def delete_user(side: SandboxSide, user_id: str) -> None:
    """A user is deleted, and what was requested is cancelled by that."""
    sandbox = side.running.sandbox
    for request in sandbox.requests.of_user(user_id):
        if request.active:
            sandbox.requests.close(request, "deleted")
    sandbox.users.drop(user_id)


def merge_title(side: SandboxSide, pid: str) -> tuple[str, str]:
    """The title of an item is merged into another one: the item is at that one's holding, with its loans and requests,
    and the title is gone. Returns title and holding."""
    sandbox = side.running.sandbox
    item = sandbox.catalogue.item(pid)
    old = item.mms_id
    others = (
        sandbox.catalogue.holdings_of(each) for each in sandbox.catalogue.title_ids(10, 20) if each != old
    )
    holding = next(found[0] for found in others if found)
    into = holding.mms_id
    sandbox.catalogue.move_item(item, holding)
    for kind in (sandbox.requests, sandbox.loans):
        moved = kind._of_title.pop(old, [])
        for each in moved:
            each.mms_id = into
            if hasattr(each, "holding_id"):
                each.holding_id = holding.holding_id
        kind._of_title.setdefault(into, []).extend(moved)
    sandbox.catalogue.drop_bib(old)
    return str(into), str(holding.holding_id)


def move_item(side: SandboxSide, pid: str) -> str:
    """An item is moved to a new holding of its title. Returns the holding."""
    sandbox = side.running.sandbox
    item = sandbox.catalogue.item(pid)
    other = deepcopy(sandbox.catalogue.holding(item.holding_id))
    other.holding_id = f"22{sandbox.number('holding')}99{side.suffix}"
    sandbox.catalogue.keep_holding(other)
    sandbox.catalogue.move_item(item, other)
    for loan in sandbox.loans.of_item(pid):
        loan.holding_id = other.holding_id
    return str(other.holding_id)


def forget_loan(side: SandboxSide, loan_id: str) -> None:
    """A loan that ended is made anonymous: nothing shows whose it was any more."""
    loans = side.running.sandbox.loans
    loan = loans.by_id.pop(loan_id)
    for index, key in ((loans._of_item, loan.item_pid), (loans._of_user, loan.user_id)):
        index[key].remove(loan)
