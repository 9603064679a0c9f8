"""The numbers by which records are known again, in every spelling that files have; and those that are none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alma_etl.bibs.keys import keys_of
from alma_etl.bibs.merging import prepared
from tests.unit.bibs.records import record


@pytest.mark.parametrize(
    ("spelling", "digits"),
    [
        ("(OCoLC)64758", "64758"),
        ("(OCoLC)ocm00064758", "64758"),
        ("(OCoLC)ocm000064758", "64758"),
        ("(OCoLC)00003862", "3862"),
        ("(OCoLC)ocn00001001261435", "1001261435"),
        ("(OCoLC)on. 0000123456789", "123456789"),
        ("(OCoLC)on1345345345 ", "1345345345"),
        ("(OCoLC) ocn123456789", "123456789"),
        ("(ocolc)OCM00000007", "7"),
        ("ocm25512067", "25512067"),
        ("ocm00012345 ", "12345"),
        ("ocn123456789", "123456789"),
        ("on1345345345", "1345345345"),
    ],
)
@pytest.mark.parametrize("code", "az")
def test_an_oclc_number_of_035_in_every_spelling(spelling, digits, code):
    keys = keys_of(record(f"035 __ ${code} {spelling}"))
    assert (keys.oclc, keys.oclc_former) == (((digits,), ()) if code == "a" else ((), (digits,)))


@pytest.mark.parametrize(
    "other",
    [
        "(OCoLC)TGPSM11-B2267",
        "(OCoLC)tfe501056183",
        "(Sirsi) i9780306406157",
        "(DLC)  2001012345",
        "(OCoLC)",
        "(OCoLC)000",
        "(OCoLC)64758x",
        "(OCoLC)64758 (pbk.)",
        "(OCoLC)9780306406157",  # an ISBN
        "64758",
        "on the shelf 12",
        "(OCoLC)٦٤٧٥٨",
    ],
)
def test_what_is_no_oclc_number(other):
    keys = keys_of(record(f"035 __ $a {other}"))
    assert not keys.all_oclc


def test_the_word_in_another_subfield_makes_no_oclc_number():
    assert not keys_of(record("035 __ $a 64758 $f (OCoLC)64758 $b oclc")).all_oclc


@pytest.mark.parametrize("value", ["64758", "ocm00064758", "(OCoLC)64758", "000064758 "])
def test_019_and_001_of_oclc_may_be_bare(value):
    assert keys_of(record(f"019 __ $a {value}")).oclc_former == ("64758",)
    assert keys_of(record(f"001 {value}", "003 OCoLC")).oclc == ("64758",)
    assert keys_of(record(f"001 {value}", "003 XyZ")).oclc == ()
    assert keys_of(record(f"001 {value}")).oclc == ()


def test_035_comes_before_001_and_a_present_number_is_no_former_one():
    keys = keys_of(record("001 7", "003 OCoLC", "019 __ $a 700 $a 900", "035 __ $a (OCoLC)900 $z (OCoLC)700"))
    assert (keys.oclc, keys.oclc_former) == (("900",), ("700",))


def test_isbn_a_and_z_are_apart_and_in_13_digits():
    keys = keys_of(
        record("020 __ $a 0-306-40615-2 (pbk.) : $c 1.00", "020 __ $z 9780306406165", "020 __ $z 080442957X")
    )
    assert keys.isbn == ("9780306406157",)
    assert keys.isbn_cancelled == ("9780804429573",)  # the other one's check digit is wrong


@pytest.mark.parametrize(
    "field",
    [
        "020 __ $a 9780306406157 (set)",
        "020 __ $a 9780306406157 (set : alk. paper)",
        "020 __ $a 9780306406157 $q (3 v. set)",
        "020 __ $a 9780306406157 $q boxed SET",
        "020 __ $a 9780306406157 (Gesamtwerk)",
        "020 __ $a 9780306406157 (obra completa)",
        "020 __ $a 9780306406157 $q (O.C.)",
        "020 __ $a 9780306406157 $q (Obras completas)",
        "020 __ $a 9780306406157 (opera completa)",
        "020 __ $a 9780306406157 $q Œuvres complètes",
        "020 __ $a 9780306406157 (e\u0301dition comple\u0300te)",
        "020 __ $a 9780306406157 (série complète)",
        "020 __ $a 9780306406157 (Coleção completa)",
        "020 __ $a 9780306406157 (całość)",
        "020 __ $a 9780306406157 (celé DÍLO)",
        "020 __ $a 9780306406157 (váz. : soubor)",
        "020 __ $a 9780306406157 (Gesamtw.)",
        "020 __ $a 9780306406157 (complete work)",
        "020 __ $a 9780306406158",
        "020 __ $a 978-0306406-15-8",
        "020 __ $a 978 0306406 15 8",
        "020 __ $a 97803064061570",
        "020 __ $a (pbk.)",
        "020 __ $a 978030640615",
    ],
)
def test_the_isbn_of_a_set_and_a_wrong_one_are_no_key(field):
    keys = keys_of(record(field))
    assert (keys.isbn, keys.isbn_cancelled) == ((), ())


@pytest.mark.parametrize(
    "other", ["(offset)", "(1. díl)", "(complete in 1 v.)", "(v. 2)", "(Bd. 1)", "(oeuvre)"]
)
def test_what_is_like_the_word_for_a_set_is_not_one(other):
    assert keys_of(record(f"020 __ $a 9780306406157 {other}")).isbn == ("9780306406157",)


@pytest.mark.parametrize(
    "value",
    [
        "9780306406157 2 v.",
        "978-0-306-40615-7 2 v.",
        "978 0 306 40615 7 2 v.",
        "0306406152 1. Aufl.",
        "0306406152 123 p.",
        "0-306-40615-2 1. Aufl.",
        "0306406152 9780306406157",
        "0 306 40615 2",
        "9780306406157pbk",
    ],
)
def test_the_isbn_at_the_beginning_whatever_digits_follow(value):
    assert keys_of(record(f"020 __ $a {value}")).isbn == ("9780306406157",)


def test_issn_of_a_alone():
    keys = keys_of(
        record("022 __ $a 0378-5955 (print) $y 2049-3630", "022 __ $z 2049-3630", "022 __ $a 0378-5956")
    )
    assert keys.issn == ("0378-5955",)


@pytest.mark.parametrize(
    ("value", "issn"),
    [
        ("03178471 (print)", "0317-8471"),
        ("0317-8471 (print)", "0317-8471"),
        ("03178471", "0317-8471"),
        ("2434561x online", "2434-561X"),
        ("0317847", None),
        ("031784712", None),
    ],
)
def test_an_issn_with_or_without_its_hyphen_and_what_follows(value, issn):
    assert keys_of(record(f"022 __ $a {value}")).issn == ((issn,) if issn else ())


def test_a_003_in_parentheses_is_read_as_without_so_that_what_is_made_of_it_is_found_again():
    assert keys_of(record("001 ocm7", "003 (OCoLC)")).oclc == ("7",)
    vendor = record("001 eb0012", "003 (DE-627)", "245 00 $a Made up")
    assert keys_of(vendor).system == keys_of(prepared(vendor)).system == ("(DE-627)eb0012",)


def test_a_001_is_a_key_with_a_003_or_as_an_mms_id():
    assert keys_of(record("001 991000000000001234")).mms_id == "991000000000001234"
    vendor = keys_of(record("001 eb0012", "003 VndR", "035 _9 $a 90000000001 $b YBP", "035 __ $a (Vnd)  x 1"))
    assert (vendor.mms_id, vendor.system) == ("", ("(Vnd)x 1", "(VndR)eb0012"))
    assert keys_of(record("001 eb0012")).system == ()


@given(st.integers(1, 10**10), st.sampled_from(["", "ocm", "ocn", "on", "on. "]), st.integers(0, 6))
def test_whatever_prefix_and_zeros_one_number_has_one_form(number, prefix, zeros):
    keys = keys_of(record(f"035 __ $a (OCoLC){prefix}{'0' * zeros}{number} "))
    assert keys.oclc == (str(number),)


@given(st.text(alphabet="0123456789aocmn().- ", max_size=20))
def test_digits_are_never_picked_out_of_other_text(text):
    value = text.replace("$", "")
    found = keys_of(record(f"035 __ $a (OCoLC){value}")).oclc
    bare = value.strip().lstrip("ocmn. ").lstrip("0")
    assert found in ((), (bare,))
