"""The MMS ids of a MARC21 file exported from Alma: the 001 of every record (the first of the WEST steps)."""

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import cast

from pymarc import Record

from alma_etl.alma.ids import is_mms_id
from alma_etl.errors import InputProblem
from alma_etl.marc.iso2709 import RawRecord, Readable, split_records
from alma_etl.store.bucket import Bucket, NoSuchObject
from alma_etl.west.id_index import IdIndex
from alma_etl.west.run import BadInputRecord, InputCounts

log = logging.getLogger(__name__)

REPORTED_BAD_RECORDS = 100  # more of the same kind would only make the report long
_LEADER = 24
_XML = re.compile(rb"(?:\xef\xbb\xbf)?\s*<[?!A-Za-z]|\xff\xfe<\x00|\xfe\xff\x00<")


@dataclass
class ExportReading:
    """What the reading of an export found, beside the ids."""

    counts: InputCounts
    bad_records: list[BadInputRecord] = field(default_factory=list)


def read_export(bucket: Bucket, key: str, index: IdIndex) -> ExportReading:
    """Put the MMS ids of an export into ``index``, streaming: memory does not grow with the file.

    A record that cannot be read is reported with its number and offset and passed over. Raises InputProblem
    when the object is missing, empty, compressed, or not MARC21 at all.
    """
    try:
        with bucket.reader(key) as stream:
            return _read(_Checked(stream, key), key, index)
    except NoSuchObject as error:
        raise InputProblem(
            f"There is no file {key} in the bucket {bucket.name}: "
            "check marc_key, and that the export was copied to west/exports/"
        ) from error


def _read(stream: Readable, key: str, index: IdIndex) -> ExportReading:
    records = good = 0
    bad: list[BadInputRecord] = []
    for raw in split_records(stream):
        records += 1
        mms_id, reason = _mms_id(raw)
        if mms_id is None:
            if len(bad) < REPORTED_BAD_RECORDS:
                log.warning("%s: record %d at byte %d skipped: %s", key, raw.number, raw.offset, reason)
                bad.append(BadInputRecord(number=raw.number, offset=raw.offset, reason=reason))
        else:
            good += 1
            index.add([mms_id])
        if records % 10_000 == 0:
            log.info("%s: %d records read", key, records)
    if not good:
        first = f"; the first one: {bad[0].reason}" if bad else ""
        raise InputProblem(
            f"{key} is not a MARC21 file, or holds no record with an MMS id in its 001 ({records} read{first}): "
            "export the set with Alma's job Export Bibliographic Records as MARC21 Binary"
        )
    counts = InputCounts(
        total=records, titles=len(index), repeated=good - len(index), bad_records=records - good
    )
    return ExportReading(counts, bad)


def _mms_id(raw: RawRecord) -> tuple[str | None, str]:
    """The 001 of a record if it is an MMS id, else None and the reason."""
    data = raw.data
    if len(data) < _LEADER:
        return None, f"only {len(data)} bytes long"
    try:
        length = int(data[:5])
    except ValueError:
        return None, f"its leader does not begin with the record's length but with {data[:5]!r}"
    if length != len(data):
        return None, f"its leader says {length} bytes, {len(data)} were found"
    try:
        # Undecoded: text that is not in the encoding it claims does not matter here, only the 001 is wanted.
        record = Record(data, to_unicode=False)
    except Exception as error:  # noqa: BLE001 - pymarc raises whatever its parts raise: all mean "not readable"
        return None, f"not readable as MARC: {error or type(error).__name__}"
    value = _first_001(record)
    if not value:
        return None, "it has no 001"
    if not is_mms_id(value):
        return None, f"its 001 {value!r} is not an MMS id"
    return value, ""


def _first_001(record: Record) -> str:
    for control in record.get_fields("001"):
        data = cast(bytes | None, control.data)  # bytes, since the record was not decoded
        return (data or b"").decode("ascii", "replace").strip()
    return ""


class _Checked:
    """A stream whose first bytes were looked at, to refuse in words what is not MARC21."""

    def __init__(self, stream: Readable, key: str) -> None:
        head = stream.read(64)
        problem = _not_marc(head)
        if problem:
            raise InputProblem(f"{key} {problem}")
        self._blocks: Iterator[bytes] = chain((head,), iter(lambda: stream.read(1 << 20), b""))

    def read(self, size: int = -1, /) -> bytes:
        return next(self._blocks, b"")


def _not_marc(head: bytes) -> str | None:
    if not head.strip():
        return "is empty: export the set again"
    if head.startswith(b"\x1f\x8b"):
        return "is compressed with gzip: unpack it and copy the .mrc file to west/exports/"
    if head.startswith(b"PK\x03\x04"):
        return "is a zip archive: unpack it and copy the .mrc file to west/exports/"
    if _XML.match(head):
        return "is XML: export the set as MARC21 Binary, not as MARCXML"
    if head.startswith(b"%PDF"):
        return "is a PDF document, not a MARC21 file: export the set as MARC21 Binary"
    # Anything else is read: the first record may be damaged and the others good.
    return None
