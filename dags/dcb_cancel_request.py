"""
## Cancel a consortial (DCB) request

Cancels a request for the patron, as long as the book is not lent: the patron's hold goes, and `dcb_status_sync` does
the rest. Before the book was sent that is all; later the request waits until the book is home again.

**When.** By hand with the form, or from another program by Airflow's REST API.

**Input.** The conf: `pr_id`, and perhaps a `reason` (a code of Alma's request cancellation reasons).

**Output.** The hold is gone, the request is CANCELLED or AWAITING_RETURN_TO_SUPPLIER, and a page says so (button
**Report** on `report`). With *dry run* only the page.

**Safe to run again?** Yes. A request that is cancelled already is found so.

**When it fails.** The last line of the failed task says why, most often that the patron has the book by now. See
`docs/runbooks/dcb_cancel_request.md`.
"""

from datetime import datetime, timedelta

from airflow.sdk import DAG, TriggerRule, chain

from alma_airflow.operators.dcb_requests import (
    CANCEL_PARAMS,
    CancelHolds,
    ReportCancellation,
    VerifyCancelled,
)

with DAG(
    dag_id="dcb_cancel_request",
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=16,
    default_args={
        "owner": "library-systems",
        "pool": "alma_api",
        "retries": 3,
        "retry_delay": timedelta(seconds=15),
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": timedelta(minutes=10),
        "execution_timeout": timedelta(minutes=30),
    },
    params=CANCEL_PARAMS,
    tags=["alma", "dcb", "writes"],
    doc_md=__doc__,
    description="A patron does not want the book of another library any more",
):
    chain(
        CancelHolds(task_id="cancel"),
        VerifyCancelled(task_id="verify"),
        ReportCancellation(task_id="report", trigger_rule=TriggerRule.ALL_DONE),
    )
