"""A worker that dies in the middle of a chunk: killed with its supervisor, found missing, retried, and nothing
but what was missing asked of Alma again."""

import json
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.alma import SandboxView
from tests.local.stack.real import RealStack, real_stack

pytestmark = pytest.mark.timeout(900)

DAG, TASK = "west_holdings", "fetch_holdings"
RUN_AFTER = "2026-01-15T09:30:00Z"
STEM = "west/deliveries/ZZMAIN.alma.archived.20260115"
CONF = {"chunk_size": 75}
RATE, THRESHOLD = 20, 25  # of the connection and of the sandbox, in calls per second
IN_FLIGHT, UNSAVED = 24, 4  # of the connection; a checkpoint saves every fifth row

# A worker that dies is missed after seconds instead of minutes. The retry's pause is the DAG's, cut short by a
# policy, which is how a site changes tasks without touching DAGs.
AIRFLOW_CFG = """
[scheduler]
task_instance_heartbeat_timeout = 15
task_instance_heartbeat_timeout_detection_interval = 2
[workers]
min_heartbeat_interval = 2
"""
LOCAL_SETTINGS = f"""
from datetime import timedelta

def task_policy(task):
    if task.dag_id == "{DAG}":
        task.retry_delay, task.retry_exponential_backoff = timedelta(seconds=1), 0
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder: Path = tmp_path_factory.mktemp("killed")
    with real_stack(
        folder,
        airflow_cfg=AIRFLOW_CFG,
        local_settings=LOCAL_SETTINGS,
        titles=150,
        per_second=THRESHOLD,
        latency_ms=100,
        parallelism=4,
    ) as running:
        yield running


def start(stack: RealStack, run_id: str) -> None:
    """A run of the one date, whatever the clock says."""
    stack.wait_for("the DAG is known", lambda: stack.api.dag(DAG))
    body = {"dag_run_id": run_id, "logical_date": None, "run_after": RUN_AFTER, "conf": CONF}
    stack.api.call("POST", f"dags/{DAG}/dagRuns", json=body)


def delivered(stack: RealStack) -> dict[str, bytes]:
    return {key: stack.read(key) for key in stack.keys("west/deliveries/") if not key.endswith(".json")}


def let_in(alma: SandboxView) -> list[dict[str, Any]]:
    """The calls that Alma let in; one refused by its threshold has no effect and is sent again."""
    return [call for call in alma.calls() if call["status"] != 429]


def under_way(alma: SandboxView) -> list[dict[str, Any]]:
    """The calls that wait for their answer."""
    return [call for call in alma.calls() if not call["answered_at"]]


def fetched(calls: list[dict[str, Any]], titles: set[str]) -> list[str]:
    """The holdings of these titles that were asked for, in order, by their ids."""
    parts = [call["path"].split("/") for call in calls if "/holdings/" in call["path"]]
    return [path[-1] for path in parts if path[-3] in titles]


def asked(calls: list[dict[str, Any]]) -> Counter[tuple[str, str, str]]:
    """How often each question was put."""
    return Counter((call["method"], call["path"], call["query"]) for call in calls)


def most_within(calls: list[dict[str, Any]], seconds: float) -> int:
    """The most calls that came within any such time."""
    moments = sorted(call["received"] for call in calls)
    return max(sum(begin <= moment < begin + seconds for moment in moments) for begin in moments)


def saved(stack: RealStack, run_id: str) -> list[str]:
    """The holdings that the first chunk's checkpoint keeps while its step is not complete."""
    parts = stack.keys(f"runs/{DAG}/{run_id}/chunks/0001/fetched.jsonl.parts/")
    return [json.loads(line)["row"]["holding_id"] for key in parts for line in stack.read(key).splitlines()]


def kill_with_supervisor(pid: int) -> None:
    """SIGKILL for the task and, before it could tell, for the process that watches over it."""
    task = psutil.Process(pid)
    supervisor = task.parent()
    assert supervisor is not None
    assert "LocalExecutor" in " ".join(supervisor.cmdline())
    supervisor.kill()
    task.kill()


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_only_what_was_missing_is_asked_again_and_the_file_is_the_same(stack: RealStack) -> None:
    alma = SandboxView(stack.addresses.sandbox)
    alma.forget()

    start(stack, "undisturbed")
    assert stack.wait_for_end(DAG, "undisturbed") == "success"
    whole, undisturbed = delivered(stack), let_in(alma)
    assert sorted(whole) == [f"{STEM}.mrc", f"{STEM}.outcomes.csv"]
    alma.forget()

    start(stack, "disturbed")
    titles_key = f"runs/{DAG}/disturbed/chunks/0001/mms_ids.txt"
    stack.wait_for("the first chunk is cut", lambda: stack.keys(titles_key) or None)
    titles = set(stack.read(titles_key).decode().split())
    wanted = set(fetched(undisturbed, titles))
    stack.wait_for(
        "a third of the chunk is fetched",
        lambda: len(fetched(let_in(alma), titles)) > len(wanted) / 3,
    )
    # Alma becomes slow, so that the task stays where it is: all its requests under way, none of them answered.
    alma.settings(latencies=[{"path": "/holdings/", "ms": 30_000}])
    stack.wait_for("all requests are under way", lambda: len(fetched(under_way(alma), titles)) == IN_FLIGHT)
    done = len(fetched(let_in(alma), titles)) - IN_FLIGHT
    stack.wait_for("the checkpoint is written", lambda: len(saved(stack, "disturbed")) >= done - UNSAVED)
    task = stack.task(DAG, "disturbed", TASK, 0)
    assert task["state"] == "running"
    kill_with_supervisor(task["pid"])
    stack.wait_for("the task is gone", lambda: is_gone(task["pid"]))
    alma.settings(latencies=[])
    kept = saved(stack, "disturbed")

    assert stack.wait_for_end(DAG, "disturbed") == "success"
    assert delivered(stack) == whole
    assert json.loads(stack.read(f"{STEM}.manifest.json"))["run_id"] == "disturbed"

    retried = stack.task(DAG, "disturbed", TASK, 0)
    assert retried["try_number"] == 2
    assert stack.task(DAG, "disturbed", TASK, 1)["try_number"] == 1
    missed = stack.api.call("GET", "eventLogs", params={"run_id": "disturbed", "event": "heartbeat timeout"})
    assert {(entry["task_id"], entry["map_index"]) for entry in missed["event_logs"]} == {(TASK, 0)}

    calls = let_in(alma)
    second_try = datetime.fromisoformat(retried["start_date"])
    again = [call for call in calls if datetime.fromisoformat(call["received_at"]) > second_try]
    first, second = fetched([call for call in calls if call not in again], titles), fetched(again, titles)
    assert len(kept) == len(set(kept)) > 0
    assert set(kept) <= set(first)
    assert Counter(second) == Counter(wanted - set(kept))
    assert Counter(first) == Counter(set(first))
    twice = set(first) & set(second)
    assert IN_FLIGHT <= len(twice) == len(first) - len(kept) <= IN_FLIGHT + UNSAVED
    extra = asked(calls) - asked(undisturbed)
    assert sum(extra.values()) == len(twice)
    assert asked(undisturbed) - asked(calls) == Counter()

    for run in (undisturbed, calls):
        assert most_within(run, 4) <= 4 * THRESHOLD
