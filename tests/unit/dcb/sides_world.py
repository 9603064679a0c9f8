"""Two Almas that lend to each other, seen by the actions: clients that do not wait, and a clock that stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import requests

from alma_etl.alma.client import AlmaClient
from alma_etl.alma.items import Item
from alma_etl.dcb.conf import PlaceRequest, read_place
from alma_etl.dcb.machine.model import State
from alma_etl.dcb.machine.vocabulary import ActionType, Role, Status, Workflow
from alma_etl.dcb.mod_dcb import ModDcb
from alma_etl.dcb.settings import DcbSettings, SystemSettings
from alma_etl.dcb.sides.actor import AlmaActor
from alma_etl.dcb.sides.systems import Systems
from alma_etl.dcb.store import LegRecord, OutboxRow, Tracked
from alma_etl.remote.limiter import LocalLimiter
from alma_sandbox import Running, Settings, serve
from tests.unit.dcb.records import SETTINGS

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
KEY = "deeds-test-word"
PATRON = "patron003"
_ITEM_SET = "5900000000002"


class SandboxSide:
    """One of the Almas: what staff do in it, and what is in it."""

    def __init__(self, running: Running, suffix: str) -> None:
        self.running, self.suffix = running, suffix
        self._lendable: list[Item] | None = None

    @property
    def url(self) -> str:
        return self.running.url

    def control(self, method: str, path: str, body: object = None) -> Any:
        answer = requests.request(method, f"{self.url}/sandbox/{path}", json=body, timeout=30)
        assert answer.ok, answer.text
        return answer.json()

    def strike(self, kind: str, method: str, path: str, **more: Any) -> None:
        """Put a fault in force."""
        self.control("POST", "faults", {"kind": kind, "method": method, "path": path, **more})

    def calls(self, method: str) -> list[str]:
        """The paths of the calls of a method, in order."""
        return [entry["path"] for entry in self.control("GET", f"log?method={method}")["entries"]]

    def reset(self) -> None:
        self.control("POST", "reset")
        self.control("POST", "clock", {"now": NOW.isoformat(), "stopped": True})

    def contents(self) -> dict[str, Any]:
        """What calls made or changed, by kind: living things only."""
        state = self.control("GET", "state")
        made = {
            kind: {i: each for i, each in state[kind].items() if each}
            for kind in ("bibs", "holdings", "items")
        }
        active = {i: each for i, each in state["requests"].items() if each["status"] != "HISTORY"}
        loans = {i: each for i, each in state["loans"].items() if each["status"] == "ACTIVE"}
        return made | {"requests": active, "loans": loans, "users": state["users"]}

    def lendable(self, alma: AlmaClient) -> list[Item]:
        """Items in place that may be lent, none of them at the sharing library."""
        if self._lendable is None:
            links = alma.sets.members_page(f"{_ITEM_SET}{self.suffix}", 0).links
            found = []
            for link in links:
                parts = link.split("/")
                answer = alma.items.read(parts[-5], parts[-3], parts[-1])
                item = answer.value  # type: ignore[union-attr]
                if item.item_policy == "01" and not item.process_type and item.library in ("MAIN", "SCI"):
                    found.append(item)
                if len(found) == 4:
                    break
            self._lendable = found
        return self._lendable


@dataclass
class Almas:
    """Both sides, with a client of each."""

    lender: SandboxSide
    borrower: SandboxSide
    settings: DcbSettings = SETTINGS
    folios: dict[str, ModDcb] = field(default_factory=dict)
    others: dict[str, SandboxSide] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._clients: dict[str, AlmaClient] = {}
        self.pauses: list[float] = []
        self.now = NOW
        self.systems = Systems(self.settings, self)

    # what `Systems` asks for

    def alma(self, conn_id: str) -> AlmaClient:
        side = {"alma_default": self.lender, "alma_borrower": self.borrower, **self.others}[conn_id]
        client = AlmaClient(
            side.url,
            KEY,
            limiter=LocalLimiter(100_000),
            attempts=2,
            backoff=0.001,
            sleep=self._pause,
            now=lambda: self.now,
        )
        self._clients[conn_id] = client
        return client

    def mod_dcb(self, conn_id: str) -> ModDcb:
        return self.folios[conn_id]

    def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        for side in (self.lender, self.borrower):
            side.running.sandbox.clock.advance(seconds)

    @property
    def at_lender(self) -> AlmaClient:
        return self.systems.alma("LENDER")

    @property
    def at_borrower(self) -> AlmaClient:
        return self.systems.alma("BORROWER")

    @property
    def lender_settings(self) -> SystemSettings:
        return self.systems.settings("LENDER")

    @property
    def borrower_settings(self) -> SystemSettings:
        return self.systems.settings("BORROWER")

    def tick(self) -> datetime:
        """The time, which goes on by a second whenever somebody asks."""
        self.now += timedelta(seconds=1)
        return self.now

    def book(self, number: int = 0) -> Item:
        """A book of the lender's."""
        return self.lender.lendable(self.at_lender)[number]

    def conf(self, pr_id: str = "PR-1", number: int = 0, **changes: Any) -> dict[str, Any]:
        """The conf of a placing of that book."""
        book = self.book(number)
        return {
            "pr_id": pr_id,
            "supplier_system": "LENDER",
            "supplier_mms_id": book.mms_id,
            "supplier_holding_id": book.holding_id,
            "supplier_item_pid": book.pid,
            "borrower_system": "BORROWER",
            "user_id": PATRON,
            "pickup_library": "SCI",
            "title": "A title",
            "author": "An author",
            "isbn": "9780000000002",
            "item_barcode": book.barcode,
            **changes,
        }

    def place(self, pr_id: str = "PR-1", number: int = 0, **changes: Any) -> PlaceRequest:
        return read_place(self.conf(pr_id, number, **changes), self.settings)

    def actor(self) -> AlmaActor:
        return AlmaActor(self.systems, self.tick)

    def close(self) -> None:
        for client in self._clients.values():
            client.close()


@contextmanager
def two_sandboxes() -> Iterator[tuple[SandboxSide, SandboxSide]]:
    """The servers, which tests share and reset."""
    usual = {"per_second": 0, "titles": 30, "api_key": KEY}
    with (
        serve(Settings(**usual)) as lender,
        serve(Settings(**usual, seed=8, institution="01ZY_INST", suffix="4402")) as borrower,
    ):
        yield SandboxSide(lender, "4401"), SandboxSide(borrower, "4402")


def tracked(
    place: PlaceRequest,
    status: Status,
    *legs: LegRecord,
    change: Callable[[State], None] = lambda state: None,
) -> Tracked:
    """A request as the store gives it."""
    state = State(workflow=Workflow(place.workflow), status=status)
    change(state)
    return Tracked(
        pr_id=place.pr_id,
        workflow=state.workflow,
        status=status,
        status_since=NOW,
        state=state,
        legs={leg.role: leg for leg in legs},
        conf=place.model_dump(mode="json", exclude={"note"}, exclude_none=True),
        version=1,
        steps=1,
        poll_repeat=0,
        next_poll_at=NOW,
        nudged=False,
        needs_attention=False,
        thinned=False,
        created_at=NOW,
        updated_at=NOW,
    )


def row(action: ActionType, *args: str, pr_id: str = "PR-1") -> OutboxRow:
    """An action of the outbox."""
    return OutboxRow(
        outbox_id=f"{pr_id}-{action}",
        pr_id=pr_id,
        seq=1,
        ord=1,
        kind="ALMA_ACTION",
        target="alma",
        type=action,
        payload={"args": list(args)},
        state="PENDING",
        attempts=0,
        next_attempt_at=NOW,
        last_error=None,
        created_at=NOW,
    )


def supplier_leg(almas: Almas, request_id: str | None, user_id: str, number: int = 0) -> LegRecord:
    book = almas.book(number)
    return LegRecord(
        Role.SUPPLIER,
        "LENDER",
        user_id=user_id,
        request_id=request_id,
        mms_id=book.mms_id,
        holding_id=book.holding_id,
        item_pid=book.pid,
        barcode=book.barcode,
        pickup_library="STOR",
    )
