"""
## Item creation

Makes an item in Alma for every row of a file that somebody dropped, and a holding where the title has none at that
place. One run a file.

**When.** `file_intake` starts a run for each file that appears in `items/incoming/{profile}/`, within seconds. By hand
at any time, with the form.

**Input.** Lines `MMSID|BARCODE`; or CSV, TSV or an Excel workbook with a header: `mms_id`, `barcode`, and per row any
of `library`, `location`, `item_policy`, `material_type`, `po_line`, `copy_id`, `description`, `enumeration_a` to `_h`,
`chronology_i` to `_m`, `public_note`, `internal_note_1` to `_3`, `fulfillment_note`, `inventory_number`,
`arrival_date`. The folder's profile in `config/item_profiles.yaml` gives what the rows do not say.
`docs/files.md` says what is taken, what is cleaned and what is refused.

**Output.** In `items/reports/`: what became of every row, as CSV, as an Excel workbook, as a page, and the holdings
without a call number. In `items/rejects/`: the rows that were not loaded, to be mended and dropped again. The file
itself moves to `items/done/`, or to `items/failed/` when no row of it could be loaded; after a dry run it stays.

**Safe to run again?** Yes. A file dropped a second time is looked up, not written again. Clearing failed tasks goes on
where they stopped; what may have been sent is looked for before anything is repeated.

**When it fails.** The last line of `check_outcome` says what is wrong and what to do; the page has every row. Rejected
rows alone do not fail a run: they are the sender's to mend. See `docs/runbooks/item_creation.md`.
"""

from datetime import datetime, timedelta

from airflow.sdk import DAG, Param, TriggerRule, task_group

from alma_airflow.operators.items import (
    CheckCodes,
    CheckItemOutcome,
    CreateItems,
    FileAway,
    ReadFile,
    ResolveHoldings,
    WriteItemReports,
)

PARAMS = {
    "key": Param(
        "items/incoming/",
        type="string",
        title="File",
        description="Key of the file in the bucket, such as items/incoming/gifts/march.txt.",
        minLength=1,
        maxLength=1024,
    ),
    "profile": Param(
        None,
        type=["null", "string"],
        title="Profile",
        description="Use this profile instead of the folder's; needed for files outside items/incoming/.",
        pattern=r"^[A-Za-z0-9_-]*$",
    ),
    "dry_run": Param(
        None,
        type=["null", "boolean"],
        title="Dry run",
        description="Read, check and report what would be done; write nothing to Alma. Empty: as the profile says.",
    ),
    "version": Param(
        None,
        type=["null", "string"],
        title="Version",
        description="Which version of the file is meant; file_intake fills it in. Leave it empty by hand.",
    ),
}

with DAG(
    dag_id="item_creation",
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=8,
    default_args={
        "owner": "library-systems",
        "retries": 3,
        "retry_delay": timedelta(seconds=15),
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": timedelta(minutes=15),
        "execution_timeout": timedelta(hours=12),
    },
    params=PARAMS,
    tags=["alma", "items", "writes"],
    doc_md=__doc__,
    description="Items and holdings from a dropped file",
):
    # What is nearer to the end goes first, so that files are finished instead of all being begun.
    chunks = ReadFile(task_id="read_file")
    checked = CheckCodes(task_id="check_codes", pool="alma_api", priority_weight=2, weight_rule="absolute")

    @task_group(group_id="chunk", prefix_group_id=False)
    def each_chunk(chunk):
        """One slice of the rows on its way through the two steps that write."""
        resolved = ResolveHoldings(
            task_id="resolve_holdings",
            chunk=chunk,
            pool="alma_api",
            priority_weight=3,
            weight_rule="absolute",
        )
        created = CreateItems(
            task_id="create_items", chunk=chunk, pool="alma_api", priority_weight=4, weight_rule="absolute"
        )
        resolved >> created

    reported = WriteItemReports(
        task_id="report", trigger_rule=TriggerRule.ALL_DONE, priority_weight=5, weight_rule="absolute"
    )
    filed = FileAway(task_id="file_away", priority_weight=5, weight_rule="absolute")
    outcome = CheckItemOutcome(task_id="check_outcome", trigger_rule=TriggerRule.ALL_DONE)

    chunks >> checked >> each_chunk.expand(chunk=chunks.output) >> reported >> filed >> outcome
