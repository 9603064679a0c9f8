"""Identifiers: what is taken off, what is folded, what is unwrapped, what cannot be used."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alma_etl.identifiers import comparable, is_invisible, named, read_characters, read_identifier

INVISIBLE = [
    "\u00a0", "\u00ad", "\u034f", "\u061c", "\u115f", "\u1680", "\u180b", "\u180e", "\u2003", "\u2009", "\u200b",
    "\u200c", "\u200d", "\u200e", "\u200f", "\u202a", "\u202c", "\u202d", "\u202e", "\u202f", "\u205f", "\u2060",
    "\u2064", "\u2066", "\u2069", "\u2800", "\u3000", "\u3164", "\ufe00", "\ufe0f", "\ufeff", "\uffa0", "\U000e0020",
    "\U000e0100", "\x00", "\x07", "\x1b", "\x7f", "\x80", "\x9f",
]  # fmt: skip


@pytest.mark.parametrize("char", INVISIBLE, ids=named)
def test_a_character_that_cannot_be_seen_is_taken_off_wherever_it_stands(char):
    for text in (
        f"{char}31166000000002",
        f"31166000000002{char}",
        f"3116{char}6000000002",
        f" {char}31166000000002 ",
    ):
        read = read_identifier(text)
        assert (read.value, read.problem) == ("31166000000002", ""), ascii(text)
        assert read.changes == ("1 invisible character removed",)


@given(st.text(max_size=20))
def test_no_identifier_that_can_be_used_holds_what_cannot_be_seen(text):
    read = read_identifier(text)
    if not read.problem:
        assert read.value.isprintable()
        assert not any(is_invisible(char) for char in read.value)
        assert read.value == unicodedata.normalize("NFKC", read.value)
        assert read.value == read.value.strip()
        assert read_characters(read.value).value == read.value  # once is enough


@pytest.mark.parametrize(
    ("text", "value", "changes"),
    [
        ("\u202d31166000000002\u202c", "31166000000002", ("2 invisible characters removed",)),
        ("３１１６６", "31166", ("written in plain characters (NFKC)",)),
        ("Ａ\u200b－１", "A-1", ("1 invisible character removed", "written in plain characters (NFKC)")),
        ("e\u0301x", "\u00e9x", ("written in plain characters (NFKC)",)),
        (" 31166 ", "31166", ()),
        ("\t31166\r\n", "31166", ("3 invisible characters removed",)),
        ("АВ-12", "АВ-12", ()),
        ("می12", "می12", ()),
        ("A%1/?#&;,\"'()*", "A%1/?#&;,\"'()*", ()),
        ("POL-1001", "POL-1001", ()),
        ('="0012345"', "0012345", ('="…" around it removed',)),
        ('="31166002949495.0"', "31166002949495", ('="…" around it removed', ".0 at its end removed")),
        ("'0012348", "0012348", ("' before it removed",)),
        ("'B-0012", "B-0012", ("' before it removed",)),
        ('"0012"', "0012", ("quotation marks around it removed",)),
        ("'0012'", "0012", ("quotation marks around it removed",)),
        ("31166002949495.0", "31166002949495", (".0 at its end removed",)),
        ("31166002949495,00", "31166002949495", (",00 at its end removed",)),
        ("２.0", "2", ("written in plain characters (NFKC)", ".0 at its end removed")),
        ("12E4567", "12E4567", ()),
        ("E10", "E10", ()),
        ("2E5", "2E5", ()),
        ("3E+", "3E+", ()),
        ("1998.12", "1998.12", ()),
        ("007", "007", ()),
        ("007.0", "007.0", ()),
        ("it's", "it's", ()),
        ('12"', '12"', ()),
        ("NULLA", "NULLA", ()),
        ("-5", "-5", ()),
        ("990010000\u00a0000004401", "990010000000004401", ("1 invisible character removed",)),
        ('=""', "", ('="…" around it removed',)),
        ("NA", "NA", ()),
        ("", "", ()),
        ("\u00a0", "", ("1 invisible character removed",)),
    ],
)
def test_what_is_read_and_what_was_done_for_it(text, value, changes):
    read = read_identifier(text)
    assert (read.value, read.changes, read.problem) == (value, changes, "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("\u200b\u200b", "nothing but U+200B ZERO WIDTH SPACE"),
        ("31166\n31167", "U+000A LINE FEED"),
        ("31166\t31167", "U+0009 TAB"),
        ("31166\u202831167", "U+2028 LINE SEPARATOR"),
        ("31166000000001\u00a031166000000002", "U+00A0 NO-BREAK SPACE in it, between what may be two values"),
        ("31166001\u00a031166002", "U+00A0 NO-BREAK SPACE in it, between what may be two values"),
        ("31\u202f166\u202f002", "with U+202F NARROW NO-BREAK SPACE between the groups"),
        ("\ue000123", "U+E000"),
        ("123\ufffd", "U+FFFD REPLACEMENT CHARACTER"),
        ("3.1166E+13", "rounded number"),
        ("3,1166E+13", "rounded number"),
        ("3.1166e13", "rounded number"),
        ("31.166E+12", "rounded number"),
        ("3E+13", "rounded number"),
        ("３.1166Ｅ＋13", "rounded number"),
        ("3.1166×10^13", "rounded number"),
        ("31.166.002.949.495", "as a spreadsheet shows it"),
        ("31,166,002,949,495", "as a spreadsheet shows it"),
        ("31 166 002", "as a spreadsheet shows it"),
        ("31'166'002", "as a spreadsheet shows it"),
        ("31.166.002,00", "as a spreadsheet shows it"),
        ("3,11,66,002", "as a spreadsheet shows it"),
        ("31166002949495.5", "as a spreadsheet shows it"),
        ("991008836536904064.0", "last digits are lost"),
        ("#N/A", "error of a spreadsheet"),
        ("#REF!", "error of a spreadsheet"),
        ("#VALUE!", "error of a spreadsheet"),
        ("#NAME?", "error of a spreadsheet"),
        ("#DIV/0!", "error of a spreadsheet"),
        ("#NV", "error of a spreadsheet"),
        ("#BEZUG!", "error of a spreadsheet"),
        ("#¡VALOR!", "error of a spreadsheet"),
        ("#Н/Д", "error of a spreadsheet"),
        ("#####", "error of a spreadsheet"),
        ("Err:502", "error of a spreadsheet"),
        ('="#N/A"', "error of a spreadsheet"),
        ("NULL", "word for nothing"),
        ("nan", "word for nothing"),
        ("N/A", "word for nothing"),
        ("None", "word for nothing"),
        ("\\N", "word for nothing"),
        ("-", "word for nothing"),
        ("—", "word for nothing"),
        ("=1+1", "a formula"),
        ('=HYPERLINK("http://x")', "a formula"),
        ('="00"&"12"', "a formula"),
        ('"0012', "begins with a quotation mark"),
        ("'s-Hertogenbosch", "begins with a quotation mark"),
        ("31166.000", "as a spreadsheet shows it"),
        ("31166.", "as a spreadsheet shows it"),
        ("31166,", "as a spreadsheet shows it"),
        ("TRUE", "truth value"),
        ("Wahr", "truth value"),
        # what word processors and other keyboards put for a plain character, which no scanner reads
        ("\u20190012", "U+2019 RIGHT SINGLE QUOTATION MARK"),
        ("\u201c0012\u201d", "U+201C LEFT DOUBLE QUOTATION MARK"),
        ("AB\u201312", "U+2013 EN DASH"),
        ("AB\u201112", "U+2010 HYPHEN"),
        ("AB\u221212", "U+2212 MINUS SIGN"),
        ("1\u00bd", "U+2044 FRACTION SLASH"),
        ("٣١١٦٦", "U+0663 ARABIC-INDIC DIGIT THREE"),
        ("3٫1166E+13", "U+066B ARABIC DECIMAL SEPARATOR"),
    ],
)
def test_what_is_not_certain_is_a_problem_in_words(text, words):
    assert words in read_identifier(text).problem


@pytest.mark.parametrize(
    "text",
    [
        "committed\u00a0to\u00a0retain",
        "committed  to\u200b retain ",
        "\ufeffcommitted to retain",
        "com\u00admitted to retain",
        "\uff43ommitted to retain",
        "committed\nto\tretain",
        "committed\u2003to\u3000retain",
        "committed to re\u200dtain",
        "\u202dcommitted to retain\u202c",
        "committed\u202fto retain",
        "committed to retain\ufe0f",
        "committed\u2028to retain",
    ],
)
def test_words_are_compared_without_what_cannot_be_seen(text):
    assert comparable(text) == "committed to retain"
