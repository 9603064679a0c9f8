"""Reports for the store, from the observations of the vectors, at times an hour apart."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import inspect, text

from alma_etl.dcb.machine.model import Ack, read_seen
from alma_etl.dcb.machine.vocabulary import Role
from alma_etl.dcb.settings import DcbSettings, shipped_settings
from alma_etl.dcb.store import DcbStore, LegRecord, NewRequest, Report
from alma_etl.store.db import open_engine

START = datetime(2026, 3, 2, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)
SETTINGS: DcbSettings = shipped_settings().model_copy(update={"mode": "drive"})
VECTORS: list[dict[str, Any]] = json.loads(Path(__file__).with_name("vectors.json").read_text("utf-8"))


def new_request(pr_id: str = "PR-1") -> NewRequest:
    return NewRequest(
        pr_id,
        (
            LegRecord(
                Role.SUPPLIER,
                "LENDER",
                user_id="vp-1",
                request_id=f"{pr_id}-S",
                item_pid=f"{pr_id}-23",
                is_virtual=False,
            ),
            LegRecord(Role.BORROWER, "BORROWER", user_id="patron-1"),
        ),
        conf={"borrower": {"system": "BORROWER", "user_id": "patron-1"}, "note": "for the desk"},
    )


def report(data: dict[str, Any], at: datetime) -> Report:
    seen = read_seen({**data, "at": at.isoformat()})
    return Report(seen, "ACK" if isinstance(seen, Ack) else "POLL")


def reports_of(name: str) -> list[tuple[datetime, Report]]:
    """The observations of a vector with their times. A label seen again keeps its time, as T02 of V18 and V19."""
    vector = next(each for each in VECTORS if each["name"].startswith(name))
    out = []
    for number, data in enumerate(vector["observations"], 1):
        label = data.get("at")
        at = START + HOUR * (int(label[1:3]) if label else 0) + timedelta(minutes=number)
        if label and not label.endswith("a"):
            at = START + HOUR * int(label[1:3])
        elif label:
            at = START + HOUR * int(label[1:3]) + timedelta(minutes=1)
        else:
            at = (out[-1][0] if out else START) + timedelta(minutes=2)
        out.append((at, report(data, at)))
    return out


def seen(
    role: str, at: datetime, request: str | None = None, item: str | None = None, loan: str | None = None
) -> Report:
    """A short observation; `gone` and `?` as in the stories."""
    from tests.unit.dcb.story import item as item_part
    from tests.unit.dcb.story import loan as loan_part
    from tests.unit.dcb.story import request as request_part

    return report({"role": role, **request_part(request), **item_part(item), **loan_part(loan)}, at)


def dump(url: str, *, leave_out: Sequence[str] = ()) -> dict[str, list[dict[str, Any]]]:
    """Every row of every DCB table."""
    engine = open_engine(url)
    found = {}
    with engine.begin() as connection:
        for table in inspect(connection).get_table_names():
            if table.startswith("dcb_"):
                rows = connection.execute(text(f"SELECT * FROM {table}")).mappings().all()
                kept = [{name: value for name, value in row.items() if name not in leave_out} for row in rows]
                found[table] = sorted(kept, key=lambda row: json.dumps(row, default=str, sort_keys=True))
    engine.dispose()
    return found


def play(store: DcbStore, name: str, pr_id: str = "PR-1") -> None:
    """Track a request and report a vector's observations to it, each in a step."""
    store.add(new_request(pr_id), START)
    for at, each in reports_of(name):
        store.apply(pr_id, [each], settings=SETTINGS, now=at + timedelta(seconds=5), run_id="run-1")
