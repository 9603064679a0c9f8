"""The holding that an item moves to: found, or made with the call number of the one it leaves, before the item moves.

A PUT with another library or location moves an item by itself, and Alma makes a holding where it finds none. Two moves
at once would make two: so the holding is there first, made under the lock of its title by `holdings.Maker`.
"""

import threading
from collections.abc import Callable, Iterable
from datetime import date

from alma_etl.alma.bibs import in_batches, read_bibs
from alma_etl.alma.client import AlmaClient
from alma_etl.alma.items import Item
from alma_etl.inventory.call_numbers import CallNumber, call_number_of_holding
from alma_etl.inventory.holdings import (
    Group,
    GroupResult,
    HoldingFault,
    HoldingRules,
    Maker,
    available,
    choose,
    group_key,
    is_settled,
)
from alma_etl.inventory.loaded_items import LoadedItems
from alma_etl.marc.xml import record_from_xml
from alma_etl.remote.answers import Absent, Found, Unknown
from alma_etl.store.locks import LockBusy, Locks

Place = tuple[str, str, str]  # MMS id, library, location


class Movers:
    """Finds and makes the holdings that the items of one attempt are moved to; what it found is not asked again.

    ``sender`` names the attempt among all that make holdings. Safe for many threads.
    """

    def __init__(
        self,
        client: AlmaClient,
        rules: HoldingRules,
        day: date,
        *,
        memory: LoadedItems,
        locks: Locks,
        sender: str,
    ) -> None:
        self._client = client
        self._rules = rules
        self._day = day
        self._memory = memory
        self._locks = locks
        self._sender = sender
        self._mutex = threading.Lock()
        self._found: dict[Place, GroupResult] = {}

    def look_ahead(self, places: Iterable[Place]) -> None:
        """Find the holdings that the availability of titles shows: one request for 100 titles."""
        wanted: dict[str, list[Group]] = {}
        for place in dict.fromkeys(places):
            wanted.setdefault(place[0], []).append(Group(*place))
        for _, answers in self._client.in_parallel(
            lambda batch: read_bibs(self._client.bibs, batch, availability=True), in_batches(list(wanted))
        ):
            for mms_id, answer in answers.items():
                if isinstance(answer, Found):
                    for group in wanted[mms_id]:
                        self._note(group, choose(group, available(answer.value), self._rules))

    def known(self, item: Item, library: str, location: str) -> GroupResult | None:
        """Return what this attempt found out about a place of an item's title, None when it did not ask yet."""
        with self._mutex:
            return self._found.get((item.mms_id, library, location))

    def holding_at(self, item: Item, library: str, location: str) -> GroupResult:
        """Return the holding that an item goes to, made where there is none. About three requests; call it without any
        other lock held. Raises RemoteStop."""
        group = Group(item.mms_id, library, location)
        group.rows.append({"line": 0})
        found = self._settled(item, group)
        self._note(group, found)
        return found

    def _note(self, group: Group, found: GroupResult | None) -> None:
        if found is not None and is_settled(found):
            with self._mutex:
                self._found[group_key(group)] = found

    def _settled(self, item: Item, group: Group) -> GroupResult:
        if self._rules.dry_run or not self._rules.create_holding:
            return self._asked(item, group)
        try:
            with self._locks.hold(f"title {group.mms_id}") as lock:
                return self._asked(item, group, lock.check)
        except LockBusy as error:
            return group.ends(HoldingFault.FAILED, str(error))

    def _asked(self, item: Item, group: Group, check_lock: Callable[[], None] = lambda: None) -> GroupResult:
        match self._client.bibs.read(group.mms_id):
            case Found(bib):
                maker = Maker(
                    self._client,
                    self._rules,
                    self._day,
                    memory=self._memory,
                    sender=self._sender,
                    known_end=lambda row: Absent(),
                    was_begun=lambda group: False,
                    note_begun=lambda group: None,
                    not_begun=lambda group: None,
                    call_number=lambda: self._call_number_of(item),
                )
                return maker.settle(bib, [group], check_lock).groups[0]
            case Absent():
                return group.ends(HoldingFault.BIB_NOT_FOUND, f"Alma does not know the title {group.mms_id}")
            case Unknown(error):
                return group.ends(HoldingFault.FAILED, f"the title could not be read: {error}")

    def _call_number_of(self, item: Item) -> CallNumber | None:
        match self._client.holdings.read(item.mms_id, item.holding_id):
            case Found(holding) if holding.record is not None:
                try:
                    return call_number_of_holding(record_from_xml(holding.record))
                except ValueError:
                    return None
        return None
