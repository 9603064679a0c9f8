"""The steps of `dcb_place_request` and `dcb_cancel_request` without Airflow, and a look at what they leave."""

import itertools
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from shutil import copyfile

from alma_etl.dcb.conf import CancelRequest, read_place
from alma_etl.dcb.flows import cancel
from alma_etl.dcb.flows.cancel import Cancelling
from alma_etl.dcb.flows.place import steps
from alma_etl.dcb.flows.place.progress import Placing, RequestContext, keeping
from alma_etl.dcb.flows.place.track import track
from alma_etl.dcb.machine.model import Ack
from alma_etl.dcb.sides.marks import virtual_user
from alma_etl.dcb.sides.ports import Unsettled
from alma_etl.dcb.store import DcbStore, Report
from alma_etl.errors import NotAcceptable, RunStopped
from alma_etl.remote.errors import RemoteStop
from alma_etl.remote.exchange import Exchange
from alma_etl.store.bucket import Bucket
from alma_etl.store.locks import open_locks
from tests.e2e.death import Reaper, WorkerKilled
from tests.unit.dcb.sides_world import PATRON, Almas

VP = virtual_user("BORROWER", PATRON)
STEPS = (
    steps.check_patron,
    steps.ensure_virtual_patron,
    steps.place_supplier_request,
    steps.create_virtual_item,
    steps.place_borrower_request,
)


class Desk:
    """Runs the DAGs' steps in their order."""

    def __init__(self, almas: Almas, bucket: Bucket, empty_store: Path, folder: Path) -> None:
        self.almas, self.empty_store, self.folder = almas, empty_store, folder
        self.runs = 0
        self.numbers = itertools.count()
        url = self.new_store()
        locks = open_locks(url, timeout=1)
        self.context = RequestContext(almas.settings, DcbStore(url), almas.systems, bucket, locks, almas.tick)

    def close(self):
        self.context.store.close()
        for name in self.names():
            self.context.bucket.delete([name])

    def placing(self, conf, run_id=None, dry_run=False) -> Placing:
        self.runs += 1
        return Placing(
            self.context,
            read_place(conf, self.context.settings),
            run_id or f"run-{self.runs}",
            dry_run=dry_run,
        )

    def forget(self):
        """A new state store and an empty bucket."""
        for name in self.names():
            self.context.bucket.delete([name])
        self.context.store.close()
        self.context = replace(self.context, store=DcbStore(self.new_store()))

    def new_store(self):
        """The URL of an empty state store."""
        path = self.folder / f"store-{next(self.numbers)}.db"
        copyfile(self.empty_store, path)
        return f"sqlite:///{path}"

    def place(self, conf, **more):
        """All steps, as the DAG does them; the status, or the last sentence."""
        placing = self.placing(conf, **more)
        states = {}
        self.problem = ""
        for step in STEPS:
            try:
                with keeping(placing.files):
                    step(placing)
            except (RunStopped, Unsettled, RemoteStop) as problem:
                self.problem = str(problem)
                states[step.__name__] = "failed"
                break
        try:
            return track(placing, states)
        except NotAcceptable as problem:
            return str(problem)

    def cancel(self, pr_id="PR-1", dry_run=False, **conf):
        self.runs += 1
        run = Cancelling(
            self.context, CancelRequest(pr_id=pr_id, **conf), f"cancel-{self.runs}", dry_run=dry_run
        )
        states = {}
        self.problem = ""
        try:
            with keeping(run.files):
                cancel.cancel(run)
                cancel.verify(run)
        except (RunStopped, Unsettled, RemoteStop) as problem:
            self.problem = str(problem)
            states["cancel"] = "failed"
        try:
            return cancel.report(run, states)
        except NotAcceptable as problem:
            return str(problem)

    def left(self):
        """What stands in both Almas of requests."""
        lender, borrower = self.almas.lender.contents(), self.almas.borrower.contents()
        return {
            "lender holds": len(lender["requests"]),
            "borrower holds": len(borrower["requests"]),
            "bibs": len(borrower["bibs"]),
            "items": len([item for item in borrower["items"].values() if item["mms_id"] in borrower["bibs"]]),
        }

    def names(self):
        return [each.key for each in self.context.bucket.list("runs/")]

    def page(self, run_id):
        (key,) = [key for key in self.names() if key.endswith(f"/{run_id}/report.html")]
        return self.context.bucket.get(key).decode()

    def keep_conf(self, conf, pr_id="PR-1"):
        """Have the store hold a conf as an earlier version kept it."""
        (path,) = sorted(self.folder.glob("store-*.db"))[-1:]
        with sqlite3.connect(path) as database:
            database.execute("UPDATE dcb_request SET conf = ? WHERE pr_id = ?", [json.dumps(conf), pr_id])

    def apply(self, *seen, pr_id="PR-1"):
        reports = [Report(each, "ACK" if isinstance(each, Ack) else "POLL") for each in seen]
        return self.context.store.apply(
            pr_id, reports, settings=self.context.settings, now=self.almas.now
        ).status


ONE = {"lender holds": 1, "borrower holds": 1, "bibs": 1, "items": 1}
NOTHING = dict.fromkeys(ONE, 0)


def refused(desk, conf):
    """The sentence of the step that refused, which is also the last one of the run."""
    told = desk.place(conf)
    assert told == desk.problem
    return told


def kills(monkeypatch, begin, *steps) -> Iterator[int]:
    """Do ``steps`` again and again, each time on what ``begin`` makes, and die once at the next of all actions that
    change something; the step that died is begun again. Yields after each, with the number of the action.

    A death after a mere reading leaves the world as the death before it did.
    """
    reaper, reads = Reaper(monkeypatch), set()
    for name in ("add", "apply"):
        reaper._watch(monkeypatch, DcbStore, name)
    exchange = Exchange.send

    def noted(target, call, *args, **kwargs):
        answer = exchange(target, call, *args, **kwargs)
        if not call.writes:
            reads.add(reaper.deeds)
        return answer

    monkeypatch.setattr(Exchange, "send", noted)

    def go(kill_at):
        reaper.fresh_process()
        subject = begin()
        reads.clear()
        reaper.fresh_process(kill_at)
        for step in steps:
            try:
                step(subject)
            except WorkerKilled:
                reaper.fresh_process()
                step(subject)
        return reaper.deeds

    last = go(None)
    for action in sorted(set(range(1, last + 1)) - reads):
        go(action)
        reaper.fresh_process()
        yield action
