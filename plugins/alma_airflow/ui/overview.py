"""The page `/alma/`: what ran, what runs next, what needs attention."""

from datetime import UTC, datetime

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse

from alma_airflow.ui.airflow_state import heartbeats, schedules, zone
from alma_airflow.ui.guards import CurrentUser, may_look, runs_seen
from alma_airflow.ui.rendering import page
from alma_airflow.ui.store_reading import reading
from alma_etl.views.overview import overview

router = APIRouter()


@router.get("/", dependencies=[Depends(may_look)])
def show(request: Request, user: CurrentUser) -> HTMLResponse:
    """The Overview of the jobs that the reader may see."""
    known = schedules()
    seen = runs_seen(user, (each.dag_id for each in known))
    known = [each for each in known if each.dag_id in seen]
    with reading() as connection:
        found = overview(connection, known, heartbeats(), datetime.now(UTC), zone())
    return page(request, user, "overview.html", here="/", view=found)
