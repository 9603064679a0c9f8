"""The runs of a job, `/alma/jobs/{dag_id}`, and the page of a run, `/alma/runs/{dag_id}/{run_id}`, with its records
and the files that it made."""

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, Response

from alma_airflow.ui.deliveries import sftp_copies
from alma_airflow.ui.downloads import csv_download, object_download, plain_name
from alma_airflow.ui.guards import CurrentUser, may_see_runs
from alma_airflow.ui.ids import possible_ids
from alma_airflow.ui.record_urls import record_urls
from alma_airflow.ui.rendering import page
from alma_airflow.ui.run_page import failed_tasks
from alma_airflow.ui.store_reading import reading
from alma_etl.jobs.ledger_reading import JobRun, RunKey
from alma_etl.views.deliveries import JOB as DELIVERIES
from alma_etl.views.deliveries import reasons_of, symbols_of
from alma_etl.views.runs import find_artefact, find_run, records_of, run_attention, runs_of

_SHOWN = 20  # failed tasks

router = APIRouter(dependencies=[Depends(possible_ids), Depends(may_see_runs())])


@router.get("/jobs/{dag_id}")
def job(request: Request, user: CurrentUser, dag_id: str) -> HTMLResponse:
    """The runs of a DAG."""
    with reading() as connection:
        table = runs_of(dag_id).page(connection, request.query_params)
    return page(request, user, "job.html", here="", dag_id=dag_id, table_page=table)


@router.get("/runs/{dag_id}/{run_id}")
def run(request: Request, user: CurrentUser, dag_id: str, run_id: str) -> HTMLResponse:
    """A run: what it came to, what needs attention, its files, and its records."""
    failed = failed_tasks(dag_id, run_id)
    with reading() as connection:
        found = find_run(connection, RunKey(dag_id, run_id))
        table = None if found is None else records_of(found).page(connection, request.query_params)
        # They read every record: not again for each page of the table and each filter.
        counted = found is not None and found.job == DELIVERIES and not request.query_params
        reasons = reasons_of(connection, found) if found is not None and counted else []
    return page(
        request,
        user,
        "run.html",
        here="",
        status=200 if found or failed else 404,
        key=RunKey(dag_id, run_id),
        run=found,
        table_page=table,
        failed=failed[:_SHOWN],
        to_do=run_attention(found, [(each.task_id, each.reason) for each in failed[:_SHOWN]]),
        reasons=reasons,
        symbols=symbols_of(found.measures, found.artefacts, sftp=sftp_copies()) if found else [],
        urls=record_urls(found.calls if found else {}),
    )


@router.get("/runs/{dag_id}/{run_id}/records.csv")
def records(request: Request, dag_id: str, run_id: str) -> Response:
    """The records of a run as CSV, filtered as the page's query string says."""
    return csv_download(
        records_of(_known(dag_id, run_id)), request.query_params, plain_name(dag_id, run_id) + ".csv"
    )


@router.get("/runs/{dag_id}/{run_id}/download")
def download(dag_id: str, run_id: str, key: Annotated[str, Query(max_length=1024)]) -> Response:
    """An object that this run made: only a key that the ledger names as the run's."""
    with reading() as connection:
        found = find_artefact(connection, RunKey(dag_id, run_id), key)
    if found is None:
        raise HTTPException(404)
    return object_download(found["key"], found["name"], found["type"])


def _known(dag_id: str, run_id: str) -> JobRun:
    with reading() as connection:
        found = find_run(connection, RunKey(dag_id, run_id))
    if found is None:
        raise HTTPException(404)
    return found
