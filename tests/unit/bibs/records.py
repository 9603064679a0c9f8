"""Records for the tests of bibliographic imports, written as lines: `245 10 $a Title`, `001 123`, `LDR ...`."""

import re

from pymarc import Field, Indicators, Record, Subfield

LEADER = "01234cam a2200301 a 4500"


def record(*lines: str, leader: str = LEADER) -> Record:
    made = Record(force_utf8=True)
    made.leader = leader
    made.fields = [field(line) for line in lines]
    return made


def field(line: str) -> Field:
    tag, _, rest = line.partition(" ")
    if tag < "010":
        return Field(tag, data=rest)
    subfields = [Subfield(code, value.strip()) for code, value in re.findall(r"\$(\w)([^$]*)", rest)]
    return Field(tag, Indicators(*rest[:2].replace("_", " ")), subfields)


def lines(made: Record, *tags: str) -> list[str]:
    """The fields with these tags (all of them without any), as lines."""
    return [line(each) for each in made.fields if not tags or each.tag in tags]


def line(each: Field) -> str:
    if each.is_control_field():
        return f"{each.tag} {each.data}"
    indicators = "".join(each.indicators).replace(" ", "_")
    return f"{each.tag} {indicators} {' '.join(f'${code} {value}' for code, value in each.subfields)}"
