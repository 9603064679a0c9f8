"""A job of one's own: books of a list are put on a shelf. docs/jobs.md shows it."""

from collections import Counter
from dataclasses import dataclass

from alma_etl.jobs.file_job import FileJob, Refusal
from alma_etl.jobs.file_run import FilePlan
from alma_etl.jobs.loading import RowWriter, write_rows
from alma_etl.jobs.outcomes import DONE, MADE, OPEN, RowOutcome
from alma_etl.jobs.profiles import JobProfile, JobProfiles
from alma_etl.jobs.settings_files import SettingsFile


class Shelved(RowOutcome):
    SHELVED = "shelved", "the book stands on its shelf now", MADE
    WOULD_SHELVE = "would_shelve", "the book would be shelved; this was a dry run", DONE
    FAILED = "failed", "the line has no book, or the shelf did not answer", OPEN


@dataclass(frozen=True)
class Line:
    line: int
    text: str


class Lines:
    """The reader: a book a line."""

    form, extension = "lines of text", ".txt"

    def __init__(self, path):
        self._path = path

    def rows(self):
        with self._path.open(encoding="utf-8") as lines:
            yield from (Line(number, text.strip()) for number, text in enumerate(lines, 1))

    def excerpt(self, lines, stream):
        stream.writelines(f"{row.text}\n".encode() for row in self.rows() if row.line in lines)


class Shelving(FileJob[JobProfile]):
    things, title, outcomes = "books", "Books", Shelved
    columns = ("line", "book", "outcome", "message")
    labels = ("book",)
    page_columns = (("line", "Line", "number"), ("book", "Book", "code"), ("message", "Why", "text"))
    settings = SettingsFile("config/shelf_profiles.yaml", JobProfiles[JobProfile], "alma_etl.jobs")
    profile_gives, plan_type = "nothing", FilePlan[JobProfile]

    def open_records(self, path, profile):
        return Lines(path)

    def rows(self, records, profile, day):
        for line in records.rows():
            refusal = None if line.text else Refusal("the line is empty", Shelved.FAILED)
            yield {"line": line.line, "book": line.text}, refusal

    def load(self, context, number):
        with context.open_client("shelf") as shelf:
            ends = write_rows(self, context.folder, number, Shelver(self, shelf), target="the shelf")
        return dict(Counter(end["outcome"] for end in ends))


class Shelver(RowWriter):
    def __init__(self, job, shelf):
        self._job, self._shelf = job, shelf

    def look_for(self, row, sent):
        return self._job.end(row, Shelved.SHELVED) if row["book"] in self._shelf.books else None

    def send(self, row, before):
        self._shelf.place(row["book"])
        return self._job.end(row, Shelved.SHELVED)

    def dry_run(self, row):
        return self._job.end(row, Shelved.WOULD_SHELVE)
