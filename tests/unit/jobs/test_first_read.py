"""What rows were first found to have: kept before anything is overwritten; and rows of one thing sent in order."""

import threading
from contextlib import nullcontext
from datetime import date

import pytest

from alma_etl.jobs.ends import FirstRead
from alma_etl.jobs.file_job import JobContext
from alma_etl.jobs.folder import RunFiles
from alma_etl.jobs.loading import write_rows
from alma_etl.jobs.places import Area
from tests.unit.jobs.shelving import Shelved, Shelver, Shelving

pytestmark = pytest.mark.heavy


def kept(bucket, target="Alma A"):
    return FirstRead(RunFiles(bucket, "run-1", "shelving"), 1, target)


def test_what_was_kept_first_counts_for_every_later_attempt(bucket):
    kept(bucket).keep(7, {"note": "old", "pages": ""})
    later = kept(bucket)
    later.keep(7, {"note": "by somebody else"})
    assert (later.of(7), later.of(8)) == ({"note": "old", "pages": ""}, None)
    assert kept(bucket).of(7) == {"note": "old", "pages": ""}
    assert kept(bucket, "Alma B").of(7) is None


def test_many_threads_keep_each_its_own_although_one_write_fails(bucket, monkeypatch):
    record, put, failed = kept(bucket), type(bucket).put, []

    def fail_once(self, *args):
        if not failed:
            failed.append(args)
            raise OSError("the bucket does not answer")
        return put(self, *args)

    monkeypatch.setattr(type(bucket), "put", fail_once)
    errors = []

    def keep(line):
        try:
            record.keep(line, {"note": str(line)})
        except OSError as error:
            errors.append((line, error))

    threads = [threading.Thread(target=keep, args=(line,)) for line in range(24)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(errors) == 1  # whoever got the error may not send; nobody else lost anything
    lost = errors[0][0]
    seen = kept(bucket)
    assert [line for line in range(24) if line != lost and seen.of(line) != {"note": str(line)}] == []
    record.keep(lost, {"note": "later"})
    assert kept(bucket).of(lost) is not None


class InOrder(Shelver):
    """Rows of one shelf in order; the second row of it fails as long as `broken`."""

    in_order = True

    def turn_of(self, row):
        return row["book"][0]

    def send(self, row, before):
        if row["book"] in self._shelf.broken:
            return self._job.end(row, Shelved.FAILED, "the shelf broke")
        return super().send(row, before)


class OneShelf(Shelving):
    def load(self, context, number):
        with context.open_client("shelf") as shelf:
            write_rows(self, context.folder, number, InOrder(self, shelf), target="the shelf")


class Shelf:
    def __init__(self, *broken):
        self.books, self.broken = [], set(broken)

    def place(self, book):
        self.books.append(book)


def test_a_row_waits_until_the_rows_of_the_same_thing_before_it_have_an_end(bucket):
    job = OneShelf(Area("shelving", "shelving"))
    key = "shelving/incoming/hall/march.txt"
    bucket.put(key, b"a1\na2\nb1\na3\n", "text/plain")
    bucket.put("config/shelf_profiles.yaml", b"profiles: {hall: {}}", "text/yaml")
    shelf = Shelf("a2")
    context = JobContext(
        folder=job.run_folder(bucket, "run-1", "shelving"), params={"key": key}, day=date(2026, 11, 20),
        open_client=lambda _: nullcontext(shelf), store_url=str,
    )  # fmt: skip
    job.read(context)
    job.chunk_step("load", context, 1)
    assert sorted(shelf.books) == ["a1", "b1"]
    ends = {end["line"]: end for end in job.ends_of(context.folder, 1).rows().values()}
    assert "line 2 is for the same thing" in ends[4]["message"]
    shelf.broken.clear()
    job.chunk_step("load", context, 1)
    assert shelf.books[2:] == ["a2", "a3"]
