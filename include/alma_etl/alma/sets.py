"""Sets (`/conf/sets`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from alma_etl.alma import shapes
from alma_etl.alma.call import Call, json_call, params, path
from alma_etl.alma.reply import Reply
from alma_etl.alma.resource import Resource
from alma_etl.counted import counted
from alma_etl.remote.answers import Answer, ask

MAX_MEMBERS = 1000
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


class Sets(Resource):
    """The calls about sets."""

    def read(self, set_id: str) -> Answer[AlmaSet]:
        """GET /conf/sets/{set_id}. Absent when there is none (60107)."""
        return ask(lambda: self._client.call(Call("GET", path("conf", "sets", set_id)), _set), NO_SET)

    def members_page(self, set_id: str, offset: int, limit: int = 100) -> MembersPage:
        """GET /conf/sets/{set_id}/members: up to 100 members from `offset`. Raises RemoteError."""
        call = Call("GET", path("conf", "sets", set_id, "members"), params(limit=limit, offset=offset))
        return self._client.call(call, _members)

    def find(self, name: str) -> list[AlmaSet]:
        """GET /conf/sets?q=name~...: the sets of exactly this name (Alma searches by words). Raises
        RemoteError."""
        query = f"name~{name.replace(' ', '_')}"
        found = self._every("/conf/sets", "set", alma_set, lambda each: each.id, q=query)
        return [each for each in found if each.name == name]

    def create(self, name: str, content: str, *, description: str = "", private: bool = False) -> AlmaSet:
        """POST /conf/sets: an empty itemised set. `content`: BIB_MMS, ITEM, HOLDING, USER, ... Alma allows
        several sets of one name; `writes.create_set` looks by it after a lost answer. Raises RemoteError.
        """
        body = {
            "name": name,
            "description": description,
            "type": shapes.coded("ITEMIZED"),
            "content": shapes.coded(content),
            "private": shapes.coded(str(private).lower()),
            "status": shapes.coded("ACTIVE"),
            "origin": shapes.coded("UI"),
        }
        return self._client.call(json_call("POST", "/conf/sets", body), _set)

    def add_members(
        self, set_id: str, ids: Sequence[str], *, id_type: str | None = None, fail_on_invalid_id: bool = True
    ) -> AlmaSet:
        """POST /conf/sets/{set_id}?op=add_members: up to 1000 in one call. `id_type`: BARCODE for items;
        SYSTEM_NUMBER, OCLC_NUMBER, ISBN, ISSN for bibs; None for MMS ids and pids. With `fail_on_invalid_id`
        one bad id refuses the call. Refusals: 60115 is a member already, 60118 too many, 60119 twice in the
        call. Raises RemoteError, ValueError for more than 1000."""
        if not 1 <= len(ids) <= MAX_MEMBERS:
            raise ValueError(f"{counted(len(ids), 'member')} in one call; Alma takes 1 to {MAX_MEMBERS}")
        call = json_call(
            "POST",
            path("conf", "sets", set_id),
            {"members": {"member": [{"id": each} for each in ids]}},
            op="add_members",
            id_type=id_type,
            fail_on_invalid_id=fail_on_invalid_id,
        )
        return self._client.call(call, _set)


def _set(reply: Reply) -> AlmaSet:
    return alma_set(reply.json())


def alma_set(document: shapes.Json) -> AlmaSet:
    """Alma's set object as an AlmaSet."""
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
