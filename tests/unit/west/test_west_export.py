"""The MMS ids of an export: streamed, damaged records reported and passed over, what is no MARC21 refused in words."""

import gzip
import io
import logging
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymarc import Field, Record

from alma_etl.errors import InputProblem
from alma_etl.store.bucket import Bucket
from alma_etl.west.export import ExportReading, read_export
from alma_etl.west.id_index import id_index
from tests.unit.marc.test_iso2709 import damaged
from tests.unit.west.builders import field, mms

KEY = "west/exports/archive.mrc"


def bib(mms_id: str | None, title: str = "Annals", leader: str = "00000cas a22     1a 4500") -> bytes:
    made = Record(leader=leader, force_utf8=leader[9] == "a")
    made.leader = leader
    made.fields = [Field("001", data=mms_id)] if mms_id is not None else []
    made.fields += [Field("008", data="x" * 40), field("245", ("a", title))]
    return bytes(made.as_marc())


def read(bucket: Bucket, data: bytes) -> tuple[list[str], ExportReading]:
    bucket.put(KEY, data)
    with id_index() as index:
        reading = read_export(bucket, KEY, index)
        return list(index.in_order()), reading


def refusal(bucket: Bucket, data: bytes) -> str:
    with pytest.raises(InputProblem) as raised:
        read(bucket, data)
    return str(raised.value)


def test_the_ids_of_all_records_once(bucket):
    ids, reading = read(bucket, bib(mms(3)) + bib(mms(1)) + bib(mms(3)) + bib(mms(2)))
    assert ids == [mms(1), mms(2), mms(3)]
    assert reading.counts.model_dump() == {
        "total": 4,
        "titles": 3,
        "repeated": 1,
        "missing": 0,
        "bad_records": 0,
    }
    assert reading.bad_records == []


def twice(*mms_ids: str) -> bytes:
    """A record with several 001."""
    made = Record(leader="00000cas a22     1a 4500", force_utf8=True)
    made.fields = [*(Field("001", data=mms_id) for mms_id in mms_ids), field("245", ("a", "Annals"))]
    return bytes(made.as_marc())


LYING = b"%05d" % 4711 + bib(mms(2))[5:]
NO_BASE = LYING[:12] + b"00000" + LYING[17:24] + b"?" * 36 + LYING[60:]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (bib(None), "it has no 001"),
        (bib(""), "it has no 001"),
        (bib("ocm00012345"), "its 001 'ocm00012345' is not an MMS id"),
        (bib("22000000014401"), "is not an MMS id"),
        (bib("99" + "1" * 18), "is not an MMS id"),
        (b"no leader at all\x1d", "only 17 bytes long"),
        (bib(mms(2))[:24] + b"003" + bib(mms(2))[27:], "it has no 001"),
        (bib(mms(2))[:40], "its leader says 130 bytes, 40 were found, and its 001 is cut off"),
        (bib(mms(2))[:70], "its 001 is cut off or not where its directory says"),
        (
            bib(mms(2)).replace(mms(2).encode(), b"99ABC0000024401"),
            "its 001 '99ABC0000024401' is not an MMS id",
        ),
        (twice(mms(2), mms(4)), "it has several 001"),
        (NO_BASE, "its leader says 4711 bytes, 130 were found, and its directory cannot be read"),
    ],
)
def test_a_bad_record_between_good_ones(bucket, bad, reason):
    ids, reading = read(bucket, bib(mms(1)) + bad + bib(mms(3)))
    assert ids == [mms(1), mms(3)]
    (told,) = reading.bad_records
    assert (told.number, told.offset) == (2, len(bib(mms(1))))
    assert reason in told.reason
    assert reading.counts.model_dump() == {
        "total": 3,
        "titles": 2,
        "repeated": 0,
        "missing": 0,
        "bad_records": 1,
    }


@pytest.mark.parametrize(
    "bad", [bib(None), b"garbage\x1d", b"\x01\x02\x1d", bib(mms(2))[:40], bib(mms(2))[:70]]
)
def test_a_bad_record_at_the_very_beginning_does_not_condemn_the_file(bucket, bad):
    ids, reading = read(bucket, bad + bib(mms(1)) + bib(mms(3)))
    assert ids == [mms(1), mms(3)]
    assert [told.offset for told in reading.bad_records] == [0]


END_OF_ID = bib(mms(2)).index(mms(2).encode()) + len(mms(2))


@pytest.mark.parametrize(
    "left",
    [
        pytest.param(left, marks=() if abs(left - END_OF_ID) < 3 else pytest.mark.heavy)
        for left in range(1, len(bib(mms(2))) - 1)
    ],
)
def test_the_last_record_cut_off_is_used_if_its_001_is_whole(bucket, left):
    ids, reading = read(bucket, bib(mms(1)) + bib(mms(2))[:left])
    whole = mms(2).encode() + b"\x1e" in bib(mms(2))[:left]
    assert ids == ([mms(1), mms(2)] if whole else [mms(1)])
    assert (reading.counts.total, reading.counts.bad_records) == (2, 0 if whole else 1)


GOOD = bib(mms(2))
DAMAGED = {
    "a length that is too great": b"04711" + GOOD[5:],
    "a length that is too small": b"00030" + GOOD[5:],
    "no length": b"abcde" + GOOD[5:],
    "a length of blanks": b"     " + GOOD[5:],
    "a base address that is too great": GOOD[:12] + b"99999" + GOOD[17:],
    "a base address that is too small": GOOD[:12] + b"00024" + GOOD[17:],
    "a base address one too small": GOOD[:12] + b"%05d" % (int(GOOD[12:17]) - 1) + GOOD[17:],
    "a base address one too great": GOOD[:12] + b"%05d" % (int(GOOD[12:17]) + 1) + GOOD[17:],
    "no base address": GOOD[:12] + b"abcde" + GOOD[17:],
    "a leader that is gone": b"?" * 24 + GOOD[24:],
    "a leader that lost two bytes": GOOD[:6] + GOOD[8:],
    "a leader with two bytes more": GOOD[:6] + b"xx" + GOOD[6:],
    "a tag that cannot be read": GOOD[:24] + b"???" + GOOD[27:],
    "a directory that cannot be read": GOOD[:27] + b"?" * 33 + GOOD[60:],
    "lengths in the directory": GOOD[:27] + b"0000" + GOOD[31:],
    "a wrong length and an entry that cannot be read": LYING.replace(b"2450011", b"??0????", 1),
    "text in another encoding": bib(mms(2), "xxxx").replace(b"xxxx", b"\xc3\xa9\xc3\xa9\xff"),
    "text that lost bytes": bib(mms(2), "xxxx").replace(b"xxxx", b"x"),
    "no record terminator": GOOD[:-1],
    "no field terminator at its end": GOOD[:-2] + b"\x1d",
    "no terminator of the directory": GOOD.replace(b"\x1e", b"", 1),
    "blanks around its 001": bib(f" {mms(2)} "),
    "a record terminator in its text": bib(mms(2), "xx\x1dxx"),
    "two record terminators in its text": bib(mms(2), "x\x1dxx\x1dx"),
    "one that its length does not count": bib(mms(2), "xxxx").replace(b"xx", b"x\x1dx", 1),
    "a field terminator in its text": bib(mms(2), "xx\x1exx"),
}


@pytest.mark.parametrize("how", DAMAGED)
@pytest.mark.parametrize("place", ["first", "between", "last"])
def test_a_record_whose_001_is_certain_is_used(bucket, how, place):
    one, other = bib(mms(1)), bib(mms(3))
    data = {
        "first": DAMAGED[how] + one + other,
        "between": one + DAMAGED[how] + other,
        "last": one + other + DAMAGED[how],
    }[place]
    ids, reading = read(bucket, data)
    assert ids == [mms(1), mms(2), mms(3)]
    assert (reading.counts.total, reading.counts.bad_records) == (3, 0)


OWN = mms(2).encode()


@pytest.mark.parametrize(
    "damage",
    [
        lambda record: record.replace(OWN, OWN[:12] + b"\x1e" + OWN[13:], 1),
        lambda record: record.replace(OWN, OWN[:12] + b"\x1e" + OWN[12:], 1),
        lambda record: record.replace(OWN, OWN[:6] + OWN[9:], 1),
        lambda record: record.replace(OWN, OWN[:4] + b"7" + OWN[4:], 1),
        lambda record: (b"99999" + record[5:]).replace(OWN, OWN[:12] + b"\x1e" + OWN[13:], 1),
        lambda record: (record[:27] + b"?" * 33 + record[60:]).replace(OWN, OWN[:6] + OWN[9:], 1),
    ],
)
def test_a_001_that_was_cut_or_grew_is_not_taken_for_the_number_of_another_title(bucket, damage):
    ids, reading = read(bucket, bib(mms(1)) + damage(GOOD) + bib(mms(3)))
    assert ids == [mms(1), mms(3)]
    (told,) = reading.bad_records
    assert "001" in told.reason or "directory" in told.reason


def test_nine_of_ten_records_with_a_wrong_length_are_used(bucket):
    records = [bib(mms(number), "t" * number) for number in range(10)]
    data = records[0] + b"".join(b"99999" + one[5:] for one in records[1:])
    ids, reading = read(bucket, data)
    assert ids == [mms(number) for number in range(10)]
    assert (reading.counts.bad_records, reading.damaged) == (0, 9)


def test_several_records_without_their_ends_are_told_apart(bucket):
    data = b"".join(bib(mms(number), "t" * number)[:-1] for number in range(6)) + bib(mms(6))
    ids, reading = read(bucket, data)
    assert ids == [mms(number) for number in range(7)]
    assert reading.counts.total == 7


def test_a_record_that_may_hide_another_one_is_not_used(bucket):
    hidden = bib(mms(2))[60:]  # neither leader nor directory is left
    ids, reading = read(bucket, bib(mms(1))[:-1] + hidden + bib(mms(3)))
    assert ids == [mms(3)]
    (told,) = reading.bad_records
    assert "it holds more than its directory names" in told.reason


def test_text_that_cannot_be_decoded_does_not_matter_for_the_id(bucket):
    broken = bib(mms(1), "xxxx").replace(b"xxxx", b"\xff\xfe\x80\xc3")
    marc8 = bib(mms(2), "xxxx").replace(
        b"xxxx", b"\x1b$1\xe1"
    )  # an escape to a set of which half a letter follows
    marc8 = marc8[:9] + b" " + marc8[10:]
    ids, reading = read(bucket, broken + marc8)
    assert ids == [mms(1), mms(2)]
    assert reading.counts.bad_records == 0


@pytest.mark.parametrize("around", [b"\xef\xbb\xbf", b"\r\n", b"\n", b"\x00\x00"])
def test_a_byte_order_mark_or_blanks_around_the_records(bucket, around):
    ids, reading = read(bucket, around + bib(mms(1)) + around + bib(mms(2)) + around)
    assert ids == [mms(1), mms(2)]
    assert reading.counts.bad_records == 0


def test_of_very_many_bad_records_the_first_hundred_are_told(bucket, caplog):
    caplog.set_level(logging.WARNING)
    ids, reading = read(bucket, bib(mms(1)) + bib(None) * 250)
    assert ids == [mms(1)]
    assert len(reading.bad_records) == 100
    assert reading.counts.bad_records == 250
    assert len([each for each in caplog.records if "skipped" in each.message]) == 100


def zipped(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive.mrc", data)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b" \r\n ", "is empty"),
        (gzip.compress(bib(mms(1)), mtime=0), "is compressed with gzip: unpack it"),
        (zipped(bib(mms(1))), "is a zip archive: unpack it"),
        (b"<?xml version='1.0'?><collection/>", "is XML: export the set as MARC21 Binary"),
        (b"\xef\xbb\xbf\n<collection/>", "is XML"),
        ("<collection/>".encode("utf-16"), "is XML"),
        (b"%PDF-1.7\n%...", "is a PDF document"),
        (b"mms_id,title\n991234,Annals\n", "is not a MARC21 file"),
        (b"just some text", "is not a MARC21 file"),
        (b"\x00\x01\x02\x03" * 5000, "is not a MARC21 file"),
        (b"12345", "is not a MARC21 file"),
        (b"\x1d" * 10, "is not a MARC21 file"),
        (bib("ocm1") + bib(None), "(2 read; the first one: its 001 'ocm1' is not an MMS id)"),
    ],
)
def test_what_is_no_export_is_refused_in_one_sentence_that_says_what_to_do(bucket, data, words):
    sentence = refusal(bucket, data)
    assert sentence.startswith(KEY)
    assert words in sentence
    assert "export the set" in sentence or "unpack it" in sentence


def test_no_such_object(bucket):
    with id_index() as index, pytest.raises(InputProblem) as raised:
        read_export(bucket, "west/exports/other.mrc", index)
    assert "There is no file west/exports/other.mrc in the bucket" in str(raised.value)


PART = st.tuples(
    st.sampled_from(["good", "cut", "lying", "split", "garbage", "unended"]), st.integers(0, 200)
)


@pytest.mark.heavy
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(PART, min_size=1, max_size=15))
def test_no_mixture_of_good_and_damaged_records_loses_a_good_one(bucket, parts):
    data, good = bib(mms(0)), {mms(0)}
    for number, (how, salt) in enumerate(parts, 1):
        one = bib(mms(number), "t" * salt)
        data += one if how == "good" else damaged(one, how, salt)
        good |= {mms(number)} if how == "good" else set()
    ids, reading = read(bucket, data)
    assert good <= set(ids)
    counts = reading.counts
    assert counts.total == counts.titles + counts.repeated + counts.bad_records


HOW = st.sampled_from(["good", "cut", "no id", *DAMAGED])


@pytest.mark.heavy
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(HOW, min_size=1, max_size=8), st.sampled_from([b"", b"\n", b"\r\n\x00"]))
def test_every_record_is_counted_once_and_gives_its_own_id_or_none(bucket, kinds, between):
    """Whatever stands beside it; a terminator lost before one that was added is the one thing that cannot be seen."""
    data, expected = bib(mms(900)), {mms(900)}
    for number, how in enumerate(kinds):
        own = mms(100 + number).encode()
        one = {"good": GOOD, "cut": GOOD[:70], "no id": bib("ocm1")}.get(how) or DAMAGED[how]
        data += between + one.replace(mms(2).encode(), own)
        expected |= {own.decode()} if how not in ("cut", "no id") else set()
    ids, reading = read(bucket, data)
    counts = reading.counts
    assert set(ids) <= expected
    assert counts.total == counts.titles + counts.repeated + counts.bad_records
    assert counts.repeated == 0
    added = any("terminators in" in how or "terminator in" in how or "not count" in how for how in kinds)
    if not (added and {"no record terminator", "cut", "no field terminator at its end"} & set(kinds)):
        assert counts.total == len(kinds) + 1
        assert set(ids) == expected


@pytest.mark.heavy
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_damage_whatever_makes_an_id_that_was_not_there(bucket, data):
    records = bytearray(b"".join(bib(mms(number), "title") for number in range(4)))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(len(bib(mms(0), "title")), len(records) - 1))
        match data.draw(st.sampled_from(["change", "drop", "add", "cut"])):
            case "change":
                records[at] = data.draw(st.sampled_from([0x1D, 0x1E, 0x1F, 0x20, 0x30, 0x39, 0x41, 0xFF]))
            case "drop":
                del records[at : at + data.draw(st.integers(1, 30))]
            case "add":
                records[at:at] = data.draw(st.binary(max_size=10))
            case _:
                del records[at:]
        if len(records) <= len(bib(mms(0), "title")):
            break
    ids, reading = read(bucket, bytes(records))
    assert mms(0) in ids
    assert all(each.encode() in records for each in ids)
    assert len(ids) <= 4 + records.count(b"\x1d")
    assert (
        reading.counts.total == reading.counts.titles + reading.counts.repeated + reading.counts.bad_records
    )
