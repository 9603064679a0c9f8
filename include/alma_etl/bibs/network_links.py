"""Records that become titles by a link to the network zone: the zone's record, linked into the institution once."""

from collections.abc import Callable

from alma_etl.alma.bib_writes import find_linked, link_network_record
from alma_etl.alma.bibs import Bib
from alma_etl.bibs.catalogue import Catalogue
from alma_etl.bibs.chunk_records import ChunkRecords
from alma_etl.bibs.matches import Match, read_match
from alma_etl.bibs.profiles import BibProfile
from alma_etl.bibs.rows import BibOutcome
from alma_etl.bibs.title_notes import Looked, TitleNotes
from alma_etl.jobs.outcomes import End, Row
from alma_etl.remote.answers import Found, Unknown
from alma_etl.remote.errors import RemoteStop
from alma_etl.remote.safe_write import WriteOutcome


class NetworkLinks:
    """The links of a chunk's records."""

    def __init__(self, catalogue: Catalogue, records: ChunkRecords, notes: TitleNotes) -> None:
        self._client, self._locks = catalogue.client, catalogue.locks
        self._records, self._notes = records, notes

    def link(self, row: Row, match: Match, looked: Looked, check: Callable[[], None]) -> End | Match:
        """Link a record of the network zone into the institution, unless one is linked to it already: then that is the
        title of the row."""
        numbers = self._notes.names_of(row, [match.network])
        sent = False
        with self._locks.hold(f"nz {match.network}") as lock:

            def before() -> None:
                nonlocal sent
                check()
                lock.check()
                sent = True

            instead = self._notes.claim(row, match, looked, numbers)
            if instead is not None:
                return instead
            try:
                written = link_network_record(self._client, match.network, before=before)
            except RemoteStop as stop:
                if not stop.effect_unknown:
                    self._notes.forget(row, numbers)
                raise
            if written.outcome is WriteOutcome.UNCONFIRMED:
                message = f"it was to be linked, no answer came, and Alma does not show it: {written.error}"
                return self._records.end(row, BibOutcome.UNCONFIRMED, match, message)
            ours = sent and written.error is None
            if ours and written.value is not None:
                self._notes.note_new(row, match, numbers, written.value)
            else:
                self._notes.forget(row, numbers)
        if written.value is None:
            message = f"the network zone's record {match.network} could not be linked: {written.error}"
            return self._records.end(row, BibOutcome.FAILED, match, message)
        if not ours:
            self._records.matcher.note_linked(match.network, written.value.mms_id)
            return self._records.again(row)
        end = self._records.written(row, BibOutcome.CREATED, match, written, written.value)
        flags = _flags_of(written.value, self._records.profile)
        return {**end, "message": "; ".join((end["message"], flags))}

    def would(self, row: Row, match: Match) -> End:
        """What `link` would come to. Titles that others linked are found by the zone's record alone."""
        match find_linked(self._client, match.network):
            case Found(title):
                self._records.matcher.note_linked(match.network, title.mms_id)
                late = read_match(self._records.matcher.match(row))
                return self._records.refused_late(row, match, late.mms_id) or self._records.would(row, late)
            case Unknown(error):
                message = f"whether a title is linked to {match.network} could not be looked up: {error}"
                return self._records.end(row, BibOutcome.FAILED, match, message)
        return self._records.would(row, match)

    def would_beside(self, row: Row, first: Match) -> End:
        """What a twin of a record would come to that is linked, or has been by others."""
        linked = find_linked(self._client, first.network)
        return self._records.beside(row, linked.value.mms_id if isinstance(linked, Found) else "")


def _flags_of(title: Bib, profile: BibProfile) -> str:
    """What a linked title has of what the profile says of new titles: no document says that an institution sets it."""
    state = "suppressed" if title.suppressed else "not suppressed"
    if title.suppressed != profile.suppress:
        return f"Alma made it {state}, which is to be set there"
    return f"it is {state}"
