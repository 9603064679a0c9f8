"""
## Item update

Changes the items that a dropped file names: what a row names is written, everything else of its item stays. In Alma, or
in Aleph through its X-Server. One run a file.

**When.** `file_intake` starts a run for each file that appears in `item-updates/incoming/{profile}/`, within seconds.
By hand at any time, with the form.

**Input.** CSV, TSV, text with `|` or an Excel workbook with a header. For Alma it names the item by `item_pid`, by
`barcode`, or by `mms_id` and `barcode`, and has a column for each field to change: those of item files, `library` and
`location`, and every other writable field by Alma's own name; `new_barcode` changes a barcode. For Aleph it has
`doc_number`, `item_sequence` and the names of z30 without `z30-`. Or XML: one `<update-item><z30>`, or many under
`<update-items>`, for Aleph as they stand and for Alma through the maps of the profile. **An empty cell or element
clears the field; a column or element that is not there leaves it.** The folder's profile in
`config/item_update_profiles.yaml` says which system is meant; `alma` and `aleph` ship.
`docs/item-updates.md` has the rules.

**Output.** In `item-updates/reports/`: what became of every row, as CSV, as an Excel workbook and as a page, both with
the values before and after; and the undo file, which has the old values and is dropped to restore them. In
`item-updates/rejects/`: the rows that were not written. The file itself moves to `item-updates/done/`, or to
`item-updates/failed/` when no row of it was done; after a dry run it stays.

**Safe to run again?** Yes. Each item is read before it is written, and one that has its values already is not written.
What somebody else changed since a row was first read is not overwritten: `conflict`.

**When it fails.** The last line of `check_outcome` says what is wrong and what to do; the page has every row. Rejected
rows alone do not fail a run: they are the sender's to correct. See `docs/runbooks/item_update.md`.
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

JOB = file_job("alma_etl.item_updates.job.ItemUpdates", area="item-updates", dag_id="item_update")
WRITES = {"job": JOB, "pool": "alma_api"}

with DAG(
    **file_dag(JOB),
    schedule=None,
    start_date=datetime(2026, 1, 1),
    params=file_params("item-updates", "alma/new-policy.csv"),
    tags=["alma", "aleph", "items", "writes"],
    doc_md=__doc__,
    description="Fields of items changed by a dropped file, in Alma or in Aleph",
):
    chunks = ReadFile(task_id="read_file", job=JOB)
    checked = RunStep(task_id="check_codes", step="check", priority_weight=2, **WRITES)

    @task_group(group_id="chunk", prefix_group_id=False)
    def each_chunk(chunk):
        """One slice of the rows: each item read, compared, changed, and looked at again."""
        ChunkStep(task_id="update_items", step="update", chunk=chunk, priority_weight=4, **WRITES)

    reported = FinalStep(task_id="report", trigger_rule=TriggerRule.ALL_DONE, priority_weight=5, job=JOB)
    filed = FinalStep(task_id="file_away", priority_weight=5, job=JOB)
    outcome = FinalStep(task_id="check_outcome", trigger_rule=TriggerRule.ALL_DONE, job=JOB)

    chunks >> checked >> each_chunk.expand(chunk=chunks.output) >> reported >> filed >> outcome
