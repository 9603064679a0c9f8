"""Step 4 of an item load: the items themselves (`POST /bibs/{mms_id}/holdings/{holding_id}/items`)."""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence

from alma_etl.alma.client import AlmaClient
from alma_etl.counted import counted
from alma_etl.items.codes import alma_of, read_check, unknown_titles, verdict
from alma_etl.items.ends import SentRecord, ends_of
from alma_etl.items.existing import known_of
from alma_etl.items.groups import GroupResult, group_key
from alma_etl.items.holdings import resolved
from alma_etl.items.outcomes import NOT_ACCEPTABLE, ItemRow, Outcome, RowResult, result, row_key
from alma_etl.items.run import LoadFolder
from alma_etl.items.sending import Sender
from alma_etl.remote.errors import RemoteStop
from alma_etl.store.bucket import NoSuchObject
from alma_etl.store.loaded_items import LoadedItems

log = logging.getLogger(__name__)

PROGRESS_EVERY = 250
_ANNOUNCE_AT_ONCE = 50  # rows that are looked up after a kill, because they may have been sent


def create_items(
    client: AlmaClient, folder: LoadFolder, number: int, *, memory: LoadedItems
) -> dict[str, int]:
    """Create the items of a chunk, those of one title one after the other; counts by outcome come back.

    A row that can be sent costs one request. A refusal is explained by a look-up of the barcode, since Alma has no
    code of its own for "in use". Before a row is sent this is noted in the run's folder: rows whose end no attempt
    could note, after a kill or a lost answer, are looked up first, so that their outcome is reported as it was. Items
    that are in Alma by an earlier attempt stay; what Alma refused then is tried again.

    Raises RemoteStop, with the sentence kept for the report; anything that concerns one row is that row's outcome.
    """
    folder.stop_if_superseded()
    with folder.keeping_problem(number):
        return _Creating(client, folder, number, memory).run()


class _Creating:
    """The work on one chunk."""

    def __init__(self, client: AlmaClient, folder: LoadFolder, number: int, memory: LoadedItems) -> None:
        self._client = client
        self._folder = folder
        self._number = number
        self._memory = memory
        self._plan = folder.plan()
        alma = alma_of(client, folder)
        self._checkpoint = ends_of(folder, self._plan, number, alma)
        self._groups, self._ended = resolved(folder, number, alma)
        self._sent = SentRecord(folder, number, alma)
        self._done: dict[int, RowResult] = {}
        self._noted: set[int] = set()  # lines that this attempt was about to send
        self._tried: set[int] = set()  # those of them that it may have sent

    def run(self) -> dict[str, int]:
        """Do what earlier attempts left, save the whole, and remember the items."""
        settled = self._checkpoint.settled()
        rows = list(self._folder.rows(self._number))
        for row in rows:
            if row_key(row) in settled:
                self._done[row["line"]] = settled[row_key(row)]  # type: ignore[assignment]
        if self._done:
            log.info("Chunk %04d: %s done before", self._number, counted(len(self._done), "row"))
        try:
            with self._checkpoint:
                self._look_for_sent(rows)
                to_send = list(self._without_sending(rows))
                if to_send and not self._plan.dry_run:
                    self._send(to_send)
                elif to_send:
                    self._rehearse(to_send)
        except Exception:
            if self._checkpoint.is_saved:
                self._withdraw()
            raise
        results: list[RowResult] = self._checkpoint.complete(self._done[row["line"]] for row in rows)  # type: ignore[assignment]
        self._withdraw()
        if not self._plan.dry_run:
            self._memory.remember(known_of(results), self._folder.run_id)
        counts = Counter(each["outcome"] for each in results)
        log.info("Chunk %04d: %s", self._number, ", ".join(f"{n} {word}" for word, n in counts.items()))
        return dict(counts)

    def _withdraw(self) -> None:
        """Take rows off the record of what was sent, all whose end says what is in Alma."""
        ended = [line for line, end in self._done.items() if end["outcome"] != Outcome.UNCONFIRMED]
        self._sent.withdraw(ended=ended, not_sent=self._noted - self._tried)

    def _without_sending(self, rows: Sequence[ItemRow]) -> Iterator[ItemRow]:
        """End the rows whose end is known without a request; those that are to be sent come back."""
        check = read_check(self._folder)
        unknown = unknown_titles(self._folder, self._number, self._client.host)
        for row in rows:
            if row["line"] in self._done:
                continue
            against = verdict(row, check, unknown)
            if against is not None:
                self._done[row["line"]] = result(row, *against)
            elif row_key(row) in self._ended:
                self._done[row["line"]] = self._ended[row_key(row)]
            elif self._group(row)["outcome"]:
                group = self._group(row)
                self._done[row["line"]] = result(row, Outcome(group["outcome"]), group["message"])
            else:
                yield row

    def _group(self, row: ItemRow) -> GroupResult:
        try:
            return self._groups[group_key(row)]
        except KeyError:
            raise NoSuchObject(
                f"line {row['line']} has no holding by the present settings: clear resolve_holdings of its chunk"
            ) from None

    def _look_for_sent(self, rows: Sequence[ItemRow]) -> None:
        """The rows that an earlier attempt may have sent, whatever is to become of them now."""
        waiting = [row for row in rows if row["line"] in self._sent.before and row["line"] not in self._done]
        sender = Sender(self._client)
        for row, end in self._client.in_parallel(
            lambda row: sender.look_for(
                row, self._groups.get(group_key(row)), self._sent.before[row["line"]]
            ),
            waiting,
        ):
            if end is not None:
                self._keep(row, end)

    def _send(self, rows: Sequence[ItemRow]) -> None:
        sender = Sender(self._client)

        def send(row: ItemRow) -> RowResult:
            self._tried.add(row["line"])
            try:
                return sender.send(row, self._group(row), self._sent.before.get(row["line"]))
            except RemoteStop as stop:
                if not stop.effect_unknown:
                    self._tried.discard(row["line"])
                raise

        finished = 0
        for turn in _turns(rows):
            for row, end in self._client.in_parallel(send, self._noting(turn)):
                self._keep(row, end)
                finished += 1
                if finished % PROGRESS_EVERY == 0:
                    log.info("Chunk %04d: %d of %s sent", self._number, finished, counted(len(rows), "row"))

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
        self._checkpoint.add(end)

    def _noting(self, rows: Sequence[ItemRow]) -> Iterator[ItemRow]:
        """The rows again, each after it was noted as sent; a few at a time, as they are taken."""
        for start in range(0, len(rows), _ANNOUNCE_AT_ONCE):
            part = rows[start : start + _ANNOUNCE_AT_ONCE]
            holding_ids = {row["line"]: self._group(row)["holding_id"] for row in part}
            self._noted |= holding_ids.keys()
            self._sent.note(holding_ids, self._client.today())
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
