"""The page `/alma/budget`: calls to each Alma, how many are left today, and what waits for them."""

from collections.abc import Iterable
from datetime import UTC, datetime

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse

from alma_airflow.hooks.alma import alma_settings, budget_name
from alma_airflow.hooks.store import LIMITER_CONN_ID, redis_url
from alma_airflow.ui.airflow_state import connections_of, schedules, waiting_tasks
from alma_airflow.ui.connections import remembered_connection
from alma_airflow.ui.guards import CurrentUser, may_look, runs_seen
from alma_airflow.ui.record_urls import DEFAULT
from alma_airflow.ui.rendering import page
from alma_airflow.ui.store_reading import reading
from alma_etl.errors import InputProblem
from alma_etl.remote.limiter import LimiterUnavailable
from alma_etl.remote.limiter_budget import BudgetState
from alma_etl.views.budget import AlmaBudget, calls_page

router = APIRouter()


@router.get("/budget", dependencies=[Depends(may_look)])
def show(request: Request, user: CurrentUser) -> HTMLResponse:
    """The calls of today and of the last 24 hours."""
    seen = runs_seen(user, (each.dag_id for each in schedules()))
    budgets, problems = _budgets(sorted(connections_of("alma") | {DEFAULT}))
    states = _in_redis(budgets, problems)
    with reading() as connection:
        found = calls_page(connection, budgets, states, waiting_tasks(), seen, datetime.now(UTC))
    return page(request, user, "budget.html", here="/budget", view=found, problems=problems)


def _budgets(conn_ids: Iterable[str]) -> tuple[list[AlmaBudget], dict[str, str]]:
    """The budgets of these connections, and what is wrong with those that cannot be used."""
    found, problems = [], {}
    for conn_id in conn_ids:
        connection = remembered_connection(conn_id)
        if connection is None or connection.conn_type != "alma":
            continue
        try:
            settings = alma_settings(connection)
            budget = budget_name(connection)
        except InputProblem as problem:
            problems[conn_id] = str(problem)
            continue
        found.append(
            AlmaBudget(
                conn_id,
                budget,
                settings.requests_per_second,
                settings.quota_floor,
                settings.quota_floor_writes,
            )
        )
    return found, problems


def _in_redis(budgets: Iterable[AlmaBudget], problems: dict[str, str]) -> dict[str, BudgetState] | None:
    """The budgets as Redis or Valkey keeps them, as far as it answers; None where the state store keeps them."""
    if remembered_connection(LIMITER_CONN_ID) is None:
        return None
    from alma_etl.store.limiter_redis import RedisBudget

    found = {}
    url = str(redis_url())
    for each in budgets:
        budget = RedisBudget(url, each.budget)
        try:
            found[each.budget] = budget.look()
        except LimiterUnavailable as problem:
            problems[LIMITER_CONN_ID] = str(problem)
            break
        finally:
            budget.close()
    return found
