"""The deliveries for the archive: each with its counts, what changed against the last, why records stayed out, its
files and whether the copy by SFTP was sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, literal, select

from alma_etl.jobs.ledger_reading import Artefact, JobRun
from alma_etl.store.ledger_models import record_table, run_table
from alma_etl.views.listing import Choice, Column, Filter, Listing, contains, equals
from alma_etl.west.explained import MEANING_OF_CODE, WARNINGS
from alma_etl.west.outcomes import Outcome

JOB = "west_holdings"
_COMBINATIONS = 1_000  # of an outcome and its reasons, the most frequent ones
_SHOWN = 60
_STATES = ("running", "waiting", "done", "failed")


@dataclass(frozen=True)
class DeliverySymbol:
    """A symbol's part of a delivery. `added` and `dropped` compare it with the delivery `compared_with`, and are None
    where there was none. `sftp`: sent, not sent, or "" where no such copy is made."""

    symbol: str
    records: int
    added: int | None
    dropped: int | None
    compared_with: str
    sftp: str
    files: Sequence[Artefact]


@dataclass(frozen=True)
class DeliveryReason:
    """How many records of an outcome have a reason. `code`: the reason is one that records can be filtered by."""

    outcome: str
    reason: str
    meaning: str
    warning: bool
    code: bool
    count: int


def deliveries() -> Listing:
    """The runs that deliver, the newest first."""
    table = run_table.c
    return Listing(
        query=select(run_table).where(table.job == JOB, table.dag_id == JOB),
        columns=(
            Column("started_at", "Delivery", table.started_at, "time"),
            Column("state", "State", kind="state"),
            Column("dry_run", "Dry run", cell=lambda row: "yes" if row.dry_run else ""),
            Column("subject", "Set, export or report", table.subject, "code"),
            Column("headline", "What it came to"),
            Column("counts", "Records by outcome", cell=_counts),
            Column("symbols", "Files by symbol", cell=_symbols),
        ),
        key=(table.run_id,),
        sort="-started_at",
        filters=(
            Filter(
                "kind",
                "Kind",
                lambda kind: table.dry_run.is_(kind == "dry"),
                [Choice("real", "delivered"), Choice("dry", "dry runs")],
            ),
            Filter(
                "state",
                "State",
                equals(table.state),
                [Choice(each, each) for each in ("done", "failed", "running", "waiting")],
            ),
            Filter("search", "Search", contains(table.headline, codes=(table.subject, table.run_id))),
        ),
        size=20,
    )


def symbols_of(
    measures: Mapping[str, Any], artefacts: Sequence[Artefact], *, sftp: bool
) -> list[DeliverySymbol]:
    """A delivery by symbol. `sftp`: whether a copy is to be sent by SFTP."""
    found = measures.get("symbols")
    named = found.items() if isinstance(found, Mapping) else ()
    return [
        DeliverySymbol(
            symbol=str(symbol),
            records=each.get("records") or 0,
            added=each.get("added"),
            dropped=each.get("dropped"),
            compared_with=each.get("compared_with") or "",
            sftp="sent" if each.get("sftp") else "not sent" if sftp else "",
            files=[file for file in artefacts if file["name"].startswith(f"{symbol}.")],
        )
        for symbol, each in sorted(named)
    ]


def reasons_of(connection: Connection, run: JobRun) -> list[DeliveryReason]:
    """Why records of a delivery stayed out, and what is only warned of; the most frequent first. One query."""
    table = record_table.c
    number = func.count()
    rows = connection.execute(
        select(table.outcome, table.reasons, number)
        .where(table.dag_id == run.dag_id, table.run_id == run.run_id, table.reasons != "")
        .group_by(table.outcome, table.reasons)
        .order_by(number.desc(), table.outcome, table.reasons)
        .limit(_COMBINATIONS)
    )
    counts: Counter[tuple[str, str]] = Counter()
    for outcome, reasons, count in rows:
        for reason in filter(None, reasons.split(";")):
            counts[outcome, reason] += count
    found = [
        DeliveryReason(
            outcome,
            reason,
            MEANING_OF_CODE.get(reason, ""),
            outcome == Outcome.DELIVERED or reason in WARNINGS,
            reason in MEANING_OF_CODE,
            count,
        )
        for (outcome, reason), count in counts.items()
    ]
    return sorted(found, key=lambda each: (each.warning, -each.count, each.outcome, each.reason))[:_SHOWN]


def by_reason() -> Filter:
    """The filter of records by one of their reasons."""
    return Filter("reason", "Reason", _has_reason, [Choice(code, code) for code in MEANING_OF_CODE])


def _has_reason(code: str) -> ColumnElement[bool]:
    return (literal(";") + record_table.c.reasons + ";").contains(f";{code};", autoescape=True)


def _counts(row: Row[Any]) -> str:
    return ", ".join(f"{number} {word}" for word, number in row.counts.items() if number)


def _symbols(row: Row[Any]) -> str:
    parts = symbols_of(row.measures, (), sftp=False)
    return ", ".join(
        f"{each.symbol} {each.records}" + ("" if each.added is None else f" (+{each.added} -{each.dropped})")
        for each in parts
    )
