"""
## DCB status sync

Follows the patron requests of direct consortial borrowing: looks at both sides of each request that is due, concludes
from what it saw, does in Alma what follows from it, and notifies the others. `docs/dcb.md` explains states, proof and
flags.

**When.** Every five minutes, one run at a time, since Alma pushes nothing that could be relied on. A request is looked
at minutes after a change and ever more seldom while nothing happens, so that the day's calls suffice (`calls_per_day`).
By hand at any time; with *Requests* to look at certain ones at once.

**Input.** The requests in the state store that `dcb_place_request` tracks; `config/dcb.yaml` in the bucket: the library
systems, `mode` (`observe`: only watch and report; `drive`: also act in Alma), who is notified (`sinks`), the intervals.

**Output.** The requests' new states, events for the sinks, actions in Alma. `runs/dcb_status_sync/{run id}/report.html`
and `summary.json`: what was due, read, changed, done, published, and what is left.

**Safe to run again?** Yes. What was seen, published or done once is not taken, published or done again; a run that was
killed gives its requests back by itself. A read that fails changes nothing.

**When it fails.** The last line of `check_outcome` says what is wrong and what to do: a system that cannot be read at
all, a store or a key that does not work. Other systems' requests went on meanwhile. A single request's trouble is an
alert of that request and does not fail a run. See `docs/runbooks/dcb_status_sync.md`.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable, Param, TriggerRule

from alma_airflow.operators.dcb_sync import (
    Act,
    Apply,
    CheckSyncOutcome,
    Poll,
    Publish,
    SelectDue,
    WriteSyncReport,
)

PARAMS = {
    "pr_ids": Param(
        None,
        type=["null", "array"],
        items={"type": "string", "maxLength": 64},
        maxItems=1000,
        title="Requests",
        description="Ids of patron requests to look at now and at everything, whatever they are due; one a line. "
        "What is due by itself is looked at as well.",
    ),
    "limit": Param(
        None,
        type=["null", "integer"],
        minimum=1,
        maximum=2000,
        title="At most",
        description="How many requests one run takes, the most urgent first. Empty: 2,000.",
    ),
    "dry_run": Param(
        False,
        type="boolean",
        title="Dry run",
        description="Read and report what would change; change nothing, do nothing, notify nobody.",
    ),
}

with DAG(
    dag_id="dcb_status_sync",
    # Without a start date and with this, unpausing the DAG does not set off a tick between two others.
    schedule=CronTriggerTimetable("*/5 * * * *", timezone="UTC", run_immediately=timedelta(0)),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=30),
    default_args={
        "owner": "library-systems",
        "retries": 2,
        "retry_delay": timedelta(seconds=10),
        "execution_timeout": timedelta(minutes=10),
    },
    params=PARAMS,
    tags=["alma", "dcb", "writes"],
    doc_md=__doc__,
    description="DCB patron requests followed and moved on",
):
    # An empty list of groups skips poll; the rest runs all the same, since actions and events may still be due. Nobody
    # waits for a whole delivery: of what waits for a slot of the pool, these come first.
    groups = SelectDue(task_id="select_due")
    polled = Poll.partial(
        task_id="poll", pool="alma_api", seconds=150, priority_weight=10, weight_rule="absolute"
    ).expand(group=groups.output)
    applied = Apply(task_id="apply", trigger_rule=TriggerRule.ALL_DONE)
    acted = Act(
        task_id="act",
        pool="alma_api",
        seconds=90,
        trigger_rule=TriggerRule.ALL_DONE,
        priority_weight=10,
        weight_rule="absolute",
    )
    published = Publish(task_id="publish", trigger_rule=TriggerRule.ALL_DONE)
    reported = WriteSyncReport(task_id="report", trigger_rule=TriggerRule.ALL_DONE)
    checked = CheckSyncOutcome(task_id="check_outcome", trigger_rule=TriggerRule.ALL_DONE, retries=0)

    polled >> applied >> acted >> published >> reported >> checked
