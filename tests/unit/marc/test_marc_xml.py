"""MARCXML as Alma sends it, and as it must not be."""

import pytest

from alma_etl.marc.xml import BadMarcXml, record_from_xml


def read(inside: str, root: str = "record"):
    return record_from_xml(f"<{root}>{inside}</{root.split()[0]}>".encode())


DATAFIELD = '<datafield ind1="3" ind2="0" tag="866"><subfield code="a">{}</subfield></datafield>'


def test_fields_subfields_and_their_order_are_kept():
    made = read(
        "<leader>     cy  a22     1n 4500</leader>"
        '<controlfield tag="008">x</controlfield><controlfield tag="001">1</controlfield>'
        '<datafield ind1="3" ind2="0" tag="866"><subfield code="z">n</subfield><subfield code="a">v.1</subfield>'
        '<subfield code="a"> v.2 </subfield></datafield>'
        '<datafield ind1=" " ind2=" " tag="852"><subfield code="b"/></datafield>'
    )
    assert [str(each) for each in made.fields] == [
        "=008  x",
        "=001  1",
        "=866  30$zn$av.1$a v.2 ",
        "=852  \\\\$b",
    ]
    assert str(made.leader) == "     cy  a22     1n 4500"


@pytest.mark.parametrize("leader", ["", "short", "x" * 25])
def test_a_leader_of_any_length_is_kept_for_the_rules_to_speak_of(leader):
    assert str(read(f"<leader>{leader}</leader>").leader) == leader


def test_without_leader():
    assert str(read('<controlfield tag="001">1</controlfield>').leader) == ""


def test_with_the_marc21_namespace():
    made = read('<controlfield tag="001">1</controlfield>', 'record xmlns="http://www.loc.gov/MARC21/slim"')
    assert made["001"].data == "1"


def test_with_a_declaration_that_names_another_encoding():
    made = record_from_xml(
        b'<?xml version="1.0" encoding="UTF-16"?><record><controlfield tag="001">1</controlfield></record>'
    )
    assert made["001"].data == "1"


@pytest.mark.parametrize(
    "text",
    [
        "日本経済",
        "Журнал",
        "مجلة",
        "e\u0301tude (combining)",
        "\u202bעברית",
        "𝕬 astral",
        "a &amp; b &lt;c&gt;",
    ],
)
def test_any_script_is_kept_letter_by_letter(text):
    value = read(DATAFIELD.format(text))["866"]["a"]
    assert value == text.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">")


def test_text_around_and_inside_an_odd_element_is_not_lost():
    assert read(DATAFIELD.format("one<b>two</b>three"))["866"]["a"] == "onetwothree"
    assert read(DATAFIELD.format("one<!-- c -->two"))["866"]["a"] == "onetwo"


def test_missing_indicators_are_blank():
    made = read('<datafield tag="866" ind1=""><subfield code="a">x</subfield></datafield>')
    assert tuple(made["866"].indicators) == (" ", " ")


@pytest.mark.parametrize(
    ("inside", "names"),
    [
        ("<controlfield>1</controlfield>", "controlfield"),
        ('<datafield ind1=" " ind2=" "/>', "datafield"),
        ('<datafield tag="866"><subfield>1</subfield></datafield>', "subfield"),
        ('<controlfield tag="245">its content would be lost</controlfield>', "'245'"),
        ('<datafield tag="008"><subfield code="a">its content would be lost</subfield></datafield>', "'008'"),
        ('<datafield tag="86"><subfield code="a">x</subfield></datafield>', "'86'"),
        ('<datafield tag="8666"><subfield code="a">x</subfield></datafield>', "'8666'"),
    ],
)
def test_a_field_that_is_none_names_its_fault(inside, names):
    with pytest.raises(BadMarcXml, match=names):
        read(inside)


def test_another_root():
    with pytest.raises(BadMarcXml, match="<holding>"):
        record_from_xml(b"<holding/>")


@pytest.mark.parametrize(
    "xml",
    [
        b"",
        b"<record>",
        b"<record></bib>",
        b"<html><body>Maintenance<br></body></html>",
        b'<!DOCTYPE r [<!ENTITY x "y">]><record><leader>&x;</leader></record>',
        b'<!DOCTYPE r SYSTEM "file:///etc/passwd"><record/>',
        b"<record>\xff\xfe\xfa</record>",
        b"\x00\x01\x02",
    ],
)
def test_what_is_no_harmless_xml_is_a_value_error(xml):
    with pytest.raises(ValueError, match=r".+"):
        record_from_xml(xml)
