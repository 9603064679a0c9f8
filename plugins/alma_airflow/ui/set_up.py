"""The page `/alma/set-up`: health of the connections, what the checks found, and a button that runs each now."""

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from alma_airflow.hooks.store import bucket_name
from alma_airflow.ui.airflow_state import connections_of, is_under_way, pool_slots, schedules
from alma_airflow.ui.forms import PostedForm
from alma_airflow.ui.guards import CurrentUser, can_start_runs, may_look, may_start_runs, runs_seen
from alma_airflow.ui.ids import possible_ids
from alma_airflow.ui.links import airflow_prefix
from alma_airflow.ui.rendering import page
from alma_airflow.ui.start_runs import start_run
from alma_airflow.ui.store_reading import reading
from alma_etl.errors import InputProblem
from alma_etl.views.set_up import set_up_page
from alma_etl.views.words import CHECKS

router = APIRouter()


@router.get("/set-up", dependencies=[Depends(may_look)])
def show(request: Request, user: CurrentUser) -> HTMLResponse:
    """What the last checks found; nothing is asked of an Alma."""
    return _page(request, user)


def _page(request: Request, user: CurrentUser, *, status: int = 200, problem: str = "") -> HTMLResponse:
    known = {each.dag_id: each for each in schedules() if each.dag_id in CHECKS}
    seen = runs_seen(user, known)
    pool = pool_slots("alma_api")
    with reading() as connection:
        found = set_up_page(connection, seen, connections_of("alma", "aleph"), pool)
    started = request.query_params.get("started", "")
    return page(
        request,
        user,
        "set_up.html",
        here="/set-up",
        status=status,
        problem=problem,
        view=found,
        schedules=known,
        may_start={each for each in seen if can_start_runs(user, each)},
        started=started if started in seen else "",
        bucket=bucket_name(),
    )


@router.post("/set-up/{dag_id}", dependencies=[Depends(possible_ids), Depends(may_start_runs())])
def check_now(request: Request, dag_id: str, user: CurrentUser, form: PostedForm) -> Response:
    """Start a check, unless one waits or runs already."""
    if dag_id not in CHECKS:
        raise HTTPException(404, "There is no such check.")
    try:
        if not is_under_way(dag_id):
            start_run(user, dag_id, {})
    except InputProblem as problem:
        return _page(request, user, status=409, problem=f"{problem}.")
    return RedirectResponse(f"{airflow_prefix()}/alma/set-up?started={dag_id}", 303)
