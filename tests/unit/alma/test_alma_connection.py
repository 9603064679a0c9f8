"""Where the key goes, and how connections are made and kept."""

import json
import socket
import threading

import pytest

from alma_etl.alma.call import Call
from alma_etl.remote.answers import Unknown
from alma_etl.remote.errors import RemoteMalformed
from tests.unit.alma.scripted import KEY, Say, as_json, refusal

GENERAL = as_json({"institution": {"value": "01SBX_INST", "desc": "Sandbox"}, "environment_type": "SANDBOX"})


def test_a_redirect_within_alma_is_followed_as_a_second_call_with_the_key(alma, client, limiter):
    alma.says(Say(b"", 302, headers={"Location": f"{alma.url}/almaws/v1/conf/general?view=full"}), GENERAL)
    client.call(Call("GET", "/items", {"item_barcode": "1"}), lambda reply: None)
    assert limiter.granted == 2
    assert [asked.target for asked in alma.asked] == [
        "/almaws/v1/items?item_barcode=1",
        "/almaws/v1/conf/general?view=full",
    ]
    assert {asked.headers["Authorization"] for asked in alma.asked} == {f"apikey {KEY}"}


def test_the_key_goes_to_no_other_host(alma, client):
    with socket.create_server(("127.0.0.1", 0)) as other:
        alma.says(
            Say(b"", 302, headers={"Location": f"http://127.0.0.1:{other.getsockname()[1]}/almaws/v1/x"})
        )
        with pytest.raises(RemoteMalformed, match="another host"):
            client.conf.general()
        other.settimeout(0)
        with pytest.raises(BlockingIOError):
            other.accept()


def test_the_key_is_in_the_header_and_nowhere_else(alma, client, caplog):
    caplog.set_level("DEBUG")
    echo = refusal("123", f"bad key {KEY}")
    alma.says(Say(b"", 500), echo)
    found = client.sets.read("1")
    assert isinstance(found, Unknown)
    shown = [
        str(found.error),
        repr(found.error),
        repr(found.error.args),
        repr(client),
        repr(vars(client)),
        caplog.text,
    ]
    assert all(KEY not in text for text in shown)
    assert all(KEY not in asked.target for asked in alma.asked)
    assert {asked.headers["Authorization"] for asked in alma.asked} == {f"apikey {KEY}"}


@pytest.mark.parametrize("key", ["", "  ", "two words", "line\nbreak", "kläue"])
def test_a_key_that_cannot_be_sent_is_refused_without_naming_it(key, make_client):
    with pytest.raises(ValueError, match="API key") as caught:
        make_client(api_key=key)
    assert not key.strip() or key not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["", "api-na.hosted.exlibrisgroup.com", "ftp://x", "https://u:p@x", "https://x?apikey=1"]
)
def test_a_base_url_that_cannot_work_is_refused(url, make_client):
    with pytest.raises(ValueError, match="gateway's URL"):
        make_client(base_url=url)


@pytest.mark.parametrize("end", ["", "/", "/almaws/v1", "/almaws/v1/"])
def test_the_base_url_may_end_as_people_write_it(end, alma, make_client):
    alma.says(GENERAL)
    make_client(base_url=alma.url + end).conf.general()
    assert alma.asked[-1].target == "/almaws/v1/conf/general"


def test_no_more_than_the_allowed_number_is_in_flight(alma, make_client):
    release = threading.Event()
    answer = Say(GENERAL.body, hold=release)
    alma.says(answer)
    client = make_client(max_in_flight=3)
    results = client.in_parallel(lambda n: client.conf.general().institution, range(12))
    consumer = threading.Thread(target=lambda: collected.extend(results))
    collected: list[tuple[int, str]] = []
    consumer.start()
    while len(alma.asked) < 3:
        consumer.join(0.01)
    release.set()
    consumer.join()
    assert sorted(collected) == [(n, "01SBX_INST") for n in range(12)]
    assert alma.most_at_once == 3


def test_neither_cookies_nor_a_netrc_get_into_the_way_of_the_key(alma, client, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    alma.says(as_json(json.loads(GENERAL.body), Set_Cookie="sticky=1; Path=/"), GENERAL)
    client.conf.general()
    client.conf.general()
    assert [asked.headers["Authorization"] for asked in alma.asked] == [f"apikey {KEY}"] * 2
    assert all("Cookie" not in asked.headers for asked in alma.asked)


def test_connections_are_kept_and_used_again(alma, make_client):
    alma.says(GENERAL)
    client = make_client(max_in_flight=4)
    assert len(list(client.in_parallel(lambda _: client.conf.general(), range(40)))) == 40
    assert alma.connections <= 4
