"""The key of an item in Aleph, by which an item of Alma may be found: in one of its notes, or in a table of the store.

Alma's API does not search the notes of items. So an item is found by a key alone after an update that named the key
beside the item's barcode, pid or title; the note says, where the profile keeps the key in one, that it is still that
item.
In a note the key is written `z30:12345-10` or `000012345-000010`: document number, item sequence.
"""

import re
from collections.abc import Mapping
from typing import Any

from alma_etl.aleph.z30 import ItemKey

_IN_NOTE = re.compile(
    r"\bz30:\s*(\d{1,9})-(\d{1,6})\b|(?<![\w-])(\d{9})-(\d{6})(?![\w-])", re.ASCII | re.IGNORECASE
)


def key_text(key: ItemKey) -> str:
    """A key as the table and the reports write it."""
    doc_number, item_sequence = key.padded
    return f"z30:{doc_number}-{item_sequence:0>6}"


def key_of(row: Mapping[str, Any]) -> ItemKey | None:
    """Return the key that a row names, None where it names none, or what is none."""
    return _key(str(row.get("doc_number") or ""), str(row.get("item_sequence") or ""))


def key_in_note(note: str) -> ItemKey | None:
    """Return the key that stands in a note, None where there is none, or more than one."""
    found = {_key(each[1] or each[3], each[2] or each[4]) for each in _IN_NOTE.finditer(note)}
    return found.pop() if len(found) == 1 else None


def _key(doc_number: str, item_sequence: str) -> ItemKey | None:
    try:
        return ItemKey(doc_number, item_sequence)
    except ValueError:
        return None
