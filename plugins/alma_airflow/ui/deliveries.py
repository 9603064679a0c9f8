"""The page `/alma/deliveries`: every delivery for the archive. Its records and reasons are on the page of its run."""

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, Response

from alma_airflow.ui.connections import remembered_connection
from alma_airflow.ui.downloads import csv_download
from alma_airflow.ui.guards import CurrentUser, may_see_runs
from alma_airflow.ui.rendering import page
from alma_airflow.ui.store_reading import reading
from alma_etl.views.deliveries import JOB, deliveries, symbols_of

SFTP_CONN_ID = "west_sftp"

router = APIRouter(dependencies=[Depends(may_see_runs(JOB))])


@router.get("/deliveries")
def show(request: Request, user: CurrentUser) -> HTMLResponse:
    """The deliveries, the newest first."""
    with reading() as connection:
        table = deliveries().page(connection, request.query_params)
    copied = sftp_copies()
    parts = {row.run_id: symbols_of(row.measures, row.artefacts, sftp=copied) for row in table.rows}
    return page(request, user, "deliveries.html", here="/deliveries", table_page=table, parts=parts)


@router.get("/deliveries.csv")
def as_csv(request: Request) -> Response:
    """The deliveries as CSV, filtered as the page's query string says."""
    return csv_download(deliveries(), request.query_params, "deliveries.csv")


def sftp_copies() -> bool:
    """Whether deliveries are copied to a partner: there is a connection `west_sftp`."""
    return remembered_connection(SFTP_CONN_ID) is not None
