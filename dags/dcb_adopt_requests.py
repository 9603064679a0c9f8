"""
## DCB: adopt what a dcb-service runs

Watches the requests of a running dcb-service beside our own: each is tracked from the status that dcb-service reports,
and `dcb_status_sync` looks at it as at any other. dcb-service goes on acting for it; for an adopted request nothing is
ever written in Alma or FOLIO, whatever the `mode`. What a library gets is what dcb-service does not say: alerts for
lost, stuck, recalled and wrongly sent books, one page each morning, and a nudge that makes dcb-service look at once.

**When.** Every 15 minutes where `config/dcb.yaml` says `adopt: {source: dcb_service}` (or `list`, `alma_scan`), else
skipped at once. By hand at any time, with the source in the form.

**Input.** `dcb_service`: its GraphQL by the connection `adopt.conn_id` (`dcb_default`), a call for each hundred open
requests. `list`: all tables (CSV, TSV, Excel), JSON and JSON lines files below `dcb/adopt/` in the bucket. `alma_scan`:
holds with dcb-service's mark in the name of virtual patrons, two calls for each of them.

**Output.** Tracked requests, looked at whole by the next tick. In `runs/dcb_adopt_requests/{run id}/`: `report.html`
and `results.csv`, a row for each request: `created`, `updated`, `same` or `refused`, with the reason.

**Safe to run again?** Yes. The same report of a request changes nothing; other ids replace those before, which stay
in the history.

**When it fails.** The last line of `check_outcome` says which source could not be read. Refused requests do not make a
run red; the page says what to do about each. See `docs/runbooks/dcb_adopt_requests.md`.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable, Param, TriggerRule

from alma_airflow.operators.dcb_adopt import (
    AdoptOffered,
    CheckAdoptOutcome,
    ReadAdoptSource,
    WriteAdoptReport,
)

PARAMS = {
    "source": Param(
        None,
        type=["null", "string"],
        enum=[None, "dcb_service", "list", "alma_scan"],
        title="Source",
        description="Where the requests come from. Empty: what config/dcb.yaml says under adopt.",
    ),
    "dry_run": Param(
        False,
        type="boolean",
        title="Dry run",
        description="Read the source and report what would be adopted; keep nothing.",
    ),
}

with DAG(
    dag_id="dcb_adopt_requests",
    # Unpausing the DAG does not set off an adoption at once.
    schedule=CronTriggerTimetable("*/15 * * * *", timezone="UTC", run_immediately=timedelta(0)),
    catchup=False,
    max_active_runs=1,
    default_args={
        "owner": "library-systems",
        "retries": 2,
        "retry_delay": timedelta(minutes=1),
        "execution_timeout": timedelta(hours=1),
    },
    params=PARAMS,
    tags=["alma", "dcb", "reads"],
    doc_md=__doc__,
    description="Requests that a dcb-service runs, watched here as well",
):
    source = ReadAdoptSource(task_id="read_source", pool="alma_api")
    adopted = AdoptOffered(task_id="adopt")
    reported = WriteAdoptReport(task_id="report", trigger_rule=TriggerRule.ALL_DONE)
    outcome = CheckAdoptOutcome(task_id="check_outcome", trigger_rule=TriggerRule.ALL_DONE)

    source >> adopted >> reported >> outcome
