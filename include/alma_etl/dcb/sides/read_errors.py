"""Reads that failed, for the observation: codes and ids, never what Alma says in words."""

from __future__ import annotations

from alma_etl.dcb.store.rows import ReadError
from alma_etl.remote.errors import RemoteError


class Failures:
    """Collects them."""

    def __init__(self) -> None:
        self._failed: list[ReadError] = []

    def add(self, part: str, error: RemoteError | None = None, *, code: str | None = None) -> None:
        """A part could not be read: ``error`` is Alma's, ``code`` ours when it was not asked at all."""
        if error is None:
            self._failed.append(ReadError(part, None, code))
            return
        name = error.code or type(error).__name__
        self._failed.append(ReadError(part, error.status, name, error.tracking_id or None))

    def take(self) -> tuple[ReadError, ...]:
        """What has come together; none is left."""
        taken, self._failed = tuple(self._failed), []
        return taken
