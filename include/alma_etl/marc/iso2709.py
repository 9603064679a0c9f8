"""MARC21 binary (ISO 2709): writing without silent damage, reading without losing step.

pymarc writes a field longer than 9,999 bytes or a record longer than 99,999 bytes without complaint, and
nobody can read the result back. Nothing leaves this module that has not been read back and compared.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from pymarc import Record

FIELD_LIMIT = 9_999  # bytes with the field terminator: the directory has four digits for it
RECORD_LIMIT = 99_999  # bytes: the leader has five digits for it
RECORD_TERMINATOR = b"\x1d"
# What some tools put before or between records: line ends, NULs, an end-of-file mark, a byte order mark.
_PADDING = re.compile(rb"(?:[\r\n\x00 \x1a]|\xef\xbb\xbf)*")
# A leader at any place: the record's length, the fixed indicator and subfield counts, base address, entry map.
_LEADER = re.compile(rb"(?=(\d{5})[\x20-\x7e]{5}22\d{5}[\x20-\x7e]{3}4500)")


class Unwritable(ValueError):
    """A record that ISO 2709 cannot hold; ``code`` is the WEST rule that it breaks."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def to_iso2709(record: Record) -> bytes:
    """Serialise as UTF-8 (leader/09 ``a``) and prove it by reading it back.

    Raises Unwritable with code FIELDLONG, TOOLONG or ROUNDTRIP (WEST delivery checklist, point 11).
    """
    for field in record.fields:
        if len(field.as_marc("utf-8")) > FIELD_LIMIT:
            raise Unwritable("FIELDLONG", f"field {field.tag} is longer than {FIELD_LIMIT} bytes")
    try:
        data = bytes(record.as_marc())
    except Exception as error:
        raise Unwritable("ROUNDTRIP", f"the record cannot be written: {error}") from error
    if len(data) > RECORD_LIMIT:
        raise Unwritable("TOOLONG", f"the record is {len(data)} bytes long, ISO 2709 holds {RECORD_LIMIT}")
    try:
        again = Record(data, to_unicode=True, force_utf8=True)
        same = _content(again) == _content(record)
    except Exception as error:
        raise Unwritable("ROUNDTRIP", f"the written record cannot be read back: {error}") from error
    # The directory would lead a reader past a terminator inside the text, but not every reader goes by it.
    terminators = data.count(b"\x1e"), data.count(RECORD_TERMINATOR)
    if not same or terminators != (len(record.fields) + 1, 1):
        raise Unwritable("ROUNDTRIP", "the written record reads back differently")
    return data


def _content(record: Record) -> list[object]:
    leader = str(record.leader)
    # Lengths and the base address are computed at writing, entry map and counts are fixed.
    fixed = leader[5:10] + leader[17:20]
    return [
        fixed,
        *(
            (field.tag, field.data)
            if field.is_control_field()
            else (field.tag, tuple(field.indicators or ()), tuple(map(tuple, field.subfields)))
            for field in record.fields
        ),
    ]


class Readable(Protocol):
    """What a MARC21 file is read from."""

    def read(self, size: int = -1, /) -> bytes: ...


@dataclass(frozen=True)
class RawRecord:
    """The bytes of one record: its number in the file (from 1), the offset of its first byte, its bytes."""

    number: int
    offset: int
    data: bytes


def split_records(
    stream: Readable, *, block: int = 1 << 20, limit: int = 10 * RECORD_LIMIT
) -> Iterator[RawRecord]:
    """Cut a MARC21 file at its record terminators, in flat memory.

    The length in the leader is not trusted: a record that lies about it does not take the next one with it, and
    neither does one whose terminator is missing. What some tools add between records is passed over. A stretch of
    more than ``limit`` bytes without a terminator is given out in pieces, so that it can be reported and left.
    """
    number, offset, buffer = 0, 0, b""
    while True:
        data = stream.read(block)
        buffer += data
        *complete, buffer = buffer.split(RECORD_TERMINATOR)
        pieces = [piece + RECORD_TERMINATOR for piece in complete]
        if not data:
            pieces.append(buffer)
        elif len(buffer) > limit:
            # The end may be the beginning of a good record, which is no longer than this.
            pieces.append(buffer[:-RECORD_LIMIT])
            buffer = buffer[-RECORD_LIMIT:]
        for piece in pieces:
            for start, end in _parts(piece):
                number += 1
                yield RawRecord(number, offset + start, piece[start:end])
            offset += len(piece)
        if not data:
            return


def _parts(piece: bytes) -> Iterator[tuple[int, int]]:
    """Where the records of a piece stand: usually one; two when the first has lost its terminator; none in padding."""
    padding = _PADDING.match(piece)
    start, end = padding.end() if padding else 0, len(piece)
    if start == end:
        return
    if piece[start : start + 5] != b"%05d" % (end - start):
        for leader in _LEADER.finditer(piece, start + 1):
            if int(leader[1]) == end - leader.start():
                yield start, leader.start()
                start = leader.start()
                break
    yield start, end
