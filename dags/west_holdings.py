"""
## WEST holdings

Delivers the holdings records of the titles in an Alma set to the WEST shared print archive: finds the holdings,
fetches them from Alma, turns them into MARC21, leaves out what carries no valid commitment, and reports on every
single holding.

**When.** Every night at 09:30 UTC, which is after midnight in the western United States and well after Alma's
daily allowance has restarted (midnight UTC). By hand at any time, with the form.

**Input.** An Alma set of titles, or a MARC21 export of one in `west/exports/`. What the form leaves empty comes
from `config/west.yaml` in the bucket; without that file from the shipped one, on a sandbox alone.

**Output.** In `west/deliveries/`, for each OCLC symbol: `SYMBOL.alma.archived.YYYYMMDD.mrc`, `.manifest.json` and
`.outcomes.csv`. The page for people is `runs/west_holdings/{run id}/report.html`. If the connection `west_sftp`
exists, the file and its manifest also go there.

**Safe to run again?** Yes. It only reads from Alma. A second run of the same day replaces the first one's files.
Clearing failed tasks goes on where they stopped: Alma is asked only for what is missing.

**When it fails.** The last line of `check_outcome` says what is wrong and what to do; the report has the details.
Nothing is delivered unless the counts add up, no more than `failure_threshold` of the holdings failed, and no more
than `max_drop` of the last delivery's records are missing. See `docs/runbooks/west_holdings.md`.
"""

from datetime import timedelta

from airflow.sdk import DAG, Asset, CronTriggerTimetable, Param, TriggerRule, task_group

from alma_airflow.operators.west import (
    AssembleDelivery,
    CheckWestOutcome,
    ConvertToMarc21,
    DeliverHoldings,
    ExtractMmsIds,
    FetchHoldings,
    ListHoldings,
    WriteWestReport,
)

WEST_DELIVERY = Asset(name="west_delivery", uri="alma-etl://west/deliveries")

# What is left empty comes from config/west.yaml, so that the nightly run and a bare trigger do the same.
PARAMS = {
    "set_id": Param(
        None,
        type=["null", "string"],
        title="Alma set",
        description="Number of a set of titles (in Alma: Admin > Manage Sets). Give this or an export, not both. "
        "Whatever is left empty in this form is taken from config/west.yaml.",
        pattern=r"^\s*\d{1,19}\s*$|^$",
    ),
    "marc_key": Param(
        None,
        type=["null", "string"],
        title="MARC21 export",
        description="Instead of a set: key of an exported file in the bucket, such as west/exports/archive.mrc.",
    ),
    "dry_run": Param(
        None,
        type=["null", "boolean"],
        title="Dry run",
        description="Do everything but deliver; the files wait in the run's folder.",
    ),
    "limit": Param(
        None,
        type=["null", "integer"],
        minimum=1,
        title="Only the first titles",
        description="How many, for a trial: such a run delivers nothing, and its report says what it would be. "
        "Empty: all titles.",
    ),
    "oclc_symbol": Param(
        None,
        type=["null", "string"],
        title="OCLC symbol",
        description="For all libraries that have none of their own; it begins the file's name.",
        pattern=r"^[A-Z0-9]{2,10}$|^$",
        section="What is delivered",
    ),
    "symbol_by_library": Param(
        None,
        # Text for the form, whose editor of objects cannot be typed into; an object for the API.
        type=["null", "string", "object"],
        format="multiline",
        examples=["LAW ZZLAW"],
        title="OCLC symbols by library",
        description="Alma library code and symbol, such as LAW ZZLAW; one library a line. One file for each symbol.",
        additionalProperties={"type": "string"},
        section="What is delivered",
    ),
    "programme": Param(
        None,
        type=["null", "string"],
        title="Programme",
        description="The programme in 583 $f, by its name or one listed for it (programme_names in config/west.yaml). "
        "Empty: WEST, unless config/west.yaml says otherwise.",
        section="What is delivered",
    ),
    "include_suppressed": Param(
        None,
        type=["null", "boolean"],
        title="Include suppressed holdings",
        description="Deliver holdings that are suppressed from publishing too; implies the list mode exact.",
        section="What is delivered",
    ),
    "exclude_locations": Param(
        None,
        type=["null", "array"],
        items={"type": "string"},
        title="Locations to leave out",
        description="Location codes, or LIBRARY/location; one a line.",
        section="What is delivered",
    ),
    "list_mode": Param(
        None,
        type=["null", "string"],
        enum=[None, "batch", "exact"],
        values_display={
            "null": "as config/west.yaml says (batch, unless changed there)",
            "batch": "batch: 100 titles a request; does not see what availability hides",
            "exact": "exact: one request a title; sees every holding, suppressed ones too",
        },
        title="List mode",
        description="How the holdings of a title are found.",
        section="How Alma is asked",
    ),
    "chunk_size": Param(
        None,
        type=["null", "integer"],
        minimum=1,
        maximum=10000,
        title="Titles a chunk",
        description="How many titles one mapped task takes; raised by itself so that there are at most 1,000 chunks. "
        "Empty: 500, unless config/west.yaml says otherwise.",
        section="How Alma is asked",
    ),
    "failure_threshold": Param(
        None,
        type=["null", "number"],
        minimum=0,
        maximum=1,
        title="Failures allowed",
        description="Share of holdings that may have failed; 0.01 is one in a hundred. "
        "With more, nothing is delivered.",
        section="When nothing is delivered",
    ),
    "max_drop": Param(
        None,
        type=["null", "number"],
        minimum=0,
        maximum=1,
        title="Loss allowed",
        description="Share of the last delivery's records that may be missing from this one; 0.05 is five in a "
        "hundred. With more, nothing is delivered.",
        section="When nothing is delivered",
    ),
}

with DAG(
    dag_id="west_holdings",
    # Without a start date and with this, unpausing the DAG does not set off a delivery at once.
    schedule=CronTriggerTimetable("30 9 * * *", timezone="UTC", run_immediately=timedelta(0)),
    catchup=False,
    max_active_runs=1,
    default_args={
        "owner": "library-systems",
        "retries": 3,
        "retry_delay": timedelta(seconds=30),
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": timedelta(minutes=15),
        "execution_timeout": timedelta(hours=12),
    },
    params=PARAMS,
    tags=["alma", "west", "reads"],
    doc_md=__doc__,
    description="WEST holdings, delivered nightly",
):
    # What is nearer to the end goes first, so that chunks flow through their steps instead of queuing at the first.
    chunks = ExtractMmsIds(task_id="extract_mms_ids", pool="alma_api")

    @task_group(group_id="chunk", prefix_group_id=False)
    def each_chunk(chunk):
        """One slice of the titles on its way through the three steps."""
        listed = ListHoldings(
            task_id="list_holdings", chunk=chunk, pool="alma_api", priority_weight=1, weight_rule="absolute"
        )
        fetched = FetchHoldings(
            task_id="fetch_holdings", chunk=chunk, pool="alma_api", priority_weight=2, weight_rule="absolute"
        )
        converted = ConvertToMarc21(
            task_id="convert_to_marc21", chunk=chunk, priority_weight=3, weight_rule="absolute"
        )
        listed >> fetched >> converted

    assembled = AssembleDelivery(task_id="assemble_delivery", trigger_rule=TriggerRule.ALL_DONE)
    delivered = DeliverHoldings(task_id="deliver", outlets=[WEST_DELIVERY])
    reported = WriteWestReport(task_id="report", trigger_rule=TriggerRule.ALL_DONE)
    checked = CheckWestOutcome(task_id="check_outcome", trigger_rule=TriggerRule.ALL_DONE, retries=0)

    each_chunk.expand(chunk=chunks.output) >> assembled >> delivered >> reported >> checked
