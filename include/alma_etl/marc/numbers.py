"""Standard numbers in MARC fields: ISSN and OCLC numbers."""

import re

_OCLC = re.compile(r"^\(OCoLC\)\s*(?:ocm|ocn|on)?\s*(\d+)$", re.IGNORECASE | re.ASCII)


def is_oclc(value: str) -> bool:
    """Whether a 035 ``$a`` claims to be an OCLC number, whatever follows the prefix."""
    return value.strip().upper().startswith("(OCOLC)")


def oclc_number(value: str) -> str | None:
    """The digits of an OCLC number in 035 ``$a``: ``(OCoLC)ocm00123`` gives ``123``; None if there are none."""
    match = _OCLC.match(value.strip())
    return (match[1].lstrip("0") or None) if match else None


def issn_is_valid(value: str) -> bool:
    """Whether an ISSN has the form ``NNNN-NNNC``, with or without the hyphen, and a right check digit.

    Rule: ISO 3297, modulus 11.
    """
    match = re.fullmatch(r"(\d{4})-?(\d{3}[\dX])", value.strip().upper(), re.ASCII)
    if match is None:
        return False
    compact = match[1] + match[2]
    weighted = sum(int(digit) * weight for digit, weight in zip(compact[:7], range(8, 1, -1), strict=True))
    check = (11 - weighted % 11) % 11
    return compact[7] == ("X" if check == 10 else str(check))
