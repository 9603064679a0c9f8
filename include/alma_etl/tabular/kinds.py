"""What a dropped file really is, by its first bytes: its name proves nothing."""

import re
import zipfile
from enum import StrEnum
from pathlib import Path

from alma_etl.errors import InputProblem
from alma_etl.signatures import ZIP, signature

_HEAD = 65_536
_SAVE_AS_TEXT = "save the list as text with a | between the columns, as CSV, or as an Excel workbook (.xlsx)"
_MARKUP = re.compile(rb"\s*<(\?xml|!doctype|html|[a-z]+[ >:])", re.IGNORECASE)
_UTF32 = (b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff")


class Kind(StrEnum):
    """How a file is to be read. `TEXT` is any encoding that contains ASCII as it is."""

    TEXT = "text"
    UTF16_LE = "utf-16-le"
    UTF16_BE = "utf-16-be"
    XLSX = "xlsx"


def kind_of(path: Path) -> Kind:
    """Look at the file's first bytes. Raises InputProblem, a sentence, for what is no list at all."""
    with path.open("rb") as stream:
        head = stream.read(_HEAD)
    if not head.strip(b"\xef\xbb\xbf \t\r\n\0"):
        if path.stat().st_size > _HEAD:
            raise InputProblem(f"The file begins with nothing but blanks: {_SAVE_AS_TEXT}")
        raise InputProblem("The file is empty: there is nothing to load")
    if head.startswith(ZIP):
        return _zipped(path)
    name = signature(head)
    if name:
        raise InputProblem(f"The file is {name}, whatever its name says: {_SAVE_AS_TEXT}")
    if head.startswith(_UTF32):
        raise InputProblem("The file is text in UTF-32: save it as UTF-8")
    wide = _wide(head)
    if wide is not None:
        return wide
    if b"\0" in head or _mostly_control(head):
        raise InputProblem(f"The file is not text, whatever its name says: {_SAVE_AS_TEXT}")
    if _MARKUP.match(head.removeprefix(b"\xef\xbb\xbf")):
        raise InputProblem(f"The file is XML or a web page, not a list: {_SAVE_AS_TEXT}")
    return Kind.TEXT


def _zipped(path: Path) -> Kind:
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError) as error:
        raise InputProblem(
            "The file looks like an Excel workbook but is damaged: it may not have been copied whole; drop it again"
        ) from error
    if any(name.startswith("xl/") for name in names):
        return Kind.XLSX
    if "word/document.xml" in names:
        raise InputProblem(f"The file is a Word document: {_SAVE_AS_TEXT}")
    if "content.xml" in names:
        raise InputProblem(f"The file is an OpenDocument file: {_SAVE_AS_TEXT}")
    raise InputProblem(f"The file is a zip archive: unpack it, then drop the list; or {_SAVE_AS_TEXT}")


def _wide(head: bytes) -> Kind | None:
    """Which UTF-16 it is: by its mark, else by where the zero bytes of Latin letters and digits stand."""
    if head.startswith(b"\xff\xfe"):
        return Kind.UTF16_LE
    if head.startswith(b"\xfe\xff"):
        return Kind.UTF16_BE
    sample = head[:2_000]
    zeros_at_even, zeros_at_odd = sample[0::2].count(0), sample[1::2].count(0)
    pairs = max(len(sample) // 2, 1)
    if zeros_at_odd > 0.7 * pairs and zeros_at_even < 0.1 * pairs:
        return Kind.UTF16_LE
    if zeros_at_even > 0.7 * pairs and zeros_at_odd < 0.1 * pairs:
        return Kind.UTF16_BE
    return None


def _mostly_control(head: bytes) -> bool:
    control = sum(byte < 0x20 and byte not in b"\t\r\n\f\x1a" for byte in head)
    return control > len(head) // 20
