"""
## Bibliographic import

Looks for the title of each record of a dropped file of MARC and merges the record into it, or makes a title of it.
Every record ends in one outcome, and one that was not added says why and what to do. One run a file.

**When.** `file_intake` starts a run for each file that appears in `bibs/incoming/{profile}/`, within seconds. By hand
at any time, with the form.

**Input.** MARC 21 in ISO 2709 (`.mrc`) or MARCXML (`.xml`), with any number of records. `docs/marc-files.md` says
what is read, what is put right and what is refused. The folder's profile in `config/bib_profiles.yaml` says by which
numbers a record is matched, what a merge keeps, and when a record is not added; `catalog` ships and names nothing of
one institution. `docs/imports.md` has the rules.

**Output.** In `bibs/reports/`: what became of every record, as CSV, as an Excel workbook and as a page that shows
titles before and after side by side; and `.changes.txt` with every field that a title lost and gained. In
`bibs/rejects/`: the records that were not added, byte for byte as they came. The file itself moves to `bibs/done/`,
or to `bibs/failed/` when no record of it was loaded; after a dry run, which previews every merge, it stays.

**Safe to run again?** Yes. A record that would change nothing is `unchanged` and not written, and what an import made
is remembered, however long Alma's index takes. Clearing failed tasks goes on where they stopped; what may have been
sent is looked for before anything is repeated.

**Items.** With `inventory` in its profile `create_inventory` makes the holdings and items that a field of each record
asks for, such as 949 or 852, once its title is in Alma. It is an item load like those of `item_creation`.

**Orders.** With `orders` in its profile the order data of each record is checked before anything of it is written, and
`create_inventory` makes PO lines of them, once each, which make their holdings and items themselves. `.orders.csv`
beside the report has every order. `docs/order-data.md` has the layouts. Records that come later find the title by the
reference of its order (`match: [order, oclc]`): their barcodes go to the items that were ordered, which are received
by option, and the full record replaces the vendor's. `docs/orders.md` has profiles for both.

**Lists of titles.** With `template` in its profile the files of a folder are tables of titles to order: each row
becomes a brief record with its order, and with `awaits_full_record` its title is listed until the full record has come
(Alma > Files > Titles that wait). `docs/title-lists.md` shows a profile.

**The network zone.** With `network` in its profile a record without a title in the institution is looked up in the
network zone by that connection, and what is there once is linked into the institution; items and orders go to the
linked title.

**Locked titles.** While somebody has a title open in Alma's metadata editor, `load` tries its record again every ten
minutes, for `lock_wait_minutes` of the profile or of the form. It is *deferred* then: it holds no worker and no slot.

**When it fails.** The last line of `check_outcome` says what is wrong and what to do; the page has every record.
Records that were not added do not fail a run: they are somebody's to decide. See `docs/runbooks/bib_import.md`.
"""

from datetime import datetime

from airflow.sdk import DAG, TriggerRule, task_group

from alma_airflow.operators.bibs import LoadBibs, lock_wait_param
from alma_airflow.operators.file_jobs import (
    ChunkStep,
    FinalStep,
    ReadFile,
    RunStep,
    file_dag,
    file_job,
    file_params,
)

JOB = file_job("alma_etl.bibs.job.BibImport", area="bibs", dag_id="bib_import")
ALMA = {"job": JOB, "pool": "alma_api"}

with DAG(
    **file_dag(JOB),
    schedule=None,
    start_date=datetime(2026, 1, 1),
    params=file_params("bibs", "catalog/new-books.mrc") | lock_wait_param(),
    tags=["alma", "bibs", "writes"],
    doc_md=__doc__,
    description="Titles made and merged from a dropped file of MARC records",
):
    chunks = ReadFile(task_id="read_file", job=JOB)
    checked = RunStep(task_id="check_codes", step="check", priority_weight=2, **ALMA)

    @task_group(group_id="chunk", prefix_group_id=False)
    def each_chunk(chunk):
        """One slice of the records: their titles found and decided on, then written, then their holdings and items."""
        matched = ChunkStep(task_id="match", step="match", chunk=chunk, priority_weight=3, **ALMA)
        loaded = LoadBibs(task_id="load", chunk=chunk, priority_weight=4, **ALMA)
        inventory = ChunkStep(
            task_id="create_inventory", step="create_inventory", chunk=chunk, priority_weight=5, **ALMA
        )
        matched >> loaded >> inventory

    reported = FinalStep(task_id="report", job=JOB, trigger_rule=TriggerRule.ALL_DONE, priority_weight=6)
    filed = FinalStep(task_id="file_away", job=JOB, priority_weight=6)
    outcome = FinalStep(task_id="check_outcome", job=JOB, trigger_rule=TriggerRule.ALL_DONE)

    chunks >> checked >> each_chunk.expand(chunk=chunks.output) >> reported >> filed >> outcome
