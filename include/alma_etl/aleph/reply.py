"""What the X-Server answers: its XML, and what the texts in its `<error>` elements mean.

Success stands in `<error>`, too, and the HTTP status is 200 either way, so that the texts are all there is. They are
compared without regard to case, blanks and the kind of apostrophe. The service sends English for `con_lng=ENG`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from lxml import etree

from alma_etl.aleph.z30 import AlephItem, read_record
from alma_etl.remote import xml

LOGIN = "login"
_LOOSE_TAG = re.compile(r"<\s*(/?)\s*error\s*>")  # as the service's documentation prints it
_TITLE = re.compile(rb"<title[^>]*>(.{0,200}?)</title>", re.IGNORECASE | re.DOTALL)
_HTML = re.compile(rb"\A\W{0,10}(<!doctype\s+html|<html)\b", re.IGNORECASE)
_LONGEST = 300  # characters of a text that are kept


class Meaning(Enum):
    """What one text says of the call."""

    DONE = "done"
    NOT_FOUND = "not_found"
    STOP = "stop"  # every further record would get the same
    AGAIN = "again"  # not done, and perhaps done next time
    REFUSED = "refused"
    OTHER = "other"  # a refusal where it stands alone, a warning beside a success


_MEANINGS: tuple[tuple[re.Pattern[str], Meaning], ...] = tuple(
    (re.compile(pattern), meaning)
    for pattern, meaning in (
        (r"\b(updated|created) successfully\b", Meaning.DONE),
        (r"\bno item exists?\b", Meaning.NOT_FOUND),
        (r"\bmust be an administrative library\b", Meaning.STOP),
        (r"\bxml must be provided\b", Meaning.STOP),
        (r"\bnot authori[sz]ed\b|\bno permission|\bpermission denied|\bprivileges?\b", Meaning.STOP),
        (r"\bservice .* does not exist\b", Meaning.STOP),
        (r"\bfailed to (update|create) the item\b", Meaning.AGAIN),
        (r"\bshort-term requests\b", Meaning.REFUSED),
        (r"\b(mandatory|trigger) error\b", Meaning.REFUSED),
        (r"\bwarning error\b", Meaning.OTHER),
        (r"\b(doesn't|does not) exist\b|\b(can't|cannot|could not) be\b|\bnot valid\b|\binvalid\b", Meaning.REFUSED),
    )
)  # fmt: skip


def normal(text: str) -> str:
    """A text without what its wording does not depend on."""
    for mark in "’‘`´ʼ":
        text = text.replace(mark, "'")
    return " ".join(text.split()).casefold()


def meaning_of(text: str) -> Meaning:
    """What a text of an `<error>` element says."""
    plain = normal(text)
    return next((meaning for pattern, meaning in _MEANINGS if pattern.search(plain)), Meaning.OTHER)


@dataclass(frozen=True)
class XReply:
    """One answer: its root's name, the item where there is one, the texts as they came, and the session."""

    root: str
    item: AlephItem | None
    texts: tuple[str, ...]
    session: str

    def meaning(self, *meanings: Meaning) -> tuple[str, ...]:
        """The texts that mean one of these."""
        return tuple(text for text in self.texts if meaning_of(text) in meanings)


def read_reply(body: bytes, service: str) -> XReply:
    """Read the answer to `service`, such as update-item. Raises ValueError for anything but its XML or `<login>`."""
    try:
        root = xml.parse(body)
    except xml.UnreadableXmlError:
        repaired = _LOOSE_TAG.sub(r"<\1error>", xml.decode(body))
        root = xml.parse_text(repaired)
    name = xml.local(root).replace("_", "-")
    if name not in (service, LOGIN, "error"):
        raise ValueError(f"<{name}> instead of <{service}>")
    z30 = xml.child(root, "z30")
    return XReply(
        name, None if z30 is None else read_record(z30), tuple(_texts(root)), xml.text(root, "session-id")
    )


def _texts(root: etree._Element) -> list[str]:
    """The texts of all `<error>` elements, the root among them."""
    found = (" ".join("".join(map(str, each.itertext())).split()) for each in root.iter("error"))
    return [_shortened(text) for text in found if text]


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def is_html(body: bytes) -> bool:
    """Whether an answer is a page for people."""
    return _HTML.match(body) is not None


def is_forbidden_page(status: int, body: bytes) -> bool:
    """Whether a web server before Aleph refuses the address of the caller: by the status of an answer or the title of
    a page."""
    if status == 403:
        return True
    title = _TITLE.search(body[:4000])
    return (
        is_html(body)
        and title is not None
        and re.search(rb"\b403\b|\bforbidden\b", title[1].lower()) is not None
    )
