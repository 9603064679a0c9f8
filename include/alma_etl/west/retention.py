"""The retention commitment in 583: which note counts, and what is wrong with it.

Rule: WEST Disclosure Policy and the OCLC guidelines for shared print. A note commits a library when its action
(``$a``) is "committed to retain", its programme (``$f``) is the one delivered to, and today lies before its
end (``$d``).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import IntEnum

from pymarc import Field

from alma_etl.identifiers import comparable

ACTION = "committed to retain"


class Standing(IntEnum):
    """How near a note comes to a valid commitment; the nearest note of a record speaks for it."""

    OTHER_ACTION = 0
    OTHER_PROGRAMME = 1
    EXPIRED = 2
    BROKEN = 3
    VALID = 4


@dataclass(frozen=True)
class Commitment:
    """The verdict on a record's 583 notes: the best standing, the codes of broken rules, the codes of warnings."""

    standing: Standing | None  # None: the record has no 583 at all
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def is_stated(self) -> bool:
        """Whether a commitment to the programme that has not run out is stated, be it well or badly."""
        return self.standing in (Standing.BROKEN, Standing.VALID)


def read_commitment(
    notes: Sequence[Field], *, programme: str, on: date, marc_org_code: str | None = None
) -> Commitment:
    """Judge the 583 fields of one holdings record on the day ``on``.

    ``programme`` must stand as whole words in a ``$f`` ("WEST" is met by "WEST Bronze", not by "Midwest").
    ``marc_org_code`` is the library's own code, expected in ``$5``; without it any ``$5`` will do.
    """
    if not notes:
        return Commitment(None, errors=("583",))
    judged = [_judge(note, programme, on, marc_org_code) for note in notes]
    # max() keeps the first of equals: the order of the notes decides between two of the same standing.
    return max(judged, key=lambda commitment: commitment.standing or 0)


def _judge(note: Field, programme: str, on: date, marc_org_code: str | None) -> Commitment:
    action = " ".join((_first(note, "a") or "").split())
    if comparable(action).rstrip(" .;,").lower() != ACTION:
        return Commitment(Standing.OTHER_ACTION, errors=("583RETAIN",))
    programmes = [value for value in map(comparable, note.get_subfields("f")) if value]
    errors: list[str] = []
    if not programmes:
        errors.append("583f")
    elif not any(_names(programme, value) for value in programmes):
        return Commitment(Standing.OTHER_PROGRAMME, errors=("583f",))
    begin, end = _date(_first(note, "c")), _date(_first(note, "d"))
    if end is not None and end < on:
        return Commitment(Standing.EXPIRED, errors=("583EXPIRED",))
    if begin is None:
        errors.append("583c")
    if end is None:
        errors.append("583d")
    if begin is not None and end is not None and begin > end:
        errors.append("583ORDER")
    warnings = _warnings(note, action, marc_org_code)
    return Commitment(Standing.BROKEN if errors else Standing.VALID, tuple(errors), tuple(warnings))


def _warnings(note: Field, action: str, marc_org_code: str | None) -> list[str]:
    warnings = []
    if action != ACTION:
        warnings.append("583CASE")
    if [value.strip() for value in note.get_subfields("2")] != ["pda"]:
        warnings.append("5832")
    owners = [value.strip() for value in note.get_subfields("5") if value.strip()]
    if not owners or (marc_org_code is not None and marc_org_code not in owners):
        warnings.append("5835")
    if note.indicator1 not in (" ", "0", "1"):
        warnings.append("583IND")
    return warnings


def _names(programme: str, value: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(comparable(programme))}(?!\w)", value, re.IGNORECASE) is not None


def _first(note: Field, code: str) -> str | None:
    values = note.get_subfields(code)
    return values[0] if values else None


def _date(value: str | None) -> date | None:
    """A date written YYYYMMDD that the calendar has; anything else is None."""
    text = (value or "").strip()
    if not re.fullmatch(r"\d{8}", text, re.ASCII):
        return None
    try:
        return datetime.strptime(text, "%Y%m%d").date()
    except ValueError:
        return None
