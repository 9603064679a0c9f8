"""The 001 of a MARC21 record that may be damaged, where it is certain which bytes it is.

Only the directory and the terminators are needed for it: a wrong length or base address in the leader, text in
another encoding, a lost terminator or a cut end leave the 001 where it was. What is not certain is not guessed.
"""

import re
from dataclasses import dataclass

from alma_etl.counted import counted, verb
from alma_etl.marc.directory import (
    FIELD_TERMINATOR,
    LEADER_LENGTH,
    RECORD_TERMINATOR,
    Entry,
)

_ENTRY = re.compile(rb"([0-9A-Za-z]{3})(\d{4})(\d{5})")
_FIRST_ENTRY = re.compile(rb"001\d{4}00000")


@dataclass(frozen=True)
class ControlNumber:
    """The 001 as text, "" when there is none; or why it is not certain (`problem`). `damaged`: the record is not as
    its leader says, yet its 001 is certain."""

    value: str = ""
    problem: str = ""
    damaged: bool = False


@dataclass(frozen=True)
class _Directory:
    """The entries (tag, length, start), where the data begins, and how many fields there are; of a garbled
    directory, of which only the size is known, the first entry or none."""

    entries: list[Entry]
    base: int
    fields: int


def control_number(data: bytes) -> ControlNumber:
    """Read the 001 from the bytes of one record, with or without its record terminator."""
    if len(data) < LEADER_LENGTH:
        return ControlNumber(problem=f"only {counted(len(data), 'byte')} long")
    sound = data[:5] == b"%05d" % len(data)
    directory = _directory(data)
    if directory is None:
        return ControlNumber(problem=f"{_length(data)}its directory cannot be read")
    if not sound and _holds_more(data, directory):
        return ControlNumber(problem=f"{_length(data)}it holds more than its directory names")
    numbers = [entry for entry in directory.entries if entry[0] == b"001"]
    if directory.entries and not numbers:
        return ControlNumber(problem="it has no 001")
    if not numbers and not sound:
        return ControlNumber(problem=f"{_length(data)}its directory cannot be read")
    values = (
        {_value(data, directory, entry) for entry in numbers}
        if numbers
        else {_first_field(data, directory.base)}
    )
    if len(values) > 1:
        return ControlNumber(problem="it has several 001")
    value = values.pop()
    if value is None:
        return ControlNumber(problem=f"{_length(data)}its 001 is cut off or not where its directory says")
    sound = sound and len(directory.entries) == directory.fields and data[12:17] == b"%05d" % directory.base
    return ControlNumber(value.decode("ascii", "replace").strip(" \t\r\n\x00"), damaged=not sound)


def _directory(data: bytes) -> _Directory | None:
    end = data.find(FIELD_TERMINATOR, LEADER_LENGTH)
    at = _leader_of_other_length(data, end)
    for begin in (LEADER_LENGTH, at):
        entries = _entries(data[begin:end]) if end > begin and (end - begin) % 12 == 0 else None
        if entries:
            return _Directory(entries, end + 1, len(entries))
    if end > LEADER_LENGTH and data[12:17] == b"%05d" % (end + 1) and (end - LEADER_LENGTH) % 12 == 0:
        tag = data[LEADER_LENGTH : LEADER_LENGTH + 3]
        if not tag.isalnum() or tag == b"001":
            first = _entries(data[LEADER_LENGTH : LEADER_LENGTH + 12]) or []
            return _Directory(first, end + 1, (end - LEADER_LENGTH) // 12)
    entries = _contiguous(data, at)
    if entries:
        # the terminator of the directory is lost, or something stands before it
        base = at + 12 * len(entries)
        base += data[base : base + 1] == FIELD_TERMINATOR
        return _Directory(entries, base, len(entries))
    return None


def _leader_of_other_length(data: bytes, end: int) -> int:
    """Where the directory begins, also when bytes of the leader were lost or added."""
    found = _FIRST_ENTRY.search(data, 0, max(end, 0) or 2 * LEADER_LENGTH + 12)
    return found.start() if found and found.start() <= 2 * LEADER_LENGTH else LEADER_LENGTH


def _entries(text: bytes) -> list[Entry] | None:
    found = [_ENTRY.fullmatch(text, at, at + 12) for at in range(0, len(text), 12)]
    if any(each is None for each in found):
        return None
    return [(each[1], int(each[2]), int(each[3])) for each in found if each is not None]


def _contiguous(data: bytes, at: int) -> list[Entry]:
    """The entries from `at` on of which each begins where the one before it ends, as everybody writes them."""
    entries: list[Entry] = []
    expected = 0
    while (each := _ENTRY.match(data, at)) is not None and int(each[3]) == expected:
        entries.append((each[1], int(each[2]), expected))
        expected += int(each[2])
        at += 12
    return entries


def _holds_more(data: bytes, directory: _Directory) -> bool:
    """Whether there are more fields than the directory has: perhaps those of another record."""
    named = directory.base + sum(length for _, length, _ in directory.entries) + 1
    return data.count(FIELD_TERMINATOR) > directory.fields + 1 and named != len(data)


def _value(data: bytes, directory: _Directory, entry: Entry) -> bytes | None:
    _, length, start = entry
    begin, end = directory.base + start, directory.base + start + length - 1
    if length > 0 and _is_field(data, directory.base, begin, end):
        return data[begin:end]
    first, *later = sorted(directory.entries, key=lambda each: each[2])
    value = _first_field(data, directory.base) if entry == first else None
    if value is None:
        return None
    # What was cut, or grew, may be a number that is another record's: where it ends must stand in the directory,
    # as its own length or as the begin of the field after it.
    size = len(value) + 1
    follows = next((each[2] for each in later), None)
    alone = follows is None and directory.base + size >= len(data.rstrip(RECORD_TERMINATOR))
    return value if size in (length, follows) or alone else None


def _first_field(data: bytes, base: int) -> bytes | None:
    end = data.find(FIELD_TERMINATOR, base)
    return data[base:end] if end >= 0 else None


def _is_field(data: bytes, base: int, begin: int, end: int) -> bool:
    """Whether these bytes are one whole field: a value that was cut off must not be taken for another one."""
    after = data[end : end + 1] == FIELD_TERMINATOR
    before = begin == base or data[begin - 1 : begin] == FIELD_TERMINATOR
    return after and before and FIELD_TERMINATOR not in data[begin:end]


def _length(data: bytes) -> str:
    """What is wrong with the length in the leader, to begin a sentence."""
    if data[:5] == b"%05d" % len(data):
        return ""
    if not data[:5].isdigit():
        return f"its leader does not begin with the record's length but with {data[:5]!r}, and "
    claimed = int(data[:5])
    return f"its leader says {claimed} {verb(claimed, 'byte', 'bytes')}, {len(data)} were found, and "
