"""Time, size and hostile content of answers."""

import gzip
import resource
import threading

import pytest

from alma_etl.alma.call import Call
from alma_etl.alma.reply import Reply, UnreadableError
from alma_etl.remote import xml
from alma_etl.remote.answers import Unknown
from alma_etl.remote.errors import RemoteMalformed, RemoteTimeout
from tests.unit.alma.scripted import Say, as_xml

RECORD = "<record><leader>x</leader></record>"
BIB = f"<bibs><bib><mms_id>1</mms_id><title>T</title>{RECORD}</bib></bibs>"


def read(client, **settings):
    return client.bibs.read_many(["1"], availability=False, **settings)


def test_an_answer_that_does_not_come_is_a_timeout(alma, make_client):
    never = threading.Event()
    alma.says(Say(hold=never))
    client = make_client(attempts=1)
    with pytest.raises(RemoteTimeout, match=r"no whole answer within 0\.2 seconds"):
        read(client, timeout=0.2)
    never.set()


def test_an_answer_that_trickles_is_a_timeout_too(alma, make_client):
    """Each byte comes at once, so no socket timeout would ever strike."""
    ticks = iter(range(0, 100_000, 10))
    client = make_client(attempts=1, timeout=60)
    client._exchange._monotonic = lambda: next(ticks)
    alma.says(Say(b"<bibs>", 200, "application/xml", forever=b"<a/>"))
    with pytest.raises(RemoteTimeout):
        read(client)


@pytest.mark.parametrize("attempts", [1, 3])
def test_a_batch_can_have_fewer_attempts_of_its_own(attempts, alma, client):
    alma.says(Say(b"", 500))
    with pytest.raises(Exception, match="HTTP 500"):
        read(client, attempts=attempts)
    assert len(alma.asked) == attempts


def test_an_endless_answer_is_cut_at_the_size_bound(alma, make_client):
    alma.says(Say(b"<bibs>", 200, "application/xml", forever=b"<a/>" * 10_000))
    with pytest.raises(RemoteMalformed, match="larger than 1000000 bytes"):
        read(make_client(attempts=1, max_body=1_000_000))


def test_a_compressed_bomb_is_cut_at_the_size_bound(alma, make_client):
    bomb = gzip.compress(b" " * 30_000_000)
    assert len(bomb) < 50_000
    alma.says(Say(bomb, 200, "application/xml", {"Content-Encoding": "gzip"}))
    with pytest.raises(RemoteMalformed, match="larger than 1000000 bytes"):
        read(make_client(attempts=1, max_body=1_000_000))


def test_compressed_answers_are_read(alma, client):
    alma.says(Say(gzip.compress(BIB.encode()), 200, "application/xml", {"Content-Encoding": "gzip"}))
    assert read(client)["1"].title == "T"
    assert alma.asked[0].headers["Accept-Encoding"] == "gzip"


def test_a_broken_compression_is_malformed(alma, make_client):
    alma.says(
        Say(gzip.compress(BIB.encode() * 50)[:-20], 200, "application/xml", {"Content-Encoding": "gzip"})
    )
    with pytest.raises(RemoteMalformed):
        read(make_client(attempts=1))


@pytest.mark.heavy
def test_a_hundred_megabytes_cost_a_bounded_amount_of_memory(alma, make_client):
    alma.says(Say(b"<bibs>" + b"<bib/>" * 17_000_000, 200, "application/xml"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(RemoteMalformed, match="larger than 50000000 bytes"):
        read(make_client(attempts=1))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 250_000  # kilobytes


BILLION = '<!DOCTYPE a [<!ENTITY a "ha">' + "".join(
    f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
HOSTILE = {
    "billion laughs": f"{BILLION}]><bibs>&i;</bibs>",
    "quadratic": f'<!DOCTYPE a [<!ENTITY a "{"x" * 100_000}">]><bibs>{"&a;" * 10_000}</bibs>',
    "external entity": '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><bibs>&x;</bibs>',
    "external dtd": '<!DOCTYPE bibs SYSTEM "http://127.0.0.1:9/x.dtd"><bibs/>',
    "parameter entity": '<!DOCTYPE a [<!ENTITY % x SYSTEM "http://127.0.0.1:9/x">%x;]><bibs/>',
    "deep": "<bibs>" + "<a>" * 100_000,
    "undeclared entity": "<bibs>&nothing;</bibs>",
}
FORBIDDEN = {"character": "<bib>\x0b</bib>", "reference": "<bib>&#11;</bib>"}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_xml_is_refused(text, alma, make_client):
    alma.says(as_xml(text))
    with pytest.raises(RemoteMalformed):
        read(make_client(attempts=1))


@pytest.mark.parametrize("text", FORBIDDEN.values(), ids=FORBIDDEN)
def test_a_character_that_xml_forbids_is_refused_where_a_record_is_sent_back(text, alma, make_client):
    """Where a bib is only read it is left out; a record to be written must not lose anything unseen."""
    alma.says(as_xml(text))
    answer = make_client(attempts=1).bibs.whole("991")
    assert isinstance(answer, Unknown)
    assert isinstance(answer.error, RemoteMalformed)


def test_an_xinclude_is_not_followed():
    included = (
        '<a xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="/etc/hostname" parse="text"/></a>'
    )
    root = xml.parse_text(included)
    assert [xml.local(each) for each in root] == ["include"]
    assert not "".join(root.itertext())


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_bomb_in_another_charset_is_refused_too(encoding, alma, make_client):
    alma.says(Say(HOSTILE["billion laughs"].encode(encoding), 200, "application/xml"))
    with pytest.raises(RemoteMalformed, match="DTD"):
        read(make_client(attempts=1))


def test_too_many_tags_are_refused_before_a_tree_is_built():
    with pytest.raises(xml.UnreadableXmlError, match="tags"):
        xml.parse(b"<a>" + b"<b/>" * (xml.MAX_TAGS + 1) + b"</a>")


def test_too_many_json_values_are_refused_before_they_are_built():
    with pytest.raises(UnreadableError, match="values"):
        Reply(200, {}, b"[" + b"[]," * 4_000_000 + b"[]]").json()


TITLE = "Übersicht \u2013 Журнал 雑誌"
ONE_BYTE = "Übersicht"


@pytest.mark.parametrize(
    ("encoding", "declared", "header", "title"),
    [
        ("utf-8", 'encoding="UTF-8"', "UTF-8", TITLE),
        ("utf-8", "", "", TITLE),
        ("utf-8", 'encoding="UTF-16"', "UTF-8", TITLE),  # as in the `anies` of JSON
        ("utf-8", 'encoding="ISO-8859-1"', "ISO-8859-1", TITLE),  # both claim it, the bytes prove otherwise
        ("utf-8-sig", 'encoding="UTF-8"', "", TITLE),
        ("utf-16", 'encoding="UTF-16"', "UTF-16", TITLE),
        ("utf-16-le", 'encoding="UTF-16"', "", TITLE),
        ("utf-16-be", 'encoding="UTF-8"', "UTF-8", TITLE),
        ("iso-8859-1", 'encoding="ISO-8859-1"', "", ONE_BYTE),
        ("windows-1252", "", "windows-1252", ONE_BYTE),
        ("iso-8859-1", 'encoding="ISO-8859-1"', "UTF-8", ONE_BYTE),
    ],
)
def test_the_charset_is_what_the_bytes_prove_then_what_is_claimed(
    encoding, declared, header, title, alma, client
):
    body = f'<?xml version="1.0" {declared}?><bibs><bib><mms_id>1</mms_id><title>{title}</title></bib></bibs>'
    kind = "application/xml" + (f'; charset="{header}"' if header else "")
    alma.says(Say(body.encode(encoding), 200, kind))
    assert read(client)["1"].title == title


@pytest.mark.parametrize(
    ("encoding", "declared", "header"),
    [
        ("iso-8859-1", "", ""),
        ("iso-8859-1", 'encoding="UTF-8"', "UTF-8"),
        ("iso-8859-1", 'encoding="x-unheard-of"', "x-unheard-of"),
        ("cp500", 'encoding="cp500"', "cp500"),
    ],
)
def test_a_charset_that_nobody_proves_is_refused_not_guessed(encoding, declared, header, alma, make_client):
    body = f'<?xml version="1.0" {declared}?><bibs><title>{ONE_BYTE}</title></bibs>'
    alma.says(Say(body.encode(encoding), 200, f"application/xml;charset={header}"))
    with pytest.raises(RemoteMalformed):
        read(make_client(attempts=1))


def test_half_a_surrogate_pair_is_malformed_since_it_cannot_be_written_anywhere(alma, make_client):
    alma.says(Say(b'{"id":"1","name":"\\ud83d"}'))
    assert isinstance(make_client(attempts=1).sets.read("1"), Unknown)
    alma.says(Say(b'{"id":"1","name":"\\ud83d\\ude00"}'))
    assert make_client(attempts=1).sets.read("1").value.name == "\U0001f600"


def test_a_write_is_marked_when_its_answer_is_too_large(alma, make_client):
    alma.says(Say(b"<", 200, "application/xml", forever=b"<a/>" * 10_000))
    with pytest.raises(RemoteMalformed) as caught:
        make_client(max_body=10_000).call(Call("POST", "/bibs", body=b"<bib/>"), lambda reply: None)
    assert caught.value.effect_unknown
