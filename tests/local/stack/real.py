"""The embedded stack as a test uses it: in a folder of its own, on free ports, gone at the end."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any, TypeVar

import pytest

from local.airflow_api import AirflowApi
from local.ownership import end_leftovers, mark, marked
from local.s3 import s3_client
from local.settings import Settings
from local.stack import Stack

T = TypeVar("T")

RUN_SECONDS = 600.0


class RealStack:
    """A running stack with clients of its Airflow and of its bucket."""

    def __init__(self, stack: Stack) -> None:
        assert stack.addresses is not None
        self.stack = stack
        self.addresses = stack.addresses
        self.api: AirflowApi = stack.api()
        self._s3 = s3_client(self.addresses.s3, self.addresses.s3_access_key, self.addresses.s3_secret_key)

    def wait_for(self, what: str, found: Callable[[], T | None], seconds: float = RUN_SECONDS) -> T:
        """What `found` returns as soon as that is something; the stack is supervised meanwhile."""
        deadline = monotonic() + seconds
        while (value := found()) is None or value is False:
            assert monotonic() < deadline, f"Not within {seconds:g} s: {what}. Logs: {self.addresses.logs}"
            self.stack.supervisor.look()
            sleep(0.1)
        return value

    def wait_for_end(self, dag_id: str, run_id: str) -> str:
        """The state in which a run ended."""

        def ended() -> str | None:
            state = self.api.run_state(dag_id, run_id)
            return None if state in ("queued", "running") else state

        return self.wait_for(f"the end of {run_id}", ended)

    def keys(self, prefix: str) -> list[str]:
        """The keys of the bucket below a prefix."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=self.addresses.bucket, Prefix=prefix
        )
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def read(self, key: str) -> bytes:
        """An object of the bucket."""
        body: bytes = self._s3.get_object(Bucket=self.addresses.bucket, Key=key)["Body"].read()
        return body

    def put(self, key: str, body: bytes) -> None:
        """Drop a file into the bucket."""
        self._s3.put_object(Bucket=self.addresses.bucket, Key=key, Body=body)

    def task(self, dag_id: str, run_id: str, task_id: str, map_index: int) -> dict[str, Any]:
        """A mapped task instance, as Airflow's REST API tells it."""
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/{map_index}"
        return self.api.call("GET", path)


@contextlib.contextmanager
def real_stack(
    folder: Path, *, airflow_cfg: str = "", local_settings: str = "", **settings: int
) -> Iterator[RealStack]:
    """Starts the embedded stack in `folder`, and stops it; then no process of it may be left.

    `airflow_cfg` and `local_settings` are Airflow's own files of settings and policies, `airflow.cfg` and
    `airflow_local_settings.py`, in its home; `settings` those of the stack (`titles=40`).
    """
    home = folder / "stack" / "airflow"
    (home / "config").mkdir(parents=True)
    (home / "airflow.cfg").write_text(airflow_cfg)
    (home / "config" / "airflow_local_settings.py").write_text(local_settings)
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        for name, value in mark(folder / "stack").items():
            patch.setenv(name, value)
        stack = Stack(folder / "stack", folder / "logs", Settings(**settings), said.append, usual_ports=False)
        stack.start()
        real = RealStack(stack)
        try:
            yield real
        finally:
            real.api.close()
            stack.stop()
            left = [process.name() for process in marked(folder / "stack")]
            end_leftovers(folder / "stack")
        assert left == []
        assert [line for line in said if "ended with exit code" in line] == []
