"""Orders for tests: complete enough to leave review."""

from datetime import date
from typing import Any

from alma_etl.alma.acq_writes import create_po_line
from alma_etl.alma.client import AlmaClient
from alma_etl.alma.items import Item
from alma_etl.remote.answers import Found

AT: dict[str, Any] = {
    "department": "AcqDeptMAIN",
    "department_library": "MAIN",
    "received": date(2026, 5, 1),
}


def order(mms_id: str, **more: Any) -> dict[str, Any]:
    """An order of one book."""
    money = {"sum": "27.95", "currency": {"value": "USD"}}
    return {
        "owner": {"value": "MAIN"},
        "type": {"value": "PRINTED_BOOK_OT"},
        "acquisition_method": {"value": "VENDOR_SYSTEM"},
        "vendor": {"value": "GOBI"},
        "vendor_account": "GOBI-1",
        "price": money,
        "fund_distribution": [{"fund_code": {"value": "HIST"}, "amount": money}],
        "vendor_reference_number": "90000000001",
        "additional_order_reference": "A-1",
        "resource_metadata": {"mms_id": {"value": mms_id}},
        "location": [{"quantity": 1, "library": {"value": "MAIN"}, "shelving_location": "stacks"}],
        **more,
    }


def ordered_item(client: AlmaClient, mms_id: str) -> tuple[str, Item]:
    """A PO line that was created, by its number, and its item."""
    line = create_po_line(client, order(mms_id)).value
    assert line is not None
    listed = client.po_lines.items(line.number)
    assert isinstance(listed, Found)
    place = listed.value[0].place
    assert place is not None
    found = client.items.read(*place)
    assert isinstance(found, Found)
    return line.number, found.value
