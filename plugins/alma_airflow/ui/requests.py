"""The board of patron requests, `/alma/requests`, and the page of one, `/alma/requests/{pr_id}`."""

from typing import Annotated
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import HTMLResponse, Response

from alma_airflow.ui.dcb_systems import KnownSystems, remembered_systems
from alma_airflow.ui.downloads import csv_download
from alma_airflow.ui.guards import CurrentUser, can_start_runs, may_see_runs
from alma_airflow.ui.links import airflow_prefix
from alma_airflow.ui.record_urls import urls_of
from alma_airflow.ui.rendering import page
from alma_airflow.ui.start_runs import new_form_id
from alma_airflow.ui.store_reading import dcb_store, reading
from alma_etl.dcb.machine.vocabulary import Role
from alma_etl.dcb.store import LegRecord
from alma_etl.dcb.store.rows import OURS
from alma_etl.jobs.ledger_reading import RunKey
from alma_etl.views.request_story import RequestStory, request_story
from alma_etl.views.requests import board, requests, runs_about

SYNC, PLACE, CANCEL = "dcb_status_sync", "dcb_place_request", "dcb_cancel_request"
"""Whoever may start their runs may nudge, acknowledge and decide; place; cancel."""
HERE = "/requests"

RequestPath = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
"""The id of a request, as `alma_etl.dcb.conf.RequestId` has it."""
_RunId = Annotated[str, Query(pattern=r"^[A-Za-z0-9_.~:+-]{0,250}$")]

router = APIRouter(dependencies=[Depends(may_see_runs(SYNC))])


@router.get(HERE)
def show(request: Request, user: CurrentUser) -> HTMLResponse:
    """The board: what is open, counts by status, and the table."""
    return board_page(request, user)


def board_page(request: Request, user: CurrentUser, *, status: int = 200, problem: str = "") -> HTMLResponse:
    """The board. ``problem``: why what somebody wanted was not done."""
    with reading() as connection:
        view = board(connection)
        table = requests().page(connection, request.query_params)
    return page(
        request,
        user,
        "requests.html",
        here=HERE,
        status=status,
        problem=problem,
        view=view,
        table_page=table,
        ours=OURS,
        may_decide=can_start_runs(user, SYNC),
        may_place=can_start_runs(user, PLACE),
    )


@router.get(f"{HERE}.csv")
def as_csv(request: Request) -> Response:
    """The requests as CSV, filtered as the page's query string says."""
    return csv_download(requests(), request.query_params, "requests.csv")


@router.get(f"{HERE}/{{pr_id}}")
def one(
    request: Request, user: CurrentUser, pr_id: RequestPath, placing: _RunId = "", cancelling: _RunId = ""
) -> HTMLResponse:
    """A request: its sides, what is open, its timeline, and what can be done. ``placing``, ``cancelling``: the run
    that was started for it a moment ago."""
    started = RunKey(CANCEL, cancelling) if cancelling else RunKey(PLACE, placing) if placing else None
    return request_page(request, user, pr_id, started)


def request_page(
    request: Request,
    user: CurrentUser,
    pr_id: str,
    started: RunKey | None = None,
    *,
    status: int = 200,
    problem: str = "",
) -> HTMLResponse:
    """The page of a request. ``started``: a run that was started for it; ``problem``: why what somebody wanted was
    not done."""
    story = find_story(pr_id)
    if story is None:
        with reading() as connection:
            runs = runs_about(connection, pr_id)
        return page(
            request,
            user,
            "request_unknown.html",
            here=HERE,
            status=status if runs or started else 404,
            pr_id=pr_id,
            runs=runs,
            started=started,
            problem=problem,
        )
    systems = remembered_systems()
    return page(
        request,
        user,
        "request.html",
        here=HERE,
        status=status,
        story=story,
        links={each.leg.role: _link(systems, each.leg) for each in story.sides},
        started=started,
        problem=problem,
        form_id=new_form_id(),
        reasons=_reasons(systems, story),
        may_decide=can_start_runs(user, SYNC),
        may_cancel=can_start_runs(user, CANCEL),
    )


def request_address(pr_id: str, **asked: str) -> str:
    """The address of a request's page; of the board for no request."""
    query = f"?{urlencode(asked)}" if asked else ""
    below = f"/{quote(pr_id, safe='')}" if pr_id else ""
    return f"{airflow_prefix()}/alma{HERE}{below}{query}"


def find_story(pr_id: str) -> RequestStory | None:
    """A request that is tracked; six queries."""
    store = dcb_store()
    with store.together():
        tracked = store.get(pr_id)
        if tracked is None:
            return None
        history, alerts = store.history(pr_id), store.open_alerts(pr_id=pr_id)
    return request_story(tracked, history, alerts)


def _link(systems: KnownSystems, leg: LegRecord) -> str | None:
    """The book of a side in its Alma."""
    system = systems.get(leg.system_code)
    return urls_of(system.alma_conn_id).of(leg) if system else None


def _reasons(systems: KnownSystems, story: RequestStory) -> list[str]:
    """Alma's codes of reasons for a cancellation that the settings of the patron's systems name."""
    found: dict[str, None] = {}
    for side in story.sides:
        system = systems.get(side.leg.system_code)
        if system and side.leg.role is not Role.SUPPLIER:
            found |= dict.fromkeys((*system.cancel_reasons.values(), system.cancel_reason))
    return list(found)
