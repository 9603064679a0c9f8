"""Step 4 of the WEST procedure: from what Alma sent to MARC21, each holding with its outcome."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import TypedDict

from pymarc import Record

from alma_etl.jobs.versions import Versions
from alma_etl.marc.iso2709 import Unwritable, to_iso2709
from alma_etl.marc.xml import record_from_xml
from alma_etl.west.enrich import enrich
from alma_etl.west.fetching import FetchedHolding, fetched_holdings
from alma_etl.west.listing import ListedHolding, ListedTitle, listed_titles, unpacked
from alma_etl.west.outcomes import Outcome, count_outcomes
from alma_etl.west.retention import Standing, read_commitment, unlisted_programmes
from alma_etl.west.rules import check_record, location_field
from alma_etl.west.run import RunFolder, WestPlan
from alma_etl.west.settings import WestSettings

log = logging.getLogger(__name__)

RECORDS = "records.mrc"
RESULT = "converted.jsonl"
_RECORDS = ".mrc"
# Settings that conversion does not read; any other may change what a record comes to.
_NOT_READ = {
    "set_id", "marc_key", "limit", "chunk_size", "timezone", "failure_threshold", "max_drop", "dry_run",
}  # fmt: skip


class ConvertedRow(TypedDict):
    """One row of the outcomes to be; ``size`` is the bytes of its record in the chunk's ``records.mrc``, 0 if none;
    ``unlisted`` are its 583 ``$f`` that hold the programme's word and do not mean it."""

    mms_id: str
    holding_id: str
    outcome: str
    reasons: list[str]
    title: str
    symbol: str
    size: int
    unlisted: list[str]


def convert_to_marc21(folder: RunFolder, number: int) -> dict[str, int]:
    """Convert the chunk's records, judge each by the delivery rules, and count them by outcome.

    Asks Alma nothing and keeps no state: doing it again gives the same bytes.
    """
    plan = folder.plan()
    result = _versions(folder, plan, number).begin()
    fetched = fetched_holdings(folder, number)
    rows: list[ConvertedRow] = []
    with folder.bucket.writer(result + _RECORDS) as records:
        for title in listed_titles(folder, number):
            for row, data in convert_title(title, fetched, plan.settings, plan.day):
                rows.append(row)
                records.write(data)
    folder.bucket.write_rows(result, rows)
    counts = count_outcomes(Outcome(row["outcome"]) for row in rows)
    log.info(
        "Chunk %04d: %s", number, ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    )
    return counts


@contextmanager
def converted(
    folder: RunFolder, plan: WestPlan, number: int
) -> Iterator[Iterator[tuple[ConvertedRow, bytes]] | None]:
    """The rows of a chunk with their records, as the last `convert_to_marc21` made them by the plan's settings.

    None when it has not come to its end by them.
    """
    versions = _versions(folder, plan, number)
    result = versions.newest()
    records = None if result is None else result + _RECORDS
    if result is None and versions.is_empty() and folder.bucket.info(folder.chunk_key(number, RESULT)):
        # by a version that had one object for all attempts
        result, records = folder.chunk_key(number, RESULT), folder.chunk_key(number, RECORDS)
    if result is None or records is None:
        yield None
        return
    with folder.bucket.reader(records) as stream:
        yield (
            (row, stream.read(row["size"]) if row["size"] else b"")  # type: ignore[misc]
            for row in folder.bucket.read_rows(result)
        )


def _versions(folder: RunFolder, plan: WestPlan, number: int) -> Versions:
    """The attempts at a chunk's conversion: that of other titles, of another day or by other rules does not count."""
    rules = plan.settings.model_dump(mode="json", exclude=_NOT_READ)
    made_under = {"rules": rules, "day": plan.day.isoformat(), "titles": folder.mms_ids(number)}
    return Versions(folder.bucket, folder.chunk_key(number, RESULT), made_under)


def convert_title(
    title: ListedTitle, fetched: dict[tuple[str, str], FetchedHolding], settings: WestSettings, day: date
) -> Iterator[tuple[ConvertedRow, bytes]]:
    """The rows of one title with their records: one for each holding, or a single one when it has none. A title
    whose list of holdings is not whole has a ``failed`` row for what is missing beside those of the named ones.

    ``fetched`` has the title's holdings (others do no harm) by MMS id and holding id; ``day`` is that on which
    commitments are judged. Raises nothing for a bad record: that is an outcome.
    """
    if title["status"] != "listed":
        outcome = Outcome.NOT_FOUND if title["status"] == "not_found" else Outcome.FAILED
        yield (
            _row(title, "", outcome, [title["reason"]] if title["reason"] else [], settings.default_symbol),
            b"",
        )
    elif not title["holdings"] and not title.get("missing"):
        yield _row(title, "", Outcome.NO_HOLDING, [], settings.default_symbol), b""
    for listed in title["holdings"]:
        holding = fetched.get((title["mms_id"], listed["holding_id"]))
        yield _convert_holding(title, listed, holding, settings, day)
    if title.get("missing"):
        yield _row(title, "", Outcome.FAILED, [title["missing"]], settings.default_symbol), b""


def _convert_holding(
    title: ListedTitle,
    listed: ListedHolding,
    holding: FetchedHolding | None,
    settings: WestSettings,
    day: date,
) -> tuple[ConvertedRow, bytes]:
    """One holding's row and record. Where several outcomes fit, the first of `Outcome` counts."""
    holding_id, library = listed["holding_id"], listed["library"]

    unlisted: list[str] = []

    def ends(outcome: Outcome, *reasons: str) -> tuple[ConvertedRow, bytes]:
        symbol = settings.symbol_of(library) or settings.default_symbol
        return _row(title, holding_id, outcome, list(reasons), symbol, unlisted), b""

    if holding is None:
        if listed["suppressed"] and not settings.include_suppressed:
            return ends(Outcome.SUPPRESSED)
        return ends(Outcome.FAILED, "it was listed but not fetched: clear fetch_holdings of its chunk")
    if holding["status"] == "not_found":
        return ends(Outcome.NOT_FOUND, holding["reason"])
    if holding["status"] == "failed":
        return ends(Outcome.FAILED, holding["reason"])
    if holding["record"] is None:
        return ends(Outcome.FAILED, "Alma's answer holds no MARC record")
    try:
        record = record_from_xml(holding["record"].encode())
    except ValueError as error:
        return ends(Outcome.FAILED, f"the holdings record cannot be read: {error}")
    library, location = _place(record, listed)
    if holding["suppressed"] and not settings.include_suppressed:
        return ends(Outcome.SUPPRESSED)
    if settings.excludes(library, location):
        return ends(Outcome.EXCLUDED_LOCATION, f"{library}/{location}")
    notes = record.get_fields("583")
    commitment = read_commitment(
        notes, names=settings.names_of_programme, on=day, marc_org_code=settings.marc_org_code
    )
    unlisted = unlisted_programmes(notes, programme=settings.programme, names=settings.names_of_programme)
    if not commitment.is_stated:
        return ends(Outcome.NO_COMMITMENT, *commitment.errors)

    symbol = settings.symbol_of(library)
    enrich(
        record,
        holding_id=holding_id,
        mms_id=title["mms_id"],
        numbers=unpacked(title["numbers"]),
        symbol=symbol,
    )
    findings = check_record(record)
    errors = [*findings.errors, *(commitment.errors if commitment.standing is Standing.BROKEN else ())]
    of_bib = [*([] if title["has_record"] else ["NOBIB"]), *title.get("warnings", ())]
    warnings = [*of_bib, *findings.warnings, *commitment.warnings]
    data = b""
    try:
        data = to_iso2709(record)
    except Unwritable as error:
        errors.append(error.code)
    if errors:
        return ends(Outcome.BAD_MARC, *errors, *warnings)
    row = _row(title, holding_id, Outcome.DELIVERED, warnings, symbol or settings.default_symbol, unlisted)
    row["size"] = len(data)
    return row, data


def _place(record: Record, listed: ListedHolding) -> tuple[str, str]:
    """Library and location: as the record's 852 says, else as the title's list or availability said."""
    field = location_field(record)
    if field is None:
        return listed["library"], listed["location"]
    library, location = (next(filter(None, map(str.strip, field.get_subfields(code))), "") for code in "bc")
    return library or listed["library"], location or listed["location"]


def _row(
    title: ListedTitle,
    holding_id: str,
    outcome: Outcome,
    reasons: list[str],
    symbol: str,
    unlisted: Sequence[str] = (),
) -> ConvertedRow:
    return ConvertedRow(
        mms_id=title["mms_id"],
        holding_id=holding_id,
        outcome=outcome.value,
        reasons=[reason for reason in reasons if reason],
        title=title["title"],
        symbol=symbol,
        size=0,
        unlisted=list(unlisted),
    )
