"""Pages under ``/alma/`` in the Airflow UI, behind Airflow's own login; and the listener for Alma's webhooks."""

import logging

from airflow.api_fastapi.core_api.security import bearer_scheme, get_user
from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException as StarletteHTTPException

from alma_airflow.hooks.store import open_bucket
from alma_airflow.ui import (
    budget,
    correcting,
    deliveries,
    files,
    overview,
    placing,
    request_actions,
    requests,
    runs,
    set_up,
    static_files,
    waiting,
)
from alma_airflow.ui.gate import Gate
from alma_airflow.ui.guards import may_see_runs
from alma_airflow.ui.ids import possible_ids
from alma_airflow.ui.rendering import page
from alma_airflow.ui.run_page import failed_tasks, run_page
from alma_airflow.ui.webhooks import router as webhooks
from alma_etl.errors import InputProblem
from alma_etl.store.db import StoreRefused, StoreUnavailable

_log = logging.getLogger(__name__)
app = FastAPI(title="Alma Airflow", docs_url=None, redoc_url=None, openapi_url=None)
app.add_middleware(Gate)
for _router in (
    webhooks,
    overview.router,
    deliveries.router,
    placing.router,
    request_actions.router,
    requests.router,
    files.router,
    correcting.router,
    waiting.router,
    budget.router,
    set_up.router,
    runs.router,
    static_files.router,
):
    app.include_router(_router)


@app.exception_handler(StarletteHTTPException)
async def refused(_: Request, error: StarletteHTTPException) -> Response:
    """Words instead of JSON: people read this."""
    return PlainTextResponse(f"{error.detail}\n", error.status_code, headers=error.headers)


@app.exception_handler(RequestValidationError)
async def unusable(_: Request, error: RequestValidationError) -> Response:
    """A path that cannot be is no page; anything else is the caller's mistake."""
    in_path = any(each["loc"][0] == "path" for each in error.errors())
    return PlainTextResponse("Not Found\n" if in_path else "Unprocessable\n", 404 if in_path else 422)


@app.exception_handler(StoreUnavailable)
@app.exception_handler(StoreRefused)
@app.exception_handler(InputProblem)
async def not_now(request: Request, error: Exception) -> Response:
    """The state store, the bucket or the settings cannot be used: the sentence that says so."""
    _log.warning("%s cannot be shown: %s", request.url.path[:200], error)
    user = await get_user(request, None, await bearer_scheme(request))
    return page(request, user, "problem.html", here="", status=503, sentence=str(error))


@app.get(
    "/report/{dag_id}/{run_id}",
    dependencies=[Depends(possible_ids), Depends(may_see_runs())],
)
def report(dag_id: str, run_id: str) -> Response:
    """The page of a run: why its tasks failed, and the report that it wrote; for those who may see the DAG's runs."""
    failed = failed_tasks(dag_id, run_id)
    try:
        written, remark = open_bucket().find(f"runs/{dag_id}/{run_id}/report.html"), ""
    except Exception:
        if not failed:
            raise
        _log.exception("The report of %s %s cannot be read", dag_id, run_id)
        written, remark = None, "The run's report cannot be read now."
    if written is None and not failed:
        return PlainTextResponse(
            "This run has no report yet: the task that writes it has not run.\n", status_code=404
        )
    # A report shows titles and messages from outside: it needs its own styles and nothing else.
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return HTMLResponse(
        run_page(dag_id, run_id, failed, written, remark), headers={"Content-Security-Policy": policy}
    )
