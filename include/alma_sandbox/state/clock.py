"""The sandbox's own clock: runs with the machine's, and can be stopped, set and moved forward by tests."""

from datetime import UTC, datetime, timedelta


class Clock:
    """Wall clock of the sandbox in UTC. Thresholds and latency use the machine's monotonic clock instead."""

    def __init__(self) -> None:
        self._offset = timedelta(0)
        self._stopped_at: datetime | None = None

    def now(self) -> datetime:
        """The sandbox's present time (UTC aware)."""
        return self._stopped_at or datetime.now(UTC) + self._offset

    def set(self, now: datetime) -> None:
        """Set the clock; a time without an offset is taken as UTC."""
        now = now if now.tzinfo else now.replace(tzinfo=UTC)
        self._offset = now - datetime.now(UTC)
        if self._stopped_at is not None:
            self._stopped_at = now

    def advance(self, seconds: float) -> None:
        """Move the clock forward."""
        self.set(self.now() + timedelta(seconds=seconds))

    def stop(self) -> None:
        """Let the time stand still until ``run``."""
        self._stopped_at = self.now()

    def run(self) -> None:
        """Let the time run on from where it stands."""
        now, self._stopped_at = self.now(), None
        self.set(now)

    @property
    def stopped(self) -> bool:
        """Whether the time stands still."""
        return self._stopped_at is not None

    def date(self) -> str:
        """Today as Alma writes dates: ``2026-04-03Z``."""
        return f"{self.now():%Y-%m-%d}Z"

    def time(self) -> str:
        """Now as Alma writes times: ``2024-05-24T17:35:20.393Z``."""
        return timestamp(self.now())

    def marc(self) -> str:
        """Now as field 005 writes it: ``20240501101112.0``."""
        return f"{self.now():%Y%m%d%H%M%S}.{self.now().microsecond // 100_000}"


def timestamp(moment: datetime) -> str:
    """A moment with milliseconds and Z."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
