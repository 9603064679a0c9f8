"""Connections of type http, as the DCB jobs read them."""

import json
from typing import Any

import pytest

from alma_airflow.hooks.http import http_access, web_hook_url
from alma_etl.errors import InputProblem
from alma_etl.remote.service import HttpAccess

SECRET = "unlikely-test-word"


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Any:
    def set_connection(value: str | dict[str, Any]) -> None:
        text = value if isinstance(value, str) else json.dumps({"conn_type": "http"} | value)
        monkeypatch.setenv("AIRFLOW_CONN_SOME_SERVICE", text)

    return set_connection


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({"host": "https://edge.example.org/dcbService/"}, "https://edge.example.org/dcbService"),
        ({"host": " edge.example.org "}, "https://edge.example.org"),
        ({"host": "127.0.0.1", "port": 8080, "schema": "http"}, "http://127.0.0.1:8080"),
        ({"host": "edge.example.org", "schema": "dcbService"}, "https://edge.example.org/dcbService"),
        ("http://edge.example.org:8443/https", "https://edge.example.org:8443"),
        ("http://edge.example.org/dcbService", "https://edge.example.org/dcbService"),
    ],
)
def test_the_url(connect: Any, given: Any, url: str) -> None:
    connect(given)
    assert http_access("some_service") == HttpAccess(url)


def test_a_key_or_a_client(connect: Any) -> None:
    connect({"host": "https://x.example.org", "password": SECRET, "extra": {"timeout": "7.5"}})
    access = http_access("some_service")
    assert access == HttpAccess("https://x.example.org", api_key=SECRET, timeout=7.5)
    assert SECRET not in repr(access)
    extra = {"token_url": "https://keycloak.example.org/token"}
    connect({"host": "https://x.example.org", "login": "me", "password": SECRET, "extra": extra})
    access = http_access("some_service")
    assert access == HttpAccess(
        "https://x.example.org", client_id="me", client_secret=SECRET, token_url=extra["token_url"]
    )
    assert SECRET not in repr(access)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"host": ""}, "no host"),
        ({"host": "x", "extra": {"token_url": "https://k"}}, "id into the login"),
        ({"host": "x", "extra": {"token_url": "https://k"}, "login": "me"}, "secret into the password"),
        ({"host": "x", "extra": {"timeout": "soon"}}, "timeout"),
        ({"host": "x", "extra": {"timeout": 0}}, "timeout"),
        ({"host": "x", "extra": {"timeout": 9000}}, "timeout"),
    ],
)
def test_a_connection_that_cannot_be_used(connect: Any, given: dict[str, Any], words: str) -> None:
    connect(given)
    with pytest.raises(InputProblem, match=words):
        http_access("some_service")


def test_a_connection_that_is_not_there() -> None:
    with pytest.raises(InputProblem, match="no connection no_such_service"):
        http_access("no_such_service")


def test_the_address_of_a_web_hook_is_the_password_and_is_never_said(connect: Any) -> None:
    connect({"password": f"https://hooks.example.org/{SECRET}"})
    assert web_hook_url("some_service") == f"https://hooks.example.org/{SECRET}"
    for given in (
        {"password": SECRET},
        {"password": ""},
        {"conn_type": "alma", "password": f"https://{SECRET}"},
    ):
        connect(given)
        with pytest.raises(InputProblem, match="some_service") as refused:
            web_hook_url("some_service")
        assert SECRET not in str(refused.value)
    with pytest.raises(InputProblem, match="There is no connection nowhere of type http"):
        web_hook_url("nowhere")
