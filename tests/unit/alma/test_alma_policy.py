"""What the client does about each kind of answer."""

import json
import pickle
import socket
from datetime import UTC, datetime, timedelta

import pytest

from alma_etl.alma.call import Call
from alma_etl.alma.errors import AlmaDailyThreshold, AlmaQuotaFloor
from alma_etl.remote.answers import Absent, Found, Unknown
from alma_etl.remote.errors import (
    BudgetUnknown,
    RemoteConnectionError,
    RemoteError,
    RemoteForbidden,
    RemoteMalformed,
    RemoteNoConnectionError,
    RemoteReadOnly,
    RemoteRefused,
    RemoteServerError,
    RemoteThrottled,
    RemoteTimeout,
    RemoteUnauthorized,
    RemoteUnreachable,
)
from alma_etl.remote.limiter import LimiterUnavailable
from alma_etl.store.limiter_sql import SqlLimiter
from alma_etl.store.upgrade import upgrade
from tests.unit.alma.scripted import HTML, Say, as_json, as_xml, gateway, refusal

GENERAL = as_json({"institution": {"value": "01SBX_INST", "desc": "Sandbox"}, "environment_type": "SANDBOX"})
READ = Call("GET", "/conf/general")
WRITE = Call("POST", "/conf/sets", body=b"{}")


def nothing(reply: object) -> None:
    return None


ENDLESS = Say(b"", 302, headers={"Location": "/almaws/v1/conf/general"})
TRANSIENT = {
    "500": (as_json({}, 500), RemoteServerError),
    "502 html": (Say(HTML.body, 502, "text/html"), RemoteServerError),
    "503 text": (Say(b"busy", 503, "text/plain"), RemoteServerError),
    "200 html": (HTML, RemoteMalformed),
    "200 text": (Say(b"hello", 200, "text/plain"), RemoteMalformed),
    "200 half json": (Say(b'{"institution":', 200), RemoteMalformed),
    "200 not utf-8": (Say(b'{"institution":"\xff\xfe"}', 200), RemoteMalformed),
    "200 cut off": (Say(b'{"institution":{}}', 200, cut=5), RemoteMalformed),
    "200 empty": (Say(b"", 200), RemoteMalformed),
    "200 array": (Say(b"[]", 200), RemoteMalformed),
    "200 other shape": (as_json({"library": []}), RemoteMalformed),
    "200 deep": (Say(b"[" * 100_000, 200), RemoteMalformed),
    "404 html": (Say(HTML.body, 404, "text/html"), RemoteMalformed),
    "400 no code": (as_json({"errorsExist": True}, 400), RemoteMalformed),
    "304": (Say(b"", 304), RemoteMalformed),
    "no answer": (Say(drop=True), RemoteConnectionError),
    "redirect elsewhere": (
        Say(b"", 302, headers={"Location": "http://127.0.0.1:9/almaws/v1/x"}),
        RemoteMalformed,
    ),
    "redirect to nowhere": (Say(b"", 302), RemoteMalformed),
    "redirect without end": (ENDLESS, RemoteMalformed),
}


@pytest.mark.parametrize(("bad", "kind"), TRANSIENT.values(), ids=TRANSIENT)
def test_a_reading_call_is_repeated_until_it_is_answered(bad, kind, alma, client, pauses):
    sends = 4 if bad is ENDLESS else 1  # three hops are followed
    alma.says(*[bad] * 2 * sends, GENERAL)
    assert client.conf.general().institution == "01SBX_INST"
    assert len(pauses) == 2


@pytest.mark.parametrize(("bad", "kind"), TRANSIENT.values(), ids=TRANSIENT)
def test_a_reading_call_gives_up_with_the_kind_of_the_last_answer(
    bad, kind, alma, make_client, limiter, pauses
):
    alma.says(GENERAL)
    client = make_client(attempts=3)
    client.conf.general()
    alma.says(bad)
    with pytest.raises(kind) as caught:
        client.conf.general()
    assert len(pauses) == 2
    assert limiter.granted == client.calls_made == len(alma.asked)
    assert "GET /conf/general" in str(caught.value)
    assert not caught.value.effect_unknown


@pytest.mark.parametrize(("bad", "kind"), TRANSIENT.values(), ids=TRANSIENT)
def test_a_writing_call_is_never_repeated_after_a_lost_answer(bad, kind, alma, client):
    alma.says(bad)
    with pytest.raises(kind) as caught:
        client.call(WRITE, lambda reply: reply.json()["institution"])
    assert caught.value.effect_unknown
    assert len(alma.asked) == 1


def test_a_repeatable_write_is_repeated(alma, client):
    alma.says(Say(b"", 500), Say(b"", 204))
    client.call(Call("DELETE", "/users/u1/requests/1", repeatable=True), nothing)
    assert [asked.method for asked in alma.asked] == ["DELETE", "DELETE"]


@pytest.mark.parametrize("call", [READ, WRITE], ids=["read", "write"])
@pytest.mark.parametrize("bad", [gateway("PER_SECOND_THRESHOLD", 429), Say(b"", 429, "text/plain")])
def test_a_per_second_refusal_slows_everybody_and_is_repeated_for_any_call(bad, call, alma, client, limiter):
    alma.says(bad, bad, bad, bad, bad, bad, bad, GENERAL)  # more often than other faults are borne
    client.call(call, nothing)
    assert limiter.slowed == 7
    assert limiter.granted == 8


def test_endless_per_second_refusals_end(alma, make_client, limiter):
    alma.says(gateway("PER_SECOND_THRESHOLD", 429))
    with pytest.raises(RemoteThrottled) as caught:
        make_client(attempts=2).call(WRITE, nothing)
    assert len(alma.asked) == 8
    assert not caught.value.effect_unknown


@pytest.mark.parametrize(
    ("now", "until"),
    [
        (datetime(2026, 11, 3, 14, 30, tzinfo=UTC), datetime(2026, 11, 4, tzinfo=UTC)),
        (datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)),
        (datetime(2026, 11, 4, 0, 3, tzinfo=UTC), datetime(2026, 11, 4, 0, 13, tzinfo=UTC)),
    ],
)
def test_the_daily_threshold_closes_the_budget_for_all_until_midnight(now, until, alma, make_client, limiter):
    client = make_client(now=lambda: now)
    alma.says(gateway("DAILY_THRESHOLD", 429))
    for _ in range(2):  # the second does not even reach Alma
        with pytest.raises(AlmaDailyThreshold) as caught:
            client.conf.general()
        assert caught.value.resume_at == until
        assert f"{until:%Y-%m-%d %H:%M} UTC" in str(caught.value)
    assert len(alma.asked) == 1
    assert limiter.closed.until == until


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (gateway("UNAUTHORIZED", 400), RemoteUnauthorized),
        (Say(HTML.body, 401, "text/html"), RemoteUnauthorized),
        (gateway("INVALID_REQUEST", 403), RemoteForbidden),
        (gateway("FORBIDDEN", 403), RemoteForbidden),
        (Say(b"Forbidden", 403, "text/plain"), RemoteForbidden),
    ],
)
def test_a_key_that_may_not_ends_the_run_at_the_first_call(answer, kind, alma, client):
    alma.says(answer)
    with pytest.raises(kind):
        client.sets.read("1")
    assert len(alma.asked) == 1


ERROR = {"errorCode": "402203", "errorMessage": "mmsId not valid", "trackingId": "E01-1"}
XML_ERROR = (
    '<?xml version="1.0" encoding="UTF-8"?><web_service_result xmlns="http://com/exlibris/urm/general/xmlbeans">'
    "<errorsExist>true</errorsExist><errorList><error><errorCode>402203</errorCode>"
    "<errorMessage>mmsId not valid</errorMessage><trackingId>E01-1</trackingId></error></errorList>"
    "</web_service_result>"
)
ENVELOPES = {
    "json list": refusal("402203", "mmsId not valid"),
    "json object": as_json({"errorsExist": True, "errorList": {"error": ERROR}}, 400),
    "old wrapper": as_json(
        {
            "web_service_result": {
                "errorsExist": "true",
                "errorList": {"error": [{**ERROR, "errorCode": 402203}]},
            }
        },
        400,
    ),
    "with 200": refusal("402203", "mmsId not valid", status=200),
    "xml to a json call": as_xml(XML_ERROR, 400),
    "wrong content type": Say(refusal("402203", "mmsId not valid").body, 400, "text/plain"),
    "tracking id in a header": as_json(
        {"errorList": {"error": [{**ERROR, "trackingId": None}]}}, 400, X_Request_ID="E01-1"
    ),
}


@pytest.mark.parametrize("answer", ENVELOPES.values(), ids=ENVELOPES)
def test_the_error_envelope_is_read_in_all_its_forms(answer, alma, client):
    alma.says(answer)
    found = client.holdings.list("990001")
    assert isinstance(found, Absent)
    assert isinstance(found.error, RemoteRefused)
    assert (found.error.code, found.error.message, found.error.tracking_id) == (
        "402203",
        "mmsId not valid",
        "E01-1",
    )
    assert str(found.error) == (
        f"GET /bibs/990001/holdings: mmsId not valid [HTTP {answer.status}, 402203, tracking id E01-1]"
    )


def test_three_answers(alma, client):
    alma.says(refusal("402203"))
    assert isinstance(client.holdings.list("1"), Absent)
    alma.says(refusal("401652"))
    general = client.holdings.list("1")
    assert isinstance(general, Unknown)
    assert general.error.code == "401652"
    alma.says(HTML)
    assert isinstance(client.holdings.list("1"), Unknown)
    alma.says(as_json({"total_record_count": 0}))
    assert client.holdings.list("1") == Found([])
    alma.says(gateway("UNAUTHORIZED", 400))
    with pytest.raises(RemoteUnauthorized):
        client.holdings.list("1")


def test_reading_and_writing_stop_at_their_floors(alma, make_client, limiter):
    client = make_client(quota_floor=50, quota_floor_writes=10)
    assert client.calls_left is None
    alma.says(as_json(json.loads(GENERAL.body), X_Exl_Api_Remaining="50"))
    client.conf.general()
    assert client.calls_left == 50
    assert limiter.remaining == [50]
    with pytest.raises(AlmaQuotaFloor, match="50 calls left"):
        client.conf.general()
    alma.says(as_json({}, X_Exl_Api_Remaining="10"))
    client.call(WRITE, nothing)
    with pytest.raises(AlmaQuotaFloor):
        client.call(WRITE, nothing)
    assert len(alma.asked) == 2


def test_a_client_that_starts_below_the_shared_floor_sends_nothing(alma, make_client, tmp_path):
    upgrade(store := f"sqlite:///{tmp_path / 'store.db'}")

    def started():
        return make_client(
            limiter=SqlLimiter(store, "alma_default", 1000), quota_floor=5000, quota_floor_writes=1000
        )

    alma.says(as_json(json.loads(GENERAL.body), X_Exl_Api_Remaining="4982"))
    started().conf.general()
    with pytest.raises(AlmaQuotaFloor, match="4982 calls left for today and 5000 are kept"):
        started().conf.general()
    assert len(alma.asked) == 1
    alma.says(as_json({}, X_Exl_Api_Remaining="1000"))
    started().call(WRITE, nothing)  # goes on to its own floor
    for client in (started(), started()):
        with pytest.raises(AlmaQuotaFloor, match="1000 calls left"):
            client.call(WRITE, nothing)
    assert len(alma.asked) == 2


def test_what_a_client_heard_itself_counts_where_it_is_the_smaller(alma, make_client, limiter):
    client = make_client(quota_floor=50)
    alma.says(as_json(json.loads(GENERAL.body), X_Exl_Api_Remaining="49"))
    client.conf.general()  # the limiter of this test shares nothing
    with pytest.raises(AlmaQuotaFloor, match="49 calls left"):
        client.conf.general()
    assert limiter.granted == 1


def test_yesterdays_remaining_calls_do_not_stop_today(alma, make_client):
    clock = [datetime(2026, 11, 3, 23, 59, tzinfo=UTC)]
    client = make_client(now=lambda: clock[0])
    alma.says(as_json(json.loads(GENERAL.body), X_Exl_Api_Remaining="3"))
    client.conf.general()
    clock[0] += timedelta(minutes=2)
    client.conf.general()
    assert client.calls_left == 3


def test_errors_count_down_the_remaining_calls_too(alma, client):
    alma.says(Say(refusal("60107").body, 400, headers={"X-Exl-Api-Remaining": "77777"}))
    client.sets.read("1")
    assert client.calls_left == 77777


def test_a_read_only_connection_refuses_to_write_before_sending(alma, make_client, limiter):
    with pytest.raises(RemoteReadOnly, match=r"POST /conf/sets.*read-only"):
        make_client(read_only=True).call(WRITE, nothing)
    assert not alma.asked
    assert limiter.granted == 0


def test_a_limiter_without_its_store_ends_the_run(alma, make_client, limiter, monkeypatch):
    def broken(floor):
        raise LimiterUnavailable("the store does not answer")

    monkeypatch.setattr(limiter, "acquire", broken)
    with pytest.raises(BudgetUnknown, match="the store does not answer"):
        make_client().conf.general()
    assert not alma.asked


def test_errors_survive_pickling():
    daily = AlmaDailyThreshold(
        "GET /x", 429, "DAILY_THRESHOLD", "m", "t", False, datetime(2026, 1, 1, tzinfo=UTC)
    )
    for error in (daily, RemoteTimeout("POST /x", None, "", "m", "", True)):
        copy = pickle.loads(pickle.dumps(error))
        assert type(copy) is type(error)
        assert vars(copy) == vars(error)
        assert str(copy) == str(error)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_the_first_call_that_cannot_connect_ends_the_run_with_one_sentence(make_client):
    client = make_client(base_url=f"http://127.0.0.1:{free_port()}", attempts=2)
    with pytest.raises(RemoteUnreachable, match=r"Connection refused.*check the host") as caught:
        client.conf.general()
    assert "Max retries" not in str(caught.value)


def test_a_call_that_was_to_be_tried_once_does_not_speak_for_the_whole_run(make_client):
    client = make_client(base_url=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(RemoteNoConnectionError):
        client.bibs.read_many(["991"], availability=False, attempts=1)


def test_pauses_double_with_jitter_up_to_a_bound(alma, make_client, pauses):
    alma.says(Say(b"", 500))
    with pytest.raises(RemoteServerError):
        make_client(attempts=9, backoff=0.5).conf.general()
    ceilings = [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert len(pauses) == len(ceilings)
    assert all(ceiling / 2 <= pause <= ceiling for pause, ceiling in zip(pauses, ceilings, strict=True))
    assert len(set(pauses)) > 1


def test_a_write_that_could_not_connect_had_no_effect(make_client):
    client = make_client(base_url=f"http://127.0.0.1:{free_port()}", attempts=2)
    with pytest.raises(RemoteUnreachable) as caught:
        client.call(WRITE, nothing)
    assert not caught.value.effect_unknown


def test_many_calls_without_an_answer_end_the_run_and_one_answer_mends_it(alma, make_client):
    client = make_client(attempts=2)
    alma.says(GENERAL)
    client.conf.general()
    alma.says(Say(drop=True))
    kinds = []
    for _ in range(20):
        with pytest.raises(RemoteError) as caught:
            client.conf.general()
        kinds.append(type(caught.value))
    assert kinds == [RemoteConnectionError] * 19 + [RemoteUnreachable]
    sent = client.calls_made
    with pytest.raises(RemoteUnreachable):
        client.conf.general()
    assert client.calls_made == sent + 1  # one try is enough now
    with pytest.raises(RemoteConnectionError) as lost:
        client.call(WRITE, nothing)
    assert lost.value.effect_unknown  # somebody has to look, whatever the state of the line
    alma.says(GENERAL)
    client.conf.general()
    alma.says(Say(drop=True))
    with pytest.raises(RemoteConnectionError):
        client.conf.general()
