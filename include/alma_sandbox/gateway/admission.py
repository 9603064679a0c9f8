"""Who may call, and how often: keys and their rights, calls in any sliding second, calls a day."""

import time
from collections import deque
from collections.abc import Callable
from datetime import date

from alma_sandbox.settings import Settings

AREAS = ("bibs", "conf", "users", "acq", "partners", "analytics")


def rights_of(settings: Settings, key: str) -> dict[str, str] | None:
    """Rights of a key: area -> ``rw`` or ``r``; None for a key that does not exist."""
    if key == settings.api_key:
        return dict.fromkeys(AREAS, "rw")
    if key == f"{settings.api_key}-ro":
        return dict.fromkeys(AREAS, "r")
    if key == f"{settings.api_key}-bibs":
        return {"bibs": "rw"}
    return None


def key_name(settings: Settings, key: str) -> str:
    """How the log names a key without writing it: its rights."""
    names = {
        settings.api_key: "full",
        f"{settings.api_key}-ro": "read-only",
        f"{settings.api_key}-bibs": "bibs",
    }
    return names.get(key, "unknown" if key else "none")


def may(settings: Settings, key: str, area: str, *, write: bool) -> bool:
    """Whether a key may read, or write, in an area."""
    rights = rights_of(settings, key) or {}
    return rights.get(area, "") == "rw" or (not write and rights.get(area) == "r")


class SlidingSecond:
    """Admits at most ``limit`` calls in any second, not in each second of the clock. Refused calls do not count."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._admitted: deque[float] = deque()

    def admit(self, limit: int) -> bool:
        """Whether a call may pass now; ``limit`` 0 lets everything pass."""
        moment = self._now()
        while self._admitted and self._admitted[0] <= moment - 1:
            self._admitted.popleft()
        if limit and len(self._admitted) >= limit:
            return False
        self._admitted.append(moment)
        return True

    @property
    def in_this_second(self) -> int:
        """Calls admitted in the second that ends with the last ``admit``."""
        return len(self._admitted)


class Daily:
    """Counts calls per day; a new day (midnight GMT of the sandbox's clock) starts at zero."""

    def __init__(self) -> None:
        self._day: date | None = None
        self.used = 0

    def admit(self, limit: int, today: date) -> bool:
        """Count a call if the allowance has one left."""
        self.turn(today)
        if self.used >= limit:
            return False
        self.used += 1
        return True

    def turn(self, today: date) -> None:
        """Start from zero when the day has changed."""
        if today != self._day:
            self._day, self.used = today, 0
