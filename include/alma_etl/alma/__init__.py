"""The client of Ex Libris Alma's REST API. Start at `AlmaClient`."""

from alma_etl.alma.answers import Absent, Answer, Found, Unknown
from alma_etl.alma.client import AlmaClient
from alma_etl.alma.errors import (
    AlmaBudgetUnknown,
    AlmaConnectionError,
    AlmaDailyThreshold,
    AlmaError,
    AlmaForbidden,
    AlmaMalformed,
    AlmaQuotaFloor,
    AlmaReadOnly,
    AlmaRefused,
    AlmaServerError,
    AlmaStop,
    AlmaThrottled,
    AlmaTimeout,
    AlmaTransient,
    AlmaUnauthorized,
    AlmaUnreachable,
)

__all__ = [
    "Absent",
    "AlmaBudgetUnknown",
    "AlmaClient",
    "AlmaConnectionError",
    "AlmaDailyThreshold",
    "AlmaError",
    "AlmaForbidden",
    "AlmaMalformed",
    "AlmaQuotaFloor",
    "AlmaReadOnly",
    "AlmaRefused",
    "AlmaServerError",
    "AlmaStop",
    "AlmaThrottled",
    "AlmaTimeout",
    "AlmaTransient",
    "AlmaUnauthorized",
    "AlmaUnreachable",
    "Answer",
    "Found",
    "Unknown",
]
