"""Step 1 of the WEST procedure: the MMS ids of the titles, from an Alma set or from an export of one."""

import logging
from collections.abc import Mapping
from datetime import datetime
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from alma_etl.alma.client import AlmaClient
from alma_etl.store.folder import Chunk
from alma_etl.west.converting import RESULT as CONVERTED
from alma_etl.west.export import ExportReading, read_export
from alma_etl.west.id_index import IdIndex, id_index
from alma_etl.west.members import read_set
from alma_etl.west.run import Plan, RunFolder
from alma_etl.west.settings import WestSettings, limit_of_file, settings_of_run

log = logging.getLogger(__name__)

MAX_CHUNKS = 1_000  # Airflow maps a task over at most 1,024


def extract_mms_ids(
    client: AlmaClient,
    folder: RunFolder,
    params: Mapping[str, Any],
    *,
    moment: datetime,
    sandbox: bool = False,
) -> list[Chunk]:
    """Read the run's input and cut its titles into chunks.

    ``moment`` is the run's time (not the clock's); the day of the delivery is its date in the configured time
    zone. ``sandbox``: the Alma is one, and the shipped settings apply to it. The titles are taken in the order of
    their MMS ids, whatever order the set came in, so that the same titles always give the same file. Writes the
    chunks' ids and the plan into the run's folder.

    Raises RunStopped for bad input and AlmaError when Alma cannot be read, with the sentence kept for the report.
    """
    with folder.keeping_problem(), id_index() as index:
        settings = settings_of_run(folder.bucket, params, sandbox=sandbox)
        reading, source = _read_input(client, folder, settings, index)
        of_file = limit_of_file(settings, params)
        return _write_plan(folder, settings, moment, index, reading, source, limit_of_file=of_file)


def _read_input(
    client: AlmaClient, folder: RunFolder, settings: WestSettings, index: IdIndex
) -> tuple[ExportReading, str]:
    if settings.set_id:
        return ExportReading(read_set(client, settings.set_id, index)), f"set {settings.set_id}"
    key = settings.marc_key or ""
    return read_export(folder.bucket, key, index), f"export {key}"


def _write_plan(
    folder: RunFolder,
    settings: WestSettings,
    moment: datetime,
    index: IdIndex,
    reading: ExportReading,
    source: str,
    *,
    limit_of_file: bool,
) -> list[Chunk]:
    counts = reading.counts
    titles = min(counts.titles, settings.limit or counts.titles)
    size = max(settings.chunk_size, -(-titles // MAX_CHUNKS))
    chunks: list[Chunk] = []
    ids = index.in_order(settings.limit)
    while mms_ids := list(islice(ids, size)):
        number = len(chunks) + 1
        folder.write_mms_ids(number, mms_ids)
        chunks.append(Chunk(number, mms_ids[0], mms_ids[-1]))
    # A cleared run reads its input anew: what its chunks were converted to before may be of other titles.
    folder.bucket.delete(folder.chunk_key(chunk.number, CONVERTED) for chunk in chunks)
    folder.write_plan(
        Plan(
            run_id=folder.run_id,
            settings=settings,
            day=moment.astimezone(ZoneInfo(settings.timezone)).date(),
            source=source,
            counts=counts,
            chunks=len(chunks),
            titles=titles,
            bad_records=tuple(reading.bad_records),
            damaged_records=reading.damaged,
            limit_of_file=limit_of_file,
        )
    )
    log.info("%s: %d titles in %d chunks of at most %d", source, titles, len(chunks), size)
    return chunks
