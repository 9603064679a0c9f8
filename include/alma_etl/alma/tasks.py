"""What a single task of a DAG asks of Alma: one write that is done, or an error that says what to do.

Each may be repeated by a retry of its task: what an earlier attempt did is found, not done again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from alma_etl.alma import updates, writes
from alma_etl.alma.client import AlmaClient
from alma_etl.alma.items import Item
from alma_etl.alma.sets import AlmaSet
from alma_etl.counted import counted
from alma_etl.errors import InputProblem, RunStopped
from alma_etl.remote.answers import Absent, Answer, Unknown
from alma_etl.remote.errors import RemoteShortList
from alma_etl.remote.safe_write import Outcome, Written

T = TypeVar("T")

PAGE = 100  # Alma's upper bound for members of one page


def settled(written: Written[T], problem: str) -> T:
    """What is in Alma now, when a write is done.

    `problem` begins the sentence otherwise. Raises InputProblem for what Alma refuses or does not have; the
    write's own RemoteError when it failed or nobody knows, after which the task may be tried again.
    """
    if written.done and written.value is not None:
        return written.value
    if written.outcome in (Outcome.REFUSED, Outcome.NOT_FOUND):
        raise InputProblem(f"{problem}: {written.error or 'Alma does not have it'}")
    raise written.error or RunStopped(f"{problem}: {written.outcome}")


def _there(answer: Answer[T], problem: str) -> T:
    if isinstance(answer, Absent):
        raise InputProblem(f"{problem}: {answer.error or 'Alma does not have it'}")
    if isinstance(answer, Unknown):
        raise answer.error
    return answer.value


def create_named_set(client: AlmaClient, name: str, content: str, *, description: str = "") -> AlmaSet:
    """An itemised set of this name (POST /conf/sets); one that is there already is taken.

    `content`: BIB_MMS, ITEM, HOLDING, USER, ... Raises InputProblem when the set of this name is of another kind
    or a logical one, whose members cannot be managed (60114).
    """
    made = settled(
        writes.create_set(client, name, content, description=description), f"The set {name!r} was not made"
    )
    if (made.content, made.type) != (content, "ITEMIZED"):
        raise InputProblem(
            f"Alma has a set named {name!r} already ({made.id}), which is {made.type} and holds {made.content}, "
            f"not ITEMIZED and {content}: choose another name"
        )
    return made


def add_set_members(
    client: AlmaClient,
    set_id: str,
    ids: Sequence[str],
    *,
    id_type: str | None = None,
    fail_on_invalid_id: bool = True,
) -> dict[str, int]:
    """Add members to an itemised set (POST /conf/sets/{set_id}?op=add_members), 1000 a call; counts come back.

    `given` = `repeated` in the list + `already_members` + `added` + `not_added`; `size` is the set's now. Ids that
    are members already are told by reading the set (one request per 100) and are not sent, so that a retry goes
    on where an earlier attempt came to. With `id_type` (BARCODE, OCLC_NUMBER, ...) they cannot be told, since a
    set lists its members by Alma's own ids: then `fail_on_invalid_id=False` passes over them, as over
    unknown ids, and they count as `not_added`. Raises InputProblem when the set is unknown or Alma refuses an id.
    """
    distinct = list(dict.fromkeys(ids))
    before = _there(client.sets.read(set_id), f"There is no set {set_id}").number_of_members
    members = _members(client, set_id, before) if id_type is None else set()
    missing = [each for each in distinct if each not in members]
    after = before
    if missing:
        written = writes.add_members(
            client, set_id, missing, id_type=id_type, fail_on_invalid_id=fail_on_invalid_id
        )
        after = settled(written, f"Not all members were added to the set {set_id}").number_of_members
    return {
        "given": len(ids),
        "repeated": len(ids) - len(distinct),
        "already_members": len(distinct) - len(missing),
        "added": after - before,
        "not_added": len(missing) - (after - before),
        "size": after,
    }


def _members(client: AlmaClient, set_id: str, size: int) -> set[str]:
    pages = client.in_parallel(
        lambda offset: client.sets.members_page(set_id, offset, limit=PAGE).ids, range(0, size, PAGE)
    )
    members = {member for _, ids in pages for member in ids}
    if len(members) < size:
        raise RemoteShortList(
            f"GET /conf/sets/{set_id}/members",
            None,
            "",
            f"the set counts {counted(size, 'member')} but names {len(members)}, so that nobody knows which are "
            f"missing",
            named=sorted(members),
            counted=size,
        )
    return members


def update_one_item(
    client: AlmaClient,
    changes: Mapping[str, Mapping[str, Any]],
    *,
    barcode: str = "",
    mms_id: str = "",
    holding_id: str = "",
    item_pid: str = "",
) -> tuple[Outcome, Item]:
    """Change some fields of one item, found by its barcode or by its three ids; `changes` as for
    `updates.update_item`.

    `updated`, `unchanged` (nothing was sent), or `adopted` (the answer was lost, but the change is there). Raises
    InputProblem when the item is unknown, Alma refuses the change, or it is not told which item is meant.
    """
    by_ids = bool(mms_id and holding_id and item_pid)
    if by_ids == bool(barcode):
        raise InputProblem("Name the item by its barcode, or by mms_id, holding_id and item_pid")
    if not any(changes.values()):
        raise InputProblem("No field of the item is to be changed: give item_data or holding_data")
    if barcode:
        found = _there(client.items.by_barcode(barcode), f"No item has the barcode {barcode}")
        mms_id, holding_id, item_pid = found.mms_id, found.holding_id, found.pid
    written = updates.update_item(client, mms_id, holding_id, item_pid, changes)
    return written.outcome, settled(written, f"The item {barcode or item_pid} was not changed")
