"""The shapes of Alma's identifiers. They are strings of digits, too long for floating point numbers."""

import re

_MMS_ID = re.compile(r"99\d{8,17}", re.ASCII)


def is_mms_id(text: str) -> bool:
    """Whether ``text`` has the shape of an MMS id: digits, beginning with 99, at most 19 of them."""
    return _MMS_ID.fullmatch(text) is not None
