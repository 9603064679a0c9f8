"""When a record was last changed, by its 005."""

from datetime import datetime

from pymarc import Record

from alma_etl.alma.bibs import Bib
from alma_etl.marc.xml import record_from_xml

_SECOND = len("20240501101112")


def version_of(title: Bib) -> str:
    """Return the 005 of a title as Alma wrote it, "" where it has none: by it one knows that a title was saved."""
    record = record_from_xml(title.record) if title.record is not None else Record()
    return next((str(field.data or "") for field in record.get_fields("005")), "")


def changed_at(record: Record) -> datetime | None:
    """Return the time of the 005, to the second; None where there is none or it is malformed, such as a mere date."""
    text = next((str(field.data or "").strip() for field in record.get_fields("005")), "")
    second, fraction = text[:_SECOND], text[_SECOND:]
    if len(second) < _SECOND or not (second.isascii() and second.isdigit()):
        return None
    if fraction and not (fraction[0] == "." and (fraction[1:] or "0").isdigit()):
        return None
    try:
        return datetime.strptime(second, "%Y%m%d%H%M%S")
    except ValueError:
        return None


def is_older(incoming: Record, existing: Record) -> tuple[bool, str]:
    """Return whether an incoming record is older than the one in Alma, and a remark where that cannot be known.

    A 005 that is missing or malformed on either side is not older. Both are times without a zone.
    """
    theirs, ours = changed_at(existing), changed_at(incoming)
    if ours is None or theirs is None:
        which = "the record" if ours is None else "the record in Alma"
        return False, f"{which} has no 005 with a time: which is newer was not compared"
    return ours < theirs, ""
