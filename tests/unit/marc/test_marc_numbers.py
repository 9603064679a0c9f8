"""ISSN and OCLC numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alma_etl.marc.numbers import is_oclc, isbn_13, issn_is_valid, oclc_number


@pytest.mark.parametrize(
    "issn", ["0317-8471", "2049-3630", "1050-124X", "1050-124x", " 0317-8471 ", "03178471", "0000-0000"]
)
def test_right_issn(issn):
    assert issn_is_valid(issn)


@pytest.mark.parametrize(
    "issn",
    [
        "",
        "0317-8472",
        "1050-1240",
        "X317-8471",
        "0317-847",
        "0317-84711",
        "031-78471",
        "0317--8471",
        "0317 8471",
        "０３１７-8471",
    ],
)
def test_wrong_issn(issn):
    assert not issn_is_valid(issn)


@given(st.integers(0, 9_999_999))
def test_of_the_eleven_check_characters_exactly_one_is_right(number):
    digits = f"{number:07d}"
    right = [check for check in "0123456789X" if issn_is_valid(f"{digits[:4]}-{digits[4:]}{check}")]
    assert len(right) == 1


@given(st.integers(0, 9_999_999), st.integers(0, 6), st.integers(1, 9))
def test_one_wrong_digit_is_always_found(number, place, change):
    digits = f"{number:07d}"
    check = next(check for check in "0123456789X" if issn_is_valid(digits + check))
    other = digits[:place] + str((int(digits[place]) + change) % 10) + digits[place + 1 :]
    assert not issn_is_valid(other + check)


@pytest.mark.parametrize(
    ("value", "digits"),
    [
        ("(OCoLC)1234", "1234"),
        ("(OCoLC)0001234", "1234"),
        ("(OCoLC)ocm00001234", "1234"),
        ("(OCoLC)ocn123456789", "123456789"),
        ("(OCoLC)on1234567890", "1234567890"),
        ("(OCoLC) OCM00001234 ", "1234"),
        (" (ocolc)5", "5"),
        ("(OCoLC)", None),
        ("(OCoLC)ocm", None),
        ("(OCoLC)0", None),
        ("(OCoLC)12a", None),
        ("(OCoLC)fst00001", None),
        ("(OCoLC)-12", None),
        ("(OCoLC)١٢٣", None),
        ("(DLC)1234", None),
        ("ocm00001234", None),
        ("", None),
    ],
)
def test_oclc_number(value, digits):
    assert oclc_number(value) == digits


def test_what_claims_to_be_an_oclc_number():
    assert is_oclc("(OCoLC)whatever")
    assert is_oclc(" (ocolc)1")
    assert not is_oclc("1 (OCoLC)")
    assert not is_oclc("(OCoLC-I)1")


@pytest.mark.parametrize(
    ("value", "isbn"),
    [
        ("0-306-40615-2", "9780306406157"),
        ("978-0-306-40615-7", "9780306406157"),
        ("080442957x", "9780804429573"),
        ("0306406153", None),
        ("9780306406158", None),
        ("97803064061", None),
        ("X306406152", None),
        ("9770306406157", None),
        ("", None),
    ],
)
def test_an_isbn_is_13_digits_or_none(value, isbn):
    assert isbn_13(value) == isbn
