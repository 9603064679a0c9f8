"""One row on its way into Alma, and what its answer means."""

from datetime import date, timedelta

from alma_etl.alma import shapes, writes
from alma_etl.alma.bibs import NO_BIB
from alma_etl.alma.client import AlmaClient
from alma_etl.alma.items import Item
from alma_etl.items.ends import Sent
from alma_etl.items.existing import already_there, look_by_barcode
from alma_etl.items.fields import as_date, item_body
from alma_etl.items.groups import GroupResult
from alma_etl.items.outcomes import ItemRow, Outcome, RowResult, result
from alma_etl.remote.answers import Absent, Found, Unknown
from alma_etl.remote.errors import RemoteError
from alma_etl.remote.safe_write import Outcome as WriteOutcome

# 40166404: a field of the item has a value that Alma does not take; 401885: the PO line.
_BAD_VALUE = frozenset({"40166404", "401885"})
_CONFIRMED = "no answer came; a look confirmed it"


class Sender:
    """Sends rows. Safe to use from many threads; rows of one title must not meet."""

    def __init__(self, client: AlmaClient) -> None:
        self._client = client

    def look_for(self, row: ItemRow, group: GroupResult | None, sent: Sent) -> RowResult | None:
        """The end of a row that an earlier attempt may have sent; None when it is not in Alma, and is to be sent."""
        match self._client.items.by_barcode(row["barcode"]):
            case Found(item):
                return self._adopted(row, group, item, sent)
            case Unknown(error):
                return result(
                    row,
                    Outcome.UNCONFIRMED,
                    f"an earlier attempt may have sent it, and a look at the barcode failed: {error}",
                )
            case Absent():
                return None

    def send(self, row: ItemRow, group: GroupResult, before: Sent | None = None) -> RowResult:
        """Create the row's item. ``before``: that an earlier attempt may have sent it, whose worker may still be at
        work although a look did not find the item."""
        holding_id = group["holding_id"]
        written = writes.create_item(
            self._client, row["mms_id"], holding_id, item_body(row["barcode"], row["values"])
        )
        if written.value is not None and written.outcome is WriteOutcome.CREATED:
            return self._created(row, group, written.value)
        if written.value is not None and written.outcome is WriteOutcome.ADOPTED:
            return self._adopted(row, group, written.value, Sent(self._client.today(), frozenset()))
        if written.outcome is WriteOutcome.UNCONFIRMED:
            return result(
                row,
                Outcome.UNCONFIRMED,
                f"it was sent and no answer came, nor could the barcode be looked up: {written.error}",
                holding_id=holding_id,
            )
        if written.outcome is WriteOutcome.REFUSED and written.error is not None:
            return self._explained(row, group, written.error, before)
        return result(row, Outcome.FAILED, f"{written.error}", holding_id=holding_id)

    def rehearse(self, row: ItemRow, group: GroupResult) -> RowResult:
        """What `send` would do, without doing it."""
        match look_by_barcode(self._client, row):
            case Found(end):
                return end
            case Unknown(error):
                return result(row, Outcome.FAILED, f"the barcode could not be looked up: {error}")
            case Absent():
                return result(row, Outcome.WOULD_CREATE, group["message"], holding_id=group["holding_id"])

    @staticmethod
    def _created(row: ItemRow, group: GroupResult | None, item: Item, remark: str = "") -> RowResult:
        message = "; ".join(part for part in (group["message"] if group else "", remark) if part)
        return result(row, Outcome.CREATED, message, holding_id=item.holding_id, item_pid=item.pid)

    def _adopted(self, row: ItemRow, group: GroupResult | None, item: Item, sent: Sent) -> RowResult:
        """The end of a row whose barcode was found after its answer was lost: ours, unless it is older than that."""
        here = group is not None and item.holding_id == group["holding_id"]
        if item.mms_id != row["mms_id"] or not (here or item.holding_id in sent.holding_ids):
            return already_there(row, item)
        if _is_older(item, sent.day):
            return already_there(row, item)
        if here:
            return self._created(row, group, item, _CONFIRMED)
        # sent by an attempt whose settings gave the row another place
        there = row | {"library": item.library, "location": item.location}
        return self._created(there, None, item, _CONFIRMED)

    def _explained(
        self, row: ItemRow, group: GroupResult, refusal: RemoteError, before: Sent | None
    ) -> RowResult:
        if before is not None:
            end = self.look_for(row, group, before)
            return end or result(row, _outcome_of(refusal), f"Alma refused it: {refusal}")
        match look_by_barcode(self._client, row):
            case Found(end):
                return end
            case Unknown(error):
                return result(
                    row, Outcome.FAILED, f"Alma refused it: {refusal}; a look at the barcode failed: {error}"
                )
            case Absent():
                return result(row, _outcome_of(refusal), f"Alma refused it: {refusal}")


def _outcome_of(refusal: RemoteError) -> Outcome:
    if refusal.code in _BAD_VALUE:
        return Outcome.INVALID_CODE
    return Outcome.BIB_NOT_FOUND if refusal.code in NO_BIB else Outcome.FAILED


def _is_older(item: Item, since: date) -> bool:
    """Whether the item was there before; Alma tells the day, and its day may begin elsewhere than ours."""
    created = as_date(shapes.text(item.raw.get("item_data", {}).get("creation_date")))
    return created is not None and created < since - timedelta(days=1)
