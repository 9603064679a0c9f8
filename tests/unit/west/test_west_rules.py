"""The delivery rules of a record, each by its code, and what the record gets before it is judged."""

import pytest
from pymarc import Field, Record

from alma_etl.west.enrich import enrich, numbers_of_bib
from alma_etl.west.explained import MEANING_OF_CODE
from alma_etl.west.rules import Findings, check_record
from tests.unit.west.builders import F008, LEADER, field, hol, holding_fields, mms, record, xml

OCLC, ISSN = field("035", ("a", "(OCoLC)1234")), field("022", ("a", "0317-8471"))


def enriched(
    fields: list[Field] | None = None, leader: str = LEADER, numbers=(ISSN, OCLC), symbol="ZZMAIN"
) -> Record:
    made = record(holding_fields() if fields is None else fields, leader)
    enrich(made, holding_id=hol(1), mms_id=mms(1), numbers=numbers, symbol=symbol)
    return made


def errors(*args, **kwargs) -> tuple[str, ...]:
    return check_record(enriched(*args, **kwargs)).errors


def warnings(*args, **kwargs) -> tuple[str, ...]:
    return check_record(enriched(*args, **kwargs)).warnings


def test_an_ordinary_record_breaks_no_rule():
    assert check_record(enriched()) == Findings((), ())


@pytest.mark.parametrize("kind", "uvxy")
def test_leader_of_holdings(kind):
    assert errors(leader=f"     c{kind}  a22     1n 4500") == ()


@pytest.mark.parametrize(
    "leader", ["     cas a22     1a 4500", "     cY  a22     1n 4500", "", "     cy", LEADER + " "]
)
def test_any_other_leader(leader):
    assert errors(leader=leader) == ("LDR06",)


@pytest.mark.parametrize("f008", [None, "", F008[:-1], F008 + " "])
def test_008_must_have_32_characters(f008):
    assert errors(holding_fields(f008=f008)) == ("008LEN",)


def test_008_is_counted_in_characters_and_comes_once():
    assert errors(holding_fields(f008="é" + F008[1:])) == ()
    assert errors(holding_fields(extra=[Field("008", data=F008)])) == ("008LEN",)


def test_without_852():
    assert errors(holding_fields(library=None, location=None)) == ("852",)


@pytest.mark.parametrize("library", [None, "", " "])
def test_852_without_library(library):
    assert errors(holding_fields(library=library)) == ("852b",)


def test_852_without_symbol_even_if_alma_sent_some_a():
    own = field("852", ("a", "Other"), ("b", "MAIN"))
    assert errors(holding_fields(library=None, location=None, extra=[own]), symbol=None) == ("852a",)


@pytest.mark.parametrize(
    "statements",
    [
        [field("866", ("a", "v.1"))],
        [field("867", ("a", "suppl. 1"))],
        [field("868", ("a", "index"))],
        [field("863", ("8", "1.1"), ("a", "1-24"))],
        [field("864", ("8", "1.1"), ("a", "1"))],
        [field("865", ("8", "1.1"), ("a", "1"))],
    ],
)
def test_any_form_of_statement_will_do(statements):
    assert errors(holding_fields(statements=statements)) == ()


@pytest.mark.parametrize(
    "statements", [[], [field("866", ("a", " "))], [field("866", ("z", "note"))], [field("853", ("a", "v."))]]
)
def test_no_statement(statements):
    assert errors(holding_fields(statements=statements)) == ("STMT",)


@pytest.mark.parametrize(
    "value", ["(OCoLC)1", "(OCoLC)ocm00001234", "(OCoLC)ocn123456789", "(OCoLC)on1234567890", "(ocolc) 12"]
)
def test_oclc_number(value):
    assert errors(numbers=[ISSN, field("035", ("a", value))]) == ()


@pytest.mark.parametrize(
    "numbers",
    [
        [],
        [field("035", ("z", "(OCoLC)1"))],
        [field("035", ("a", "(OCoLC)"))],
        [field("035", ("a", "(OCoLC)ocm"))],
        [field("035", ("a", "(OCoLC)000"))],
    ],
)
def test_no_oclc_number(numbers):
    assert errors(numbers=[ISSN, *numbers]) == ("OCN",)


def test_issn_missing_or_wrong_is_a_warning():
    assert warnings(numbers=[OCLC]) == ("022",)
    assert warnings(numbers=[OCLC, field("022", ("y", "0317-8472"))]) == ("022",)
    assert warnings(numbers=[OCLC, field("022", ("a", "0317-8472"))]) == ("ISSNCHK",)
    assert warnings(numbers=[OCLC, ISSN, field("022", ("a", "0317-8472"))]) == ("ISSNCHK",)


def test_ids_without_which_a_record_is_worth_nothing():
    assert check_record(record(holding_fields()[2:])).errors[:2] == ("001", "004")
    made = enriched()
    made.remove_fields("004")
    assert "004" in check_record(made).errors


@pytest.mark.parametrize(
    ("holding_id", "mms_id"), [("2312344401", mms(1)), ("ocm1", mms(1)), (hol(1), "991234")]
)
def test_a_holding_id_of_another_shape_or_institution_is_a_warning(holding_id, mms_id):
    made = record(holding_fields())
    enrich(made, holding_id=holding_id, mms_id=mms_id, numbers=[ISSN, OCLC], symbol="ZZMAIN")
    assert check_record(made) == Findings((), ("001SHAPE",))


def test_everything_that_is_wrong_is_told_at_once():
    found = check_record(record([field("852", ("c", "stacks"))], "     cas a22     1a 4500"))
    assert found.errors == ("LDR06", "001", "004", "008LEN", "852b", "852a", "STMT", "OCN")


def test_every_code_of_the_rules_is_explained_in_the_report():
    record_errors = "LDR06 001 DUP001 004 008LEN 852 852b 852a STMT OCN FIELDLONG TOOLONG ROUNDTRIP"
    note_errors = "583 583RETAIN 583EXPIRED 583c 583d 583ORDER 583f"
    only_warnings = "001SHAPE NOBIB BIBFIELD 583RENEW 583CASE 5832 5835 583IND 022 ISSNCHK"
    codes = {*record_errors.split(), *note_errors.split(), *only_warnings.split()}
    assert set(MEANING_OF_CODE) == codes


# --- what the record gets


def test_ids_replace_what_a_migration_left():
    made = enriched([*holding_fields(), Field("001", data="again"), Field("004", data="again")])
    assert [(each.tag, each.data) for each in made.get_fields("001", "004")] == [
        ("001", hol(1)),
        ("004", mms(1)),
    ]


def test_ids_are_added_in_the_order_of_tags():
    made = enriched(holding_fields()[2:])
    assert [each.tag for each in made.fields] == ["001", "004", "008", "022", "035", "583", "852", "866"]


def test_numbers_of_the_bib_take_the_place_of_the_holdings_own():
    own = [
        field("022", ("a", "1111-1111")),
        field("035", ("a", "(OCoLC)999")),
        field("035", ("a", "(Local)7")),
    ]
    made = enriched(holding_fields(extra=own))
    assert [str(each) for each in made.get_fields("022")] == [str(ISSN)]
    assert {each["a"] for each in made.get_fields("035")} == {"(Local)7", "(OCoLC)1234"}


def test_numbers_keep_their_order_indicators_and_subfields():
    numbers = [
        field("022", ("a", "0317-8471"), ("y", "1111-1111"), indicators="0 "),
        field("022", ("a", "2049-3630")),
        field("035", ("a", "(OCoLC)1"), ("z", "(OCoLC)2")),
    ]
    made = enriched(numbers=numbers)
    assert [str(each) for each in made.get_fields("022", "035")] == [str(each) for each in numbers]


def test_the_symbol_comes_first_in_every_852_and_replaces_any_other():
    places = [field("852", ("b", "MAIN"), ("a", "Old"), ("c", "stacks")), field("852", ("c", "x"))]
    made = enriched(holding_fields(library=None, location=None, extra=places))
    assert [list(map(tuple, each.subfields)) for each in made.get_fields("852")] == [
        [("a", "ZZMAIN"), ("b", "MAIN"), ("c", "stacks")],
        [("a", "ZZMAIN"), ("c", "x")],
    ]


def test_leader_says_utf8_and_has_its_fixed_places():
    assert (
        str(enriched(leader="01234cy  .....0123.1n ....").leader) == "01234cy  .....0123.1n ...."
    )  # not 24 long
    assert str(enriched(leader="01234cy   33012341n  9999").leader) == "01234cy   33012341n  9999"
    assert str(enriched(leader="01234cy  233012341n 9999").leader) == "01234cy  a22012341n 4500"


def test_numbers_of_bib_are_every_022_and_the_035_with_an_oclc_number():
    fields, faults = numbers_of_bib(
        xml(
            [
                Field("001", data="1"),
                ISSN,
                field("022", ("y", "1111-1111")),
                field("035", ("a", "(DE-599)1")),
                OCLC,
                field("035", ("z", "(OCoLC)1")),
                field("245", ("a", "T")),
            ]
        )
    )
    assert [str(each) for each in fields] == [str(ISSN), "=022  \\\\$y1111-1111", str(OCLC)]
    assert faults == []


GOOD = xml([ISSN, OCLC]).decode().removeprefix("<record>").removesuffix("</record>")
ODD = {
    "a field without a tag": "<datafield><subfield code='a'>x</subfield></datafield>",
    "a tag of two characters": "<datafield tag='24' ind1=' ' ind2=' '><subfield code='a'>x</subfield></datafield>",
    "a subfield without a code": "<datafield tag='500' ind1=' ' ind2=' '><subfield>x</subfield></datafield>",
    "a data field among the control fields": "<datafield tag='003'><subfield code='a'>x</subfield></datafield>",
    "a control field among the data fields": "<controlfield tag='500'>x</controlfield>",
    "an element that is none": "<extra><deep/></extra>",
    "a leader that is none": "<leader>short</leader>",
    "a field without subfields": "<datafield tag='650' ind1=' ' ind2=' '/>",
    "long indicators": "<datafield tag='650' ind1='10' ind2='x'><subfield code='a'>x</subfield></datafield>",
}
BAD = {
    "a 035 without a code": "<datafield tag='035' ind1=' ' ind2=' '><subfield>(OCoLC)9</subfield></datafield>",
    "a 035 that is a control field": "<controlfield tag='035'>(OCoLC)9</controlfield>",
    "a 022 with a long code": "<datafield tag='022'><subfield code='aa'>1234-5679</subfield></datafield>",
    "a 022 without subfields": "<datafield tag='022' ind1=' ' ind2=' '/>",
    "a 022 with a long indicator": "<datafield tag='022' ind1='00'><subfield code='a'>1234-5679</subfield></datafield>",
    "a 022 with an indicator beyond ASCII": "<datafield tag='022' ind1='é'><subfield code='a'>1</subfield></datafield>",
}


@pytest.mark.parametrize("odd", [*ODD, *BAD])
@pytest.mark.parametrize("place", ["before", "after"])
def test_an_odd_field_of_the_bib_does_not_keep_its_numbers_away(odd, place):
    extra = {**ODD, **BAD}[odd]
    body = f"{extra}{GOOD}" if place == "before" else f"{GOOD}{extra}"
    fields, faults = numbers_of_bib(f"<record>{body}</record>".encode())
    assert [str(each) for each in fields] == [str(ISSN), str(OCLC)]
    assert len(faults) == (odd in BAD)


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([[("b", "MAIN")], [("b", "LAW")]], ()),
        ([[("c", "x")], [("b", "LAW")]], ()),
        ([[("b", " ")], [("b", "LAW")]], ()),
        ([[("a", "Old")], [("c", "y")], [("b", "LAW")]], ()),
        ([[("c", "x")], [("c", "y")]], ("852b",)),
        ([[("b", "")], [("b", " ")]], ("852b",)),
        ([[("b", ""), ("b", "LAW")]], ()),
    ],
)
def test_the_first_852_with_a_library_counts(places, expected):
    fields = [field("852", *pairs) for pairs in places]
    assert errors(holding_fields(library=None, location=None, extra=fields)) == expected
