"""Services that are no Alma: the key's way, tokens, what is repeated, and how failures are reported."""

import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest

from alma_etl.errors import InputProblem
from alma_etl.remote import xml
from alma_etl.remote.errors import RemoteMalformed, RemoteRefused, RemoteTransient, RemoteUnauthorized
from alma_etl.remote.meter import CallCounts, CallMeter
from alma_etl.remote.service import FORM, HttpAccess, HttpService
from tests.unit.alma.scripted import HTML, KEY, Say, Scripted, as_json, as_xml, serve

PERSON = "Ada Lovelace"


@pytest.fixture
def server() -> Iterator[Scripted]:
    with serve() as running:
        yield running


def service(server: Scripted, **access: object) -> HttpService:
    return HttpService(HttpAccess(server.url, **access), sleep=lambda _: None)  # type: ignore[arg-type]


def test_the_key_goes_into_the_header_and_nowhere_else(server: Scripted) -> None:
    server.says(as_json({"status": "OPEN"}))
    access = HttpAccess(f"{server.url}/dcbService/", api_key=KEY)
    with HttpService(access) as opened:
        assert opened.get("/transactions/1/status", {"a": "b c"}) == {"status": "OPEN"}
    (asked,) = server.asked
    assert asked.target == "/dcbService/transactions/1/status?a=b+c"
    assert asked.headers["Authorization"] == KEY
    assert KEY not in repr(access)
    assert KEY not in repr(opened._auth)


def test_a_token_is_fetched_once_and_again_when_it_is_refused(server: Scripted) -> None:
    token = as_json({"access_token": "t-1", "expires_in": 300})
    server.says(
        token,
        as_json({"n": 1}),
        as_json({"n": 2}),
        as_json({}, 401),
        as_json({"access_token": "t-2"}),
        as_json({}),
    )
    with service(server, client_id="me", client_secret=KEY, token_url=f"{server.url}/token") as opened:
        assert [opened.get("/x")["n"], opened.get("/x")["n"]] == [1, 2]
        opened.send("POST", "/y", {"a": 1})
    assert [asked.target for asked in server.asked] == ["/token", "/x", "/x", "/y", "/token", "/y"]
    assert server.asked[0].body == f"grant_type=client_credentials&client_id=me&client_secret={KEY}".encode()
    assert "Authorization" not in server.asked[0].headers
    assert [server.asked[n].headers["Authorization"] for n in (1, 5)] == ["Bearer t-1", "Bearer t-2"]


def test_a_client_that_gets_no_token_is_told(server: Scripted) -> None:
    server.says(as_json({"error": "invalid_client"}, 401))
    with (
        service(server, client_id="me", client_secret=KEY, token_url=f"{server.url}/token") as opened,
        pytest.raises(RemoteUnauthorized, match="no token") as caught,
    ):
        opened.get("/x")
    assert KEY not in str(caught.value)


def test_what_only_reads_is_repeated(server: Scripted) -> None:
    server.says(as_json({}, 503), Say(drop=True), as_json({"ok": True}))
    with service(server) as opened:
        assert opened.get("/x") == {"ok": True}


@pytest.mark.parametrize(
    ("answer", "unknown"), [(as_json({}, 503), True), (Say(drop=True), True), (as_json({}, 429), False)]
)
def test_a_write_is_sent_once(server: Scripted, answer: Say, unknown: bool) -> None:
    server.says(answer)
    with service(server) as opened, pytest.raises(RemoteTransient) as caught:
        opened.send("PUT", "/x", {"a": 1})
    assert len(server.asked) == 1
    assert caught.value.effect_unknown is unknown


def test_nothing_was_sent_without_a_connection() -> None:
    with serve() as gone:
        pass
    with service(gone) as opened, pytest.raises(RemoteTransient) as caught:
        opened.send("PUT", "/x", {"a": 1})
    assert caught.value.effect_unknown is False


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, RemoteRefused), (404, RemoteRefused), (401, RemoteUnauthorized), (403, RemoteUnauthorized)],
)
def test_a_refusal_tells_its_code_and_never_its_text(
    server: Scripted, status: int, kind: type[Exception]
) -> None:
    answer = {"errors": [{"code": "VALIDATION_ERROR", "message": f"unable to find {PERSON}"}]}
    server.says(as_json(answer, status))
    with service(server) as opened, pytest.raises(kind) as caught:
        opened.get("/x")
    assert len(server.asked) == 1
    assert (caught.value.status, caught.value.code) == (status, "VALIDATION_ERROR")  # type: ignore[attr-defined]
    assert PERSON not in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b'{"errors": []}', b'{"errors": [1]}', b'{"code": "' + PERSON.encode() + b'"}'],
)
def test_an_odd_error_is_an_error_all_the_same(server: Scripted, body: bytes) -> None:
    server.says(Say(body, 422))
    with service(server) as opened, pytest.raises(RemoteRefused) as caught:
        opened.get("/x")
    assert caught.value.code == ""


def test_a_redirect_is_not_followed(server: Scripted) -> None:
    server.says(as_json({}, 302, Location=f"{server.url}/elsewhere"))
    with service(server, api_key=KEY) as opened, pytest.raises(RemoteRefused, match="redirect"):
        opened.get("/x")
    assert [asked.target for asked in server.asked] == ["/x"]


def test_something_else_than_json_is_no_answer(server: Scripted) -> None:
    server.says(HTML)
    with service(server) as opened, pytest.raises(RemoteTransient, match="without JSON"):
        opened.get("/x")


def test_a_post_that_only_reads_is_repeated_and_its_form_is_never_shown(server: Scripted) -> None:
    """As an X-Server wants it: the login and password in the form, XML back."""
    server.says(as_json({}, 503), Say(b"no xml"), as_xml("<find><set>1</set></find>"))
    form = urlencode({"op": "find", "user_password": KEY}).encode()
    with service(server) as opened:
        found = opened.call(
            "POST", "/X", xml.parse, writes=False, content=form, content_type=FORM, accept="application/xml"
        )
        server.says(Say(b"no xml"))
        with pytest.raises(RemoteMalformed, match="without XML") as caught:
            opened.call(
                "POST",
                "/X",
                xml.parse,
                writes=True,
                content=form,
                content_type=FORM,
                accept="application/xml",
            )
    assert found[0].text == "1"
    assert [(asked.target, asked.body, asked.headers["Content-Type"]) for asked in server.asked] == [
        ("/X", form, "application/x-www-form-urlencoded")
    ] * 4
    assert caught.value.effect_unknown
    assert KEY not in "".join(traceback.format_exception(caught.value))


def test_what_is_sent_is_counted(server: Scripted) -> None:
    meter = CallMeter()
    server.says(as_json({}, 429), as_json({}))
    with HttpService(HttpAccess(server.url), sleep=lambda _: None, meter=meter) as opened:
        opened.get("/x")
    assert meter.take() == CallCounts(sent=2, refused=1)


def test_a_write_without_a_token_was_not_sent(server: Scripted) -> None:
    server.says(Say(drop=True))
    access = {"client_id": "me", "client_secret": KEY, "token_url": f"{server.url}/token"}
    with service(server, **access) as opened, pytest.raises(RemoteTransient) as caught:
        opened.send("POST", "/x", {"a": 1})
    assert not caught.value.effect_unknown


def test_an_endless_answer_is_cut_off(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alma_etl.remote.service._MAX_BODY", 100_000)
    server.says(Say(b"", forever=b"x" * 10_000))
    with service(server) as opened, pytest.raises(RemoteTransient, match="larger than 100000 bytes"):
        opened.send("POST", "/x")


@pytest.mark.parametrize("url", ["ftp://x", "x.example.org", "https://"])
def test_a_url_that_cannot_work(url: str) -> None:
    with pytest.raises(InputProblem, match="https://"):
        HttpService(HttpAccess(url))


def test_a_token_url_without_a_client() -> None:
    with pytest.raises(InputProblem, match="id and secret"):
        HttpService(HttpAccess("https://x.example.org", token_url="https://x.example.org/token"))


def test_times_have_a_zone() -> None:
    from alma_etl.dcb.mod_dcb import _iso

    assert _iso(datetime(2026, 3, 2, 8, 0, 1, tzinfo=UTC)) == "2026-03-02T08:00:01.000Z"
