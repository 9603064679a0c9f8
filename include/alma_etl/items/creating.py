"""Step 4 of an item load: the items themselves (`POST /bibs/{mms_id}/holdings/{holding_id}/items`)."""

import logging
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date

from alma_etl.alma.client import AlmaClient
from alma_etl.alma.errors import AlmaStop
from alma_etl.items.codes import read_check, unknown_titles, verdict
from alma_etl.items.existing import known_of
from alma_etl.items.groups import GroupResult, group_key
from alma_etl.items.holdings import resolved
from alma_etl.items.outcomes import NOT_ACCEPTABLE, ItemRow, Outcome, RowResult, result
from alma_etl.items.run import LoadFolder
from alma_etl.items.sending import Sender
from alma_etl.store.bucket import json_line
from alma_etl.store.checkpoint import Checkpoint
from alma_etl.store.loaded_items import LoadedItems

log = logging.getLogger(__name__)

RESULT = "results.jsonl"
PROGRESS_EVERY = 250
_ANNOUNCE_AT_ONCE = 50  # rows that are looked up after a kill, because they may have been sent


def create_items(
    client: AlmaClient, folder: LoadFolder, number: int, *, memory: LoadedItems
) -> dict[str, int]:
    """Create the items of a chunk, those of one title one after the other; counts by outcome come back.

    A row that can be sent costs one request. A refusal is explained by a look-up of the barcode, since Alma has no
    code of its own for "in use". Before a row is sent it is announced in the run's folder: after a kill, announced
    rows without an outcome are looked up first, so that their outcome is told as it was. Outcomes of earlier
    attempts are kept, but for `failed` and `unconfirmed`.

    Raises AlmaStop, with the sentence kept for the report; anything that concerns one row is that row's outcome.
    """
    folder.stop_if_superseded()
    with folder.keeping_problem(number):
        return _Creating(client, folder, number, memory).run()


def announced_lines(folder: LoadFolder, number: int) -> dict[int, date]:
    """The rows of a chunk that some attempt was about to send, by line, each with the day of it."""
    found: dict[int, date] = {}
    for part in folder.bucket.list(folder.chunk_key(number, "announced/")):
        for announcement in folder.bucket.read_rows(part.key):
            found |= {line: date.fromisoformat(announcement["day"]) for line in announcement["lines"]}
    return found


class _Creating:
    """The work on one chunk."""

    def __init__(self, client: AlmaClient, folder: LoadFolder, number: int, memory: LoadedItems) -> None:
        self._client = client
        self._folder = folder
        self._number = number
        self._memory = memory
        self._plan = folder.plan()
        self._checkpoint = Checkpoint(folder.bucket, folder.chunk_key(number, RESULT))
        self._groups, self._ended = resolved(folder, number)
        self._done: dict[int, RowResult] = {}
        self._announcements: list[str] = []

    def run(self) -> dict[str, int]:
        """Do what earlier attempts left, save the whole, and remember the items."""
        for saved in self._checkpoint.rows():
            if saved["outcome"] not in NOT_ACCEPTABLE:
                self._done[saved["line"]] = saved  # type: ignore[assignment]
        if self._done:
            log.info("Chunk %04d: %d rows were done before", self._number, len(self._done))
        rows = list(self._folder.rows(self._number))
        try:
            with self._checkpoint:
                to_send = list(self._without_sending(rows))
                if to_send and not self._plan.dry_run:
                    self._send(to_send)
                elif to_send:
                    self._rehearse(to_send)
        except AlmaStop:
            # Whatever was sent has its outcome by now, and a call that ends like this has written nothing.
            self._folder.bucket.delete(self._announcements)
            raise
        results = [self._done[row["line"]] for row in rows]
        self._checkpoint.complete(results)
        if not self._plan.dry_run:
            self._memory.remember(known_of(results), self._folder.run_id)
        counts = Counter(each["outcome"] for each in results)
        log.info("Chunk %04d: %s", self._number, ", ".join(f"{n} {word}" for word, n in counts.items()))
        return dict(counts)

    def _without_sending(self, rows: Sequence[ItemRow]) -> Iterator[ItemRow]:
        """End the rows whose end is known without a request; those that are to be sent come back."""
        check, unknown = read_check(self._folder), unknown_titles(self._folder, self._number)
        for row in rows:
            if row["line"] in self._done:
                continue
            against = verdict(row, check, unknown)
            if against is not None:
                self._done[row["line"]] = result(row, *against)
            elif row["line"] in self._ended:
                self._done[row["line"]] = self._ended[row["line"]]
            elif self._group(row)["outcome"]:
                group = self._group(row)
                self._done[row["line"]] = result(row, Outcome(group["outcome"]), group["message"])
            else:
                yield row

    def _group(self, row: ItemRow) -> GroupResult:
        return self._groups[group_key(row)]

    def _send(self, rows: Sequence[ItemRow]) -> None:
        announced = announced_lines(self._folder, self._number)
        sender = Sender(self._client)
        finished = 0
        for turn in _turns(rows):
            for row, end in self._client.in_parallel(
                lambda row: sender.send(row, self._group(row), announced.get(row["line"])),
                self._announcing(turn, announced),
            ):
                self._keep(row, end)
                finished += 1
                if finished % PROGRESS_EVERY == 0:
                    log.info("Chunk %04d: %d of %d rows sent", self._number, finished, len(rows))

    def _rehearse(self, rows: Sequence[ItemRow]) -> None:
        sender = Sender(self._client)
        for row, end in self._client.in_parallel(lambda row: sender.rehearse(row, self._group(row)), rows):
            self._keep(row, end)

    def _keep(self, row: ItemRow, end: RowResult) -> None:
        self._done[row["line"]] = end
        if end["outcome"] in NOT_ACCEPTABLE:
            log.warning(
                "Line %d, barcode %s: %s: %s", row["line"], row["barcode"], end["outcome"], end["message"]
            )
        else:
            self._checkpoint.add(end)

    def _announcing(self, rows: Sequence[ItemRow], announced: dict[int, date]) -> Iterator[ItemRow]:
        """The rows again, each after it was announced; a few at a time, as they are taken."""
        for start in range(0, len(rows), _ANNOUNCE_AT_ONCE):
            part = rows[start : start + _ANNOUNCE_AT_ONCE]
            lines = [row["line"] for row in part if row["line"] not in announced]
            if lines:
                key = self._folder.chunk_key(self._number, f"announced/{uuid.uuid4().hex}.jsonl")
                told = {"day": self._client.today().isoformat(), "lines": lines}
                self._folder.bucket.put(key, json_line(told), "application/x-ndjson")
                self._announcements.append(key)
            yield from part


def _turns(rows: Sequence[ItemRow]) -> Iterator[list[ItemRow]]:
    """The first row of every title, then the second of every title, and so on: writes to one record never meet."""
    by_title: dict[str, list[ItemRow]] = {}
    for row in rows:
        by_title.setdefault(row["mms_id"], []).append(row)
    turn = 0
    while by_title:
        yield [waiting[turn] for waiting in by_title.values()]
        turn += 1
        by_title = {mms_id: waiting for mms_id, waiting in by_title.items() if len(waiting) > turn}
