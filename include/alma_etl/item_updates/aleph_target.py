"""Updates of items in Aleph: each read, compared with its row, changed by one update-item, and its answer compared.

An item is read and written under a lock, which keeps our own other writers off it. What its fields were first found to
have is kept before they are overwritten: from it every later attempt knows what it has written itself (`updated`, with
the values of before) from what somebody else has (`conflict`). A profile with `undo: false` reads nothing before: one
call an item, and nobody knows then what was there.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from alma_etl.aleph.client import BAD_RECORD, TOO_LONG, AlephClient
from alma_etl.aleph.tasks import item_key, writable
from alma_etl.aleph.writes import ItemUpdate, compared, is_done, update_item, warnings_before
from alma_etl.aleph.z30 import OWN, AlephItem, ItemKey, comparable, differing
from alma_etl.errors import InputProblem
from alma_etl.item_updates.profiles import ItemUpdateProfile
from alma_etl.item_updates.rows import Changes, ItemUpdateOutcome, result
from alma_etl.jobs.ends import Sent
from alma_etl.jobs.file_job import FileJob, JobContext
from alma_etl.jobs.loading import RowWriter, write_rows
from alma_etl.jobs.outcomes import End, Row
from alma_etl.remote.answers import Absent, Found, Unknown
from alma_etl.remote.safe_write import WriteOutcome
from alma_etl.store.locks import Lock, LockBusy, LockLost, Locks, open_locks

log = logging.getLogger(__name__)

X = TypeVar("X")
Y = TypeVar("Y")

_LOST = "no answer came; a look confirmed it"
_OF_WRITTEN = {
    WriteOutcome.REFUSED: (ItemUpdateOutcome.REFUSED, "Aleph refused it"),
    WriteOutcome.NOT_FOUND: (ItemUpdateOutcome.NOT_FOUND, "Aleph does not find it"),
    WriteOutcome.UNCONFIRMED: (ItemUpdateOutcome.UNCONFIRMED, "it was sent and no clear answer came"),
    WriteOutcome.FAILED: (ItemUpdateOutcome.FAILED, "it was not written"),
}


def update_in_aleph(
    job: FileJob[Any], context: JobContext, client: AlephClient, number: int
) -> dict[str, int]:
    """Update the items of a chunk; return counts by outcome.

    A changed item costs two calls, an unchanged one one; with `undo: false` of the profile each costs one. Raises
    RemoteStop, StoreUnavailable, StoreRefused.
    """
    folder = context.folder
    profile: ItemUpdateProfile = folder.plan().profile
    target = f"aleph {client.host} {client.library}"
    with open_locks(context.store_url()) as locks:
        writer = AlephItemUpdater(client, target, locks=locks, undo=profile.undo)
        ends = write_rows(job, folder, number, writer, target=target)
    counts = Counter(end["outcome"] for end in ends)
    log.info("Chunk %04d: %s", number, ", ".join(f"{n} {word}" for word, n in counts.items()))
    return dict(counts)


class _Ended(Exception):
    """The row has come to its end."""

    def __init__(self, end: End) -> None:
        super().__init__(end["message"])
        self.end = end


class AlephItemUpdater(RowWriter):
    """Updates the items of the rows of one chunk; ``target`` names the X-Server and its library. ``undo``: whether the
    values of before are to be known."""

    in_order = True

    def __init__(self, client: AlephClient, target: str, *, locks: Locks, undo: bool = True) -> None:
        self._client = client
        self._target = target
        self._locks = locks
        self._undo = undo

    def turn_of(self, row: Row) -> str:
        return str(row["item"])

    def name_of(self, row: Row) -> str:
        return f"Line {row['line']}, item {row['doc_number']}/{row['item_sequence']}"

    def in_parallel(self, function: Callable[[X], Y], rows: Iterable[X]) -> Iterator[tuple[X, Y]]:
        return self._client.in_parallel(function, rows)

    def known_end(self, row: Row) -> End | None:
        try:
            _key(row)
            writable(row["values"])
        except InputProblem as problem:
            return result(row, ItemUpdateOutcome.INVALID_ROW, str(problem))
        return None

    def look_for(self, row: Row, sent: Sent) -> End | None:
        first = self.first_read.of(row["line"])
        if first is None and self._undo:
            return None  # nothing is sent before that is kept
        match self._client.read_item(_key(row)):
            case Found(item) if is_done(item.fields, row["values"]):
                changes = _changes(first, item.fields, row["values"]) if first else None
                return _end(row, ItemUpdateOutcome.UPDATED, [_LOST], item.barcode, changes)
            case Unknown(error):
                message = f"an earlier attempt may have changed it, and it could not be read: {error.message}"
                return result(row, ItemUpdateOutcome.UNCONFIRMED, message)
            case _:
                return None

    def dry_run(self, row: Row) -> End:
        values = row["values"]
        match self._client.read_item(_key(row)):
            case Found(item):
                if (wrong := _wrong_barcode(row, item.barcode)) is not None:
                    return wrong
                now = item.fields
                if not differing(now, compared(values)):
                    return _unchanged(row, now)
                changes = _changes(now, {**now, **values}, values)
                remarks = warnings_before(item, values)
                return _end(row, ItemUpdateOutcome.WOULD_UPDATE, remarks, item.barcode, changes)
            case Absent(error):
                message = error.message if error else "Aleph does not have it"
                return result(row, ItemUpdateOutcome.NOT_FOUND, message)
            case Unknown(error):
                return result(row, ItemUpdateOutcome.FAILED, f"it could not be read: {error.message}")

    def send(self, row: Row, before: Sent | None) -> End:
        key = _key(row)
        sending: list[None] = []
        try:
            with self._locks.hold(f"item {key} of {self._target}") as lock:
                return self._sent(row, key, lock, sending)
        except _Ended as ended:
            return ended.end
        except LockBusy as busy:
            return result(row, ItemUpdateOutcome.FAILED, f"{busy}: nothing was written")
        except LockLost as lost:
            outcome = ItemUpdateOutcome.UNCONFIRMED if sending else ItemUpdateOutcome.FAILED
            return result(row, outcome, str(lost))

    def _sent(self, row: Row, key: ItemKey, lock: Lock, sending: list[None]) -> End:
        line, values = row["line"], row["values"]
        first = self.first_read.of(line)

        def before_writing(item: AlephItem | None) -> None:
            if item is not None and first is None:
                if (wrong := _wrong_barcode(row, item.barcode)) is not None:
                    raise _Ended(wrong)
                kept = {name: item.fields.get(name, "") for name in (*compared(values), "barcode")}
                self.first_read.keep(line, kept)
            lock.check()
            sending.append(None)

        # whose barcode the row names has to be looked at before it is written
        read_first = self._undo or bool(row["barcode"]) or first is not None
        update = update_item(
            self._client, key, values, read_first=read_first, first=first, before_writing=before_writing
        )
        if first is None and update.before is not None and update.outcome is WriteOutcome.UNCHANGED:
            return _wrong_barcode(row, update.before.get("barcode", "")) or _ended(row, update)
        return _ended(row, update)


def _wrong_barcode(row: Row, barcode: str) -> End | None:
    """The end of a row that names the item by a barcode that is another's."""
    if not row["barcode"] or row["barcode"].strip().casefold() == barcode.casefold():
        return None
    message = f"barcode {row['barcode']} is not the item's, which is {barcode}: nothing was written"
    return result(row, ItemUpdateOutcome.INVALID_ROW, message)


def _key(row: Row) -> ItemKey:
    return item_key(row["doc_number"], row["item_sequence"])


def _ended(row: Row, update: ItemUpdate) -> End:
    values, now = row["values"], update.after
    barcode = (now or {}).get("barcode", "")
    changes = _changes(update.before, now, values) if update.before and now else None
    if update.conflict:
        found = "; ".join(
            f"{name} was {(update.before or {}).get(name, '')!r} and is {(now or {}).get(name, '')!r}"
            for name in update.conflict
        )
        message = f"somebody else changed the item since it was first read ({found}): nothing was overwritten"
        return _end(row, ItemUpdateOutcome.CONFLICT, [message], barcode)
    if update.outcome is WriteOutcome.UNCHANGED:
        return _unchanged(row, now or {}, update.warnings)
    if update.done:
        lost = [_LOST] if update.outcome is WriteOutcome.ADOPTED else []
        said = [text for text in update.texts if len(update.texts) > 1 or lost]
        return _end(
            row,
            ItemUpdateOutcome.UPDATED,
            [*lost, *dict.fromkeys([*said, *update.warnings])],
            barcode,
            changes,
        )
    if update.untaken:
        message = f"Aleph answered that it was written, and did not take {', '.join(update.untaken)}"
        return _end(row, ItemUpdateOutcome.NOT_APPLIED, [message, *update.warnings], barcode, changes)
    if update.error is not None and update.error.code in (TOO_LONG, BAD_RECORD):
        return result(row, ItemUpdateOutcome.INVALID_ROW, update.error.message)
    outcome, words = _OF_WRITTEN[update.outcome]
    why = update.error.message if update.error else "; ".join(update.texts)
    return result(row, outcome, f"{words}: {why}")


def _unchanged(row: Row, now: Mapping[str, str], warnings: Iterable[str] = ()) -> End:
    changes = _changes(now, now, row["values"])
    return _end(row, ItemUpdateOutcome.UNCHANGED, warnings, now.get("barcode", ""), changes)


def _end(
    row: Row,
    outcome: ItemUpdateOutcome,
    remarks: Iterable[str],
    barcode: str,
    changes: Changes | None = None,
) -> End:
    own = [name for name in row["values"] if name in OWN]
    note = [f"{', '.join(own)} not compared, since Aleph writes it itself"] if own else []
    message = "; ".join([*remarks, *note])
    return result(row, outcome, message, changes=changes, **({"barcode": barcode} if barcode else {}))


def _changes(before: Mapping[str, str], after: Mapping[str, str], values: Mapping[str, str]) -> Changes:
    """Column -> (before, after), twice the same where the two are the same but for zeros or the like."""
    found = {}
    for name in compared(values):
        old, new = before.get(name, ""), after.get(name, "")
        found[name] = (old, old if comparable(name, old) == comparable(name, new) else new)
    return found
