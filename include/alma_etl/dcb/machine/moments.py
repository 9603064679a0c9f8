"""When something was seen: a time, or in test vectors a label such as ``T02`` that only orders."""

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

_ISO = re.compile(r"\d{4}-\d\d-\d\d[T ]\d")
_DATE = re.compile(r"(\d{4}-\d\d-\d\d)(Z|[+-]\d\d:\d\d)?")


def read_time(text: str) -> datetime:
    """A time of Alma's (``2026-02-01``, ``2026-02-01Z``, ``2026-02-01T18:00:00Z``) as UTC; a date is its midnight.

    Raises ValueError for anything else.
    """
    day = _DATE.fullmatch(text)
    if day:
        return datetime.combine(date.fromisoformat(day[1]), time(), UTC)
    moment = datetime.fromisoformat(text)
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError as error:  # the last hours of the year 9999, elsewhere
        raise ValueError(f"{text!r} is out of the range of dates") from error


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in the order of sightings. Two of one kind compare; a label and a time do not (ValueError)."""

    text: str
    time: datetime | None = None
    _parts: tuple[tuple[int, int | str], ...] = field(default=(), compare=False, repr=False)

    @staticmethod
    def read(text: str) -> "Moment":
        """An ISO time (no zone means UTC) or a label. Raises ValueError for a broken time."""
        if _ISO.match(text):
            return Moment.at(read_time(text))
        parts = re.findall(r"\d+|\D+", text)
        return Moment(text, None, tuple((0, int(part)) if part.isdigit() else (1, part) for part in parts))

    @staticmethod
    def at(moment: datetime) -> "Moment":
        """A time, which must carry its zone."""
        moment = moment.astimezone(UTC)
        return Moment(moment.isoformat(timespec="microseconds").replace("+00:00", "Z"), moment)

    def is_after(self, other: "Moment") -> bool:
        """Strictly later."""
        if self.time is not None and other.time is not None:
            return self.time > other.time
        if self.time is None and other.time is None:
            return self._parts > other._parts
        raise ValueError(
            f"{self.text!r} and {other.text!r} cannot be ordered: use labels, or times, not both"
        )

    def is_apart_from(self, other: "Moment", gap: timedelta) -> bool:
        """Later by at least ``gap``; labels count as far apart."""
        if self.time is not None and other.time is not None:
            return self.time - other.time >= gap
        return self.is_after(other)
