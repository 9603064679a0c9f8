"""The rows of a file on their way into chunks; what earlier attempts of the run have finished stays where it is."""

import logging
from collections import defaultdict
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any, Generic

from alma_etl.errors import InputProblem
from alma_etl.jobs.ends import sent_lines
from alma_etl.jobs.file_run import REJECTED, ROWS, FilePlan, ProfileT, RunSource
from alma_etl.jobs.folder import MAX_CHUNKS, Chunk
from alma_etl.jobs.outcomes import End, Row
from alma_etl.jobs.places import printable
from alma_etl.jobs.staging import Staging
from alma_etl.store.bucket import json_line

if TYPE_CHECKING:
    from alma_etl.jobs.file_job import FileJob, JobContext, Records

log = logging.getLogger(__name__)


class Cutting(Generic[ProfileT]):
    """The rows of one file on their way into chunks."""

    def __init__(
        self,
        job: "FileJob[ProfileT]",
        context: "JobContext",
        source: RunSource,
        profile_name: str,
        profile: ProfileT,
        records: "Records",
        stage: Staging,
    ) -> None:
        self._job = job
        self._run = context.folder
        self._day = context.day
        self._source = source
        self._profile_name = profile_name
        self._profile = profile
        self._records = records
        self._stage = stage
        self._rows = 0
        self._homes: dict[int, str] = {}  # the groups of rows that may have been sent, by line
        self._codes: defaultdict[str, set[Any]] = defaultdict(set)

    def cut(self, chunk_size: int) -> list[Chunk]:
        """Put the good rows into chunks, the ends of the others into a file of the run, and write the plan."""
        run, stage = self._run, self._stage
        earlier, sent = self._stay_where_they_were()
        with run.bucket.writer(run.key(REJECTED)) as rejected:
            for end in self._judged(sent):
                rejected.write(json_line(end))
        if not self._rows:
            raise InputProblem(f"The file has no {self._job.unit}s: there is nothing to load")
        size = earlier.chunk_size if earlier else max(chunk_size, -(-len(stage) // MAX_CHUNKS))
        chunks: list[Chunk] = []
        for rows in stage.chunks(size, known=earlier.chunks if earlier else 0, most=MAX_CHUNKS):
            number = len(chunks) + 1
            run.bucket.write_rows(run.chunk_key(number, ROWS), rows)
            ends = [self._job.label_of(row) for row in (rows[0], rows[-1])] if rows else ["none", "none"]
            chunks.append(Chunk(number, *ends))
        source, form = self._source, self._records.form
        run.write_plan(
            self._job.plan_type(
                run_id=run.run_id,
                source=source,
                profile_name=self._profile_name,
                profile=self._profile,
                form=form,
                rejects_extension=self._rejects_extension(),
                day=self._day,
                rows=self._rows,
                rejected=self._rows - len(stage),
                chunks=len(chunks),
                chunk_size=size,
                codes={name: sorted(values) for name, values in self._codes.items()},
            )
        )
        log.info(
            "%s, %s: %ss: %d, rejected: %d, chunks: %d",
            printable(source.key), form, self._job.unit, self._rows, self._rows - len(stage), len(chunks),
        )  # fmt: skip
        return chunks

    def _stay_where_they_were(self) -> tuple[FilePlan[ProfileT] | None, Collection[int]]:
        """Leave each group of an earlier attempt in its chunk, and each row that it has written as it was.

        Returns the plan of that attempt, None when there was none of this file, and the lines that it may have sent.
        """
        earlier = self._run.find_plan()
        if earlier is None or earlier.source.etag != self._source.etag:
            return None, ()
        sent: set[int] = set()
        for number in range(1, earlier.chunks + 1):
            written = self._job.written_rows(self._run, number)
            sent_here = sent_lines(self._run, number, None).keys()
            sent |= sent_here
            for row in self._run.rows(number):
                self._stage.stays(self._job.group_of(row), number)
                if row["line"] in sent_here:
                    self._homes[row["line"]] = self._job.group_of(row)
                if self._job.row_key(row) in written:
                    self._add(row)
        return earlier, sent

    def _judged(self, sent: Collection[int]) -> Iterator[End]:
        """Put the good rows on the stage; yield the ends of the bad ones.

        A bad row that an earlier attempt may have ``sent``, by other settings, goes there too: it has to be looked for.
        """
        for row, refusal in self._job.rows(self._records, self._profile, self._day):
            self._rows += 1
            made = self._stage.row_at(row["line"])
            if made is not None:
                for each in (made, row) if refusal is None else (made,):
                    self._note_codes(each)
                continue
            if refusal is not None:
                refused = {**row, "refused": refusal.message}
                if refusal.outcome != self._job.invalid:
                    refused["refused_as"] = refusal.outcome.value
                if row["line"] not in sent or self._add(refused) is not None:
                    yield self._job.end(row, refusal.outcome, refusal.message)
                continue
            first = self._add(row)
            if first is not None:
                duplicate = self._job.duplicate(row, first)
                yield self._job.end(row, duplicate.outcome, duplicate.message)
                continue
            self._note_codes(row)

    def _add(self, row: Row) -> Row | None:
        group, links = self._job.group_of(row), list(self._job.links_of(row))
        home = self._homes.get(row["line"], group)
        if home != group:  # by other settings; that it may have been sent is noted in the chunk where it was
            links.append(group)
        return self._stage.add(row["line"], row, group=home, unique=self._job.unique_of(row), links=links)

    def _note_codes(self, row: Row) -> None:
        for name, value in self._job.codes_of(row):
            self._codes[name].add(value)

    def _rejects_extension(self) -> str:
        """The file's own extension if it fits what the file is, else one that does."""
        own, fitting = self._source.extension, self._records.extension
        if fitting == ".xlsx":
            return ".xlsx"
        return fitting if own in ("", ".xlsx", ".xls", ".pdf", ".zip") else own
