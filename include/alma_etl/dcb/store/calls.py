"""How many of the day's calls polling has used up: over all ticks, tasks and hosts."""

from __future__ import annotations

from datetime import date

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects import postgresql, sqlite

from alma_etl.store.dcb_models import calls_table

_t = calls_table.c


def count(connection: Connection, day: date, budget: str, made: int) -> None:
    """Add calls to the day's count of a budget."""
    row = {"day": day, "budget": budget, "calls": 0}
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    connection.execute(insert(calls_table).values(row).on_conflict_do_nothing())
    connection.execute(
        update(calls_table).where(_t.day == day, _t.budget == budget).values(calls=_t.calls + made)
    )


def of_day(connection: Connection, day: date) -> dict[str, int]:
    """Calls by budget."""
    found = connection.execute(select(_t.budget, _t.calls).where(_t.day == day))
    return {row.budget: row.calls for row in found}
