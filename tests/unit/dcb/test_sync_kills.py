"""A tick killed after every single thing that it does to the world, and begun again: nothing is missing or doubled.

Each step is played from the same beginning (store, bucket and both sandboxes are put back), with a kill after its n-th
store transaction, file or HTTP call, whose effect stays and whose answer is lost, for every n.
"""

import io
import pickle
import shutil
import threading
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from alma_etl.dcb.explain import explain
from alma_etl.dcb.flows.tick.folder import rows_of
from alma_etl.dcb.machine.vocabulary import Role
from alma_etl.dcb.store import DcbStore
from alma_etl.remote.exchange import Exchange
from tests.unit.dcb.records import dump
from tests.unit.dcb.sync_world import MemoryBucket, SyncWorld

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(400)]  # a kill at every action

STEPS = ("select", "poll", "apply", "act", "publish", "report")


class Killed(BaseException):
    """The end of the process: no `except Exception` holds it up."""


class Reaper:
    """Lets the process die after its n-th action; every action after that fails, as nothing happens after death."""

    def __init__(self, monkeypatch):
        self._lock = threading.Lock()
        self.alive(None)
        for owner, name in ((Exchange, "send"), (MemoryBucket, "put"), (MemoryBucket, "delete")):
            self._watch(monkeypatch, owner, name)
        self._watch_transactions(monkeypatch)

    def alive(self, kill_at):
        """A process begins, and will die after this action. ``done``: the actions of the one before."""
        self.done = getattr(self, "actions", 0)
        self.left, self.dead, self.actions = kill_at, False, 0

    def _breathe(self):
        if self.dead:
            raise Killed

    def _count(self):
        with self._lock:
            self.actions += 1
            if self.left is not None and self.actions >= self.left:
                self.dead = True
        self._breathe()

    def _watch(self, monkeypatch, owner, name):
        action = getattr(owner, name)

        def watched(*args, **kwargs):
            self._breathe()
            answer = action(*args, **kwargs)
            self._count()
            return answer

        monkeypatch.setattr(owner, name, watched)

    def _watch_transactions(self, monkeypatch):
        transaction = DcbStore._transaction

        @contextmanager
        def watched(store):
            self._breathe()
            with transaction(store) as connection:
                yield connection
            self._count()

        monkeypatch.setattr(DcbStore, "_transaction", watched)


class Moment:
    """Everything as it was at one time, to be put back as often as one likes."""

    def __init__(self, world: SyncWorld, folder: Path) -> None:
        self.world, self.file = world, folder / "moment.db"
        world.store.close()
        shutil.copy(folder / "store.db", self.file)
        self.store = folder / "store.db"
        self.objects = dict(world.bucket.objects)
        self.clock, self.runs, self.told = world.clock.time, world.runs, list(world.ears.told)
        self.sandboxes = [_frozen(side.running.sandbox) for side in _sides(world)]

    def put_back(self) -> None:
        world = self.world
        world.store.close()
        shutil.copy(self.file, self.store)
        world.bucket.objects = dict(self.objects)
        world.clock.time, world.runs, world.ears.told = self.clock, self.runs, list(self.told)
        for side, kept in zip(_sides(world), self.sandboxes, strict=True):
            sandbox = side.running.sandbox
            sandbox.__dict__.update(_Thawer(io.BytesIO(kept), sandbox).load())


def _sides(world):
    return (world.almas.lender, world.almas.borrower)


class _Freezer(pickle.Pickler):
    """Writes a sandbox down; what holds the sandbox itself goes on holding the one that is running."""

    def __init__(self, stream, sandbox):
        super().__init__(stream)
        self.sandbox = sandbox

    def persistent_id(self, thing):
        return "sandbox" if thing is self.sandbox else None


class _Thawer(pickle.Unpickler):
    def __init__(self, stream, sandbox):
        super().__init__(stream)
        self.sandbox = sandbox

    def persistent_load(self, _):
        return self.sandbox


def _frozen(sandbox):
    stream = io.BytesIO()
    _Freezer(stream, sandbox).dump(sandbox.__dict__)
    return stream.getvalue()


def attempt(world, reaper, step, kill_at):
    """One step whose process dies after its n-th action; whether it died."""
    reaper.alive(kill_at)
    try:
        getattr(world, step)()
    except Killed:
        return True
    finally:
        reaper.alive(None)
    return False


def result(world):
    """All that matters of the end of a tick: what happened, what was done and told, what is in both Almas."""
    rows, requests = dump(world.url), {}
    for row in rows["dcb_request"]:
        history = world.history(row["pr_id"])
        requests[row["pr_id"]] = {
            "status": row["status"],
            "standing": row["standing"],
            "leased": row["lease_owner"],
            "polled": row["next_poll_at"] is not None,
            "transitions": [(each.seq, each.frm, each.to, each.handler) for each in history.transitions],
            "outbox": [(each.ord, each.target, each.type, each.state) for each in history.outbox],
        }
    leased = [row["outbox_id"] for row in rows["dcb_outbox"] if row["lease_owner"]]
    plan = world.folder().find_plan()
    seen = [(row["pr_id"], len(row["reports"])) for row in rows_of(world.folder(), plan)] if plan else []
    told = list(dict.fromkeys(row.payload["event_id"] for row in world.ears.told))
    return requests, leased, sorted(seen), len(told), [_there(each.running.sandbox) for each in _sides(world)]


def _there(sandbox):
    """What is in an Alma, and how often anything was made there."""
    made = ("bibs", "holdings", "items", "requests", "loans")
    posted = [entry.path.rpartition("/")[2] for entry in sandbox.log.select(method="POST")]
    return {
        "holds": len([each for each in sandbox.requests.by_id.values() if each.active]),
        "loans": len([each for each in sandbox.loans.by_id.values() if each.status == "ACTIVE"]),
        "bibs": len([bib for bib in sandbox.catalogue.bibs.values() if bib is not None]),
        "posted": sorted(name for name in posted if name in made),
    }


def one_of_each(world):
    """Four requests, of which each has something to be done in the next tick."""
    patrons = ("patron003", "patron009", "patron011", "patron013")
    for number in range(3):
        world.place(f"PR-{number}", number, patron=patrons[number])
    world.tick()
    hold = world.store.get("PR-0").legs[Role.BORROWER].request_id
    for number in (1, 2):
        world.ship(number)
    world.almas.borrower.control("POST", "settings", {"closed_requests": "gone"})
    world.almas.borrower.control("POST", f"requests/{hold}", {"cancel": "x"})
    world.later()  # the hold of the first is missed once
    for number in (1, 2):
        world.arrive(number)
    world.tick(pr_ids=["PR-1", "PR-2"])
    world.borrow(2, patrons[2])
    world.tick(pr_ids=["PR-2"])
    world.give_back(2)
    world.come_home(2)
    world.borrow(1, patrons[1])
    world.place("PR-3", 3, patron=patrons[3])
    world.pass_time(timedelta(hours=30))
    statuses = [world.status(f"PR-{number}") for number in range(4)]
    assert statuses == ["RPBA", "READY_FOR_PICKUP", "LOANED", "RPSA"]
    return {"PR-0": "FINALISED", "PR-1": "LOANED", "PR-2": "FINALISED", "PR-3": "RPBA"}


@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.nightly)])
def test_a_kill_after_any_action_of_a_step_changes_nothing(sync, tmp_path, monkeypatch, every):
    expected_statuses = one_of_each(sync)
    reaper = Reaper(monkeypatch)
    sync.new_run()
    total = 0
    for step in STEPS:
        moment = Moment(sync, tmp_path)
        attempt(sync, reaper, step, None)
        actions, expected = reaper.done, result(sync)
        for kill_at in range(1, actions + 1, every):
            moment.put_back()
            assert attempt(sync, reaper, step, kill_at), f"{step} has no action {kill_at}"
            getattr(sync, step)()
            assert result(sync) == expected, f"{step}, killed after action {kill_at} and begun again"
            for pr_id in expected_statuses:
                assert explain(sync.store, pr_id).agrees
        moment.put_back()
        getattr(sync, step)()
        total += actions
    assert {pr_id: sync.status(pr_id) for pr_id in expected_statuses} == expected_statuses
    assert total > 60


def test_the_next_run_takes_over_from_one_that_was_killed_and_never_begun_again(sync, tmp_path, monkeypatch):
    expected_statuses = one_of_each(sync)
    reaper = Reaper(monkeypatch)
    moment = Moment(sync, tmp_path)
    sync.tick()
    _, leased, _, told, there = result(sync)
    for step in STEPS:
        moment.put_back()
        sync.new_run()
        for before in STEPS[: STEPS.index(step)]:
            getattr(sync, before)()
        attempt(sync, reaper, step, None)
        middle = reaper.done // 2 + 1
        moment.put_back()
        sync.new_run()
        for before in STEPS[: STEPS.index(step)]:
            getattr(sync, before)()
        assert attempt(sync, reaper, step, middle)
        sync.pass_time(timedelta(minutes=31))  # its leases run out
        sync.tick()
        found = result(sync)
        assert {pr_id: sync.status(pr_id) for pr_id in expected_statuses} == expected_statuses
        assert (found[1], found[3], found[4]) == (leased, told, there)
