"""Records as Alma sends them, and the rows and plans that the steps of a WEST run hand on."""

import io
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from pymarc import Field, Indicators, MARCReader, Record, Subfield

from alma_etl.alma.bibs import AvailabilityRow, Bib
from alma_etl.alma.holdings import Holding
from alma_etl.marc.xml import record_from_xml
from alma_etl.west.run import InputCounts, WestPlan
from alma_etl.west.settings import WestSettings

DAY = date(2026, 11, 20)
LEADER = "     cy  a22     1n 4500"
F008 = "1803152u    8   1001uueng0180315"
RUN = "manual__2026-11-20T09:30:00+00:00"


def mms(number: int) -> str:
    """The MMS id of a title."""
    return f"99{number:09d}4401"


def hol(number: int) -> str:
    """The id of a holding."""
    return f"22{number:09d}4401"


def field(tag: str, *pairs: tuple[str, str], indicators: str = "  ") -> Field:
    """A data field."""
    return Field(tag, Indicators(*indicators), [Subfield(*pair) for pair in pairs])


def note(
    action: str | None = "committed to retain",
    begin: str | None = "20180315",
    end: str | None = "20351231",
    programmes: Sequence[str] = ("WEST",),
    source: str | None = "pda",
    owner: str | None = "XxXx",
    indicators: str = "1 ",
) -> Field:
    """A 583; what is None is left out."""
    pairs = [("a", action), ("c", begin), ("d", end), *(("f", name) for name in programmes)]
    pairs += [("2", source), ("5", owner)]
    return field("583", *((code, value) for code, value in pairs if value is not None), indicators=indicators)


def holding_fields(
    *,
    f008: str | None = F008,
    library: str | None = "MAIN",
    location: str | None = "stacks",
    notes: Sequence[Field] = (note(),),
    statements: Sequence[Field] = (field("866", ("a", "v.1-24 (1931-1954)"), indicators="30"),),
    extra: Iterable[Field] = (),
) -> list[Field]:
    """The fields of a holdings record that every rule is content with, but for what is asked to differ."""
    fields = [Field("001", data="migrated-1"), Field("004", data="migrated-2")]
    fields += [Field("008", data=f008)] if f008 is not None else []
    fields += notes
    place = [(code, value) for code, value in (("b", library), ("c", location)) if value is not None]
    fields += [field("852", *place, ("h", "AP2"), indicators="0 ")] if place else []
    return [*fields, *statements, *extra]


def xml(fields: Iterable[Field], leader: str = LEADER) -> bytes:
    """A <record> as Alma writes it: no namespace, no declaration."""
    parts = [f"<record><leader>{escape(leader)}</leader>"]
    for each in fields:
        if each.is_control_field():
            parts.append(f'<controlfield tag="{each.tag}">{escape(each.data or "")}</controlfield>')
            continue
        subfields = "".join(
            f"<subfield code={quoteattr(subfield.code)}>{escape(subfield.value)}</subfield>"
            for subfield in each.subfields
        )
        ind1, ind2 = each.indicators or "  "
        parts.append(f'<datafield ind1="{ind1}" ind2="{ind2}" tag="{each.tag}">{subfields}</datafield>')
    return "".join([*parts, "</record>"]).encode()


def holding(
    number: int,
    title: int,
    fields: Iterable[Field] | None = None,
    *,
    leader: str = LEADER,
    suppressed: bool = False,
    calculated: bool = False,
    record: bytes | None = b"",
) -> Holding:
    """A holding as the client gives it; without ``fields`` a deliverable one."""
    body = xml(holding_fields() if fields is None else fields, leader) if record == b"" else record
    return Holding(hol(number), mms(title), suppressed, calculated, body)


def bib(
    number: int, rows: Sequence[AvailabilityRow] = (), fields: Iterable[Field] | None = None, title: str = ""
) -> Bib:
    """A bib with an OCLC number and an ISSN, or with ``fields``."""
    if fields is None:
        fields = [
            Field("001", data=mms(number)),
            field("022", ("a", "0317-8471")),
            field("035", ("a", f"(OCoLC){number + 1000}")),
            field("245", ("a", "Annals")),
        ]
    return Bib(mms(number), title or f"Annals {number}", False, xml(fields), tuple(rows))


def available(title: int, holding_id: str | None, library: str = "MAIN") -> AvailabilityRow:
    """An availability row."""
    return AvailabilityRow(mms(title), holding_id, "01XXX_INST", library, "stacks", "available")


def record(fields: Iterable[Field], leader: str = LEADER) -> Record:
    """The same as a pymarc record."""
    return record_from_xml(xml(fields, leader))


def settings(**values: Any) -> WestSettings:
    """The settings of a run of a set, with ZZMAIN for all libraries."""
    return WestSettings.model_validate({"set_id": "59000000000004401", "oclc_symbol": "ZZMAIN", **values})


def plan(titles: int, chunks: int = 1, counts: InputCounts | None = None, **values: Any) -> WestPlan:
    """A plan as the first step writes it; ``values`` are settings."""
    return WestPlan(
        run_id=RUN,
        settings=settings(**values),
        day=DAY,
        source="set 59000000000004401",
        counts=counts or InputCounts(total=titles, titles=titles),
        chunks=chunks,
        titles=titles,
    )


def read_marc(data: bytes) -> list[Record]:
    """The records of a MARC21 file, read by pymarc; one that it cannot read is a failure."""
    found = list(MARCReader(io.BytesIO(data), to_unicode=True, force_utf8=True))
    assert None not in found
    return [each for each in found if each is not None]
