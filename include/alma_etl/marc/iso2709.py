"""MARC21 binary (ISO 2709): writing without silent damage, reading without losing step.

pymarc writes a field longer than 9,999 bytes or a record longer than 99,999 bytes without complaint, and
nobody can read the result back. Nothing leaves this module that has not been read back and compared.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from pymarc import Record

FIELD_LIMIT = 9_999  # bytes with the field terminator: the directory has four digits for it
RECORD_LIMIT = 99_999  # bytes: the leader has five digits for it
RECORD_TERMINATOR = b"\x1d"


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
    if not same:
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

    The length in the leader is not trusted: a record that lies about it does not take the next one with it.
    Line ends and NULs between records, which some tools add, are passed over. A stretch of more than
    ``limit`` bytes without a terminator is given out as it is, so that it can be reported and left.
    """
    number, offset, buffer = 0, 0, b""
    while True:
        data = stream.read(block)
        buffer += data
        *complete, buffer = buffer.split(RECORD_TERMINATOR)
        for piece in complete:
            skipped = len(piece) - len(piece.lstrip(b"\r\n\x00 \x1a"))
            number += 1
            yield RawRecord(number, offset + skipped, piece[skipped:] + RECORD_TERMINATOR)
            offset += len(piece) + 1
        if not data:
            break
        if len(buffer) > limit:
            number += 1
            yield RawRecord(number, offset, buffer)
            offset, buffer = offset + len(buffer), b""
    rest = buffer.lstrip(b"\r\n\x00 \x1a")
    if rest:
        yield RawRecord(number + 1, offset + len(buffer) - len(rest), rest)
