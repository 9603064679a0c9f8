"""Requests to be adopted, and looks at them."""

from datetime import timedelta
from typing import Any

from alma_etl.dcb.flows.adopt.request import AdoptedRequest, adopt, read_adopted
from alma_etl.dcb.settings import DcbSettings
from alma_etl.dcb.store import DcbStore, Report, Tracked
from tests.unit.dcb.records import HOUR, SETTINGS, START, seen

PR_ID = "0b6f1c1e-7b1f-4f53-9d2f-3f1a5f6f0c11"
SUPPLIER = {
    "system": "LENDER",
    "user_id": "vp-1",
    "request_id": "4401",
    "mms_id": "991",
    "holding_id": None,
    "item_pid": "231",
    "barcode": "310",
}
BORROWER = {
    "system": "BORROWER",
    "user_id": "patron-1",
    "request_id": "4402",
    "mms_id": "992",
    "holding_id": "222",
    "item_pid": "232",
}
OBSERVE: DcbSettings = SETTINGS.model_copy(update={"mode": "observe"})


def reported(status: str = "LOANED", pr_id: str = PR_ID, **changes: Any) -> AdoptedRequest:
    """A request as dcb-service reports it; `supplier` and `borrower` change single ids."""
    data: dict[str, Any] = {
        "pr_id": pr_id,
        "workflow": "RET-STD",
        "told": {"status": status, "since": (START - 5 * HOUR).isoformat(), "by": "dcb_service"},
        "owner": "dcb_service",
        "supplier": SUPPLIER | changes.pop("supplier", {}),
        "borrower": BORROWER | (changes.pop("borrower", None) or {}),
        "pickup": None,
    }
    return read_adopted(data | changes)


class Watched:
    """One adopted request in a store; each `look` is an hour after the last."""

    def __init__(self, store: DcbStore, status: str = "LOANED", settings: DcbSettings = SETTINGS) -> None:
        self.store = store
        self.settings = settings
        self.now = START
        self.first = adopt(store, reported(status), settings=settings, now=START)

    def look(self, *reports: Report) -> "Watched":
        for each in reports:
            self.now = max(self.now, _time(each) + timedelta(seconds=5))
        self.store.apply(PR_ID, reports, settings=self.settings, now=self.now)
        return self

    def see(self, *sides: tuple[str, str | None, str | None, str | None]) -> "Watched":
        """One cycle: of each side role, hold, item, loan."""
        at = self.now + HOUR
        return self.look(*(seen(role, at, hold, item, loan) for role, hold, item, loan in sides))

    @property
    def tracked(self) -> Tracked:
        found = self.store.get(PR_ID)
        assert found is not None
        return found

    @property
    def path(self) -> list[str]:
        return [each.to for each in self.store.history(PR_ID).transitions]


def _time(report: Report) -> Any:
    assert report.seen.at is not None
    return report.seen.at.time
