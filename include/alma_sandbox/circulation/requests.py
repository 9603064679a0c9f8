"""User requests and their state machine.

A hold waits (``NOT_STARTED``) until an item is in place for it, is then fetched (``IN_PROCESS``, "Pickup From
Shelf"), travels to its pickup library ("Transit Item"), waits there (``ON_HOLD_SHELF``) and is closed by the loan
or by cancelling (``HISTORY``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from alma_sandbox.catalogue.records import Item

if TYPE_CHECKING:
    from alma_sandbox.sandbox import Sandbox

NOT_STARTED, IN_PROCESS, ON_HOLD_SHELF, HISTORY = "NOT_STARTED", "IN_PROCESS", "ON_HOLD_SHELF", "HISTORY"
PICKUP, TRANSIT, HOLD_SHELF = "Pickup From Shelf", "Transit Item", "On Hold Shelf"
IN_LIBRARY_USE = "03"  # the item policy that no request and no loan can use


@dataclass
class UserRequest:
    """A request on a title (``item_level`` false) or on one item. ``item_pid`` is the item bound to it."""

    id: str
    type: str
    user_id: str
    mms_id: str
    created: datetime
    item_level: bool
    item_pid: str = ""
    status: str = NOT_STARTED
    task: str = ""
    pickup_type: str = "LIBRARY"
    pickup_library: str = ""
    pickup_desk: str = ""
    expiry_date: str = ""
    values: dict[str, str] = field(default_factory=dict)  # comment, dates, description ...
    closed_by: str = ""  # loan, or the code of the cancellation reason

    @property
    def active(self) -> bool:
        """Whether the request still waits for something."""
        return self.status != HISTORY


class Requests:
    """All requests of a sandbox by id, oldest first."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self.by_id: dict[str, UserRequest] = {}
        self._of_title: dict[str, list[UserRequest]] = {}
        self._of_user: dict[str, list[UserRequest]] = {}
        self._changed: dict[str, datetime] = {}  # item pid -> when it was created or returned

    def add(self, request: UserRequest) -> None:
        """Enter a new request and serve it if an item is in place."""
        self.by_id[request.id] = request
        self._of_title.setdefault(request.mms_id, []).append(request)
        self._of_user.setdefault(request.user_id, []).append(request)
        self.assign(request.mms_id)

    def active(self, mms_id: str) -> list[UserRequest]:
        """The active requests on a title and its items, oldest first."""
        return [found for found in self._of_title.get(mms_id, ()) if found.active]

    def of_title(self, mms_id: str) -> list[UserRequest]:
        """Every request on a title and its items, closed ones too, oldest first."""
        return list(self._of_title.get(mms_id, ()))

    def of_user(self, user_id: str) -> list[UserRequest]:
        """Every request of a user, closed ones too, oldest first."""
        return list(self._of_user.get(user_id, ()))

    def on_item(self, item: Item) -> list[UserRequest]:
        """The active requests made on an item or bound to it, oldest first."""
        return [found for found in self.active(item.mms_id) if found.item_pid == item.pid]

    def bound(self, item: Item) -> UserRequest | None:
        """The request that an item is being fetched, sent or kept for."""
        return next((found for found in self.on_item(item) if found.status != NOT_STARTED), None)

    def waiting(self, item: Item) -> UserRequest | None:
        """The first hold that this item could serve next."""
        for found in self.active(item.mms_id):
            fits = found.item_pid == item.pid if found.item_level else found.status == NOT_STARTED
            if found.status == NOT_STARTED and fits and found.type == "HOLD":
                return found
        return None

    def place_in_queue(self, request: UserRequest) -> int:
        """1 for the first of those that wait for the same title or item."""
        ahead = 0
        for found in self.active(request.mms_id):
            if found is request:
                break
            if not (found.item_level and request.item_level) or found.item_pid == request.item_pid:
                ahead += 1
        return ahead + 1

    def note_change(self, item: Item) -> None:
        """An item was created or returned: the index knows it only after the lag that the settings ask for."""
        self._changed[item.pid] = self._sandbox.clock.now()

    def known_to_index(self, item: Item) -> bool:
        """Whether requests can see this item yet."""
        lag, changed = self._sandbox.settings.index_lag_s, self._changed.get(item.pid)
        if not lag or changed is None:
            return True
        return (self._sandbox.clock.now() - changed).total_seconds() >= lag

    def requestable(self, item: Item) -> bool:
        """Whether fulfilment rules let the item be requested, on loan or not."""
        lost = item.process_type in ("MISSING", "LOST_LOAN", "LOST_LOAN_AND_PAID", "TECHNICAL")
        return item.codes.get("policy") != IN_LIBRARY_USE and not lost and self.known_to_index(item)

    def assign(self, mms_id: str) -> None:
        """Give items that are in place to the holds that wait, in order."""
        catalogue = self._sandbox.catalogue
        for request in self.active(mms_id):
            if request.status != NOT_STARTED or request.type not in ("HOLD", "DIGITIZATION"):
                continue
            if request.item_level:
                item = catalogue.item(request.item_pid)
                items = [item] if item is not None else []
            else:
                items = catalogue.items_of_bib(mms_id)
            for item in items:
                if item.process_type == "" and self.bound(item) is None and self.requestable(item):
                    self.bind(request, item, IN_PROCESS, PICKUP)
                    item.process_type = "REQUESTED"
                    catalogue.keep_item(item)
                    break

    def bind(self, request: UserRequest, item: Item, status: str, task: str) -> None:
        """A request goes on with this item; on the hold shelf it expires when the shelf's days are over."""
        if status == ON_HOLD_SHELF and request.status != ON_HOLD_SHELF:
            days = timedelta(days=self._sandbox.settings.hold_shelf_days)
            request.expiry_date = f"{self._sandbox.clock.now() + days:%Y-%m-%d}Z"
        request.item_pid, request.status, request.task = item.pid, status, task

    def move(self, request: UserRequest, *, user_id: str = "", mms_id: str = "") -> None:
        """Give a request to another user, or let it follow its title or item to another title."""
        for index, old, new in (
            (self._of_user, request.user_id, user_id or request.user_id),
            (self._of_title, request.mms_id, mms_id or request.mms_id),
        ):
            if old != new:
                index[old].remove(request)
                index[new] = sorted([*index.get(new, ()), request], key=lambda each: each.created)
        request.user_id, request.mms_id = user_id or request.user_id, mms_id or request.mms_id

    def put_first(self, request: UserRequest) -> None:
        """Put a request before all others of its title; an item that is only being fetched is fetched for it."""
        queue = self._of_title[request.mms_id]
        queue.remove(request)
        queue.insert(0, request)
        for other in self.active(request.mms_id):
            item = self._sandbox.catalogue.item(other.item_pid) if other.task == PICKUP else None
            if item is None or other is request or request.status != NOT_STARTED:
                continue
            if not request.item_level or request.item_pid == item.pid:
                other.status, other.task = NOT_STARTED, ""
                other.item_pid = item.pid if other.item_level else ""
                self.bind(request, item, IN_PROCESS, PICKUP)

    def close(self, request: UserRequest, closed_by: str) -> None:
        """End a request; an item that was only to be fetched is free again."""
        item = self._sandbox.catalogue.item(request.item_pid) if request.item_pid else None
        was_bound = request.status != NOT_STARTED
        request.status, request.task, request.closed_by = HISTORY, "", closed_by
        if item is not None and was_bound and item.process_type == "REQUESTED":
            item.process_type = ""
            self._sandbox.catalogue.keep_item(item)
        self.assign(request.mms_id)
