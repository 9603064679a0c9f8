"""Dropped files of MARC: what a file is, by its content alone, and how it is read.

A record keeps its place whatever is wrong with it: one that cannot be used has a `problem`, and the others go on.
"""

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, Protocol

from alma_etl.errors import InputProblem
from alma_etl.marc.directory import FIELD_TERMINATOR
from alma_etl.marc.iso2709 import Readable, split_records
from alma_etl.marc.iso_file import Iso2709File
from alma_etl.marc.source_record import SourceRecord
from alma_etl.marc.xml_file import MarcXmlFile
from alma_etl.signatures import ZIP, signature

_HEAD = 65_536
_XML = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*<[?!A-Za-z]|\xff\xfe<\x00|\xfe\xff\x00<|<\x00[?!A-Za-z]\x00|\x00<\x00[?!A-Za-z]"
)
_MNEMONIC = re.compile(rb"(?:\xef\xbb\xbf)?\s*=LDR  ", re.IGNORECASE)
_SEQUENTIAL = re.compile(rb"(?:\xef\xbb\xbf)?\s*\d{9} [A-Z0-9]{3}[\x20-\x7e]{2} L ")
_FORMS = "a file of MARC 21 in ISO 2709 (.mrc) or of MARCXML is expected"


class MarcFile(Protocol):
    """A dropped file of MARC. `form` names it for the report, `extension` is the one that fits it."""

    form: str
    extension: str

    def rows(self) -> Iterator[SourceRecord]:
        """All records in their order, streamed, also those that cannot be used. Can be asked for again."""
        ...

    def excerpt(self, lines: Collection[int], stream: IO[bytes]) -> None:
        """Write the records with these numbers as they came, ready to be dropped again."""
        ...


def open_marc(path: Path, encoding: str | None = None) -> MarcFile:
    """Find out whether a file is ISO 2709 or MARCXML, and how to read it.

    ``encoding``: the Python codec for text that is neither UTF-8 nor MARC-8; it has to hold ASCII as it is. Raises
    InputProblem, one sentence, for a file that is neither form, or holds no record, and for another codec.
    """
    if encoding is not None and not _holds_ascii(encoding):
        raise InputProblem(
            f"The encoding {encoding!r} of the profile is none that a file of MARC can be in: name one such as cp1252"
        )
    with path.open("rb") as stream:
        head = stream.read(_HEAD)
    other = not_marc(head)
    if other:
        raise InputProblem(f"The file {other}")
    if is_xml(head):
        found: MarcFile = MarcXmlFile(path, encoding)
        if next(found.rows(), None) is None:
            raise InputProblem("The file is MARCXML without a record: there is nothing to load")
        return found
    with path.open("rb") as stream:
        if not _has_fields(stream):
            raise InputProblem(f"The file {_what_else(head)}: {_FORMS}")
    return Iso2709File(path, encoding)


def _holds_ascii(encoding: str) -> bool:
    plain = "".join(map(chr, range(128)))
    try:
        return plain.encode(encoding) == plain.encode("ascii") and plain.encode().decode(encoding) == plain
    except (LookupError, UnicodeError):
        return False


def is_xml(head: bytes) -> bool:
    """Whether a file that begins so is XML, or a web page."""
    return _XML.match(head) is not None


def not_marc(head: bytes) -> str:
    """Return what a file that begins so is, and what to do, where its first bytes prove that it is no MARC, to go after
    its name; "" where they do not."""
    name = signature(head)
    if head.startswith(ZIP):
        return "is a zip archive or a workbook: unpack it, and drop the file of MARC that is in it"
    if name.startswith("compressed") or name.endswith("archive"):
        return f"is {name}: unpack it, and drop the file of MARC that is in it"
    if name:
        return f"is {name}, whatever its name says: {_FORMS}"
    return ""


def _has_fields(stream: Readable) -> bool:
    """Whether anything in the file has the form of a record: fields that end with their terminator."""
    return any(FIELD_TERMINATOR in raw.data for raw in split_records(stream))


def _what_else(head: bytes) -> str:
    if not head.strip(b"\xef\xbb\xbf \t\r\n\0\x1a"):
        return "is empty, or begins with nothing but blanks"
    if _MNEMONIC.match(head):
        return "is MARC as text with a line a field (=LDR, =245): compile it to MARC first"
    if _SEQUENTIAL.match(head):
        return "is Aleph's sequential format: convert it to MARC first"
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "is text in UTF-16, and no MARC"
    control = sum(byte < 0x20 and byte not in b"\t\r\n\f\x1a" for byte in head)
    return "has no record of MARC in it" if control > len(head) // 20 else "is text, and no MARC"
