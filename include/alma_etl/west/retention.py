"""The retention commitment in 583: which note counts, and what is wrong with it.

Rule: WEST Disclosure Policy and the OCLC guidelines for shared print. A note commits a library when its action
(``$a``) is "committed to retain", its programme (``$f``) is the one delivered to, and today lies before its
end (``$d``).
"""

import re
from collections.abc import Collection, Sequence
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
    notes: Sequence[Field], *, names: Collection[str], on: date, marc_org_code: str | None = None
) -> Commitment:
    """Judge the 583 fields of one holdings record on the day ``on``.

    One ``$f`` must be, as a whole, one of the programme's ``names`` (each as `name_compared` gives it). Of several
    ``$d``, as a renewed commitment has them, the latest counts. ``marc_org_code`` is the library's own code, expected
    in ``$5``; without it any ``$5`` will do.
    """
    if not notes:
        return Commitment(None, errors=("583",))
    judged = [_judge(note, names, on, marc_org_code) for note in notes]
    # max() keeps the first of equals: the order of the notes decides between two of the same standing.
    return max(judged, key=lambda commitment: commitment.standing or 0)


def name_compared(name: str) -> str:
    """The name of a programme as it is compared: but for case, blanks, what cannot be seen and a final full stop."""
    return comparable(name).casefold().removesuffix(".").rstrip()


def unlisted_programmes(notes: Sequence[Field], *, programme: str, names: Collection[str]) -> list[str]:
    """The ``$f`` of a record's 583 that hold the programme's word, but are none of its names: other programmes, or
    names that are still to be listed."""
    word = re.compile(rf"(?<!\w){re.escape(comparable(programme))}(?!\w)", re.IGNORECASE)
    values = dict.fromkeys(comparable(value) for note in notes for value in note.get_subfields("f"))
    return [value for value in values if word.search(value) and name_compared(value) not in names]


def _judge(note: Field, names: Collection[str], on: date, marc_org_code: str | None) -> Commitment:
    action = " ".join((_first(note, "a") or "").split())
    if comparable(action).rstrip(" .;,").lower() != ACTION:
        return Commitment(Standing.OTHER_ACTION, errors=("583RETAIN",))
    programmes = [value for value in map(name_compared, note.get_subfields("f")) if value]
    errors: list[str] = []
    if not programmes:
        errors.append("583f")
    elif not any(value in names for value in programmes):
        return Commitment(Standing.OTHER_PROGRAMME, errors=("583f",))
    begin, end = _date(_first(note, "c")), _end(note, on)
    if end is not None and end < on:
        return Commitment(Standing.EXPIRED, errors=("583EXPIRED",))
    if begin is None:
        errors.append("583c")
    if end is None:
        errors.append("583d")
    if begin is not None and end is not None and begin > end:
        errors.append("583ORDER")
    warnings = _warnings(note, action, marc_org_code)
    if len(_filled(note, "d")) > 1:
        warnings.append("583RENEW")
    return Commitment(Standing.BROKEN if errors else Standing.VALID, tuple(errors), tuple(warnings))


def _warnings(note: Field, action: str, marc_org_code: str | None) -> list[str]:
    warnings = []
    if action != ACTION:
        warnings.append("583CASE")
    if [comparable(value) for value in note.get_subfields("2")] != ["pda"]:
        warnings.append("5832")
    owners = [value for value in map(comparable, note.get_subfields("5")) if value]
    if not owners or (marc_org_code is not None and marc_org_code not in owners):
        warnings.append("5835")
    if note.indicator1 not in (" ", "0", "1"):
        warnings.append("583IND")
    return warnings


def _first(note: Field, code: str) -> str | None:
    values = note.get_subfields(code)
    return values[0] if values else None


def _filled(note: Field, code: str) -> list[str]:
    return [value for value in note.get_subfields(code) if comparable(value)]


def _end(note: Field, on: date) -> date | None:
    """The latest ``$d``; None when the commitment could have been renewed by one that is no date."""
    values = _filled(note, "d")
    dates = [found for found in map(_date, values) if found is not None]
    latest = max(dates, default=None)
    if latest is not None and latest < on and len(dates) < len(values):
        return None
    return latest


def _date(value: str | None) -> date | None:
    """A date written YYYYMMDD that the calendar has; anything else is None."""
    text = (value or "").strip()
    if not re.fullmatch(r"\d{8}", text, re.ASCII):
        return None
    try:
        return datetime.strptime(text, "%Y%m%d").date()
    except ValueError:
        return None
