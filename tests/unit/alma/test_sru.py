"""The SRU client: what each number's answer is, whatever comes, and that no key goes out."""

from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest

import alma_sandbox
from alma_etl.alma.sru import ISBN, OCLC, SruClient
from alma_etl.errors import InputProblem
from alma_etl.marc.numbers import oclc_number
from alma_etl.marc.xml import record_from_xml
from alma_etl.remote.answers import Found, PartlyFound, Unknown
from alma_etl.remote.limiter import LocalLimiter
from alma_sandbox.catalogue import ids
from tests.unit.alma.scripted import HTML, Say, Scripted, as_xml, serve

SRW, SLIM = "http://www.loc.gov/zing/srw/", "http://www.loc.gov/MARC21/slim"


def numbers_of(record: bytes) -> set[str]:
    fields = record_from_xml(record).get_fields("035")
    return {oclc_number(value) or "" for field in fields for value in field.get_subfields("a", "z")}


def hit(mms_id: str, *numbers: str, identifier: bool = True) -> str:
    fields = "".join(
        f'<datafield tag="035" ind1=" " ind2=" "><subfield code="a">(OCoLC){number}</subfield></datafield>'
        for number in numbers
    )
    available = '<datafield tag="AVA" ind1=" " ind2=" "><subfield code="a">01X</subfield></datafield>'
    return (
        f'<record><recordSchema>marcxml</recordSchema><recordData><record xmlns="{SLIM}"><leader>x</leader>'
        f'<controlfield tag="001">{mms_id}</controlfield>{fields}{available}</record></recordData>'
        + (f"<recordIdentifier>{mms_id}</recordIdentifier>" if identifier else "")
        + "</record>"
    )


def answer(*hits: str, counted: int | str | None = None) -> Say:
    total = len(hits) if counted is None else counted
    return as_xml(
        f'<searchRetrieveResponse xmlns="{SRW}"><version>1.2</version><numberOfRecords>{total}</numberOfRecords>'
        f"<records>{''.join(hits)}</records></searchRetrieveResponse>"
    )


def diagnostic(number: int) -> Say:
    return as_xml(
        f'<searchRetrieveResponse xmlns="{SRW}"><diagnostics><diagnostic xmlns="{SRW}diagnostic/">'
        f"<uri>info:srw/diagnostic/1/{number}</uri></diagnostic></diagnostics></searchRetrieveResponse>"
    )


@pytest.fixture
def server() -> Iterator[Scripted]:
    with serve() as server:
        yield server


@pytest.fixture
def sru(server) -> Iterator[SruClient]:
    url = f"{server.url}/view/sru/01ABC_INST"
    with SruClient(url, limiter=LocalLimiter(10_000), sleep=lambda seconds: None) as client:
        yield client


def asked(server: Scripted, at: int = 0) -> dict[str, str]:
    query = parse_qs(urlsplit(server.asked[at].target).query)
    return {name: values[0] for name, values in query.items()}


def ids_of(found: object) -> list[str]:
    assert isinstance(found, Found)
    return [title.mms_id for title in found.value]


def test_many_numbers_in_one_query_each_verified_on_the_record(server, sru):
    server.says(
        answer(
            hit("991", "11", "12"),
            hit("992", "ocm00000012"),
            hit("993", "99"),
            hit("994", "13", identifier=False),
        )
    )
    found = sru.find(OCLC, ["11", "12", "13", "14", "11"], numbers_of)
    assert {number: ids_of(each) for number, each in found.items()} == {
        "11": ["991"],
        "12": ["991", "992"],
        "13": ["994"],
        "14": [],
    }
    assert asked(server) == {
        "version": "1.2",
        "operation": "searchRetrieve",
        "recordSchema": "marcxml",
        "maximumRecords": "50",
        "startRecord": "1",
        "query": " or ".join(f'alma.oclc_control_number_035_az="{number}"' for number in (11, 12, 13, 14)),
    }
    assert server.asked[0].target.startswith("/view/sru/01ABC_INST?")
    assert b"AVA" not in found["11"].value[0].record


def test_no_key_and_no_cookie_goes_out(server, sru):
    server.says(answer())
    sru.find(OCLC, ["1"], numbers_of)
    assert {name.lower() for name in server.asked[0].headers}.isdisjoint(
        {"authorization", "cookie", "x-api-key"}
    )


def test_25_numbers_a_query(server, sru):
    server.says(answer())
    found = sru.find(OCLC, [str(number) for number in range(60)], numbers_of)
    assert len(found) == 60
    assert [asked(server, at)["query"].count(" or ") + 1 for at in range(3)] == [25, 25, 10]
    assert len(server.asked) == 3


def test_more_hits_than_one_page(server, sru):
    hits = [hit(f"99{number}", "7") for number in range(70)]
    server.says(answer(*hits[:50], counted=70), answer(*hits[50:], counted=70))
    assert len(ids_of(sru.find(OCLC, ["7"], numbers_of)["7"])) == 70
    assert [asked(server, at)["startRecord"] for at in range(2)] == ["1", "51"]


def test_an_answer_that_counts_more_than_it_names_is_put_again_in_halves_and_proves_nothing(server, sru):
    server.says(
        answer(hit("991", "1"), counted=3),  # 1, 2
        answer(counted=3),  # its second page
        answer(hit("991", "1")),  # 1 alone
        answer(hit("992", "2"), counted=2),  # 2 alone
        answer(counted=2),
    )
    found = sru.find(OCLC, ["1", "2"], numbers_of)
    assert ids_of(found["1"]) == ["991"]
    assert isinstance(found["2"], PartlyFound)
    assert [title.mms_id for title in found["2"].rows] == ["992"]
    assert found["2"].counted == 2


def test_one_number_that_the_service_cannot_take_spoils_no_other(server, sru):
    server.says(diagnostic(10), answer(hit("991", "1")), diagnostic(10))
    found = sru.find(OCLC, ["1", 'x" or'], numbers_of)
    assert ids_of(found["1"]) == ["991"]
    unknown = found['x" or']
    assert isinstance(unknown, Unknown)
    assert unknown.error.code == "1/10"
    assert asked(server, 2)["query"] == 'alma.oclc_control_number_035_az="x\\" or"'


@pytest.mark.parametrize(
    ("said", "requests"),
    [
        (diagnostic(16), 1),
        (HTML, 3),
        (as_xml("<explainResponse/>"), 3),
        (as_xml("<searchRetrieveResponse/>"), 3),
        (answer(counted="many"), 3),
        (answer("<record><recordData/></record>"), 3),
        (answer(hit("", "1", identifier=False)), 3),
        (as_xml("<!DOCTYPE x><searchRetrieveResponse/>"), 3),
        (Say(b"", 500), 3),
        (Say(b"", 403), 1),
        (Say(b"", 404), 1),
        (Say(b"", 302, headers={"Location": "/elsewhere"}), 1),
        (Say(drop=True), 3),
    ],
)
def test_what_is_no_answer_is_unknown_for_every_number_and_never_none_found(server, sru, said, requests):
    server.says(said)
    found = sru.find(ISBN, ["1", "2", "3"], numbers_of)
    assert {type(each) for each in found.values()} == {Unknown}
    assert len(server.asked) == requests


def test_a_record_that_cannot_be_read_is_unknown_where_it_may_be_the_answer(server, sru):
    broken = hit("991", "1").replace('tag="035"', 'tag="35"')
    server.says(answer(broken, hit("992", "2")), answer(broken), answer(hit("992", "2")))
    found = sru.find(OCLC, ["1", "2"], numbers_of)
    assert isinstance(found["1"], Unknown)
    assert ids_of(found["2"]) == ["992"]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org/view/sru/X",
        "ftp://example.org/x",
        "https://example.org/view/sru/X?version=1.2",
        "https://a:b@c/x",
    ],
)
def test_an_address_that_is_none_is_refused_in_words(url):
    with pytest.raises(InputProblem, match="sru_url"):
        SruClient(url, limiter=LocalLimiter(1))


def test_titles_of_a_sandbox_are_found_without_a_call_of_the_api():
    settings = alma_sandbox.Settings(titles=60, per_second=0, sru=True)
    with alma_sandbox.serve(settings) as running:
        catalogue = running.sandbox.catalogue
        wanted = {}
        for title in range(60):
            bib = catalogue.bib(ids.mms_id(title))
            assert bib is not None
            for field in bib.record.data("035"):
                number = oclc_number(field.first("a"))
                if number:
                    wanted[number] = bib.mms_id
        with SruClient(f"{running.url}/view/sru/{settings.institution}", limiter=LocalLimiter(1_000)) as sru:
            found = sru.find(OCLC, [*wanted, "999999999999"], numbers_of)
        used = running.sandbox.daily.used
    assert len(wanted) > 25
    assert all(wanted[number] in ids_of(found[number]) for number in wanted)
    assert found["999999999999"] == Found([])
    assert used == 0
