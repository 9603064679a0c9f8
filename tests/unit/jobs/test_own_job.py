"""A job of one's own on the skeleton: chunks, a kill at every moment, a clear, the report and the rejects."""

import csv
import io
from contextlib import nullcontext
from datetime import date
from pathlib import Path

import pytest

from alma_etl.errors import NotAcceptable
from alma_etl.jobs.file_job import JobContext
from alma_etl.jobs.places import Area
from alma_etl.store.bucket import Bucket
from tests.e2e.death import Reaper, WorkerKilled
from tests.unit.jobs.shelving import Shelving

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]

JOB = Shelving(Area("shelving", "shelving"))
KEY = "shelving/incoming/hall/march.txt"
BOOKS = [f"book {number}" for number in range(5)]
REPORTS = "shelving/reports/march.run-1"


class Shelf:
    """The system that the job writes to."""

    def __init__(self):
        self.books = []

    def place(self, book):
        """Put a book on the shelf."""
        self.books.append(book)


class Run:
    """One run of the job, as the tasks of a DAG do it."""

    def __init__(self, bucket, shelf, **params):
        self.bucket, self.shelf, self.params = bucket, shelf, {"key": KEY, **params}
        self.folder = JOB.run_folder(bucket, "run-1", "shelving")

    def context(self, **given):
        """What a task gives to its step."""
        return JobContext(
            folder=self.folder, params=self.params, day=date(2026, 11, 20),
            open_client=lambda _: nullcontext(self.shelf), store_url=str, **given,
        )  # fmt: skip

    def read(self):
        """The first step; the labels of the chunks."""
        return [chunk.label for chunk in JOB.read(self.context())]

    def load(self, number):
        """The step of a chunk."""
        return JOB.chunk_step("load", self.context(), number)

    def finish(self, **states):
        """The final steps; what the last of them says."""
        context = self.context(task_states=states)
        JOB.report(context)
        JOB.file_away(context)
        try:
            return JOB.check_outcome(context)
        except NotAcceptable as problem:
            return str(problem)

    def ends(self):
        """What the report says of each book."""
        table = self.bucket.get(f"{REPORTS}.csv").decode()
        return {row["book"]: row["outcome"] for row in csv.DictReader(io.StringIO(table))}

    def objects(self):
        """What there is below the job's prefix."""
        return [info.key for info in self.bucket.list("shelving/")]


@pytest.fixture
def bucket(s3):
    found = Bucket(s3.client(), s3.name)
    found.put("config/shelf_profiles.yaml", b"profiles: {hall: {}}\nchunk_size: 2\n")
    found.put(KEY, "\n".join([*BOOKS, ""]).encode())
    return found


@pytest.fixture
def run(bucket):
    return Run(bucket, Shelf())


def test_a_file_is_cut_into_chunks_loaded_reported_and_filed_away(run):
    assert run.read() == ["chunk 0001: 1-2", "chunk 0002: 3-4", "chunk 0003: 5-5"]
    for number in (1, 2, 3):
        run.load(number)
    assert run.finish() == "5 of 5 rows loaded."
    assert sorted(run.shelf.books) == BOOKS
    assert run.ends() == dict.fromkeys(BOOKS, "shelved")
    assert run.objects() == [
        "shelving/done/march.run-1.txt",
        *(f"{REPORTS}.{kind}" for kind in ("csv", "html", "xlsx")),
    ]
    assert "the book stands on its shelf now" in run.bucket.get(f"{REPORTS}.html").decode()


def test_a_dry_run_shelves_nothing_leaves_the_file_and_what_a_real_run_takes_for_done(run):
    dry = Run(run.bucket, run.shelf, dry_run=True)
    for each in (dry, run):
        each.read()
        for number in (1, 2, 3):
            each.load(number)
        if each is dry:
            assert dry.finish() == "5 of 5 rows would be loaded (dry run)."
            assert (run.shelf.books, KEY in run.objects()) == ([], True)
    assert (run.finish(), sorted(run.shelf.books)) == ("5 of 5 rows loaded.", BOOKS)


def test_rows_that_were_never_tried_are_failed_and_come_back_as_rejects(run):
    run.bucket.put(KEY, "\n".join([*BOOKS[:2], "", *BOOKS[2:]]).encode())
    run.read()
    run.load(1)
    assert run.finish(load_1="failed").startswith("4 of 6 rows are failed: clear the failed tasks to go on")
    expected = dict.fromkeys(BOOKS[:2], "shelved") | dict.fromkeys([*BOOKS[2:], ""], "failed")
    assert run.ends() == expected
    rejects = run.bucket.get("shelving/rejects/march.run-1.rejected.txt").decode()
    assert rejects.splitlines() == ["", *BOOKS[2:]]
    assert "not tried: chunk 0003 did not finish" in run.bucket.get(f"{REPORTS}.html").decode()
    assert "shelving/done/march.run-1.txt" in run.objects()


def test_a_run_whose_worker_is_killed_at_any_moment_goes_on_when_it_is_cleared(run, monkeypatch):
    reaper = Reaper(monkeypatch, (Shelf, "place"))
    for kill_at in range(1, 100):
        reaper.fresh_process()
        run.bucket.delete(info.key for info in run.bucket.list("runs/"))
        run.bucket.put(KEY, "\n".join(BOOKS).encode())
        run.shelf.books.clear()
        died = []
        for step, *number in [("read",), ("load", 1), ("load", 2), ("load", 3), ("finish",)]:
            reaper.fresh_process(kill_at if step == "load" and number == [2] else None)
            try:
                getattr(run, step)(*number)
            except WorkerKilled:
                died.append(step)
                reaper.fresh_process()
                assert run.finish(load_1="failed") != "5 of 5 rows loaded."
                run.read()  # as when the whole run is cleared
                getattr(run, step)(*number)
        assert sorted(run.shelf.books) == BOOKS, f"killed at {kill_at}"
        assert run.ends() == dict.fromkeys(BOOKS, "shelved"), f"killed at {kill_at}"
        if not died:
            assert kill_at > 4
            return
    raise AssertionError("the step never came to its end")


def test_the_page_about_jobs_shows_this_job():
    """So that what people copy is what was tried here."""
    job = Path(__file__).with_name("shelving.py").read_text("utf-8").strip()
    page = Path(__file__).resolve().parents[3] / "docs/jobs.md"
    assert f"```python\n{job}\n```" in page.read_text("utf-8")
