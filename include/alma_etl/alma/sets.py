"""Sets (`/conf/sets`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from alma_etl.alma import shapes
from alma_etl.alma.answers import Answer, ask
from alma_etl.alma.call import Call, params, path
from alma_etl.alma.envelope import Reply

if TYPE_CHECKING:
    from alma_etl.alma.client import AlmaClient

NO_SET = frozenset({"60107"})


@dataclass(frozen=True)
class AlmaSet:
    """`content` is what its members are (BIB_MMS, ITEM, HOLDING, USER, ...), `type` ITEMIZED or LOGICAL (a
    live query: its members may shift while they are read), `status` ACTIVE or INACTIVE."""

    id: str
    name: str
    content: str
    type: str
    status: str
    number_of_members: int


@dataclass(frozen=True)
class MembersPage:
    """One page of members. `ids` are MMS ids, item pids or user ids by the set's content; `links` has for
    each the path of the member, which for an item holds its MMS and holding ids; `total` is the size of the
    whole set."""

    ids: list[str]
    links: list[str]
    total: int


class Sets:
    def __init__(self, client: AlmaClient) -> None:
        self._client = client

    def read(self, set_id: str) -> Answer[AlmaSet]:
        """GET /conf/sets/{set_id}. Absent when there is none (60107)."""
        return ask(lambda: self._client.call(Call("GET", path("conf", "sets", set_id)), _set), NO_SET)

    def members_page(self, set_id: str, offset: int, limit: int = 100) -> MembersPage:
        """GET /conf/sets/{set_id}/members: up to 100 members from `offset`. Raises AlmaError."""
        call = Call("GET", path("conf", "sets", set_id, "members"), params(limit=limit, offset=offset))
        return self._client.call(call, _members)


def _set(reply: Reply) -> AlmaSet:
    document = reply.json()
    return AlmaSet(
        id=shapes.required(document, "id"),
        name=shapes.text(document.get("name")),
        content=shapes.text(document.get("content")),
        type=shapes.text(document.get("type")),
        status=shapes.text(document.get("status")),
        number_of_members=shapes.number(document.get("number_of_members")),
    )


def _members(reply: Reply) -> MembersPage:
    document = reply.json()
    rows = shapes.listed(document, "member")
    return MembersPage(
        ids=[shapes.required(row, "id") for row in rows],
        links=[shapes.text(row.get("link")) for row in rows],
        total=shapes.total(document),
    )
