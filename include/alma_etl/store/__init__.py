"""What outlives a run: the state store, the bucket, the checkpoints, and the limiter that all processes share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alma_etl.remote.limiter import PacedLimiter


def open_limiter(
    *, store_url: str, redis_url: str | None, budget: str, requests_per_second: float
) -> PacedLimiter:
    """The limiter that the deployment has: Redis or Valkey where there is one, else the state store.

    `budget` names what is shared, one per Alma institution: all who give the same name share one rate. With
    different `requests_per_second`, the lowest that was asked for in the last minute holds for all. Nothing
    is connected before the first permit is asked for.
    """
    if redis_url:
        from alma_etl.store.limiter_redis import RedisLimiter

        return RedisLimiter(redis_url, budget, requests_per_second)
    from alma_etl.store.limiter_sql import SqlLimiter

    return SqlLimiter(store_url, budget, requests_per_second)
