"""How a record of a dropped file ends: the words of a job, with what each means and how it counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from alma_etl.jobs.checkpoint import Rank

Row = Mapping[str, Any]  # a record of a file, as JSON can hold it; `line` is its number
End = dict[str, Any]  # how it ended: a row of the report, `outcome` and `message` among its values


@dataclass(frozen=True)
class Weight:
    """How an outcome counts. `rank`: beside another end of the same row. `loaded`: the row asks for nothing more, so
    that it is not among the rejects. `acceptable`: the run may be green with it. `in_part`: some of the row was loaded,
    and so of the file."""

    rank: Rank
    loaded: bool = False
    acceptable: bool = True
    in_part: bool = False


MADE = Weight(Rank.MADE, loaded=True)  # written by this run, and so it stays when the settings change
DONE = Weight(Rank.SETTLED, loaded=True)  # nothing was to be written, or nothing was meant to be
# Asked for again when the run is cleared: the code, the title, whatever was missing may be there by then.
REFUSED = Weight(Rank.REFUSED)
PARTLY = Weight(Rank.REFUSED, in_part=True)  # refused, and not all of it
OPEN = Weight(Rank.OPEN, acceptable=False)


class RowOutcome(StrEnum):
    """Base of the outcomes of a job, each written as `WORD = "word", "what it means", WEIGHT`.

    Every job has `failed`; one that writes has `unconfirmed` for what may have been written.
    """

    meaning: str
    weight: Weight

    def __new__(cls, word: str, meaning: str = "", weight: Weight = REFUSED) -> Self:
        if not isinstance(weight, Weight):  # a word of the class that has the name of a weight hides it
            raise TypeError(f"the outcome {word} has no weight: {weight!r}")
        outcome = str.__new__(cls, word)
        outcome._value_ = word
        outcome.meaning = meaning
        outcome.weight = weight
        return outcome


def end_of(row: Row, columns: Sequence[str], outcome: RowOutcome, message: str = "", **values: object) -> End:
    """Return the end of a row as the `columns` of a report; its message names what was `cleaned` in the row, and its
    `remarks`, too."""
    cells = {column: row.get(column, "") for column in columns}
    message = "; ".join(part for part in (message, *row.get("remarks", ()), row.get("cleaned", "")) if part)
    return {"line": row["line"], **cells, **values, "outcome": outcome.value, "message": message}
