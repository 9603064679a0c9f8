"""The page `/alma/files`: every dropped file, uploads into a profile, and one file with its runs.

What is uploaded lies where dropped files lie, and `file_intake` starts its run as it does for any other.
"""

import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from botocore.exceptions import BotoCoreError, ClientError
from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.datastructures import FormData, UploadFile

from alma_airflow.hooks.alma import is_known_sandbox
from alma_airflow.hooks.ledger import note_arrivals
from alma_airflow.hooks.store import open_bucket
from alma_airflow.operators.file_jobs import CONNECTIONS
from alma_airflow.ui.airflow_state import paused_dags
from alma_airflow.ui.connections import this_minute
from alma_airflow.ui.downloads import csv_download, object_download
from alma_airflow.ui.forms import PostedForm, posted
from alma_airflow.ui.guards import CurrentUser, can_start_runs, may_look, runs_seen
from alma_airflow.ui.links import airflow_prefix
from alma_airflow.ui.rendering import page
from alma_airflow.ui.start_runs import start_run
from alma_airflow.ui.store_reading import reading
from alma_etl.errors import InputProblem
from alma_etl.jobs.arrivals import Arrival
from alma_etl.jobs.file_job import FileJob
from alma_etl.jobs.ledger_reading import FileRow, RunKey
from alma_etl.jobs.profiles import JobProfiles
from alma_etl.jobs.uploads import (
    LARGEST_MB,
    HeldUploads,
    Upload,
    check_upload,
    load_run_id,
    put_upload,
    question_of,
)
from alma_etl.store.bucket import NoSuchObject
from alma_etl.views.file_jobs import FILE_JOBS
from alma_etl.views.files import (
    DroppedFileView,
    file_view,
    files_of,
    is_known_key,
    runs_of_waiting,
    same_bytes,
)
from alma_etl.views.words import ToDo

_log = logging.getLogger(__name__)
INTAKE = "file_intake"
_LARGEST_FORM = LARGEST_MB * 1_000_000 + (1 << 20)  # bytes: the file and the fields beside it
_GONE = "This upload no longer waits: it was loaded, or left for too long."

router = APIRouter(dependencies=[Depends(may_look)])
Key = Annotated[str, Query(max_length=1024)]
PostedUpload = Annotated[FormData, Depends(posted(largest=_LARGEST_FORM))]


@dataclass(frozen=True)
class UploadPlace:
    """The profiles of an area, into which this user may upload or not. ``problem``: why they cannot be read."""

    job: FileJob[Any]
    may_act: bool
    settings: JobProfiles[Any]
    problem: str = ""

    @property
    def profiles(self) -> Mapping[str, list[str]]:
        """What each profile does."""
        return {name: each.sentences() for name, each in sorted(self.settings.profiles.items())}

    @property
    def largest_mb(self) -> float:
        """The largest file that is taken."""
        return float(min(self.settings.max_file_mb, LARGEST_MB))


@dataclass(frozen=True)
class RefusedUpload:
    """Why an upload was not taken, and what was chosen in its form."""

    area: str
    sentence: str
    profile: str = ""
    dry_run: bool = False
    corrects: str = field(default="")


@router.get("/files")
def show(request: Request, user: CurrentUser) -> HTMLResponse:
    """The files, and the forms to upload one."""
    return _files(request, user)


@router.get("/files.csv")
def as_csv(request: Request, user: CurrentUser) -> Response:
    """The files as CSV, filtered as the page's query string says."""
    jobs = _seen(user)
    profiles = sorted({name for each in _places(user, jobs) for name in each.profiles})
    return csv_download(files_of(list(jobs), profiles), request.query_params, "files.csv")


@router.get("/files/file")
def one(request: Request, user: CurrentUser, key: Key = "", version: Key = "") -> HTMLResponse:
    """A file: its state, its runs with what they made, what it corrects."""
    return _file(request, user, key, version)


@router.get("/files/download")
def download(user: CurrentUser, key: Key = "", version: Key = "") -> Response:
    """The file itself, where this version of it lies now."""
    found = known_file(user, key, version).file
    if found.filed_key:
        return object_download(
            found.filed_key, found.filed_key.rpartition("/")[2], "application/octet-stream"
        )
    job = FILE_JOBS[found.area]
    info = open_bucket().info(found.key)
    if (
        info is None
        or Arrival(job.area, info.key, info.etag, info.last_modified, info.size).version != version
    ):
        raise HTTPException(404, "This version of the file is no longer where it was dropped.")
    return object_download(found.key, found.key.rpartition("/")[2], "application/octet-stream")


@router.post("/files/{area}/upload")
def upload(request: Request, user: CurrentUser, area: str, form: PostedUpload) -> Response:
    """Take a file into the folder of a profile, or ask about it first."""
    job = acting_job(user, area)
    chosen = RefusedUpload(
        area, "", sent(form, "profile"), sent(form, "dry_run") == "yes", sent(form, "corrects")
    )
    given = form.get("file")
    try:
        if not isinstance(given, UploadFile) or not given.filename:
            raise InputProblem("Choose a file first")
        with local_file(lambda stream: shutil.copyfileobj(given.file, stream)) as path:
            return take(request, user, job, path, given.filename, chosen)
    except InputProblem as problem:
        refused = RefusedUpload(area, f"{problem}.", chosen.profile, chosen.dry_run, chosen.corrects)
        return _files(request, user, status=422, refused=refused)


@router.get("/files/{area}/asked/{held}")
def asked(request: Request, user: CurrentUser, area: str, held: str) -> HTMLResponse:
    """What is to be confirmed of an upload."""
    job = acting_job(user, area)
    bucket = open_bucket()
    wanted = HeldUploads(bucket).find(held, user.get_name())
    if wanted is None:
        raise HTTPException(404, _GONE)
    with reading() as connection:
        earlier = same_bytes(connection, area, wanted.sha256)
    question = question_of(bucket, wanted, _version_of(earlier.file) if earlier else None)
    return page(
        request,
        user,
        "file_asked.html",
        here="/files",
        job=job,
        held=held,
        upload=wanted,
        earlier=earlier,
        question=question,
        about=question.about if question else ("", ""),
    )


@router.post("/files/{area}/confirm")
def confirm(request: Request, user: CurrentUser, area: str, form: PostedForm) -> Response:
    """Somebody was asked about an upload and wants it."""
    job = acting_job(user, area)
    held, waiting = sent(form, "held"), HeldUploads(open_bucket())
    wanted = waiting.find(held, user.get_name())
    if wanted is None:
        raise HTTPException(404, _GONE)
    if sent(form, "answer") != "yes":
        waiting.drop(held)
        return _redirect("/files")
    wanted = wanted.model_copy(update={"asked_about": (sent(form, "same"), sent(form, "name"))})
    try:
        with local_file(lambda stream: waiting.read(held, stream)) as path:
            return _bring(job, path, wanted, held)
    except NoSuchObject:
        raise HTTPException(404, _GONE) from None


@router.post("/files/{area}/load")
def load(request: Request, user: CurrentUser, area: str, form: PostedForm) -> Response:
    """Load a file that a dry run left where it was dropped."""
    job = acting_job(user, area)
    key, version = sent(form, "key"), sent(form, "version")
    found = known_file(user, key, version)
    if found.file.area != area:
        raise HTTPException(404)
    if not found.can_be_loaded:
        return _file(
            request, user, key, version, status=409, problem="This file cannot be loaded now: see its state."
        )
    conf = {"key": key, "version": version, "dry_run": False}
    run_id = load_run_id(found.runs[-1].run_id)
    try:
        start_run(user, job.area.dag_id, conf, run_id=run_id)
    except InputProblem as problem:
        return _file(request, user, key, version, status=422, problem=f"{problem}.")
    return _redirect(file_path(key, version))


def take(
    request: Request, user: BaseUser, job: FileJob[Any], path: Path, name: str, chosen: RefusedUpload
) -> Response:
    """Check what somebody uploads or corrected, and bring it where it belongs. Raises InputProblem, one sentence."""
    settings = settings_of(job)
    if chosen.corrects:
        with reading() as connection:
            if not is_known_key(connection, job.area.folder, chosen.corrects):
                raise InputProblem(
                    "The file that this one corrects is not known: upload it without naming one"
                )
    wanted = check_upload(
        job,
        settings,
        path,
        name=name,
        profile=chosen.profile,
        by=user.get_name(),
        dry_run=chosen.dry_run,
        corrects=chosen.corrects,
    )
    return _bring(job, path, wanted)


def _bring(job: FileJob[Any], path: Path, wanted: Upload, held: str = "") -> Response:
    """Put a file where dropped files lie, unless there is a question that was not answered yet."""
    bucket = open_bucket()
    with reading() as connection:
        earlier = same_bytes(connection, job.area.folder, wanted.sha256)
    if question_of(bucket, wanted, _version_of(earlier.file) if earlier else None) is None:
        with path.open("rb") as stream:
            file = put_upload(bucket, job, wanted, stream)
        if file is not None:
            note_arrivals([file])
            if held:
                HeldUploads(bucket).drop(held)
            return _redirect(file_path(file.key, file.version))
    return _redirect(f"/files/{job.area.folder}/asked/{held or HeldUploads(bucket).hold(wanted, path)}")


def _files(
    request: Request, user: BaseUser, *, status: int = 200, refused: RefusedUpload | None = None
) -> HTMLResponse:
    jobs = _seen(user)
    places = _places(user, jobs)
    profiles = sorted({name for each in places for name in each.profiles})
    with reading() as connection:
        table = files_of(list(jobs), profiles).page(connection, request.query_params)
        waiting = runs_of_waiting(connection, table.rows)
    return page(
        request,
        user,
        "files.html",
        here="/files",
        status=status,
        table_page=table,
        waiting=waiting,
        places=places,
        refused=refused,
        sees_titles="bibs" in jobs,
        to_do=_paused(jobs),
        file_path=file_path,
    )


def _file(
    request: Request, user: BaseUser, key: str, version: str, *, status: int = 200, problem: str = ""
) -> HTMLResponse:
    found = known_file(user, key, version)
    job = FILE_JOBS[found.file.area]
    may_act = can_start_runs(user, job.area.dag_id)
    return page(
        request,
        user,
        "file.html",
        here="/files",
        status=status,
        view=found,
        file=found.file,
        job=job,
        may_act=may_act,
        place=place_of(user, job) if found.ended and may_act else None,
        problem=problem,
        to_do=_paused({job.area.folder: job}) if found.file.state == "arrived" else [],
        file_path=file_path,
        run_key=RunKey,
    )


def file_path(key: str, version: str, what: str = "file") -> str:
    """The path of a file's page below `/alma`."""
    return f"/files/{what}?{urlencode({'key': key, 'version': version})}"


def settings_of(job: FileJob[Any]) -> JobProfiles[Any]:
    """The profiles of a job. Raises InputProblem where the settings file cannot be used."""
    return job.profiles(open_bucket(), sandbox=_sandbox(CONNECTIONS["alma"], this_minute()))


@lru_cache(maxsize=4)
def _sandbox(conn_id: str, minute: int) -> bool:
    return is_known_sandbox(conn_id)


def _places(user: BaseUser, jobs: Mapping[str, FileJob[Any]]) -> list[UploadPlace]:
    return [place_of(user, job) for job in jobs.values()]


def place_of(user: BaseUser, job: FileJob[Any]) -> UploadPlace:
    """The profiles of a job for this user, or why they cannot be read."""
    may_act = can_start_runs(user, job.area.dag_id)
    try:
        return UploadPlace(job, may_act, settings_of(job))
    except InputProblem as problem:
        return UploadPlace(job, may_act, job.settings.model(profiles={}), f"{problem}.")
    except (OSError, BotoCoreError, ClientError) as problem:
        _log.warning("The profiles cannot be read: %s", problem)
        away = "The bucket does not answer: nothing can be uploaded now."
        return UploadPlace(job, may_act, job.settings.model(profiles={}), away)


def _seen(user: BaseUser) -> dict[str, FileJob[Any]]:
    """The jobs whose runs, and so files, this user may see."""
    allowed = runs_seen(user, [job.area.dag_id for job in FILE_JOBS.values()])
    return {area: job for area, job in FILE_JOBS.items() if job.area.dag_id in allowed}


def acting_job(user: BaseUser, area: str) -> FileJob[Any]:
    """The job of an area, for somebody who may start its runs. 404, or 403 for anybody else."""
    job = FILE_JOBS.get(area)
    if job is None:
        raise HTTPException(404)
    if not can_start_runs(user, job.area.dag_id):
        raise HTTPException(403, f"Your role may look at files, but not start runs of {job.area.dag_id}.")
    return job


def known_file(user: BaseUser, key: str, version: str) -> DroppedFileView:
    """A file that this user may see. 404 for any other."""
    found = None
    if "\0" not in key + version and key.isprintable() and version.isprintable():
        with reading() as connection:
            found = file_view(connection, key, version)
    if found is None or found.file.area not in _seen(user):
        raise HTTPException(404, "The ledger has no such file. docs/ledger.md says how long what is kept.")
    return found


def _paused(jobs: Mapping[str, FileJob[Any]]) -> list[ToDo]:
    paused = paused_dags([INTAKE, *(job.area.dag_id for job in jobs.values())])
    return [
        ToDo(
            f"{dag_id} is paused: files wait.", "Switch it on at the top of its page.", "wait", dag_id=dag_id
        )
        for dag_id in sorted(paused)
    ]


@contextmanager
def local_file(write: Callable[[Any], object]) -> Iterator[Path]:
    """A file on this machine for the block, written by `write`."""
    with tempfile.TemporaryDirectory(prefix="upload-") as folder:
        path = Path(folder) / "input"
        with path.open("wb") as stream:
            write(stream)
        yield path


def _version_of(file: FileRow) -> tuple[str, str]:
    return file.key, file.version


def sent(form: FormData, name: str) -> str:
    """A field as it was sent, blanks included; "" for one that was not, or is a file."""
    value = form.get(name)
    return value if isinstance(value, str) else ""


def _redirect(path: str) -> RedirectResponse:
    return RedirectResponse(f"{airflow_prefix()}/alma{path}", 303)
