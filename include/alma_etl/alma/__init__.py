"""The client of Ex Libris Alma's REST API. Start at `AlmaClient`."""

from alma_etl.alma.client import AlmaClient
from alma_etl.remote.answers import Absent, Answer, Found, Unknown
from alma_etl.remote.errors import (
    AlmaDailyThreshold,
    AlmaQuotaFloor,
    BudgetUnknown,
    RemoteConnectionError,
    RemoteError,
    RemoteForbidden,
    RemoteMalformed,
    RemoteReadOnly,
    RemoteRefused,
    RemoteServerError,
    RemoteStop,
    RemoteThrottled,
    RemoteTimeout,
    RemoteTransient,
    RemoteUnauthorized,
    RemoteUnreachable,
)

__all__ = [
    "Absent",
    "AlmaClient",
    "AlmaDailyThreshold",
    "AlmaQuotaFloor",
    "Answer",
    "BudgetUnknown",
    "Found",
    "RemoteConnectionError",
    "RemoteError",
    "RemoteForbidden",
    "RemoteMalformed",
    "RemoteReadOnly",
    "RemoteRefused",
    "RemoteServerError",
    "RemoteStop",
    "RemoteThrottled",
    "RemoteTimeout",
    "RemoteTransient",
    "RemoteUnauthorized",
    "RemoteUnreachable",
    "Unknown",
]
