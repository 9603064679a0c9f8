"""The page `/alma/files/correct`: the rejected rows of a file in a form. What is saved is uploaded as any other file.

Nothing is kept of a form that is open: whoever saves one that was made from other rejects, or before somebody else
corrected the same, sees that first.
"""

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import HTMLResponse, Response
from starlette.datastructures import FormData

from alma_airflow.hooks.store import open_bucket
from alma_airflow.ui.files import (
    Key,
    RefusedUpload,
    acting_job,
    file_path,
    known_file,
    local_file,
    place_of,
    sent,
    settings_of,
    take,
)
from alma_airflow.ui.forms import posted
from alma_airflow.ui.guards import CurrentUser, may_look
from alma_airflow.ui.rendering import page
from alma_airflow.ui.store_reading import reading
from alma_etl.errors import InputProblem
from alma_etl.jobs.corrections import MOST_BYTES, MOST_CHARACTERS, MOST_ROWS, TOO_MUCH, RejectedTable
from alma_etl.jobs.file_job import FileJob, Records
from alma_etl.jobs.profiles import profile_named
from alma_etl.store.bucket import NoSuchObject
from alma_etl.views.files import DroppedFileView, refused_rows

_LARGEST_FORM = 12 * MOST_CHARACTERS + (
    2 << 20
)  # bytes: a character is sent as up to 12, and beside it the names
_GONE = "These rejects are no longer in the bucket: correct the file itself, and upload that."
_OTHERS = (
    "The rejects were written again since this form was made: their run was cleared. These are its rows now."
)
_MEANWHILE = (
    "Somebody else corrected these rejects in the meantime, see above. What you entered still stands here: "
    "send it again to upload it as well."
)

router = APIRouter(dependencies=[Depends(may_look)])
PostedRows = Annotated[FormData, Depends(posted(largest=_LARGEST_FORM))]


@dataclass(frozen=True)
class OpenRejects:
    """The rejects of a file, on this machine for a while. `digest` says which they are."""

    name: str
    digest: str
    table: RejectedTable
    profiles: Any
    job: FileJob[Any]

    def open(self, path: Path, profile: str) -> Records:
        """Open a file as the job does. Raises InputProblem."""
        given = profile_named(self.profiles, profile, self.job.settings, self.job.profile_gives)
        return self.job.open_records(path, given)


@router.get("/files/correct")
def show(request: Request, user: CurrentUser, key: Key = "", version: Key = "") -> HTMLResponse:
    """The form with the rejected rows of a file."""
    found = known_file(user, key, version)
    job = acting_job(user, found.file.area)
    try:
        with _opened(job, found) as rejects:
            return _page(request, user, job, found, rejects)
    except InputProblem as problem:
        return _page(request, user, job, found, None, problem=f"{problem}.")


@router.post("/files/{area}/correct")
def save(request: Request, user: CurrentUser, area: str, form: PostedRows) -> Response:
    """Upload the rows as somebody corrected them."""
    job = acting_job(user, area)
    found = known_file(user, sent(form, "key"), sent(form, "version"))
    if found.file.area != area:
        raise HTTPException(404)
    try:
        with _opened(job, found) as rejects:
            return _taken(request, user, job, found, rejects, form)
    except InputProblem as problem:
        return _page(request, user, job, found, None, problem=f"{problem}.", status=422)


def _taken(
    request: Request,
    user: BaseUser,
    job: FileJob[Any],
    found: DroppedFileView,
    rejects: OpenRejects,
    form: FormData,
) -> Response:
    if sent(form, "rejects") != rejects.digest:
        return _page(request, user, job, found, rejects, problem=_OTHERS, status=409)
    chosen = RefusedUpload(
        job.area.folder, "", sent(form, "profile"), sent(form, "dry_run") == "yes", found.file.key
    )
    given = {name: value for name, value in form.items() if isinstance(value, str)}
    if sent(form, "corrected") != _last_correction(found):
        problem = _MEANWHILE
        return _page(request, user, job, found, rejects, given, chosen, problem=problem, status=409)
    try:
        with local_file(lambda _: None) as path:
            rejects.table.write(given, path, lambda written: rejects.open(written, chosen.profile))
            return take(request, user, job, path, rejects.name, chosen)
    except InputProblem as problem:
        return _page(request, user, job, found, rejects, given, chosen, problem=f"{problem}.", status=422)


@contextmanager
def _opened(job: FileJob[Any], found: DroppedFileView) -> Iterator[OpenRejects]:
    """The rejects for the block. Raises InputProblem where they cannot be corrected on a page; 404 without any."""
    if found.rejects is None:
        raise HTTPException(404, "There are no rejects of this file: see its state.")
    bucket, key = open_bucket(), found.rejects["key"]
    info = bucket.info(key)
    if info is None:
        raise HTTPException(404, _GONE)
    if info.size > MOST_BYTES:
        raise InputProblem(TOO_MUCH)
    settings = settings_of(job)
    try:
        with bucket.reader(key) as kept, local_file(lambda stream: shutil.copyfileobj(kept, stream)) as path:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            profile = profile_named(settings, found.file.profile, job.settings, job.profile_gives)
            table = RejectedTable(job.open_records(path, profile))
            yield OpenRejects(found.rejects["name"], digest, table, settings, job)
    except NoSuchObject:
        raise HTTPException(404, _GONE) from None


def _page(
    request: Request,
    user: BaseUser,
    job: FileJob[Any],
    found: DroppedFileView,
    rejects: OpenRejects | None,
    given: dict[str, str] | None = None,
    chosen: RefusedUpload | None = None,
    *,
    problem: str = "",
    status: int = 200,
) -> HTMLResponse:
    reasons = []
    if rejects is not None and found.run is not None:
        with reading() as connection:
            reasons = refused_rows(connection, found.run, most=MOST_ROWS + 1)
    rows = rejects.table.fields(given) if rejects else []
    if len(reasons) != len(rows):  # no longer kept: which belongs to which is not known
        reasons = []
    return page(
        request,
        user,
        "correct.html",
        here="/files",
        status=status,
        file=found.file,
        view=found,
        job=job,
        place=place_of(user, job),
        header=rejects.table.header(given) if rejects else None,
        header_problem=rejects.table.header_problem if rejects else "",
        rows=rows,
        reasons=reasons,
        digest=rejects.digest if rejects else "",
        corrected=_last_correction(found),
        chosen=chosen or RefusedUpload(job.area.folder, "", found.file.profile),
        problem=problem,
        file_path=file_path,
    )


def _last_correction(found: DroppedFileView) -> str:
    """The last file that corrects this one, so that a form shows which its user knows of."""
    return "@".join((found.corrections[0].key, found.corrections[0].version)) if found.corrections else ""
