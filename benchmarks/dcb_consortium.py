"""Two sandboxes that lend to each other, with any number of requests on their way: for the DCB benchmarks.

Everything is in this process but the HTTP between the clients and the sandboxes; the clock is simulated.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from alma_etl.alma.client import AlmaClient
from alma_etl.dcb.conf import read_place
from alma_etl.dcb.flows.tick import act, apply, poll, select
from alma_etl.dcb.flows.tick.folder import Deadline, SyncFolder
from alma_etl.dcb.flows.tick.poll import SystemSources
from alma_etl.dcb.machine.vocabulary import Role
from alma_etl.dcb.mod_dcb import ModDcb
from alma_etl.dcb.settings import shipped_settings
from alma_etl.dcb.sides.actor import AlmaActor
from alma_etl.dcb.sides.alma_act import HoldWish, place_hold
from alma_etl.dcb.sides.marks import hold_mark, virtual_user
from alma_etl.dcb.sides.patrons import ensure_virtual_patron
from alma_etl.dcb.sides.systems import Systems
from alma_etl.dcb.sinks import open_sinks
from alma_etl.dcb.store import DcbStore, LegRecord, NewRequest
from alma_etl.remote.limiter import LocalLimiter
from alma_etl.store.bucket import Bucket
from alma_etl.store.upgrade import upgrade
from alma_sandbox import Running, Settings, serve
from alma_sandbox.control import staff

KEY = "sandbox"
PICKUP = "SCI"
START = datetime(2026, 3, 2, tzinfo=UTC)
_OF_A_PATRON = (1, 1, 2, 3)  # requests under way of one patron
_PLENTY = 1e9  # seconds

STAGES = ("placed", "shipped", "shelf", "loaned", "returning")
COURSE = {
    "ship": (2, 72),
    "arrive": (12, 72),
    "borrow": (1, 120),
    "give_back": (24, 672),
    "come_home": (12, 72),
}
"""What people do with a book, and after how many hours, from the least to the most."""


@dataclass
class Book:
    """A copy on its way: what was done with it, and when the next thing will be."""

    pr_id: str
    barcode: str
    patron: str
    home: str
    done: int = 0
    next_at: datetime | None = None


class Consortium:
    """The Almas, the sync's store, and the people."""

    def __init__(self, lender: Running, borrower: Running, store: DcbStore, bucket: Bucket) -> None:
        self.lender, self.borrower, self.store, self.bucket = lender, borrower, store, bucket
        self.settings = shipped_settings().model_copy(update={"mode": "drive", "calls_per_day": 10_000_000})
        self.systems = Systems(self.settings, self)
        self.sinks = open_sinks(self.settings, _no_access, now=self.now)
        self.books: list[Book] = []
        self.polled_calls = 0
        self.polled = 0
        self._clients: list[AlmaClient] = []
        self._now = START - timedelta(days=2)
        self._runs = 0
        self._dice = random.Random(7)

    # --- for `Systems`

    def alma(self, conn_id: str) -> AlmaClient:
        """A client without pauses."""
        running = {"alma_default": self.lender, "alma_borrower": self.borrower}[conn_id]
        limiter = LocalLimiter(1_000_000)
        self._clients.append(AlmaClient(running.url, KEY, limiter=limiter, sleep=lambda _seconds: None))
        return self._clients[-1]

    def mod_dcb(self, conn_id: str) -> ModDcb:
        """Nobody here has a FOLIO."""
        raise LookupError(conn_id)

    def close(self) -> None:
        """Close clients and store."""
        for client in self._clients:
            client.close()
        self.store.close()

    # --- time

    def now(self) -> datetime:
        """The simulated time, a moment later at each look."""
        self._now += timedelta(microseconds=50)
        return self._now

    def pass_to(self, moment: datetime) -> None:
        """Time passes for everybody."""
        self._now = max(moment, self._now)
        for running in (self.lender, self.borrower):
            running.sandbox.clock.stop()
            running.sandbox.clock.set(self._now)

    def calls(self) -> int:
        """The calls that both Almas have answered, by their logs."""
        return self.lender.sandbox.log.total + self.borrower.sandbox.log.total

    # --- requests

    def place(self, count: int) -> None:
        """Patrons ask for so many further books."""
        found = _free_items(self.lender, count, len(self.books))
        patrons = self._patrons(count)
        for item, holding in found:
            pr_id = f"PR-{len(self.books):05d}"
            patron = next(patrons)
            self._track(pr_id, item, patron)
            self.books.append(Book(pr_id, item.barcode, patron, holding.library))

    def _patrons(self, count: int) -> Iterator[str]:
        """As many users of the borrower's as are needed, each for one to three requests."""
        given = 0
        while given < count:
            user_id = f"reader{len(self.borrower.sandbox.users.by_id):06d}"
            body = {
                "primary_id": user_id,
                "first_name": "A",
                "last_name": "Reader",
                "user_group": {"value": "GRAD"},
            }
            kinds = {name: {"value": word} for name, word in _USER.items()}
            self.systems.alma("BORROWER").users.create(body | kinds)
            requests = self._dice.choice(_OF_A_PATRON)
            yield from [user_id] * min(requests, count - given)
            given += requests

    def _track(self, pr_id: str, item: Any, patron: str) -> None:
        conf = {
            "pr_id": pr_id,
            "supplier_system": "LENDER",
            "supplier_mms_id": item.mms_id,
            "supplier_holding_id": item.holding_id,
            "supplier_item_pid": item.pid,
            "borrower_system": "BORROWER",
            "user_id": patron,
            "pickup_library": PICKUP,
            "title": f"The book of {pr_id}",
            "item_barcode": item.barcode,
        }
        read_place(conf, self.settings)
        alma, user = self.systems.alma("LENDER"), virtual_user("BORROWER", patron)
        ensure_virtual_patron(alma, self.systems.settings("LENDER"), user, self.now())
        mark = hold_mark(pr_id, Role.SUPPLIER)
        wish = HoldWish(user, item.mms_id, item.holding_id, item.pid, "STOR", None, mark)
        hold = place_hold(alma, wish)
        lender = LegRecord(
            Role.SUPPLIER,
            "LENDER",
            user_id=user,
            request_id=hold.request_id,
            mms_id=item.mms_id,
            holding_id=item.holding_id,
            item_pid=item.pid,
            barcode=item.barcode,
        )
        legs = (lender, LegRecord(Role.BORROWER, "BORROWER", user_id=patron))
        self.store.add(NewRequest(pr_id, legs, conf=conf), self.now())

    # --- people

    def move(self, book: Book) -> None:
        """The next thing happens to a book."""
        step = list(COURSE)[book.done]
        at_lender = step in ("ship", "come_home")
        body: dict[str, Any] = {
            "barcode": book.barcode,
            "library": book.home if at_lender else PICKUP,
            **({"lend_to": book.patron} if step == "borrow" else {}),
        }
        staff.at_desk((self.lender if at_lender else self.borrower).sandbox, body)
        book.done += 1

    def plan_next(self, book: Book, *, from_the_middle: bool = False) -> None:
        """When the next thing will happen to a book."""
        if book.done == len(COURSE):
            book.next_at = None
            return
        least, most = list(COURSE.values())[book.done]
        hours = self._dice.uniform(least, most) * (self._dice.random() if from_the_middle else 1)
        book.next_at = self._now + timedelta(hours=hours)

    # --- the sync

    def tick(self) -> None:
        """The tasks of one tick that call or write."""
        self._runs += 1
        folder = SyncFolder(self.bucket, f"run-{self._runs:06d}")
        groups = select.select_due(folder, self.store, self.settings, self.systems, now=self.now())
        before = self.calls()
        for group in groups:
            polled = poll.poll(
                folder,
                group.number,
                store=self.store,
                settings=self.settings,
                systems=self.systems,
                now=self.now,
                deadline=Deadline(_PLENTY),
            )
            self.polled += polled.polled
        self.polled_calls += self.calls() - before
        apply.apply(folder, store=self.store, settings=self.settings, now=self.now)
        act.act(
            folder,
            store=self.store,
            settings=self.settings,
            actor=AlmaActor(self.systems, self.now),
            open_system=SystemSources(self.systems).open,
            now=self.now,
            deadline=Deadline(_PLENTY),
        )
        act.publish(
            folder,
            store=self.store,
            settings=self.settings,
            sinks=self.sinks,
            now=self.now,
            deadline=Deadline(_PLENTY),
        )

    def bring_to_stages(self, shares: Sequence[float]) -> None:
        """Lead the requests to where they shall be (see `STAGES`), each followed by the sync."""
        bounds = [sum(shares[: place + 1]) * len(self.books) + 1e-9 for place in range(len(shares))]
        aims = [
            next(place for place, bound in enumerate(bounds) if number < bound)
            for number in range(len(self.books))
        ]
        self.tick()
        for step in range(len(STAGES) - 1):
            self.pass_to(self._now + timedelta(hours=5))
            for book, aim in zip(self.books, aims, strict=True):
                if aim > step:
                    self.move(book)
            self._nudge_moved(aims, step)
            self.tick()

    def _nudge_moved(self, aims: Sequence[int], step: int) -> None:
        moved = [book.pr_id for book, aim in zip(self.books, aims, strict=True) if aim > step]
        for start in range(0, len(moved), 500):
            self.store.nudge(moved[start : start + 500], self._now)


_USER = {"record_type": "PUBLIC", "account_type": "INTERNAL", "status": "ACTIVE"}


def _no_access(conn_id: str) -> Any:
    raise LookupError(conn_id)


def _free_items(lender: Running, count: int, skip: int) -> list[tuple[Any, Any]]:
    """Copies that can be lent, each of another title, none of the sharing library's."""
    catalogue, found = lender.sandbox.catalogue, []
    for mms_id in catalogue.title_ids(0, catalogue.size):
        bib = catalogue.bib(mms_id)
        for item in catalogue.items_of_bib(mms_id) if bib and not bib.suppressed else ():
            holding = catalogue.holding(item.holding_id)
            free = not (item.in_temp_location or item.process_type) and item.codes.get("policy") == "01"
            if free and holding and holding.library not in ("STOR", "") and not holding.suppressed:
                found.append((item, holding))
                break
        if len(found) == count + skip:
            return found[skip:]
    raise ValueError(f"the catalogue has no {count + skip} copies to lend; give it more titles")


@contextmanager
def consortium(folder: Path, bucket: Bucket, requests: int) -> Iterator[Consortium]:
    """Two sandboxes with enough books, an empty store, for the time of a ``with`` block."""
    url = f"sqlite:///{folder / 'store.db'}"
    upgrade(url)
    usual: dict[str, Any] = {
        "per_second": 0,
        "daily": 100_000_000,
        "api_key": KEY,
        "log_size": 1000,
        "closed_requests": "gone",
    }
    with ExitStack() as stack:
        lender = stack.enter_context(serve(Settings(**usual, titles=4 * requests + 40)))
        borrower = stack.enter_context(
            serve(Settings(**usual, titles=40, seed=8, institution="01ZY_INST", suffix="4402"))
        )
        made = Consortium(lender, borrower, DcbStore(url), bucket)
        stack.callback(made.close)
        made.pass_to(made.now())
        yield made
