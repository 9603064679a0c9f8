"""Which fields of a record a setting means: `245`, `9XX`, `035 *9`, `650 *7$2=fast`, `XXX$9`, `LDR`."""

import re
from dataclasses import dataclass

from pymarc import Field

LEADER = "LDR"
_FORM = re.compile(
    rf"({LEADER}|[0-9X]{{3}})(?: ([0-9a-z_*]{{2}}))?(?:\$([0-9a-z])(?:=(.+))?)?", re.ASCII | re.DOTALL
)


@dataclass(frozen=True)
class FieldPattern:
    """A tag, X standing for any digit; then indicators, `_` for a blank and `*` for any; then a subfield that is
    there, and its value, compared without case, a `*` at the end standing for any rest. All but the tag may be left
    out."""

    tag: str
    indicators: str = ""
    code: str = ""
    value: str = ""

    @classmethod
    def parse(cls, text: str) -> "FieldPattern":
        """Read a pattern. Raises ValueError, a sentence that says how one is written."""
        found = _FORM.fullmatch(text.strip())
        if found is None or (found[1] == LEADER and (found[2] or found[3])):
            raise ValueError(
                f"{text!r} names no fields: write a tag such as 245 or 9XX, LDR for the leader, indicators after a "
                "blank (035 *9), a subfield (650$2), or its value (650 *7$2=fast)"
            )
        return cls(found[1], found[2] or "", found[3] or "", found[4] or "")

    def __str__(self) -> str:
        subfield = f"${self.code}" if self.code else ""
        return (
            self.tag
            + (f" {self.indicators}" if self.indicators else "")
            + subfield
            + (f"={self.value}" if self.value else "")
        )

    def fits(self, field: Field, tag: str = "") -> bool:
        """Whether a field is meant; ``tag`` instead of its own, for an 880 that stands for it."""
        own = tag or field.tag
        if len(own) != 3 or any(
            sign != mine and not (sign == "X" and mine.isdigit())
            for sign, mine in zip(self.tag, own, strict=True)
        ):
            return False
        if field.is_control_field():
            return not self.indicators and not self.code
        return self._fits_indicators(field) and self._fits_subfield(field)

    def _fits_indicators(self, field: Field) -> bool:
        given = tuple(field.indicators or (" ", " "))
        return all(
            wanted in ("*", sign) or (wanted == "_" and sign == " ")
            for wanted, sign in zip(self.indicators, given, strict=False)
        )

    def _fits_subfield(self, field: Field) -> bool:
        if not self.code:
            return True
        values = [value.strip().casefold() for value in field.get_subfields(self.code)]
        wanted = self.value.strip().casefold()
        if wanted.endswith("*"):
            return any(value.startswith(wanted[:-1]) for value in values)
        return any(value == wanted for value in values) if wanted else bool(values)
