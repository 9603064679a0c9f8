"""MARC21 binary (ISO 2709): writing without silent damage, reading without losing step.

pymarc writes a field longer than 9,999 bytes or a record longer than 99,999 bytes without complaint, and
nobody can read the result back. Nothing leaves this module that has not been read back and compared.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from pymarc import Record

FIELD_LIMIT = 9_999  # bytes with the field terminator: the directory has four digits for it
RECORD_LIMIT = 99_999  # bytes: the leader has five digits for it
RECORD_TERMINATOR = b"\x1d"
# What some tools put before or between records: line ends, NULs, an end-of-file mark, a byte order mark.
_PADDING = re.compile(rb"(?:[\r\n\x00 \x1a]|\xef\xbb\xbf)*")
# A leader at any place: the record's length, the fixed indicator and subfield counts, base address, entry map. With
# the first entry of a directory after it, it is one beyond doubt.
_LEADER = re.compile(rb"(?=(\d{5})[\x20-\x7e]{5}22\d{5}[\x20-\x7e]{3}4500([0-9A-Za-z]{3}\d{4}00000)?)")
_BLANK_LENGTH = re.compile(rb" {5}[\x21-\x7e][\x20-\x7e]{4}22\d{5}[\x20-\x7e]{3}4500")
# The beginning of a directory whose leader is damaged.
_DIRECTORY = re.compile(rb"(?=001\d{4}00000(?:[0-9A-Za-z]{3}\d{9}|\x1e))")
_LEADER_LENGTH = 24
_LEAST_RECORD = 40  # bytes: a leader, one entry of a directory, terminators


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
    neither does one whose terminator is missing. A terminator in the text of a record does not cut it in two where
    its length proves it. What some tools add between records is passed over. A stretch of more than ``limit`` bytes
    without a terminator is given out in pieces, so that it can be reported and left.
    """
    number = offset = 0
    for piece in _joined(_pieces(stream, block, limit)):
        for start, end in _parts(piece):
            number += 1
            yield RawRecord(number, offset + start, piece[start:end])
        offset += len(piece)


def _pieces(stream: Readable, block: int, limit: int) -> Iterator[bytes]:
    """The file, cut after each record terminator."""
    buffer = b""
    while data := stream.read(block):
        buffer += data
        *complete, buffer = buffer.split(RECORD_TERMINATOR)
        yield from (piece + RECORD_TERMINATOR for piece in complete)
        if len(buffer) > limit:
            # The end may be the beginning of a good record, which is no longer than this.
            yield buffer[:-RECORD_LIMIT]
            buffer = buffer[-RECORD_LIMIT:]
    yield buffer


def _joined(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces, with those joined that a terminator inside of a record parted: where nothing that begins a record
    follows, and the length in the leader leads to a later terminator, be that one counted in it or not."""
    held: list[bytes] = []
    size = wanted = 0
    for piece in pieces:
        if held and size + len(piece) <= wanted + len(held) and not _begins(piece):
            held.append(piece)
            size += len(piece)
            if size == wanted or size == wanted + len(held) - 1:
                yield b"".join(held)
                held = []
            continue
        yield from held
        start = _after_padding(piece)
        leader = _LEADER.match(piece, start)
        size, wanted = len(piece), start + int(leader[1]) if leader else 0
        held = [piece] if size < wanted else []
        if not held:
            yield piece
    yield from held


def _begins(piece: bytes) -> bool:
    """Whether a record seems to begin here, be its leader damaged or not; or nothing but padding comes."""
    start = _after_padding(piece)
    if start == len(piece) or _LEADER.match(piece, start):
        return True
    return _DIRECTORY.search(piece, start, start + 4 * _LEADER_LENGTH) is not None


def _after_padding(piece: bytes) -> int:
    padding = _PADDING.match(piece)
    start = padding.end() if padding else 0
    # The blanks may be the length of a record whose leader has none.
    return start - 5 if start >= 5 and _BLANK_LENGTH.match(piece, start - 5) else start


def _parts(piece: bytes) -> Iterator[tuple[int, int]]:
    """Where the records of a piece stand: usually one; more when some lost their terminator; none in padding."""
    start, end = _after_padding(piece), len(piece)
    if start == end:
        return
    # A length that outgrew its place is one digit longer: the leader seems to begin at its second digit, too.
    least = start + 1 if piece[start : start + 6].isdigit() else start
    for begin in _inner_begins(piece, start):
        if begin <= least:
            continue
        if piece[start : start + 5] == b"%05d" % (end - start):
            break
        yield start, begin
        start = begin
    yield start, end


def _inner_begins(piece: bytes, start: int) -> Iterator[int]:
    """Where further records seem to begin, in order; looked for only in a piece that is not one sound record."""
    if piece[start : start + 5] == b"%05d" % (len(piece) - start):
        return
    found = {
        leader.start()
        for leader in _LEADER.finditer(piece, start + 1)
        if leader[2] or int(leader[1]) == len(piece) - leader.start()
    }
    for directory in _DIRECTORY.finditer(piece, start):
        begin = directory.start() - _LEADER_LENGTH
        # Of a leader that lost or gained some bytes it is not known where it began.
        if begin >= start + _LEAST_RECORD and not any(abs(begin - each) < _LEAST_RECORD for each in found):
            found.add(begin)
    yield from sorted(found)
