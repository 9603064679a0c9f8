"""
## DCB reconciliation

Compares three books every night: our own of the requests that are followed, Alma's, and that of dcb-service or
mod-dcb. Polling (`dcb_status_sync`) goes by what should happen next; this job looks for what should not: holds and
loans in a virtual patron's name that no request knows, requests that stand still, books that are out although their
request has ended, virtual items left behind, events that nobody took.

**When.** Every night at 07:45 UTC. By hand at any time, with the form.

**Input.** The state store, `config/dcb.yaml`, and Alma: three calls for each virtual patron (at most `most` of them a
night, the others take turns), about one for each request that was settled or ended lately.

**Output.** In `runs/dcb_reconcile/{run id}/`: `report.html`, `findings.csv` and `compared.json`; one open alert for
each condition, closed when it is seen to be over. What may be fixed without a person is fixed: a request that stands
still is looked at again, a virtual patron extended, a cleanup tried again, an event sent again.

**Safe to run again?** Yes. Every fix looks first, and a condition seen twice has one alert.

**When it fails.** The last line of `check_outcome` names what is urgent (a book out although its request has ended, a
request in error, an event given up), or which system could not be read. Everything else is a finding of a green run.
See `docs/runbooks/dcb_reconcile.md`.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable, Param, TriggerRule

from alma_airflow.operators.dcb_reconcile import CheckReconcileOutcome, CompareBooks, WriteReconcileReport

PARAMS = {
    "dry_run": Param(
        False,
        type="boolean",
        title="Dry run",
        description="Compare and report; fix nothing and keep no alert.",
    ),
    "most": Param(
        1000,
        type="integer",
        minimum=10,
        maximum=100_000,
        title="Virtual patrons a night",
        description="Each costs three calls of Alma. Where there are more, they take turns; so do requests at "
        "dcb-service.",
    ),
}

with DAG(
    dag_id="dcb_reconcile",
    # Unpausing the DAG does not set off a comparison at once.
    schedule=CronTriggerTimetable("45 7 * * *", timezone="UTC", run_immediately=timedelta(0)),
    catchup=False,
    max_active_runs=1,
    default_args={
        "owner": "library-systems",
        "retries": 2,
        "retry_delay": timedelta(minutes=5),
        "execution_timeout": timedelta(hours=3),
    },
    params=PARAMS,
    tags=["alma", "dcb", "writes"],
    doc_md=__doc__,
    description="DCB requests compared with Alma and the partners, nightly",
):
    compared = CompareBooks(task_id="compare", pool="alma_api")
    reported = WriteReconcileReport(task_id="report", trigger_rule=TriggerRule.ALL_DONE)
    outcome = CheckReconcileOutcome(task_id="check_outcome", trigger_rule=TriggerRule.ALL_DONE)

    compared >> reported >> outcome
