"""The board of patron requests: how many stand where, what needs somebody, and the table of all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Integer, Row, String, case, func, or_, select

from alma_etl.dcb.advice import STUCK
from alma_etl.dcb.machine.vocabulary import TERMINAL, Role, Status
from alma_etl.dcb.store.rows import OURS, Alert, do_about
from alma_etl.jobs.ledger_reading import JobRun, job_run
from alma_etl.store.dcb_models import alert_table, leg_table, request_table
from alma_etl.store.ledger_models import run_table
from alma_etl.views.listing import Choice, Column, Filter, Listing, contains, equals
from alma_etl.views.words import Tone, request_status

_SHOWN = 20  # alerts, or runs
_JOBS = ("dcb_place_request", "dcb_cancel_request")
_DETAIL = ("subject", "do", "left")  # said otherwise, or for programs
_r, _l, _a = request_table.c, leg_table.c, alert_table.c
_OPEN = _a.closed_at.is_(None)
_WEIGHT = case(
    (_a.acked_by.is_not(None), 1),
    (_a.severity == "urgent", 5),
    (_a.code.startswith(STUCK, autoescape=True), 4),
    (_a.severity == "warning", 3),
    else_=2,
)
"""How soon somebody should look at an alert; one at which somebody is comes last."""


@dataclass(frozen=True)
class AlertRow:
    """An open alert as pages show it, with what to do about it."""

    key: str
    code: str
    pr_id: str | None
    tone: Tone
    since: datetime | None
    detail: str
    what_to_do: str
    acked_by: str


@dataclass(frozen=True)
class StatusCount:
    """How many requests are in a status, and of how many something needs somebody."""

    status: str
    requests: int
    attention: int


@dataclass(frozen=True)
class Board:
    """Above the table: counts by status in the order of a request's way, and what is open, the most urgent first.

    ``alerts`` counts all open ones, of which `first` are shown.
    """

    counts: list[StatusCount]
    first: list[AlertRow]
    alerts: int


def board(connection: Connection) -> Board:
    """The board; two queries."""
    attention = func.sum(case((_r.needs_attention, 1), else_=0))
    counted = {
        str(row.status): StatusCount(row.status, row.requests, row.attention)
        for row in connection.execute(
            select(_r.status, func.count().label("requests"), attention.label("attention")).group_by(
                _r.status
            )
        )
    }
    found = connection.execute(
        select(alert_table, func.count().over().label("total"))
        .where(_OPEN)
        .order_by(_WEIGHT.desc(), _a.first_seen, _a.alert_key)
        .limit(_SHOWN)
    ).all()
    return Board(
        counts=[counted[each] for each in Status if each in counted],
        first=[alert_row(_alert(row)) for row in found],
        alerts=found[0].total if found else 0,
    )


def _alert(row: Row[Any]) -> Alert:
    return Alert(
        key=row.alert_key,
        code=row.code,
        severity=row.severity,
        pr_id=row.pr_id,
        detail=row.detail,
        first_seen=row.first_seen,
        acked_by=row.acked_by,
    )


def alert_row(alert: Alert, hidden: Iterable[str] = ()) -> AlertRow:
    """An alert for a page, without the ``hidden`` words: ids of users."""
    tone: Tone = "bad" if alert.severity == "urgent" else "wait"
    return AlertRow(
        key=alert.key,
        code=alert.code,
        pr_id=alert.pr_id,
        tone="plain" if alert.acked_by or alert.severity == "info" else tone,
        since=alert.first_seen,
        detail=without(_detail(alert.detail), hidden),
        what_to_do=without(do_about(alert), hidden),
        acked_by=alert.acked_by or "",
    )


def _detail(detail: Mapping[str, Any]) -> str:
    named = {name: value for name, value in detail.items() if name not in _DETAIL and value}
    return "; ".join(f"{name}: {value}" for name, value in named.items())


def without(text: str, hidden: Iterable[str]) -> str:
    """A text in which ids of users, which error messages may quote, are left out."""
    for each in sorted(filter(None, hidden), key=len, reverse=True):
        text = text.replace(each, "(user)")
    return text


def runs_about(connection: Connection, pr_id: str) -> list[JobRun]:
    """The runs that placed or cancelled a request, the newest first; one query."""
    table = run_table.c
    found = connection.execute(
        select(run_table)
        .where(table.subject == pr_id, table.job.in_(_JOBS))
        .order_by(table.started_at.desc())
        .limit(_SHOWN)
    )
    return [job_run(row) for row in found]


# --- the table


def requests() -> Listing:
    """All patron requests, those that need somebody first, then by their last change."""
    open_alerts = (
        select(_a.pr_id, func.max(_WEIGHT).label("weight"), func.count().label("alerts"))
        .where(_OPEN, _a.pr_id.is_not(None))
        .group_by(_a.pr_id)
        .subquery()
    )
    weight = func.coalesce(open_alerts.c.weight, case((_r.needs_attention, 2), else_=0), type_=Integer)
    title = func.coalesce(
        _r.conf["title"].as_string(), _r.conf[("bib", "title")].as_string(), "", type_=String
    )
    return Listing(
        query=select(
            request_table,
            title.label("title"),
            weight.label("weight"),
            func.coalesce(open_alerts.c.alerts, 0, type_=Integer).label("alerts"),
            _side(Role.SUPPLIER, _l.system_code).label("lender"),
            _side(Role.SUPPLIER, _l.barcode).label("barcode"),
            _side(Role.BORROWER, _l.system_code).label("borrower"),
        ).join(open_alerts, open_alerts.c.pr_id == _r.pr_id, isouter=True),
        columns=(
            Column("title", "Title and request", title),
            Column("pr_id", "Request", _r.pr_id, shown=False),
            Column("status", "Status", _r.status, "state"),
            Column("meaning", "Meaning", cell=lambda row: request_status(row.status).meaning, shown=False),
            Column("alerts", "Open alerts", weight, "number"),
            Column("status_since", "Since", _r.status_since, "time"),
            Column("barcode", "Barcode", kind="code"),
            Column("lender", "From and to"),
            Column("borrower", "To", shown=False),
            Column("workflow", "Workflow", _r.workflow),
            Column("owner", "Run by", _r.owner, shown=False),
            Column("updated_at", "Last change", _r.updated_at, "time"),
        ),
        key=(_r.updated_at, _r.pr_id),
        sort="-alerts",
        filters=(
            Filter(
                "status",
                "Status",
                equals(_r.status),
                [Choice(each, f"{each}: {request_status(each).meaning}") for each in Status],
            ),
            Filter(
                "needs",
                "Shown",
                lambda word: _shown(word, weight),
                [
                    Choice("alerts", "with open alerts"),
                    Choice("stuck", "stuck where they are"),
                    Choice("running", "not ended"),
                    Choice("watched", "run by others"),
                ],
            ),
            Filter("search", "Title, barcode or id", _search(title)),
        ),
    )


def _side(role: Role, column: ColumnElement[Any]) -> Any:
    """A value of the present side of a request: that of the latest generation."""
    return (
        select(column)
        .where(_l.pr_id == _r.pr_id, _l.role == role)
        .order_by(_l.generation.desc())
        .limit(1)
        .scalar_subquery()
    )


def _shown(word: str, weight: ColumnElement[int]) -> ColumnElement[bool]:
    if word == "stuck":
        stuck = select(_a.pr_id).where(_OPEN, _a.code.startswith(STUCK, autoescape=True))
        return _r.pr_id.in_(stuck.where(_a.pr_id.is_not(None)))
    if word == "running":
        return _r.status.not_in(TERMINAL)
    if word == "watched":
        return _r.owner != OURS
    return weight > 0


def _search(title: ColumnElement[str]) -> Any:
    in_request = contains(title, codes=[_r.pr_id])
    in_side = contains(codes=[_l.barcode, _l.request_id, _l.item_pid, _l.mms_id, _l.txn_id])
    return lambda words: or_(in_request(words), _r.pr_id.in_(select(_l.pr_id).where(in_side(words))))
