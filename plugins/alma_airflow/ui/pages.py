"""Pages under ``/alma/`` in the Airflow UI, behind Airflow's own login; and the listener for Alma's webhooks."""

from typing import Annotated

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import Depends, FastAPI, Path
from fastapi.responses import HTMLResponse, PlainTextResponse, Response

from alma_airflow.hooks.store import open_bucket
from alma_airflow.ui.webhooks import router as webhooks

# Airflow's own rule for ids of DAGs and runs; with it no id can step out of its folder in the bucket.
_Id = Annotated[str, Path(pattern=r"^[A-Za-z0-9_.~:+-]+$", max_length=250)]

app = FastAPI(title="Alma Airflow", docs_url=None, redoc_url=None, openapi_url=None)
app.include_router(webhooks)


@app.get("/report/{dag_id}/{run_id}", dependencies=[Depends(requires_access_dag("GET", DagAccessEntity.RUN))])
def report(dag_id: _Id, run_id: _Id) -> Response:
    """The page that the run's task `report` wrote; for those who may see the DAG's runs."""
    page = open_bucket().find(f"runs/{dag_id}/{run_id}/report.html")
    if page is None:
        return PlainTextResponse(
            "This run has no report yet: its task `report` has not run.", status_code=404
        )
    # A report shows titles and messages from outside: it needs its own styles and nothing else.
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return HTMLResponse(page, headers={"Content-Security-Policy": policy})
