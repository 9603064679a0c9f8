"""A load that stops midway, for whatever reason: what its report says is what Alma holds, and a retry looks first."""

from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError

from alma_etl.alma.errors import AlmaDailyThreshold, AlmaQuotaFloor
from alma_etl.inventory.chunk_holdings import resolved
from alma_etl.inventory.loaded_items import SqlLoadedItems
from alma_etl.remote.errors import (
    BudgetUnknown,
    RemoteForbidden,
    RemoteReadOnly,
    RemoteUnauthorized,
    RemoteUnreachable,
)
from alma_etl.store.bucket import Bucket
from alma_etl.store.db import StoreUnavailable
from tests.e2e.death import Reaper, WorkerKilled
from tests.unit.items.conftest import Load
from tests.unit.items.test_item_clears import profile

pytestmark = pytest.mark.heavy

STOPS = (
    RemoteUnauthorized, RemoteForbidden, AlmaDailyThreshold, AlmaQuotaFloor, RemoteReadOnly, RemoteUnreachable,
    BudgetUnknown,
)  # fmt: skip
FAILED = {"create_items_0": "failed"}


def lines(*pairs):
    return "".join(f"{mms_id}|{barcode}\r\n" for mms_id, barcode in pairs)


def begun(loader, pairs, *, steps=("read", "check", "resolve")):
    load = Load(loader, loader.drop(lines(*pairs)))
    for step in steps:
        getattr(load, step)()
    return load


def a_look_stops(loader, monkeypatch, kind, *, after=0):
    """The client ends at a look at a barcode, as when the day's calls are used up."""
    looks = []
    real = loader.client.items.by_barcode

    def stopping(barcode):
        looks.append(barcode)
        if len(looks) > after:
            raise kind("GET /items", None, "", "no call was made: it is over for today")
        return real(barcode)

    monkeypatch.setattr(loader.client.items, "by_barcode", stopping)
    return looks


def posts_of(alma):
    return [call for call in alma.writes() if call["path"].endswith("/items")]


def truth(load, alma):
    """No row whose item is in Alma is reported as failed, and none is reported as there that is not."""
    loaded = load.finish(FAILED)
    there = alma.made()[0].keys()
    for row in loaded.rows():
        if row["barcode"] in there:
            assert row["outcome"] in ("created", "unconfirmed"), row
        else:
            assert row["outcome"] in ("failed", "unconfirmed"), row
            assert row["outcome"] == "unconfirmed" or row["message"].startswith("not tried: "), row
    return loaded


@pytest.mark.parametrize("kind", STOPS, ids=lambda kind: kind.__name__)
def test_a_row_whose_answer_was_lost_is_unconfirmed_when_the_look_meets_a_stop(
    loader, alma, kind, monkeypatch
):
    titles = alma.titles()[:12]
    load = begun(loader, [(mms_id, f"B{n}") for n, mms_id in enumerate(titles)])
    alma.faults({"kind": "drop", "method": "POST", "path": "/items$", "nth": 5})
    lost = a_look_stops(loader, monkeypatch, kind)
    load.create()
    assert truth(load, alma).counts() == {"created": 11, "unconfirmed": 1}
    with pytest.raises(kind):
        load.create()  # the retry looks first, and meets the same
    loaded = truth(load, alma)
    (unconfirmed,) = [row for row in loaded.rows() if row["outcome"] == "unconfirmed"]
    assert unconfirmed["barcode"] == lost[0]
    assert unconfirmed["barcode"] in alma.made()[0]
    monkeypatch.undo()
    alma.heal()
    alma.forget()
    loader.fresh_client()
    load.create()
    assert load.finish().counts() == {"created": 12}
    assert len(posts_of(alma)) == loaded.counts()["failed"]
    assert load.state == "success"


def test_a_row_whose_answer_was_lost_is_unconfirmed_when_all_calls_are_used_up(loader, alma):
    """The look meets the daily threshold, which closes the budget for the rows beside it as well."""
    titles = alma.titles()[:40]
    load = begun(loader, [(mms_id, f"B{n}") for n, mms_id in enumerate(titles)])
    loader.fresh_client(max_in_flight=2)
    alma.faults(
        {"kind": "drop", "method": "POST", "path": "/items$", "nth": 5},
        {"kind": "daily", "method": "GET", "path": "/items\\?"},
    )
    with pytest.raises(AlmaDailyThreshold):
        load.create()
    loaded = truth(load, alma)
    counts = loaded.counts()
    assert counts["unconfirmed"] == 1
    assert counts["failed"] > 20
    alma.heal()
    alma.forget()
    loader.fresh_client()
    load.create()
    assert load.finish().counts() == {"created": 40}
    assert len(posts_of(alma)) == counts["failed"]


def test_a_row_sent_twice_of_which_nothing_is_known_is_unconfirmed_when_the_second_post_meets_a_stop(
    loader, alma, monkeypatch
):
    """The first POST may still be at work when a look does not find it, and the second is not sent any more."""
    (mms_id,) = alma.titles()[:1]
    load = begun(loader, [(mms_id, "B0")])
    alma.faults(
        {"kind": "server_error", "method": "POST", "path": "/items$", "nth": 1},
        {"kind": "daily", "method": "POST", "path": "/items$", "nth": 2},
    )
    with pytest.raises(AlmaDailyThreshold):
        load.create()
    assert load.finish(FAILED).ends() == [(1, "unconfirmed")]
    alma.heal()
    loader.fresh_client()
    load.create()
    assert load.finish().ends() == [(1, "created")]


def test_rows_that_were_not_tried_say_so_and_why(loader, alma):
    titles = alma.titles()[:40]
    load = begun(loader, [(mms_id, f"B{n}") for n, mms_id in enumerate(titles)])
    alma.faults({"kind": "daily", "method": "POST", "path": "/items$", "nth": list(range(4, 99))})
    with pytest.raises(AlmaDailyThreshold):
        load.create()
    loaded = truth(load, alma)
    assert set(loaded.counts()) == {"created", "failed"}
    assert len(alma.made()[0]) == loaded.counts()["created"] >= 3
    message = next(row["message"] for row in loaded.rows() if row["outcome"] == "failed")
    assert message.startswith("not tried: ")
    assert "used up" in message
    assert len(loaded.rejects().splitlines()) == loaded.counts()["failed"]
    assert load.state == "failed"
    assert len(loaded.keys("items/done/")) == 1


def test_a_stop_before_the_first_row_files_under_failed(loader, alma):
    load = begun(loader, [(alma.titles()[0], "B0")])
    alma.faults({"kind": "daily", "method": "POST", "path": "/items$"})
    with pytest.raises(AlmaDailyThreshold):
        load.create()
    loaded = truth(load, alma)
    assert loaded.ends() == [(1, "failed")]
    assert len(loaded.keys("items/failed/")) == 1
    assert loaded.keys("items/done/") == []


@pytest.mark.parametrize("step", ["check", "resolve"])
def test_rows_of_a_run_that_stopped_before_anything_was_sent_were_not_tried(loader, alma, step):
    load = begun(loader, [(alma.add_title(), "B0")], steps=())
    load.read()
    alma.faults({"kind": "daily"})
    if step == "resolve":
        alma.heal()
        load.check()
        alma.faults({"kind": "daily"})
    with pytest.raises(AlmaDailyThreshold):
        getattr(load, step)()
    assert truth(load, alma).message(1).startswith("not tried: ")


def test_what_an_earlier_attempt_may_have_sent_stays_on_record_when_the_next_one_stops_at_its_look(
    loader, alma, monkeypatch
):
    reaper = Reaper(monkeypatch)
    alma.set_clock(datetime.now(UTC).isoformat())
    load = begun(loader, [(alma.titles()[0], "B0")])
    reaper.fresh_process(3)  # the problem of before, the record of what is sent, the POST
    with pytest.raises(WorkerKilled):
        load.create()
    reaper.fresh_process()
    assert alma.made()[0].keys() == {"B0"}
    assert truth(load, alma).ends() == [(1, "unconfirmed")]
    with monkeypatch.context() as patched:
        a_look_stops(loader, patched, AlmaDailyThreshold)
        with pytest.raises(AlmaDailyThreshold):
            load.create()
    assert truth(load, alma).ends() == [(1, "unconfirmed")]
    load.create()
    assert load.finish().ends() == [(1, "created")]
    assert len(posts_of(alma)) == 1


def test_a_row_that_failed_and_is_sent_again_by_a_worker_that_dies_is_unconfirmed(loader, alma, monkeypatch):
    reaper = Reaper(monkeypatch)
    load = begun(loader, [(alma.titles()[0], "B0")])
    alma.faults({"kind": "refuse", "method": "POST", "path": "/items$", "times": 1})
    load.create()
    assert load.finish().ends() == [(1, "failed")]
    reaper.fresh_process(3)
    with pytest.raises(WorkerKilled):
        load.create()
    reaper.fresh_process()
    assert alma.made()[0].keys() == {"B0"}
    assert truth(load, alma).ends() == [(1, "unconfirmed")]
    load.create()
    assert load.finish().ends() == [(1, "created")]


def test_the_report_is_true_wherever_a_worker_died(loader, alma, monkeypatch):
    reaper = Reaper(monkeypatch)
    for kill_at in range(1, 99):
        for info in (*loader.bucket.list("runs/"), *loader.bucket.list("items/")):
            loader.bucket.delete([info.key])
        alma.reset()
        pairs = [(mms_id, f"K{kill_at}-{n}") for n, mms_id in enumerate(alma.titles()[:7])]
        load = begun(loader, pairs)
        reaper.fresh_process(kill_at)
        try:
            load.create()
        except WorkerKilled:
            reaper.fresh_process()
            truth(load, alma)
            load.create()
            assert load.finish().counts() == {"created": 7}
        else:
            reaper.fresh_process()
            assert kill_at > 4
            return
    raise AssertionError("the step never came to its end")


def test_the_report_is_true_wherever_the_bucket_failed(loader, alma, monkeypatch):
    """Rows whose answer came while the bucket took no writes are not reported as failed."""
    for broken_from in range(1, 99):
        for info in (*loader.bucket.list("runs/"), *loader.bucket.list("items/")):
            loader.bucket.delete([info.key])
        alma.reset()
        pairs = [(mms_id, f"S{broken_from}-{n}") for n, mms_id in enumerate(alma.titles()[:12])]
        load = begun(loader, pairs)
        writes = []

        def put(bucket, *args, _real=Bucket.put, _from=broken_from, _writes=writes):
            _writes.append(args)
            if len(_writes) >= _from:
                raise ClientError({"Error": {"Code": "SlowDown"}}, "PutObject")
            return _real(bucket, *args)

        with monkeypatch.context() as patched:
            patched.setattr(Bucket, "put", put)
            try:
                load.create()
            except ClientError:
                pass
            else:
                assert broken_from > 2
                return
        truth(load, alma)
        load.create()
        assert load.finish().counts() == {"created": 12}
    raise AssertionError("the step never came to its end")


def test_a_store_that_fails_after_the_rows_were_sent_spoils_no_end(loader, alma, monkeypatch):
    load = begun(loader, [(alma.titles()[0], "B0")])

    def unavailable(*_):
        raise StoreUnavailable("the state store does not answer")

    with monkeypatch.context() as patched:
        patched.setattr(SqlLoadedItems, "remember", unavailable)
        with pytest.raises(StoreUnavailable):
            load.create()
    assert load.finish(FAILED).ends() == [(1, "created")]
    load.create()
    assert load.finish().ends() == [(1, "created")]
    assert len(posts_of(alma)) == 1


# --- holdings


@pytest.mark.parametrize("kind", STOPS, ids=lambda kind: kind.__name__)
def test_a_holding_whose_answer_was_lost_is_told_as_unconfirmed_and_found_later(
    loader, alma, kind, monkeypatch
):
    gift = alma.add_title()
    load = begun(loader, [(gift, "B0")], steps=("read", "check"))
    alma.faults({"kind": "drop", "method": "POST", "path": "/holdings$"})
    lists = []
    real = loader.client.holdings.list

    def stopping(mms_id):
        lists.append(mms_id)
        if len(lists) > 1:
            raise kind("GET /holdings", None, "", "it is over for today")
        return real(mms_id)

    with monkeypatch.context() as patched:
        patched.setattr(loader.client.holdings, "list", stopping)
        load.resolve()
    assert load.finish(FAILED).ends() == [(1, "unconfirmed")]
    alma.heal()
    load.resolve()
    load.create()
    loaded = load.finish()
    assert loaded.ends() == [(1, "created")]
    assert alma.made()[1] == {(gift, "MAIN", "stacks"): 1}
    assert "1 holding was made" in loaded.page()


def test_a_holding_that_a_worker_may_have_made_when_it_died_is_told_as_unconfirmed(loader, alma, monkeypatch):
    reaper = Reaper(monkeypatch)
    gift = alma.add_title()
    load = begun(loader, [(gift, "B0")], steps=("read", "check"))
    for kill_at in range(1, 99):
        reaper.fresh_process(kill_at)
        try:
            load.resolve()
        except WorkerKilled:
            reaper.fresh_process()
            made = alma.made()[1]
            (row,) = load.finish({"resolve_holdings_0": "failed"}).rows()
            if made:
                assert row["outcome"] in ("failed", "unconfirmed")
                break
            assert row["outcome"] in ("failed", "unconfirmed")
        else:
            break
    reaper.fresh_process()
    load.resolve()
    load.create()
    assert load.finish().ends() == [(1, "created")]
    assert alma.made()[1] == {(gift, "MAIN", "stacks"): 1}


def test_a_holding_that_a_stop_kept_from_being_sent_leaves_no_mark(loader, alma):
    gift = alma.add_title()
    load = begun(loader, [(gift, "B0")], steps=("read", "check"))
    alma.faults({"kind": "daily", "method": "POST", "path": "/holdings$"})
    with pytest.raises(AlmaDailyThreshold):
        load.resolve()
    loaded = load.finish({"resolve_holdings_0": "failed"})
    assert loaded.ends() == [(1, "failed")]
    assert loaded.message(1).startswith("not tried: ")
    alma.heal()
    held = alma.add_holding(gift, "MAIN", "stacks")
    loader.fresh_client()
    load.resolve()
    load.create()
    again = load.finish()
    assert again.rows()[0]["holding_id"] == held
    assert (
        "made" not in again.page().split("created in 1 holding")[1].split("</p>")[0]
    )  # somebody else made it


def test_a_row_that_a_worker_taken_for_dead_sends_after_the_look_is_told_as_created(
    loader, alma, monkeypatch
):
    """Its POST arrives between its successor's look and POST, and then its worker is killed: the run made the item."""
    reaper = Reaper(monkeypatch)
    alma.set_clock(datetime.now(UTC).isoformat())
    (title,) = alma.titles()[:1]
    load = begun(loader, [(title, "B0")])
    reaper.fresh_process(2)  # the problem of before, the record of what is sent
    with pytest.raises(WorkerKilled):
        load.create()
    reaper.fresh_process()
    assert alma.made()[0] == {}
    holding_id = next(iter(resolved(load.folder, 1)[0].values()))["holding_id"]
    look, looks = loader.client.items.by_barcode, []

    def by_barcode(barcode):
        answer = look(barcode)
        if not looks:
            alma.add_item(title, holding_id, barcode)
        looks.append(barcode)
        return answer

    monkeypatch.setattr(loader.client.items, "by_barcode", by_barcode)
    load.create()
    assert load.finish().ends() == [(1, "created")]
    assert len(looks) == 2


@pytest.mark.parametrize("arrived", [True, False])
@pytest.mark.parametrize("change", [{"location": None}, {"barcode_pattern": "[0-9]+"}], ids=str)
def test_a_row_that_may_have_been_sent_is_looked_for_although_the_profile_refuses_it_now(
    loader, alma, monkeypatch, change, arrived
):
    reaper = Reaper(monkeypatch)
    alma.set_clock(datetime.now(UTC).isoformat())
    loader.fresh_client(max_in_flight=1)
    profile(loader)
    one, two = alma.titles()[:2]
    load = begun(loader, [(one, "B0"), (two, "B1")])
    reaper.fresh_process(3 if arrived else 2)  # the problem of before, the record of what is sent, the POST
    with pytest.raises(WorkerKilled):
        load.create()
    reaper.fresh_process()
    assert len(alma.made()[0]) == arrived
    profile(loader, **change)
    loaded = load.whole()
    assert loaded.ends() == [(1, "created" if arrived else "invalid_row"), (2, "invalid_row")]
    assert len(loaded.rejects().splitlines()) == (1 if arrived else 2)
    assert len(alma.made()[0]) == arrived
    again = load.whole()
    assert again.rows() == loaded.rows()
    profile(loader)
    loader.fresh_client()
    assert load.whole().counts() == {"created": 2}
    assert load.state == "success"
