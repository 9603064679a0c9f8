"""The steps of a tick against two sandboxes, a store and a bucket in memory: without Airflow, by a clock of its own."""

import json
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import event

from alma_etl.dcb.flows.tick import act, apply, poll, report, select
from alma_etl.dcb.flows.tick.folder import Deadline, Polled, SyncFolder, Worked
from alma_etl.dcb.flows.tick.poll import SystemSources
from alma_etl.dcb.flows.tick.report import TickSummary, read_summary
from alma_etl.dcb.machine.vocabulary import Role
from alma_etl.dcb.sides.alma_act import HoldWish, place_hold
from alma_etl.dcb.sides.marks import hold_mark, virtual_user
from alma_etl.dcb.sides.patrons import ensure_virtual_patron
from alma_etl.dcb.sides.ports import Done
from alma_etl.dcb.store import DcbStore, LegRecord, NewRequest, OutboxRow, Tracked
from alma_etl.dcb.store.rows import History
from alma_etl.store.bucket import Bucket, NoSuchObject, ObjectInfo, json_line
from tests.stores import sqlite_store
from tests.unit.dcb.sides_world import NOW, Almas

PICKUP = "SCI"


class MemoryBucket(Bucket):
    """A bucket without a server."""

    def __init__(self) -> None:
        self.name = "memory"
        self.objects: dict[str, bytes] = {}

    def get(self, key: str) -> bytes:
        if key not in self.objects:
            raise NoSuchObject(f"there is no object {key}")
        return self.objects[key]

    def put(self, key: str, body: bytes, content_type: str = "") -> None:
        self.objects[key] = body

    def info(self, key: str) -> ObjectInfo | None:
        return ObjectInfo(key, len(self.objects[key]), "", NOW) if key in self.objects else None

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        for key in sorted(self.objects):
            if key.startswith(prefix):
                yield ObjectInfo(key, len(self.objects[key]), "", NOW)

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.objects.pop(key, None)

    def read_rows(self, key: str) -> Iterator[dict[str, Any]]:
        yield from (json.loads(line) for line in self.get(key).splitlines())

    def write_rows(self, key: str, rows: Iterable[Mapping[str, object]]) -> None:
        self.put(key, b"".join(json_line(row) for row in rows))


class Clock:
    """Stands still but for a moment a look."""

    def __init__(self, start: datetime = NOW) -> None:
        self._lock = threading.Lock()
        self.time = start

    def __call__(self) -> datetime:
        with self._lock:
            self.time += timedelta(milliseconds=1)
            return self.time


class Ears:
    """A sink that remembers what it was told."""

    name = "log"

    def __init__(self) -> None:
        self.told: list[OutboxRow] = []

    def deliver(self, row: OutboxRow, tracked: Tracked) -> Done:
        self.told.append(row)
        return Done()


class SyncWorld:
    """Both Almas, the store, and the tasks of a tick."""

    def __init__(self, almas: Almas, folder: Path) -> None:
        self.almas = almas
        self.url = sqlite_store(folder / "store.db")
        self.store = DcbStore(self.url)
        # A test's store need not survive a crash of the machine.
        event.listen(self.store._engine, "connect", lambda db, _: db.execute("PRAGMA synchronous = OFF"))
        self.bucket = MemoryBucket()
        self.clock = Clock()
        self.ears = Ears()
        self.runs = 0

    # --- people and books

    def place(self, pr_id: str = "PR-1", number: int = 0, patron: str = "patron003", **conf: Any) -> None:
        """The lender's hold is placed and the request tracked; the sync places the borrower's side."""
        almas, now = self.almas, self.clock()
        place = almas.place(pr_id, number, user_id=patron, **conf)
        book, user = almas.book(number), virtual_user("BORROWER", patron)
        ensure_virtual_patron(almas.at_lender, almas.lender_settings, user, now)
        mark = hold_mark(pr_id, Role.SUPPLIER)
        wish = HoldWish(user, book.mms_id, book.holding_id, book.pid, "STOR", None, mark)
        hold = place_hold(almas.at_lender, wish)
        lender = LegRecord(
            Role.SUPPLIER,
            "LENDER",
            user_id=user,
            request_id=hold.request_id,
            mms_id=book.mms_id,
            holding_id=book.holding_id,
            item_pid=book.pid,
            barcode=place.item_barcode,
        )
        borrower = LegRecord(Role.BORROWER, "BORROWER", user_id=patron)
        asked = place.model_dump(mode="json", exclude_none=True)
        self.store.add(NewRequest(pr_id, (lender, borrower), conf=asked), now)

    def barcode(self, number: int = 0) -> str:
        return self.almas.book(number).barcode

    def desk(self, side: str, barcode: str, library: str, **more: str) -> str:
        """Staff scan a book in, or lend it; its process type comes back."""
        at = self.almas.lender if side == "lender" else self.almas.borrower
        body = {"barcode": barcode, "library": library, **more}
        return str(at.control("POST", "desk", body)["process_type"])

    def ship(self, number: int = 0) -> None:
        assert self.desk("lender", self.barcode(number), "MAIN") == "TRANSIT"

    def arrive(self, number: int = 0) -> None:
        assert self.desk("borrower", self.barcode(number), PICKUP) == "HOLDSHELF"

    def borrow(self, number: int = 0, patron: str = "patron003") -> None:
        self.desk("borrower", self.barcode(number), PICKUP, lend_to=patron)

    def give_back(self, number: int = 0) -> None:
        self.desk("borrower", self.barcode(number), PICKUP)

    def come_home(self, number: int = 0) -> None:
        self.desk("lender", self.barcode(number), self.almas.book(number).library)

    def pass_time(self, span: timedelta) -> None:
        """Time passes everywhere."""
        self.clock.time += span
        self.almas.now = self.clock.time
        for side in (self.almas.lender, self.almas.borrower):
            side.control("POST", "clock", {"now": self.clock.time.isoformat(), "stopped": True})

    # --- a tick

    def folder(self) -> SyncFolder:
        return SyncFolder(self.bucket, f"run-{self.runs}")

    def new_run(self) -> SyncFolder:
        self.runs += 1
        return self.folder()

    def select(self, pr_ids: Sequence[str] = (), **more: Any) -> list[int]:
        groups = select.select_due(
            self.folder(),
            self.store,
            self.almas.settings,
            self.almas.systems,
            now=self.clock(),
            pr_ids=pr_ids,
            **more,
        )
        return [group.number for group in groups]

    def poll(self, number: int = 1, seconds: float = 600) -> Polled:
        return poll.poll(
            self.folder(),
            number,
            store=self.store,
            settings=self.almas.settings,
            systems=self.almas.systems,
            now=self.clock,
            deadline=Deadline(seconds),
        )

    def apply(self) -> dict[str, int]:
        return apply.apply(self.folder(), store=self.store, settings=self.almas.settings, now=self.clock)

    def act(self, actor: Any = None, seconds: float = 600, *, dry_run: bool = False) -> Worked:
        from alma_etl.dcb.sides.actor import AlmaActor

        return act.act(
            self.folder(),
            store=self.store,
            settings=self.almas.settings,
            actor=actor or AlmaActor(self.almas.systems, self.clock),
            open_system=SystemSources(self.almas.systems).open,
            now=self.clock,
            deadline=Deadline(seconds),
            dry_run=dry_run,
        )

    def publish(self, sinks: Sequence[Any] = (), seconds: float = 600, *, dry_run: bool = False) -> Worked:
        return act.publish(
            self.folder(),
            store=self.store,
            settings=self.almas.settings,
            sinks=sinks or [self.ears],
            now=self.clock,
            deadline=Deadline(seconds),
            dry_run=dry_run,
        )

    def report(self, states: Mapping[str, str] | None = None) -> TickSummary:
        report.report(
            self.folder(),
            store=self.store,
            settings=self.almas.settings,
            task_states=states or {},
            now=self.clock(),
        )
        summary = read_summary(self.folder())
        assert summary is not None
        return summary

    def tick(self, pr_ids: Sequence[str] = (), **more: Any) -> TickSummary:
        """All steps; what its report says."""
        self.new_run()
        for number in self.select(pr_ids, **more):
            self.poll(number)
        dry_run = bool(more.get("dry_run"))
        self.apply()
        self.act(dry_run=dry_run)
        self.publish(dry_run=dry_run)
        return self.report()

    def later(self, hours: float = 30, **more: Any) -> TickSummary:
        """A tick after the longest interval."""
        self.pass_time(timedelta(hours=hours))
        return self.tick(**more)

    # --- what is known

    def status(self, pr_id: str = "PR-1") -> str:
        tracked = self.store.get(pr_id)
        assert tracked is not None
        return tracked.status.name

    def history(self, pr_id: str = "PR-1") -> History:
        return self.store.history(pr_id)

    def path(self, pr_id: str = "PR-1") -> list[str]:
        return [each.to for each in self.history(pr_id).transitions]


@contextmanager
def sync_world(almas: Almas, folder: Path) -> Iterator[SyncWorld]:
    """A world with an empty store; the sandboxes are as they are."""
    world = SyncWorld(almas, folder)
    try:
        yield world
    finally:
        world.store.close()
