"""Step 1 of the WEST procedure: the MMS ids of the titles, from an Alma set or from an export of one."""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from alma_etl.alma.client import AlmaClient
from alma_etl.counted import counted
from alma_etl.jobs.folder import MAX_CHUNKS, Chunk
from alma_etl.jobs.versions import Versions
from alma_etl.store.bucket import NoSuchObject
from alma_etl.west.converting import RESULT as CONVERTED
from alma_etl.west.export import ExportReading, read_export
from alma_etl.west.id_index import IdIndex, id_index
from alma_etl.west.members import read_set
from alma_etl.west.run import InputCounts, RunFolder, WestPlan
from alma_etl.west.settings import WestSettings, limit_of_file, settings_of_run

log = logging.getLogger(__name__)

_IDS = ".ids"


def extract_mms_ids(
    client: AlmaClient,
    folder: RunFolder,
    params: Mapping[str, Any],
    *,
    moment: datetime,
    sandbox: bool = False,
    on_settings: Callable[[WestSettings], None] = lambda settings: None,
) -> list[Chunk]:
    """Read the run's input and cut its titles into chunks. ``on_settings`` is called before anything is read.

    ``moment`` is the run's time (not the clock's); the day of the delivery is its date in the configured time
    zone. ``sandbox``: the Alma is one, and the shipped settings apply to it. The titles are taken in the order of
    their MMS ids, whatever order the set came in, so that the same titles always give the same file. Writes the
    chunks' ids and the plan into the run's folder. A set that was read to its end is not read again by a cleared
    run, so that its chunks stay what they are; an export is.

    Raises RunStopped for bad input and RemoteError when Alma cannot be read, with the sentence kept for the report.
    """
    with folder.keeping_problem(), id_index() as index:
        settings = settings_of_run(folder.bucket, params, sandbox=sandbox)
        on_settings(settings)
        reading, source = _read_input(client, folder, settings, index)
        of_file = limit_of_file(settings, params)
        return _write_plan(folder, settings, moment, index, reading, source, limit_of_file=of_file)


def _read_input(
    client: AlmaClient, folder: RunFolder, settings: WestSettings, index: IdIndex
) -> tuple[ExportReading, str]:
    if settings.set_id:
        return ExportReading(_members(client, folder, settings.set_id, index)), f"set {settings.set_id}"
    key = settings.marc_key or ""
    return read_export(folder.bucket, key, index), f"export {key}"


def _members(client: AlmaClient, folder: RunFolder, set_id: str, index: IdIndex) -> InputCounts:
    """Read the set, unless an earlier attempt of this run did."""
    kept = Versions(folder.bucket, folder.key("members"), {"set_id": set_id, "alma": client.host})
    earlier = kept.newest()
    if earlier is not None:
        with folder.bucket.reader(earlier + _IDS) as stream:
            index.add(line.decode().strip() for line in stream)
        return InputCounts.model_validate_json(folder.bucket.get(earlier))
    counts = read_set(client, set_id, index)
    if not counts.missing:
        reading = kept.begin()
        with folder.bucket.writer(reading + _IDS) as stream:
            stream.writelines(f"{mms_id}\n".encode() for mms_id in index.in_order())
        folder.bucket.put(reading, counts.model_dump_json().encode(), "application/json")
    return counts


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
    size = max(_chunk_size(folder, settings, source), -(-titles // MAX_CHUNKS))
    chunks: list[Chunk] = []
    ids = index.in_order(settings.limit)
    while mms_ids := list(islice(ids, size)):
        number = len(chunks) + 1
        folder.write_mms_ids(number, mms_ids)
        chunks.append(Chunk(number, mms_ids[0], mms_ids[-1]))
    # A cleared run reads its input again: what its chunks were converted to before may be of other titles.
    folder.bucket.delete(folder.chunk_key(chunk.number, CONVERTED) for chunk in chunks)
    folder.write_plan(
        WestPlan(
            run_id=folder.run_id,
            settings=settings,
            day=moment.astimezone(ZoneInfo(settings.timezone)).date(),
            source=source,
            counts=counts,
            chunks=len(chunks),
            chunk_size=size,
            titles=titles,
            bad_records=tuple(reading.bad_records),
            damaged_records=reading.damaged,
            limit_of_file=limit_of_file,
        )
    )
    log.info(
        "%s: %s in %s of at most %d", source, counted(titles, "title"), counted(len(chunks), "chunk"), size
    )
    return chunks


def _chunk_size(folder: RunFolder, settings: WestSettings, source: str) -> int:
    """What an earlier attempt took for this input, so that each title stays where its finished work is."""
    try:
        earlier = folder.plan()
    except NoSuchObject:
        return settings.chunk_size
    return earlier.chunk_size if earlier.chunk_size and earlier.source == source else settings.chunk_size
