"""What the resource classes make of Alma's answers, in the old forms and the new."""

import pytest
from lxml import etree

from alma_etl.alma.bibs import AvailabilityRow
from alma_etl.alma.conf import General
from alma_etl.alma.holdings import Holding, HoldingSummary
from alma_etl.alma.sets import AlmaSet, MembersPage
from alma_etl.remote.answers import Absent, Found, Unknown
from alma_etl.remote.errors import RemoteMalformed, RemoteRefused
from tests.unit.alma.scripted import Say, as_json, as_xml, refusal


def field(tag: str, *subfields: tuple[str, str]) -> str:
    inner = "".join(f'<subfield code="{code}">{value}</subfield>' for code, value in subfields)
    return f'<datafield ind1=" " ind2=" " tag="{tag}">{inner}</datafield>'


AVA = [
    field(
        "AVA", *zip("08abejtt", ["991", "221", "01SBX", "MAIN", "available", "stacks", "", "x"], strict=True)
    ),
    field("AVA", ("0", "991"), ("a", "01SBX"), ("b", "SCI"), ("e", "check_holdings"), ("j", "tmp")),
    field(
        "AVA", ("0", "999"), ("8", "229"), ("a", "01SBX"), ("b", "MAIN"), ("e", "available"), ("j", "stacks")
    ),
    field("AVA", ("8", "228"), ("b", "MAIN")),
    field("AVE", ("8", "531"), ("e", "Available")),
]
BIB = (
    '<?xml version="1.0" encoding="UTF-8" standalone="yes"?><bibs total_record_count="2">'
    "<bib><mms_id>991</mms_id><title>Journal of Samples /</title>"
    "<suppress_from_publishing>true</suppress_from_publishing>"
    "<record><leader>00000cas a2200000 a 4500</leader>"
    f"{field('245', ('a', 'Žurnal &amp; 雑誌'))}{''.join(AVA)}</record></bib>"
    "<bib><mms_id>992</mms_id><title/></bib></bibs>"
)


def test_a_batch_of_bibs(alma, client):
    alma.says(as_xml(BIB))
    bibs = client.bibs.read_many(["991", "993", "992"], availability=True)
    assert alma.asked[0].target == "/almaws/v1/bibs?mms_id=991%2C993%2C992&view=full&expand=p_avail"
    assert alma.asked[0].headers["Accept"] == "application/xml"
    assert set(bibs) == {"991", "992"}
    assert bibs["991"].availability == (
        AvailabilityRow("991", "221", "01SBX", "MAIN", "stacks", "available"),
        AvailabilityRow("991", None, "01SBX", "SCI", "tmp", "check_holdings"),
    )
    assert (bibs["991"].title, bibs["991"].suppressed) == ("Journal of Samples /", True)
    record = etree.fromstring(bibs["991"].record)
    assert [each.get("tag") for each in record] == [
        None,
        "245",
    ]  # what `expand` added is not part of the record
    assert "Žurnal &amp; 雑誌".encode() in bibs["991"].record
    assert (bibs["992"].title, bibs["992"].suppressed, bibs["992"].record, bibs["992"].availability) == (
        "",
        False,
        None,
        (),
    )


def test_bibs_that_were_not_asked_for_are_not_given(alma, client):
    alma.says(as_xml(BIB))
    assert set(client.bibs.read_many(["992"], availability=False)) == {"992"}
    assert "expand" not in alma.asked[0].target


def test_no_bibs_need_no_call_and_too_many_get_none(alma, client):
    assert client.bibs.read_many([], availability=True) == {}
    with pytest.raises(ValueError, match="101 bibs"):
        client.bibs.read_many(["1"] * 101, availability=True)
    assert not alma.asked


def test_one_bib(alma, client):
    alma.says(as_xml("<bib><mms_id>991</mms_id><title>T</title><record/></bib>"))
    assert client.bibs.read("991").value.title == "T"
    alma.says(refusal("402204"))
    assert isinstance(client.bibs.read("xyz"), Absent)


@pytest.mark.parametrize(
    "text", ["<bibs><bib><title>no id</title></bib></bibs>", "<holdings/>", "<bib><mms_id>1</mms_id></bib>"]
)
def test_bibs_of_another_shape_are_malformed(text, alma, client):
    alma.says(as_xml(text))
    with pytest.raises(RemoteMalformed):
        client.bibs.read_many(["1"], availability=False)


NEW = {
    "holding_id": "221",
    "library": {"value": "MAIN", "desc": "Main"},
    "location": {"value": "stacks"},
    "call_number": "PN1",
    "suppress_from_publishing": "true",
}
OLD = {
    "holding_id": "222",
    "library": {"value": "SCI", "desc": None},
    "location": {"value": None, "desc": None},
    "call_number": None,
    "suppress_from_publishing": False,
}
BARE = {"holding_id": "223", "library": {}}


def test_the_holdings_list_in_old_and_new_forms(alma, client):
    alma.says(as_json({"holding": [NEW, OLD, BARE], "total_record_count": 3, "bib_data": {}}))
    assert client.holdings.list("991") == Found(
        [
            HoldingSummary("221", "MAIN", "stacks", "PN1", True),
            HoldingSummary("222", "SCI", "", "", False),
            HoldingSummary("223", "", "", "", False),
        ]
    )
    assert alma.asked[0].target == "/almaws/v1/bibs/991/holdings"


def test_a_list_of_one_may_be_a_lone_object(alma, client):
    alma.says(as_json({"holding": NEW, "total_record_count": 1}))
    assert [row.holding_id for row in client.holdings.list("991").value] == ["221"]


@pytest.mark.parametrize(
    "answer",
    [{}, {"total_record_count": 2}, {"holding": "x"}, {"holding": [1]}, {"holding": [{"library": {}}]}],
)
def test_a_holdings_list_that_proves_nothing_is_not_taken_for_an_empty_one(answer, alma, client):
    alma.says(as_json(answer))
    assert isinstance(client.holdings.list("991"), Unknown)


def test_a_holding(alma, client):
    alma.says(
        as_xml(
            "<holding><holding_id>221</holding_id><suppress_from_publishing>false</suppress_from_publishing>"
            "<calculated_suppress_from_publishing>true</calculated_suppress_from_publishing>"
            '<record><controlfield tag="001">old</controlfield></record></holding>'
        )
    )
    record = b'<record><controlfield tag="001">old</controlfield></record>'
    assert client.holdings.read("991", "221") == Found(Holding("221", "991", False, True, record))
    assert alma.asked[0].target == "/almaws/v1/bibs/991/holdings/221"


@pytest.mark.parametrize("code", ["402208", "402203"])
def test_a_holding_that_is_not_there(code, alma, client):
    alma.says(refusal(code))
    assert isinstance(client.holdings.read("991", "221"), Absent)


def test_a_set_and_its_members(alma, client):
    one = {"id": "59", "name": "N", "type": {"value": "ITEMIZED"}, "content": {"value": "BIB_MMS"}}
    alma.says(as_json({**one, "status": {"value": "ACTIVE"}, "number_of_members": {"value": 3, "link": "x"}}))
    assert client.sets.read("59") == Found(AlmaSet("59", "N", "BIB_MMS", "ITEMIZED", "ACTIVE", 3))
    alma.says(
        as_json(
            {
                "member": [{"id": 991, "link": "/a"}, {"id": "992", "description": "T"}],
                "total_record_count": 12,
            }
        )
    )
    assert client.sets.members_page("59", 10) == MembersPage(["991", "992"], ["/a", ""], 12)
    assert alma.asked[-1].target == "/almaws/v1/conf/sets/59/members?limit=100&offset=10"
    alma.says(as_json({"total_record_count": 0}))
    assert client.sets.members_page("59", 0) == MembersPage([], [], 0)
    alma.says(refusal("60107"))
    assert isinstance(client.sets.read("1"), Absent)


def test_general_configuration_in_both_forms(alma, client):
    alma.says(
        as_json(
            {"institution": {"value": "01SBX_INST", "desc": "S"}, "environment_type": {"value": "SANDBOX"}}
        )
    )
    assert client.conf.general() == General("01SBX_INST", "S", "SANDBOX")
    alma.says(as_json({"institution": {"value": "01SBX_INST"}, "environment_type": "PRODUCTION"}))
    assert client.conf.general() == General("01SBX_INST", "", "PRODUCTION")


def test_the_test_points(alma, client):
    alma.says(as_xml("<test>GET - OK - institutionCode: 01SBX_INST</test>"))
    assert client.test.read("users") == "GET - OK - institutionCode: 01SBX_INST"
    alma.says(as_xml("<test>POST - OK</test>"))
    assert client.test.write("bibs") == "POST - OK"
    assert [(asked.method, asked.target) for asked in alma.asked] == [
        ("GET", "/almaws/v1/users/operation/test"),
        ("POST", "/almaws/v1/bibs/test"),
    ]


@pytest.mark.parametrize("wrong", ["", ".", "..", "a/b", "a\\b"])
def test_an_id_that_would_change_the_path_is_refused_before_sending(wrong, alma, client):
    answer = client.bibs.read(wrong)
    assert isinstance(answer, Unknown)
    assert isinstance(answer.error, RemoteRefused)
    assert answer.error.code == "INVALID_ID"
    assert not alma.asked


def test_an_error_names_the_call_but_not_whose(alma, client, caplog):
    asked = [
        lambda: client.users.read("jane@example.org"),
        lambda: client.requests.read("jane@example.org", "17"),
        lambda: client.requests.of_user("jane@example.org"),
        lambda: client.loans.of_user("jane@example.org"),
    ]
    for ask in asked:
        alma.says(*[Say(b"", 500)] * 9)
        answer = ask()
        assert isinstance(answer, Unknown)
        assert answer.error.call.startswith("GET /users/-")
        assert "jane" not in f"{answer.error!s}{answer.error!r}"
    assert "/users/-/requests/17" in caplog.text
    assert "jane" not in caplog.text


def test_alma_does_not_repeat_the_users_id_by_its_own_words(alma, client):
    for user_id, words, left in [
        ("jane@example.org", "User with identifier JANE@example.org is blocked.", "identifier - is"),
        ("a", "User a is barred", "User - is barred"),
        ("x y", "User x y is blocked", "User - is blocked"),
    ]:
        alma.says(*[refusal("4018990", words)] * 9)
        answer = client.users.read(user_id)
        assert isinstance(answer, Unknown)
        assert left in str(answer.error)


def test_other_characters_of_an_id_are_quoted(alma, client):
    alma.says(refusal("402204"))
    client.bibs.read("9 9?x=1#é")
    assert alma.asked[0].target == "/almaws/v1/bibs/9%209%3Fx%3D1%23%C3%A9?view=full"
