"""The demo's bibliographic import: a file of records, each of which ends in another way."""

from io import BytesIO

import pymarc
import requests
from pymarc import Field, Indicators, Record, Subfield

from .demo_items import loaded, some_titles
from .demo_tools import Demo, DemoFailedError, shown
from .stack import Addresses

RECORDS = "bibs/incoming/catalog/march-books.mrc"
_ENDS = {"created", "merged", "unchanged", "not_added_brief", "invalid_record"}


def drop_bibs(demo: Demo) -> None:
    """Drops the file, which is imported while other files are loaded."""
    demo.say(
        f"\nDropping {RECORDS}: a new title, a better record, one that is there, a brief one, a broken one"
    )
    demo.drop(RECORDS, books(demo.addresses))


def bib_file(demo: Demo) -> None:
    """Shows what became of the records."""
    demo.say(f"\n{RECORDS}, dropped before:")
    rows = loaded(demo, RECORDS, "bib_import")
    demo.say("Why two of its records were not added, as its report has it:")
    for row in rows:
        if row["message"]:
            demo.say(f"    record {row['record']}, {row['outcome']}: {row['message']}")
    if sorted(row["outcome"] for row in rows) != sorted(_ENDS):
        raise DemoFailedError(
            f"Not every record of {RECORDS} ended as it should; see {shown(demo.delivered)}."
        )


def books(addresses: Addresses) -> bytes:
    """A file as a cataloguer saves it from WorldCat, with what comes in between."""
    better, there, brief = (_title(addresses, mms_id) for mms_id in some_titles(addresses)[:3])
    better.add_ordered_field(_field("650", " 0", "Shared print programs."))
    brief.leader = f"{brief.leader[:17]}3{brief.leader[18:]}"
    broken = _new("2000000002", "A record that was cut off").as_marc()
    new = _new("2000000001", "Floods of the upper valley :")
    return b"".join((*(each.as_marc() for each in (new, better, there, brief)), broken[:-40], b"\x1d"))


def _new(number: str, title: str) -> Record:
    made = Record(force_utf8=True, leader="00000nam a2200000 i 4500")
    made.add_field(
        Field("001", data=f"on{number}"),
        Field("003", data="OCoLC"),
        Field("005", data="20260302101500.0"),
        Field("008", data="260302s2026    azua     b    001 0 eng d"),
        _field("035", "  ", f"(OCoLC)on{number}"),
        _field("245", "00", title),
        _field("300", "  ", "211 pages"),
    )
    return made


def _field(tag: str, indicators: str, text: str) -> Field:
    return Field(tag, Indicators(*indicators), [Subfield("a", text)])


def _title(addresses: Addresses, mms_id: str) -> Record:
    """The record of a title that the pretend Alma has."""
    answer = requests.get(
        f"{addresses.sandbox}/almaws/v1/bibs/{mms_id}",
        headers={"Authorization": f"apikey {addresses.sandbox_key}", "Accept": "application/xml"},
        timeout=30,
    )
    answer.raise_for_status()
    (found,) = pymarc.parse_xml_to_array(BytesIO(answer.content))
    found.force_utf8 = True
    return found
