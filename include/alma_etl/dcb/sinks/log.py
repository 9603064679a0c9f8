"""The log: always told, one line of JSON for each event."""

from __future__ import annotations

import json
import logging

from alma_etl.dcb.sides.ports import Done
from alma_etl.dcb.store.rows import OutboxRow, Tracked

_log = logging.getLogger(__name__)


class LogSink:
    """Writes events into the task's log. They hold ids, codes and times, and nothing about a person."""

    name = "log"

    def deliver(self, row: OutboxRow, tracked: Tracked) -> Done:
        """Write one event."""
        _log.info("DCB event %s", json.dumps(dict(row.payload), sort_keys=True, ensure_ascii=False))
        return Done()
