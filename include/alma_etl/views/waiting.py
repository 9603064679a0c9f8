"""The titles that wait for their full record, with their orders."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement

from alma_etl.inventory.waiting_titles import all_waiting
from alma_etl.views.listing import Choice, Column, Filter, Listing, contains

_DAYS = (7, 30, 90, 180)


def waiting_titles(now: datetime) -> Listing:
    """The titles that wait, those that wait longest first. ``now``: from when their age is counted."""
    query = all_waiting()
    table = query.selected_columns

    def older(days: str) -> ColumnElement[bool]:
        return table.since < now - timedelta(days=int(days))

    def received(answer: str) -> ColumnElement[bool]:
        return table.received_at.is_not(None) if answer == "yes" else table.received_at.is_(None)

    codes = (table.mms_id, table.po_line)
    return Listing(
        query=query,
        columns=(
            Column("since", "Waits since", table.since, "time"),
            Column("title", "Title", table.title),
            Column("mms_id", "MMS id", table.mms_id, "code"),
            Column("key", "Number", table.key, "code"),
            Column("vendor", "Vendor", kind="code"),
            Column("reference", "Order reference", kind="code"),
            Column("po_line", "PO line", kind="code"),
            Column("received_at", "Received", kind="time"),
            Column("run_id", "Made by", shown=False),
            Column("alma", "Alma", shown=False),
        ),
        key=(table.alma, table.mms_id),
        sort="since",
        filters=(
            Filter(
                "older", "Waits for", older, [Choice(str(days), f"more than {days} days") for days in _DAYS]
            ),
            Filter("received", "Received", received, [Choice("yes", "yes"), Choice("no", "not yet")]),
            Filter(
                "search",
                "Title, number, MMS id, reference or PO line",
                contains(table.title, table.key, table.reference, codes=codes),
            ),
        ),
    )
