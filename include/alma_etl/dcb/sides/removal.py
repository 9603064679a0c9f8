"""Taking virtual items away again: only what is provably ours, and never a book that is out."""

from __future__ import annotations

from alma_etl.alma.client import AlmaClient
from alma_etl.alma.items import Item
from alma_etl.dcb.sides import marks
from alma_etl.dcb.sides.words import Impossible, Unsettled, gone, known


def is_virtual_holding(alma: AlmaClient, mms_id: str, holding_id: str) -> bool:
    """Whether a holding has the call number of virtual ones. Raises Unsettled, RemoteStop."""
    rows = known(alma.holdings.list(mms_id), "The title's holdings") or []
    numbers = {row.holding_id: row.call_number for row in rows}
    return numbers.get(holding_id) == marks.VIRTUAL_CALL_NUMBER


def is_used(alma: AlmaClient, item: Item) -> bool:
    """Whether an item is lent or requested. Raises Unsettled, RemoteStop."""
    if is_lent(alma, item):
        return True
    rows = known(alma.requests.of_item(item.mms_id, item.holding_id, item.pid), "The item's requests")
    return bool(rows)


def is_lent(alma: AlmaClient, item: Item) -> bool:
    """Whether an item is lent to anybody; the loan outvotes the item. Raises Unsettled, RemoteStop."""
    loans = known(alma.loans.of_item(item.mms_id, item.holding_id, item.pid), "The item's loans")
    return bool(loans) or item.process_type == "LOAN"


def remove(alma: AlmaClient, pr_id: str, mms_id: str | None = None) -> bool:
    """Delete the virtual item of a request with its holding and title; False when there was nothing.

    ``mms_id``: where it is known; else it is found by its mark. Raises Unsettled while the item is lent; Impossible
    when something hangs on the title that is not ours, which a person has to look at; RemoteStop.
    """
    titles = [mms_id] if mms_id is not None else _titles(alma, pr_id)
    removed = [_remove_title(alma, pr_id, each) for each in titles]
    return any(removed)


def _titles(alma: AlmaClient, pr_id: str) -> list[str]:
    rows = known(alma.bibs.by_system_number(marks.bib_mark(pr_id)), "The virtual title") or []
    return [bib.mms_id for bib in rows]


def _remove_title(alma: AlmaClient, pr_id: str, mms_id: str) -> bool:
    bib = known(alma.bibs.read(mms_id), f"The virtual title {mms_id}")
    if bib is None:
        return False
    if marks.owner_of(bib) != pr_id:
        raise Impossible(
            f"The title {mms_id} is not provably the virtual one of the request {pr_id} (suppressed, with our note and "
            "mark): nothing was deleted; look at it in Alma"
        )
    holdings = known(alma.holdings.list(mms_id), "The virtual title's holdings") or []
    for holding in holdings:
        if holding.call_number != marks.VIRTUAL_CALL_NUMBER:
            raise Impossible(
                f"The virtual title {mms_id} has a holding {holding.holding_id} that is not ours: nothing was "
                "deleted; move it to its own title in Alma"
            )
    items = known(alma.items.list(mms_id), "The virtual items") or []
    for item in items:
        _may_go(alma, pr_id, item)
    for item in items:
        # Alma asks before it deletes an item that is in transit or on a hold shelf; nobody is there to answer.
        removed = alma.items.withdraw(mms_id, item.holding_id, item.pid, override=True)
        gone(removed, f"The virtual item {item.pid} could not be deleted")
    for holding in holdings:
        removed = alma.holdings.delete(mms_id, holding.holding_id)
        gone(removed, f"The virtual holding {holding.holding_id} could not be deleted")
    gone(alma.bibs.delete(mms_id), f"The virtual title {mms_id} could not be deleted")
    return True


def _may_go(alma: AlmaClient, pr_id: str, item: Item) -> None:
    if is_lent(alma, item):
        raise Unsettled(f"The virtual item {item.pid} is lent: it stays until it is returned")
    rows = known(alma.requests.of_item(item.mms_id, item.holding_id, item.pid), "The virtual item's requests")
    foreign = [row.request_id for row in rows or () if f"[DCB-REQUEST:{pr_id}:" not in row.comment]
    if foreign:
        raise Impossible(
            f"Somebody else requested the virtual item {item.pid} (request {', '.join(foreign)}): cancel that in Alma, "
            "then try again"
        )
