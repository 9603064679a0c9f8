"""Updates of items in Alma: each found, read, compared with its row, changed by one PUT, and looked at again.

An item is read right before its PUT, while a lock keeps our own other writers off it. What its fields were first found
to have is kept before they are overwritten: from it every later attempt knows what it has written itself (`updated`,
with the values of before) from what somebody else has (`conflict`).
"""

import logging
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeVar

from alma_etl.aleph.z30 import ItemKey
from alma_etl.alma.client import AlmaClient
from alma_etl.alma.items import Item, ItemPlace
from alma_etl.counted import counted
from alma_etl.inventory.codes import alma_of, read_check
from alma_etl.inventory.holdings import GroupResult, HoldingFault
from alma_etl.inventory.item_changes import (
    ItemChange,
    Pairs,
    change_item,
    differing,
    foreign_columns,
    pairs,
    shown,
)
from alma_etl.inventory.item_fields import change_problem
from alma_etl.inventory.loaded_items import KeyedItem, SqlLoadedItems
from alma_etl.inventory.moves import Movers
from alma_etl.item_updates.aleph_keys import key_in_note, key_of, key_text
from alma_etl.item_updates.profiles import ItemUpdateProfile
from alma_etl.item_updates.rows import ItemUpdateOutcome, result
from alma_etl.jobs.ends import Sent
from alma_etl.jobs.file_job import FileJob, JobContext
from alma_etl.jobs.file_run import FileRun
from alma_etl.jobs.loading import RowWriter, write_rows
from alma_etl.jobs.outcomes import End, Row
from alma_etl.remote.answers import Absent, Found, Unknown
from alma_etl.remote.errors import RemoteMalformed
from alma_etl.remote.safe_write import WriteOutcome
from alma_etl.store.locks import LockBusy, LockLost, Locks, open_locks

log = logging.getLogger(__name__)

_ANY = "ALL"  # Alma does not look at the holding in the path of an item
_LIST_FROM = (
    20  # rows of a title from which on reading all its items costs less than a twentieth of a request a row
)
_NOT_THERE = frozenset({"401683", "401684", "401688", "402203", "402204"})

X = TypeVar("X")
Y = TypeVar("Y")


def update_in_alma(job: FileJob[Any], context: JobContext, client: AlmaClient, number: int) -> dict[str, int]:
    """Update the items of a chunk; return counts by outcome.

    A changed item costs two requests by its pid and title (three by its barcode, whose look-up is one), an unchanged
    one a request less. Raises RemoteStop, StoreUnavailable, StoreRefused.
    """
    folder = context.folder
    alma = alma_of(client, folder)
    memory = SqlLoadedItems(context.store_url(), alma)
    try:
        with open_locks(context.store_url()) as locks:
            writer = AlmaItemUpdater(client, folder, alma, memory=memory, locks=locks)
            ends = write_rows(job, folder, number, writer, target=alma)
    finally:
        memory.close()
    counts = Counter(each["outcome"] for each in ends)
    log.info("Chunk %04d: %s", number, ", ".join(f"{n} {word}" for word, n in counts.items()))
    return dict(counts)


class _Ended(Exception):
    """The row has come to its end."""

    def __init__(self, end: End) -> None:
        super().__init__(end["message"])
        self.end = end


@dataclass(frozen=True)
class _MoveRules:
    """The profile's settings for holdings; ``dry_run`` as the run has it."""

    create_holding: bool
    on_several_holdings: Any
    call_number_from: Sequence[str]
    dry_run: bool


class AlmaItemUpdater(RowWriter):
    """Updates the items of the rows of one chunk in the Alma of a client; ``alma`` names gateway and institution."""

    in_order = True

    def __init__(
        self,
        client: AlmaClient,
        folder: FileRun,
        alma: str,
        *,
        memory: SqlLoadedItems,
        locks: Locks,
    ) -> None:
        plan = folder.plan()
        self._profile: ItemUpdateProfile = plan.profile
        self._dry_run = plan.dry_run
        self._client = client
        self._alma = alma
        self._memory = memory
        self._locks = locks
        self._check = read_check(folder)
        rules = _MoveRules(
            self._profile.create_holding,
            self._profile.on_several_holdings,
            self._profile.call_number_from,
            self._dry_run,
        )
        self._movers = Movers(
            client, rules, plan.day, memory=memory, locks=locks, sender=f"{folder.run_id} {uuid.uuid4().hex}"
        )
        self._listed: dict[str, Item] = {}  # items of titles that were read as a whole, by pid
        self._by_barcode: dict[tuple[str, str], Item] = {}  # the same, by title and barcode
        self._known_keys: set[str] = set()  # that the store has, or got from this attempt
        self._named: Counter[str] = Counter()  # how many rows are for each of them

    # --- what the skeleton asks

    def turn_of(self, row: Row) -> str:
        return str(row["item"])

    def name_of(self, row: Row) -> str:
        return f"Line {row['line']}, item {row['item_pid'] or row['barcode'] or row['item']}"

    def today(self) -> date:
        return self._client.today()

    def in_parallel(self, function: Callable[[X], Y], rows: Iterable[X]) -> Iterator[tuple[X, Y]]:
        return self._client.in_parallel(function, rows)

    def begin(self, rows: Sequence[Row]) -> None:
        """Read the items of titles with many rows, and look for the holdings that items are to be moved to."""
        by_title: dict[str, list[Row]] = {}
        for row in rows:
            if row["mms_id"] and self._settled_before(row) is None:
                by_title.setdefault(row["mms_id"], []).append(row)
        worth = [(mms_id, most) for mms_id, of in by_title.items() if (most := self._pages_worth(of))]
        for _, answer in self._client.in_parallel(
            lambda each: self._client.items.listed(each[0], most=each[1]), worth
        ):
            if isinstance(answer, Found):
                self._listed.update((item.pid, item) for item in answer.value)
                self._by_barcode.update(((item.mms_id, item.barcode), item) for item in answer.value)
        self._named.update(item.pid for row in rows if (item := self._in_list(row)) is not None)
        if self._profile.move:
            self._movers.look_ahead(
                (row["mms_id"], row["values"]["library"], row["values"]["location"])
                for row in rows
                if row["mms_id"] and {"library", "location"} <= row["values"].keys()
            )

    def _pages_worth(self, rows: Sequence[Row]) -> int:
        """How many requests for all items of a title cost less than those for its rows one by one would."""
        by_barcode = sum(not row["item_pid"] for row in rows)  # saves the look-up, or both requests
        by_pid = len(rows) - by_barcode
        if self._dry_run:
            return max(0, 2 * by_barcode + by_pid - 1)
        return max(0, by_barcode - 1) + by_pid // _LIST_FROM

    def known_end(self, row: Row) -> End | None:
        return self._settled_before(row) or self._unchanged_in_list(row)

    def _settled_before(self, row: Row) -> End | None:
        """The end of a row against which something stands that needs no look at its item."""
        values = row["values"]
        problems = [problem for name, value in values.items() if (problem := change_problem(name, value))]
        if problems:
            return result(row, ItemUpdateOutcome.INVALID_ROW, "; ".join(problems))
        fault = self._check.fault_of_values(values)
        return result(row, ItemUpdateOutcome.REFUSED, fault) if fault else None

    def _unchanged_in_list(self, row: Row) -> End | None:
        item = self._in_list(row)
        if item is None or self._named[item.pid] > 1 or self.first_read.of(row["line"]) is not None:
            return None  # where another row is for it, too, what it will have is not what the list says
        try:
            self._check_key(row, item)
        except _Ended:
            return None  # by a new reading
        now = shown(item.raw, row["values"])
        return None if differing(now, row["values"]) else self._unchanged(row, item, now)

    def _in_list(self, row: Row) -> Item | None:
        """The item as it was when its title was read."""
        if row["item_pid"]:
            return self._listed.get(row["item_pid"])
        return self._by_barcode.get((row["mms_id"], row["barcode"])) if row["barcode"] else None

    def look_for(self, row: Row, sent: Sent) -> End | None:
        first = self.first_read.of(row["line"])
        if first is None:
            return None  # nothing is sent before that is kept
        match self._client.items.read(first["mms_id"], _ANY, first["item_pid"]):
            case Found(item):
                now = shown(item.raw, row["values"])
                return None if differing(now, row["values"]) else self._updated(row, item, first, now, _LOST)
            case Unknown(error):
                message = f"an earlier attempt may have changed it, and it could not be read: {error}"
                return result(row, ItemUpdateOutcome.UNCONFIRMED, message, item_pid=first["item_pid"])
            case Absent():
                return None

    def dry_run(self, row: Row) -> End:
        try:
            item = self._in_list(row) or self._read(row, self._place_of(row, None))
            self._check_key(row, item)
            now = shown(item.raw, row["values"])
            if not differing(now, row["values"]):
                return self._unchanged(row, item, now)
            holding = self._holding_for(row, item, ask=True)
            message = holding["message"] if holding else ""
            after = {**now, **row["values"]}
            return self._end(
                row, ItemUpdateOutcome.WOULD_UPDATE, message, item, pairs(now, after, row["values"])
            )
        except _Ended as ended:
            return ended.end

    def send(self, row: Row, before: Sent | None) -> End:
        try:
            place = self._place_of(row, self.first_read.of(row["line"]))
            while True:
                with self._locked(place) as check_lock:
                    item = self._read(row, place)
                    move = self._holding_for(row, item, ask=False)
                    if move is None or move["holding_id"]:
                        return self._changed(row, item, move, check_lock)
                # no two locks at once: first the title's, for the holding, then the item's again
                self._holding_for(row, item, ask=True)
        except _Ended as ended:
            return ended.end
        except LockBusy as busy:
            return result(row, ItemUpdateOutcome.FAILED, f"{busy}: nothing was written")

    # --- which item it is

    def _place_of(self, row: Row, first: Mapping[str, str] | None) -> ItemPlace:
        """By what the item of a row is asked for; raises _Ended where there is none."""
        if first is not None:
            return ItemPlace(first["mms_id"], _ANY, first["item_pid"])
        if row["item_pid"] and (row["mms_id"] or not row["barcode"]):
            return ItemPlace(row["mms_id"] or _ANY, _ANY, row["item_pid"])
        listed = self._in_list(row)
        if listed is not None:
            return ItemPlace(listed.mms_id, _ANY, listed.pid)
        key = key_of(row) if self._profile.aleph_key != "none" else None
        if key is not None and not row["barcode"]:
            known = self._by_aleph_key(row, key)
            if known is not None:
                return known
        barcode = row["barcode"] or (row["values"].get("barcode", "") if key is not None else "")
        if not barcode:
            raise _Ended(self._without_item(row, key))
        match self._client.items.locate(barcode):
            case Found(place):
                return place
            case Absent():
                raise _Ended(
                    result(row, ItemUpdateOutcome.NOT_FOUND, f"Alma has no item with the barcode {barcode}")
                )
            case Unknown(error):
                raise _Ended(
                    result(row, ItemUpdateOutcome.FAILED, f"the barcode could not be looked up: {error}")
                )

    def _by_aleph_key(self, row: Row, key: ItemKey) -> ItemPlace | None:
        """Where the item of an Aleph key is: as an earlier update noted it, or by the notes of the title's items."""
        known = self._memory.find_key(key_text(key))
        if known is not None:
            self._known_keys.add(key_text(key))
            return ItemPlace(known.mms_id, _ANY, known.item_pid)
        if not row["mms_id"] or self._profile.aleph_key == "table":
            return None
        match self._client.items.list(row["mms_id"]):
            case Found(items):
                ours = [item for item in items if self._key_in(item) == key]
                if len(ours) > 1:
                    message = f"{counted(len(ours), 'item')} of the title have the Aleph key {key_text(key)} in a note"
                    raise _Ended(result(row, ItemUpdateOutcome.INVALID_ROW, message))
                return ItemPlace(ours[0].mms_id, _ANY, ours[0].pid) if ours else None
            case Absent():
                return None
            case Unknown(error):
                message = f"the items of the title could not be read: {error}"
                raise _Ended(result(row, ItemUpdateOutcome.FAILED, message))
        return None

    def _key_in(self, item: Item) -> ItemKey | None:
        """The Aleph key that an item has in the note of the profile."""
        note = self._profile.aleph_key
        return key_in_note(shown(item.raw, (note,))[note]) if note.startswith("internal_note_") else None

    @staticmethod
    def _without_item(row: Row, key: ItemKey | None) -> End:
        if key is None:
            return result(
                row, ItemUpdateOutcome.INVALID_ROW, "the row names no item: neither item_pid nor barcode"
            )
        message = (
            f"no item is known for the Aleph key {key_text(key)}: drop the row once with the item's barcode"
        )
        return result(row, ItemUpdateOutcome.NOT_FOUND, message)

    def _read(self, row: Row, place: ItemPlace) -> Item:
        match self._client.items.read(place.mms_id, place.holding_id, place.pid):
            case Found(item):
                self._check_key(row, item)
                self._remember_key(row, item)
                return item
            case Absent() | Unknown() as answer:
                error = answer.error
        code = error.code if error is not None else ""
        if place.mms_id == _ANY and not isinstance(error, RemoteMalformed) and code in _NOT_THERE:
            message = f"Alma does not find the item {place.pid} by its pid alone: give its mms_id, too, or its barcode"
            raise _Ended(result(row, ItemUpdateOutcome.NOT_FOUND, message))
        if isinstance(answer, Absent):
            of = f" of the title {row['mms_id']}" if row["mms_id"] else ""
            message = f"Alma has no item {place.pid}{of}"
            raise _Ended(result(row, ItemUpdateOutcome.NOT_FOUND, message, item_pid=place.pid))
        raise _Ended(
            result(row, ItemUpdateOutcome.FAILED, f"the item could not be read: {error}", item_pid=place.pid)
        )

    def _check_key(self, row: Row, item: Item) -> None:
        """Raises _Ended where the row names the item by something that is another's."""
        named = {"item_pid": item.pid, "mms_id": item.mms_id, "holding_id": item.holding_id}
        first = self.first_read.of(row["line"]) if not self._dry_run else None
        if first is None:
            named["barcode"] = item.barcode
        else:  # an attempt of this run may have given it another barcode and holding
            named["holding_id"] = first["holding_id"]
        wrong = [
            f"{name} {row[name]} is not the item's, which is {actual}"
            for name, actual in named.items()
            if row.get(name) and row[name] != actual
        ]
        key = key_of(row) if self._profile.aleph_key != "none" else None
        noted = self._key_in(item) if key is not None else None
        if noted is not None and key is not None and noted != key:
            wrong.append(f"the item has the Aleph key {key_text(noted)} in its note, the row {key_text(key)}")
        if wrong:
            message = f"{'; '.join(wrong)}: the key of an item cannot be changed"
            raise _Ended(self._end(row, ItemUpdateOutcome.INVALID_ROW, message, item))

    def _remember_key(self, row: Row, item: Item) -> None:
        key = key_of(row) if self._profile.aleph_key != "none" and not self._dry_run else None
        if key is not None and key_text(key) not in self._known_keys:
            self._memory.remember_key(KeyedItem(key_text(key), item.mms_id, item.pid))
            self._known_keys.add(key_text(key))

    # --- the change

    @contextmanager
    def _locked(self, place: ItemPlace) -> Iterator[Callable[[], None]]:
        with self._locks.hold(f"item {place.pid} of {self._alma}") as lock:
            yield lock.check

    def _holding_for(self, row: Row, item: Item, *, ask: bool) -> GroupResult | None:
        """The holding that the row moves the item to, None where it stays; without ``ask`` one without an id where that
        is not known yet. Raises _Ended where the item may not be moved."""
        values = row["values"]
        library, location = values.get("library", item.library), values.get("location", item.location)
        if (library, location) == (item.library, item.location):
            return None
        if not self._profile.move:
            message = f"the item is at {item.library}/{item.location}, and the profile moves none (move: true lets it)"
            raise _Ended(self._end(row, ItemUpdateOutcome.REFUSED, message, item))
        if "" in (library, location):
            raise _Ended(
                self._end(row, ItemUpdateOutcome.INVALID_ROW, "library and location cannot be emptied", item)
            )
        found = self._movers.known(item, library, location)
        if found is None and ask:
            found = self._movers.holding_at(item, library, location)
        if found is None:
            return GroupResult(
                mms_id=item.mms_id, library=library, location=location, outcome="", holding_id="",
                call_number="", made=False, message="",
            )  # fmt: skip
        if found["outcome"]:
            raise _Ended(self._end(row, _OF_FAULT[HoldingFault(found["outcome"])], found["message"], item))
        return found

    def _changed(self, row: Row, item: Item, move: GroupResult | None, check_lock: Callable[[], None]) -> End:
        values = row["values"]
        now = shown(item.raw, values)
        first = self.first_read.of(row["line"])
        if not differing(now, values):
            return self._updated(row, item, first, now, _LOST) if first else self._unchanged(row, item, now)
        if first is None:
            ids = {"item_pid": item.pid, "mms_id": item.mms_id, "holding_id": item.holding_id}
            self.first_read.keep(row["line"], {**now, **ids})
            first = self.first_read.of(row["line"]) or now
        posted: list[None] = []

        def before() -> None:
            check_lock()
            posted.append(None)

        try:
            change = change_item(self._client, item, values, first=first, before=before)
        except LockLost as lost:
            outcome = ItemUpdateOutcome.UNCONFIRMED if posted else ItemUpdateOutcome.FAILED
            return self._end(row, outcome, str(lost), item)
        return self._ended(row, item, first, move, change)

    def _ended(
        self, row: Row, item: Item, first: Mapping[str, str], move: GroupResult | None, change: ItemChange
    ) -> End:
        written, values = change.written, row["values"]
        after = written.value or item
        if written.done and change.now is not None:
            remarks = [_LOST] if written.outcome is WriteOutcome.ADOPTED else []
            remarks += _move_remarks(move, after) if move is not None else []
            if change.others:
                remarks.append(f"Alma shows another value than was sent in {', '.join(change.others)} too")
            return self._updated(row, after, first, change.now, *remarks)
        if change.was_ignored and change.now is not None:
            changes = pairs(first, change.now, values)
            message = (
                f"Alma answered that it was written, and did not take {', '.join(change.not_taken(values))}"
            )
            return self._end(row, ItemUpdateOutcome.NOT_APPLIED, message, after, changes)
        if written.outcome is WriteOutcome.CONFLICT and change.now is not None:
            return self._end(row, ItemUpdateOutcome.CONFLICT, _conflict(change.now, first, values), after)
        outcome, words = _OF_WRITTEN[written.outcome]
        return self._end(row, outcome, f"{words}: {written.error}", item)

    def _unchanged(self, row: Row, item: Item, now: Mapping[str, str]) -> End:
        return self._end(row, ItemUpdateOutcome.UNCHANGED, "", item, pairs(now, now, row["values"]))

    def _updated(
        self, row: Row, item: Item, first: Mapping[str, str], now: Mapping[str, str], *remarks: str
    ) -> End:
        known = {**now, **{name: first[name] for name in row["values"] if name in first}}
        changes = pairs(known, now, row["values"])
        return self._end(row, ItemUpdateOutcome.UPDATED, "; ".join(filter(None, remarks)), item, changes)

    @staticmethod
    def _end(
        row: Row, outcome: ItemUpdateOutcome, message: str, item: Item, changes: Pairs | None = None
    ) -> End:
        return result(
            row,
            outcome,
            message,
            changes=changes,
            item_pid=item.pid,
            mms_id=item.mms_id,
            barcode=item.barcode,
        )


_LOST = "no answer came; a look confirmed it"
_OF_FAULT = {
    HoldingFault.BIB_NOT_FOUND: ItemUpdateOutcome.NOT_FOUND,
    HoldingFault.NO_HOLDING: ItemUpdateOutcome.REFUSED,
    HoldingFault.SEVERAL_HOLDINGS: ItemUpdateOutcome.REFUSED,
    HoldingFault.UNCONFIRMED: ItemUpdateOutcome.FAILED,
    HoldingFault.FAILED: ItemUpdateOutcome.FAILED,
}
_OF_WRITTEN = {
    WriteOutcome.REFUSED: (ItemUpdateOutcome.REFUSED, "Alma refused it"),
    WriteOutcome.NOT_FOUND: (ItemUpdateOutcome.NOT_FOUND, "Alma has no such item any more"),
    WriteOutcome.UNCONFIRMED: (ItemUpdateOutcome.UNCONFIRMED, "it was sent and no answer came"),
    WriteOutcome.FAILED: (ItemUpdateOutcome.FAILED, "it was not written"),
}


def _move_remarks(move: GroupResult, after: Item) -> list[str]:
    if after.holding_id == move["holding_id"]:
        return [move["message"]] if move["message"] else []
    return [
        f"Alma put it into the holding {after.holding_id} and not into {move['holding_id']}, which is at "
        f"{move['library']}/{move['location']} too: look at the title in Alma"
    ]


def _conflict(now: Mapping[str, str], first: Mapping[str, str], values: Mapping[str, str]) -> str:
    found = "; ".join(
        f"{column} was {first[column]!r} and is {now[column]!r}"
        for column in foreign_columns(now, first, values)
    )
    return f"somebody else changed the item since it was first read ({found}): nothing was overwritten"
