"""How the tasks of `import_profile_run` wait: their triggers, the bounds of a wait, and what a person leaves behind."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import timezone
from airflow.sdk.bases.operator import TRIGGER_FAIL_REPR, TriggerFailureReason
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred
from airflow.sdk.module_loading import import_string
from airflow.triggers.base import BaseTrigger

from alma_airflow.hooks.alma import AlmaHook
from alma_airflow.operators.profile_runs import SubmitImport, WaitForImport
from alma_airflow.triggers.import_run import ImportJobTrigger, TurnTrigger
from alma_etl.alma.errors import AlmaDailyThreshold, AlmaQuotaFloor
from alma_etl.alma.tasks import JobEnd
from alma_etl.jobs.ledger import Ledger
from alma_etl.jobs.ledger_reading import RunKey
from alma_etl.remote.errors import RemoteStop

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]
KEY = RunKey("import_profile_run", "manual__1")


@pytest.fixture
def kept(connect_job_alma: Any) -> Iterator[Ledger]:
    ledger = Ledger(os.environ["AIRFLOW_CONN_ALMA_ETL_DB"])
    yield ledger
    ledger.close()


def turn(seconds: float = 0, **more: bool) -> TurnTrigger:
    until = timezone.utcnow() + timedelta(seconds=seconds)
    return TurnTrigger(dag_id=KEY.dag_id, run_id=KEY.run_id, until=until.isoformat(), **more)


def at_work() -> ImportJobTrigger:
    return ImportJobTrigger(
        dag_id=KEY.dag_id, run_id=KEY.run_id, instance_id="531", poke_interval=60, longest_interval=1800
    )


@pytest.mark.parametrize("trigger", [turn(perhaps_started=True), at_work()])
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
        (turn(perhaps_started=True), "nobody knows whether Alma has started", "clear submit"),
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


@pytest.mark.parametrize(
    ("instance_id", "perhaps", "words"),
    [("531", True, "531"), (None, True, "nobody knows"), (None, False, "nothing was loaded")],
)
def test_so_is_one_who_ends_it_while_a_worker_is_at_it(
    kept: Ledger, monkeypatch: pytest.MonkeyPatch, instance_id: str | None, perhaps: bool, words: str
) -> None:
    task = WaitForImport(task_id="wait", longest=timedelta(days=7))
    task.on_kill()  # before it began: nothing to say
    assert kept.run(KEY) is None
    folder = SimpleNamespace(instance_id=lambda: instance_id, may_have_started=lambda: perhaps)
    monkeypatch.setattr(WaitForImport, "folder", staticmethod(lambda _: folder))
    task._context = {"dag_run": SimpleNamespace(dag_id=KEY.dag_id, run_id=KEY.run_id)}
    task.on_kill()
    run = kept.run(KEY)
    assert run is not None
    assert words in run.attention[-1]["what"]


@pytest.mark.parametrize("later", [AlmaDailyThreshold, AlmaQuotaFloor])
def test_the_triggerer_goes_on_waiting_when_the_calls_of_today_are_used_up(
    kept: Ledger, monkeypatch: pytest.MonkeyPatch, later: type[RemoteStop]
) -> None:
    """No worker is needed to see that."""
    end = JobEnd("531", "Import", "COMPLETED_SUCCESS", [], {})
    used_up = later("GET /conf/jobs", 429, "DAILY_THRESHOLD", "no calls are left for today")
    answers = [used_up, used_up, None, end]
    waited: list[float] = []

    def look(*_: object, **__: object) -> JobEnd | None:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def pause(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(AlmaHook, "client", lambda _: nullcontext())
    monkeypatch.setattr("alma_etl.profile_runs.submit.look_at_job", look)
    monkeypatch.setattr("alma_airflow.triggers.alma_job.look_at_job", look)
    monkeypatch.setattr("alma_airflow.triggers.alma_job.sleep", pause)

    async def fired() -> list[Any]:
        return [event.payload async for event in at_work().run()]

    assert asyncio.run(asyncio.wait_for(fired(), 60)) == [{"end": end.as_dict()}]
    assert waited == [60, 90, 135, 202.5]


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
