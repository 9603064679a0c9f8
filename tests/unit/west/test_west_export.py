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


LYING = b"%05d" % 4711 + bib(mms(2))[5:]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (LYING, "its leader says 4711 bytes"),
        (bib(None), "it has no 001"),
        (bib(""), "it has no 001"),
        (bib("ocm00012345"), "its 001 'ocm00012345' is not an MMS id"),
        (bib("22000000014401"), "is not an MMS id"),
        (bib("99" + "1" * 18), "is not an MMS id"),
        (b"no leader at all\x1d", "only 17 bytes long"),
        (b"abcde" + bib(mms(2))[5:], "its leader does not begin with the record's length but with b'abcde'"),
        (
            bib(mms(2))[:12] + b"99999" + bib(mms(2))[17:],
            "not readable as MARC: Base address exceeds size of record",
        ),
        (bib(mms(2))[:24] + b"???" + bib(mms(2))[27:-1] + b"\x1d", "it has no 001"),
        (bib(mms(2))[:12] + b"abcde" + bib(mms(2))[17:], "not readable as MARC"),
        (bib(mms(2))[:-1], "its leader says"),
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
    "bad", [LYING, b"abcde" + bib(mms(2))[5:], b"garbage\x1d", b"\x01\x02\x1d", bib(mms(2))[:40]]
)
def test_a_bad_record_at_the_very_beginning_does_not_condemn_the_file(bucket, bad):
    ids, reading = read(bucket, bad + bib(mms(1)) + bib(mms(3)))
    assert ids == [mms(1), mms(3)]
    assert [told.offset for told in reading.bad_records] == [0]


def test_the_last_record_cut_off(bucket):
    ids, reading = read(bucket, bib(mms(1)) + bib(mms(2))[:-15])
    assert ids == [mms(1)]
    assert [told.number for told in reading.bad_records] == [2]


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
