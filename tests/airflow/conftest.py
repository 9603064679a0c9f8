"""A sandbox in this process whose clock stands still, the connection to it, and what Airflow hands to a task."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import requests

import alma_sandbox
from alma_etl.alma.client import AlmaClient
from tests.stores import sqlite_store

ALL_TITLES, EMPTY_SET, ITEM_SET = "59000000000004401", "59000000000014401", "59000000000024401"
KEY = "sandbox"


@pytest.fixture(scope="module")
def job_sandbox() -> Iterator[alma_sandbox.Running]:
    with alma_sandbox.serve(alma_sandbox.Settings(titles=30, per_second=0, job_step_s=60)) as running:
        yield running


@dataclass
class JobAlma:
    """The sandbox, seen from outside: its state is read and set by plain requests."""

    url: str

    def control(self, method: str, path: str, body: object = None) -> Any:
        answer = requests.request(method, f"{self.url}/sandbox/{path}", json=body, timeout=30)
        answer.raise_for_status()
        return answer.json()

    def advance(self, seconds: float) -> None:
        """Let the sandbox's time pass; a job has its next status after 60 seconds."""
        self.control("POST", "clock", {"advance_s": seconds})

    def faults(self, *rules: dict[str, Any]) -> None:
        self.control("POST", "faults", list(rules))

    def heal(self) -> None:
        self.control("DELETE", "faults")

    def settings(self, **values: Any) -> None:
        self.control("POST", "settings", values)

    def sent(self, method: str, path: str) -> int:
        """How many calls have reached it."""
        return len(self.control("GET", f"log?method={method}&path={path}")["entries"])

    def start(self, job: str = "M48", set_id: str = ALL_TITLES, name: str = "Somebody's") -> str:
        """Start a job behind the operators' back; the id of its instance."""
        answer = requests.post(
            f"{self.url}/almaws/v1/conf/jobs/{job}?op=run",
            json={
                "parameter": [
                    {"name": {"value": "set_id"}, "value": set_id},
                    {"name": {"value": "job_name"}, "value": name},
                ]
            },
            headers={"Authorization": f"apikey {KEY}", "Accept": "application/json"},
            timeout=30,
        )
        answer.raise_for_status()
        link: str = answer.json()["additional_info"]["link"]
        return link.rpartition("/")[2]


@pytest.fixture
def connect_job_alma(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Any:
    """Sets `alma_default`: `connect_job_alma(url, password="sandbox")`."""
    store = sqlite_store(tmp_path / "store.db")
    monkeypatch.setenv("AIRFLOW_CONN_ALMA_ETL_DB", store)
    # the client does not wait between its attempts
    monkeypatch.setattr("alma_airflow.hooks.alma.AlmaClient", partial(AlmaClient, sleep=lambda _: None))

    def connect(url: str, password: str = KEY) -> None:
        extra = {"requests_per_second": 1000, "timeout": 20, "environment": "sandbox"}
        connection = {"conn_type": "alma", "host": url, "password": password, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_ALMA_DEFAULT", json.dumps(connection))

    return connect


@pytest.fixture
def job_alma(job_sandbox: alma_sandbox.Running, connect_job_alma: Any) -> JobAlma:
    """The sandbox as new, its time standing still, and the connection to it."""
    alma = JobAlma(job_sandbox.url)
    alma.control("POST", "reset")
    alma.control("POST", "clock", {"stopped": True, "now": datetime.now(UTC).isoformat()})
    connect_job_alma(alma.url)
    return alma


@dataclass
class TaskMemory:
    """What Airflow's `task_state_store` keeps of a task, and a worker that dies when it is to keep some key."""

    values: dict[str, Any] = field(default_factory=dict)
    dies_at: str = ""

    def get(self, key: str, default: Any = None) -> Any:
        return self.values.get(key, default)

    def set(self, key: str, value: Any) -> None:
        if key == self.dies_at:
            self.dies_at = ""
            raise WorkerKilled
        self.values[key] = json.loads(json.dumps(value))

    def delete(self, key: str) -> None:
        self.values.pop(key, None)


class WorkerKilled(BaseException):
    """The end of a worker."""


@pytest.fixture
def memory() -> TaskMemory:
    return TaskMemory()


@pytest.fixture
def context(memory: TaskMemory) -> dict[str, Any]:
    ti = SimpleNamespace(get_first_reschedule_date=lambda _: None)
    return {"task_state_store": memory, "ti": ti}
