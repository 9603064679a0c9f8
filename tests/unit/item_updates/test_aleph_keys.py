"""Aleph's key of an item: in a note of Alma's, and in a row."""

import pytest

from alma_etl.aleph.z30 import ItemKey
from alma_etl.item_updates.aleph_keys import key_in_note, key_of, key_text


@pytest.mark.parametrize(
    ("note", "key"),
    [
        ("z30:51077-10", ItemKey("51077", "10")),
        ("from Aleph: 000051077-000010; see file", ItemKey("51077", "10")),
        ("Z30: 000051077-000010 and z30:51077-10", ItemKey("51077", "10")),
        ("z30:51077-10 z30:51077-20", None),
        ("2024-10", None),
        ("tel. 1000051077-000010", None),
    ],
)
def test_the_aleph_key_in_a_note(note, key):
    assert key_in_note(note) == key


def test_the_aleph_key_of_a_row_needs_both_numbers():
    assert key_of({"doc_number": "000051077", "item_sequence": "10"}) == ItemKey("51077", "10")
    assert key_of({"doc_number": "51077", "item_sequence": ""}) is None
    assert key_of({"doc_number": "5x", "item_sequence": "1"}) is None
    assert key_text(ItemKey("51077", "10")) == "z30:000051077-000010"
