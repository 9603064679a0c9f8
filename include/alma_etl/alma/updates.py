"""Every PUT the jobs make: GET, change, PUT, check (see `safe_write.update`).

All return a `Written` and raise RemoteStop only while nothing was written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lxml import etree

from alma_etl.alma import merging
from alma_etl.alma.items import Item, item
from alma_etl.alma.shapes import Json
from alma_etl.alma.users import User
from alma_etl.remote.answers import Answer, Found
from alma_etl.remote.safe_write import Written, update

if TYPE_CHECKING:
    from alma_etl.alma.client import AlmaClient


def update_item(
    client: AlmaClient,
    mms_id: str,
    holding_id: str,
    pid: str,
    changes: Mapping[str, Mapping[str, Any]],
) -> Written[Item]:
    """Change an item: `changes` as {"item_data": {...}, "holding_data": {...}} with the fields to change
    alone; what is not named stays, "" empties. The barcode goes back as it came, unless it is changed.
    Another library or location moves the item to another holding. REFUSED with NOT_AS_SENT when Alma did not
    take a change over, or changed the barcode."""

    result = update(
        lambda: _raw(client.items.read(mms_id, holding_id, pid)),
        lambda base: merging.merged_sections(base, changes),
        lambda wanted: client.items.update(mms_id, item(wanted).holding_id, pid, wanted).raw,
        pause=client.pause,
        intact=lambda wanted, after: item(after).barcode == item(wanted).barcode,
    )
    return Written(result.outcome, item(result.value) if result.value is not None else None, result.error)


def update_user(
    client: AlmaClient, user_id: str, changes: Mapping[str, Any], *, override: Sequence[str] = ()
) -> Written[Json]:
    """Change a user: `changes` holds the top-level fields to change, each whole. `override`: see
    `Users.update`."""
    return update(
        lambda: _raw(client.users.read(user_id)),
        lambda base: merging.merged(base, changes),
        lambda wanted: client.users.update(user_id, wanted, override=override).raw,
        pause=client.pause,
    )


def _raw(answer: Answer[Item] | Answer[User]) -> Answer[Json]:
    return Found(answer.value.raw) if isinstance(answer, Found) else answer


def update_bib(
    client: AlmaClient,
    mms_id: str,
    change: Callable[[etree._Element], None],
    *,
    override_lock: bool = False,
) -> Written[bytes]:
    """Change the MARC <record> of a bib in place; done again on a new reading when somebody else saved in
    between (4022034). `change` must do nothing to a record that has it already. `value` is the whole <bib>.
    """
    return update(
        lambda: client.bibs.whole(mms_id),
        merging.in_record(change),
        lambda whole: client.bibs.update(mms_id, whole, override_lock=override_lock),
        pause=client.pause,
    )


def update_holding(
    client: AlmaClient, mms_id: str, holding_id: str, change: Callable[[etree._Element], None]
) -> Written[bytes]:
    """Change the MARC <record> of a holding in place, like `update_bib`; Alma has no lock for holdings.
    `value` is the whole <holding>."""
    return update(
        lambda: client.holdings.whole(mms_id, holding_id),
        merging.in_record(change),
        lambda whole: client.holdings.update(mms_id, holding_id, whole),
        pause=client.pause,
    )
