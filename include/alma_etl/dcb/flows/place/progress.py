"""One request on its way to be tracked: what the steps work with, and how far they have come.

It is kept with the run, so that a retry or a killed worker goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from alma_etl.dcb.conf import PlaceRequest, nested
from alma_etl.dcb.machine.vocabulary import Role
from alma_etl.dcb.settings import DcbSettings, SystemSettings
from alma_etl.dcb.sides import legs
from alma_etl.dcb.sides.ports import Unsettled
from alma_etl.dcb.sides.systems import Systems
from alma_etl.dcb.sides.virtual_item import VirtualItem
from alma_etl.dcb.store import DcbStore, LegRecord
from alma_etl.errors import InputProblem, RunStopped
from alma_etl.jobs.folder import RunFiles
from alma_etl.jobs.ledger import Results, run_artefacts
from alma_etl.jobs.pages import render
from alma_etl.remote.errors import RemoteStop
from alma_etl.store.bucket import Bucket
from alma_etl.store.locks import Lock, Locks

PLACE_DAG = "dcb_place_request"
PROGRESS = "progress.json"
DRY_PROGRESS = "dry-run-progress.json"  # a run that is cleared as a real one must not take it for done
_CLAIMS = f"runs/{PLACE_DAG}/claims/"


@dataclass(frozen=True)
class RequestContext:
    """What the steps of placing and cancelling work with."""

    settings: DcbSettings
    store: DcbStore
    systems: Systems
    bucket: Bucket
    locks: Locks
    now: Callable[[], datetime]


class Progress(BaseModel):
    """What is done so far, by ids alone. ``copy_number``: the copy that is asked for, counted from 0; ``found``: what
    was looked up of it, by the field of the conf. ``begun``: steps that may have sent something; ``lines``: what each
    step says for the report; ``problem``, ``undone`` and ``left``: how a refusal ended."""

    pr_id: str
    user_id: str = ""
    virtual_user: str = ""
    tracked: str | None = None
    copy_number: int = 0
    found: dict[str, str] = {}
    supplier: LegRecord | None = None
    items: dict[Role, VirtualItem] = {}
    legs: dict[Role, LegRecord] = {}
    begun: list[str] = []
    lines: dict[str, list[str]] = {}
    problem: str | None = None
    undone: list[str] = []
    left: list[str] = []

    def note(self, step: str, line: str) -> None:
        """Say something for the report; what was said before stands."""
        said = self.lines.setdefault(step, [])
        if line not in said:
            said.append(line)

    @property
    def stands(self) -> list[str]:
        """What is in the Almas now, for a person who may have to take it away."""
        found = [
            f"{leg.role.lower()}'s hold {leg.request_id}" for leg in self.legs.values() if leg.request_id
        ]
        found += [f"FOLIO transaction {leg.txn_id}" for leg in self.legs.values() if leg.txn_id]
        found += [
            f"virtual item {item.item_pid} (title {item.mms_id}) at the {role.lower()}"
            for role, item in self.items.items()
        ]
        if self.supplier is not None:
            found.append(f"lender's hold {self.supplier.request_id} of {self.supplier.user_id}")
        return found


class _Claim(BaseModel):
    """Which run began with a request, and digests: no second run places something else under its id.

    ``request``: of the conf with the patron's primary id; ``confs``: of the confs as they were given, which may name
    the patron by other identifiers.
    """

    run_id: str
    request: str
    confs: set[str]


def stored_conf(place: PlaceRequest, progress: Progress) -> dict[str, Any]:
    """The conf as it is tracked: with the patron's primary id and what was looked up, and without the note, which is
    free text, and may be about a person. Which copy it became, if not the first, stands with the lender's side."""
    later = _OF_THE_COPY if progress.copy_number else frozenset[str]()
    found = {name: value for name, value in progress.found.items() if name not in later}
    kept = place.model_copy(update={"user_id": progress.user_id, **found})
    return kept.model_dump(mode="json", exclude={"note"}, exclude_none=True)


_OF_THE_COPY = frozenset(
    {"supplier_system", "item_barcode", "supplier_mms_id", "supplier_holding_id", "supplier_item_pid"}
)


class Placing:
    """One request on its way to be tracked; several runs of the same conf share it. ``asked``: the conf as given;
    ``place``: with the patron's primary id and what was looked up, as far as that is known. ``dry_run``: nothing is
    written, and nothing is shared."""

    def __init__(
        self, context: RequestContext, place: PlaceRequest, run_id: str, *, dry_run: bool = False
    ) -> None:
        self.context = context
        self.asked = self.place = place
        self.dry_run = dry_run
        self.files = RunFiles(context.bucket, run_id, PLACE_DAG)
        self._progress = DRY_PROGRESS if dry_run else PROGRESS
        self._lock: Lock
        self._claim_key = _claim_key(place.pr_id)

    def with_user(self, user_id: str) -> PlaceRequest:
        """The conf with the patron's primary id."""
        return self.asked.model_copy(update={"user_id": user_id})

    def take_in(self, progress: Progress) -> Progress:
        """Go on from what is known by now; returns it."""
        user = {"user_id": progress.user_id} if progress.user_id else {}
        self.place = self.asked.model_copy(update={**user, **progress.found})
        return progress

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else works on this request meanwhile. Raises LockBusy after a while, which a retry fixes."""
        with self.context.locks.hold(f"dcb_request:{self.place.pr_id}") as self._lock:
            yield

    def check_alone(self) -> None:
        """To be called right before anything is written. Raises LockLost when others may work on it, too; a retry
        goes on where this one was."""
        self._lock.check()

    def peek(self, place: PlaceRequest) -> Progress | None:
        """How far this or another run of the same conf has come; None when nobody has begun. ``place``: the conf with
        the patron's primary id.

        Raises InputProblem when a run has begun with another conf.
        """
        if self.dry_run:
            return _read(self.files, self._progress)
        claim = self._claim()
        if claim is None:
            return None
        if claim.request not in _digests(place):
            raise InputProblem(
                f"The request {self.place.pr_id} is being placed with another conf by the run {claim.run_id}: use that "
                "conf, or another pr_id"
            )
        return _read(self._files_of(claim))

    def begin(self, place: PlaceRequest, *, is_tracked: bool = False) -> Progress:
        """Claim the request for this conf, or join the run that has. Raises InputProblem for another conf.

        ``is_tracked``: it was compared with what is tracked, which counts.
        """
        if self.dry_run:
            return self.peek(place) or Progress(pr_id=place.pr_id)
        claim = self._claim()
        progress = self.peek(place) if claim is None or not is_tracked else _read(self._files_of(claim))
        if progress is None or claim is None:
            progress = Progress(pr_id=place.pr_id)
            claim = _Claim(run_id=self.files.run_id, request=_digests(place)[0], confs=set())
            # The claim comes last: a run that was killed in between has claimed nothing.
            self._put(self.files.key(self._progress), progress)
        if claim.confs.isdisjoint(_digests(self.asked)):
            claim.confs.add(_digests(self.asked)[0])
            self._put(self._claim_key, claim)
        return progress

    def mine(self) -> Progress | None:
        """How far a run of this very conf has come; None when none has begun, or all was undone."""
        if self.dry_run:
            return _read(self.files, self._progress)
        claim = self._claim()
        if claim is None or claim.confs.isdisjoint(_digests(self.asked)):
            return None
        return _read(self._files_of(claim))

    def load(self) -> Progress:
        """How far it has come. Raises InputProblem when it was not begun, or undone."""
        progress = self.mine()
        if progress is None:
            raise InputProblem(
                f"The placing of {self.place.pr_id} was undone, or not begun: clear the run from check_patron on"
            )
        return self.take_in(progress)

    def find(self) -> Progress:
        """How far it has come, for the report: also when it was undone."""
        found = self.mine() or _read(self.files, self._progress)
        return self.take_in(found or Progress(pr_id=self.asked.pr_id))

    def save(self, progress: Progress) -> None:
        """Keep it."""
        claim = None if self.dry_run else self._claim()
        files = self._files_of(claim) if claim else self.files
        self._put(files.key(self._progress), progress)

    def give_up(self, progress: Progress) -> None:
        """All was undone: the id is free again, and this run keeps what it has to say."""
        self._put(self.files.key(self._progress), progress)
        if not self.dry_run:
            self.context.bucket.delete([self._claim_key])

    def _claim(self) -> _Claim | None:
        return _claim_of(self.context.bucket, self.place.pr_id)

    def _files_of(self, claim: _Claim) -> RunFiles:
        return RunFiles(self.context.bucket, claim.run_id, PLACE_DAG)

    def _put(self, key: str, document: BaseModel) -> None:
        self.context.bucket.put(key, document.model_dump_json().encode(), "application/json")


def claimed(bucket: Bucket) -> Iterator[tuple[str, datetime]]:
    """The requests whose placing was begun and not undone, and when that was noted last."""
    for each in bucket.list(_CLAIMS):
        yield each.key.removeprefix(_CLAIMS).removesuffix(".json"), each.last_modified


def progress_of(bucket: Bucket, pr_id: str) -> Progress | None:
    """How far the placing of a request has come, whoever began it."""
    claim = _claim_of(bucket, pr_id)
    return None if claim is None else _read(RunFiles(bucket, claim.run_id, PLACE_DAG))


def _claim_key(pr_id: str) -> str:
    return f"{_CLAIMS}{pr_id}.json"


def _claim_of(bucket: Bucket, pr_id: str) -> _Claim | None:
    found = bucket.find(_claim_key(pr_id))
    return None if found is None else _Claim.model_validate_json(found)


def _read(files: RunFiles, name: str = PROGRESS) -> Progress | None:
    found = files.bucket.find(files.key(name))
    return None if found is None else Progress.model_validate_json(found)


def _digests(place: PlaceRequest) -> tuple[str, str]:
    """The digest of a conf, and the one that it had in the nested form of before."""
    flat = place.model_dump(mode="json", exclude_none=True) | {"pickup_system": place.fetched_at}
    return _digest(flat), _digest(nested(place))


def _digest(conf: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(conf, sort_keys=True).encode()).hexdigest()


# --- its sides


def system_of(placing: Placing, role: Role) -> tuple[str, SystemSettings]:
    """Code and settings of a side's system."""
    code = legs.code_of(placing.place, role)
    return code, placing.context.systems.settings(code)


# --- for the step that reports: why one did not succeed, and the page


_NAME = "problem.txt"


@contextmanager
def keeping(files: RunFiles) -> Iterator[None]:
    """Keep the sentence of an error that ends the block; that of an earlier attempt goes. The error goes on."""
    files.bucket.delete([files.key(_NAME)])
    try:
        yield
    except (RunStopped, RemoteStop, Unsettled) as problem:
        files.bucket.put(files.key(_NAME), str(problem).encode(), "text/plain; charset=utf-8")
        raise


def kept(files: RunFiles) -> str | None:
    """The sentence of the step that failed; None when it left none, as a killed worker does."""
    found = files.bucket.find(files.key(_NAME))
    return None if found is None else found.decode()


def write_page(
    files: RunFiles,
    heading: str,
    sentence: str,
    rows: Sequence[tuple[str, str]],
    *,
    failed: bool,
    dry_run: bool,
) -> None:
    """Write `report.html`. ``rows``: steps, and what each says."""
    page = render(
        "dcb_steps.html",
        heading=heading,
        run_id=files.run_id,
        sentence=sentence,
        verdict_class="bad" if failed else ("dry-run" if dry_run else ""),
        rows=rows,
    )
    files.bucket.put(files.key("report.html"), page, "text/html; charset=utf-8")


def results_of(placing: Placing) -> Results:
    """Return for the ledger whether the request is tracked, as its status."""
    tracked = placing.find().tracked
    return Results({str(tracked): 1} if tracked else {}, artefacts=run_artefacts(placing.files))
