"""Step 3 of an item load: the holding of each title and place, found or made, and made once.

The cheap look is the availability of 100 titles a call. It does not show everything (suppressed holdings, those
whose items are all elsewhere for a while, those made a moment ago), so that it can prove that there is a holding
but not that there is none: before one is made, the title's own list is asked, while all other loads are kept off
the title by a lock.
"""

import hashlib
import logging
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from alma_etl.alma.bibs import Bib, in_batches, read_bibs
from alma_etl.alma.client import AlmaClient
from alma_etl.inventory.codes import alma_of, read_check, unknown_titles
from alma_etl.inventory.existing_items import look_by_barcode, look_where_it_was
from alma_etl.inventory.holdings import (
    Group,
    GroupResult,
    HoldingFault,
    Maker,
    TitleResult,
    available,
    choose,
    group_key,
    groups_of,
    is_settled,
)
from alma_etl.inventory.item_rows import ItemOutcome, result, row_key, verdict
from alma_etl.inventory.loaded_items import LoadedItems
from alma_etl.jobs.checkpoint import Checkpoint, Rank, Step, digest
from alma_etl.jobs.file_run import FileRun
from alma_etl.jobs.outcomes import End, Row
from alma_etl.jobs.row_ends import RowEnds
from alma_etl.remote.answers import Absent, Found, Unknown
from alma_etl.store.locks import LockBusy, Locks

log = logging.getLogger(__name__)


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row_key(row) if "line" in row else group_key(row)


def _rank(row: Mapping[str, Any]) -> Rank:
    if row["outcome"]:
        return ItemOutcome(row["outcome"]).weight.rank
    return Rank.MADE if row["made"] else Rank.SETTLED


STEP = Step("holdings.jsonl", key=_key, rank=_rank)


def resolve_holdings(
    job: RowEnds[Any], client: AlmaClient, folder: FileRun, number: int, *, memory: LoadedItems, locks: Locks
) -> dict[str, int]:
    """Decide for every title and place of a chunk which holding its rows go to; return the counts.

    Rows that an earlier load brought into Alma are looked up first and need no holding. The rest costs one
    request for 100 titles whose holding availability shows, and about four where a holding has to be made.
    What earlier attempts found is not asked again; what failed or was refused then is. Raises RemoteStop,
    StoreUnavailable.
    """
    return _Resolving(job, client, folder, number, memory, locks).run()


Groups = dict[tuple[str, str, str], GroupResult]
Ends = dict[tuple[int, str, str], End]


def resolved(folder: FileRun, number: int, alma: str | None = None) -> tuple[Groups, Ends]:
    """What `resolve_holdings` found: the groups by title and place, and the rows that ended there."""
    return _sorted(holdings_of(folder, number, alma).rows().values())


def begun_groups(folder: FileRun, number: int) -> Collection[tuple[str, str, str]]:
    """The groups of a chunk for which a holding may have been made, as far as nobody knows what came of it."""
    rows = folder.rows(number)
    begun = _begun_keys(folder, number)
    return {group_key(row) for row in rows if any(key.endswith(_begun_name(group_key(row))) for key in begun)}


def holdings_of(folder: FileRun, number: int, alma: str | None = None) -> Checkpoint:
    """The results of a chunk, with what they depend on."""
    profile = folder.plan().profile
    names = (
        "library", "location", "create_holding", "on_several_holdings", "call_number_from", "dry_run"
    )  # fmt: skip
    settings = {name: getattr(profile, name) for name in names}
    return Checkpoint(folder.bucket, folder.chunk_key(number, STEP.name), STEP, settings=settings, alma=alma)


def _sorted(rows: Iterable[Any]) -> tuple[Groups, Ends]:
    groups: Groups = {}
    ends: Ends = {}
    for each in rows:
        if "line" in each:
            ends[row_key(each)] = each
        else:
            groups[group_key(each)] = each
    return groups, ends


def _begun_keys(folder: FileRun, number: int) -> set[str]:
    return {info.key for info in folder.bucket.list(folder.chunk_key(number, "begun/"))}


def _begun_name(group: tuple[str, str, str]) -> str:
    digested = hashlib.sha256("\n".join(group).encode()).hexdigest()[:16]
    return f"{group[0]}-{digested}"


class _Resolving:
    """The work on one chunk."""

    def __init__(
        self,
        job: RowEnds[Any],
        client: AlmaClient,
        folder: FileRun,
        number: int,
        memory: LoadedItems,
        locks: Locks,
    ) -> None:
        self._job = job
        self._client = client
        self._folder = folder
        self._number = number
        self._memory = memory
        self._locks = locks
        self._plan = folder.plan()
        self._alma = alma_of(client, folder)
        self._checkpoint = holdings_of(folder, number, self._alma)
        self._groups, self._rows = _sorted(self._checkpoint.settled().values())
        self._begun = _begun_keys(folder, number)
        self._maker = Maker(
            client,
            self._plan.profile,
            self._plan.day,
            memory=memory,
            sender=f"{folder.run_id} {uuid.uuid4().hex}",
            known_end=lambda row: look_by_barcode(client, row),
            was_begun=self._was_begun,
            note_begun=self._note_begun,
            not_begun=self._not_begun,
        )

    def run(self) -> dict[str, int]:
        """Do what earlier attempts left, and save the whole."""
        check = read_check(self._folder)
        unknown = unknown_titles(self._folder, self._number, self._alma)
        created = self._job.made_rows(self._folder, self._number, self._alma)
        rows = [
            row
            for row in self._folder.rows(self._number)
            if row_key(row) not in created and verdict(row, check, unknown) is None
        ]
        with self._checkpoint:
            self._look_up_known(rows)
            open_rows = [row for row in rows if row_key(row) not in self._rows]
            groups = [group for group in groups_of(open_rows) if group_key(group) not in self._groups]
            unavailable = self._find_available(groups)
            self._settle_exactly(unavailable)
        failed = [each for each in self._groups.values() if not is_settled(each)]
        for each in failed[:20]:
            log.warning("%s at %s/%s: %s", each["mms_id"], each["library"], each["location"], each["message"])
        completed = self._checkpoint.complete([*self._groups.values(), *self._rows.values()])
        self._groups, self._rows = _sorted(completed)
        counts = {
            "holdings": sum(bool(each["holding_id"]) for each in self._groups.values()),
            "made": sum(each["made"] for each in self._groups.values()),
            "in_alma_already": len(self._rows),
            "failed": len(failed),
        }
        log.info(
            "Chunk %04d: %s", self._number, ", ".join(f"{count} {name}" for name, count in counts.items())
        )
        return counts

    def _keep(self, done: TitleResult) -> None:
        for group in done.groups:
            self._groups[group_key(group)] = group
            self._checkpoint.add(group)
        for row in done.rows:
            self._rows[row_key(row)] = row
            self._checkpoint.add(row)

    def _look_up_known(self, rows: Sequence[Row]) -> None:
        """The rows of items that an earlier load left in Alma: a file dropped again writes nothing."""
        waiting = [row for row in rows if row_key(row) not in self._rows]
        known = self._memory.find([row["barcode"] for row in waiting])
        remembered = [row for row in waiting if row["barcode"] in known]
        for row, answer in self._client.in_parallel(
            lambda row: look_where_it_was(self._client, row, known[row["barcode"]]), remembered
        ):
            match answer:
                case Found(end):
                    self._keep(TitleResult(rows=[end]))
                case Unknown(error):
                    message = f"an earlier load created it, and whether it is still there could not be read: {error}"
                    self._keep(TitleResult(rows=[result(row, ItemOutcome.FAILED, message)]))
                case Absent():
                    log.info("The item %s of an earlier load is gone, it is loaded again", row["barcode"])

    def _find_available(self, groups: Sequence[Group]) -> Mapping[str, tuple[Bib, list[Group]]]:
        """Settle what availability shows; return the titles with groups that it does not show."""
        by_title: dict[str, list[Group]] = {}
        for group in groups:
            by_title.setdefault(group.mms_id, []).append(group)
        unavailable: dict[str, tuple[Bib, list[Group]]] = {}
        for group in by_title.pop("", []):  # of titles that a dry run would create
            self._keep(TitleResult([self._of_a_new_title(group)]))
        for _, answers in self._client.in_parallel(
            lambda batch: read_bibs(self._client.bibs, batch, availability=True), in_batches(list(by_title))
        ):
            for mms_id, answer in answers.items():
                match answer:
                    case Found(bib):
                        hidden = list(self._unavailable(bib, by_title[mms_id]))
                        if hidden:
                            unavailable[mms_id] = bib, hidden
                    case Absent():
                        message = f"Alma does not know the title {mms_id} any more"
                        self._end(by_title[mms_id], HoldingFault.BIB_NOT_FOUND, message)
                    case Unknown(error):
                        self._end(
                            by_title[mms_id], HoldingFault.FAILED, f"the title could not be read: {error}"
                        )
        return unavailable

    def _of_a_new_title(self, group: Group) -> GroupResult:
        if self._plan.profile.create_holding:
            return group.goes_to("", "", f"a holding at {group.place} would be created")
        return group.ends(HoldingFault.NO_HOLDING, "the title is new, and the profile creates no holding")

    def _unavailable(self, bib: Bib, groups: Sequence[Group]) -> Iterator[Group]:
        shown = available(bib)
        for group in groups:
            found = choose(group, shown, self._plan.profile)
            if found is None or self._was_begun(group):
                yield group
            else:
                self._keep(TitleResult([found]))

    def _end(self, groups: Sequence[Group], outcome: HoldingFault, message: str) -> None:
        self._keep(TitleResult([group.ends(outcome, message) for group in groups]))

    def _settle_exactly(self, titles: Mapping[str, tuple[Bib, list[Group]]]) -> None:
        for _, done in self._client.in_parallel(lambda pair: self._settle_title(*pair), titles.values()):
            self._keep(done)

    def _settle_title(self, bib: Bib, groups: Sequence[Group]) -> TitleResult:
        if self._plan.dry_run or not self._plan.profile.create_holding:
            return self._maker.settle(bib, groups)
        try:
            with self._locks.hold(f"title {bib.mms_id}") as lock:
                return self._maker.settle(bib, groups, lock.check)
        except LockBusy as error:
            return TitleResult(
                [group.ends(HoldingFault.FAILED, f"{error}: clear this chunk's tasks") for group in groups]
            )

    def _was_begun(self, group: Group) -> bool:
        name = _begun_name(group_key(group))
        before = self._folder.chunk_key(
            self._number, f"begun/{name}"
        )  # by a version that kept no gateway with it
        return self._begun_key(group) in self._begun or before in self._begun

    def _note_begun(self, group: Group) -> None:
        self._folder.bucket.put(self._begun_key(group), repr(group_key(group)).encode(), "text/plain")

    def _not_begun(self, group: Group) -> None:
        """Nothing was made by this attempt; what an earlier one noted stands."""
        if not self._was_begun(group):
            self._folder.bucket.delete([self._begun_key(group)])

    def _begun_key(self, group: Group) -> str:
        name = f"begun/{digest(self._alma)}-{_begun_name(group_key(group))}"
        return self._folder.chunk_key(self._number, name)
