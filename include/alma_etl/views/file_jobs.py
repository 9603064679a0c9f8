"""The jobs on dropped files that ship: what the pages know of an area of the bucket."""

from collections.abc import Mapping
from typing import Any

from alma_etl.bibs.job import BibImport
from alma_etl.item_updates.job import ItemUpdates
from alma_etl.items.job import ItemCreation
from alma_etl.jobs.file_job import FileJob
from alma_etl.jobs.places import BIBS, ITEM_UPDATES, ITEMS

FILE_JOBS: Mapping[str, FileJob[Any]] = {
    job.area.folder: job for job in (ItemCreation(ITEMS), ItemUpdates(ITEM_UPDATES), BibImport(BIBS))
}
"""Every such job by the folder of its area; a further one adds itself here and its area to `AREAS`."""
