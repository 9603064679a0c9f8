"""One row on its way into Alma, and what its answer means."""

from datetime import date, timedelta

from alma_etl.alma import shapes, writes
from alma_etl.alma.answers import Absent, Found, Unknown
from alma_etl.alma.bibs import NO_BIB
from alma_etl.alma.client import AlmaClient
from alma_etl.alma.errors import AlmaError
from alma_etl.alma.items import Item
from alma_etl.alma.safe_write import Outcome as WriteOutcome
from alma_etl.items.existing import already_there, look_by_barcode
from alma_etl.items.fields import as_date, item_body
from alma_etl.items.groups import GroupResult
from alma_etl.items.outcomes import ItemRow, Outcome, RowResult, result

# 40166404: a field of the item has a value that Alma does not take; 401885: the PO line.
_BAD_VALUE = frozenset({"40166404", "401885"})
_CONFIRMED = "no answer came; a look confirmed it"


class Sender:
    """Sends rows. Safe to use from many threads; rows of one title must not meet."""

    def __init__(self, client: AlmaClient) -> None:
        self._client = client

    def send(self, row: ItemRow, group: GroupResult, announced: date | None) -> RowResult:
        """Create the row's item. `announced`: the day on which an earlier attempt was about to send it."""
        if announced is not None:
            match self._client.items.by_barcode(row["barcode"]):
                case Found(item):
                    return self._adopted(row, group, item, announced)
                case Unknown(error):
                    return result(
                        row,
                        Outcome.UNCONFIRMED,
                        f"an earlier attempt may have sent it, and a look at the barcode failed: {error}",
                    )
        holding_id = group["holding_id"]
        written = writes.create_item(
            self._client, row["mms_id"], holding_id, item_body(row["barcode"], row["values"])
        )
        if written.value is not None and written.outcome is WriteOutcome.CREATED:
            return self._created(row, group, written.value)
        if written.value is not None and written.outcome is WriteOutcome.ADOPTED:
            return self._adopted(row, group, written.value, self._client.today())
        if written.outcome is WriteOutcome.UNCONFIRMED:
            return result(
                row,
                Outcome.UNCONFIRMED,
                f"it was sent and no answer came, nor could the barcode be looked up: {written.error}",
                holding_id=holding_id,
            )
        if written.outcome is WriteOutcome.REFUSED and written.error is not None:
            return self._explained(row, written.error)
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
    def _created(row: ItemRow, group: GroupResult, item: Item, remark: str = "") -> RowResult:
        message = "; ".join(part for part in (group["message"], remark) if part)
        return result(row, Outcome.CREATED, message, holding_id=item.holding_id, item_pid=item.pid)

    def _adopted(self, row: ItemRow, group: GroupResult, item: Item, since: date) -> RowResult:
        """The end of a row whose barcode was found after its answer was lost: ours, unless it is older than that."""
        ours = (item.mms_id, item.holding_id) == (row["mms_id"], group["holding_id"])
        if not ours or _is_older(item, since):
            return already_there(row, item)
        return self._created(row, group, item, _CONFIRMED)

    def _explained(self, row: ItemRow, refusal: AlmaError) -> RowResult:
        match look_by_barcode(self._client, row):
            case Found(end):
                return end
            case Unknown(error):
                return result(
                    row, Outcome.FAILED, f"Alma refused it: {refusal}; a look at the barcode failed: {error}"
                )
            case Absent():
                return result(row, _outcome_of(refusal), f"Alma refused it: {refusal}")


def _outcome_of(refusal: AlmaError) -> Outcome:
    if refusal.code in _BAD_VALUE:
        return Outcome.INVALID_CODE
    return Outcome.BIB_NOT_FOUND if refusal.code in NO_BIB else Outcome.FAILED


def _is_older(item: Item, since: date) -> bool:
    """Whether the item was there before; Alma tells the day, and its day may begin elsewhere than ours."""
    created = as_date(shapes.text(item.raw.get("item_data", {}).get("creation_date")))
    return created is not None and created < since - timedelta(days=1)
