"""The X-Server's answers, one by one as it and the servers before it may give them, and what the client sends."""

import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs

import pytest

from alma_etl.aleph.client import AlephAccess, AlephClient, AlephUnclear
from alma_etl.aleph.reply import Meaning, meaning_of, read_reply
from alma_etl.aleph.z30 import (
    FIELDS,
    KEY,
    MAX_BYTES,
    ItemKey,
    comparable,
    differing,
    is_corrected,
    read_record,
    record_xml,
    translated,
)
from alma_etl.remote import xml
from alma_etl.remote.answers import Absent, Found, Unknown
from alma_etl.remote.errors import (
    RemoteConnectionError,
    RemoteForbidden,
    RemoteMalformed,
    RemoteRefused,
    RemoteServerError,
    RemoteStop,
    RemoteThrottled,
    RemoteTransient,
    RemoteUnauthorized,
    RemoteUnreachable,
)
from tests.unit.aleph import seed
from tests.unit.aleph.bench import GrantingLimiter
from tests.unit.alma.scripted import HTML, Say, Scripted, as_xml, serve

PASSWORD = "unlikely-test-word"
ITEM = ItemKey("51077", "10")


def says(
    *texts: str, root: str = "update-item", key: tuple[str, str] = ("51077", "10"), inner: str = ""
) -> Say:
    z30 = f"<z30><z30-doc-number>{key[0]}</z30-doc-number><z30-item-sequence>{key[1]}</z30-item-sequence>{inner}</z30>"
    errors = "".join(f"<error>{text}</error>" for text in texts)
    return as_xml(f"<?xml version='1.0'?><{root}>{z30}{errors}<session-id>S1</session-id></{root}>")


def refuses(*texts: str, root: str = "update-item") -> Say:
    return as_xml(f"<{root}>{''.join(f'<error>{text}</error>' for text in texts)}</{root}>")


@pytest.fixture
def server() -> Iterator[Scripted]:
    with serve() as running:
        yield running


@pytest.fixture
def limiter() -> GrantingLimiter:
    return GrantingLimiter()


@pytest.fixture
def make(server: Scripted, limiter: GrantingLimiter) -> Iterator[Callable[..., AlephClient]]:
    made: list[AlephClient] = []

    def make(**access: Any) -> AlephClient:
        given = {"url": server.url, "library": "USM50", "user": "BATCH", "password": PASSWORD, **access}
        made.append(AlephClient(AlephAccess(**given), limiter=limiter, sleep=lambda _: None))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client(make: Callable[..., AlephClient]) -> AlephClient:
    return make()


def forms(server: Scripted) -> list[dict[str, str]]:
    return [
        {name: value for name, (value,) in parse_qs(asked.body.decode(), keep_blank_values=True).items()}
        for asked in server.asked
    ]


# What is sent


def test_a_partial_record_is_posted_with_its_key_and_no_blanks(server: Scripted, client: AlephClient) -> None:
    server.says(says(seed.SUCCESS))
    client.update_item(ITEM, {"note-opac": "", "call-no": "Heb <1> & ä"})
    (asked,) = server.asked
    assert (asked.method, asked.target) == ("POST", "/X")
    assert forms(server) == [
        {
            "op": "update-item",
            "library": "USM50",
            "xml_full_req": '<?xml version="1.0" encoding="UTF-8"?><update-item><z30>'
            "<z30-doc-number>000051077</z30-doc-number><z30-item-sequence>10</z30-item-sequence>"
            "<z30-note-opac/><z30-call-no>Heb &lt;1&gt; &amp; ä</z30-call-no></z30></update-item>",
            "con_lng": "ENG",
            "translate": "N",
            "user_name": "BATCH",
            "user_password": PASSWORD,
        }
    ]


@pytest.mark.parametrize(
    ("style", "ops"),
    [
        ("update-item", ["update-item", "read-item", "create-item"]),
        ("update_item", ["update_item", "read_item", "create_item"]),
    ],
)
def test_both_spellings_of_op(
    server: Scripted, make: Callable[..., AlephClient], style: str, ops: list[str]
) -> None:
    server.says(
        says(seed.SUCCESS), says(root=style.replace("update", "read")),
        says("Item has been created successfully", root="create-item"),
    )  # fmt: skip
    client = make(op_style=style)
    client.update_item(ITEM, {"note-opac": "x"})
    assert isinstance(client.read_item(ITEM), Found)
    client.create_item({"material": "BOOK"}, adm_doc_number="51077")
    assert [form["op"] for form in forms(server)] == ops
    assert forms(server)[2]["adm_doc_number"] == "000051077"
    assert {(form["con_lng"], form["translate"]) for form in forms(server)} == {("ENG", "N")}


@pytest.mark.parametrize("name", ["item_barcode", "barcode"])
def test_read_item_takes_a_barcode_by_the_parameter_of_the_connection(
    server: Scripted, make: Callable[..., AlephClient], name: str
) -> None:
    server.says(says(root="read-item", inner="<z30-barcode>B51872</z30-barcode>"))
    assert isinstance(make(barcode_parameter=name).read_item_by_barcode("b51872"), Found)
    assert forms(server)[0][name] == "B51872".lower()


def test_without_a_user_aleph_takes_its_default_user(
    server: Scripted, make: Callable[..., AlephClient]
) -> None:
    server.says(says(seed.SUCCESS))
    make(user="", password="").update_item(ITEM, {"note-opac": "x"})
    assert not {"user_name", "user_password", "session_id"} & forms(server)[0].keys()


def test_twenty_thousand_bytes_are_counted_with_the_declaration_and_in_bytes(
    server: Scripted, client: AlephClient
) -> None:
    server.says(says(seed.SUCCESS))
    room = MAX_BYTES - len(record_xml("update-item", ITEM, {"note-opac": "."})) + 1
    client.update_item(ITEM, {"note-opac": "x" * room})
    assert len(forms(server)[0]["xml_full_req"].encode()) == MAX_BYTES
    for too_long in ("x" * (room + 1), "ä" * (room // 2 + 1)):
        with pytest.raises(RemoteRefused, match="nothing was sent") as caught:
            client.update_item(ITEM, {"note-opac": too_long})
        assert caught.value.code == "TOO_LONG"
    assert len(server.asked) == 1


@pytest.mark.parametrize("values", [{"note-opac": "\x01"}, {"no-such-field": "x"}])
def test_what_xml_cannot_hold_or_aleph_does_not_have_is_not_sent(
    server: Scripted, client: AlephClient, values: dict[str, str]
) -> None:
    with pytest.raises(RemoteRefused, match="nothing was sent") as caught:
        client.update_item(ITEM, values)
    assert caught.value.code == "BAD_RECORD"
    assert not server.asked


@pytest.mark.parametrize("library", ["", "USM500", "US 50", "ÜSM50"])
def test_a_library_has_at_most_five_characters(library: str) -> None:
    with pytest.raises(ValueError, match="administrative library"):
        AlephAccess("https://aleph.example.org", library)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("op_style", "updateItem"),
        ("barcode_parameter", "bc"),
        ("url", "aleph.example.org"),
        ("url", "https://"),
    ],
)
def test_other_settings_are_refused(field: str, value: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        AlephAccess(**{"url": "https://aleph.example.org/X", "library": "USM50", field: value})


def test_the_address_may_end_in_x(server: Scripted, make: Callable[..., AlephClient]) -> None:
    server.says(says(seed.SUCCESS))
    make(url=f"{server.url}/X/").update_item(ITEM, {"note-opac": "x"})
    assert server.asked[0].target == "/X"


# Sessions


def test_a_session_is_used_again_and_renewed_once_when_it_is_refused(
    server: Scripted, client: AlephClient
) -> None:
    login = refuses("Session has expired", root="login")
    server.says(says(seed.SUCCESS), login, says(seed.SUCCESS), says(seed.SUCCESS))
    for _ in range(3):
        client.update_item(ITEM, {"note-opac": "x"})
    kinds = ["session" if "session_id" in form else "user" for form in forms(server)]
    assert kinds == ["user", "session", "user", "session"]
    assert not any("user_password" in form for form in forms(server) if "session_id" in form)


@pytest.mark.parametrize("calls_before", [0, 1])
def test_a_user_who_is_refused_stops_the_run(
    server: Scripted, client: AlephClient, calls_before: int
) -> None:
    login = refuses("Error in verification of user name or password", root="login")
    server.says(*[says(seed.SUCCESS)] * calls_before, login)
    for _ in range(calls_before):
        client.update_item(ITEM, {"note-opac": "x"})
    with pytest.raises(RemoteUnauthorized, match="verification of user name") as caught:
        client.update_item(ITEM, {"note-opac": "x"})
    assert not caught.value.effect_unknown
    assert len(server.asked) == 1 + 2 * calls_before
    assert "UPD-ITEM" in str(caught.value)


# The texts


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        (seed.SUCCESS, Meaning.DONE),
        ("ITEM has   been\nupdated SUCCESSFULLY ", Meaning.DONE),
        ("Item has been created successfully", Meaning.DONE),
        (seed.NO_ITEM, Meaning.NOT_FOUND),
        (seed.NO_ADM, Meaning.REFUSED),
        (seed.NO_ADM.replace("’", "'"), Meaning.REFUSED),
        (seed.FAILED, Meaning.AGAIN),
        (seed.NOT_ADM, Meaning.STOP),
        (seed.NO_XML, Meaning.STOP),
        (seed.SHORT_TERM, Meaning.REFUSED),
        (seed.SHORT_TERM.replace("’", "`").upper(), Meaning.REFUSED),
        ("User BATCH is not authorized for WWW-X / UPD-ITEM", Meaning.STOP),
        ("[0101] Price is missing - warning error", Meaning.OTHER),
        ("[0102] Price is missing - mandatory error", Meaning.REFUSED),
        ("Exemplar wurde aktualisiert", Meaning.OTHER),
        ("Please note the new shelf", Meaning.OTHER),
    ],
)
def test_every_message_has_its_meaning(text: str, meaning: Meaning) -> None:
    assert meaning_of(text) is meaning


@pytest.mark.parametrize(
    ("answer", "error", "code"),
    [
        (refuses(seed.NO_ITEM), RemoteRefused, "NOT_FOUND"),
        (refuses(seed.NO_ADM), RemoteRefused, "REFUSED"),
        (refuses(seed.SHORT_TERM), RemoteRefused, "REFUSED"),
        (refuses("Sub-library XXX is not valid", "Price?"), RemoteRefused, "REFUSED"),
        (refuses("Some text of check_z30"), RemoteRefused, "REFUSED"),
        (refuses(seed.FAILED, "Sub-library XXX is not valid"), RemoteRefused, "REFUSED"),
        (refuses(seed.NOT_ADM), RemoteStop, ""),
        (refuses(seed.NO_XML), RemoteStop, ""),
    ],
)
def test_a_reply_without_success_is_sorted_by_its_texts(
    server: Scripted, client: AlephClient, answer: Say, error: type[Exception], code: str
) -> None:
    server.says(answer)
    with pytest.raises(error) as caught:
        client.update_item(ITEM, {"note-opac": "x"})
    assert caught.value.code == code  # type: ignore[attr-defined]
    assert not caught.value.effect_unknown  # type: ignore[attr-defined]
    assert len(server.asked) == 1


def test_failed_to_update_is_tried_again(server: Scripted, client: AlephClient) -> None:
    server.says(refuses(seed.FAILED), refuses(seed.FAILED), says(seed.SUCCESS))
    assert client.update_item(ITEM, {"note-opac": "x"}).texts == (seed.SUCCESS,)
    server.says(refuses(seed.FAILED))
    with pytest.raises(RemoteTransient, match="Failed to update the item") as caught:
        client.update_item(ITEM, {"note-opac": "x"})
    assert not caught.value.effect_unknown
    assert len(server.asked) == 6


@pytest.mark.parametrize("tag", ["error", "< error>", "<error >", "< ERROR>"])
def test_the_tag_as_the_documentation_prints_it(server: Scripted, client: AlephClient, tag: str) -> None:
    body = refuses(seed.NO_ITEM).body.decode()
    if tag.startswith("<") and tag.casefold() == tag:
        body = body.replace("<error>", tag)
    server.says(as_xml(body))
    with pytest.raises(RemoteRefused, match="no item exist"):
        client.update_item(ITEM, {"note-opac": "x"})


def test_an_unknown_text_beside_a_success_is_a_warning(server: Scripted, client: AlephClient) -> None:
    note = "Please note the new shelf"
    server.says(says(note, seed.SUCCESS))
    saved = client.update_item(ITEM, {"note-opac": "x"})
    assert (saved.texts, saved.warnings) == ((seed.SUCCESS, note), (note,))


@pytest.mark.parametrize("texts", [(seed.SHORT_TERM, seed.SUCCESS), (seed.SUCCESS, seed.FAILED), ()])
def test_a_refusal_beside_a_success_and_no_text_at_all_are_not_known_to_be_done(
    server: Scripted, client: AlephClient, texts: tuple[str, ...]
) -> None:
    server.says(says(*texts))
    with pytest.raises(AlephUnclear) as caught:
        client.update_item(ITEM, {"note-opac": "x"})
    assert caught.value.effect_unknown
    assert len(server.asked) == 1
    assert all(text.strip() in caught.value.message for text in texts)
    assert pickle.loads(pickle.dumps(caught.value)).message == caught.value.message


def test_the_documented_pair_is_read_as_it_stands_and_not_known_to_be_done(
    server: Scripted, client: AlephClient
) -> None:
    reply = read_reply(seed.REPLY.encode(), "update-item")
    assert reply.item is not None
    assert (reply.item.key, reply.session, reply.texts) == (
        ItemKey("50706", "10"),
        seed.SESSION,
        (seed.SUCCESS,),
    )
    assert len(reply.item.fields) == 70
    assert reply.item.fields["upd-time-stamp"] == "201811210803505"
    sent = xml.child(xml.parse(seed.REQUEST.encode()), "z30")
    assert sent is not None
    record = read_record(sent)
    server.says(as_xml(seed.REPLY))
    with pytest.raises(AlephUnclear, match="another item, 50706/10") as caught:
        client.update_item(
            record.key, {name: text for name, text in record.fields.items() if name not in KEY}
        )
    assert caught.value.effect_unknown
    assert len(forms(server)[0]["xml_full_req"].encode()) < MAX_BYTES
    assert set(record.fields) <= FIELDS


@pytest.mark.parametrize("key", [("000051077", "00010"), ("51077", "000010"), ("051077", "10")])
def test_padding_of_the_key_does_not_matter(
    server: Scripted, client: AlephClient, key: tuple[str, str]
) -> None:
    server.says(says(seed.SUCCESS, key=key))
    assert client.update_item(ITEM, {"note-opac": "x"}).item is not None


@pytest.mark.parametrize(
    "key", [("", "10"), ("51077", ""), ("12ab", "10"), ("0", "10"), ("1234567890", "1"), ("²", "1")]
)
def test_a_key_is_two_numbers(key: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="is no number"):
        ItemKey(*key)


# Other servers


@pytest.mark.parametrize(
    "answer",
    [
        Say(b"<html><head><title>403 Forbidden</title></head></html>", 403, "text/html"),
        Say(b"<!DOCTYPE HTML><html><head><title>\n403 Forbidden</title></head></html>", 200, "text/html"),
        Say(b"", 403, "text/plain"),
    ],
)
def test_a_refused_address_stops_the_run_with_a_hint(
    server: Scripted, client: AlephClient, answer: Say
) -> None:
    server.says(answer)
    with pytest.raises(RemoteForbidden, match="ask the Aleph administrator to allow the address"):
        client.read_item(ITEM)
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (HTML, RemoteMalformed),
        (Say(b"<html><title>404 Not Found</title></html>", 404, "text/html"), RemoteMalformed),
        (as_xml("<other-root/>"), RemoteMalformed),
        (
            as_xml('<!DOCTYPE x [<!ENTITY a "b">]><update-item><error>&a;</error></update-item>'),
            RemoteMalformed,
        ),
        (Say(b"", 200, "text/xml"), RemoteMalformed),
        (Say(b"", 502, "text/html"), RemoteServerError),
        (Say(drop=True), RemoteConnectionError),
    ],
)
def test_other_answers_are_passing_faults(
    server: Scripted, client: AlephClient, answer: Say, error: type[RemoteTransient]
) -> None:
    server.says(answer, says(root="read-item"))
    assert isinstance(client.read_item(ITEM), Found), "a read is tried again"
    server.asked.clear()
    server.says(answer)
    with pytest.raises(error) as caught:
        client.update_item(ITEM, {"note-opac": "x"})
    assert caught.value.effect_unknown
    assert len(server.asked) == 1, "a write is not"
    assert isinstance(client.read_item(ITEM), Unknown)


def test_a_redirect_stops_the_run(server: Scripted, client: AlephClient) -> None:
    server.says(Say(b"", 302, headers={"Location": f"{server.url}/F"}))
    with pytest.raises(RemoteStop, match="correct its host"):
        client.update_item(ITEM, {"note-opac": "x"})


def test_a_server_that_is_not_there_stops_the_run(make: Callable[..., AlephClient]) -> None:
    with pytest.raises(RemoteUnreachable, match="does not answer"):
        make(url="http://127.0.0.1:9").read_item(ITEM)


def test_each_request_has_a_permit_and_a_refusal_for_the_rate_slows_all(
    server: Scripted, client: AlephClient, limiter: GrantingLimiter
) -> None:
    server.says(Say(b"", 429), says(root="read-item"))
    assert isinstance(client.read_item(ITEM), Found)
    assert (limiter.granted, limiter.slowed) == (2, 1)
    server.says(Say(b"", 429))
    with pytest.raises(RemoteThrottled):
        client.update_item(ITEM, {"note-opac": "x"})


def test_no_more_calls_are_under_way_than_the_connection_allows(
    server: Scripted, client: AlephClient
) -> None:
    server.says(says(root="read-item"))
    assert len(list(client.in_parallel(client.read_item, [ITEM] * 40))) == 40
    assert server.most_at_once <= 4


# Reading


def test_an_item_that_is_not_there_is_absent(server: Scripted, client: AlephClient) -> None:
    server.says(refuses(seed.NO_ITEM, root="read-item"))
    assert isinstance(client.read_item(ITEM), Absent)
    server.says(as_xml("<read-item></read-item>"))
    assert isinstance(client.read_item(ITEM), Unknown)
    server.says(says(root="read-item", key=("7", "10")))
    assert isinstance(client.read_item(ITEM), Unknown)


# Secrets


def test_nothing_of_the_form_is_in_errors_and_logs(
    server: Scripted, client: AlephClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    note, session = "-".join(("private", "note")), "S" + "1"
    echo = refuses(f"bad request {PASSWORD} xml_full_req={note}")
    server.says(
        says(seed.SUCCESS), refuses(f"echo {PASSWORD} {session}"), echo, Say(drop=True), Say(b"", 500), HTML
    )
    client.update_item(ITEM, {"note-opac": note})
    errors = []
    for _ in range(5):
        with pytest.raises((RemoteRefused, RemoteTransient)) as caught:
            client.update_item(ITEM, {"note-opac": note})
        errors.append("".join(traceback.format_exception(caught.value)) + repr(caught.value))
    assert len(set(errors)) == 5
    assert "it is not shown" in errors[1]
    said = "".join([*errors, caplog.text, repr(client), repr(client._access)])
    for secret in (PASSWORD, session, note):
        assert secret not in said


# Values


@pytest.mark.parametrize(
    ("name", "one", "other", "same"),
    [
        ("no-loans", "011", "11", True),
        ("no-loans", "000", "", True),
        ("doc-number-2", "000000015", "15", True),
        ("copy-id", "01", "1", False),
        ("issue-date", "00000000", "", True),
        ("issue-date", "20240102", "20240103", False),
        ("temp-location", "No", "N", True),
        ("temp-location", "YES", "y", True),
        ("temp-location", "Y", "N", False),
        ("note-opac", " a ", "a", True),
        ("note-opac", "a", "A", False),
    ],
)
def test_when_two_values_are_the_same(name: str, one: str, other: str, same: bool) -> None:
    assert (comparable(name, one) == comparable(name, other)) is same
    assert (differing({name: one}, {name: other}) == []) is same


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("sub-library", "Main Library", "no code"),
        ("item-status", "Regular loan", "no code"),
        ("item-status", "At bindery", "no code"),
        ("collection", "General", "no code"),
        ("material", "Book", "no code"),
        ("open-date", "17/10/2001", "translated date"),
        ("arrival-date", "2001-10-17", "is no date"),
        ("hour-last-return", "16:31", "translated time"),
        ("sub-library", "WID", ""),
        ("material", "BOOK", ""),
        ("item-status", "01", ""),
        ("item-process-status", "", ""),
        ("open-date", "20011017", ""),
        ("open-date", "00000000", ""),
        ("open-date", "", ""),
        ("note-opac", "Regular loan", ""),
        ("temp-location", "No", ""),
    ],
)
def test_words_of_a_translated_read_are_known(name: str, text: str, words: str) -> None:
    said = translated(name, text)
    assert words in said
    assert bool(said) is bool(words)


@pytest.mark.parametrize(
    ("sent", "there", "ours"),
    [("123456", "123450", True), ("123456", "1234567", True), ("123456", "993456", False), ("", "1", False)],
)
def test_a_barcode_may_get_another_check_digit(sent: str, there: str, ours: bool) -> None:
    assert is_corrected(sent, there) is ours
