"""Delivery: the assembled files under their final names, in the bucket and on a partner's SFTP server."""

import json
import logging
import posixpath
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import datetime
from typing import IO, Protocol

from alma_etl import __version__
from alma_etl.counted import counted
from alma_etl.errors import NotAcceptable
from alma_etl.west.assembly import assembled_key, read_assembly
from alma_etl.west.gates import SymbolResult
from alma_etl.west.naming import FOLDER
from alma_etl.west.run import RunFolder, WestPlan

log = logging.getLogger(__name__)

DELIVERED = "delivered.json"
SENT = "sftp.json"


class Sftp(Protocol):
    """The part of paramiko's SFTPClient that a delivery needs."""

    def putfo(self, fl: IO[bytes], remotepath: str) -> object: ...
    def posix_rename(self, oldpath: str, newpath: str) -> None: ...
    def rename(self, oldpath: str, newpath: str) -> None: ...
    def remove(self, path: str) -> None: ...


class DryRun(Exception):
    """A dry run, or one with a limit: everything is assembled in its folder, nothing leaves it."""


# The partner's server and the folder there; entered, and so connected to, only when there is something to deliver.
Partner = AbstractContextManager[tuple[Sftp | None, str]]


def deliver(folder: RunFolder, *, now: datetime, partner: Partner | None = None) -> list[str]:
    """Put each symbol's manifest, outcomes and MARC21 file into ``west/deliveries/``; return their keys.

    The MARC21 file comes last and appears whole under its final name, so that a partner who fetches on sight
    never sees half of one. A second delivery of the same day takes the place of the first. With a ``partner``
    the manifest and the MARC21 file also go there, each under a temporary name that is then renamed.

    Raises NotAcceptable when a gate is shut, with the sentences; DryRun for a dry run, or a run with a limit.
    """
    plan, assembly = folder.plan(), read_assembly(folder)
    folder.bucket.delete([folder.key(DELIVERED), folder.key(SENT)])
    if assembly.shut:
        raise NotAcceptable("Nothing was delivered. " + ". ".join(assembly.shut))
    if not plan.settings.delivers:
        why = "Dry run" if plan.settings.dry_run else "A run with a limit does not deliver"
        raise DryRun(f"{why}: the files lie in {assembled_key(folder, '')}, nothing was delivered")
    keys: list[str] = []
    sent: list[str] = []
    with partner or nullcontext((None, "")) as (sftp, sftp_folder):
        for result in assembly.symbols:
            if not sum(result.counts.values()):
                continue
            keys += _deliver_to_bucket(folder, plan, result, now)
            if sftp is not None and result.records:
                sent += _deliver_by_sftp(folder, result, sftp, sftp_folder)
    folder.bucket.put(folder.key(SENT), json.dumps(sent).encode(), "application/json")
    folder.bucket.put(folder.key(DELIVERED), json.dumps(keys).encode(), "application/json")
    return keys


def delivered_keys(folder: RunFolder) -> list[str]:
    """The keys of what this run delivered; none when it did not."""
    found = folder.bucket.find(folder.key(DELIVERED))
    return [] if found is None else list(json.loads(found))


def sent_by_sftp(folder: RunFolder) -> list[str]:
    """The names of the files that this run also put on the partner's server."""
    found = folder.bucket.find(folder.key(SENT))
    return [] if found is None else list(json.loads(found))


def delivery_event(folder: RunFolder) -> dict[str, object]:
    """What this run delivered, for those whose work begins with it: one entry a symbol.

    ``key`` is the MARC21 file's; None says that the symbol has no record any more, and that an earlier file of this
    day is gone.
    """
    keys = set(delivered_keys(folder))
    files = [
        {
            "symbol": result.symbol,
            "key": f"{FOLDER}{result.stem}.mrc" if result.records else None,
            "manifest": f"{FOLDER}{result.stem}.manifest.json",
            "outcomes": f"{FOLDER}{result.stem}.outcomes.csv",
            "records": result.records,
            "sha256": result.sha256 if result.records else None,
        }
        for result in read_assembly(folder).symbols
        if f"{FOLDER}{result.stem}.manifest.json" in keys
    ]
    return {"run_id": folder.run_id, "bucket": folder.bucket.name, "files": files}


def manifest(plan: WestPlan, result: SymbolResult, now: datetime) -> dict[str, object]:
    """The manifest of one symbol's delivery."""
    return {
        "file": f"{result.stem}.mrc" if result.records else None,
        "sha256": result.sha256,
        "bytes": result.bytes,
        "records": result.records,
        "symbol": result.symbol,
        "source": plan.source,
        "run_id": plan.run_id,
        "created_at": now.isoformat(timespec="seconds"),
        "counts": result.counts,
        "titles": result.titles,
        "holdings": result.holdings,
        "version": __version__,
        "list_mode": plan.settings.effective_list_mode.value,
        "input": plan.counts.model_dump(),
        "compared_with": result.last_stem,
        "dropped": result.dropped,
    }


def _deliver_to_bucket(folder: RunFolder, plan: WestPlan, result: SymbolResult, now: datetime) -> list[str]:
    bucket = folder.bucket
    text = json.dumps(manifest(plan, result, now), indent=1, ensure_ascii=False).encode()
    manifest_key, outcomes_key, marc_key = (
        f"{FOLDER}{result.stem}{ending}" for ending in (".manifest.json", ".outcomes.csv", ".mrc")
    )
    bucket.put(manifest_key, text, "application/json")
    bucket.copy(assembled_key(folder, f"{result.stem}.outcomes.csv"), outcomes_key)
    if not result.records:
        # The default symbol may only have titles without a holding; an earlier file of this day is void then.
        bucket.delete([marc_key])
        return [manifest_key, outcomes_key]
    bucket.copy(assembled_key(folder, f"{result.stem}.mrc"), marc_key)
    log.info(
        "Delivered %s: %s, %s", marc_key, counted(result.records, "record"), counted(result.bytes, "byte")
    )
    return [manifest_key, outcomes_key, marc_key]


def _deliver_by_sftp(folder: RunFolder, result: SymbolResult, sftp: Sftp, sftp_folder: str) -> list[str]:
    for source, name in _sftp_files(folder, result):
        final = posixpath.join(sftp_folder or ".", name)
        temporary = f"{final}.part"
        with folder.bucket.reader(source) as stream:
            sftp.putfo(stream, temporary)
        _rename(sftp, temporary, final)
        log.info("Delivered %s by SFTP", final)
    return [name for _, name in _sftp_files(folder, result)]


def _rename(sftp: Sftp, temporary: str, final: str) -> None:
    """Give a file its final name; one that has it already is replaced, at once where the server can."""
    try:
        sftp.posix_rename(temporary, final)
    except OSError:
        # The server lacks OpenSSH's extension. The plain rename of SFTP does not replace: the old file goes first.
        with suppress(FileNotFoundError):
            sftp.remove(final)
        sftp.rename(temporary, final)


def _sftp_files(folder: RunFolder, result: SymbolResult) -> Sequence[tuple[str, str]]:
    return (
        (f"{FOLDER}{result.stem}.manifest.json", f"{result.stem}.manifest.json"),
        (assembled_key(folder, f"{result.stem}.mrc"), f"{result.stem}.mrc"),
    )
