"""Updates of items when answers are lost, workers are killed, runs are cleared, and others write to the same item."""

import threading
from dataclasses import replace

import pytest

from alma_etl.alma.items import Items
from alma_etl.item_updates.alma_target import AlmaItemUpdater
from alma_etl.remote.errors import RemoteStop, RemoteTimeout
from alma_etl.store import locks
from tests.e2e.death import Reaper, WorkerKilled
from tests.unit.item_updates.alma_world import item_row, of_item

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]


def outcomes(ends):
    return [end["outcome"] for end in ends]


def lost(*_):
    raise RemoteTimeout("PUT /x", None, "", "no answer", effect_unknown=True)


def meanwhile(client, monkeypatch, *steps):
    """At its n-th PUT the client does the n-th step with the call that it would make, and then as ever."""
    put, waiting = Items.update, list(steps)

    def update(self, *args):
        step = waiting.pop(0) if waiting and self is client.items else None
        return step(lambda: put(self, *args)) if step else put(self, *args)

    monkeypatch.setattr(Items, "update", update)


@pytest.mark.parametrize("kind", ["drop", "truncated", "malformed", "bad_gateway"])
@pytest.mark.parametrize("applied", [True, False])
def test_a_lost_answer_is_looked_for_and_the_values_of_before_are_kept(world, kind, applied):
    (item,) = world.items(1)
    world.by_hand(item, pages="12")
    world.alma.faults({"kind": kind, "method": "PUT", "first": 1, "applied": applied})
    ends = world.update(of_item(item, pages="13"))
    assert (outcomes(ends), ends[0]["changes"]) == (["updated"], {"pages": ["12", "13"]})
    assert world.calls()["PUT"] == (1 if applied else 2)
    assert world.now(item)["item_data"]["pages"] == "13"


GOOD = {"updated"}
NOT_DONE = {"failed", "refused"}


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        *(({"kind": kind, "method": "GET", "first": 1}, GOOD) for kind in
          ("server_error", "bad_gateway", "maintenance", "drop", "truncated", "malformed", "per_second")),
        *(({"kind": kind, "method": "GET"}, {"failed"}) for kind in ("server_error", "malformed", "xml_error")),
        ({"kind": "per_second", "method": "PUT", "first": 2}, GOOD),
        ({"kind": "xml_error", "method": "PUT", "code": "401652"}, {"refused"}),
        *(({"kind": kind, "method": "PUT"}, NOT_DONE) for kind in ("server_error", "maintenance", "per_second")),
        *(({"kind": kind, "method": "PUT", "applied": True}, GOOD) for kind in ("server_error", "drop", "huge")),
    ],
)  # fmt: skip
def test_whatever_alma_answers_the_outcome_says_what_is_there(world, fault, expected):
    (item,) = world.items(1)
    world.by_hand(item, pages="12")
    run = world.run(of_item(item, pages="13"))
    world.alma.faults(fault)
    (end,) = run.load()
    world.alma.heal()
    assert end["outcome"] in expected, end["message"]
    assert (world.now(item)["item_data"]["pages"] == "13") == (end["outcome"] == "updated")
    assert end["changes"] == ({"pages": ["12", "13"]} if end["outcome"] == "updated" else {})
    (again,) = run.load(client := world.new_client())
    client.close()
    assert (again["outcome"], again["changes"]) == ("updated", {"pages": ["12", "13"]})


def test_what_somebody_else_changed_while_an_answer_was_lost_is_a_conflict(world, monkeypatch):
    (item,) = world.items(1)
    world.by_hand(item, pages="12", public_note="old")

    def by_others(call):
        world.by_hand(item, pages="by others")
        lost()

    meanwhile(world.client, monkeypatch, by_others)
    ends = world.update(of_item(item, pages="13", public_note="new"))
    assert outcomes(ends) == ["conflict"]
    assert "pages was '12' and is 'by others'" in ends[0]["message"]
    now = world.now(item)["item_data"]
    assert (now["pages"], now["public_note"]) == ("by others", "old")


def test_what_somebody_else_changed_in_other_fields_stays(world, monkeypatch):
    (item,) = world.items(1)

    def by_others(call):
        world.by_hand(item, public_note="by others")
        lost()

    meanwhile(world.client, monkeypatch, by_others)
    assert outcomes(world.update(of_item(item, pages="13"))) == ["updated"]
    now = world.now(item)["item_data"]
    assert (now["pages"], now["public_note"]) == ("13", "by others")


def test_a_cleared_run_does_not_overwrite_what_somebody_changed_since_it_first_read_the_item(world):
    one, other = world.items(2)
    for item in (one, other):
        world.by_hand(item, pages="12")
    world.alma.faults({"kind": "refuse", "method": "PUT", "code": "40166404"})
    run = world.run(of_item(one, pages="13"), of_item(other, pages="13"))
    assert outcomes(run.load()) == ["refused", "refused"]
    world.alma.heal()
    world.by_hand(one, pages="by others")
    for _ in range(2):
        assert outcomes(run.load()) == ["conflict", "updated"]
    assert world.now(one)["item_data"]["pages"] == "by others"
    assert outcomes(world.update(of_item(one, pages="13"))) == [
        "updated"
    ]  # dropped again: a new first reading


def test_an_update_of_which_nobody_knows_is_unconfirmed_until_a_retry_looks(world, monkeypatch):
    (item,) = world.items(1)
    world.by_hand(item, pages="12")

    def and_alma_falls_silent(call):
        call()
        world.alma.faults({"kind": "bad_gateway", "method": "GET"})
        lost()

    meanwhile(world.client, monkeypatch, and_alma_falls_silent)
    run = world.run(of_item(item, pages="13"))
    assert outcomes(run.load()) == ["unconfirmed"]
    world.alma.heal()
    world.alma.forget()
    (end,) = run.load()
    assert (end["outcome"], end["changes"]) == ("updated", {"pages": ["12", "13"]})
    assert world.calls()["PUT"] == 0


def test_a_stop_ends_the_chunk_and_a_retry_does_the_rest(world):
    items = world.items(4)
    world.alma.faults({"kind": "daily", "method": "PUT", "nth": 3})
    run = world.run(*(of_item(item, pages="13") for item in items))
    with pytest.raises(RemoteStop):
        run.load()
    world.alma.heal()
    client = world.new_client()
    assert outcomes(run.load(client)) == ["updated"] * 4
    client.close()


def test_a_row_for_the_same_item_comes_after_the_one_before_it(world):
    (item,) = world.items(1)
    world.by_hand(item, pages="1")
    ends = world.update(of_item(item, pages="2"), of_item(item, pages="3"), of_item(item, pages="3"))
    assert [(end["outcome"], end["changes"]["pages"]) for end in ends] == [
        ("updated", ["1", "2"]), ("updated", ["2", "3"]), ("unchanged", ["3", "3"]),
    ]  # fmt: skip


def test_a_worker_killed_at_any_moment_leaves_what_the_next_one_needs(world, monkeypatch):
    """Each row is updated exactly once, and its values of before are known, wherever the kill came."""
    one, other = world.items(2)
    for item in (one, other):
        world.by_hand(item, pages="0", barcode=f"K-{item['item_data']['pid']}")
    reaper, kill_at, value, killed = Reaper(monkeypatch), 0, 0, True
    while killed:
        kill_at, killed, value = kill_at + 1, False, value + 3
        before = str(value - 3) if value > 3 else "0"
        rows = [
            of_item(one, pages=str(value)),
            item_row({"pages": str(value)}, barcode=f"K-{other['item_data']['pid']}"),
            of_item(one, pages=str(value + 1)),
            of_item(one, pages=str(value)),
        ]
        run = world.run(*rows)
        reaper.fresh_process(kill_at)
        try:
            run.load()
        except WorkerKilled:
            killed = True
        reaper.fresh_process()
        ends = run.load()
        assert [(end["outcome"], end["changes"]["pages"]) for end in ends] == [
            ("updated", [before, str(value)]),
            ("updated", [before, str(value)]),
            ("updated", [str(value), str(value + 1)]),
            ("updated", [str(value + 1), str(value)]),
        ], f"killed at {kill_at}"
        assert [world.now(item)["item_data"]["pages"] for item in (one, other)] == [str(value)] * 2
    assert kill_at > 15  # it was killed at each of its actions


def test_what_a_worker_taken_for_dead_writes_meanwhile_is_updated_with_the_values_of_before(
    world, monkeypatch
):
    (item,) = world.items(1)
    world.by_hand(item, pages="12")
    run, client = world.run(of_item(item, pages="13")), world.new_client()
    begin, zombies = AlmaItemUpdater.begin, [client]

    def begin_late(self, rows):
        begin(self, rows)
        if self._client is world.client and zombies:
            assert self.first_read.of(1) is None  # nothing yet: it has not come that far
            with pytest.raises(WorkerKilled):
                run.load(zombies.pop())

    def and_killed(call):
        call()
        raise WorkerKilled("after the PUT")

    monkeypatch.setattr(AlmaItemUpdater, "begin", begin_late)
    meanwhile(client, monkeypatch, and_killed)
    (end,) = run.load()
    client.close()
    assert (end["outcome"], end["changes"], world.calls()["PUT"]) == ("updated", {"pages": ["12", "13"]}, 1)


def test_two_runs_at_one_item_are_one_after_the_other(world, monkeypatch):
    (item,) = world.items(1)
    mine, theirs = world.run(of_item(item, pages="13")), world.run(of_item(item, public_note="new"))
    waits, client = threading.Event(), world.new_client()
    others = threading.Thread(target=theirs.load, args=(client,))

    class Polled(locks.Locks):
        """Says when somebody has to wait."""

        def _try(self, name):
            session = super()._try(name)
            if session is None and name.startswith("item "):
                waits.set()
            return session

    monkeypatch.setattr(locks, "Locks", Polled)

    def while_the_other_waits(call):
        others.start()
        assert waits.wait(60)
        return call()

    meanwhile(world.client, monkeypatch, while_the_other_waits)
    mine.load()
    others.join(60)
    client.close()
    now = world.now(item)["item_data"]
    assert (now["pages"], now["public_note"]) == ("13", "new")
    assert outcomes(mine.ends() + theirs.ends()) == ["updated", "updated"]


def test_a_lock_that_is_lost_before_the_put_lets_nothing_be_written(world, monkeypatch):
    (item,) = world.items(1)
    check = locks.Lock.check
    gone = []

    def lost_once(self):
        if not gone:
            gone.append(self)
            raise locks.LockLost("the lock was lost")
        check(self)

    monkeypatch.setattr(locks.Lock, "check", lost_once)
    run = world.run(of_item(item, pages="13"))
    assert (outcomes(run.load()), world.calls()["PUT"]) == (["failed"], 0)
    assert outcomes(run.load()) == ["updated"]


def test_an_item_that_went_to_another_barcode_meanwhile_is_still_the_same_item(world, monkeypatch):
    (item,) = world.items(1)
    barcode = item["item_data"]["barcode"]

    def and_killed(call):
        call()
        raise WorkerKilled("after the PUT")

    meanwhile(world.client, monkeypatch, and_killed)
    run = world.run(item_row({"barcode": "B-NEW"}, barcode=barcode))
    with pytest.raises(WorkerKilled):
        run.load()
    (end,) = run.load()
    assert (end["outcome"], end["changes"]) == ("updated", {"barcode": [barcode, "B-NEW"]})
    assert end["item_pid"] == item["item_data"]["pid"]
    assert replace(world.client.items.by_barcode("B-NEW").value, raw={}).pid == item["item_data"]["pid"]
