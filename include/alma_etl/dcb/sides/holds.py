"""Holds: placed with a mark by which they are known again, cancelled and seen to be gone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from alma_etl.alma import writes
from alma_etl.alma.client import AlmaClient
from alma_etl.alma.shapes import Json
from alma_etl.alma.user_requests import UserRequest
from alma_etl.dcb.machine.vocabulary import HISTORY
from alma_etl.dcb.sides.words import Impossible, Unsettled, gone, known, settled
from alma_etl.remote.errors import RemoteRefused, RemoteTransient

NO_RULE = "401129"
_SAME_REQUEST = "401136"

INDEX_LAG = (5.0, 10.0, 20.0)
"""Seconds to wait for Alma's index, which learns of a new item late and refuses a hold on it until then (401129)."""


@dataclass(frozen=True, slots=True)
class HoldWish:
    """A hold on one item. ``mark`` ends the comment; ``note`` is for the staff of the pickup library."""

    user_id: str
    mms_id: str
    holding_id: str
    item_pid: str
    pickup_library: str
    pickup_desk: str | None
    mark: str
    note: str | None = None

    @property
    def body(self) -> Json:
        """As Alma takes it."""
        place = {"pickup_location_type": "LIBRARY", "pickup_location_library": self.pickup_library}
        if self.pickup_desk:
            place |= {
                "pickup_location_type": "CIRCULATION_DESK",
                "pickup_location_circulation_desk": self.pickup_desk,
            }
        return {"request_type": "HOLD", **place, "comment": f"{self.note or ''} {self.mark}".strip()}


def find_hold(alma: AlmaClient, user_id: str, mark: str) -> UserRequest | None:
    """The active hold with this mark, None when there is none (or no such user). Raises Unsettled, RemoteStop."""
    rows = known(alma.requests.of_user(user_id), "The user's requests")
    return next((each for each in rows or () if mark in each.comment), None)


def place_hold(alma: AlmaClient, wish: HoldWish, *, patience: Sequence[float] = ()) -> UserRequest:
    """Place a hold, or adopt the one with the same mark. ``patience``: see `INDEX_LAG`.

    Raises Impossible when Alma's rules do not allow it, when the user has another request for the item, or when the
    mark is on a hold for another title; Unsettled; RemoteStop.
    """
    found = find_hold(alma, wish.user_id, wish.mark)
    if found is not None:
        return _same_title(found, wish)
    pauses = iter(patience)
    while True:
        written = writes.create_request(
            alma, wish.user_id, wish.body, marker=wish.mark, item_pid=wish.item_pid, look_first=False
        )
        code = written.error.code if written.error else ""
        if written.done or code not in (NO_RULE, _SAME_REQUEST):
            return settled(written, "The hold could not be placed")
        if code == _SAME_REQUEST:
            return _adopted(alma, wish)
        pause = next(pauses, None)
        if pause is None:
            raise Impossible(f"The hold could not be placed: {_why_not(alma, wish)}", NO_RULE)
        alma.pause(pause)


def is_open(alma: AlmaClient, user_id: str, request_id: str) -> bool:
    """Whether a hold is there and active. Raises Unsettled, RemoteStop."""
    found = known(alma.requests.read(user_id, request_id), "The hold")
    return found is not None and found.status != HISTORY


def cancel_hold(alma: AlmaClient, user_id: str, request_id: str, reason: str) -> None:
    """Cancel a hold and see that it is gone; one that is gone already is done. Nobody is mailed.

    Raises Impossible when Alma refuses, Unsettled when it is still there afterwards, RemoteStop.
    """
    what = f"The hold {request_id} could not be cancelled"
    gone(alma.requests.cancel(user_id, request_id, reason=reason, override=True), what)
    if is_open(alma, user_id, request_id):
        raise Unsettled(f"The hold {request_id} is still there after it was cancelled")


def _same_title(found: UserRequest, wish: HoldWish) -> UserRequest:
    if found.mms_id and found.mms_id != wish.mms_id:
        raise Impossible(
            f"There is a hold {found.request_id} of this request on another title ({found.mms_id}): cancel it in Alma, "
            "or use another pr_id"
        )
    return found


def _adopted(alma: AlmaClient, wish: HoldWish) -> UserRequest:
    """The user's hold on this very item, if it has our mark after all: Alma's lists lag behind."""
    rows = known(alma.requests.of_item(wish.mms_id, wish.holding_id, wish.item_pid), "The item's requests")
    found = next((each for each in rows or () if wish.mark in each.comment), None)
    if found is None:
        raise Impossible(
            "The hold could not be placed: the same patron has another request for this item", _SAME_REQUEST
        )
    return found


def _why_not(alma: AlmaClient, wish: HoldWish) -> str:
    try:
        options = alma.requests.options_for_item(
            wish.mms_id, wish.holding_id, wish.item_pid, user_id=wish.user_id
        )
    except (RemoteRefused, RemoteTransient):
        options = None
    if options is None:
        return "no item can fulfil it by Alma's fulfilment rules"
    if "HOLD" in options:
        return (
            "Alma lets this user request the item, but not for this pickup place: look at the pickup library, and that "
            "sharing_library owns none of the lent items"
        )
    allowed = ", ".join(sorted(options)) or "nothing"
    return (
        f"by Alma's fulfilment rules this user may request of the item: {allowed}. Look at the user group, the item's "
        "policy and status, and the terms of use"
    )
