"""Files of MARC 21 in ISO 2709 as people drop them: each record by itself, in flat memory."""

import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import IO

from pymarc import Record

from alma_etl.marc.control_number import control_number
from alma_etl.marc.directory import DamagedRecord, Layout, layout_of
from alma_etl.marc.iso2709 import RawRecord, split_records
from alma_etl.marc.marc8 import Marc8Error, marc8_text
from alma_etl.marc.source_record import (
    ENCODING,
    LENGTH,
    UNIMARC,
    RecordBuilder,
    Remark,
    SourceRecord,
    UnusableRecord,
    is_unimarc,
    key_of,
    title_of,
)

_SUBFIELD = b"\x1f"
_TAG = re.compile(rb"(?!000)[0-9A-Za-z]{3}")
_CONTROL_TAGS = frozenset(b"00%d" % number for number in range(1, 10))
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1d]|\xef\xbf[\xbe\xbf]")
_SEQUENCE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_DATED = re.compile(rb"\x1fa\d{8}")
_HIGH = re.compile(rb"[\x80-\xff]")
_AGAIN = "ask for the record again, or correct it in an editor for MARC"

Decode = Callable[[bytes], str]


class Iso2709File:
    """A file of MARC 21 in ISO 2709, as `Records` of a job.

    ``encoding``: the codec for text that is neither UTF-8 nor MARC-8.
    """

    form = "MARC 21 (ISO 2709)"
    extension = ".mrc"

    def __init__(self, path: Path, encoding: str | None = None) -> None:
        self._path = path
        self._encoding = encoding

    def rows(self) -> Iterator[SourceRecord]:
        """Yield every record, also those that cannot be used. Can be asked for again."""
        with self._path.open("rb") as stream:
            for raw in split_records(stream):
                yield read_record(raw, self._encoding)

    def excerpt(self, lines: Collection[int], stream: IO[bytes]) -> None:
        """Write the records with these numbers, byte for byte."""
        with self._path.open("rb") as source:
            for raw in split_records(source):
                if raw.number in lines:
                    stream.write(raw.data)


def read_record(raw: RawRecord, encoding: str | None = None) -> SourceRecord:
    """Read one record as it was cut from a file; a record that cannot be used has a `problem`."""
    try:
        layout = layout_of(raw.data)
    except DamagedRecord as damage:
        key = control_number(raw.data).value
        return SourceRecord(
            raw.number, problem=_problem(raw, f"{damage}: {_AGAIN}"), key=key, offset=raw.offset
        )
    try:
        record, remarks = _decoded(layout, encoding)
    except UnusableRecord as problem:
        return SourceRecord(
            raw.number,
            problem=_problem(raw, str(problem)),
            key=_readable(layout, b"001"),
            title=_readable(layout, b"245"),
            offset=raw.offset,
        )
    lengths = [Remark(f"read all the same: {'; '.join(layout.faults)}", LENGTH)] if layout.faults else []
    return SourceRecord(
        raw.number,
        record,
        remarks=(*lengths, *remarks),
        key=key_of(record),
        title=title_of(record),
        offset=raw.offset,
    )


def _problem(raw: RawRecord, reason: str) -> str:
    return f"The record at byte {raw.offset:,} cannot be used: {reason}"


def _decoded(layout: Layout, encoding: str | None) -> tuple[Record, list[Remark]]:
    """The record, by the first encoding that all of its text is in. Raises UnusableRecord."""
    odd = next((tag for tag, _ in layout.fields if _TAG.fullmatch(tag) is None), None)
    if odd is not None:
        raise UnusableRecord(f"a field has the tag {odd.decode('latin-1')!r}, which is none: {_AGAIN}")
    if _is_unimarc(layout):
        raise UnusableRecord(UNIMARC)
    claims_unicode = layout.leader[9:10] == b"a"
    found = _as_unicode(layout.body)
    if found is not None:
        remarks = [] if claims_unicode or found else _misnamed("UTF-8", "MARC-8")
        return _built(layout, bytes.decode, remarks)
    _refuse_damaged_utf8(layout)
    try:
        return _built(layout, marc8_text, _misnamed("MARC-8", "UTF-8") if claims_unicode else [])
    except Marc8Error as loss:
        if encoding is not None:
            remarks = [Remark(f"its text is neither UTF-8 nor MARC-8: read as {encoding}", ENCODING)]
            try:
                return _built(layout, lambda value: value.decode(encoding), remarks)
            except UnicodeDecodeError as error:
                raise UnusableRecord(
                    f"its text is neither UTF-8, nor MARC-8, nor {encoding}, which the profile names: "
                    f"byte 0x{error.object[error.start]:02X}; export it again as UTF-8"
                ) from None
        raise UnusableRecord(
            f"its text is neither UTF-8 nor MARC-8: {loss}; export it again as UTF-8, or name its encoding "
            "in the profile (encoding: cp1252)"
        ) from None


def _as_unicode(body: bytes) -> bool | None:
    """Whether the text is plain ASCII (True), or UTF-8 with other letters (False); None when it is neither.

    ASCII with an escape is no UTF-8: MARC-8 writes Cyrillic and Chinese so.
    """
    if body.isascii():
        return None if b"\x1b" in body else True
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return False


def _refuse_damaged_utf8(layout: Layout) -> None:
    """Raise UnusableRecord for UTF-8 with stray bytes: MARC-8 knows most of its bytes, as other letters."""
    if b"\x1b" in layout.body:
        return
    whole = len(_SEQUENCE.findall(layout.body))
    stray = len(_HIGH.findall(_SEQUENCE.sub(b"", layout.body)))
    if not whole or whole < stray:
        return
    for tag, value in layout.fields:
        try:
            value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise UnusableRecord(
                f"its text is UTF-8, but the field {tag.decode()} has the byte 0x{value[error.start]:02X}, which "
                "is not: export it again, or correct the letter there"
            ) from None


def _built(layout: Layout, decode: Decode, remarks: list[Remark]) -> tuple[Record, list[Remark]]:
    by_field = decode is bytes.decode  # UTF-8, which leaves the delimiters alone
    builder = RecordBuilder(clean=by_field and _CONTROL.search(layout.body) is None)
    for raw_tag, value in layout.fields:
        tag = raw_tag.decode("ascii")
        if raw_tag in _CONTROL_TAGS:
            builder.add_control(tag, _with_place(tag, value, decode))
        elif by_field:
            indicators, *parts = decode(value).split("\x1f")
            builder.add_data(tag, indicators, [part for part in parts if part] if "" in parts else parts)
        else:
            signs, *subfields = value.split(_SUBFIELD)
            decoded = [chr(each[0]) + _with_place(tag, each[1:], decode) for each in subfields if each]
            builder.add_data(tag, signs.decode("utf-8", "replace"), decoded)
    record = builder.record(layout.leader.decode("latin-1"))
    return record, remarks + builder.remarks


def _with_place(tag: str, value: bytes, decode: Decode) -> str:
    try:
        return decode(value)
    except Marc8Error as loss:
        raise Marc8Error(f"in the field {tag} {loss}") from None


def _misnamed(found: str, named: str) -> list[Remark]:
    return [Remark(f"its text is {found}, though its leader says {named}", ENCODING)]


def _is_unimarc(layout: Layout) -> bool:
    found = [value for tag, value in layout.fields if tag == b"100" and _DATED.search(value)]
    if not found:
        return False
    tags = {tag.decode("ascii") for tag, _ in layout.fields}
    first = next(part for part in found[0].split(_SUBFIELD) if _DATED.match(_SUBFIELD + part))
    return is_unimarc(tags, first[1:].decode("latin-1"))


def _readable(layout: Layout, tag: bytes) -> str:
    """What can be read of a field of a record that cannot be used."""
    value = next((value for each, value in layout.fields if each == tag), b"")
    if tag not in _CONTROL_TAGS:
        value = b" ".join(part[1:] for part in value.split(_SUBFIELD)[1:] if part[:1] in b"ab")
    text = value.decode("utf-8", "replace")
    return "".join(char for char in text if char.isprintable()).strip(" /:;=")
