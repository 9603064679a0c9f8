"""How the tasks of `import_profile_run` wait: their triggers, the bounds of a wait, and what a person leaves behind."""

import asyncio
import os
from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import timezone
from airflow.sdk.bases.operator import TRIGGER_FAIL_REPR, TriggerFailureReason
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred
from airflow.sdk.module_loading import import_string
from airflow.triggers.base import BaseTrigger

from alma_airflow.operators.profile_runs import SubmitImport, WaitForImport
from alma_airflow.triggers.import_run import ImportJobTrigger, TurnTrigger
from alma_etl.jobs.ledger import Ledger
from alma_etl.jobs.ledger_reading import RunKey

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]
KEY = RunKey("import_profile_run", "manual__1")


@pytest.fixture
def kept(connect_job_alma: Any) -> Iterator[Ledger]:
    ledger = Ledger(os.environ["AIRFLOW_CONN_ALMA_ETL_DB"])
    yield ledger
    ledger.close()


def turn(seconds: float = 0) -> TurnTrigger:
    until = timezone.utcnow() + timedelta(seconds=seconds)
    return TurnTrigger(dag_id=KEY.dag_id, run_id=KEY.run_id, until=until.isoformat())


def at_work() -> ImportJobTrigger:
    return ImportJobTrigger(
        dag_id=KEY.dag_id, run_id=KEY.run_id, instance_id="531", poke_interval=60, longest_interval=1800
    )


@pytest.mark.parametrize("trigger", [turn(), at_work()])
def test_what_airflow_stores_gives_the_same_trigger(trigger: BaseTrigger) -> None:
    path, arguments = trigger.serialize()
    assert import_string(path)(**arguments).serialize() == (path, arguments)
    assert arguments["run_id"] == KEY.run_id


def test_a_turn_comes_at_its_moment() -> None:
    async def fired() -> bool:
        return [event async for event in turn().run()] != []

    assert asyncio.run(asyncio.wait_for(fired(), 30))


@pytest.mark.parametrize(
    ("trigger", "words", "advice"),
    [
        (turn(), "before Alma had started", "clear submit"),
        (at_work(), "goes on (instance 531)", "Abort it in Alma"),
    ],
)
def test_a_person_who_ends_the_task_leaves_word_of_what_goes_on(
    kept: Ledger, trigger: BaseTrigger, words: str, advice: str
) -> None:
    asyncio.run(trigger.on_kill())
    run = kept.run(KEY)
    assert run is not None
    assert (run.state, run.ended_at is not None) == ("failed", True)
    assert words in run.attention[-1]["what"]
    assert advice in run.attention[-1]["what_to_do"]


@pytest.mark.parametrize("instance_id", ["531", None])
def test_so_is_one_who_ends_it_while_a_worker_is_at_it(
    kept: Ledger, monkeypatch: pytest.MonkeyPatch, instance_id: str | None
) -> None:
    task = WaitForImport(task_id="wait", longest=timedelta(days=7))
    task.on_kill()  # before it began: nothing to say
    assert kept.run(KEY) is None
    folder = SimpleNamespace(instance_id=lambda: instance_id)
    monkeypatch.setattr(WaitForImport, "folder", staticmethod(lambda _: folder))
    task._context = {"dag_run": SimpleNamespace(dag_id=KEY.dag_id, run_id=KEY.run_id)}
    task.on_kill()
    run = kept.run(KEY)
    assert run is not None
    assert ("531" in run.attention[-1]["what"]) is bool(instance_id)


def test_a_wait_has_an_end() -> None:
    task = SubmitImport(task_id="submit", longest=timedelta(hours=1))
    with pytest.raises(TaskDeferred) as waiting:
        task.wait(turn(900))
    assert waiting.value.timeout == timedelta(hours=1) or waiting.value.timeout < timedelta(hours=1)
    task._since = timezone.utcnow() - timedelta(minutes=50)
    with pytest.raises(TaskDeferred) as waiting:
        task.wait(turn(900))
    assert waiting.value.timeout < timedelta(minutes=11)
    task._since = timezone.utcnow() - timedelta(hours=2)
    with pytest.raises(AirflowFailException, match="Clear submit"):
        task.wait(turn(900))
    reason = {"error": TriggerFailureReason.TRIGGER_TIMEOUT}
    with pytest.raises(AirflowFailException, match="Clear submit"):
        task.resume_execution(TRIGGER_FAIL_REPR, reason, {})
