"""Titles for many records at once: their numbers by SRU, the titles' records by 100 ids a call.

SRU says only which titles to read. Its index lags, so that the titles that imports made for a number are read too; what
it could not answer is asked of Alma's API, number by number, where that knows the kind of number.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from alma_etl.alma.bibs import MAX_BATCH, Bib, Bibs, in_batches, read_bibs
from alma_etl.alma.sru import ISBN, ISSN, NUMBERS_A_QUERY, OCLC, OTHER_SYSTEM, SruClient
from alma_etl.bibs.keys import BibKeys, keys_of
from alma_etl.bibs.matching import Memory, Number, Remembered, RestFinder
from alma_etl.bibs.profiles import NEEDS_SRU, Method
from alma_etl.marc.xml import record_from_xml
from alma_etl.remote.answers import Absent, Answer, Found, ListAnswer, Unknown, rows_of
from alma_etl.remote.errors import RemoteError

log = logging.getLogger(__name__)

RECORDS_AT_ONCE = MAX_BATCH  # records of a file whose numbers are looked up together
_INDEXES: Mapping[Method, str] = {
    "oclc": OCLC, "019": OCLC, "isbn": ISBN, "issn": ISSN, "system": OTHER_SYSTEM,
}  # fmt: skip
_IN_A_RECORD: Mapping[str, Callable[[BibKeys], Collection[str]]] = {
    OCLC: lambda keys: keys.all_oclc,
    ISBN: lambda keys: (*keys.isbn, *keys.isbn_cancelled),
    ISSN: lambda keys: keys.issn,
    OTHER_SYSTEM: lambda keys: (*keys.system, *keys.system_as_written),
}
_Ids = Sequence[str] | Unknown  # the titles that may have a number, or why that is not known


class SruFinder:
    """Finds the titles of the records that `look_up` was given, from what it found; of other numbers singly.

    ``rest``, ``memory`` and ``inventory`` as `RestFinder` has them. `find` is safe for several threads while nothing is
    looked up.
    """

    def __init__(
        self, sru: SruClient, bibs: Bibs, rest: RestFinder, memory: Memory, *, inventory: bool = False
    ) -> None:
        self._sru = sru
        self._bibs = bibs
        self._rest = rest
        self._memory = memory
        self._inventory = inventory
        self._known: dict[Number, Remembered] = {}
        self._ids: dict[Number, _Ids] = {}
        self._titles: dict[str, Answer[Bib]] = {}
        self._silent: RemoteError | None = None

    def look_up(self, records: Iterable[Sequence[Sequence[Number]]]) -> None:
        """Look up the numbers of records together, of each record as `numbers_of` has them: those of the next methods
        where the first have no title. What was looked up before is forgotten. Raises RemoteStop, StoreUnavailable."""
        self._ids, self._titles, self._known = {}, {}, {}
        records = list(records)
        waiting = records
        while waiting := [groups for groups in waiting if groups]:
            numbers = dict.fromkeys(number for groups in waiting for number in groups[0])
            self._ids |= self._ids_of([number for number in numbers if number not in self._ids])
            self._titles |= self._read(ids for ids in self._ids.values())
            waiting = [groups[1:] for groups in waiting if self._have_no_title(groups[0])]
        self._rest.look_up(records if any(isinstance(ids, Unknown) for ids in self._ids.values()) else [])

    def had(self, number: Number) -> Collection[str]:
        known = self._known.get(number)
        return self._rest.had(number) if known is None else known.had

    def find(self, number: Number) -> ListAnswer[Bib]:
        ids, titles = self._ids.get(number), self._titles
        if ids is None:
            # Between two looks: the API's index lags less than SRU's.
            if number.method not in NEEDS_SRU:
                return self._rest.find(number)
            ids = self._ids_of([number])[number]
            titles = {**titles, **self._read([ids])}
        if isinstance(ids, Unknown):
            return ids if number.method in NEEDS_SRU else self._rest.find(number)
        bibs = []
        for mms_id in ids:
            match titles[mms_id]:
                case Found(bib):
                    bibs.append(bib)
                case Unknown() as unknown:
                    return unknown
        return Found(bibs)

    def was_silent(self, numbers: Iterable[Number]) -> bool:
        """Whether SRU gave no answer for one of the numbers that were looked up."""
        return any(isinstance(self._ids.get(number), Unknown) for number in numbers)

    def _have_no_title(self, numbers: Iterable[Number]) -> bool:
        found = [self._ids[number] for number in numbers]
        return not any(
            isinstance(ids, Unknown) or any(not isinstance(self._titles[each], Absent) for each in ids)
            for ids in found
        )

    def _ids_of(self, numbers: Collection[Number]) -> dict[Number, _Ids]:
        """The titles that may have each number, by SRU's index and by what imports made."""
        by_index: dict[str, dict[str, list[Number]]] = {}
        found: dict[Number, _Ids] = {}
        for number in numbers:
            index = _INDEXES.get(number.method)
            if index is None:
                found[number] = [number.value]  # it is an MMS id
            else:
                for spelling in (number.value, *number.spellings):
                    by_index.setdefault(index, {}).setdefault(spelling, []).append(number)
        for index, values in by_index.items():
            for spelling, ids in self._search(index, list(values)).items():
                for number in values[spelling]:
                    found[number] = _both(found.get(number, ()), ids)
        known = self._memory(numbers)
        self._known |= known
        for number, ids in found.items():
            if not isinstance(ids, Unknown):
                found[number] = list(dict.fromkeys((*ids, *known[number].ids, *known[number].had)))
        return found

    def _read(self, found: Iterable[_Ids]) -> dict[str, Answer[Bib]]:
        ids = dict.fromkeys(each for ids in found if not isinstance(ids, Unknown) for each in ids)
        titles: dict[str, Answer[Bib]] = {}
        for batch in in_batches([each for each in ids if each not in self._titles]):
            titles |= read_bibs(self._bibs, batch, to_change=True, inventory=self._inventory)
        return titles

    def _search(self, index: str, values: list[str]) -> dict[str, _Ids]:
        """The ids for each number. After a query that brought nothing SRU is not asked again by this finder."""

        def numbers_in(record: bytes) -> Collection[str]:
            return _IN_A_RECORD[index](keys_of(record_from_xml(record)))

        found: dict[str, _Ids] = {}
        for start in range(0, len(values), NUMBERS_A_QUERY):
            part = values[start : start + NUMBERS_A_QUERY]
            if self._silent is not None:
                found |= dict.fromkeys(part, Unknown(self._silent))
                continue
            answers = self._sru.find(index, part, numbers_in)
            failed = [each.error for each in answers.values() if isinstance(each, Unknown)]
            for value, answer in answers.items():
                ids = [title.mms_id for title in rows_of(answer)]
                found[value] = Unknown(answer.error) if isinstance(answer, Unknown) else ids
            if len(failed) == len(part) > 1:
                self._silent = failed[0]
                log.warning("SRU did not answer, it is not asked again for this chunk: %s", self._silent)
        return found


def _both(some: _Ids, more: _Ids) -> _Ids:
    """The titles of two spellings of a number; of one that is not known nothing is known."""
    if isinstance(some, Unknown):
        return some
    return more if isinstance(more, Unknown) else [*some, *more]
