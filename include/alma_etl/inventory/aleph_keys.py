"""The key of an item in Aleph, by which an item of Alma may be found: in one of its notes, or in a table of the store.

Alma's API does not search the notes of items. So an item is found by a key alone after an update that named the key
beside the item's barcode, pid or title; the note says, where the profile keeps the key in one, that it is still that
item.
In a note the key is written `z30:12345-10` or `000012345-000010`: document number, item sequence.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_IN_NOTE = re.compile(
    r"\bz30:\s*(\d{1,9})-(\d{1,6})\b|(?<![\w-])(\d{9})-(\d{6})(?![\w-])", re.ASCII | re.IGNORECASE
)


@dataclass(frozen=True)
class AlephKey:
    """Document number and item sequence, as numbers: padding is no difference."""

    doc_number: int
    item_sequence: int

    @property
    def text(self) -> str:
        """The key as the table and the reports write it."""
        return f"z30:{self.doc_number:09d}-{self.item_sequence:06d}"


def key_of(row: Mapping[str, Any]) -> AlephKey | None:
    """Return the key that a row names, None where it names none, or no numbers."""
    numbers = str(row.get("doc_number") or ""), str(row.get("item_sequence") or "")
    if not all(number.isascii() and number.isdigit() for number in numbers):
        return None
    return AlephKey(*map(int, numbers))


def key_in_note(note: str) -> AlephKey | None:
    """Return the key that stands in a note, None where there is none, or more than one."""
    found = {AlephKey(int(each[1] or each[3]), int(each[2] or each[4])) for each in _IN_NOTE.finditer(note)}
    return found.pop() if len(found) == 1 else None
