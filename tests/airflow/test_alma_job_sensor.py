"""The sensor of job instances: looks first, then defers or is rescheduled, and tells how the job ended."""

import asyncio
from datetime import timedelta
from functools import partial
from types import SimpleNamespace

import pytest
from airflow.sdk import timezone
from airflow.sdk.bases.operator import TRIGGER_FAIL_REPR
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowRescheduleException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)

from alma_airflow.sensors.alma_job import AlmaJobSensor
from tests.airflow.conftest import KEY

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]
SENTENCE = "ended as {0}: The job ended as {0}. See its report in Alma"


def sensor(instance_id, **kwargs):
    return AlmaJobSensor(task_id="wait", instance_id=instance_id, **kwargs)


def first_event(trigger):
    """What the trigger fires, without its pauses."""
    trigger.poke_interval = 0

    async def wait():
        async for event in trigger.run():
            return event.payload
        return None

    return asyncio.run(asyncio.wait_for(wait(), 60))


def resumed(task, deferred, event, context):
    return task.resume_execution(deferred.method_name, {**(deferred.kwargs or {}), "event": event}, context)


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_job_that_has_ended_is_seen_at_once(job_alma, context, deferrable):
    instance_id = job_alma.start(name="Nightly export")
    job_alma.advance(120)
    end = sensor(instance_id, deferrable=deferrable).execute(context)
    assert {name: end[name] for name in ("instance_id", "name", "status", "alerts")} == {
        "instance_id": instance_id,
        "name": "Nightly export",
        "status": "COMPLETED_SUCCESS",
        "alerts": [],
    }
    assert end["counters"]["label.new.records.processed"] == "30"
    assert job_alma.sent("GET", "/instances/") == 1


@pytest.mark.quick
def test_it_looks_once_then_defers_and_ends_with_the_event(job_alma, context):
    task = sensor(job_alma.start(), job_id="M48", deferrable=True, poke_interval=90, timeout=3600)
    with pytest.raises(TaskDeferred) as raised:
        task.execute(context)
    deferred = raised.value
    assert job_alma.sent("GET", "/instances/") == 1
    assert deferred.trigger.serialize()[1] == {
        "instance_id": task.instance_id,
        "job_id": "M48",
        "alma_conn_id": "alma_default",
        "poke_interval": 90,
        "longest_interval": None,
    }
    assert timedelta(seconds=3500) < deferred.timeout <= timedelta(seconds=3600)
    job_alma.advance(120)
    end = resumed(task, deferred, first_event(deferred.trigger), context)
    assert end["status"] == "COMPLETED_SUCCESS"


@pytest.mark.parametrize(
    "status", ["COMPLETED_FAILED", "COMPLETED_WARNING", "USER_ABORTED", "ON_ANOTHER_PLANET"]
)
@pytest.mark.parametrize("deferrable", [False, True])
def test_every_other_ending_fails_with_alma_s_words_and_without_a_retry(
    job_alma, context, status, deferrable
):
    job_alma.settings(job_outcome=status)
    task = sensor(job_alma.start(), deferrable=deferrable)
    if deferrable:
        with pytest.raises(TaskDeferred) as raised:
            task.execute(context)
    job_alma.advance(120)
    go_on = partial(task.execute, context)
    if deferrable:
        go_on = partial(resumed, task, raised.value, first_event(raised.value.trigger), context)
    with pytest.raises(AirflowFailException) as failed:
        go_on()
    assert SENTENCE.format(status) in str(failed.value)
    assert task.instance_id in str(failed.value)


def test_a_warning_is_accepted_when_the_author_says_so(job_alma, context):
    job_alma.settings(job_outcome="COMPLETED_WARNING")
    task = sensor(job_alma.start(), also_accept=["COMPLETED_WARNING"])
    job_alma.advance(120)
    assert task.execute(context)["status"] == "COMPLETED_WARNING"


def test_one_status_is_not_taken_for_a_list():
    with pytest.raises(ValueError, match=r"\['COMPLETED_WARNING'\]"):
        sensor("531", also_accept="COMPLETED_WARNING")


def test_without_a_triggerer_airflow_is_told_when_to_look_again(job_alma, context):
    task = sensor(job_alma.start(), poke_interval=300)
    before = timezone.utcnow()
    with pytest.raises(AirflowRescheduleException) as raised:
        task.execute(context)
    assert raised.value.reschedule_date >= before + timedelta(seconds=300)


@pytest.mark.parametrize("kind", ["maintenance", "server_error", "drop", "bad_gateway", "malformed"])
def test_an_alma_that_does_not_answer_means_look_again(job_alma, context, kind):
    task = sensor(job_alma.start(), deferrable=True)
    job_alma.advance(120)
    job_alma.faults({"kind": kind})
    with pytest.raises(TaskDeferred):
        task.execute(context)
    assert task.poke(context) is False
    job_alma.heal()
    assert task.execute(context)["status"] == "COMPLETED_SUCCESS"


def test_an_alma_that_is_not_there_means_look_again(job_alma, connect_job_alma, context):
    connect_job_alma("http://127.0.0.1:9")
    assert sensor("531").poke(context) is False


@pytest.mark.parametrize("deferrable", [False, True])
def test_waiting_has_an_end(job_alma, context, deferrable):
    task = sensor(job_alma.start(), deferrable=deferrable, timeout=0)
    context["ti"] = SimpleNamespace(
        get_first_reschedule_date=lambda _: timezone.utcnow() - timedelta(hours=1)
    )
    with pytest.raises(AirflowSensorTimeout):
        task.execute(context)


def test_the_end_of_the_waiting_comes_from_the_triggerer_too(context):
    with pytest.raises(AirflowSensorTimeout):
        sensor("531").resume_execution(TRIGGER_FAIL_REPR, {"error": "Trigger timeout"}, context)


@pytest.mark.parametrize("deferrable", [False, True])
def test_soft_fail_skips(job_alma, context, deferrable):
    job_alma.settings(job_outcome="COMPLETED_FAILED")
    task = sensor(job_alma.start(), deferrable=deferrable, soft_fail=True)
    job_alma.advance(120)
    with pytest.raises(AirflowSkipException):
        task.execute(context)
    event = {"problem": "the key is unknown"}
    with pytest.raises(AirflowSkipException):
        task.resume_execution("execute_complete", {"event": event}, context)


def test_an_instance_that_alma_does_not_know_fails_at_once(job_alma, context):
    with pytest.raises(AirflowFailException, match="no job instance 5390000000004401"):
        sensor("5390000000004401").execute(context)


def test_a_wrong_key_fails_at_once_and_is_not_told(job_alma, connect_job_alma, context):
    connect_job_alma(job_alma.url, password=f"{KEY}-wrong")
    with pytest.raises(AirflowFailException) as failed:
        sensor("531").execute(context)
    assert f"{KEY}-wrong" not in str(failed.value)


def test_what_the_triggerer_gives_up_fails_at_once(context):
    with pytest.raises(AirflowFailException, match="the key is unknown"):
        sensor("531").execute_complete(context, {"problem": "the key is unknown"})


def test_its_arguments_are_templates():
    task = sensor("{{ params.instance }}", job_id="{{ params.job }}", alma_conn_id="alma_{{ params.where }}")
    task.render_template_fields({"params": {"instance": "531", "job": "M48", "where": "nz"}})
    assert (task.instance_id, task.job_id, task.alma_conn_id) == ("531", "M48", "alma_nz")
