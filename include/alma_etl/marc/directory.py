"""The directory of a record in ISO 2709: which of its bytes are which field, where the record may be damaged.

A directory is believed where it fits the data, whatever the leader says of lengths and addresses: every field that it
names ends with a field terminator, and no terminator is left over.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from alma_etl.counted import counted, verb

LEADER_LENGTH = 24
FIELD_TERMINATOR = b"\x1e"
RECORD_TERMINATOR = b"\x1d"
_ENTRY = re.compile(rb"([\x20-\x7e]{3})(\d{4})(\d{5})")
_ENTRIES = re.compile(rb"(?:[\x20-\x7e]{3}\d{9})+")
_BLANKS = b"\r\n \x00\x1a\t"
_OVERLONG = (0, 9_999)  # what stands in the directory for a field that is longer than four digits can say
_LEADERS = range(18, 30)  # lengths that a leader which lost or gained some bytes may have

Entry = tuple[bytes, int, int]  # tag, length with the terminator, start from the base


class DamagedRecord(ValueError):
    """A record whose bytes do not say with certainty which fields it has."""


@dataclass(frozen=True)
class Layout:
    """The leader and the fields of a record (tag, bytes without the terminator), in the order of its directory.
    `body`: all bytes of the fields; `faults`: what the record says wrongly of its lengths, to go into a sentence."""

    leader: bytes
    fields: list[tuple[bytes, bytes]]
    body: bytes
    faults: tuple[str, ...] = ()


def layout_of(data: bytes) -> Layout:
    """Read the directory of one record, with or without its record terminator. Raises DamagedRecord."""
    if len(data) < LEADER_LENGTH + 2:
        raise DamagedRecord(f"it is only {counted(len(data), 'byte')} long")
    end = data.find(FIELD_TERMINATOR, LEADER_LENGTH - 6)
    if end < 0:
        raise DamagedRecord("it has no directory that ends")
    base = end + 1
    body = data[base:].rstrip(RECORD_TERMINATOR)
    first: tuple[bytes, list[Entry]] | None = None
    for leader, entries in _readings(data, end):
        if not entries:
            continue
        fields = _by_directory(data, base, entries)
        if fields is not None:
            return Layout(leader, fields, body, tuple(_wrong_lengths(data, base)))
        first = first or (leader, entries)
    if first is None:
        raise DamagedRecord(_unreadable(data, end))
    leader, entries = first
    fields = _by_terminators(data, base, entries)
    fault = "the lengths in its directory are not those of its fields"
    return Layout(leader, fields, body, (*_wrong_lengths(data, base), fault))


def _readings(data: bytes, end: int) -> Iterator[tuple[bytes, list[Entry] | None]]:
    """The ways to read a directory: of the usual widths, or with numbers that outgrew their places."""
    yield data[:LEADER_LENGTH], plain_entries(data, LEADER_LENGTH, end)
    if data[:6].isdigit():
        # A length of six digits, as programs write it that do not know the limit.
        leader = b"99999" + data[6 : LEADER_LENGTH + 1]
        yield leader, plain_entries(data, LEADER_LENGTH + 1, end)
        yield leader, _wide_entries(data, LEADER_LENGTH + 1, end)
    yield data[:LEADER_LENGTH], _wide_entries(data, LEADER_LENGTH, end)


def _unreadable(data: bytes, end: int) -> str:
    if end == LEADER_LENGTH:
        return "it has no fields"
    for length in _LEADERS:
        if plain_entries(data, length, end):
            return f"its leader has {length} characters where {LEADER_LENGTH} belong"
    return "its directory cannot be read"


def plain_entries(data: bytes, begin: int, end: int) -> list[Entry] | None:
    """Return the entries of the usual width between these bytes, None where something else stands there."""
    if _ENTRIES.fullmatch(data, begin, end) is None:
        return None
    return [(tag, int(length), int(start)) for tag, length, start in _ENTRY.findall(data, begin, end)]


def _wide_entries(data: bytes, begin: int, end: int) -> list[Entry] | None:
    """Entries with a length of four to six digits, each field beginning where the one before it ends."""
    entries: list[Entry] = []
    expected, at = 0, begin
    while at < end:
        start = b"%05d" % expected
        for digits in (4, 5, 6):
            stop = at + 3 + digits
            length = data[at + 3 : stop]
            follows = b"%05d" % (expected + int(length)) if length.isdigit() else b""
            after = stop + len(start)
            next_start = data[after + 7 : after + 9 + len(follows)]  # its length may be wider, too
            if data[stop:after] == start and length.isdigit() and (after == end or follows in next_start):
                entries.append((data[at : at + 3], int(length), expected))
                expected += int(length)
                at = after
                break
        else:
            return None
    return entries or None


def _wrong_lengths(data: bytes, base: int) -> list[str]:
    faults = []
    if data[:5] != b"%05d" % len(data):
        faults.append(_length(data))
    if data[12:17] != b"%05d" % base and not data[:6].isdigit():
        faults.append(f"its leader says that the fields begin at {data[12:17]!r}, they begin at {base}")
    if not data.endswith(RECORD_TERMINATOR):
        faults.append("the record terminator at its end is missing")
    return faults


def _length(data: bytes) -> str:
    if not data[:5].isdigit():
        return f"its leader does not begin with its length but with {data[:5].decode('ascii', 'replace')!r}"
    claimed = int(data[:5])
    return f"its leader says {claimed} {verb(claimed, 'byte', 'bytes')}, it has {len(data)}"


def _by_directory(data: bytes, base: int, entries: list[Entry]) -> list[tuple[bytes, bytes]] | None:
    """The fields where the directory says; None where it does not fit the data."""
    fields = []
    for tag, length, start in entries:
        begin, stop = base + start, base + start + length - 1
        value = data[begin:stop]
        if length < 1 or data[stop : stop + 1] != FIELD_TERMINATOR or FIELD_TERMINATOR in value:
            return None
        fields.append((tag, value))
    if data.count(FIELD_TERMINATOR, base) != len({start for _, _, start in entries}) or _tail(data):
        return None
    return fields


def _by_terminators(data: bytes, base: int, entries: list[Entry]) -> list[tuple[bytes, bytes]]:
    """The fields as their terminators part them, where that proves the directory right: a length may be counted in
    characters instead of bytes, or be too long for its place."""
    values = data[base:].split(FIELD_TERMINATOR)
    tail = values.pop()
    if len(values) > len(entries) or (
        tail.strip(RECORD_TERMINATOR + _BLANKS) and len(values) == len(entries)
    ):
        raise DamagedRecord("it holds more than its directory names")
    if len(values) < len(entries):
        raise DamagedRecord("it ends before the last field that its directory names")
    in_order = sorted(range(len(entries)), key=lambda index: entries[index][2])
    fields: list[tuple[bytes, bytes]] = [(b"", b"")] * len(entries)
    for index, value in zip(in_order, values, strict=True):
        tag, length, _ = entries[index]
        if not _fits(length, value):
            shown = tag.decode("ascii", "replace")
            raise DamagedRecord(
                f"the field {shown} is not as long as its directory says: bytes are missing or too many"
            )
        fields[index] = (tag, value)
    return fields


def _fits(length: int, value: bytes) -> bool:
    size = len(value) + 1
    if length == size or (length in _OVERLONG and size > max(_OVERLONG)):
        return True
    try:
        return length == len(value.decode("utf-8")) + 1
    except UnicodeDecodeError:
        return False


def _tail(data: bytes) -> bytes:
    """What stands after the last field and is no end of a record."""
    return data[data.rfind(FIELD_TERMINATOR) + 1 :].strip(RECORD_TERMINATOR + _BLANKS)
