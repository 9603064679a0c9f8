"""The working files of a run on one dropped file, `runs/{dag_id}/{run_id}/`, and the way of the file itself.

The bytes that a run reads are kept in its folder: what happens to the dropped file afterwards changes nothing.
"""

import hashlib
import json
import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import IO, Any, Generic, TypeVar

from botocore.exceptions import ClientError
from pydantic import BaseModel, ConfigDict

from alma_etl.errors import InputProblem
from alma_etl.jobs.arrivals import Arrival
from alma_etl.jobs.folder import PlannedRun
from alma_etl.jobs.ledger_reading import FileVersion
from alma_etl.jobs.outcomes import Row
from alma_etl.jobs.places import Area, DroppedFile, dropped_file, extension_of, printable, safe_stem
from alma_etl.jobs.profiles import JobProfile
from alma_etl.store.bucket import NoSuchObject, ObjectInfo

log = logging.getLogger(__name__)

ProfileT = TypeVar("ProfileT", bound=JobProfile)

INPUT = "input"
ROWS = "rows.jsonl"
REJECTED = "rejected.jsonl"
PAGE = "report.html"  # the copy in the run's folder, which the Airflow UI shows


class Superseded(Exception):
    """The file was replaced before this run read it: there is nothing to do, the new version has its own run."""


class RunSource(BaseModel):
    """The file that the run reads: which version of which object, and how its reports are called."""

    model_config = ConfigDict(frozen=True)

    key: str
    etag: str
    version: str
    size: int
    stem: str
    extension: str
    sha256: str = ""  # of the bytes; "" in the run of a version of this package that did not compute it

    def file_version(self, area: Area) -> FileVersion:
        """Return the file as the ledger keeps it."""
        arrived_at = datetime.fromisoformat(self.version.rpartition("@")[2])
        return replace(Arrival(area, self.key, self.etag, arrived_at, self.size).file, sha256=self.sha256)


class FilePlan(BaseModel, Generic[ProfileT]):
    """What the first step decided; every later step reads it.

    ``rows`` are all rows of the file, ``rejected`` those that were rejected at once. ``day`` is the run's date (UTC).
    ``codes`` are the different values that the rows name, as far as the job asks for them before it writes.
    """

    model_config = ConfigDict(frozen=True)

    run_id: str
    source: RunSource
    profile_name: str
    profile: ProfileT
    form: str
    rejects_extension: str
    day: date
    rows: int
    rejected: int
    chunks: int
    chunk_size: int
    codes: dict[str, Any] = {}

    @property
    def dry_run(self) -> bool:
        """Whether nothing is to be written."""
        return self.profile.dry_run


class FileRun(PlannedRun[FilePlan[Any]]):
    """The keys of one run's working files, and the file that it reads."""

    def rows(self, number: int) -> Iterator[Row]:
        """Yield the rows of a chunk, those of a group together."""
        yield from self.bucket.read_rows(self.chunk_key(number, ROWS))

    def source(self) -> RunSource | None:
        """Return which file the run reads, None when it did not get that far."""
        return self.find_model("source.json", RunSource)

    def filed_key(self) -> str | None:
        """Return where the run's file rests, None when it was not filed."""
        found = self.bucket.find(self.key("filed.json"))
        return None if found is None else str(json.loads(found)["filed"])

    # --- superseded

    def supersede(self, sentence: str) -> Superseded:
        """Note that the run has nothing to do; return the exception to raise."""
        self.bucket.put(self.key("superseded.txt"), sentence.encode(), "text/plain; charset=utf-8")
        return Superseded(sentence)

    def not_superseded(self) -> None:
        """Take back what an earlier attempt of the first step found: the run has its file."""
        self.bucket.delete([self.key("superseded.txt")])

    def stop_if_superseded(self) -> None:
        """Raise Superseded when the first step found that the run has nothing to do."""
        found = self.bucket.find(self.key("superseded.txt"))
        if found is not None:
            raise Superseded(found.decode())

    # --- the file: taken in, opened, filed away

    def take_in(
        self, file: DroppedFile, *, version: str | None, check_size: Callable[[ObjectInfo], None]
    ) -> RunSource:
        """Keep the bytes of the file in the run's folder; a cleared run finds them there.

        ``version``: which version of the file is meant, None for whichever. Raises InputProblem when there is no such
        file or `check_size` refuses it, Superseded when it is no longer the version that is meant.
        """
        known = self.source()
        if known is not None and known.key != file.key:  # the run was given another file
            known = None
            self.bucket.delete([self.key(INPUT), self.key("filed.json")])
        if known is not None and self.bucket.info(self.key(INPUT)) is not None:
            return known
        info = self.bucket.info(file.key)
        filed = self.filed_key()
        if info is None and filed is not None:  # an earlier attempt did not get as far as to keep the bytes
            info, version = self.bucket.info(filed), None
        if info is None:
            raise InputProblem(
                f"There is no file {printable(file.key)} in the bucket {self.bucket.name}: "
                "it was moved or deleted before it could be read; drop it again"
            )
        now = _version(file.area, info)
        if version is not None and version != now:
            raise self.supersede(
                f"{printable(file.key)} was replaced before this run could read it: "
                "the new version has a run of its own"
            )
        source = RunSource(
            key=file.key,
            etag=info.etag,
            version=now,
            size=info.size,
            stem=file.stem,
            extension=file.extension,
        )
        self.write_model("source.json", source)
        check_size(info)
        try:
            with self.bucket.writer(self.key(INPUT)) as kept:
                hashed = _Hashed(kept)
                self.bucket.download(info, hashed)  # type: ignore[arg-type]
        except NoSuchObject as error:
            raise InputProblem(f"{error}: drop it again when it is complete") from error
        source = source.model_copy(update={"sha256": hashed.sha256.hexdigest()})
        self.write_model("source.json", source)
        return source

    @contextmanager
    def input_on_disk(self) -> Iterator[Path]:
        """Copy the file that the run reads to this machine, for the block."""
        with tempfile.TemporaryDirectory(prefix="file-job-") as place:
            path = Path(place) / "input"
            with path.open("wb") as stream, self.bucket.reader(self.key(INPUT)) as kept:
                while block := kept.read(1 << 20):
                    stream.write(block)
            yield path

    def file_away(self, area: Area, key: str, target: str) -> bool:
        """Put the version that the run read under `target`, and take it out of the incoming folder.

        If the file was replaced in the meantime, the new version stays where it is: it has a run of its own. Doing it
        again moves the filed copy. A file that was not dropped, but named by hand elsewhere in the area, stays. Return
        whether there was anything to file.
        """
        if not self._copy_to(target, key, dropped=key.startswith(area.incoming)):
            return False
        earlier = self.filed_key()
        self.bucket.put(self.key("filed.json"), json.dumps({"filed": target}).encode(), "application/json")
        if earlier is not None and earlier != target:
            self.bucket.delete([earlier])
        if key.startswith(area.incoming):
            self._clear_incoming(area, key)
        return True

    def _copy_to(self, target: str, key: str, *, dropped: bool) -> bool:
        if self.bucket.info(self.key(INPUT)) is not None:
            self.bucket.copy(self.key(INPUT), target)
            return True
        if not dropped:
            return False
        try:
            self.bucket.copy(key, target)
        except (NoSuchObject, ClientError) as error:
            log.warning("%s cannot be filed: %s", printable(key), error)
            return self.bucket.info(target) is not None
        return True

    def _clear_incoming(self, area: Area, key: str) -> None:
        info = self.bucket.info(key)
        source = self.source()
        if info is None:
            return
        is_other = source is not None and source.version != _version(area, info)
        if is_other or not self.bucket.delete_version(key, info.etag):
            log.info("%s was replaced while it was loaded; the new version stays", printable(key))


class _Hashed:
    """A stream that is written to, with the SHA-256 of what was."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.sha256 = hashlib.sha256()

    def write(self, part: bytes) -> int:
        self.sha256.update(part)
        return self._stream.write(part)


def names_of(area: Area, key: str) -> tuple[str, str]:
    """Return stem and extension for the names of the reports, also of a file whose key is not accepted."""
    try:
        file = dropped_file(area, key)
    except InputProblem:
        name = key.rpartition("/")[2]
        return safe_stem(name), extension_of(name)
    return file.stem, file.extension


def _version(area: Area, info: ObjectInfo) -> str:
    return Arrival(area, info.key, info.etag, info.last_modified, info.size).version
