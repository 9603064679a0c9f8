"""Standard numbers in MARC fields: ISBN, ISSN and OCLC numbers."""

import re

_OCLC = re.compile(r"^\(OCoLC\)\s*(?:ocm|ocn|on)?\.?\s*(\d+)$", re.IGNORECASE | re.ASCII)
_ISBN = re.compile(r"(97[89]\d{9}\d|\d{9}[\dX])", re.ASCII)


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


def isbn_13(value: str) -> str | None:
    """The 13 digits of an ISBN of 10 or 13 signs, with or without hyphens; None where its check digit is wrong.

    Rule: ISO 2108, modulus 11 for 10 signs and modulus 10 for 13.
    """
    compact = value.strip().upper().replace("-", "").replace(" ", "")
    if not _ISBN.fullmatch(compact):
        return None
    if len(compact) == 10:
        digits = [10 if sign == "X" else int(sign) for sign in compact]
        if sum(digit * weight for digit, weight in zip(digits, range(10, 0, -1), strict=True)) % 11:
            return None
        return f"978{compact[:9]}{_check_13('978' + compact[:9])}"
    return compact if compact[12] == _check_13(compact[:12]) else None


def _check_13(digits: str) -> str:
    return str(-sum(int(digit) * (3 if at % 2 else 1) for at, digit in enumerate(digits)) % 10)
