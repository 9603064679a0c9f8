"""Requests of patrons (`/users/{user_id}/requests` and the same under bibs and items), in JSON."""

from __future__ import annotations

from dataclasses import dataclass, field

from alma_etl.alma import shapes
from alma_etl.alma.call import Call, json_call, params, path
from alma_etl.alma.items import NO_ITEM
from alma_etl.alma.reply import Reply
from alma_etl.alma.resource import Param, Resource
from alma_etl.alma.shapes import Json
from alma_etl.alma.users import NO_USER
from alma_etl.remote.answers import Answer, ListAnswer, ask, ask_list

NO_REQUEST = frozenset({"401694", "401907"})


@dataclass(frozen=True)
class UserRequest:
    """One request. `status` NOT_STARTED, IN_PROCESS, ON_HOLD_SHELF, HISTORY; `task_name` is free text such as
    "Pickup From Shelf". `item_pid` and `barcode` are "" until an item is bound; `holding_id` may be a
    composite with asterisks for items in temporary locations."""

    request_id: str
    user_id: str
    request_type: str
    status: str
    task_name: str
    mms_id: str
    holding_id: str
    item_pid: str
    barcode: str
    pickup_library: str
    place_in_queue: int
    comment: str
    raw: Json = field(repr=False)


class UserRequests(Resource):
    """The calls about users' requests."""

    def create(
        self,
        user_id: str,
        body: Json,
        *,
        mms_id: str | None = None,
        item_pid: str | None = None,
        allow_same_request: bool | None = None,
    ) -> UserRequest:
        """POST /users/{user_id}/requests for a title or an item. `body` for a hold: {"request_type": "HOLD",
        "pickup_location_type": "LIBRARY", "pickup_location_library": code, "comment": ...}.

        Refusals: 401129 no item can fulfil it by the rules (also for some seconds after a return), 401136 the
        user has requested it already, 401890 no such user. A marker in `comment` makes it safe to repeat
        (`writes.create_request`). Raises RemoteError, ValueError unless exactly one of title and item is
        given."""
        if (mms_id is None) == (item_pid is None):
            raise ValueError("a request is for either a title (mms_id) or an item (item_pid)")
        call = json_call(
            "POST",
            path("users", user_id, "requests"),
            body,
            mms_id=mms_id,
            item_pid=item_pid,
            allow_same_request=allow_same_request,
        )
        return self._client.call(call, _request)

    def of_user(
        self, user_id: str, *, request_type: str | None = None, status: str = "active"
    ) -> ListAnswer[UserRequest]:
        """GET /users/{user_id}/requests: all pages. `request_type` HOLD, DIGITIZATION, BOOKING; `status`
        active or history (kept only where the library does not anonymise). Absent when there is no such user.
        Ask `read` for a request that a PartlyFound does not name."""
        where = path("users", user_id, "requests")
        kind: dict[str, Param] = {"request_type": request_type, "status": status}
        return ask_list(
            lambda: self._every(where, "user_request", request, lambda each: each.request_id, **kind), NO_USER
        )

    def of_item(self, mms_id: str, holding_id: str, pid: str) -> ListAnswer[UserRequest]:
        """GET .../items/{pid}/requests: the active requests of an item (not paged)."""
        where = path("bibs", mms_id, "holdings", holding_id, "items", pid, "requests")
        return ask_list(
            lambda: self._whole(where, "user_request", request, lambda each: each.request_id), NO_ITEM
        )

    def read(self, user_id: str, request_id: str) -> Answer[UserRequest]:
        """GET /users/{user_id}/requests/{request_id}. Absent when it is gone, as after fulfilment or
        cancellation."""
        call = Call("GET", path("users", user_id, "requests", request_id))
        return ask(lambda: self._client.call(call, _request), NO_REQUEST)

    def cancel(
        self,
        user_id: str,
        request_id: str,
        *,
        reason: str,
        note: str | None = None,
        notify_user: bool = False,
        override: bool | None = None,
    ) -> Answer[None]:
        """DELETE /users/{user_id}/requests/{request_id}. `reason`: a code of RequestCancellationReasons. Alma
        mails the patron unless it is said not to, as here. `override` is in no document; dcb-service has always sent
        it. Found when cancelled, Absent when it was gone already, see `Resource._delete`."""
        return self._delete(
            path("users", user_id, "requests", request_id),
            NO_REQUEST,
            reason=reason,
            note=note,
            notify_user=notify_user,
            override=override,
        )

    def options_for_item(
        self, mms_id: str, holding_id: str, pid: str, *, user_id: str | None = None
    ) -> list[str]:
        """GET .../items/{pid}/request-options: the types of request (HOLD, ...) that this user may place, a
        guest without `user_id`. Raises RemoteError."""
        where = path("bibs", mms_id, "holdings", holding_id, "items", pid, "request-options")
        return self._client.call(Call("GET", where, params(user_id=user_id)), _options)

    def options_for_bib(self, mms_id: str, *, user_id: str | None = None) -> list[str]:
        """GET /bibs/{mms_id}/request-options. Raises RemoteError."""
        return self._client.call(
            Call("GET", path("bibs", mms_id, "request-options"), params(user_id=user_id)), _options
        )


def _options(reply: Reply) -> list[str]:
    return [shapes.required(row, "type") for row in shapes.listed(reply.json(), "request_option")]


def _request(reply: Reply) -> UserRequest:
    return request(reply.json())


def request(document: Json) -> UserRequest:
    """Alma's request object as a UserRequest."""
    return UserRequest(
        request_id=shapes.required(document, "request_id"),
        user_id=shapes.text(document.get("user_primary_id")),
        request_type=shapes.text(document.get("request_type")),
        status=shapes.text(document.get("request_status")),
        task_name=shapes.text(document.get("task_name")),
        mms_id=shapes.text(document.get("mms_id")),
        holding_id=shapes.text(document.get("holding_id")),
        item_pid=shapes.text(document.get("item_id")),
        barcode=shapes.text(document.get("barcode")),
        pickup_library=shapes.text(document.get("pickup_location_library")),
        place_in_queue=shapes.number(document.get("place_in_queue")),
        comment=shapes.text(document.get("comment")),
        raw=document,
    )
