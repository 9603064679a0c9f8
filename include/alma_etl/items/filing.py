"""Step 6 of an item load: the file leaves the incoming folder, whatever became of it."""

import logging
from collections.abc import Callable

from botocore.exceptions import ClientError

from alma_etl.errors import InputProblem, RunStopped
from alma_etl.items.profiles import profile_named, read_profiles
from alma_etl.items.run import INPUT, LoadFolder, names_of
from alma_etl.items.summary import find_summary
from alma_etl.jobs.arrivals import Arrival
from alma_etl.jobs.places import ITEMS, DroppedFile, dropped_file, printable
from alma_etl.store.bucket import NoSuchObject

log = logging.getLogger(__name__)


def file_away(
    folder: LoadFolder,
    key: str,
    *,
    profile: str | None = None,
    dry_run: bool | None = None,
    is_sandbox: Callable[[], bool] = lambda: False,
) -> str:
    """Put the file under `items/done/`, or under `items/failed/` when no row of it could be loaded; returns its key.

    What is filed is the version that the run read. If the file was replaced in the meantime, the new one stays
    where it is: it has a run of its own. Doing it again, after a cleared run came to another end, moves the filed
    copy. A file that was not dropped, but named by hand elsewhere in the area, stays, and so does that of a dry
    run. Returns "" when there is nothing to file. `profile` and `dry_run` are those that the run was given;
    `is_sandbox`: whether the shipped profiles apply, asked of a file that could not be read.
    """
    folder.stop_if_superseded()
    try:
        file = dropped_file(ITEMS, key, profile=profile)
    except InputProblem:
        file = None
    if _is_dry_run(folder, file, dry_run, is_sandbox):
        log.info("A dry run: %s stays where it is", printable(key))
        return folder.filed_key() or ""
    summary = find_summary(folder)
    loaded = summary is not None and summary.loaded > 0
    stem, extension = names_of(file, key)
    target = ITEMS.filed(loaded=loaded, stem=stem, run_id=folder.run_id, extension=extension)
    kept = _keep(folder, key, target)
    if not kept:
        return ""
    earlier = folder.filed_key()
    folder.note_filed(target)
    if earlier is not None and earlier != target:
        folder.bucket.delete([earlier])
    _clear_incoming(folder, key)
    log.info("%s is filed as %s", printable(key), target)
    return target


def _is_dry_run(
    folder: LoadFolder, file: DroppedFile | None, asked: bool | None, is_sandbox: Callable[[], bool]
) -> bool:
    """Whether nothing was to be written; also of a file that could not be read."""
    plan = folder.find_plan()
    if plan is not None:
        return plan.dry_run
    if asked is not None or file is None:
        return bool(asked)
    try:
        settings = read_profiles(folder.bucket, sandbox=is_sandbox())
        return profile_named(settings, file.profile).dry_run
    except RunStopped:
        return False


def _keep(folder: LoadFolder, key: str, target: str) -> bool:
    """Copy what the run read to its place; whether there was anything."""
    if folder.bucket.info(folder.key(INPUT)) is not None:
        folder.bucket.copy(folder.key(INPUT), target)
        return True
    if not key.startswith(ITEMS.incoming):
        return False
    try:
        folder.bucket.copy(key, target)
    except (NoSuchObject, ClientError) as error:
        log.warning("%s cannot be filed: %s", printable(key), error)
        return folder.bucket.info(target) is not None
    return True


def _clear_incoming(folder: LoadFolder, key: str) -> None:
    if not key.startswith(ITEMS.incoming):
        return
    info = folder.bucket.info(key)
    source = folder.source()
    if info is None:
        return
    now = Arrival(ITEMS, key, info.etag, info.last_modified, info.size).version
    if (source is not None and source.version != now) or not folder.bucket.delete_version(key, info.etag):
        log.info("%s was replaced while it was loaded; the new version stays", printable(key))
