"""The connection of type `aleph`: from its fields to a client, its Test button, and the operators that use it."""

import json
import logging
import os
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from airflow.sdk.exceptions import AirflowFailException
from sqlalchemy import create_engine, text

import alma_sandbox
from alma_airflow.get_provider_info import get_provider_info
from alma_airflow.hooks.aleph import AlephHook, AlephSettings
from alma_airflow.operators.aleph import (
    AlephCreateItemOperator,
    AlephReadItemOperator,
    AlephUpdateItemOperator,
)
from alma_airflow.operators.file_jobs import CLIENTS, CONNECTIONS
from alma_airflow.operators.health import check_alephs
from alma_etl.aleph.z30 import ItemKey
from alma_etl.errors import InputProblem
from alma_etl.health.report import as_rows, health_problems, result_of
from alma_etl.remote.answers import Found
from tests.stores import sqlite_store

NEW = {"barcode": "30001000000018", "sub-library": "WID", "material": "BOOK", "item-status": "01"}
NOBODY = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def sandbox_url():
    with alma_sandbox.serve(alma_sandbox.Settings(titles=5, per_second=0)) as running:
        yield running.url


@pytest.fixture
def store(monkeypatch, tmp_path):
    url = sqlite_store(tmp_path / "store.db")
    monkeypatch.setenv("AIRFLOW_CONN_ALMA_ETL_DB", url)
    return url


@pytest.fixture
def connect(monkeypatch, sandbox_url, store):
    requests.post(f"{sandbox_url}/sandbox/reset", timeout=10).raise_for_status()

    def connect(**fields: Any) -> None:
        extra = {"library": "USM50", "requests_per_second": 200, **fields.pop("extra", {})}
        connection = {"conn_type": "aleph", "host": sandbox_url, **fields, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_ALEPH_DEFAULT", json.dumps(connection))

    return connect


def test_a_client_reads_through_the_connection_and_its_calls_are_kept(connect, store):
    connect()
    with CLIENTS["aleph"](CONNECTIONS["aleph"]) as aleph:
        assert isinstance(aleph.read_item(ItemKey("2", "10")), Found)
    engine = create_engine(store)
    with engine.connect() as connection:
        calls = connection.execute(
            text("SELECT connection, sum(calls) FROM api_use GROUP BY connection")
        ).all()
        budgets = connection.execute(text("SELECT name FROM api_budget")).scalars().all()
    engine.dispose()
    assert calls == [("aleph_default", 1)]
    assert [name.split()[0] for name in budgets] == ["aleph_default"]


def test_host_and_port_may_stand_apart(connect, sandbox_url):
    host, port = sandbox_url.removeprefix("http://").split(":")
    connect(host=host, port=int(port), schema="http")
    assert AlephHook().server() == f"{host}:{port} USM50"
    with AlephHook().client() as aleph:
        assert isinstance(aleph.read_item(ItemKey("2", "10")), Found)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"host": ""}, "has no host: put the X-Server's URL there"),
        ({"extra": {"library": ""}}, "administrative library"),
        ({"extra": {"library": "USM500"}}, "administrative library"),
        ({"extra": {"op_style": "update"}}, "op_style"),
        ({"extra": {"max_in_flight": "many"}}, "max_in_flight"),
        ({"extra": {"read_item_barcode_param": "bc"}}, "read_item_barcode_param"),
    ],
)
def test_a_connection_that_cannot_be_used_says_what_to_correct(connect, fields, words):
    connect(**fields)
    with pytest.raises(InputProblem, match=words), AlephHook().client():
        pass
    works, sentence = AlephHook().test_connection()
    assert not works
    assert words in sentence


def test_the_form_offers_every_setting_with_its_default():
    (kind,) = [each for each in get_provider_info()["connection-types"] if each["connection-type"] == "aleph"]
    assert set(kind["conn-fields"]) == set(AlephSettings.model_fields)
    for name, default in AlephSettings().model_dump().items():
        assert kind["conn-fields"][name]["schema"].get("default", "") == default
    assert kind["hook-class-name"] == f"{AlephHook.__module__}.{AlephHook.__name__}"
    assert AlephSettings.model_validate(dict.fromkeys(AlephSettings.model_fields)) == AlephSettings()
    assert AlephSettings().requests_per_second == 5
    assert AlephSettings().max_in_flight == 4


@pytest.mark.parametrize(
    ("fields", "works", "words"),
    [
        ({}, True, "answers for the library USM50"),
        ({"login": "READER", "password": "READER"}, True, "WWW-X / UPD-ITEM"),
        ({"login": "NOBODY", "password": "unlikely-test-word"}, False, "verification of user name"),
        ({"extra": {"library": "USM01"}}, False, "must be an Administrative library"),
        ({"host": NOBODY}, False, NOBODY),
    ],
)
def test_the_test_button_says_who_answers(connect, fields, works, words):
    connect(**fields)
    found, sentence = AlephHook().test_connection()
    assert (found, words in sentence) == (works, True), sentence
    assert "unlikely-test-word" not in sentence


@pytest.mark.parametrize(
    ("fields", "outcome", "words"),
    [
        ({}, "ok", "answers for the library USM50"),
        ({"extra": {"library": ""}, "host": NOBODY}, "warning", "administrative library"),
        ({"extra": {"library": "USM500"}, "host": NOBODY}, "warning", "at most 5 letters"),
        ({"extra": {"op_style": "update"}, "host": NOBODY}, "warning", "op_style"),
        ({"conn_type": "http", "host": NOBODY}, "warning", "is of type http, not aleph"),
        ({"login": "NOBODY", "password": "unlikely-test-word"}, "missing", "verification of user name"),
        ({"extra": {"library": "USM01"}}, "missing", "must be an Administrative library"),
        ({"host": NOBODY}, "unknown", NOBODY),
    ],
)
def test_the_health_check_tells_healthy_half_made_and_broken_apart(connect, fields, outcome, words):
    connect(**fields)
    (found,) = check_alephs()
    assert (found.system, found.check, found.outcome) == ("aleph_default", "connection", outcome), found
    assert words in found.message
    assert bool(found.where and found.advice) is (outcome != "ok")
    result = result_of([as_rows([found])], datetime.now(UTC))
    assert bool(health_problems(result, {})) is (outcome == "missing"), "what makes the run red"


def test_without_a_connection_to_an_aleph_the_health_check_says_nothing_of_one(store):
    assert check_alephs() == []


def test_an_aleph_of_another_name_is_checked_once_it_was_called(connect, monkeypatch):
    connect()
    monkeypatch.setenv("AIRFLOW_CONN_ALEPH_SECOND", os.environ["AIRFLOW_CONN_ALEPH_DEFAULT"])
    assert [each.system for each in check_alephs()] == ["aleph_default"]
    with CLIENTS["aleph"]("aleph_second") as aleph:
        aleph.read_item(ItemKey("2", "10"))
    assert [each.system for each in check_alephs()] == ["aleph_default", "aleph_second"]


def test_operators_read_change_and_make_items(connect):
    connect()
    read = AlephReadItemOperator(task_id="read", doc_number="2", item_sequence="10")
    before = read.execute({})
    values = {"z30-note-internal": "Checked", "description": ""}
    change = AlephUpdateItemOperator(
        task_id="change", doc_number="000000002", item_sequence="10", values=values
    )
    assert change.execute({}) == {"outcome": "updated", "barcode": before["barcode"]}
    assert change.execute({})["outcome"] == "unchanged"
    by_barcode = AlephReadItemOperator(task_id="again", barcode=before["barcode"])
    after = by_barcode.execute({})
    assert (after["note-internal"], after["description"]) == ("Checked", "")
    make = AlephCreateItemOperator(task_id="make", adm_doc_number="2", values=NEW)
    made = make.execute({})
    assert made["outcome"] == "created"
    assert make.execute({}) == {**made, "outcome": "adopted"}


@pytest.mark.parametrize(
    ("operator", "arguments", "words"),
    [
        (AlephReadItemOperator, {"doc_number": "2", "item_sequence": "990"}, "no item exist"),
        (AlephReadItemOperator, {}, "named by doc_number"),
        (AlephReadItemOperator, {"doc_number": "x", "item_sequence": "10"}, "is no number"),
        (AlephUpdateItemOperator, {"values": {"z30-doc-number": "3"}}, "cannot be changed"),
        (AlephUpdateItemOperator, {"values": {"item-status": "Regular loan"}}, "no code"),
        (AlephUpdateItemOperator, {"values": {"sub-library": "XXX"}}, "Sub-library XXX is not valid"),
        (AlephUpdateItemOperator, {"values": {}}, "no field is given"),
        (AlephCreateItemOperator, {"values": NEW}, "either adm_doc_number"),
        (AlephCreateItemOperator, {"values": NEW, "adm_doc_number": "99999"}, "Input ADM document"),
    ],
)
def test_what_no_retry_can_fix_fails_at_once(connect, operator, arguments, words):
    connect()
    if operator is AlephUpdateItemOperator:
        arguments = {"doc_number": "2", "item_sequence": "10", **arguments}
    with pytest.raises(AirflowFailException, match=words):
        operator(task_id="try", **arguments).execute({})


def test_nothing_of_the_form_is_in_the_log(connect, caplog):
    caplog.set_level(logging.DEBUG)
    note = "-".join(("private", "note"))
    connect(login="NOBODY", password="unlikely-test-word")
    change = AlephUpdateItemOperator(
        task_id="change", doc_number="2", item_sequence="10", values={"note-internal": note}
    )
    with pytest.raises(AirflowFailException) as caught:
        change.execute({})
    assert "unlikely-test-word" not in caplog.text + str(caught.value)
    assert note not in caplog.text + str(caught.value)
