"""The DCB part of the state store: requests, sides, observations, transitions, outbox, alerts, hints."""

from alma_etl.dcb.store.adoption import AdoptionStore
from alma_etl.dcb.store.overview import OverviewStore
from alma_etl.dcb.store.retention import RetentionStore
from alma_etl.dcb.store.rows import (
    Alert,
    Applied,
    Hint,
    HoldTaken,
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
    "Hint",
    "HoldTaken",
    "LegRecord",
    "NewRequest",
    "OutboxRow",
    "ReadError",
    "Report",
    "Tracked",
]


class DcbStore(AdoptionStore, OverviewStore, RetentionStore):
    """The DCB tables of the state store at ``url``, upgraded beforehand. Close it when done, or use ``with``.

    Each method is one transaction, which talks to nobody meanwhile. Safe for several threads, processes and hosts at
    once. ``now`` is given by the caller, with its zone. Every method raises StoreUnavailable, one sentence, when the
    store cannot be reached; StoreRefused when it does not take a statement, StoreConflict where another was quicker.
    """
