"""Pages under ``/alma/`` in the Airflow UI, behind Airflow's own login; and the listener for Alma's webhooks."""

import logging
import re

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException as StarletteHTTPException

from alma_airflow.hooks.store import open_bucket
from alma_airflow.ui.gate import Gate
from alma_airflow.ui.run_page import failed_tasks, run_page
from alma_airflow.ui.webhooks import router as webhooks

_log = logging.getLogger(__name__)
# Airflow's own rule for ids of DAGs and runs; with it no id can step out of its folder in the bucket.
_ID = re.compile(r"[A-Za-z0-9_.~:+-]{1,250}")

app = FastAPI(title="Alma Airflow", docs_url=None, redoc_url=None, openapi_url=None)
app.add_middleware(Gate)
app.include_router(webhooks)


@app.exception_handler(StarletteHTTPException)
async def refused(_: Request, error: StarletteHTTPException) -> Response:
    """Words instead of JSON: people read this."""
    return PlainTextResponse(f"{error.detail}\n", error.status_code, headers=error.headers)


@app.exception_handler(RequestValidationError)
async def unusable(_: Request, error: RequestValidationError) -> Response:
    """A path that cannot be is no page; anything else is the caller's mistake."""
    in_path = any(each["loc"][0] == "path" for each in error.errors())
    return PlainTextResponse("Not Found\n" if in_path else "Unprocessable\n", 404 if in_path else 422)


def possible_ids(request: Request) -> None:
    """No look at anything for ids that cannot be: neither Airflow's database nor a bucket takes every character."""
    for name in ("dag_id", "run_id"):
        found = request.path_params[name]
        if not _ID.fullmatch(found) or ".." in found or found == ".":
            raise HTTPException(404)


@app.get(
    "/report/{dag_id}/{run_id}",
    dependencies=[Depends(possible_ids), Depends(requires_access_dag("GET", DagAccessEntity.RUN))],
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
