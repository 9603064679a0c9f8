"""
## Run an import profile

Starts the job of an Alma import profile, once, waits for its end for days if need be without holding a worker, and says
what it loaded: Alma's counts beside what was expected, what waits for staff, whether the titles and PO lines are there.

**When.** By hand with the form, or from another program by Airflow's REST API, once the files lie where the profile
fetches them.

**Input.** The conf: `profile_id` (or `job_id`), and perhaps `expected` records, `expected_files`, a `label`, a `note`.
Alma starts by API the jobs of profiles that fetch files by FTP/SFTP or OAI, and of digital ones.

**Output.** In `runs/import_profile_run/{run id}/`: `report.html` (button **Report**), `counts.csv`, `records.csv`,
`facts.json`. With *dry run* the job is looked up and nothing is started.

**Safe to run again?** A run starts its job once, however often its tasks are retried or cleared. A new run starts it
again.

**When it fails.** The last line of `check_outcome` says why: the job failed, counts are short of what was expected,
titles are gone. See `docs/runbooks/import_profile_run.md`. No API cancels a job: a run that a person ends leaves it
at work.
"""

from datetime import datetime, timedelta

from airflow.sdk import DAG, TriggerRule, chain

from alma_airflow.operators.profile_runs import (
    PROFILE_RUN_PARAMS,
    CheckImportOutcome,
    ReportImport,
    SubmitImport,
    WaitForImport,
)

with DAG(
    dag_id="import_profile_run",
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=16,
    default_args={
        "owner": "library-systems",
        "retries": 5,
        "retry_delay": timedelta(minutes=2),
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": timedelta(minutes=30),
        "execution_timeout": timedelta(minutes=60),
    },
    params=PROFILE_RUN_PARAMS,
    tags=["alma", "imports", "writes"],
    doc_md=__doc__,
    description="The job of an Alma import profile: started once, waited for, its result read",
):
    chain(
        SubmitImport(task_id="submit", pool="alma_api", longest=timedelta(days=1)),
        WaitForImport(task_id="wait", pool="alma_api", longest=timedelta(days=7)),
        ReportImport(task_id="report", pool="alma_api", trigger_rule=TriggerRule.ALL_DONE),
        CheckImportOutcome(task_id="check_outcome", trigger_rule=TriggerRule.ALL_DONE),
    )
