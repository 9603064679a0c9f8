"""The working files of one WEST run: ``runs/west_holdings/{run_id}/`` and the plan that the steps share."""

from collections.abc import Sequence
from datetime import date

from pydantic import BaseModel, ConfigDict

from alma_etl.jobs.folder import PlannedRun
from alma_etl.store.bucket import Bucket
from alma_etl.west.settings import WestSettings


class BadInputRecord(BaseModel):
    """A record of the export that could not be used: its number (from 1), byte offset, and why."""

    model_config = ConfigDict(frozen=True)

    number: int
    offset: int
    reason: str


class InputCounts(BaseModel):
    """What the first step read: for a set its members, for an export its records.

    ``total`` is what Alma says the set holds, or the records of the file. Of those, ``titles`` are distinct,
    ``repeated`` came more than once, ``bad_records`` could not be used (exports only), and ``missing`` never
    came, although the set was read again.
    """

    model_config = ConfigDict(frozen=True)

    total: int
    titles: int
    repeated: int = 0
    missing: int = 0
    bad_records: int = 0


class WestPlan(BaseModel):
    """What the first step decided; every later step reads it."""

    model_config = ConfigDict(frozen=True)

    run_id: str
    settings: WestSettings
    day: date
    source: str
    counts: InputCounts
    chunks: int
    titles: int
    chunk_size: int = 0  # 0: made by a version that did not say
    bad_records: tuple[BadInputRecord, ...] = ()  # the first hundred, for the report
    limit_of_file: bool = False  # the limit comes from the settings file, so that no run delivers
    damaged_records: int = 0  # of an export: used all the same, since their 001 is certain


class RunFolder(PlannedRun[WestPlan]):
    """The keys of one run's working files, all below one prefix of the bucket."""

    def __init__(self, bucket: Bucket, run_id: str, dag_id: str = "west_holdings") -> None:
        super().__init__(bucket, run_id, dag_id, WestPlan)

    def write_mms_ids(self, number: int, mms_ids: Sequence[str]) -> None:
        """Save the MMS ids of a chunk, one a line."""
        self.bucket.put(self.chunk_key(number, "mms_ids.txt"), "\n".join(mms_ids).encode(), "text/plain")

    def mms_ids(self, number: int) -> list[str]:
        """The MMS ids of a chunk."""
        return self.bucket.get(self.chunk_key(number, "mms_ids.txt")).decode().split()
