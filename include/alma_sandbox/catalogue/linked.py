"""The invented network zone: every title of the formula also has a record there."""

from alma_sandbox.catalogue import ids, titles
from alma_sandbox.catalogue.marc import ControlField, Record

_SUFFIX = "4400"
_SIZE = 1_000_000  # titles of the network; its first ones are those of the institution


def network_id(title: int) -> str:
    """MMS id, in the network zone, of a title."""
    return ids.mms_id(title, _SUFFIX)


def network_record(seed: int, nz_mms_id: str) -> Record | None:
    """A fresh copy of a record of the network zone, or None when the id is none of its ids."""
    title = ids.title_of_mms_id(nz_mms_id, _SUFFIX)
    if title is None or title >= _SIZE:
        return None
    record = titles.bib(seed, title, _SIZE).record
    # A record of the network has its own numbers in 001 and none of the local ones.
    record.fields = [
        entry for entry in record.fields if isinstance(entry, ControlField) or not _is_local(entry.first("a"))
    ]
    return record


def _is_local(number: str) -> bool:
    return number.startswith("(ZzSB)")
