"""How each holding, and each title without one, ends: exactly one row with exactly one outcome."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """The outcome words of a WEST delivery, in the order in which they take precedence where several fit."""

    NOT_FOUND = "not_found"
    NO_HOLDING = "no_holding"
    FAILED = "failed"
    SUPPRESSED = "suppressed"
    EXCLUDED_LOCATION = "excluded_location"
    NO_COMMITMENT = "no_commitment"
    BAD_MARC = "bad_marc"
    DELIVERED = "delivered"


MEANING = {
    Outcome.DELIVERED: "in the file",
    Outcome.NO_COMMITMENT: "no valid retention note of the programme: none, other action, expired or other programme",
    Outcome.NO_HOLDING: "the title has no holding",
    Outcome.SUPPRESSED: "the holding, or its location, is suppressed from publishing",
    Outcome.EXCLUDED_LOCATION: "the location is on the list of locations to leave out",
    Outcome.BAD_MARC: "a commitment is stated, but the note or the record breaks a rule",
    Outcome.NOT_FOUND: "Alma does not know the title or the holding (any more)",
    Outcome.FAILED: "Alma gave no readable answer",
}

COLUMNS = ("mms_id", "holding_id", "outcome", "reasons", "title")


@dataclass(frozen=True)
class Row:
    """One row of ``outcomes.csv``: a holding, or (``holding_id`` empty) a title that has none."""

    mms_id: str
    holding_id: str
    outcome: Outcome
    reasons: tuple[str, ...]
    title: str

    def cells(self) -> tuple[str, ...]:
        """The row as text in the order of COLUMNS; reasons are joined by ``;``, which none of them holds."""
        reasons = ";".join(reason.replace(";", ",") for reason in self.reasons)
        return (self.mms_id, self.holding_id, self.outcome.value, reasons, self.title)


def count_outcomes(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """Counts by outcome word, every word present, zeros shown."""
    counted = Counter(outcomes)
    return {outcome.value: counted[outcome] for outcome in Outcome}
