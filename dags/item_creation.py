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
without a call number. In `items/rejects/`: the rows that were not loaded, to be corrected and dropped again. The file
itself moves to `items/done/`, or to `items/failed/` when no row of it could be loaded; after a dry run it stays.

**Safe to run again?** Yes. A file dropped a second time is looked up, not written again. Clearing failed tasks goes on
where they stopped; what may have been sent is looked for before anything is repeated.

**When it fails.** The last line of `check_outcome` says what is wrong and what to do; the page has every row. Rejected
rows alone do not fail a run: they are the sender's to correct. See `docs/runbooks/item_creation.md`.
"""

from datetime import datetime

from airflow.sdk import DAG, TriggerRule, task_group

from alma_airflow.operators.file_jobs import (
    ChunkStep,
    FinalStep,
    ReadFile,
    RunStep,
    file_dag,
    file_job,
    file_params,
)

JOB = file_job("alma_etl.items.job.ItemCreation", area="items", dag_id="item_creation")
ALMA = {"job": JOB, "pool": "alma_api"}

with DAG(
    **file_dag(JOB),
    schedule=None,
    start_date=datetime(2026, 1, 1),
    params=file_params("items", "gifts/march.txt"),
    tags=["alma", "items", "writes"],
    doc_md=__doc__,
    description="Items and holdings from a dropped file",
):
    chunks = ReadFile(task_id="read_file", job=JOB)
    checked = RunStep(task_id="check_codes", step="check", priority_weight=2, **ALMA)

    @task_group(group_id="chunk", prefix_group_id=False)
    def each_chunk(chunk):
        """One slice of the rows on its way through the two steps that write."""
        resolved = ChunkStep(
            task_id="resolve_holdings", step="prepare", chunk=chunk, priority_weight=3, **ALMA
        )
        created = ChunkStep(task_id="create_items", step="load", chunk=chunk, priority_weight=4, **ALMA)
        resolved >> created

    reported = FinalStep(task_id="report", job=JOB, trigger_rule=TriggerRule.ALL_DONE, priority_weight=5)
    filed = FinalStep(task_id="file_away", job=JOB, priority_weight=5)
    outcome = FinalStep(task_id="check_outcome", job=JOB, trigger_rule=TriggerRule.ALL_DONE)

    chunks >> checked >> each_chunk.expand(chunk=chunks.output) >> reported >> filed >> outcome
