"""MARC records as the Alma API carries them: plain ``<record>`` elements without the MARC21 namespace."""

from dataclasses import dataclass, field

from lxml import etree


@dataclass(frozen=True)
class ControlField:
    """A field 00X: tag and data."""

    tag: str
    data: str


@dataclass(frozen=True)
class DataField:
    """A field with two indicators and subfields ``(code, value)`` in order."""

    tag: str
    ind1: str
    ind2: str
    subfields: tuple[tuple[str, str], ...]

    def all(self, code: str) -> list[str]:
        """Every value of a subfield."""
        return [value for name, value in self.subfields if name == code]

    def first(self, code: str) -> str:
        """The first value of a subfield, or an empty text."""
        return next((value for name, value in self.subfields if name == code), "")


@dataclass
class Record:
    """A leader and fields in the order in which they are written."""

    leader: str
    fields: list[ControlField | DataField] = field(default_factory=list)

    def control(self, tag: str) -> str | None:
        """Data of the first control field with this tag."""
        return next((f.data for f in self.fields if isinstance(f, ControlField) and f.tag == tag), None)

    def data(self, *tags: str) -> list[DataField]:
        """The data fields with one of these tags."""
        return [f for f in self.fields if isinstance(f, DataField) and f.tag in tags]

    def set_control(self, tag: str, data: str) -> None:
        """Replace a control field, or insert it before the first field of a higher tag."""
        self.fields = [f for f in self.fields if f.tag != tag]
        place = next((n for n, f in enumerate(self.fields) if f.tag > tag), len(self.fields))
        self.fields.insert(place, ControlField(tag, data))

    def copy(self) -> "Record":
        """A record that can be changed without changing this one."""
        return Record(self.leader, list(self.fields))


def data_field(tag: str, indicators: str, *subfields: tuple[str, str]) -> DataField:
    """A data field from its tag, its two indicators as one text, and its subfields."""
    return DataField(tag, indicators[0], indicators[1], subfields)


def to_element(record: Record) -> etree._Element:
    """The ``<record>`` element; attributes in the order in which Alma writes them."""
    root = etree.Element("record")
    etree.SubElement(root, "leader").text = record.leader
    for entry in record.fields:
        if isinstance(entry, ControlField):
            etree.SubElement(root, "controlfield", {"tag": entry.tag}).text = entry.data
            continue
        element = etree.SubElement(
            root, "datafield", {"ind1": entry.ind1, "ind2": entry.ind2, "tag": entry.tag}
        )
        for code, value in entry.subfields:
            etree.SubElement(element, "subfield", {"code": code}).text = value
    return root


def from_element(root: etree._Element) -> Record:
    """Read a ``<record>`` element, with or without a namespace. ValueError when it is no MARC record."""
    record = Record("")
    for element in root:
        if not isinstance(element.tag, str):
            continue  # a comment or a processing instruction
        name = etree.QName(element).localname
        tag = element.get("tag", "")
        if name == "leader":
            record.leader = element.text or ""
        elif name == "controlfield" and len(tag) == 3:
            record.fields.append(ControlField(tag, element.text or ""))
        elif name == "datafield" and len(tag) == 3:
            subfields = tuple((s.get("code", ""), s.text or "") for s in element if isinstance(s.tag, str))
            record.fields.append(
                DataField(tag, element.get("ind1", " "), element.get("ind2", " "), subfields)
            )
        else:
            raise ValueError(f"<{name}> with tag {tag!r} has no place in a MARC record")
    return record
