"""What the steps of the demo share: run a DAG and follow it, fetch what lies in the bucket."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from time import monotonic, sleep
from typing import Any
from urllib.parse import quote

import requests

from .airflow_api import AirflowApi, DagsNotKnownError
from .process import tail
from .settings import ROOT
from .stack import Addresses, Stack

RUN_SECONDS = 1200.0


class DemoFailedError(RuntimeError):
    """A step did not do what it shows; the message says what, and where to look."""


@dataclass
class Demo:
    """The running stack, as the steps use it; `delivered` is the folder that they copy results to."""

    stack: Stack
    addresses: Addresses
    api: AirflowApi
    s3: Any
    delivered: Path
    say: Callable[[str], None]
    begun: float = field(default_factory=monotonic)
    dropped: dict[str, float] = field(default_factory=dict)
    """When each file was dropped, by its key."""

    def drop(self, key: str, body: bytes) -> None:
        """Puts a file where a DAG waits for it."""
        self.s3.put_object(Bucket=self.addresses.bucket, Key=key, Body=body)
        self.dropped[key] = monotonic()

    def run_dag(self, dag_id: str, conf: dict[str, Any], *, quiet: bool = False) -> str:
        """Triggers a run by Airflow's REST API and follows it to its success; returns its id. `quiet`: without a word.

        Raises DemoFailedError with the logs of what failed.
        """
        try:
            self.api.wait_for_dags([dag_id], self.stack.supervisor.look)
        except DagsNotKnownError as problem:
            raise DemoFailedError(str(problem)) from problem
        run_id = self.api.trigger(dag_id, conf)
        if not quiet:
            self.say(f"Triggered {dag_id}: {self.addresses.ui}/dags/{dag_id}/runs/{run_id}")
        deadline = monotonic() + RUN_SECONDS
        seen: dict[str, Counter[str]] = {}
        state = "queued"
        while state in ("queued", "running"):
            if monotonic() > deadline:
                raise DemoFailedError(
                    f"{dag_id} is still {state} after {RUN_SECONDS:g} s; see {self.addresses.logs}."
                )
            self.stack.supervisor.look()
            sleep(1)
            state = self.api.run_state(dag_id, run_id)
            if not quiet:
                seen = self._print_progress(seen, self.api.task_states(dag_id, run_id))
        if state != "success":
            raise DemoFailedError(f"{dag_id} ended as {state}.\n{self._why(dag_id, run_id)}")
        return run_id

    def say_page(self, dag_id: str, run_id: str) -> None:
        """Names the path of a run's page, below Airflow's address. Raises DemoFailedError where it does not answer."""
        path = f"/alma/runs/{dag_id}/{quote(run_id, safe='')}"
        if (status := self.api.page_status(path)) != requests.codes.ok:
            raise DemoFailedError(f"The page {path} answers {status}; see {self.addresses.logs}.")
        self.say(f"  {path}    its page in Airflow")

    def keys(self, prefix: str) -> Iterator[str]:
        """The keys of the bucket below a prefix, in order."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.addresses.bucket, Prefix=prefix)
        for page in pages:
            for entry in page.get("Contents", []):
                yield entry["Key"]

    def read_json(self, key: str) -> Any:
        """An object of the bucket, read as JSON."""
        return json.loads(self.s3.get_object(Bucket=self.addresses.bucket, Key=key)["Body"].read())

    def download(self, key: str) -> Path:
        """Copies an object of the bucket below `delivered`; returns the file."""
        target = self.delivered / PurePosixPath(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        self.s3.download_file(self.addresses.bucket, key, str(target))
        return target

    def _print_progress(
        self, seen: dict[str, Counter[str]], now: dict[str, Counter[str]]
    ) -> dict[str, Counter[str]]:
        for task_id, states in now.items():
            started = {state: count for state, count in states.items() if state != "none"}
            if started and states != seen.get(task_id):
                counts = ", ".join(
                    f"{count} {state}" if sum(states.values()) > 1 else state
                    for state, count in started.items()
                )
                self.say(f"  {monotonic() - self.begun:4.0f} s  {task_id}: {counts}")
        return now

    def _why(self, dag_id: str, run_id: str) -> str:
        parts = []
        for task in self.api.tasks(dag_id, run_id):
            if task["state"] == "failed":
                index = f" [{task['map_index']}]" if task["map_index"] >= 0 else ""
                parts.append(
                    f"{task['task_id']}{index} failed. The end of its log:\n{self._task_log(run_id, task)}"
                )
        return "\n".join(parts) or f"No task failed; see {self.addresses.logs}."

    def _task_log(self, run_id: str, task: dict[str, Any]) -> str:
        folder = Path(self.addresses.logs) / "airflow" / f"dag_id={task['dag_id']}" / f"run_id={run_id}"
        folder /= f"task_id={task['task_id']}"
        if task["map_index"] >= 0:
            folder /= f"map_index={task['map_index']}"
        return tail(folder / f"attempt={task['try_number']}.log", 15)


def shown(path: Path) -> str:
    """A path for people: relative to the checkout where it lies inside."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
