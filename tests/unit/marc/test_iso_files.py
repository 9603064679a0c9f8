"""Files of ISO 2709 as vendors send them: what is put right, what is refused and why, and nothing good lost."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymarc import Field, Indicators, MARCReader, Record, Subfield

from alma_etl.errors import InputProblem
from alma_etl.marc.files import MarcFile, is_xml, not_marc, open_marc
from alma_etl.marc.source_record import SourceRecord

BLANK, UNICODE = "00000nam  2200000 a 4500", "00000nam a2200000 a 4500"
ESC = b"\x1b"


def raw_record(
    *fields: tuple[str, bytes], leader: str = UNICODE, claimed: Callable[[bytes], int] = len
) -> bytes:
    """A record of bytes, its directory right; ``claimed`` gives the length of a field in the directory."""
    directory, data, at = b"", b"", 0
    for tag, value in fields:
        value += b"\x1e"
        directory += tag.encode("latin-1") + b"%04d%05d" % (claimed(value), at)
        at += claimed(value)
        data += value
    base = 24 + len(directory) + 1
    body = directory + b"\x1e" + data + b"\x1d"
    return b"%05d%s%05d%s" % (24 + len(body), leader[5:12].encode(), base, leader[17:].encode()) + body


def titled(title: bytes, *more: tuple[str, bytes], leader: str = UNICODE) -> bytes:
    return raw_record(("001", b"ocm1"), ("245", b"10\x1fa" + title), *more, leader=leader)


GOOD = titled(b"A good record", leader=BLANK)


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., MarcFile]:
    def open_it(data: bytes, encoding: str | None = None) -> MarcFile:
        path = tmp_path / "dropped"
        path.write_bytes(data)
        return open_marc(path, encoding)

    return open_it


@pytest.fixture
def read(opened) -> Callable[..., list[SourceRecord]]:
    return lambda data, encoding=None: list(opened(data, encoding).rows())


def content(record: Record | None) -> list[object]:
    assert record is not None
    return [
        str(record.leader)[5:12] + str(record.leader)[17:],
        *((field.tag, field.data, field.indicators, field.subfields) for field in record.fields),
    ]


def only_title(rows: list[SourceRecord]) -> str:
    assert [row.problem for row in rows] == [""]
    assert rows[0].record is not None
    return rows[0].record["245"]["a"]


# --- lengths


@pytest.mark.parametrize("noise", [b"\r\n", b"\n", b"\0\0\0", b"\x1a", b"   ", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("lie", [b"00000", b"00007", b"99999", b"     ", None])
def test_what_stands_between_records_and_a_wrong_length_lose_nothing(read, noise, lie):
    second = titled(b"Second")
    second = lie + second[5:] if lie else second
    rows = read(noise + GOOD + noise + second + noise + GOOD + noise)
    assert [(row.line, row.title, row.problem) for row in rows] == [
        (1, "A good record", ""),
        (2, "Second", ""),
        (3, "A good record", ""),
    ]
    assert [row.reasons for row in rows] == [(), ("LENGTH",) if lie else (), ()]


@pytest.mark.parametrize("off", [-3, -1, 1, 5])
def test_a_length_a_few_bytes_off_is_repaired(read, off):
    (row, _) = read(b"%05d" % (len(GOOD) + off) + GOOD[5:] + GOOD)
    assert row.reasons == ("LENGTH",)
    assert f"says {len(GOOD) + off} bytes, it has {len(GOOD)}" in row.remarks[0].text


def test_a_wrong_base_address_is_repaired(read):
    (row,) = read(GOOD[:12] + b"00000" + GOOD[17:])
    assert (row.title, row.reasons) == ("A good record", ("LENGTH",))


def test_a_missing_end_is_repaired_where_all_fields_are_there(read):
    rows = read(GOOD[:-1] + GOOD)
    assert [(row.title, row.reasons) for row in rows] == [
        ("A good record", ("LENGTH",)),
        ("A good record", ()),
    ]


@pytest.mark.parametrize("cut", [2, 10, 17])
def test_a_last_record_that_is_cut_off_is_refused(read, cut):
    good, row = read(GOOD + GOOD[:-cut])
    assert not good.problem
    assert row.problem == (
        f"The record at byte {len(GOOD)} cannot be used: it ends before the last field that its directory names: "
        "ask for the record again, or correct it in an editor for MARC"
    )
    assert (row.line, row.key, row.record) == (2, "ocm1", None)


def test_lengths_counted_in_characters_are_repaired(read):
    fields = ("001", b"1"), ("245", "10\x1faÉtude für Äolsharfe".encode()), ("500", "  \x1faÑandú".encode())
    (row,) = read(raw_record(*fields, claimed=lambda value: len(value.decode())))
    assert row.reasons == ("LENGTH",)
    assert row.record is not None
    assert [field.value() for field in row.record.fields] == ["1", "Étude für Äolsharfe", "Ñandú"]


def test_a_field_that_lost_bytes_is_refused(read):
    (row,) = read(GOOD.replace(b"good ", b"go "))
    assert "the field 245 is not as long as its directory says" in row.problem


def test_more_fields_than_the_directory_has_are_refused(read):
    (row,) = read(GOOD[:-1] + b"  \x1faMore\x1e\x1d")
    assert "it holds more than its directory names" in row.problem


def pymarc_record(*fields: Field) -> bytes:
    made = Record(force_utf8=True, leader=UNICODE)
    made.add_field(*fields)
    return bytes(made.as_marc())


def note(text: str) -> Field:
    return Field("500", Indicators(" ", " "), [Subfield("a", text)])


@pytest.mark.parametrize("notes", [[9_000] * 14, [12_000], [9_990] * 10 + [5], [12_000] * 12, [120_000, 3]])
def test_records_over_the_limits_are_read_while_their_directory_fits(read, notes):
    """As pymarc writes them: with numbers wider than their places."""
    fields = [Field("001", data="big"), *(note(f"{at}" * size) for at, size in enumerate(notes))]
    rows = read(GOOD + pymarc_record(*fields) + GOOD)
    assert [(row.key, row.problem) for row in rows] == [("ocm1", ""), ("big", ""), ("ocm1", "")]
    assert rows[1].record is not None
    assert [field["a"] for field in rows[1].record.get_fields("500")] == [
        f"{at}" * size for at, size in enumerate(notes)
    ]


def test_a_field_whose_length_stands_as_9999_is_read(read):
    fields = ("001", b"1"), ("500", b"  \x1fa" + b"x" * 20_000), ("599", b"  \x1faend")
    (row,) = read(raw_record(*fields, claimed=lambda value: min(len(value), 9_999)))
    assert row.record is not None
    assert [len(row.record["500"]["a"]), row.record["599"]["a"]] == [20_000, "end"]


# --- encodings


@pytest.mark.parametrize(
    ("leader", "title", "encoding", "expected", "reasons"),
    [
        (BLANK, "Étude".encode(), None, "Étude", ("ENCODING",)),
        (UNICODE, "Étude".encode(), None, "Étude", ()),
        (UNICODE, "日本".encode(), "cp1252", "日本", ()),
        (BLANK, b"\xe2Etude", None, "Étude", ()),
        (UNICODE, b"\xe2Etude", None, "Étude", ("ENCODING",)),
        (BLANK, b"x " + ESC + b"(NtEST" + ESC + b"(B", None, "x Тест", ()),
        (UNICODE, b"x " + ESC + b"(NtEST" + ESC + b"(B", None, "x Тест", ("ENCODING",)),
        (BLANK, b"caf\xe9, noir", "cp1252", "café, noir", ("ENCODING",)),
        (UNICODE, b"\xcd\xee\xe2\xfb\xe9 \xec\xe8\xf0", "cp1251", "Новый мир", ("ENCODING",)),
        (BLANK, b"plain", None, "plain", ()),
        (UNICODE, b"plain", None, "plain", ()),
        (UNICODE.replace("a2", "z2"), b"plain", None, "plain", ()),
    ],
)
def test_what_the_text_is_counts_not_what_the_leader_says(read, leader, title, encoding, expected, reasons):
    rows = read(titled(title, leader=leader), encoding)
    assert only_title(rows) == expected
    assert rows[0].reasons == reasons
    assert str(rows[0].record.leader)[9] == "a"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("title", "encoding", "why"),
    [
        (b"caf\xe9", None, "neither UTF-8 nor MARC-8: in the field 245 the diacritic U+030C COMBINING CARON"),
        (b"a\x93b\x94", None, "in the field 245 the byte 0x93"),
        (b"a\x81b", "cp1252", "neither UTF-8, nor MARC-8, nor cp1252, which the profile names: byte 0x81"),
        ("Étude".encode() + b" caf\xe9", "cp1252", "is UTF-8, but the field 245 has the byte 0xE9"),
    ],
)
def test_text_in_no_encoding_is_refused_and_no_letter_dropped(read, title, encoding, why):
    rows = read(GOOD + titled(title, leader=BLANK) + GOOD, encoding)
    assert [bool(row.problem) for row in rows] == [False, True, False]
    assert why in rows[1].problem
    assert "export it again" in rows[1].problem
    assert rows[1].key == "ocm1"


@pytest.mark.parametrize("encoding", ["utf-16", "no-such", "cp037", "rot13", "hex", "utf-7"])
def test_a_codec_in_which_no_marc_is_written_is_refused(read, encoding):
    with pytest.raises(InputProblem, match="of the profile is none that a file of MARC can be in"):
        read(GOOD, encoding)


# --- what single fields may have


@pytest.mark.parametrize(
    ("field", "why"),
    [
        (("500", b"1\x1fax"), "the field 500 has the indicators '1'"),
        (("500", b"123\x1fax"), "the field 500 has the indicators '123'"),
        (("500", "1é\x1fax".encode()), "the field 500 has the indicators '1é'"),
        (("500", b"1\x07\x1fax"), "the field 500 has the indicators"),
        (("500", b"  text\x1fax"), "the field 500 has the indicators '  text'"),
        (("500", "  \x1féx".encode()), "the field 500 has the subfield code 'é'"),
        (("500", b"  \x1f x"), "the field 500 has the subfield code ' '"),
        (("5 0", b"  \x1fax"), "a field has the tag '5 0'"),
        (("000", b"  \x1fax"), "a field has the tag '000'"),
        (("003", b"  \x1faOCoLC"), "the control field 003 has subfields"),
    ],
)
def test_broken_fields_make_the_record_a_reject_that_is_named(read, field, why):
    rows = read(GOOD + titled(b"Broken", field) + GOOD)
    assert [row.line for row in rows if row.problem] == [2]
    assert why in rows[1].problem
    assert rows[1].problem.startswith(f"The record at byte {len(GOOD)} cannot be used: ")
    assert (rows[1].key, rows[1].title) == ("ocm1", "Broken")


@pytest.mark.parametrize(
    ("field", "remark", "kept"),
    [
        (("500", b"  "), "the field 500 was left out, since it has no subfields", None),
        (("500", b""), "the field 500 was left out", None),
        (("FMT", b"BK"), "the field FMT was left out, since it has no subfields: 'BK'", None),
        (("500", b"  \x1f\x1f"), "the field 500 was left out", None),
        (("500", b"\x1fax"), "the field 500 has no indicators", "x"),
        (("500", b"  \\\x1fax"), "blanks after its indicators", "x"),
        (("500", b"  \x1fax\x01y\x0bz"), "2 control characters removed from the field 500", "xyz"),
        (("003", b"DLC\x1f"), "1 control character removed from the field 003", "DLC"),
        (("500", b"##\x1fax"), None, "x"),
        (("500", b"  \x1fax\x1fa"), None, "x "),
        (("LKR", b"  \x1fax"), None, "x"),
    ],
)
def test_what_can_be_put_right_is_and_the_report_says_so(read, field, remark, kept):
    (row,) = read(titled(b"Title", field))
    assert not row.problem
    assert row.record is not None
    found = row.record.get(field[0])
    assert (found.value() if found is not None else None) == kept
    if kept is not None and found is not None and not found.control_field:
        assert found.indicators == Indicators(" ", " ")
    assert [remark in each.text for each in row.remarks] == ([True] if remark else [])
    assert row.reasons == ()


@pytest.mark.parametrize("size", [22, 23, 25])
def test_a_leader_of_another_length_is_refused(read, size):
    leader = GOOD[:20] + (b"4500" + b" " * 9)[: size - 20]
    rows = read(leader + GOOD[24:] + GOOD)
    assert f"its leader has {size} characters where 24 belong" in rows[0].problem
    assert rows[1].title == "A good record"


def test_a_leader_with_other_characters_is_refused(read):
    (row, _) = read(GOOD[:6] + b"\xe9" + GOOD[7:] + GOOD)
    assert "its leader has characters that do not belong there" in row.problem


def test_unimarc_is_refused_and_a_person_with_a_date_is_not(read):
    unimarc = raw_record(
        ("001", b"1"),
        ("100", b"  \x1fa20021105d2002    m  y0frey50      ba"),
        ("200", b"1 \x1faL'\xc2etranger"),
        leader=BLANK,
    )
    person = raw_record(
        ("001", b"2"), ("100", b"1 \x1fa20021105d, Robot"), ("245", b"10\x1faT"), leader=BLANK
    )
    short = raw_record(("100", b"  \x1fa20260101d2026"), ("200", b"1 \x1faX"), leader=BLANK)
    first, second, third = read(unimarc + person + short)
    assert "it is UNIMARC" in first.problem
    assert not second.problem
    assert "it is UNIMARC" in third.problem


# --- files that are none


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "is empty"),
        (b"\r\n \x00", "is empty"),
        (b"%PDF-1.7\n\x1e\x1d", "is a PDF document, whatever its name says"),
        (b"\x1f\x8b\x08\x00" + GOOD, "is compressed with gzip: unpack it"),
        (b"PK\x03\x04" + GOOD, "is a zip archive or a workbook: unpack it"),
        (b"mms_id,title\n1,x\n" * 50, "is text, and no MARC"),
        (b"=LDR  00000nam\n=245  10$aTitle\n", "is MARC as text with a line a field"),
        (b"000000001 LDR   L 00000nam\n", "is Aleph's sequential format"),
        ("text".encode("utf-16"), "is text in UTF-16"),
        (bytes(range(1, 31)) * 100, "cannot be used"),
        (bytes([1, 2, 3, 200]) * 100, "has no record of MARC in it"),
    ],
)
def test_a_file_that_is_no_marc_is_refused_in_one_sentence(read, data, sentence):
    if sentence == "cannot be used":  # field terminators: it may have been MARC once
        assert all(sentence in row.problem for row in read(data))
        return
    with pytest.raises(InputProblem) as raised:
        read(data)
    assert sentence in str(raised.value)
    assert str(raised.value).startswith("The file ")


# --- rejects, and whole files


def excerpt(file: MarcFile, lines: set[int]) -> bytes:
    stream = io.BytesIO()
    file.excerpt(lines, stream)
    return stream.getvalue()


def test_rejects_are_the_very_bytes(opened):
    broken = b"00000" + titled(b"caf\xe9", ("50 ", b"?"))[5:]
    file = opened(b"\xef\xbb\xbf" + GOOD + b"\r\n" + broken + b"\r\n" + GOOD[:-5])
    assert (file.form, file.extension) == ("MARC 21 (ISO 2709)", ".mrc")
    assert [row.line for row in file.rows() if row.problem] == [2, 3]
    assert excerpt(file, {2, 3}) == broken + GOOD[:-5]
    assert excerpt(file, set()) == b""


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"]), max_size=30)
FIELD = st.builds(
    lambda tag, signs, pairs: Field(str(tag), Indicators(*signs), [Subfield(*pair) for pair in pairs]),
    st.integers(100, 999),
    st.tuples(st.sampled_from(" 0127"), st.sampled_from(" 0127")),
    st.lists(st.tuples(st.sampled_from("abcdu29"), TEXT), min_size=1, max_size=4),
)
RECORD = st.lists(FIELD, min_size=1, max_size=8).map(
    lambda fields: pymarc_record(Field("001", data="7"), *fields)
)
NOISE = st.lists(st.sampled_from([b"\r", b"\n", b"\0", b"\x1a", b" ", b"\xef\xbb\xbf"]), max_size=4).map(
    b"".join
)
SHARED = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=100
)


@SHARED
@given(
    st.lists(st.tuples(NOISE, RECORD, st.sampled_from([None, b"00000", b"00031"])), min_size=1, max_size=5)
)
def test_whatever_pymarc_writes_is_read_the_same_with_any_noise_between(opened, parts):
    data = b"".join(noise + (lie + record[5:] if lie else record) for noise, record, lie in parts)
    rows = list(opened(data).rows())
    expected = [next(iter(MARCReader(io.BytesIO(record), force_utf8=True))) for _, record, _ in parts]
    assert [content(row.record) for row in rows] == [content(each) for each in expected]
    assert [row.reasons for row in rows] == [("LENGTH",) if lie else () for _, _, lie in parts]


BYTES = st.binary(max_size=80) | st.lists(
    st.sampled_from(
        [b"\x1d", b"\x1e", b"\x1f", ESC, b"00031", b"001000500000", b"22", b"4500", b"a", b"\xc3", b"\xa9"]
    ),
    max_size=20,
).map(b"".join)
SCAR = st.tuples(st.integers(0, 80), st.integers(0, 3), st.binary(max_size=4))


def scarred(data: bytes, scar: tuple[int, int, bytes]) -> bytes:
    at, removed, added = scar
    return data[:at] + added + data[at + removed :]


@SHARED
@given(st.lists(BYTES | st.just(GOOD) | SCAR.map(lambda scar: scarred(GOOD, scar)), max_size=6))
def test_any_bytes_raise_nothing_but_a_sentence_and_cost_no_good_record(opened, parts):
    data = b"\x1d".join(parts)
    try:
        file = opened(data)
        rows = list(file.rows())
    except InputProblem:
        assert GOOD not in parts or not_marc(data) or is_xml(data)
        return
    assert [row.line for row in rows] == list(range(1, len(rows) + 1))
    assert all((row.record is None) == bool(row.problem) for row in rows)
    good = sum(row.title == "A good record" and not row.problem and not row.remarks for row in rows)
    assert good >= parts.count(GOOD)
    kept = excerpt(file, {row.line for row in rows})
    again = list(opened(kept).rows()) if rows else []
    assert sum(row.title == "A good record" and not row.problem for row in again) >= parts.count(GOOD)
