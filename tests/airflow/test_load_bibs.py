"""The task that writes a chunk of a bibliographic import: it gives its worker up while titles are locked."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from airflow.providers.standard.triggers.temporal import DateTimeTrigger
from airflow.sdk import timezone
from airflow.sdk.exceptions import ParamValidationError, TaskDeferred

from alma_airflow.operators.bibs import LoadBibs, lock_wait_param
from alma_airflow.operators.file_jobs import file_job

JOB = "alma_etl.bibs.job.BibImport"


@pytest.fixture
def steps(monkeypatch):
    """The steps that the task does; what the domain is asked about waiting stands in `waited`."""
    done = SimpleNamespace(names=[], waited=[], waits=[])

    def chunk_step(job, name, given, number):
        done.names.append((name, number))
        return {"not_added_locked": 1}

    def wait_for_locks(job, given, number, waited):
        done.waited.append(waited)
        return done.waits.pop(0)

    job = file_job(JOB, area="bibs", dag_id="bib_import")
    monkeypatch.setattr(type(job), "chunk_step", chunk_step)
    monkeypatch.setattr(type(job), "wait_for_locks", wait_for_locks)
    monkeypatch.setattr(LoadBibs, "job_context", lambda *_, **__: None)
    done.task = LoadBibs(task_id="load_records", job=job, chunk={"number": 2, "label": "x"})
    done.task.ledger_job = ""
    return done


def context(user="librarian"):
    return {"dag_run": SimpleNamespace(triggering_user_name=user)}


def test_it_writes_then_waits_in_the_triggerer_and_tries_the_locked_ones_again(steps):
    ten = timedelta(minutes=10)
    steps.waits = [ten, ten, None]
    before = timezone.utcnow()
    with pytest.raises(TaskDeferred) as first:
        steps.task.execute(context())
    assert isinstance(first.value.trigger, DateTimeTrigger)
    assert before + ten <= first.value.trigger.moment <= timezone.utcnow() + ten
    since = first.value.kwargs["since"]
    earlier = (timezone.parse(since) - ten).isoformat()  # as if the ten minutes had passed
    with pytest.raises(TaskDeferred) as second:
        steps.task.resume_execution("look_again", {"since": earlier, "event": None}, context())
    assert second.value.kwargs == {"since": earlier}
    assert steps.task.resume_execution("look_again", {"since": earlier}, context()) == {"not_added_locked": 1}
    assert steps.names == [("load", 2), ("load_locked", 2), ("load_locked", 2)]
    assert [waited >= ten for waited in steps.waited] == [False, True, True]


def test_by_dags_test_nobody_waits(steps):
    steps.waits = [timedelta(minutes=10)]
    assert steps.task.execute(context("dag_test")) == {"not_added_locked": 1}
    assert steps.waited == []


@pytest.mark.parametrize(("value", "fits"), [(None, True), (0, True), (60, True), (61, False), ("5", False)])
def test_the_form_takes_minutes_up_to_an_hour(value, fits):
    param = lock_wait_param()["lock_wait_minutes"]
    if fits:
        assert param.resolve(value) == value
    else:
        with pytest.raises(ParamValidationError):
            param.resolve(value)
