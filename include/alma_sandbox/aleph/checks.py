"""What Aleph makes of the values of an item before it saves them, and the checks of ``check_z30``.

The names of the messages stand in a site's own table, so that their words here are ours.
"""

import re
from datetime import datetime

from alma_sandbox.aleph.fields import (
    CALL_NUMBER_TYPES,
    COLLECTIONS,
    DATES,
    DATES_NEVER_EMPTY,
    ITEM_STATUSES,
    MATERIALS,
    NO_DATE,
    PROCESS_STATUSES,
    SUB_LIBRARIES,
    WIDTHS,
    ZEROED,
)
from alma_sandbox.aleph.records import call_number_key


def corrected(values: dict[str, str]) -> dict[str, str]:
    """The values as Aleph saves them: cut to their length, zeros in front of numbers, sort keys made afresh."""
    found = {name: text.strip() for name, text in values.items()}
    if found["temp-location"]:
        found["temp-location"] = "Y" if found["temp-location"].lower() in ("y", "yes") else "N"
    found["temp-location"] = found["temp-location"] or "N"
    found = {name: text[: WIDTHS[name]].rstrip() for name, text in found.items()}
    for name in ZEROED:
        if not found[name] or found[name].isdigit():
            found[name] = found[name].zfill(WIDTHS[name])
    for name in DATES_NEVER_EMPTY:
        found[name] = found[name] or NO_DATE
    found["alpha"] = found["alpha"] or "L"
    for part in ("call-no", "call-no-2"):
        found[f"{part}-key"] = call_number_key(found[f"{part}-type"], found[part])
    return found


def check_z30(values: dict[str, str]) -> list[str]:
    """The messages of the checks, all of them; none for an item that may be saved."""
    said = [*_places(values), *_codes(values)]
    said += [f"z30-{name} is not a valid date" for name in DATES if not _is_date(values[name])]
    said += [f"z30-{name} must be numeric" for name in ZEROED if not _is_number(values[name])]
    if values["hour-last-return"] and not re.fullmatch(r"([01]\d|2[0-3])[0-5]\d", values["hour-last-return"]):
        said.append("z30-hour-last-return is not a valid time")
    return said


def _places(values: dict[str, str]) -> list[str]:
    sub_library, collection = values["sub-library"], values["collection"]
    if not sub_library:
        return ["Sub-library must be filled in"]
    if sub_library not in SUB_LIBRARIES:
        return [f"Sub-library {sub_library} is not valid"]
    if collection and collection not in COLLECTIONS[sub_library]:
        return [f"Collection {collection} is not valid for sub-library {sub_library}"]
    return []


def _codes(values: dict[str, str]) -> list[str]:
    said = []
    if values["item-status"] not in ITEM_STATUSES:
        status = values["item-status"]
        said.append(f"Item status {status} is not valid" if status else "Item status must be filled in")
    if values["material"] not in MATERIALS:
        material = values["material"]
        said.append(f"Material {material} is not valid" if material else "Material must be filled in")
    process = values["item-process-status"]
    if process and process not in PROCESS_STATUSES:
        said.append(f"Item process status {process} is not valid")
    said += [
        f"z30-{name} {values[name]} is not valid"
        for name in ("call-no-type", "call-no-2-type")
        if values[name] and values[name] not in CALL_NUMBER_TYPES
    ]
    return said


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _is_date(text: str) -> bool:
    if text in ("", NO_DATE):
        return True
    if len(text) != 8 or not _is_number(text):
        return False
    try:
        datetime.strptime(text, "%Y%m%d")
    except ValueError:
        return False
    return True


def with_check_digit(barcode: str) -> str | None:
    """The barcode with the right last digit (modulus 10 over its digits), or None where it has fewer than two."""
    digits = [int(char) for char in barcode if char.isascii() and char.isdigit()]
    if len(digits) < 2 or not barcode[-1].isdigit():
        return None
    return barcode[:-1] + check_digit(digits[:-1])


def check_digit(digits: list[int]) -> str:
    """The digit that makes a number right by modulus 10."""
    doubled = [
        sum(divmod(digit * 2, 10)) if place % 2 == 0 else digit for place, digit in enumerate(digits[::-1])
    ]
    return str(-sum(doubled) % 10)
