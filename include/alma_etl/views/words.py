"""How the words of the ledger look on a page: which are good, which need somebody, what an outcome means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from alma_etl.dcb.machine.vocabulary import Status
from alma_etl.jobs.checkpoint import Rank
from alma_etl.jobs.ledger_reading import RunKey
from alma_etl.jobs.outcomes import RowOutcome
from alma_etl.profile_runs.report import OUTCOMES as IMPORTED
from alma_etl.views.file_jobs import FILE_JOBS
from alma_etl.west.outcomes import MEANING, Outcome

Tone = Literal["good", "plain", "wait", "bad"]


@dataclass(frozen=True)
class Word:
    """A state or an outcome: `tone` is how it looks, `meaning` what it says where the word alone does not."""

    word: str
    tone: Tone
    meaning: str = ""


OF_FILES: Mapping[str, type[RowOutcome]] = {job.area.dag_id: job.outcomes for job in FILE_JOBS.values()}
"""The outcomes of every job on dropped files that ships, by the job's word."""

_STATES: Mapping[str, Tone] = {
    "done": "good",
    "running": "wait",
    "waiting": "wait",
    "started": "wait",
    "arrived": "wait",
    "failed": "bad",
    "superseded": "plain",
    "ignored": "plain",
}
FILE_STATES: Mapping[str, str] = {
    "arrived": "not loaded yet",
    "started": "being loaded",
    "done": "loaded",
    "failed": "nothing could be loaded",
    "superseded": "a newer version came first",
    "ignored": "set aside",
}
"""What each state of a dropped file means, in the order in which they are shown."""
_WEST: Mapping[Outcome, Tone] = {
    Outcome.DELIVERED: "good",
    Outcome.BAD_MARC: "wait",
    Outcome.NOT_FOUND: "wait",
    Outcome.FAILED: "bad",
}
CHECKED: Mapping[str, Word] = {
    "ok": Word("ok", "good", "as it should be"),
    "warning": Word("warning", "wait", "half-configured: it works, something else does not"),
    "missing": Word("missing", "bad", "broken: the work fails without it, or with it as it is"),
    "unknown": Word("unknown", "wait", "it could not be read; never taken for missing"),
}
"""What a check of `alma_health_check` or `dcb_check_setup` came to."""
CHECKS: Mapping[str, str] = {
    "alma_health_check": "Health of the installation",
    "dcb_check_setup": "Set-up of DCB",
}
"""The jobs that check instead of working, with what they check."""
_IMPORTED: Mapping[str, Tone] = {"found": "good", "po_line": "good", "not_read": "plain", "gone": "bad"}
_RANKS: Mapping[Rank, Tone] = {
    Rank.MADE: "good",
    Rank.SETTLED: "good",
    Rank.REFUSED: "wait",
    Rank.OPEN: "bad",
}
_REQUESTS: Mapping[str, tuple[Tone, str]] = {
    Status.RPSA: ("plain", "asked for at the lender"),
    Status.CONFIRMED: ("plain", "confirmed by the lender"),
    Status.HANDED_OFF_AS_LOCAL: ("good", "handed over as a local request"),
    Status.RPBA: ("plain", "placed for the patron, not sent yet"),
    Status.RPPA: ("plain", "placed at the pickup library, not sent yet"),
    Status.PICKUP_TRANSIT: ("plain", "on its way to the pickup library"),
    Status.RECEIVED_AT_PICKUP: ("plain", "arrived at the pickup library"),
    Status.READY_FOR_PICKUP: ("plain", "on the hold shelf for the patron"),
    Status.LOANED: ("plain", "lent to the patron"),
    Status.RETURN_TRANSIT: ("plain", "on its way back to the lender"),
    Status.COMPLETED: ("good", "back at the lender"),
    Status.AWAITING_RETURN: ("wait", "cancelled, on its way back to the lender"),
    Status.CANCELLED: ("plain", "cancelled"),
    Status.NOT_SUPPLIED: ("wait", "not supplied by this lender"),
    Status.NO_ITEMS: ("wait", "no copy could be had"),
    Status.FINALISED: ("good", "over, all is cleaned up"),
    Status.ERROR: ("bad", "stopped: somebody has to decide"),
}


def state(word: str) -> Word:
    """The state of a run or a file."""
    return Word(word, _STATES.get(word, "plain"))


def request_status(word: str) -> Word:
    """The status of a patron request; its meaning stands beside it on a page."""
    tone, meaning = _REQUESTS.get(word, ("plain", ""))
    return Word(word, tone, meaning)


def outcome(word: str, job: str = "") -> Word:
    """How a record of a job ended; a word that the job does not have, or no job of ours, is plain."""
    return _outcomes(job).get(word) or Word(word, "plain")


@cache
def _outcomes(job: str) -> Mapping[str, Word]:
    if job == "west_holdings":
        return {each.value: Word(each.value, _WEST.get(each, "plain"), MEANING[each]) for each in Outcome}
    if job == "import_profile_run":
        return {word: Word(word, _IMPORTED.get(word, "wait"), says) for word, says in IMPORTED.items()}
    if job in CHECKS:
        return CHECKED
    if job in OF_FILES:
        kind = OF_FILES[job]
        return {each.value: Word(each.value, _RANKS[each.weight.rank], each.meaning) for each in kind}
    return {}


@dataclass(frozen=True)
class ToDo:
    """Something that needs attention and what to do about it, with the run, or the DAG, that it is about."""

    what: str
    what_to_do: str
    tone: Tone = "bad"
    run: RunKey | None = None
    dag_id: str = ""
