"""The records of a chunk on their way into Alma: what `match` decided of each, the ends that they came to so far, and
which of them are of one title.

Of records of one file for one title the first that is not refused decides, and the others name it. Within a chunk that
is the first of the file. Records that share no number may be in two chunks: then it is the one that is written first.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

from pymarc import Record

from alma_etl.alma.bibs import Bib
from alma_etl.bibs.carrier import disagreements
from alma_etl.bibs.catalogue import Catalogue
from alma_etl.bibs.field_diff import changed_tags
from alma_etl.bibs.keys import BibKeys, keys_of
from alma_etl.bibs.matches import Match, Matcher, matches_of, read_match, record_of
from alma_etl.bibs.merging import differs, merge
from alma_etl.bibs.network import network_key
from alma_etl.bibs.profiles import BibProfile
from alma_etl.bibs.rows import OF_RUN, BibOutcome, sender_of
from alma_etl.bibs.twins import STRONG, deciding, firsts
from alma_etl.inventory.loaded_bibs import SavedTitle
from alma_etl.jobs.file_job import FileJob, Refusal
from alma_etl.jobs.file_run import FileRun
from alma_etl.jobs.outcomes import End, Row
from alma_etl.marc.xml import record_from_xml
from alma_etl.remote.answers import Found, Unknown
from alma_etl.remote.safe_write import WriteOutcome, Written

OF_THE_TITLE = frozenset((BibOutcome.MERGED, BibOutcome.OVERLAID, BibOutcome.UNCHANGED))
# What a record comes to only because another one of the file has changed its title before.
BEHIND_A_TWIN = frozenset((BibOutcome.NOT_ADDED_BRIEF, BibOutcome.NOT_ADDED_OLD))
SAME_TITLE = "is of the same title"

_WOULD = {
    BibOutcome.CREATED: BibOutcome.WOULD_CREATE,
    BibOutcome.MERGED: BibOutcome.WOULD_MERGE,
    BibOutcome.OVERLAID: BibOutcome.WOULD_OVERLAY,
}

LateFault = Callable[[Row, str], Refusal | None]


class ChunkRecords:
    """The records of a chunk. ``faults``: why one is not to be written at all, by its line; ``late_fault`` says it
    where the title is found only when it is to be written."""

    def __init__(
        self,
        job: FileJob[Any],
        catalogue: Catalogue,
        run: FileRun,
        number: int,
        faults: Mapping[int, Refusal],
        late_fault: LateFault,
    ) -> None:
        self.profile: BibProfile = run.plan().profile
        self.matcher = Matcher(catalogue, self.profile)
        self.faults = faults
        self._late_fault = late_fault
        self._job, self._client, self._run_id = job, catalogue.client, run.run_id
        self._checkpoint = partial(matches_of, run, number, catalogue.alma)
        self._matches = {kept["line"]: kept for kept in self._checkpoint().rows().values()}
        self._ends = {end["line"]: end for end in job.ends_of(run, number, catalogue.alma).rows().values()}
        rows = list(run.rows(number))
        self._firsts, things = self._first_rows(rows)
        turns = firsts(rows, lambda row: (*names_of(row), str(self.first(row)["group"])))
        self.things, self.turns = (
            {line: int(first["line"]) for line, first in each.items()} for each in (things, turns)
        )

    def sender(self, row: Row) -> str:
        """The name under which the state store has what a row sends."""
        return sender_of(self._run_id, row["record"])

    # --- matches

    def titles_of(self, rows: Iterable[Row]) -> set[str]:
        """The MMS ids of the titles that rows match."""
        kept = (self._matches.get(row["line"]) for row in rows)
        return {each["mms_id"] for each in kept if each and each["mms_id"]}

    def network_of(self, row: Row) -> str:
        """The network zone's record that a row is to be linked to, "" for none."""
        return str(self._matches.get(row["line"], {}).get("network", ""))

    def match_of(self, row: Row) -> Match:
        """The match of a row, by the present settings."""
        kept: Mapping[str, Any] | None = self._matches.get(row["line"])
        if kept is None:
            message = (
                "its titles were not looked up by the present settings: clear the task match of its chunk"
            )
            return Match(BibOutcome.FAILED, "none", message, (), "", None, None, ())
        return read_match(kept)

    def again(self, row: Row) -> Match:
        """Look for the title of a record once more, and keep what is found: the report shows what was changed by it,
        and a later attempt goes on from it."""
        kept = self.matcher.match(row)
        self._checkpoint().add_all([kept])
        return read_match(kept)

    # --- ends

    def end(
        self, row: Row, outcome: BibOutcome, match: Match | None = None, message: str = "", mms_id: str = ""
    ) -> End:
        """The end of a row, with the reasons of its match; message and title are those of the match by default."""
        reasons = [*filter(None, row["reasons"].split(";")), *(match.reasons if match else ())]
        return self._job.end(
            row,
            outcome,
            message or (match.message if match else ""),
            mms_id=mms_id or (match.mms_id if match else ""),
            reasons=";".join(dict.fromkeys(reasons)),
        )

    def would(self, row: Row, match: Match) -> End:
        """What a record would come to by its match."""
        outcome = _WOULD.get(match.outcome, match.outcome) if match.action != "none" else match.outcome
        return self.end(row, outcome, match)

    def written(self, row: Row, outcome: BibOutcome, match: Match, written: Written[Bib], title: Bib) -> End:
        """The end of a record that is in Alma now as this title."""
        if written.outcome is WriteOutcome.UNCHANGED:
            outcome = BibOutcome.UNCHANGED
        parts = [match.message, f"Alma's warnings: {' '.join(title.warnings)}" if title.warnings else ""]
        if written.outcome is WriteOutcome.ADOPTED:
            parts.append("no answer came; a look confirmed it")
        return self.end(row, outcome, match, "; ".join(filter(None, parts)), mms_id=title.mms_id)

    def note(self, row: Row, end: End) -> End:
        """Keep the end of a row for those of the same title."""
        self._ends[row["line"]] = end
        return end

    def refused_late(self, row: Row, match: Match, mms_id: str) -> End | None:
        """The end of a record that something speaks against in a title other than the one that its faults were looked
        for in."""
        fault = self._late_fault(row, mms_id) if mms_id and mms_id != match.mms_id else None
        if fault is None:
            return None
        return self.end(row, BibOutcome(fault.outcome), message=fault.message, mms_id=mms_id)

    # --- records of one title

    def _first_rows(self, rows: Sequence[Row]) -> tuple[dict[int, Row], dict[int, Row]]:
        """By line, the record that decides, by OCLC numbers or as one that is to change the same title. And the one for
        whose end it waits.

        Records with different numbers may be one title. Each was compared with what Alma had before the others.
        """
        titles: dict[str, list[Row]] = {}
        for row in rows:
            kept = self._matches.get(row["line"])
            if kept and kept["mms_id"] and kept["outcome"] in OF_THE_TITLE:
                titles.setdefault(kept["mms_id"], []).append(row)
        changed = {
            row["line"]: f"title:{mms_id}"
            for mms_id, same in titles.items()
            if any(self._matches[row["line"]]["action"] == "change" for row in same)
            for row in same
        }

        def names(row: Row, *, strong: bool) -> list[str]:
            numbers = [name for name in names_of(row) if strong and name.startswith(STRONG)]
            linked = network_key(self.network_of(row)) if self.network_of(row) else None
            return [row["group"], *numbers, *filter(None, [changed.get(row["line"]), linked])]

        # A profile that looks up only some OCLC numbers may make two titles of records that share one; a number that it
        # looks up counts wherever it stands in the title.
        looks_up_all = {"oclc", "019"} <= set(self.profile.match)
        asked, strong = partial(names, strong=looks_up_all), partial(names, strong=True)
        found = deciding(rows, strong, asked, decides=self._decides, has_title=self._has_title, agree=_agree)
        return found, firsts(rows, strong)

    def _decides(self, row: Row) -> bool:
        """Whether a record is to be in Alma, or is there."""
        if self._is_loaded(row):
            return True
        kept = self._matches.get(row["line"]) if row["line"] not in self.faults else None
        return kept is not None and (kept["action"] != "none" or BibOutcome(kept["outcome"]).weight.loaded)

    def _has_title(self, row: Row) -> bool:
        kept = self._matches.get(row["line"])
        return self._is_loaded(row) or (kept is not None and bool(kept["titles"]))

    def _is_loaded(self, row: Row) -> bool:
        """Whether an earlier attempt has loaded a record, by other settings perhaps."""
        end = self._ends.get(row["line"])
        return end is not None and self._job.outcome_of(end).weight.loaded

    def first(self, row: Row) -> Row:
        """The record that decides what becomes of a record, perhaps itself."""
        return self._firsts[row["line"]]

    def is_twin(self, row: Row) -> bool:
        """Whether another record decides."""
        return bool(self.first(row)["line"] != row["line"])

    def twin_end(self, row: Row) -> End | None:
        """The end of a record whose number or title an earlier one of the file has that is in Alma now; None for
        others."""
        first = self._ends.get(self.first(row)["line"]) if self.is_twin(row) else None
        if first is None or not first["mms_id"] or not self._job.outcome_of(first).weight.loaded:
            return None
        match self._client.bibs.read_to_change(first["mms_id"]):
            case Found(title) if title.linked_to == "NZ" and self.profile.network is not None:
                return self.beside(row, title.mms_id)
            case Found(title) if title.record is not None:
                return self.compared(row, record_from_xml(title.record), title.mms_id)
            case Unknown(error):
                message = f"the title of record {first['record']} could not be read: {error}"
                return self.end(row, BibOutcome.FAILED, message=message, mms_id=first["mms_id"])
        return None

    def record_that_saved(self, row: Row, saved: SavedTitle | None) -> str | None:
        """The record of this file, other than the row's, that last saved a title; None where it was none."""
        if saved is None or saved.sender == self.sender(row):
            return None
        run_id, _, record = saved.sender.rpartition(OF_RUN)
        return record if run_id == self._run_id else None

    def behind(self, row: Row, mms_id: str, record: str) -> End:
        """The end of a record whose title another record of the file, in another chunk perhaps, has saved before."""
        match self._client.bibs.read_to_change(mms_id):
            case Found(title) if title.record is not None:
                return self.compared(row, record_from_xml(title.record), mms_id, record)
            case answer:
                why = answer.error if isinstance(answer, Unknown) else "it is not there"
                message = f"the title of record {record} of the file could not be read: {why}"
                return self.end(row, BibOutcome.FAILED, message=message, mms_id=mms_id)

    def compared(self, row: Row, result: Record, mms_id: str, record: str | None = None) -> End:
        """The end of a twin, by what the first one made of its title; the first of the chunk, or that ``record``."""
        named, twin = self._named(row, record), record_of(row)
        is_left = self.profile.on_match == "skip"
        if is_left and not disagreements(twin, result, keys_of(twin), keys_of(result)):
            # By whatever it differs, nothing of it comes to the title.
            message = f"{named}, and the profile leaves it as it is"
            return self.end(row, BibOutcome.UNCHANGED, message=message, mms_id=mms_id)
        merged = merge(result, twin, self.profile.rule)
        if not differs(result, merged):
            return self.end(row, BibOutcome.UNCHANGED, message=f"{named}, and all of it", mms_id=mms_id)
        tags = changed_tags(result, merged)
        message = f"{named}; this one differs in {tags}: drop it again if it is the better one"
        return self.end(row, BibOutcome.DUPLICATE_IN_FILE, message=message, mms_id=mms_id)

    def beside(self, row: Row, mms_id: str) -> End:
        """The end of a twin whose title the first one has linked to the network zone: nothing of either comes to it."""
        match = self.match_of(row)
        message = f"{self._named(row)}, which is linked to the network zone and not changed from here"
        return self.refused_late(row, match, mms_id) or self.end(
            row, BibOutcome.UNCHANGED, match, message, mms_id
        )

    def _named(self, row: Row, record: str | None = None) -> str:
        """The first record of a twin, or that ``record``, in words."""
        first = self.first(row)
        same = "has the same number" if record is None and first["group"] == row["group"] else SAME_TITLE
        return f"record {record or first['record']} of the file {same}"


def _agree(row: Row, other: Row) -> bool:
    """Whether nothing but a weak number says that two records are of one title, and nothing speaks against it."""
    (record, keys), (first, others) = (_read(each["marc"]) for each in (row, other))
    return not disagreements(record, first, keys, others)


@lru_cache(maxsize=64)
def _read(marc: str) -> tuple[Record, BibKeys]:
    record = record_from_xml(marc.encode())
    return record, keys_of(record)


def names_of(row: Row) -> list[str]:
    """The names of a row's numbers in the memory; none in a chunk that an earlier version of this job has cut."""
    return list(row.get("numbers", ()))
