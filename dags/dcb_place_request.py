"""
## Place a consortial (DCB) request

Places a request of a patron for a book of another library: a hold at the lender in the name of a virtual patron, a
virtual item with the book's barcode at the borrower, and the patron's own hold on it. From then on `dcb_status_sync`
follows it.

**When.** By hand with the form, or from another program by Airflow's REST API, one run a request.

**Input.** The lender's system and the barcode of the book, the borrower's system and the patron, the pickup library.
The rest is looked up, or comes from the form; an example and the JSON schema are in `docs/dcb.md` and in the runbook.
The systems are those of `config/dcb.yaml`.

**Output.** The holds and the virtual item, the request in the state store, and a page that says what was looked up and
done (button **Report** on `track`). With *dry run* only the page.

**Safe to run again?** Yes. Each step looks first: a retry, a cleared task or a second run with the same conf goes on
where the first one was. The same `pr_id` with another conf is refused.

**When it fails.** When an Alma refuses permanently, what was done is undone, and the last line of `track` says what was
undone and what is left, if anything. When an Alma cannot be asked, everything stays as it is: clear the failed task.
See `docs/runbooks/dcb_place_request.md`.
"""

from datetime import datetime, timedelta

from airflow.sdk import DAG, TriggerRule, chain

from alma_airflow.operators.dcb_requests import (
    PLACE_PARAMS,
    CheckPatron,
    CreateVirtualItem,
    EnsureVirtualPatron,
    PlaceBorrowerRequest,
    PlaceSupplierRequest,
    TrackRequest,
)

with DAG(
    dag_id="dcb_place_request",
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
    params=PLACE_PARAMS,
    tags=["alma", "dcb", "writes"],
    doc_md=__doc__,
    description="A patron's request for a book of another library",
):
    chain(
        CheckPatron(task_id="check_patron"),
        EnsureVirtualPatron(task_id="ensure_virtual_patron"),
        PlaceSupplierRequest(task_id="place_supplier_request"),
        CreateVirtualItem(task_id="create_virtual_item"),
        PlaceBorrowerRequest(task_id="place_borrower_request"),
        TrackRequest(task_id="track", trigger_rule=TriggerRule.ALL_DONE),
    )
