"""MARCXML as Alma writes it: a plain ``<record>`` without the MARC21 namespace."""

from collections.abc import Collection

from lxml import etree
from pymarc import Field, Indicators, Record, Subfield

from alma_etl.remote.xml import local, parse


class BadMarcXml(ValueError):
    """The XML is well formed but no MARC record: the message names the element that is wrong."""


def record_from_xml(xml: bytes) -> Record:
    """Build a record from a serialised ``<record>`` element, with or without the MARC21 namespace.

    Repeated fields, subfields and their order are kept as they stand. The leader is kept as given, even when
    it is not 24 characters long, so that the delivery rules can speak about it.

    Raises BadMarcXml when the root is not a record, when a field lacks its tag or code, or when its tag does not
    fit its kind (its content would be lost without a word); UnreadableXmlError when it is no XML at all. Both are
    ValueErrors.
    """
    root = parse(xml)
    if local(root) != "record":
        raise BadMarcXml(f"expected a MARC <record>, found <{local(root)}>")
    record = Record(force_utf8=True)
    fields: list[Field] = []
    record.leader = ""  # type: ignore[assignment]
    for element in root:
        name = local(element)
        if name == "leader":
            record.leader = _text(element)  # type: ignore[assignment]
        elif name == "controlfield":
            fields.append(Field(tag=_tag(element, control=True), data=_text(element)))
        elif name == "datafield":
            fields.append(
                Field(
                    tag=_tag(element, control=False),
                    indicators=Indicators(element.get("ind1") or " ", element.get("ind2") or " "),
                    subfields=[
                        Subfield(_attribute(child, "code"), _text(child))
                        for child in element
                        if local(child) == "subfield"
                    ],
                )
            )
    record.fields = fields
    return record


def xml_from_record(record: Record) -> bytes:
    """Serialise a record as a plain <record>, as Alma takes it: what `record_from_xml` reads."""
    root = etree.Element("record")
    etree.SubElement(root, "leader").text = str(record.leader)
    for field in record.fields:
        if field.is_control_field():
            etree.SubElement(root, "controlfield", tag=field.tag).text = field.data or ""
            continue
        first, second = field.indicators or (" ", " ")
        element = etree.SubElement(root, "datafield", tag=field.tag, ind1=first, ind2=second)
        for code, value in field.subfields:
            etree.SubElement(element, "subfield", code=code).text = value
    return etree.tostring(root, encoding="utf-8", xml_declaration=False)


def fields_from_xml(xml: bytes, tags: Collection[str]) -> tuple[list[Field], list[str]]:
    """The data fields of these tags in a serialised ``<record>``, and a sentence for each that cannot be read.

    Nothing else of the record is looked at, so that no other field can be in the way. A field that cannot be read,
    or that MARC21 could not hold, is left out. Raises BadMarcXml, UnreadableXmlError when it is no record at all.
    """
    root = parse(xml)
    if local(root) != "record":
        raise BadMarcXml(f"expected a MARC <record>, found <{local(root)}>")
    fields: list[Field] = []
    faults: list[str] = []
    for element in root:
        if element.get("tag") in tags:
            try:
                fields.append(_data_field(element))
            except BadMarcXml as error:
                faults.append(str(error))
    return fields, faults


def _data_field(element: etree._Element) -> Field:
    if local(element) != "datafield":
        raise BadMarcXml(f"{element.get('tag')} is a <{local(element)}>")
    indicators = [element.get(name) or " " for name in ("ind1", "ind2")]
    subfields = [
        Subfield(_attribute(child, "code"), _text(child)) for child in element if local(child) == "subfield"
    ]
    if not subfields:
        raise BadMarcXml(f"{element.get('tag')} has no subfields")
    for sign in (*indicators, *(subfield.code for subfield in subfields)):
        if not (len(sign) == 1 and sign.isascii() and sign.isprintable()):
            raise BadMarcXml(f"{element.get('tag')} has the indicator or subfield code {sign!r}")
    return Field(tag=_tag(element, control=False), indicators=Indicators(*indicators), subfields=subfields)


def _tag(element: etree._Element, *, control: bool) -> str:
    """The tag, if it is one of this kind of field: 001 to 009 have data, all others have subfields."""
    tag = _attribute(element, "tag")
    if len(tag) != 3 or (tag.isdigit() and tag < "010") is not control:
        raise BadMarcXml(f"a <{local(element)}> has the tag {tag!r}")
    return tag


def _text(element: etree._Element) -> str:
    return "".join(str(part) for part in element.itertext())


def _attribute(element: etree._Element, name: str) -> str:
    value = element.get(name)
    if not value:
        raise BadMarcXml(f"a <{local(element)}> has no {name}")
    return value
