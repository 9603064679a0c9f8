"""Step 1 of an item load: the file, read and checked as far as that goes without Alma, cut into chunks."""

import logging
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

from alma_etl.errors import InputProblem
from alma_etl.items.ends import made_items, sent_lines
from alma_etl.items.fields import COLUMNS, HOLDS
from alma_etl.items.outcomes import ItemRow, Outcome, RowResult, result, row_key
from alma_etl.items.profiles import ItemProfile, ItemProfiles, profile_named, read_profiles
from alma_etl.items.rows import BadRow, check, item_row
from alma_etl.items.run import INPUT, REJECTED, ROWS, Codes, LoadFolder, Plan, Source
from alma_etl.items.staging import Staging, staging
from alma_etl.jobs.arrivals import Arrival
from alma_etl.jobs.folder import Chunk
from alma_etl.jobs.places import ITEMS, DroppedFile, dropped_file, printable
from alma_etl.jobs.settings_files import refuse_unknown
from alma_etl.store.bucket import NoSuchObject, ObjectInfo, json_line
from alma_etl.tabular.tables import Columns, Table, open_table

log = logging.getLogger(__name__)

MAX_CHUNKS = 1_000  # Airflow maps a task over at most 1,024
TABLE = Columns(known=COLUMNS, required=("mms_id", "barcode"), headless=("mms_id", "barcode"), holds=HOLDS)


PARAMS = ("key", "profile", "dry_run", "version")


def read_file(
    folder: LoadFolder, params: Mapping[str, Any], *, day: date, sandbox: bool = False
) -> list[Chunk]:
    """Read the run's file and cut its good rows into chunks; bad ones get their outcome at once.

    ``params``: ``key``, and optionally ``profile`` (instead of the folder's), ``dry_run`` (instead of the
    profile's) and ``version`` (which version of the file is meant). ``day`` is the run's date. ``sandbox``: the Alma
    is one, and the shipped profiles apply to it. The bytes that were read are kept in the run's folder: what happens
    to the dropped file afterwards changes nothing.

    Raises RunStopped for a file that cannot be read at all, with the sentence kept for the report; Superseded
    when the file is no longer the version that is meant.
    """
    with folder.keeping_problem():
        refuse_unknown(params, PARAMS)
        folder.not_superseded()
        file = dropped_file(ITEMS, str(params.get("key") or ""), profile=params.get("profile") or None)
        settings = read_profiles(folder.bucket, sandbox=sandbox)
        source = _take_in(folder, file, settings, version=params.get("version") or None)
        profile = profile_named(settings, file.profile)
        dry_run = params.get("dry_run")
        if dry_run is not None:
            profile = profile.model_copy(update={"dry_run": bool(dry_run)})
        with opened(folder, source) as table, staging() as stage:
            return _cut(folder, table, stage, source, file.profile or "", profile, settings, day)


@contextmanager
def opened(folder: LoadFolder, source: Source) -> Iterator[Table]:
    """The file that the run reads as a table. Raises InputProblem when it is none."""
    with tempfile.TemporaryDirectory(prefix="item-load-") as place:
        path = Path(place) / "input"
        with path.open("wb") as stream, folder.bucket.reader(folder.key(INPUT)) as kept:
            while block := kept.read(1 << 20):
                stream.write(block)
        yield open_table(path, TABLE)


def _take_in(folder: LoadFolder, file: DroppedFile, settings: ItemProfiles, *, version: str | None) -> Source:
    """Keep the bytes of the file in the run's folder; a cleared run finds them there."""
    known = folder.source()
    if known is not None and known.key != file.key:  # the run was given another file
        known = None
        folder.bucket.delete([folder.key(INPUT), folder.key("filed.json")])
    if known is not None and folder.bucket.info(folder.key(INPUT)) is not None:
        return known
    info = folder.bucket.info(file.key)
    filed = folder.filed_key()
    if (
        info is None and filed is not None
    ):  # by an earlier attempt, which did not get as far as to keep the bytes
        info, version = folder.bucket.info(filed), None
    if info is None:
        raise InputProblem(
            f"There is no file {printable(file.key)} in the bucket {folder.bucket.name}: "
            "it was moved or deleted before it could be read; drop it again"
        )
    now = Arrival(ITEMS, info.key, info.etag, info.last_modified, info.size).version
    if version is not None and version != now:
        raise folder.supersede(
            f"{printable(file.key)} was replaced before this run could read it: the new version has a run of its own"
        )
    source = Source(
        key=file.key, etag=info.etag, version=now, size=info.size, stem=file.stem, extension=file.extension
    )
    folder.write_source(source)
    _check_size(info, settings)
    try:
        _copy(folder, info)
    except NoSuchObject as error:
        raise InputProblem(f"{error}: drop it again when it is complete") from error
    return source


def _check_size(info: ObjectInfo, settings: ItemProfiles) -> None:
    if info.size > settings.max_file_mb * 1_000_000:
        raise InputProblem(
            f"The file has {info.size / 1_000_000:,.1f} MB, more than the {settings.max_file_mb:g} MB that "
            f"max_file_mb allows: "
            "a list of this many items is dropped in parts, or the bound is raised in config/item_profiles.yaml"
        )
    if info.size == 0:
        raise InputProblem("The file is empty: there is nothing to load")


def _copy(folder: LoadFolder, info: ObjectInfo) -> None:
    with folder.bucket.writer(folder.key(INPUT)) as kept:
        folder.bucket.download(info, kept)


def _cut(
    folder: LoadFolder,
    table: Table,
    stage: Staging,
    source: Source,
    profile_name: str,
    profile: ItemProfile,
    settings: ItemProfiles,
    day: date,
) -> list[Chunk]:
    counted = _Counted()
    earlier, sent = _stay_where_they_were(folder, stage, source)
    with folder.bucket.writer(folder.key(REJECTED)) as rejected:
        for row in _judged(table, stage, profile, day, counted, sent):
            rejected.write(json_line(row))
    if not counted.rows:
        raise InputProblem("The file has no rows: there is nothing to load")
    size = earlier.chunk_size if earlier else max(settings.chunk_size, -(-len(stage) // MAX_CHUNKS))
    chunks: list[Chunk] = []
    for rows in stage.chunks(size, known=earlier.chunks if earlier else 0, most=MAX_CHUNKS):
        number = len(chunks) + 1
        folder.bucket.write_rows(folder.chunk_key(number, ROWS), rows)
        ends = (rows[0]["mms_id"], rows[-1]["mms_id"]) if rows else ("none", "none")
        chunks.append(Chunk(number, *ends))
    folder.write_plan(
        Plan(
            run_id=folder.run_id,
            source=source,
            profile_name=profile_name,
            profile=profile,
            form=table.form,
            rejects_extension=_rejects_extension(source, table),
            day=day,
            rows=counted.rows,
            rejected=counted.rows - len(stage),
            chunks=len(chunks),
            chunk_size=size,
            codes=counted.codes(),
        )
    )
    log.info(
        "%s, %s: rows: %d, rejected: %d, chunks: %d",
        printable(source.key), table.form, counted.rows, counted.rows - len(stage), len(chunks),
    )  # fmt: skip
    return chunks


def _stay_where_they_were(
    folder: LoadFolder, stage: Staging, source: Source
) -> tuple[Plan | None, Collection[int]]:
    """Leave each title of an earlier attempt in its chunk, and each row whose item it made as it was.

    Returns the plan of that attempt, None when there was none of this file, and the lines that it may have sent.
    """
    earlier = folder.find_plan()
    if earlier is None or earlier.source.etag != source.etag:
        return None, ()
    sent: set[int] = set()
    for number in range(1, earlier.chunks + 1):
        made = made_items(folder, earlier, number)
        sent |= sent_lines(folder, number, None).keys()
        for row in folder.rows(number):
            stage.stays(row["mms_id"], number)
            if row_key(row) in made:
                stage.add(row)
    return earlier, sent


class _Counted:
    """What is noted while the rows go by."""

    def __init__(self) -> None:
        self.rows = 0
        self._places: set[tuple[str, str]] = set()
        self._values: dict[str, set[str]] = {"item_policy": set(), "material_type": set(), "po_line": set()}

    def good(self, row: ItemRow) -> None:
        """Note the codes of a row that may be loaded."""
        self._places.add((row["library"], row["location"]))
        for name, found in self._values.items():
            if name in row["values"]:
                found.add(row["values"][name])

    def codes(self) -> Codes:
        """The different codes."""
        return Codes(
            places=tuple(sorted(self._places)),
            item_policies=tuple(sorted(self._values["item_policy"])),
            material_types=tuple(sorted(self._values["material_type"])),
            po_lines=tuple(sorted(self._values["po_line"])),
        )


def _judged(
    table: Table, stage: Staging, profile: ItemProfile, day: date, counted: _Counted, sent: Collection[int]
) -> Iterator[RowResult]:
    """Put the good rows on the stage; the ends of the bad ones come back.

    A bad row that an earlier attempt may have ``sent``, by other settings, goes there too: it has to be looked for.
    """
    defaults = profile.values(day)
    for source in table.rows():
        counted.rows += 1
        made = stage.row_at(source.line)
        if made is not None:
            counted.good(made)
            continue
        row = item_row(source, defaults)
        try:
            check(source, row, profile.barcode_pattern)
        except BadRow as problem:
            refused: ItemRow = {**row, "refused": str(problem)}
            if source.line not in sent or stage.add(refused) is not None:
                yield result(row, Outcome.INVALID_ROW, str(problem))
            continue
        first = stage.add(row)
        if first is not None:
            line, mms_id = first
            title = "the same title" if mms_id == row["mms_id"] else f"the title {mms_id}"
            yield result(
                row, Outcome.DUPLICATE_IN_FILE, f"the barcode stands on line {line} already, for {title}"
            )
            continue
        counted.good(row)


def _rejects_extension(source: Source, table: Table) -> str:
    """The file's own extension if it fits what the file is, else one that does."""
    if table.extension == ".xlsx":
        return ".xlsx"
    return table.extension if source.extension in ("", ".xlsx", ".xls", ".pdf", ".zip") else source.extension
