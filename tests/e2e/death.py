"""Workers that die: at the n-th thing that a task does to the world, everything stops as after `kill -9`."""

import threading
from collections.abc import Mapping
from typing import Any

import pytest

from alma_etl.inventory.loaded_bibs import SqlLoadedBibs
from alma_etl.inventory.loaded_items import SqlLoadedItems
from alma_etl.jobs.checkpoint import Checkpoint
from alma_etl.remote.exchange import Exchange
from alma_etl.store.bucket import Bucket

_DEEDS = (
    (Exchange, "send"), (Bucket, "put"), (Bucket, "copy"), (Bucket, "delete"), (Bucket, "delete_version"),
    (Bucket, "write_rows"), (Bucket, "upload"), (SqlLoadedItems, "remember"), (SqlLoadedItems, "keep_holding"),
    (SqlLoadedItems, "forget_holding"), (SqlLoadedBibs, "note"), (SqlLoadedBibs, "forget"),
)  # fmt: skip


class WorkerKilled(Exception):
    """Stands for the end of the process: what would be written after it is not written."""


class Reaper:
    """Kills at the n-th action: a call to Alma, or a write to the bucket or to what loads remember.

    The deed itself takes effect and its answer is lost, the hardest moment there is.
    """

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        *more: tuple[type, str],
        death: type[BaseException] = WorkerKilled,
    ) -> None:
        self._death = death
        self._lock = threading.Lock()
        self._left: int | None = None
        self._dead = False
        self.deeds = 0
        for owner, name in (*_DEEDS, *more):
            self._watch(monkeypatch, owner, name)
        save = Checkpoint.__exit__

        def no_farewell(checkpoint: Checkpoint, *raised: Any) -> None:
            if not self._dead:
                save(checkpoint, *raised)

        monkeypatch.setattr(Checkpoint, "__exit__", no_farewell)

    def fresh_process(self, kill_at: int | None = None) -> None:
        """A new worker begins; `kill_at` is the deed at which it will die."""
        with self._lock:
            self._dead, self._left, self.deeds = False, kill_at, 0

    def _watch(self, monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> None:
        deed = getattr(owner, name)

        def watched(target: Any, *args: Any, **kwargs: Any) -> Any:
            if self._dead:
                raise self._death(name)
            answer = deed(target, *args, **kwargs)
            with self._lock:
                self.deeds += 1
                if self._left is not None and self.deeds >= self._left:
                    self._dead = True
            if self._dead:
                raise self._death(name)
            return answer

        monkeypatch.setattr(owner, name, watched)


class Death:
    """Kills the first attempt of each task named in `after` at its n-th deed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, after: Mapping[str, int]) -> None:
        from alma_airflow.operators.base import EtlOperator

        waiting = dict(after)
        reaper = Reaper(monkeypatch)
        self.killed: list[str] = []
        execute = EtlOperator.execute

        def work(operator: EtlOperator, context: Any) -> Any:
            reaper.fresh_process(waiting.pop(operator.task_id, None))
            try:
                return execute(operator, context)
            except WorkerKilled:
                self.killed.append(operator.task_id)
                raise
            finally:
                reaper.fresh_process()

        monkeypatch.setattr(EtlOperator, "execute", work)
