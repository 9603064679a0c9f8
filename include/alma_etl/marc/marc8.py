"""MARC-8 as Unicode, without losing a letter: what cannot be converted is an error.

The tables are pymarc's, which are those of the Library of Congress. Its own converter drops control bytes and
diacritics at the end of a text, writes a blank for a byte that is in no table, and only logs it.
Source of the rules: MARC 21 Specifications for Record Structure, Character Sets: MARC-8 Encoding Environment.
"""

import re
import unicodedata
from collections.abc import Iterator

from pymarc.marc8_mapping import CODESETS, ODD_MAP

_BASIC_LATIN, _ANSEL, _EACC = 0x42, 0x45, 0x31
_ESCAPE = 0x1B
# Designations, in this order: Greek symbols, subscripts, superscripts and back; G1, then G0 with several bytes a
# character; G0, then G1 with one. "!" stands before the final of ANSEL.
_DESIGNATION = re.compile(
    rb"\x1b(?:([gbps])|\$[)\-]([!-~])|\$[(,]?([!-~])|[(,]!?([!-~])|[)\-]!?([!-~]))", re.DOTALL
)
_PLAIN = re.compile(rb"[\x00-\x1a\x1c-\x7f]*")  # ASCII without an escape
_RUN = re.compile(rb"[\x20-\x7e]+")
# How letters that MARC-8 lacks are written in it without loss.
_REFERENCE = re.compile(r"&#x([0-9A-Fa-f]{4,6});")


class Marc8Error(ValueError):
    """A byte that MARC-8 does not know, or a diacritic that belongs to no letter."""


def marc8_text(data: bytes) -> str:
    """Return MARC-8 as Unicode in composed form (NFC). Raises Marc8Error."""
    plain = _PLAIN.fullmatch(data) is not None
    text = data.decode("ascii") if plain else unicodedata.normalize("NFC", "".join(_characters(data)))
    return _REFERENCE.sub(_referenced, text) if "&#x" in text else text


def _characters(data: bytes) -> Iterator[str]:
    """The characters in Unicode's order: MARC-8 puts a diacritic before its letter, Unicode after it."""
    marks = ""
    for char, is_mark in _converted(data):
        if is_mark:
            marks += char
            continue
        if marks and not _carries(char):
            raise Marc8Error(
                f"the diacritic {_named(marks)} stands before {_named(char)}, not before a letter"
            )
        yield char
        if marks:
            yield marks
            marks = ""
    if marks:
        raise Marc8Error(f"the diacritic {_named(marks)} stands at the end, without its letter")


def _converted(data: bytes) -> Iterator[tuple[str, bool]]:
    """Each character, and whether it is a diacritic of the one that follows."""
    g0, g1 = _BASIC_LATIN, _ANSEL
    at, end = 0, len(data)
    while at < end:
        byte = data[at]
        if byte == _ESCAPE:
            designation = _DESIGNATION.match(data, at)
            if designation is None:
                raise Marc8Error("an escape byte (0x1B) begins no character set")
            g0, g1 = _designated(designation, g0, g1)
            at = designation.end()
        elif byte <= 0x20:
            yield chr(byte), False
            at += 1
        elif g0 == _BASIC_LATIN and (run := _RUN.match(data, at)):
            for char in run[0].decode("ascii"):
                yield char, False
            at = run.end()
        elif (g1 if byte >= 0xA0 else g0) == _EACC and not 0x80 <= byte < 0xA0:
            yield _east_asian(data, at), False
            at += 3
        else:
            charset = _ANSEL if 0x80 <= byte < 0xA0 else g1 if byte >= 0xA0 else g0
            yield _single(byte, charset)
            at += 1


def _designated(designation: re.Match[bytes], g0: int, g1: int) -> tuple[int, int]:
    short, multi_g1, multi_g0, single_g0, single_g1 = designation.groups()
    if short:
        return (_BASIC_LATIN if short == b"s" else ord(short)), g1
    final = ord(multi_g1 or multi_g0 or single_g0 or single_g1)
    if final not in CODESETS or ((multi_g1 or multi_g0) and final != _EACC):
        raise Marc8Error(f"an escape names the character set {chr(final)!r}, which MARC-8 does not have")
    return (g0, final) if multi_g1 or single_g1 else (final, g1)


def _single(byte: int, charset: int) -> tuple[str, bool]:
    table = CODESETS[charset]
    # Each set is listed as if it stood in one half, and may be designated to the other.
    found = table.get(byte) or table.get(byte ^ 0x80)
    if found is None:
        raise Marc8Error(f"the byte 0x{byte:02X} is no character of the set in use")
    return chr(found[0]), bool(found[1])


def _east_asian(data: bytes, at: int) -> str:
    three = data[at : at + 3]
    if len(three) < 3:
        raise Marc8Error("an East Asian character is cut off")
    code = int.from_bytes(bytes(byte & 0x7F for byte in three), "big")
    found = CODESETS[_EACC].get(code)
    if found is None and code not in ODD_MAP:
        raise Marc8Error(f"the bytes 0x{three.hex().upper()} are no East Asian character of MARC-8")
    return chr(found[0] if found else ODD_MAP[code])


def _carries(char: str) -> bool:
    """Whether a diacritic can belong to it. Before a blank or a full stop it is, mostly, a letter of Windows."""
    return unicodedata.category(char)[0] in "LMNS"


def _named(chars: str) -> str:
    first = chars[0]
    return f"U+{ord(first):04X} {unicodedata.name(first, 'CONTROL')}"


def _referenced(found: re.Match[str]) -> str:
    code = int(found[1], 16)
    legal = 0xA0 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or 0x10000 <= code <= 0x10FFFF
    return chr(code) if legal else found[0]
