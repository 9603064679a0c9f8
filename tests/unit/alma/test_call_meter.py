"""Every request that a client sends is counted, repeats and redirects too, and every refusal for their number."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from alma_etl.alma.call import Call
from alma_etl.remote.errors import RemoteServerError
from alma_etl.remote.meter import CallCounts, CallMeter
from tests.unit.alma.scripted import Say, as_json, gateway

GENERAL = as_json({"institution": {"value": "01SBX_INST"}})
MOVED = Say(b"", 302, headers={"Location": "/almaws/v1/conf/general"})


def test_repeats_redirects_and_refusals_count(alma, make_client):
    meter = CallMeter()
    alma.says(gateway("PER_SECOND_THRESHOLD", 429), Say(b"", 500), MOVED, GENERAL)
    make_client(meter=meter).call(Call("GET", "/x"), lambda reply: None)
    assert meter.take() == CallCounts(sent=4, refused=1)
    assert not meter.take()


def test_requests_without_an_answer_count(make_client):
    meter = CallMeter()
    client = make_client(meter=meter, base_url="http://127.0.0.1:9", attempts=2)
    with pytest.raises(Exception, match=r"127\.0\.0\.1:9"):
        client.call(Call("GET", "/x"), lambda reply: None)
    assert meter.take() == CallCounts(sent=2)


def test_what_could_not_be_kept_is_taken_again(alma, make_client):
    meter = CallMeter()
    alma.says(Say(b"", 500))
    with pytest.raises(RemoteServerError):
        make_client(meter=meter, attempts=3).call(Call("GET", "/x"), lambda reply: None)
    counts = meter.take()
    meter.sent()
    meter.give_back(counts)
    assert meter.take() == CallCounts(sent=4)


def test_threads_lose_no_count():
    meter = CallMeter()

    def send() -> None:
        for _ in range(500):
            meter.sent()
            meter.answered(429)

    with ThreadPoolExecutor(8) as threads:
        for each in [threads.submit(send) for _ in range(8)]:
            each.result()
    assert meter.take() == CallCounts(4_000, 4_000)
