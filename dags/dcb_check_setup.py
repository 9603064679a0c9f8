"""
## Check the set-up of DCB

Reads each system's configuration and says, before the first request, what is missing or wrong: rights of the key,
libraries, desks with a hold shelf, the sharing library, the location of virtual items, item policies, user groups,
cancellation reasons, and whether a virtual patron may request an item. Nothing is written.

**When.** By hand: before the first request, after a change of `config/dcb.yaml` or of an Alma's configuration.

**Input.** `config/dcb.yaml` in the bucket, the systems' connections, about 25 calls for each Alma.

**Output.** In `runs/dcb_check_setup/{run id}/`: `report.html`, `checks.csv` and `setup.json`: one row a check, with the
menu of Alma where it is put right.

**Safe to run again?** Yes, at any time. Alma's test end points, request options and reads are all that is called.

**When it fails.** The last line of `report` names what is missing, or the system that could not be read. Warnings do
not make a run red. See `docs/runbooks/dcb_check_setup.md`; for the Alma administrator, `docs/alma-setup.md`.
"""

from datetime import timedelta

from airflow.sdk import DAG, Param, TriggerRule

from alma_airflow.operators.dcb_setup import CheckSetup, ReportSetup

PARAMS = {
    "samples": Param(
        None,
        type=["null", "string"],
        title="Samples",
        format="multiline",
        description="What to try a placing with, a line for each system that lends: SYSTEM BARCODE USER, an item that "
        "is lent and a user of the virtual patrons' group. Empty: those of the request that ended last.",
    ),
}

with DAG(
    dag_id="dcb_check_setup",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    default_args={
        "owner": "library-systems",
        "retries": 1,
        "retry_delay": timedelta(minutes=1),
        "execution_timeout": timedelta(minutes=30),
    },
    params=PARAMS,
    tags=["alma", "dcb", "reads"],
    doc_md=__doc__,
    description="What the Almas lack for DCB, and where it is put right",
):
    checked = CheckSetup(task_id="check", pool="alma_api")
    reported = ReportSetup(task_id="report", trigger_rule=TriggerRule.ALL_DONE)

    checked >> reported
