"""The trigger of job instances: its form in Airflow's database, and the one event of each ending."""

import asyncio

import pytest
from airflow.sdk.module_loading import import_string
from airflow.serialization.serialized_objects import BaseSerialization

from alma_airflow.triggers.alma_job import AlmaJobTrigger

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]


async def next_payload(trigger):
    async for event in trigger.run():
        return event.payload
    return None


def fired(trigger):
    return asyncio.run(asyncio.wait_for(next_payload(trigger), 60))


def test_what_airflow_stores_gives_the_same_trigger():
    trigger = AlmaJobTrigger(instance_id="531", job_id="M48", alma_conn_id="alma_other", poke_interval=5)
    path, arguments = trigger.serialize()
    stored = BaseSerialization.deserialize(BaseSerialization.serialize(arguments))
    again = import_string(path)(**stored)
    assert type(again) is AlmaJobTrigger
    assert again.serialize() == (path, arguments)
    assert vars(again).keys() == vars(trigger).keys()
    assert {again.instance_id, again.job_id, again.alma_conn_id} == {"531", "M48", "alma_other"}


@pytest.mark.parametrize(
    ("status", "alerts"),
    [
        ("COMPLETED_SUCCESS", []),
        ("COMPLETED_FAILED", ["The job ended as COMPLETED_FAILED."]),
        ("COMPLETED_WARNING", ["The job ended as COMPLETED_WARNING."]),
        ("ON_ANOTHER_PLANET", ["The job ended as ON_ANOTHER_PLANET."]),
    ],
)
def test_every_final_status_fires_with_what_alma_says(job_alma, status, alerts):
    job_alma.settings(job_outcome=status)
    instance_id = job_alma.start()
    job_alma.advance(120)
    payload = fired(AlmaJobTrigger(instance_id=instance_id, poke_interval=0))
    end = payload["end"]
    assert (end["instance_id"], end["status"], end["alerts"]) == (instance_id, status, alerts)
    assert set(payload) == {"end"}
    assert end["counters"]["label.new.records.processed"] == ("30" if status == "COMPLETED_SUCCESS" else "0")
    assert BaseSerialization.deserialize(BaseSerialization.serialize(payload)) == payload


def test_it_waits_through_the_running_statuses(job_alma, monkeypatch):
    """Each of its pauses lets a minute pass in the sandbox: queued, running, done."""
    pauses = []

    async def pause(seconds):
        pauses.append(seconds)
        await asyncio.to_thread(job_alma.advance, 59)

    instance_id = job_alma.start()
    monkeypatch.setattr("alma_airflow.triggers.alma_job.sleep", pause)
    payload = fired(AlmaJobTrigger(instance_id=instance_id, job_id="M48", poke_interval=61))
    assert payload["end"]["status"] == "COMPLETED_SUCCESS"
    assert pauses == [61, 61, 61]
    assert job_alma.sent("GET", f"/jobs/M48/instances/{instance_id}") == 3


def test_an_alma_that_does_not_answer_is_asked_again(job_alma):
    instance_id = job_alma.start()
    job_alma.advance(120)
    job_alma.faults(
        {"kind": "maintenance", "path": "/instances/", "nth": list(range(1, 6))},
        {"kind": "drop", "path": "/instances/", "nth": list(range(6, 11))},
    )
    payload = fired(AlmaJobTrigger(instance_id=instance_id, poke_interval=0))
    assert payload["end"]["status"] == "COMPLETED_SUCCESS"
    assert job_alma.sent("GET", "/instances/") == 11


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (
            {"kind": "refuse", "code": "402218", "message": "Job instance ID is not valid."},
            "no job instance 531",
        ),
        ({"kind": "daily"}, "GET /conf/jobs/ALL/instances/531"),
    ],
)
def test_it_fires_when_looking_makes_no_further_sense(job_alma, fault, words):
    job_alma.faults(fault)
    payload = fired(AlmaJobTrigger(instance_id="531", poke_interval=0))
    assert set(payload) == {"problem"}
    assert words in payload["problem"]


def test_a_wrong_key_fires_and_is_not_told(job_alma, connect_job_alma):
    connect_job_alma(job_alma.url, password="not-the-key")
    payload = fired(AlmaJobTrigger(instance_id="531", poke_interval=0))
    assert set(payload) == {"problem"}
    assert "not-the-key" not in payload["problem"]
