"""What made a task fail: the last line of its log, and what the run's page shows of it."""

import json
import pickle
from datetime import timedelta

import botocore.exceptions
import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowNotFoundException,
    AirflowRuntimeError,
    AirflowSensorTimeout,
    AirflowTaskTimeout,
    ErrorType,
    TaskDeferralError,
)
from airflow.sdk.execution_time.comms import ErrorResponse

from alma_airflow.operators.base import PROBLEM, EtlOperator, say_why, sentence_of
from alma_airflow.operators.intake import StartLoad
from alma_airflow.sensors.alma_job import AlmaJobSensor
from alma_etl.alma.errors import AlmaDailyThreshold
from alma_etl.errors import InputProblem, NotAcceptable
from alma_etl.remote.errors import RemoteForbidden, RemoteTimeout
from alma_etl.store.db import StoreUnavailable
from alma_etl.store.locks import LockBusy

CALL = ("GET /bibs/99", 403, "FORBIDDEN", "the key may not do this", "E01")
LONG = "The file has a row that cannot be read: " + "see the line, correct it and drop the file again; " * 12
ERRORS = [
    InputProblem("There is no set 12: name one that there is"),
    NotAcceptable(LONG),
    RemoteForbidden(*CALL),
    AlmaDailyThreshold(*CALL),
    RemoteTimeout("GET /bibs/99", None, "", "no whole answer within 90 s"),
    StoreUnavailable("The state store does not answer"),
    LockBusy("somebody else has been working on it"),
    AirflowFailException("The job ended without success"),
    AirflowNotFoundException("The conn_id `alma_default` isn't defined"),
    AirflowSensorTimeout("The Alma job has not come to its end within 60 seconds"),
]


class Memory:
    """What a callback needs of a task instance."""

    def __init__(self, broken=False):
        self.pushed, self.broken = {}, broken

    def xcom_push(self, key, value):
        if self.broken:
            raise RuntimeError("the API server does not answer")
        self.pushed[key] = value


def said(caplog, error, ti=None, **context):
    """What a failure logs, as (level, text)."""
    caplog.clear()
    caplog.set_level("INFO")
    say_why({"exception": error, "ti": ti or Memory(), **context})
    return [(record.levelname, record.getMessage()) for record in caplog.records]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_the_sentence_of_a_known_error_is_the_last_error_line_and_wrapped(caplog, error):
    ti = Memory()
    lines = said(caplog, error, ti)
    assert lines[0] == ("INFO", "::endgroup::")  # else the UI folds it away
    level, text = lines[-1]
    assert level == "ERROR"
    assert " ".join(text.split()) == " ".join(str(error).split())
    assert all(len(line) <= (120 if number else 90) for number, line in enumerate(text.splitlines()))
    assert ti.pushed == {PROBLEM: str(error).strip()}
    assert " ".join(str(pickle.loads(pickle.dumps(error))).split()) == " ".join(text.split())


def test_a_long_key_is_not_torn_apart(caplog):
    key = "items/incoming/gifts/" + "x-" * 100 + ".csv"
    assert key in said(caplog, InputProblem(f"There is no file {key} in the bucket"))[-1][1]


def test_a_bucket_that_does_not_answer_is_named(caplog):
    error = botocore.exceptions.EndpointConnectionError(endpoint_url="http://127.0.0.1:9/")
    assert said(caplog, error)[-1] == (
        "ERROR",
        'The bucket cannot be used: Could not connect to the endpoint URL: "http://127.0.0.1:9/"',
    )


def test_a_task_that_took_too_long_says_so(caplog):
    task = EtlOperator(task_id="slow", execution_timeout=timedelta(hours=12))
    lines = said(caplog, AirflowTaskTimeout("Timeout, PID: 12"), task=task)
    assert "longer than its execution_timeout of 12:00:00" in lines[-1][1]


def test_what_airflows_own_server_refused_is_said_in_its_words(caplog):
    said_so = {"detail": {"reason": "not_found", "message": "Dag with dag_id: 'no_such_dag' not found"}}
    detail = {"status_code": 404, "message": "Server returned error", "detail": said_so}
    error = AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail=detail))
    assert said(caplog, error)[-1] == ("ERROR", "Dag with dag_id: 'no_such_dag' not found")


@pytest.mark.parametrize("error", [None, "Task killed from outside", KeyError("x"), SystemExit(1)])
def test_of_any_other_error_airflows_own_lines_are_the_last(caplog, error):
    assert said(caplog, error) == []


def test_an_airflow_that_does_not_answer_costs_no_line_of_the_log(caplog):
    lines = said(caplog, InputProblem("There is no set 12"), Memory(broken=True))
    assert lines[-1] == ("ERROR", "There is no set 12")
    assert [level for level, _ in lines].count("ERROR") == 1


def test_a_masked_value_stays_masked(caplog):
    from airflow.sdk.log import mask_secret

    mask_secret("not-a-real-key-but-long-enough")
    ti = Memory()
    lines = said(caplog, InputProblem("refused: not-a-real-key-but-long-enough"), ti)
    assert "not-a-real-key" not in json.dumps([lines, ti.pushed])


def test_a_wait_that_failed_in_the_triggerer_says_why(context):
    sensor = AlmaJobSensor(task_id="wait", instance_id="1", timeout=60)
    trace = ["Traceback (most recent call last):\n", "ValueError: no such thing\n"]
    failed = {"error": "Trigger failure", "traceback": trace}
    with pytest.raises(TaskDeferralError) as raised:
        sensor.resume_execution("__fail__", failed, context)
    assert sentence_of(raised.value, {}) == (
        "Waiting for the Alma job failed in the triggerer: ValueError: no such thing"
    )
    with pytest.raises(AirflowSensorTimeout, match="has not come to its end within 60 seconds"):
        sensor.resume_execution("__fail__", {"error": "Trigger timeout"}, context)


@pytest.mark.parametrize("kind", ["on_failure_callback", "on_retry_callback"])
def test_the_callbacks_of_a_dags_author_run_too_and_before(kind):
    def mine(context):
        pass

    with DAG("callbacks", schedule=None, default_args={kind: mine}):
        tasks = [
            EtlOperator(task_id="plain"),
            AlmaJobSensor(task_id="wait", instance_id="1"),
            StartLoad(task_id="start", trigger_dag_id="item_creation"),
        ]
        own = EtlOperator(task_id="own", **{kind: [mine, mine]})
    for task in tasks:
        assert getattr(task, kind) == [mine, say_why]
    assert getattr(own, kind) == [mine, mine, say_why]
