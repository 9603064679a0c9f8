"""Users (`/users`), in JSON. Personal data: `raw` stays out of logs and reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from alma_etl.alma import shapes
from alma_etl.alma.call import Call, json_call, params, path
from alma_etl.alma.reply import Reply
from alma_etl.alma.resource import Resource
from alma_etl.alma.shapes import Json
from alma_etl.remote.answers import Answer, ListAnswer, ask, ask_list

NO_USER = frozenset({"401861", "401890"})


@dataclass(frozen=True)
class UserBlock:
    """A block: `type` (code), `description` (code), `status` ACTIVE or INACTIVE, `expiry_date` ("" = does not
    end)."""

    type: str
    description: str
    status: str
    expiry_date: str


@dataclass(frozen=True)
class User:
    """`record_type` PUBLIC, STAFF, ...; `account_type` INTERNAL or EXTERNAL; `status` ACTIVE, INACTIVE,
    DELETED; `expiry_date` YYYY-MM-DDZ or ""."""

    primary_id: str
    record_type: str
    account_type: str
    status: str
    user_group: str
    expiry_date: str
    blocks: tuple[UserBlock, ...]
    raw: Json = field(repr=False)


class Users(Resource):
    """The calls about users."""

    def read(self, user_id: str, *, view: str = "full", expand: str | None = None) -> Answer[User]:
        """GET /users/{user_id} by any unique identifier. `expand`: loans, requests, fees (counts). Absent
        when there is no such user (401861, 401890), which is the only ground for creating one."""
        call = Call("GET", path("users", user_id), params(view=view, expand=expand))
        return ask(lambda: self._client.call(call, _user), NO_USER)

    def search(self, field: str, words: str) -> ListAnswer[str]:
        """GET /users?q=field~words: the primary ids of all users that Alma finds. `field`: last_name, primary_id,
        user_group, ..."""
        return ask_list(
            lambda: self._every("/users", "user", _primary_id, str, q=f"{field}~{words}"), frozenset()
        )

    def create(self, body: Json) -> User:
        """POST /users. Least body: primary_id, first_name, last_name, user_group, account_type, record_type,
        status. Refused with 401851 when an identifier is another user's. `writes.create_user` looks
        after a lost answer. Raises RemoteError, ValueError without a primary_id (by which one looks)."""
        if not shapes.text(body.get("primary_id")):
            raise ValueError("a user is created with a primary_id, by which it can be found again")
        return self._client.call(json_call("POST", "/users", body), _user)

    def update(self, user_id: str, body: Json, *, override: Sequence[str] = ()) -> User:
        """PUT /users/{user_id} with the whole user: what GET gave, changed. `override` names fields of
        external users to replace although staff edited them (user_group, job_category, pin_number,
        preferred_language, campus_code, rs_libraries, user_title, library_notices). Raises RemoteError,
        ValueError for a body without primary_id."""
        if not shapes.text(body.get("primary_id")):
            raise ValueError("PUT replaces the whole user: send what GET gave, changed")
        call = json_call("PUT", path("users", user_id), body, override=",".join(override) or None)
        return self._client.call(call, _user)


def _primary_id(row: Json) -> str:
    return shapes.required(row, "primary_id")


def _user(reply: Reply) -> User:
    document = reply.json()
    return User(
        primary_id=shapes.required(document, "primary_id"),
        record_type=shapes.text(document.get("record_type")),
        account_type=shapes.text(document.get("account_type")),
        status=shapes.text(document.get("status")),
        user_group=shapes.text(document.get("user_group")),
        expiry_date=shapes.text(document.get("expiry_date")),
        blocks=tuple(_block(row) for row in shapes.listed(document, "user_block")),
        raw=document,
    )


def _block(row: Json) -> UserBlock:
    return UserBlock(
        type=shapes.text(row.get("block_type")),
        description=shapes.text(row.get("block_description")),
        status=(shapes.text(row.get("block_status")) or shapes.text(row.get("status"))).upper(),
        expiry_date=shapes.text(row.get("expiry_date")),
    )
