"""
## File intake

Starts one run of the right job for every file that somebody drops into the bucket.

**When.** Within seconds of a file's arrival: an asset watcher looks into the incoming folders every three seconds and
starts it. By hand at any time; it finds the files by itself.

**Input.** What lies in the incoming folders. A file that still changes is left alone until it rests for three seconds;
names that programs use while they write (`.part`, `.tmp`, `.filepart`, `~$`, a leading dot) are passed over.

**Output.** A run of `item_creation` for each file in `items/incoming/`, of `item_update` for one in
`item-updates/incoming/`, of `bib_import` for one in `bibs/incoming/`. Its id begins with the file's name, its note has
key and size, and the log of `start_load` links to it. The same version never starts twice; the same file dropped again
is a new run.

**Safe to run again?** Yes. Runs that exist are skipped.

**When it fails.** When the bucket does not answer, it is asked again for as long as it takes; files wait where they
are. When a run cannot be started, the log of `start_load` says why, and it is tried again within a minute. See
`docs/runbooks/file_intake.md`.
"""

from datetime import datetime, timedelta

from airflow.sdk import DAG, Asset, AssetWatcher, TriggerRule

from alma_airflow.operators.intake import ListNewFiles, ReportIntake, StartLoad
from alma_airflow.triggers.bucket_watcher import BucketWatcher

DROPPED_FILES = Asset(
    name="dropped_files",
    uri="alma-etl://incoming",
    watchers=[AssetWatcher(name="bucket_watcher", trigger=BucketWatcher())],
)

with DAG(
    dag_id="file_intake",
    schedule=[DROPPED_FILES],
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args={
        "owner": "library-systems",
        "retries": 5,
        "retry_delay": timedelta(seconds=10),
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": timedelta(minutes=5),
        "execution_timeout": timedelta(minutes=30),
    },
    tags=["alma", "files", "reads"],
    doc_md=__doc__,
    description="A run for every dropped file",
):
    listed = ListNewFiles(task_id="list_new_files", at_most=50)
    started = StartLoad.partial(
        task_id="start_load", map_index_template="{{ task.conf['key'] }}"
    ).expand_kwargs(listed.output)
    reported = ReportIntake(
        task_id="report", starts=listed.output, start_task_id="start_load", trigger_rule=TriggerRule.ALL_DONE
    )

    listed >> started >> reported
