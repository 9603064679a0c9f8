"""Reading XML from outside without letting it do anything.

No DTD (a document that brings one is refused, which ends entity expansion and external entities at once), no
network, no huge trees, a bound on the size. No document that is expected here has a DTD.
"""

from __future__ import annotations

import codecs
import re

from lxml import etree

MAX_BYTES = 50_000_000
# A tag of four bytes costs the tree over a hundred; a batch of 100 long records has some 200,000.
MAX_TAGS = 2_000_000
_DECLARATION = re.compile(r"\A\s*<\?xml\b[^>]{0,200}\?>")
_DECLARED = re.compile(rb"""\A\s*<\?xml\b[^>]{0,100}\bencoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")
_ONE_BYTE = {"iso8859-1", "cp1252", "iso8859-15", "ascii"}


class UnreadableXmlError(ValueError):
    """The bytes are not the well-formed, harmless XML that was expected; the message says why."""


def decode(body: bytes, header_charset: str = "") -> str:
    """Bytes of an answer as text, by what the bytes prove, then what header and XML declaration claim.

    A byte order mark, or the zero bytes of UTF-16, decide. Else text that is valid UTF-8 is UTF-8, whatever
    is claimed (a wrong claim is common behind proxies; valid UTF-8 by chance is not). Else the claim of the
    header, then of the declaration, when it names a known one-byte charset. Anything else is refused, never
    guessed.
    """
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if body.startswith(mark):
            return _strictly(body, name)
    if b"\0" in body[:4]:
        return _strictly(body, "utf-16-be" if body[:1] == b"\0" else "utf-16-le")
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        declared = _DECLARED.match(body[:400])
        for claim in (header_charset, declared.group(1).decode("ascii") if declared else ""):
            try:
                name = codecs.lookup(claim).name if claim else ""
            except LookupError:
                continue
            if name in _ONE_BYTE:
                return _strictly(body, name)
        raise UnreadableXmlError(
            f"the text is not UTF-8 (byte {error.start}) and claims no other known charset"
        ) from None


def _strictly(body: bytes, charset: str) -> str:
    try:
        return body.decode(charset)
    except UnicodeDecodeError as error:
        raise UnreadableXmlError(f"the text is not {charset} (byte {error.start})") from None


# everything but what the production Char of XML 1.0 allows
ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_REFERENCE = re.compile("&#(x[0-9A-Fa-f]+|[0-9]+);")


def parse_text(text: str) -> etree._Element:
    """Parse XML that is text already; an encoding that its declaration names (Alma writes "UTF-16" inside the
    `anies` of its JSON) no longer means anything and is ignored. Raises UnreadableXmlError."""
    if len(text) > MAX_BYTES:
        raise UnreadableXmlError(f"the document is longer than {MAX_BYTES} characters")
    if text.count("<") > MAX_TAGS:
        raise UnreadableXmlError(f"the document has more than {MAX_TAGS} tags")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise UnreadableXmlError("the document brings a DTD; it was not read")
    try:
        root = etree.fromstring(_DECLARATION.sub("", text, count=1).strip().encode("utf-8"), _parser())
    except (etree.XMLSyntaxError, ValueError) as error:
        raise UnreadableXmlError(f"the XML cannot be read ({str(error)[:200]})") from None
    return root


def without_illegal(text: str) -> str:
    """The text without the characters that XML cannot hold, such as an escape that a migration left in a record,
    be they written plainly or as references."""
    return _REFERENCE.sub(lambda found: found[0] if _is_legal(found[1]) else "", ILLEGAL.sub("", text))


def _is_legal(reference: str) -> bool:
    digits = reference.lower().removeprefix("x")
    if len(digits) > 8:
        return False
    number = int(digits, 16 if len(digits) < len(reference) else 10)
    return number <= 0x10FFFF and ILLEGAL.match(chr(number)) is None


def parse(body: bytes, header_charset: str = "") -> etree._Element:
    """Parse the bytes of a document that is not trusted. Raises UnreadableXmlError."""
    if len(body) > MAX_BYTES:
        raise UnreadableXmlError(f"the document is larger than {MAX_BYTES} bytes")
    return parse_text(decode(body, header_charset))


def _parser() -> etree.XMLParser:
    # One a document: lxml parsers shared between threads wait for each other.
    return etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        recover=False,
        remove_comments=True,
        remove_pis=True,
    )


def local(element: etree._Element) -> str:
    """An element's name without its namespace: Alma puts MARC and answers in none, its errors in one."""
    return str(element.tag).rpartition("}")[2]


def named(root: etree._Element, name: str) -> etree._Element:
    """`root`, which must be called `name`. Raises ValueError."""
    if local(root) != name:
        raise ValueError(f"<{local(root)}> instead of <{name}>")
    return root


def child(element: etree._Element, name: str) -> etree._Element | None:
    """The first child of that name."""
    return next((each for each in element if local(each) == name), None)


def children(element: etree._Element, name: str) -> list[etree._Element]:
    """The children of that name."""
    return [each for each in element if local(each) == name]


def text(element: etree._Element, name: str) -> str:
    """The text of the first child of that name, "" when it is missing or empty."""
    found = child(element, name)
    return (found.text or "").strip() if found is not None else ""


def flag(element: etree._Element, name: str) -> bool:
    """Whether the first child of that name says true."""
    return text(element, name).lower() == "true"


def serialise(element: etree._Element) -> bytes:
    """One element as UTF-8 bytes without a declaration."""
    return etree.tostring(element, encoding="utf-8", xml_declaration=False, with_tail=False)
