"""A job of one's own on the skeleton: chunks, a kill at every moment, a clear, the report and the rejects."""

import csv
import io
from contextlib import nullcontext
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from alma_airflow.hooks.ledger import RunLedger
from alma_etl.errors import InputProblem, NotAcceptable
from alma_etl.jobs.file_job import JobContext
from alma_etl.jobs.file_run import Superseded
from alma_etl.jobs.ledger import About, Ledger, NoLedger
from alma_etl.jobs.ledger_reading import FileVersion, RunKey
from alma_etl.jobs.places import Area
from alma_etl.store.bucket import Bucket
from alma_etl.store.upgrade import upgrade
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
        self.ledger = NoLedger()

    def context(self, **given):
        """What a task gives to its step."""
        return JobContext(
            folder=self.folder, params=self.params, day=date(2026, 11, 20),
            open_client=lambda _: nullcontext(self.shelf), store_url=str, ledger=self.ledger, **given,
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


RUN = RunKey("shelving", "run-1")


@pytest.fixture
def kept(run, tmp_path, monkeypatch):
    """The ledger that the run is kept in."""
    url = f"sqlite:///{tmp_path}/store.db"
    upgrade(url)
    monkeypatch.setenv("AIRFLOW_CONN_ALMA_ETL_DB", url)
    run.ledger = RunLedger(RUN, About("shelving", KEY))
    ledger = Ledger(url)
    yield ledger
    ledger.close()


def outcomes(ledger):
    """The lines of the run's records with labels and outcomes."""
    return [(row.record.line, row.record.label, row.record.outcome) for row in ledger.records(RUN)]


def test_the_ledger_has_the_file_the_records_and_the_counts_and_a_cleared_run_replaces_them(run, kept):
    run.ledger.begin()
    run.read()
    (file,) = kept.files()  # that nobody announced
    assert (file.key, file.state, file.area, file.profile) == (KEY, "started", "shelving", "hall")
    run.load(1)
    run.finish(load_1="failed")
    found = kept.run(RUN)
    assert (found.counts["shelved"], found.counts["failed"], found.measures) == (2, 3, {"rows": 5})
    assert outcomes(kept) == [
        (number, book, "shelved" if number < 3 else "failed") for number, book in enumerate(BOOKS, 1)
    ]
    assert {each["role"] for each in found.artefacts} == {"table", "workbook", "report", "rejects"}

    run.ledger.begin()  # cleared
    run.read()
    assert kept.files()[0].state == "started"
    for number in (1, 2, 3):
        run.load(number)
    run.finish()
    found = kept.run(RUN)
    assert (found.counts["shelved"], found.counts["failed"]) == (5, 0)
    assert outcomes(kept) == [(number, book, "shelved") for number, book in enumerate(BOOKS, 1)]
    assert {each["role"] for each in found.artefacts} == {"table", "workbook", "report"}
    for each in found.artefacts:
        assert run.bucket.info(each["key"]).size == each["size"]
    (file,) = kept.files()
    assert (file.state, file.filed_key, file.run_id) == ("done", "shelving/done/march.run-1.txt", "run-1")


def test_a_dry_run_is_kept_and_leaves_its_file_as_arrived(run, kept):
    run.params["dry_run"] = True
    run.ledger.begin()
    run.read()
    for number in (1, 2, 3):
        run.load(number)
    run.finish()
    assert (kept.run(RUN).dry_run, kept.run(RUN).counts["would_shelve"]) == (True, 5)
    assert len(outcomes(kept)) == 5
    assert [file.state for file in kept.files()] == ["arrived"]


def test_a_file_that_cannot_be_read_is_kept_as_failed(run, kept):
    run.bucket.put(KEY, b"")
    run.ledger.begin()
    with pytest.raises(InputProblem, match="The file is empty"):
        run.read()
    run.finish(read_file="failed")
    assert kept.run(RUN).counts["failed"] == 1
    assert [row.record.message for row in kept.records(RUN)] == [
        "The file is empty: there is nothing to load"
    ]
    assert [file.state for file in kept.files()] == ["failed"]


def test_a_file_that_was_replaced_before_its_run_read_it_is_superseded(run, kept):
    run.ledger.begin()
    old = FileVersion(
        KEY, "etag@2026-11-20T09:00:00+00:00", 9, "shelving", "hall", datetime(2026, 11, 20, 9, tzinfo=UTC)
    )
    kept.arrive(old)
    run.params["version"] = old.version
    with pytest.raises(Superseded):
        run.read()
    assert kept.file(KEY, old.version).state == "superseded"


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
