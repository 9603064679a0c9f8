"""The DCB part of the state store: requests, sides, observations, transitions, outbox, alerts, hints.

`DcbStore` is the door. Each of its methods is one transaction; none of them talks to anybody meanwhile.
"""

from alma_etl.dcb.store.facade import DcbStore
from alma_etl.dcb.store.rows import (
    Alert,
    Applied,
    LegRecord,
    NewRequest,
    OutboxRow,
    ReadError,
    Report,
    Tracked,
)

__all__ = [
    "Alert",
    "Applied",
    "DcbStore",
    "LegRecord",
    "NewRequest",
    "OutboxRow",
    "ReadError",
    "Report",
    "Tracked",
]
