"""Workers that die: at the n-th thing that a task does to the world, everything stops as after `kill -9`."""

import threading
from typing import Any

import pytest

from alma_airflow.operators.base import EtlOperator
from alma_etl.alma.transport import Transport
from alma_etl.store.bucket import Bucket
from alma_etl.store.checkpoint import Checkpoint


class WorkerKilled(Exception):
    """Stands for the end of the process: what would be written after it is not written."""


class Death:
    """Kills the first attempt of each task named in `after` at its n-th deed: a call to Alma, a write to the bucket.

    The deed itself takes effect and its answer is lost, the hardest moment there is.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, after: dict[str, int]) -> None:
        self._waiting = dict(after)
        self._lock = threading.Lock()
        self._left: int | None = None
        self._dead = False
        self.killed: list[str] = []
        execute = EtlOperator.execute

        def fresh_process(operator: EtlOperator, context: Any) -> Any:
            with self._lock:
                self._dead, self._left = False, self._waiting.pop(operator.task_id, None)
            try:
                return execute(operator, context)
            except WorkerKilled:
                self.killed.append(operator.task_id)
                raise
            finally:
                self._dead, self._left = False, None

        monkeypatch.setattr(EtlOperator, "execute", fresh_process)
        for owner, name in (
            (Transport, "exchange"), (Bucket, "put"), (Bucket, "copy"), (Bucket, "delete"),
            (Bucket, "delete_version"), (Bucket, "write_rows"), (Bucket, "upload"),
        ):  # fmt: skip
            self._watch(monkeypatch, owner, name)
        save = Checkpoint.__exit__

        def no_farewell(checkpoint: Checkpoint, *raised: Any) -> None:
            if not self._dead:
                save(checkpoint, *raised)

        monkeypatch.setattr(Checkpoint, "__exit__", no_farewell)

    def _watch(self, monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> None:
        deed = getattr(owner, name)

        def watched(target: Any, *args: Any, **kwargs: Any) -> Any:
            if self._dead:
                raise WorkerKilled(name)
            answer = deed(target, *args, **kwargs)
            with self._lock:
                if self._left is not None:
                    self._left -= 1
                    if self._left <= 0:
                        self._dead, self._left = True, None
            if self._dead:
                raise WorkerKilled(name)
            return answer

        monkeypatch.setattr(owner, name, watched)
