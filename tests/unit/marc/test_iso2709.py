"""ISO 2709: nothing is written that cannot be read, nothing good is lost in reading."""

import io
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pymarc import Field, Indicators, MARCReader, Record, Subfield

from alma_etl.marc.iso2709 import RawRecord, Unwritable, split_records, to_iso2709

LEADER = "     cy  a22     1n 4500"


def record(*fields: Field, leader: str = LEADER) -> Record:
    made = Record(force_utf8=True)
    made.leader = leader  # type: ignore[assignment]
    made.fields = list(fields)
    return made


def text_field(value: str, tag: str = "866") -> Field:
    return Field(tag, Indicators("3", "0"), [Subfield("a", value)])


def read_back(data: bytes) -> Record:
    (made,) = MARCReader(io.BytesIO(data), to_unicode=True, force_utf8=True)
    assert made is not None
    return made


# A field is 2 indicators, 2 bytes before the value, the value, 1 terminator.
AROUND_VALUE = 5


def test_the_longest_field_that_fits():
    data = to_iso2709(record(text_field("x" * (9_999 - AROUND_VALUE))))
    assert len(read_back(data)["866"]["a"]) == 9_999 - AROUND_VALUE


def test_one_byte_more_does_not():
    with pytest.raises(Unwritable) as raised:
        to_iso2709(record(text_field("x" * (10_000 - AROUND_VALUE))))
    assert raised.value.code == "FIELDLONG"
    assert "866" in str(raised.value)


def test_length_is_in_bytes_not_in_characters():
    assert to_iso2709(record(text_field("é" * ((9_999 - AROUND_VALUE) // 2))))
    with pytest.raises(Unwritable, match="longer"):
        to_iso2709(record(text_field("é" * ((10_000 - AROUND_VALUE) // 2 + 1))))


def test_a_control_field_can_be_too_long_as_well():
    with pytest.raises(Unwritable) as raised:
        to_iso2709(record(Field("008", data="x" * 9_999)))
    assert raised.value.code == "FIELDLONG"


def of_size(size: int) -> Record:
    """A record whose ISO 2709 form has exactly so many bytes."""
    fields = [text_field("x" * 9_000) for _ in range(10)]
    bare = len(to_iso2709(record(*fields, text_field(""))))
    return record(*fields, text_field("y" * (size - bare)))


def test_the_longest_record_that_fits():
    data = to_iso2709(of_size(99_999))
    assert data[:5] == b"99999"
    assert len(data) == 99_999
    assert len(read_back(data).fields) == 11


def test_one_byte_longer_does_not():
    with pytest.raises(Unwritable) as raised:
        to_iso2709(of_size(100_000))
    assert raised.value.code == "TOOLONG"


@pytest.mark.parametrize(
    "text",
    [
        "日本経済雑誌",
        "Журнал",
        "مجلة الاقتصاد",
        "עיתון",
        "e\u0301tude",
        "étude",
        "𝕬",
        "क्षि",
        "a\u200db",
        " lead and trail ",
        "",
    ],
)
def test_any_script_reads_back_letter_by_letter(text):
    assert read_back(to_iso2709(record(text_field(text))))["866"]["a"] == text


def test_utf8_is_written_whatever_the_leader_said():
    data = to_iso2709(record(text_field("日本")))
    assert "日本".encode() in data
    assert data[9:10] == b"a"


@pytest.mark.parametrize(
    "field",
    [
        text_field("a\x1fbc"),  # would become a second subfield
        text_field("a\x1eb"),  # would end the field
        text_field("a\x1db"),  # would end the record
        Field("866", Indicators("12", " "), [Subfield("a", "x")]),
        Field("866", Indicators("é", " "), [Subfield("a", "x")]),
        Field("866", Indicators(" ", " "), [Subfield("ab", "x")]),
        Field("866", Indicators(" ", " "), [Subfield("é", "x")]),
        Field("86é", Indicators(" ", " "), [Subfield("a", "x")]),
        Field("008", data=None),
    ],
)
def test_what_would_read_back_differently_is_not_written(field):
    with pytest.raises(Unwritable) as raised:
        to_iso2709(record(field))
    assert raised.value.code == "ROUNDTRIP"


@pytest.mark.parametrize("leader", ["", "     cy", "x" * 23, "x" * 25])
def test_a_leader_that_is_none_is_not_written(leader):
    with pytest.raises(Unwritable) as raised:
        to_iso2709(record(text_field("x"), leader=leader))
    assert raised.value.code == "ROUNDTRIP"


PRINTABLE = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=60)
CODE = st.sampled_from("abcdefghijklmnopqrstuvwxyz0123456789")
DATA_FIELD = st.builds(
    lambda tag, ind, pairs: Field(str(tag), Indicators(*ind), [Subfield(*pair) for pair in pairs]),
    st.integers(100, 999),
    st.tuples(st.sampled_from(" 0123456789"), st.sampled_from(" 0123456789")),
    st.lists(st.tuples(CODE, PRINTABLE), max_size=5),
)
CONTROL_FIELD = st.builds(lambda tag, data: Field(f"00{tag}", data=data), st.integers(1, 9), PRINTABLE)


@given(st.lists(CONTROL_FIELD | DATA_FIELD, min_size=1, max_size=12))
def test_whatever_is_written_reads_back_the_same(fields):
    again = read_back(to_iso2709(record(*fields)))
    assert [(each.tag, each.data, each.indicators, each.subfields) for each in again.fields] == [
        (each.tag, each.data, each.indicators, each.subfields) for each in fields
    ]


# --- reading


def some_record(number: int, size: int = 0) -> bytes:
    return to_iso2709(record(Field("001", data=str(number)), text_field("x" * size, "245")))


def split(data: bytes, **options: int) -> list[RawRecord]:
    return list(split_records(io.BytesIO(data), **options))


ONE, TWO, THREE = some_record(1), some_record(2, 50), some_record(3)


def test_records_with_their_numbers_and_offsets():
    assert split(ONE + TWO + THREE) == [
        RawRecord(1, 0, ONE),
        RawRecord(2, len(ONE), TWO),
        RawRecord(3, len(ONE + TWO), THREE),
    ]


@pytest.mark.parametrize("block", [1, 2, 7, 64, 1 << 20])
def test_the_size_of_the_blocks_read_makes_no_difference(block):
    data = b"\n" + ONE + b"\r\n" + TWO[:-1] + THREE
    assert split(data, block=block) == split(data)


@pytest.mark.parametrize(
    "padding", [b"\n", b"\r\n", b"\x00" * 100, b"\x1a", b"  \n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\r\n"]
)
def test_what_tools_put_around_records_is_passed_over(padding):
    found = split(padding + ONE + padding + TWO + padding)
    assert [(each.number, each.data) for each in found] == [(1, ONE), (2, TWO)]
    assert [each.offset for each in found] == [len(padding), 2 * len(padding) + len(ONE)]


def test_nothing_in_an_empty_file():
    assert split(b"") == []
    assert split(b"\r\n\x00") == []


def test_a_record_that_lies_about_its_length_stays_alone():
    for lie in (b"00001", b"99999", b"abcde"):
        assert [each.data for each in split(ONE + lie + TWO[5:] + THREE)] == [ONE, lie + TWO[5:], THREE]


@pytest.mark.parametrize("cut", [1, 10, 30, 60])
def test_a_record_without_its_end_does_not_take_the_next_one_with_it(cut):
    found = split(TWO[:-cut] + ONE + THREE)
    assert found == [
        RawRecord(1, 0, TWO[:-cut]),
        RawRecord(2, len(TWO) - cut, ONE),
        RawRecord(3, len(TWO) - cut + len(ONE), THREE),
    ]


def test_the_last_record_cut_off_is_given_out_to_be_reported():
    assert [each.data for each in split(ONE + TWO[:-20])] == [ONE, TWO[:-20]]


@pytest.mark.parametrize("size", [1_000, 300_000, 1_048_576, 3_000_000])
def test_a_long_stretch_of_garbage_before_a_good_record(size):
    found = split(b"?" * size + ONE + TWO)
    assert [each.data for each in found[-2:]] == [ONE, TWO]
    assert b"".join(each.data for each in found) == b"?" * size + ONE + TWO


def test_garbage_without_end_is_held_in_pieces():
    pieces = split(b"?" * 1_000_000, block=1_000, limit=200_000)
    assert sum(len(each.data) for each in pieces) == 1_000_000
    assert max(len(each.data) for each in pieces) <= 200_000


def damaged(data: bytes, how: str, at: int) -> bytes:
    """A record that is no longer good, and cannot be taken for one."""
    at = 5 + at % (len(data) - 6)
    match how:
        case "cut":
            return data[:at]
        case "lying":
            return b"%05d" % (len(data) + 1 + at) + data[5:]
        case "split":
            return data[:at] + b"\x1d" + data[at:]
        case "garbage":
            return re.sub(rb"[0-9\x1d]", b"?", data)
        case _:
            return data[:-1]


GOOD = st.tuples(st.just("good"), st.integers(0, 9), st.integers(0, 300))
BAD = st.tuples(
    st.sampled_from(["cut", "lying", "split", "garbage", "unended"]), st.integers(0, 9), st.integers(0, 300)
)


@settings(max_examples=300)
@given(
    st.lists(GOOD | BAD, max_size=12),
    st.sampled_from([b"", b"\n", b"\r\n"]),
    st.sampled_from([13, 100, 1 << 20]),
)
@example([("unended", 1, 0), ("good", 1, 0)], b"", 100)
def test_no_mixture_of_good_and_damaged_records_loses_a_good_one(parts, between, block):
    goods, pieces = [], []
    for index, (how, salt, size) in enumerate(parts):
        data = some_record(1000 * index + salt, size)
        if how == "good":
            goods.append(data)
            pieces.append(data)
        else:
            pieces.append(damaged(data, how, size))
    found = [each.data for each in split(between.join(pieces), block=block)]
    assert [each for each in found if each in goods] == goods


def test_offsets_point_at_the_bytes():
    data = b"\n" + ONE + b"garbage" + TWO + b"\r\n" + THREE[:-3]
    for each in split(data):
        assert data[each.offset : each.offset + len(each.data)] == each.data
