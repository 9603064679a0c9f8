"""The delivery rules of one WEST holdings record, by their codes.

An error keeps the record out of the file, a warning only goes into its reasons. The rules about the file as a
whole are in `gates`. Source: the WEST Disclosure Policy, AGUA's instructions for deliveries and the OCLC
guidelines for local holdings records.
"""

from dataclasses import dataclass

from pymarc import Field, Record

from alma_etl.marc.numbers import is_oclc, issn_is_valid, oclc_number

HOLDINGS_TYPES = "uvxy"  # leader/06: unknown, multipart, single-part, serial holdings
HOLDINGS_008_LENGTH = 32
STATEMENT_TAGS = ("866", "867", "868")
PAIRED_STATEMENT_TAGS = ("863", "864", "865")


@dataclass(frozen=True)
class Findings:
    """Codes of the rules that a record breaks: ``errors`` keep it out, ``warnings`` do not."""

    errors: tuple[str, ...]
    warnings: tuple[str, ...]


def check_record(record: Record) -> Findings:
    """Check an enriched record (001, 004, 022, 035 and 852 ``$a`` set) against every rule but those of 583."""
    errors: list[str] = []
    warnings: list[str] = []
    leader = str(record.leader)
    if len(leader) != 24 or leader[6] not in HOLDINGS_TYPES:
        errors.append("LDR06")
    holding_id, mms_id = _control(record, "001"), _control(record, "004")
    if not holding_id:
        errors.append("001")
    elif not _has_alma_shape(holding_id, mms_id):
        warnings.append("001SHAPE")
    if not mms_id:
        errors.append("004")
    fixed = record.get_fields("008")
    if len(fixed) != 1 or len(fixed[0].data or "") != HOLDINGS_008_LENGTH:
        errors.append("008LEN")
    errors += _location_errors(location_field(record))
    if not _has_statement(record):
        errors.append("STMT")
    if not any(oclc_number(value) for value in _values(record, "035", "a") if is_oclc(value)):
        errors.append("OCN")
    issns = [value for value in _values(record, "022", "a") if value.strip()]
    if not issns:
        warnings.append("022")
    elif not all(issn_is_valid(value) for value in issns):
        warnings.append("ISSNCHK")
    return Findings(tuple(errors), tuple(warnings))


def location_field(record: Record) -> Field | None:
    """The 852 that counts: the first one with a library (``$b``), else the first one."""
    fields = record.get_fields("852")
    with_library = (each for each in fields if any(value.strip() for value in each.get_subfields("b")))
    return next(with_library, fields[0] if fields else None)


def _location_errors(location: Field | None) -> list[str]:
    if location is None:
        return ["852"]
    errors = []
    if not any(value.strip() for value in location.get_subfields("b")):
        errors.append("852b")
    if not any(value.strip() for value in location.get_subfields("a")):
        errors.append("852a")
    return errors


def _has_alma_shape(holding_id: str, mms_id: str) -> bool:
    """Alma's holding ids are digits, begin with 22 and end in the institution's four digits, as the MMS id does."""
    return holding_id.isdigit() and holding_id.startswith("22") and holding_id[-4:] == mms_id[-4:]


def _has_statement(record: Record) -> bool:
    if any(value.strip() for tag in STATEMENT_TAGS for value in _values(record, tag, "a")):
        return True
    return bool(record.get_fields(*PAIRED_STATEMENT_TAGS))


def _values(record: Record, tag: str, code: str) -> list[str]:
    return [value for field in record.get_fields(tag) for value in field.get_subfields(code)]


def _control(record: Record, tag: str) -> str:
    fields = record.get_fields(tag)
    return (fields[0].data or "").strip() if fields else ""
