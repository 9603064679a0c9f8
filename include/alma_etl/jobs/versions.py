"""The results of a step that begins from nothing each time, so that workers who meet never write into one object."""

import uuid
from collections.abc import Mapping

from alma_etl.jobs.checkpoint import digest
from alma_etl.store.bucket import Bucket

_BEGUN = ".begun"


class Versions:
    """The attempts at one result, each with objects of its own. Of those made under the same settings the one that
    began last counts, whichever ended last; while it has not come to its end there is no result."""

    def __init__(self, bucket: Bucket, result_key: str, made_under: Mapping[str, object]) -> None:
        self._bucket = bucket
        self._all = f"{result_key}.parts/"
        self._prefix = f"{self._all}{digest(made_under)}/"

    def begin(self) -> str:
        """The key of the result of a new attempt; what belongs to it has keys that begin with this one.

        The attempt has come to its end once there is an object under this very key: write it last.
        """
        numbers = [_number(info.key) for info in self._bucket.list(self._all)]
        key = f"{self._prefix}{max(numbers, default=0) + 1:06d}-{uuid.uuid4().hex}"
        self._bucket.put(key + _BEGUN, b"")
        return key

    def newest(self) -> str | None:
        """The key of the result that counts, None where there is none."""
        keys = {info.key for info in self._bucket.list(self._prefix)}
        last = max((key.removesuffix(_BEGUN) for key in keys if key.endswith(_BEGUN)), default=None)
        return last if last in keys else None

    def is_empty(self) -> bool:
        """Whether no attempt was ever begun, under whatever settings."""
        return next(self._bucket.list(self._all), None) is None


def _number(key: str) -> int:
    return int(key.rpartition("/")[2].partition("-")[0])
