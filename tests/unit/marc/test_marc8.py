"""MARC-8: every letter converted, or an error that names what could not be."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymarc.marc8 import MARC8ToUnicode
from pymarc.marc8_mapping import CODESETS

from alma_etl.marc.marc8 import Marc8Error, marc8_text

ESC = b"\x1b"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", ""),
        (b"plain text", "plain text"),
        (b"caf\xe2e", "café"),
        (b"\xe8\xe5u", "ǖ"),  # two diacritics on one letter
        (b"\xebT\xecSerkov\xa7", "T︠S︡erkovʹ"),
        (b"\xa1\xb1\xb9", "Łł£"),
        (b"\x88The \x89Annals", "\x98The \x9cAnnals"),  # not sorted
        (b"a\x8db\x8ec", "a\u200db\u200cc"),
        (ESC + b"(NtEST" + ESC + b"(B x", "Тест x"),
        (ESC + b")Nab" + b"\xd4" + ESC + b")!E\xe2e", "abтé"),  # designated to the other half, and back
        (ESC + b"$1!0$ !04" + ESC + b"(B.", "三 中."),
        (ESC + b"ga" + ESC + b"s b", "α b"),
        (b"H" + ESC + b"b2" + ESC + b"sO", "H₂O"),
        (b"x" + ESC + b"p2" + ESC + b"s", "x²"),
        (b"&#x4E09; and &#xFF1B;", "三 and ；"),
        (b"&#x1b; stays", "&#x1b; stays"),
    ],
)
def test_what_it_converts(data, text):
    assert marc8_text(data) == text


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"caf\xe9", "at the end, without its letter"),  # Latin-1
        (b"caf\xe9 noir", "not before a letter"),
        (b"caf\xe9, noir", "U\\+002C COMMA"),
        (b"a\xffb", "byte 0xFF"),
        (b"a\x80b", "byte 0x80"),
        (b"a\x7fb\xff", "byte 0x7F|byte 0xFF"),
        (b"a\x93b\x94", "byte 0x93"),  # quotation marks of Windows
        (b"a" + ESC, "escape byte"),
        (b"a" + ESC + b"\xe0", "escape byte"),
        (b"a" + ESC + b"(Zb", "character set 'Z'"),
        (ESC + b"$1!0", "cut off"),
        (ESC + b"$1\x7e\x7e\x7e", "no East Asian"),
    ],
)
def test_what_it_cannot_convert_is_an_error(data, why):
    with pytest.raises(Marc8Error, match=why):
        marc8_text(data)


@pytest.mark.parametrize("charset", sorted(set(CODESETS) - {0x31, 0x42, 0x45}))
def test_each_letter_of_each_set_stands_in_either_half(charset):
    final = bytes([charset])
    for byte, (code, is_mark) in CODESETS[charset].items():
        if not is_mark:
            low, high = bytes([byte & 0x7F]), bytes([byte | 0x80])
            letter = unicodedata.normalize("NFC", chr(code))
            assert marc8_text(ESC + b"(" + final + low + ESC + b"s") == letter
            assert marc8_text(ESC + b")" + final + high) == letter


LETTERS = st.binary(max_size=30).map(
    lambda raw: bytes(65 + byte % 26 if byte < 128 else byte for byte in raw)
)


@given(LETTERS)
def test_it_agrees_with_pymarc_wherever_nothing_is_lost(data):
    try:
        text = marc8_text(data)
    except Marc8Error:
        return
    if not any(0x80 <= byte < 0xA0 for byte in data):  # which pymarc drops
        assert text == MARC8ToUnicode(quiet=True).translate(data)


@given(st.binary(max_size=60))
def test_it_raises_nothing_else(data):
    try:
        text = marc8_text(data)
    except Marc8Error:
        return
    assert len(text) > 0 or not data or data.startswith(ESC)
