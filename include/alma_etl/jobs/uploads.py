"""Files that somebody uploads on a page: looked at first, put where dropped files lie, and held back while there is a
question.

A question is one of two: the bytes are those of a file that came before, or a file of the name waits in the folder
already. What is uploaded then lies in `runs/files_page/{id}/` until whoever uploaded it says yes; the daily purge drops
what nobody answered for.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from pydantic import BaseModel, ConfigDict

from alma_etl.errors import InputProblem
from alma_etl.jobs.arrivals import Arrival
from alma_etl.jobs.file_job import FileJob
from alma_etl.jobs.folder import RunFiles
from alma_etl.jobs.ledger_reading import FileVersion
from alma_etl.jobs.places import (
    dropped_file,
    extension_of,
    is_upload_in_transit,
    printable,
    safe_stem,
)
from alma_etl.jobs.profiles import JobProfiles, profile_named
from alma_etl.jobs.starting import DRY_RUN
from alma_etl.store.bucket import Bucket, ObjectInfo

LARGEST_MB = 100
"""The largest file that a page takes, whatever `max_file_mb` allows to be dropped; megabytes of 1,000,000 bytes."""
_HELD = "files_page"
_INPUT = "input"
_WISH = "wish.json"
_ID = re.compile(r"[0-9a-f]{32}")
_TYPE = "application/octet-stream"


class Upload(BaseModel):
    """What somebody wants: this file into the folder of a profile.

    ``key``: where it is to lie. ``corrects``: the key of the file whose rejected rows it holds. ``asked_about``: the
    earlier file with the same bytes, and the entity tag of the file of this name, as far as whoever uploads it was
    asked about them and said yes.
    """

    model_config = ConfigDict(frozen=True)

    key: str
    profile: str
    by: str
    sha256: str
    size: int
    dry_run: bool = False
    corrects: str = ""
    asked_about: tuple[str, str] = ("", "")


@dataclass(frozen=True)
class UploadQuestion:
    """What is to be confirmed: an earlier file with the same bytes, by key and version; what lies there by the name."""

    same_bytes: tuple[str, str] | None
    same_name: ObjectInfo | None

    @property
    def about(self) -> tuple[str, str]:
        """As `Upload.asked_about` keeps it."""
        same = json.dumps(self.same_bytes) if self.same_bytes else ""
        return same, self.same_name.etag if self.same_name else ""


def check_upload(
    job: FileJob[Any],
    settings: JobProfiles[Any],
    path: Path,
    *,
    name: str,
    profile: str,
    by: str,
    dry_run: bool = False,
    corrects: str = "",
) -> Upload:
    """Look at a file by the job's own reader, before it goes anywhere. Raises InputProblem, one sentence.

    ``name`` is what the browser says, of which nothing but harmless characters goes into the key.
    """
    given = profile_named(settings, profile, job.settings, job.profile_gives)
    plain = re.split(r"[/\\]", name)[-1]
    if is_upload_in_transit(plain):
        raise InputProblem(
            f"The name {printable(plain) or 'of the file'} is one that programs give to files while they write them, "
            "which are passed over: rename the file"
        )
    size = path.stat().st_size
    most = min(settings.max_file_mb, LARGEST_MB)
    if size > most * 1_000_000:
        raise InputProblem(
            f"The file has {size / 1_000_000:,.1f} MB, and a page takes {most:g} MB: upload the list in parts"
        )
    job.open_records(path, given)
    file = dropped_file(job.area, f"{job.area.incoming}{profile}/{safe_stem(plain)}{extension_of(plain)}")
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return Upload(
        key=file.key, profile=profile, by=by, sha256=digest, size=size, dry_run=dry_run, corrects=corrects
    )


def question_of(bucket: Bucket, upload: Upload, same_bytes: tuple[str, str] | None) -> UploadQuestion | None:
    """What is to be asked before a file is put where it belongs; None where nothing is, or was answered already.

    ``same_bytes``: key and version of the last file that had the same bytes, as the ledger knows it.
    """
    question = UploadQuestion(same_bytes, bucket.info(upload.key))
    return None if question.about in (("", ""), upload.asked_about) else question


def put_upload(bucket: Bucket, job: FileJob[Any], upload: Upload, stream: IO[bytes]) -> FileVersion | None:
    """Put a file where dropped files lie, where `file_intake` finds it; return it as the ledger keeps it.

    None where, in this moment, another file of the name came: there is a new question. ``dry_run`` goes with the
    object, so that no run can start without knowing it.
    """
    known = upload.asked_about[1] or None
    remarks = {DRY_RUN: "asked for on the page"} if upload.dry_run else {}
    if not bucket.put_beside(upload.key, stream, _TYPE, instead_of=known, remarks=remarks):
        return None
    info = bucket.info(upload.key)
    if info is None:
        return None
    arrival = Arrival(job.area, info.key, info.etag, info.last_modified, info.size)
    return replace(arrival.file, uploaded_by=upload.by, corrects=upload.corrects, sha256=upload.sha256)


class HeldUploads:
    """The files that wait for an answer."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def hold(self, upload: Upload, path: Path) -> str:
        """Keep a file until it is confirmed; return its id."""
        held = secrets.token_hex(16)
        folder = RunFiles(self._bucket, held, _HELD)
        with path.open("rb") as stream:
            self._bucket.upload(folder.key(_INPUT), stream, _TYPE)
        folder.write_model(_WISH, upload)
        return held

    def find(self, held: str, by: str) -> Upload | None:
        """A file that this person uploaded and that waits; None for any other id."""
        if not _ID.fullmatch(held):
            return None
        upload = RunFiles(self._bucket, held, _HELD).find_model(_WISH, Upload)
        return upload if upload is not None and upload.by == by else None

    def read(self, held: str, stream: IO[bytes]) -> None:
        """Write the bytes of a file into `stream`. Raises NoSuchObject."""
        with self._bucket.reader(RunFiles(self._bucket, held, _HELD).key(_INPUT)) as kept:
            while part := kept.read(1 << 20):
                stream.write(part)

    def drop(self, held: str) -> None:
        """Forget a file: it lies where it belongs now, or is not wanted."""
        folder = RunFiles(self._bucket, held, _HELD)
        self._bucket.delete([folder.key(_WISH), folder.key(_INPUT)])


def load_run_id(first_run_id: str) -> str:
    """The id of the run that loads a version of a file whose first run was a dry run.

    It is always the same, so that two people who press at once start one run; and another than the first one's, so that
    both keep their reports.
    """
    return f"{first_run_id}__load"
