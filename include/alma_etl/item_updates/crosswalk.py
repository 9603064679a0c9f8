"""How the fields of Aleph's z30 are written in Alma.

Source: the published crosswalks of libraries that moved from Aleph to Alma; codes are mapped by the profile.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from alma_etl.aleph.z30 import DATES, KEY, PREFIX
from alma_etl.item_updates.profiles import DEFAULT, CodeMap, ItemUpdateProfile

PLAIN: Mapping[str, str] = {
    "call-no-2": "alternative_call_number",
    "description": "description",
    **{f"enumeration-{letter}": f"enumeration_{letter}" for letter in "abcdefgh"},
    **{f"chronological-{letter}": f"chronology_{letter}" for letter in "ijklm"},
    "note-opac": "public_note",
    "note-circulation": "fulfillment_note",
    "note-internal": "internal_note_1",
    "item-statistic": "statistics_note_1",
    "inventory-number": "inventory_number",
    "inventory-number-date": "inventory_date",
    "copy-id": "copy_id",
    "pages": "pages",
    "issue-date": "issue_date",
    "arrival-date": "arrival_date",
    "expected-arrival-date": "expected_arrival_date",
    "depository-id": "storage_location_id",
    "85x-type": "pattern_type",
    "linking-number": "linking_number",
    "gap-indicator": "break_indicator",
}
"""z30 without `z30-` -> column of the same value; dates and numbers of zeros alone are empty."""
_CODED = {
    "item-status": "item_policy",
    "material": "material_type",
    "call-no-2-type": "alternative_call_number_type",
    "order-number": "po_line",
}
_PLACE = ("sub-library", "collection")
_ZEROS = frozenset({*DATES, "linking-number"})


@dataclass
class AlmaValues:
    """What of a z30 is written in Alma: the values by column, and sentences about what is not."""

    values: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


def written_in_alma(fields: Mapping[str, str], profile: ItemUpdateProfile) -> AlmaValues:
    """Return what of the fields of a record (without `z30-`) is written in Alma by the maps of a profile."""
    found, left = AlmaValues(), list[str]()
    for name, text in fields.items():
        if name in KEY or name in (*_PLACE, "barcode"):
            continue
        if name in PLAIN and PLAIN[name] != profile.aleph_key:
            found.values[PLAIN[name]] = _plain(name, text)
        elif name in PLAIN:
            found.remarks.append(f"{PREFIX}{name} is not written: {PLAIN[name]} keeps the item's Aleph key")
        elif name in _CODED:
            _add_code(found, profile, name, text)
        elif name == "price" and profile.price != "none":
            found.values[profile.price] = text
        else:
            left.append(f"{PREFIX}{name}")
    _add_place(found, profile, fields)
    if left:
        found.remarks.append(
            f"not written, since Alma has no field for it or sets it itself: {', '.join(left)}"
        )
    return found


def _plain(name: str, text: str) -> str:
    if name in _ZEROS and not text.strip("0"):
        return ""
    if name in DATES and len(text) == 8:
        return f"{text[:4]}-{text[4:6]}-{text[6:]}"
    return text


def _add_code(found: AlmaValues, profile: ItemUpdateProfile, name: str, text: str) -> None:
    known: CodeMap = getattr(profile, name.replace("-", "_"))
    code = known.get(text, known.get(DEFAULT)) if text else ""
    if code is None:
        found.remarks.append(
            f"{PREFIX}{name} {text!r} is not written: {name.replace('-', '_')} of the profile has no row for it"
        )
    else:
        found.values[_CODED[name]] = code


def _add_place(found: AlmaValues, profile: ItemUpdateProfile, fields: Mapping[str, str]) -> None:
    """A place of Alma is a sub-library with a collection: one of them alone says nothing."""
    named = [f"{PREFIX}{name} {fields[name]!r}" for name in _PLACE if name in fields]
    if not named:
        return
    if len(named) == 1:
        found.remarks.append(
            f"{named[0]} is not written: a place of Alma is a sub-library with a collection, and the record names one"
        )
        return
    rows = {(row.sub_library, row.collection): row for row in profile.places}
    sub_library, collection = (fields[name] for name in _PLACE)
    wanted = ((sub_library, collection), (sub_library, DEFAULT), (DEFAULT, DEFAULT))
    row = next((rows[each] for each in wanted if each in rows), None)
    if row is None:
        found.remarks.append(
            f"{' and '.join(named)} are not written: places of the profile has no row for them"
        )
    else:
        found.values |= {"library": row.library, "location": row.location}
