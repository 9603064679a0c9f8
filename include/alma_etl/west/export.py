"""The MMS ids of a MARC21 file exported from Alma: the 001 of every record (the first of the WEST steps)."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain

from alma_etl.counted import counted
from alma_etl.errors import InputProblem
from alma_etl.identifiers import is_mms_id
from alma_etl.marc.control_number import ControlNumber, control_number
from alma_etl.marc.files import is_xml
from alma_etl.marc.iso2709 import RawRecord, Readable, split_records
from alma_etl.signatures import ZIP, signature
from alma_etl.store.bucket import Bucket, NoSuchObject
from alma_etl.west.id_index import IdIndex
from alma_etl.west.run import BadInputRecord, InputCounts

log = logging.getLogger(__name__)

REPORTED_BAD_RECORDS = 100  # more of the same kind would only make the report long


@dataclass
class ExportReading:
    """What the reading of an export found, beside the ids."""

    counts: InputCounts
    bad_records: list[BadInputRecord] = field(default_factory=list)
    damaged: int = 0  # records that are not as their leader says, but whose 001 is certain


def read_export(bucket: Bucket, key: str, index: IdIndex) -> ExportReading:
    """Put the MMS ids of an export into ``index``, streaming: memory does not grow with the file.

    Of a record only the 001 is wanted, and it is taken wherever it is certain which bytes it is. A record whose 001
    is not is reported with its number and offset and passed over; the delivery's gate weighs it. Raises InputProblem
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
    records = good = damaged = 0
    bad: list[BadInputRecord] = []
    for raw in split_records(stream):
        records += 1
        mms_id, found = _mms_id(raw)
        if mms_id is None:
            if len(bad) < REPORTED_BAD_RECORDS:
                log.warning(
                    "%s: record %d at byte %d skipped: %s", key, raw.number, raw.offset, found.problem
                )
                bad.append(BadInputRecord(number=raw.number, offset=raw.offset, reason=found.problem))
        else:
            good += 1
            damaged += found.damaged
            index.add([mms_id])
        if records % 10_000 == 0:
            log.info("%s: %s read", key, counted(records, "record"))
    if not good:
        first = f"; the first one: {bad[0].reason}" if bad else ""
        raise InputProblem(
            f"{key} is not a MARC21 file, or holds no record with an MMS id in its 001 ({records} read{first}): "
            "export the set with Alma's job Export Bibliographic Records as MARC21 Binary"
        )
    counts = InputCounts(
        total=records, titles=len(index), repeated=good - len(index), bad_records=records - good
    )
    if damaged:
        log.warning("%s: %s damaged, but with a 001 that can be read", key, counted(damaged, "record"))
    return ExportReading(counts, bad, damaged)


def _mms_id(raw: RawRecord) -> tuple[str | None, ControlNumber]:
    """The 001 of a record if it is an MMS id, and why not if it is none."""
    found = control_number(raw.data)
    if found.problem:
        return None, found
    if not found.value:
        return None, ControlNumber(problem="it has no 001")
    if not is_mms_id(found.value):
        return None, ControlNumber(problem=f"its 001 {found.value[:40]!r} is not an MMS id")
    return found.value, found


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
    if head.startswith(ZIP):
        return "is a zip archive: unpack it and copy the .mrc file to west/exports/"
    if is_xml(head):
        return "is XML: export the set as MARC21 Binary, not as MARCXML"
    name = signature(head)
    if name.startswith("compressed"):
        return f"is {name}: unpack it and copy the .mrc file to west/exports/"
    if name:
        return f"is {name}, not a MARC21 file: export the set as MARC21 Binary"
    # Anything else is read: the first record may be damaged and the others good.
    return None
