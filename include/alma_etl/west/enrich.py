"""From the holdings record that Alma gave to the record that WEST wants: ids, numbers of the bib, OCLC symbol."""

from collections.abc import Sequence

from pymarc import Field, Record, Subfield

from alma_etl.marc.numbers import is_oclc
from alma_etl.marc.xml import fields_from_xml


def enrich(
    record: Record, *, holding_id: str, mms_id: str, numbers: Sequence[Field], symbol: str | None
) -> None:
    """Change ``record`` in place: the seed's rule for 001 and 004, and what WEST asks for beyond it.

    001 becomes the holding id and 004 the MMS id: migrated holdings carry other numbers there.
    ``numbers`` are the bib's 022 and (OCoLC) 035 fields; they take the place of the holding's own, since the
    bib is where both are kept. ``symbol`` becomes the ``$a`` of every 852; without one no ``$a`` remains, which
    the rule 852a reports. Leader/09 becomes ``a`` (UTF-8) and the fixed leader positions get their fixed values.
    """
    leader = str(record.leader)
    if len(leader) == 24:
        record.leader = leader[:9] + "a22" + leader[12:20] + "4500"  # type: ignore[assignment]
    _replace_control(record, "001", holding_id)
    _replace_control(record, "004", mms_id)
    record.fields = [field for field in record.fields if not _is_number_of_the_bib(field)]
    for field in numbers:
        _insert_in_tag_order(record, field)
    for location in record.get_fields("852"):
        kept = [subfield for subfield in location.subfields if subfield.code != "a"]
        location.subfields = [Subfield("a", symbol), *kept] if symbol else kept


def numbers_of_bib(xml: bytes) -> tuple[list[Field], list[str]]:
    """The fields of a bib that each of its holdings records takes over: every 022, every 035 with an OCLC number.

    The other fields of the bib are not looked at: nothing is wanted of them. Beside the fields come sentences about
    those 022 and 035 that cannot be read. Raises ValueError when the XML is no record.
    """
    fields, faults = fields_from_xml(xml, ("022", "035"))
    return [field for field in fields if _is_number_of_the_bib(field)], faults


def _is_number_of_the_bib(field: Field) -> bool:
    if field.tag == "022":
        return True
    return field.tag == "035" and any(is_oclc(value) for value in field.get_subfields("a"))


def _replace_control(record: Record, tag: str, data: str) -> None:
    record.remove_fields(tag)
    _insert_in_tag_order(record, Field(tag=tag, data=data))


def _insert_in_tag_order(record: Record, field: Field) -> None:
    later = (index for index, other in enumerate(record.fields) if other.tag > field.tag)
    record.fields.insert(next(later, len(record.fields)), field)
