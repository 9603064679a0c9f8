"""The page `/alma/files/waiting`: the titles that wait for their full record, and the button that takes one off."""

from contextlib import closing
from datetime import UTC, datetime

from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from alma_airflow.hooks.store import store_url
from alma_airflow.ui.downloads import csv_download
from alma_airflow.ui.forms import PostedForm, field
from alma_airflow.ui.guards import CurrentUser, can_start_runs, may_see_runs, may_start_runs
from alma_airflow.ui.links import airflow_prefix
from alma_airflow.ui.record_urls import record_urls
from alma_airflow.ui.rendering import page
from alma_airflow.ui.store_reading import reading
from alma_etl.inventory.waiting_titles import SqlWaitingTitles
from alma_etl.views.file_jobs import FILE_JOBS
from alma_etl.views.listing import Listing
from alma_etl.views.waiting import waiting_titles

DAG_ID = FILE_JOBS["bibs"].area.dag_id
_GONE = "This title is not on the list any more."

router = APIRouter()


@router.get("/files/waiting", dependencies=[Depends(may_see_runs(DAG_ID))])
def show(request: Request, user: CurrentUser) -> HTMLResponse:
    """The titles that wait."""
    return _page(request, user)


@router.get("/files/waiting.csv", dependencies=[Depends(may_see_runs(DAG_ID))])
def as_csv(request: Request) -> Response:
    """The titles that wait as CSV, filtered as the page's query string says."""
    return csv_download(_listing(), request.query_params, "waiting-titles.csv")


@router.post("/files/waiting/remove", dependencies=[Depends(may_start_runs(DAG_ID))])
def remove(request: Request, user: CurrentUser, form: PostedForm) -> Response:
    """Somebody takes a title off the list, such as one that was deleted in Alma."""
    alma, mms_id = (field(form, name) for name in ("alma", "mms_id"))
    if "\0" in alma + mms_id or not (alma + mms_id).isprintable():
        return _page(request, user, status=409, problem=_GONE)
    with closing(SqlWaitingTitles(store_url(), alma)) as titles:
        found = titles.settle([mms_id], "removed", user.get_name())
    if not found:
        return _page(request, user, status=409, problem=_GONE)
    return RedirectResponse(f"{airflow_prefix()}/alma/files/waiting", 303)


def _page(request: Request, user: BaseUser, *, status: int = 200, problem: str = "") -> HTMLResponse:
    with reading() as connection:
        table = _listing().page(connection, request.query_params)
    return page(
        request,
        user,
        "waiting.html",
        here="/files",
        status=status,
        table_page=table,
        may_act=can_start_runs(user, DAG_ID),
        problem=problem,
        url_of=record_urls().of_title,
    )


def _listing() -> Listing:
    return waiting_titles(datetime.now(UTC))
