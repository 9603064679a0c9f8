"""The connection of type `alma`: from its fields to a client, and its Test button."""

import json
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
import requests
from airflow.sdk import BaseHook

import alma_sandbox
from alma_airflow.get_provider_info import get_provider_info
from alma_airflow.hooks.alma import AlmaHook, AlmaSettings
from alma_airflow.hooks.store import redis_url, store_url
from alma_airflow.operators.file_jobs import RunStep, file_job
from alma_etl.alma.errors import AlmaQuotaFloor
from alma_etl.alma.sru import OCLC
from alma_etl.errors import InputProblem
from alma_etl.jobs.ledger import NoLedger
from alma_etl.remote.answers import Unknown
from alma_etl.remote.errors import RemoteReadOnly, RemoteTimeout, RemoteUnauthorized
from alma_etl.store.bucket import Bucket
from tests.stores import sqlite_store


@pytest.fixture(scope="module")
def sandbox_url():
    with alma_sandbox.serve(alma_sandbox.Settings(titles=5, per_second=0)) as running:
        yield running.url


@pytest.fixture
def connect(monkeypatch, tmp_path):
    monkeypatch.setenv("AIRFLOW_CONN_ALMA_ETL_DB", sqlite_store(tmp_path / "store.db"))

    def connect(**fields):
        monkeypatch.setenv("AIRFLOW_CONN_ALMA_DEFAULT", json.dumps({"conn_type": "alma", **fields}))

    return connect


def test_a_client_reads_through_the_connection(connect, sandbox_url):
    connect(host=sandbox_url, password="sandbox", extra={"requests_per_second": 200})
    with AlmaHook().client() as alma:
        assert alma.conf.general().institution
        assert alma.calls_made == 1


def test_host_and_port_may_stand_apart(connect, sandbox_url):
    host, port = sandbox_url.removeprefix("http://").split(":")
    connect(host=host, port=int(port), schema="http", password="sandbox")
    with AlmaHook().client() as alma:
        assert alma.conf.general().institution


def test_the_extra_reaches_the_client(connect, sandbox_url):
    connect(host=sandbox_url, password="sandbox", extra={"read_only": True})
    with AlmaHook().client() as alma, pytest.raises(RemoteReadOnly):
        alma.users.create({"primary_id": "somebody"})


def test_sru_is_there_where_the_connection_says_so(connect, sandbox_url):
    connect(host=sandbox_url, password="sandbox")
    with AlmaHook().sru() as sru:
        assert sru is None
    connect(host=sandbox_url, password="sandbox", extra={"sru_url": f"{sandbox_url}/view/sru/01ZZ_INST"})
    with AlmaHook().sru() as sru:
        assert sru is not None
        answer = sru.find(OCLC, ["1"], lambda record: ())
    assert isinstance(answer["1"], Unknown)  # this sandbox has not switched it on
    connect(host=sandbox_url, password="sandbox", extra={"sru_url": f"{sandbox_url}/view/sru/X?query=1"})
    with pytest.raises(InputProblem, match="sru_url is the address"), AlmaHook().sru():
        pass


def test_work_that_comes_again_soon_may_be_hasty(connect, sandbox_url):
    def faults(how, **rule):
        requests.request(
            how, f"{sandbox_url}/sandbox/faults", json=rule or None, timeout=10
        ).raise_for_status()

    connect(host=sandbox_url, password="sandbox", extra={"timeout": 60})
    faults("POST", kind="slow", method="GET", path="/conf/general", ms=2000)
    try:
        with (
            AlmaHook().client(attempts=1, longest=0.2) as alma,
            pytest.raises(RemoteTimeout, match="no whole answer"),
        ):
            alma.conf.general()
        assert alma.calls_made == 1
    finally:
        faults("DELETE")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"password": "sandbox"}, "has no host"),
        ({"host": "https://api-na.hosted.exlibrisgroup.com"}, "has no API key"),
        ({"host": "https://x", "password": "sandbox", "extra": {"max_in_flight": "many"}}, "max_in_flight"),
    ],
)
def test_a_connection_that_cannot_be_used_is_named_with_the_mend(connect, fields, words):
    connect(**fields)
    with pytest.raises(InputProblem, match=words), AlmaHook().client():
        pass
    works, sentence = AlmaHook().test_connection()
    assert not works
    assert words in sentence


def test_empty_fields_of_the_form_mean_the_defaults():
    given = dict.fromkeys(AlmaSettings.model_fields)
    assert AlmaSettings.model_validate(given) == AlmaSettings()
    assert AlmaSettings.model_validate({"requests_per_second": ""}) == AlmaSettings()


def test_the_form_offers_every_setting_with_its_default():
    (connection_type,) = [
        each for each in get_provider_info()["connection-types"] if each["connection-type"] == "alma"
    ]
    fields = connection_type["conn-fields"]
    assert set(fields) == set(AlmaSettings.model_fields)
    for name, default in AlmaSettings().model_dump().items():
        assert fields[name]["schema"].get("default", "") == default


def test_a_connection_that_is_pointed_elsewhere_knows_nothing_of_the_calls_left_before(connect, sandbox_url):
    def reads(host):
        connect(host=host, password="sandbox", extra={"requests_per_second": 200, "quota_floor": 10**9})
        with AlmaHook().client() as alma:
            return alma.conf.general().institution

    assert reads(sandbox_url)  # nobody knows yet how many calls are left there
    with pytest.raises(AlmaQuotaFloor):
        reads(sandbox_url)
    assert reads(sandbox_url.replace("127.0.0.1", "localhost"))  # for the hook another gateway


def test_the_test_button_says_who_answers_and_what_the_key_may_read(connect, sandbox_url):
    connect(host=sandbox_url, password="sandbox")
    works, sentence = AlmaHook().test_connection()
    assert works
    assert "answers" in sentence
    assert "bibs" in sentence


def test_the_test_button_works_below_the_floor(connect, sandbox_url):
    connect(host=sandbox_url, password="sandbox", extra={"quota_floor": 10_000_000})
    works, sentence = AlmaHook().test_connection()
    assert works, sentence
    assert "may read: bibs, conf, users, acq" in sentence


@pytest.mark.parametrize("key", ["wrong-key", "sandbox-bibs"])
def test_the_test_button_tells_a_key_that_does_not_suffice(connect, sandbox_url, key):
    connect(host=sandbox_url, password=key)
    works, sentence = AlmaHook().test_connection()
    assert not works
    assert key not in sentence


def test_the_test_button_names_an_address_where_nobody_answers(connect):
    connect(host="http://127.0.0.1:9", password="sandbox")
    works, sentence = AlmaHook().test_connection()
    assert not works
    assert "http://127.0.0.1:9" in sentence


def test_a_wrong_key_is_an_error_of_its_own(connect, sandbox_url):
    connect(host=sandbox_url, password="wrong-key")
    with AlmaHook().client() as alma, pytest.raises(RemoteUnauthorized):
        alma.conf.general()


@pytest.mark.parametrize(
    ("connection", "url"),
    [
        ("sqlite:////tmp/store.db", "sqlite:////tmp/store.db"),
        (
            "postgresql+psycopg://alma:p%40ss@127.0.0.1:5433/etl",
            "postgresql+psycopg://alma:p%40ss@127.0.0.1:5433/etl",
        ),
        ("postgres://alma@db/etl?sslmode=require", "postgresql+psycopg://alma@db/etl?sslmode=require"),
        (
            json.dumps({"conn_type": "postgres", "host": "/run/pg", "login": "alma", "schema": "etl"}),
            "postgresql+psycopg://alma@/etl?host=%2Frun%2Fpg",
        ),
    ],
)
def test_the_state_store_is_found_by_its_connection(monkeypatch, connection, url):
    monkeypatch.setenv("AIRFLOW_CONN_ALMA_ETL_DB", connection)
    assert store_url() == url


def test_a_missing_store_is_said_in_words(monkeypatch):
    monkeypatch.delenv("AIRFLOW_CONN_ALMA_ETL_DB", raising=False)
    with pytest.raises(InputProblem, match="alma_etl_db"):
        store_url()


def test_the_limiter_s_server_is_optional(monkeypatch):
    monkeypatch.delenv("AIRFLOW_CONN_LIMITER_DEFAULT", raising=False)
    assert redis_url() is None
    monkeypatch.setenv("AIRFLOW_CONN_LIMITER_DEFAULT", "redis://:secret@127.0.0.1:6390/2")
    assert redis_url() == "redis://:secret@127.0.0.1:6390/2"


def test_the_hook_is_found_by_its_connection_type():
    assert BaseHook.get_connection  # Airflow's own look-up
    assert get_provider_info()["connection-types"][0]["hook-class-name"] == "alma_airflow.hooks.alma.AlmaHook"


@pytest.mark.parametrize(
    ("extra", "is_sandbox"),
    [
        ({}, False),
        ({"environment": None}, False),
        ({"environment": ""}, False),
        ({"environment": "production"}, False),
        ({"environment": "test"}, False),
        ({"environment": "not a sandbox"}, False),
        ({"environment": "sandbox"}, True),
        ({"environment": " Sandbox "}, True),
    ],
)
def test_only_an_environment_called_sandbox_is_one(connect, extra, is_sandbox):
    connect(host="https://x", password="sandbox", extra=extra)
    assert AlmaHook().is_sandbox() is is_sandbox


def test_the_form_of_the_connection_has_the_environment():
    field = get_provider_info()["connection-types"][0]["conn-fields"]["environment"]
    assert "sandbox" in field["description"]
    assert "production" in field["description"]


def test_a_job_gets_sru_by_the_connection_of_its_alma(connect, sandbox_url, monkeypatch):
    job = file_job("alma_etl.bibs.job.BibImport", area="bibs", dag_id="bib_import")
    step = RunStep(task_id="check", job=job, step="check")
    step.ledger = NoLedger()
    now = datetime.now(UTC)
    run = SimpleNamespace(run_id="manual__1", dag_id="bib_import", logical_date=now, run_after=now)
    monkeypatch.setattr("alma_airflow.operators.file_jobs.open_bucket", lambda: Bucket(None, "no-bucket"))
    connect(host=sandbox_url, password="sandbox", extra={"sru_url": f"{sandbox_url}/view/sru/01ZZ_INST"})
    given = step.job_context({"dag_run": run, "params": {}})
    with given.open_client("sru") as sru:
        assert sru.institution == "01ZZ_INST"
    connect(host=sandbox_url, password="sandbox")
    with given.open_client("sru") as sru:
        assert sru is None


def test_a_job_gets_the_client_of_a_further_connection_that_its_settings_name(
    connect, sandbox_url, monkeypatch
):
    job = file_job("alma_etl.bibs.job.BibImport", area="bibs", dag_id="bib_import")
    step = RunStep(task_id="check", job=job, step="check")
    step.ledger = NoLedger()
    now = datetime.now(UTC)
    run = SimpleNamespace(run_id="manual__1", dag_id="bib_import", logical_date=now, run_after=now)
    monkeypatch.setattr("alma_airflow.operators.file_jobs.open_bucket", lambda: Bucket(None, "no-bucket"))
    given = step.job_context({"dag_run": run, "params": {}})
    with pytest.raises(InputProblem, match="There is no connection network"):
        given.open_client("alma", "network")
    monkeypatch.setenv("AIRFLOW_CONN_NETWORK", "http://example.org")
    with pytest.raises(InputProblem, match="The connection network is of type http, not alma"):
        given.open_client("alma", "network")
    connection = {"conn_type": "alma", "host": sandbox_url, "password": "sandbox"}
    monkeypatch.setenv("AIRFLOW_CONN_NETWORK", json.dumps(connection))
    with given.open_client("alma", "network") as alma:
        assert alma.conf.general().institution == "01ZZ_INST"
    with given.open_client("sru", "network") as sru:
        assert sru is None
