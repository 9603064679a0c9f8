"""One holding for a title and place, whatever Alma's lists do not name yet, whoever works on it and whoever dies."""

import json
import re
import threading
from collections import Counter

import pytest
import requests
from sqlalchemy import create_engine, text

from alma_etl.inventory import chunk_holdings as resolving
from alma_etl.inventory.codes import alma_of
from alma_etl.inventory.loaded_items import HoldingPlace, KnownHolding, KnownItem, SqlLoadedItems
from alma_etl.store.db import parse_url
from alma_etl.store.upgrade import upgrade
from tests.e2e.death import Reaper, WorkerKilled
from tests.unit.items.conftest import Load, Loader

pytestmark = pytest.mark.heavy

LAG = 30


@pytest.fixture
def lagging(alma):
    """An Alma whose lists name a new holding only after half a minute; its clock stands still."""
    control(alma, "settings", {"list_lag_s": LAG})
    control(alma, "clock", {"stopped": True})
    return alma


def control(alma, path, body):
    requests.post(f"{alma.url}/sandbox/{path}", json=body, timeout=30).raise_for_status()


def let_time_pass(alma):
    """Pauses of a client that move the clock of the sandbox."""
    return lambda seconds: control(alma, "clock", {"advance_s": seconds}) if seconds else None


def holdings(alma):
    return alma.made()[1]


def stacks(mms_id):
    return {(mms_id, "MAIN", "stacks"): 1}


def test_a_second_file_right_after_the_first_goes_into_the_same_holding(loader, lagging):
    title = lagging.add_title()
    first = loader.load(f"{title}|A1\r\n", "first.txt")
    loader.fresh_client()
    second = loader.load(f"{title}|A2\r\n", "second.txt")
    assert holdings(lagging) == stacks(title)
    (one,), (two,) = first.rows(), second.rows()
    assert (one["outcome"], two["outcome"]) == ("created", "created")
    assert one["holding_id"] == two["holding_id"]
    made = re.compile(r"[1-9]\d* holdings? (was|were) made")
    assert made.search(first.page())
    assert not made.search(second.page())
    control(lagging, "clock", {"advance_s": LAG})
    third = loader.load(f"{title}|A3\r\n", "third.txt")
    assert third.rows()[0]["holding_id"] == one["holding_id"]
    assert holdings(lagging) == stacks(title)


def test_a_profile_that_makes_none_finds_what_another_load_made_just_now(loader, lagging):
    title = lagging.add_title()
    loader.load(f"{title}|A1\r\n", "first.txt")
    second = loader.load(f"{title}|A2\r\n", "second.txt", profile="existing")
    assert [row["outcome"] for row in second.rows()] == ["created"]


def test_other_places_of_the_title_have_holdings_of_their_own(loader, lagging):
    title = lagging.add_title()
    for name in ("a", "b"):
        loader.load(f"{title}|S{name}\r\n", f"{name}1.txt")
        loader.load(
            f"mms_id|barcode|library|location\r\n{title}|M{name}|SCI|stacks\r\n".replace("|", ","),
            f"{name}2.csv",
        )
    assert holdings(lagging) == {(title, "MAIN", "stacks"): 1, (title, "SCI", "stacks"): 1}


def test_a_remembered_holding_that_is_gone_or_moved_is_made_again(loader, lagging):
    title = lagging.add_title()
    gone = loader.load(f"{title}|A1\r\n", "first.txt").rows()[0]
    path = f"{lagging.url}/almaws/v1/bibs/{title}/holdings/{gone['holding_id']}"
    key = {"Authorization": "apikey sandbox"}
    requests.delete(f"{path}/items/{gone['item_pid']}", headers=key, timeout=30).raise_for_status()
    requests.delete(path, headers=key, timeout=30).raise_for_status()
    again = loader.load(f"{title}|A2\r\n", "second.txt").rows()[0]
    assert again["outcome"] == "created"
    assert again["holding_id"] != gone["holding_id"]
    assert holdings(lagging) == stacks(title)
    # And one that staff moved to another place.
    path = f"{lagging.url}/almaws/v1/bibs/{title}/holdings/{again['holding_id']}"
    record = requests.get(path, headers=key, timeout=30).text
    moved = record.replace('<subfield code="b">MAIN<', '<subfield code="b">SCI<')
    assert moved != record
    headers = {**key, "Content-Type": "application/xml"}
    requests.put(path, moved.encode(), headers=headers, timeout=30).raise_for_status()
    loader.load(f"{title}|A3\r\n", "third.txt")
    assert holdings(lagging) == {(title, "MAIN", "stacks"): 1, (title, "SCI", "stacks"): 1}


@pytest.mark.parametrize("record", ["", "<record><leader>x</leader><controlfield/></record>"])
def test_a_remembered_holding_whose_record_cannot_be_read_is_not_taken_for_gone(loader, lagging, record):
    title = lagging.add_title()
    held = loader.load(f"{title}|A1\r\n", "first.txt").rows()[0]["holding_id"]
    text = f"<holding><holding_id>{held}</holding_id>{record}</holding>"
    lagging.faults(
        {"kind": "body", "path": f"/holdings/{held}$", "text": text, "content_type": "application/xml"}
    )
    load = Load(loader, loader.drop(f"{title}|A2\r\n", "second.txt"))
    assert load.whole().ends() == [(1, "failed")]
    assert holdings(lagging) == stacks(title)
    lagging.heal()
    again = load.whole()
    assert again.ends() == [(1, "created")]
    assert again.rows()[0]["holding_id"] == held


@pytest.mark.heavy
def test_two_tasks_at_once_make_one_holding(loader, lagging):
    title = lagging.add_title()
    loads = []
    for number in range(4):
        worker = Loader(loader.bucket, lagging, loader.store)
        loads.append(
            Load(worker, loader.drop(f"{title}|T{number}\r\n", f"file{number}.txt"), run_id=f"task-{number}")
        )
    ready = threading.Barrier(len(loads))
    ends = []

    def work(load):
        load.read()
        load.check()
        ready.wait(30)
        load.resolve()
        load.create()
        ends.append(load.finish().rows()[0])

    threads = [threading.Thread(target=work, args=(load,)) for load in loads]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    for load in loads:
        load.loader.close()
    assert [row["outcome"] for row in ends] == ["created"] * 4
    assert len({row["holding_id"] for row in ends}) == 1
    assert holdings(lagging) == stacks(title)


@pytest.mark.heavy
@pytest.mark.timeout(300)  # a run for every moment at which one can be killed
@pytest.mark.parametrize("who_comes", ["the retry", "another file"])
def test_a_worker_killed_anywhere_around_the_post_leaves_one_holding(loader, lagging, monkeypatch, who_comes):
    reaper = Reaper(monkeypatch)
    for kill_at in range(1, 100):
        reaper.fresh_process()
        control(lagging, "clock", {"advance_s": 60})
        title = lagging.add_title()
        loader.fresh_client(sleep=let_time_pass(lagging))
        load = Load(
            loader, loader.drop(f"{title}|K{kill_at}\r\n", f"killed{kill_at}.txt"), run_id=f"killed-{kill_at}"
        )
        load.read()
        load.check()
        reaper.fresh_process(kill_at)
        try:
            load.resolve()
        except WorkerKilled:
            died = True
        else:
            died = False
        reaper.fresh_process()
        other = None
        if who_comes == "another file":
            other = loader.load(f"{title}|O{kill_at}\r\n", f"other{kill_at}.txt").rows()[0]
        load.resolve()
        load.create()
        row = load.finish().rows()[0]
        assert row["outcome"] == "created", f"killed at action {kill_at}"
        assert holdings(lagging)[title, "MAIN", "stacks"] == 1, f"killed at action {kill_at}"
        assert other is None or other["holding_id"] == row["holding_id"]
        if not died:
            assert kill_at > 5
            return
    raise AssertionError("the step never came to its end")


@pytest.mark.heavy
@pytest.mark.parametrize("moment", ["before the post", "after the answer was lost"])
def test_who_lost_the_title_with_the_database_session_posts_nothing_and_a_retry_settles_it(
    bucket, lagging, postgres, monkeypatch, moment
):
    store = postgres()
    upgrade(store)
    loader = Loader(bucket, lagging, store)
    bucket.put("config/item_profiles.yaml", b"profiles: {gifts: {library: MAIN, location: stacks}}")
    title = lagging.add_title()
    load = Load(loader, loader.drop(f"{title}|L1\r\n"), run_id="lost")
    load.read()
    load.check()
    if moment == "before the post":
        look = resolving.look_by_barcode

        def look_and_lose(client, row):
            end_sessions_with_locks(store)
            return look(client, row)

        monkeypatch.setattr(resolving, "look_by_barcode", look_and_lose)
    else:
        requests.post(
            f"{lagging.url}/sandbox/faults",
            json={"kind": "bad_gateway", "method": "POST", "path": "/holdings$", "times": 1},
            timeout=30,
        ).raise_for_status()
        loader.fresh_client(sleep=lambda _: end_sessions_with_locks(store))
    before = posts(lagging)
    load.resolve()
    assert posts(lagging) == before + (moment != "before the post")
    load.create()
    (row,) = load.finish().rows()
    words = "was lost with the connection to the state store"
    assert words in row["message"]
    assert row["outcome"] == ("failed" if moment == "before the post" else "unconfirmed")
    monkeypatch.undo()
    loader.fresh_client(sleep=let_time_pass(lagging))
    again = loader.load(f"{title}|L1\r\n", "again.txt").rows()[0]
    assert again["outcome"] == "created"
    assert holdings(lagging) == stacks(title)
    loader.close()


def posts(alma):
    entries = requests.get(f"{alma.url}/sandbox/log", timeout=30).json()["entries"]
    return sum(each["method"] == "POST" and each["path"].endswith("/holdings") for each in entries)


def end_sessions_with_locks(url):
    engine = create_engine(parse_url(url))
    with engine.begin() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory' "
                "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
        )
    engine.dispose()


# --- the memory


PLACE = HoldingPlace("991", "MAIN", "stacks")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.heavy)])
def store(request, tmp_path):
    url = f"sqlite:///{tmp_path}/memory.db"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres")()
    upgrade(url)
    return url


def test_each_alma_and_place_has_holdings_of_its_own_and_the_latest_counts(store):
    here, there = SqlLoadedItems(store, "gateway 01A"), SqlLoadedItems(store, "gateway 01B")
    assert here.find_holding(PLACE) is None
    sent, made = KnownHolding("", "run-1 x"), KnownHolding("221", "run-1 x")
    here.keep_holding(PLACE, sent)
    assert here.find_holding(PLACE) == sent
    here.keep_holding(PLACE, made)
    assert here.find_holding(PLACE) == made
    assert there.find_holding(PLACE) is None
    for other in (HoldingPlace("992", "MAIN", "stacks"), HoldingPlace("991", "SCI", "stacks")):
        assert here.find_holding(other) is None
    here.forget_holding(PLACE, sent)  # what came since stays
    assert here.find_holding(PLACE) == made
    here.forget_holding(PLACE, made)
    assert here.find_holding(PLACE) is None
    here.close()
    there.close()


def test_items_that_a_version_before_kept_by_the_connection_are_found(store):
    before = SqlLoadedItems(store, "alma_default")
    before.remember([KnownItem("B1", "991", "221", "231"), KnownItem("B2", "991", "221", "232")], "run-1")
    now = SqlLoadedItems(store, "gateway 01A", formerly="alma_default")
    now.remember([KnownItem("B2", "991", "229", "239")], "run-2")
    found = now.find(["B1", "B2", "B3"])
    assert Counter(each.item_pid for each in found.values()) == {"231": 1, "239": 1}
    elsewhere = SqlLoadedItems(store, "gateway 01B")
    assert elsewhere.find(["B1", "B2"]) == {}
    for memory in (before, now, elsewhere):
        memory.close()


def test_what_loads_remember_belongs_to_gateway_institution_and_environment(loader, alma):
    load = Load(loader, loader.drop("991|B1\r\n"), run_id="whose")
    load.read()
    load.check()
    gateway = alma.url.removeprefix("http://")
    assert alma_of(loader.client, load.folder) == f"{gateway} 01ZZ_INST SANDBOX"
    calls = loader.client.calls_made
    alma_of(loader.client, load.folder)
    assert loader.client.calls_made == calls  # noted when the codes were checked
    # Runs of the versions before, which did not note the environment, nor the institution.
    key = load.folder.key("codes.json")
    noted = json.loads(loader.bucket.get(key))
    for name, alma_then in (("alma", "01ZZ_INST"), ("institution", "01ZZ_INST SANDBOX")):
        del noted[name]
        loader.bucket.put(key, json.dumps(noted).encode())
        assert alma_of(loader.client, load.folder) == f"{gateway} {alma_then}"


def test_titles_that_a_sandbox_knows_are_asked_for_again_in_its_production(loader, alma):
    title = alma.add_title()
    load = Load(loader, loader.drop(f"{title}|B1\r\n"), run_id="moved")
    load.read()
    assert load.check()["titles"] == 0
    alma.delete(f"/bibs/{title}?override=true")
    text = '{"institution": {"value": "01ZZ_INST"}, "environment_type": "PRODUCTION"}'
    answer = {"kind": "body", "path": "/conf/general", "text": text}
    alma.faults({**answer, "content_type": "application/json", "status": 200})
    assert load.check()["titles"] == 1
