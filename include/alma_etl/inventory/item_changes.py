"""Changing an item by what a partial record names: what is absent stays, what is empty is emptied.

A PUT replaces the whole item, so it goes out as Alma gave the item with the named fields changed. Alma keeps no
version of an item, and the day of its last change alone: two writers that read before either has written overwrite
each other. What can be known is kept here: a change is made on an item that was read right before, and only while the
named fields have what they were first found to have, or what they are to get. Between that reading and the PUT somebody
else's change is lost; only ours are kept apart, by the caller's lock.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from alma_etl.alma import writes
from alma_etl.alma.client import AlmaClient
from alma_etl.alma.items import Item
from alma_etl.alma.shapes import Json
from alma_etl.inventory.item_fields import UPDATE_FIELDS
from alma_etl.remote.safe_write import NOT_AS_SENT, WriteOutcome, Written

Values = Mapping[str, str]
Pairs = dict[str, tuple[str, str]]


def shown(item: Json, columns: Collection[str]) -> dict[str, str]:
    """Return what an item of Alma's has in these columns, in their words."""
    return {column: UPDATE_FIELDS[column].shown(item) for column in columns}


def same(column: str, one: str, other: str) -> bool:
    """Whether two values of a column are the same to Alma."""
    return UPDATE_FIELDS[column].equal(one, other)


def differing(before: Values, values: Values) -> list[str]:
    """Return the columns of ``values`` in which ``before`` has something else."""
    return [column for column, value in values.items() if not same(column, before[column], value)]


def changed_sections(item: Json, values: Values) -> dict[str, dict[str, object]]:
    """Return the parts of Alma's item object that are to be changed, those that are as wanted left out."""
    sections: dict[str, dict[str, object]] = {}
    for column in differing(shown(item, values), values):
        field = UPDATE_FIELDS[column]
        sections.setdefault(field.section, {})[field.name] = field.sent(values[column])
    return sections


def merged_item(item: Json, values: Values) -> Json:
    """Return an item with these values, everything else as it was."""
    return writes.merged_sections(item, changed_sections(item, values))


def pairs(before: Values, after: Values, values: Values) -> Pairs:
    """Return (before, after) for each column of ``values``, what is equal to Alma written in the same way."""
    return {
        column: (
            before[column],
            before[column] if same(column, before[column], after[column]) else after[column],
        )
        for column in values
    }


def foreign_columns(now: Values, first: Values, values: Values) -> list[str]:
    """Return the columns which somebody else has changed: they have neither what was first found there nor what is to
    be written. ``first`` may lack columns."""
    return [
        column
        for column, value in values.items()
        if column in first
        and not same(column, now[column], first[column])
        and not same(column, now[column], value)
    ]


@dataclass(frozen=True)
class ItemChange:
    """What became of a change: ``written`` as of every write, ``now`` what the named columns have, None where that is
    not known, ``others`` the fields beside them that Alma shows otherwise than they were sent."""

    written: Written[Item]
    now: dict[str, str] | None
    others: tuple[str, ...] = ()

    def not_taken(self, values: Values) -> list[str]:
        """Return the columns that were sent and that Alma did not take, or the barcode that it changed."""
        if self.now is None:
            return []
        return differing(self.now, values) or list(self.others)

    @property
    def was_ignored(self) -> bool:
        """Whether Alma answered as if it had written, and had not, or in part."""
        written = self.written
        return (
            written.outcome is WriteOutcome.REFUSED
            and written.error is not None
            and written.error.code == NOT_AS_SENT
        )


def change_item(
    client: AlmaClient,
    item: Item,
    values: Values,
    *,
    first: Values | None = None,
    before: Callable[[], None] = lambda: None,
) -> ItemChange:
    """Change an item that was read a moment ago: one PUT, none when it is as wanted.

    ``first``: what the named columns were first found to have, where that was earlier; what somebody else has changed
    since, also while the answer to a PUT is lost, is left alone (CONFLICT). ``before`` is called right before each PUT;
    what it raises ends this and is passed on. Raises RemoteStop only while nothing was written.
    """
    known = first if first is not None else shown(item.raw, values)
    written = writes.update_item(
        client,
        item.mms_id,
        item.holding_id,
        item.pid,
        lambda base: changed_sections(base, values),
        base=item,
        foreign=lambda base: bool(foreign_columns(shown(base, values), known, values)),
        before=before,
    )
    if written.value is None:
        return ItemChange(written, None)
    after = written.value.raw
    return ItemChange(written, shown(after, values), _others(item.raw, after, values))


def _others(before: Json, after: Json, values: Values) -> tuple[str, ...]:
    """The fields that were not named and are not as they were sent."""
    unnamed = [column for column in UPDATE_FIELDS if column not in values]
    return tuple(differing(shown(after, unnamed), shown(before, unnamed)))
