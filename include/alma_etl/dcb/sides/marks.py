"""By which marks we know again what we made."""

from __future__ import annotations

import hashlib
import re

from lxml import etree

from alma_etl.alma.bibs import Bib
from alma_etl.dcb.machine.vocabulary import Role
from alma_etl.remote import xml

VIRTUAL_CALL_NUMBER = "DCB_VIRTUAL_COLLECTION"
"""852 $h of the holding of a virtual item, OpenRS's word."""

BIB_NOTE = "Temporary record of a consortial (DCB) request: made, suppressed and removed by a program."
_BIB_MARK = "(DCB)"


def hold_mark(pr_id: str, role: Role) -> str:
    """Ends the comment of a hold of ours."""
    return f"[DCB-REQUEST:{pr_id}:{role}]"


_HOLD_MARK = re.compile(r"\[DCB-REQUEST:([^:\]\s]{1,100})(?::[A-Z]+)?\]")


def pr_id_of(comment: str) -> str | None:
    """Whose hold it is, by its comment; None for one without our mark."""
    found = _HOLD_MARK.search(comment)
    return found[1] if found else None


_MARKS_OF_OTHERS = re.compile(r"\[DCB-REQUEST:([0-9a-fA-F-]{36})|Consortial Hold\. tno=([0-9a-fA-F-]{36})")


def request_of_comment(comment: str) -> str | None:
    """The request of a hold that we or dcb-service placed: by our mark, which is also that of its version 9.0, or by
    that of 8.x, of which nothing else is taken, since the rest is about the patron."""
    found = _MARKS_OF_OTHERS.search(comment)
    return pr_id_of(comment) or (found and (found[1] or found[2])) or None


def bib_mark(pr_id: str) -> str:
    """The 035 $a of a virtual title."""
    return f"{_BIB_MARK}{pr_id}"


VIRTUAL_LAST_NAME = "VPATRON"
VIRTUAL_PREFIX = "DCB-"
"""Last name of every virtual patron, and how its primary id begins."""


def virtual_user(system: str, user_id: str) -> str:
    """The primary id of the virtual patron that stands for a borrower's user at other libraries.

    A digest, so that nobody there learns the user's id; letter case does not count in Alma's ids.
    """
    digest = hashlib.sha256(f"{system}|{user_id.strip().lower()}".encode()).hexdigest()
    return f"{VIRTUAL_PREFIX}{system}-{digest[:16]}"


def owner_of(bib: Bib) -> str | None:
    """The request that a virtual title of ours belongs to; None when it is not provably one of ours.

    It must be suppressed, and have our note and our mark.
    """
    if not bib.suppressed or bib.record is None:
        return None
    record = xml.parse(bib.record)
    if BIB_NOTE not in _values(record, "500"):
        return None
    marks = [value.removeprefix(_BIB_MARK) for value in _values(record, "035") if value.startswith(_BIB_MARK)]
    return marks[0] if len(marks) == 1 else None


def _values(record: etree._Element, tag: str) -> list[str]:
    return [
        (subfield.text or "").strip()
        for field in record
        if field.get("tag") == tag
        for subfield in field
        if subfield.get("code") == "a"
    ]
