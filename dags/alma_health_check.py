"""
## Check the health of the installation

Says each day, before the night's runs, what they will lack: state store, limiter, bucket, settings files, each
connection, the rights of each key, the calls that are left today. Every finding says what to do; the page *Set-up*
shows them.

**When.** Every day at 06:45 UTC: an hour before `dcb_reconcile` (07:45) and well before `west_holdings` (09:30), so
that somebody can still act; late enough after midnight UTC that Alma counts the new day's calls. By hand at any time,
also by the button of *Set-up*.

**Input.** The settings files in the bucket, `alma_default`, the connections that `config/dcb.yaml` names, and those
that made calls in the last 30 days. About 10 calls for each Alma.

**Output.** In `runs/alma_health_check/{run id}/`: `report.html`, `checks.csv` and `setup.json`, one row a check.

**Safe to run again?** Yes, at any time. In Alma nothing is written; in the bucket one object is written into the run's
own folder and deleted again.

**When it fails.** The last line of `report` names what is missing, or what could not be read. Warnings do not make a
run red. See `docs/runbooks/alma_health_check.md`.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable, TriggerRule

from alma_airflow.operators.health import CheckConnections, CheckQuota, CheckRights, ReportHealth

with DAG(
    dag_id="alma_health_check",
    schedule=CronTriggerTimetable("45 6 * * *", timezone="UTC", run_immediately=timedelta(0)),
    catchup=False,
    max_active_runs=1,
    default_args={
        "owner": "library-systems",
        "retries": 1,
        "retry_delay": timedelta(minutes=1),
        "execution_timeout": timedelta(minutes=15),
    },
    tags=["alma", "reads"],
    doc_md=__doc__,
    description="What the night's runs will lack, and what to do about it",
):
    connections = CheckConnections(task_id="check_connection", pool="alma_api")
    rights = CheckRights(task_id="check_rights", pool="alma_api")
    quota = CheckQuota(task_id="check_quota", pool="alma_api")
    reported = ReportHealth(task_id="report", trigger_rule=TriggerRule.ALL_DONE)

    connections >> rights >> quota >> reported
