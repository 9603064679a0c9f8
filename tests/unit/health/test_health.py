"""What the health check finds: healthy, half-configured and broken are told apart, and what was not read is unknown."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from sqlalchemy import create_engine, text

import alma_etl
from alma_etl.dcb.settings import shipped_settings
from alma_etl.errors import InputProblem, NotAcceptable
from alma_etl.health.almas import AlmaAccess, check_answers, check_quota, check_rights
from alma_etl.health.connections import OptionalPart, check_optional, check_services
from alma_etl.health.house import check_bucket, check_limiter, check_store
from alma_etl.health.notify import NOTIFY, check_notify
from alma_etl.health.report import WORDS, as_rows, health_problems, health_verdict, result_of
from alma_etl.health.settings import FILES, Installation, check_settings
from alma_etl.jobs.settings_files import SettingsFile
from alma_etl.jobs.setup_checks import SetupCheck, SetupFolder
from alma_etl.jobs.setup_report import setup_results, write_setup_report
from alma_etl.store.bucket import Bucket
from alma_etl.store.upgrade import VERSION_TABLE
from alma_etl.west.settings import SETTINGS as SHIPPED_WEST
from alma_etl.west.settings import WestSettings
from tests.stores import sqlite_store
from tests.unit.health.conftest import KEY, Connections

NOW = datetime(2026, 11, 3, 6, 45, tzinfo=UTC)
DCB = shipped_settings()
SET = SHIPPED_WEST.shipped().set_id


def outcomes(checks: Iterable[SetupCheck]) -> dict[tuple[str, str], str]:
    return {(each.system, each.check): each.outcome for each in checks}


def row(checks: Iterable[SetupCheck], check: str) -> SetupCheck:
    (found,) = [each for each in checks if each.check == check]
    return found


def everything_says_what_to_do(checks: Iterable[SetupCheck]) -> bool:
    return all(each.where and each.advice for each in checks if each.outcome in ("missing", "warning"))


# --- notifications


def test_who_is_to_be_notified_is_checked_and_never_makes_a_run_red(bucket: Bucket) -> None:
    def usable(conn_id: str) -> None:
        if conn_id != "teams":
            raise InputProblem(f"There is no connection {conn_id}")

    assert check_notify(bucket, usable) == []
    bucket.put(
        NOTIFY, b"web_hooks:\n- {conn_id: teams}\n- {conn_id: slack, jobs: [a]}\nmail: {to: x}\n", "text/yaml"
    )
    checks = check_notify(bucket, usable)
    assert outcomes(checks) == {
        ("settings", "settings"): "warning",
        ("slack", "connection"): "warning",
        ("teams", "connection"): "ok",
    }
    assert "sends no notifications" in row(checks, "settings").message
    assert everything_says_what_to_do(checks)
    assert health_problems(result_of([as_rows(checks)], NOW), {}) == []
    assert [each.check for each in check_settings(bucket, lambda conn_id: True)[0]].count(
        "settings_name"
    ) == 0
    bucket.put(NOTIFY, b"web_hooks:\n- {conn_id: teams\n", "text/yaml")
    (check,) = check_notify(bucket, usable)
    assert (check.outcome, "line 2" in check.message) == ("warning", True), check


@pytest.mark.parametrize("content", [b"", b"- a\n- b\n", b"\xff", b"conn_id: [1, {conn_id: 2}]\n"])
def test_odd_settings_of_notifications_are_a_row(bucket: Bucket, content: bytes) -> None:
    bucket.put(NOTIFY, content, "text/yaml")
    (check,) = check_notify(bucket, lambda conn_id: pytest.fail(conn_id))
    assert check.outcome == "warning"


def test_notifications_of_a_bucket_that_is_away_are_said_elsewhere(bucket: Bucket) -> None:
    away = Bucket(Refusing(bucket.client, "get_object", "head_object", status=0), bucket.name)  # type: ignore[arg-type]
    assert check_notify(away, lambda conn_id: None) == []


# --- state store, limiter


def test_a_store_of_this_version_is_healthy(tmp_path: Path) -> None:
    (found,) = check_store(lambda: sqlite_store(tmp_path / "store.db"))
    assert (found.outcome, "revision" in found.message) == ("ok", True)


@pytest.mark.parametrize(
    ("statement", "words", "advice"),
    [
        (f"UPDATE {VERSION_TABLE} SET version_num = '0002'", "is at revision 0002; this version needs", "prepare"),
        (f"UPDATE {VERSION_TABLE} SET version_num = '9999'", "which a newer version", "Install the version"),
        (f"DROP TABLE {VERSION_TABLE}", "has no tables yet", "alma_airflow.prepare"),
    ],
)  # fmt: skip
def test_a_store_of_another_version_is_named_with_the_command(
    statement: str, words: str, advice: str, tmp_path: Path
) -> None:
    url = sqlite_store(tmp_path / "store.db")
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()
    (found,) = check_store(lambda: url)
    assert (found.outcome, words in found.message, advice in found.advice) == ("missing", True, True), found


def test_a_store_that_does_not_answer_is_unknown_and_one_without_a_connection_missing() -> None:
    (found,) = check_store(lambda: "postgresql+psycopg://u:hidden-word@127.0.0.1:1/none")
    assert (found.outcome, found.check) == ("unknown", "answers")
    assert "hidden-word" not in repr(found)

    def none() -> str:
        raise InputProblem("There is no connection alma_etl_db")

    (found,) = check_store(none)
    assert (found.outcome, "no connection" in found.message) == ("missing", True)


def test_the_limiter_is_asked_where_it_is_apart(valkey: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alma_etl.store.limiter_redis.ATTEMPTS", 1)
    assert [each.outcome for each in check_limiter(lambda: None)] == ["ok"]
    assert [each.outcome for each in check_limiter(lambda: valkey)] == ["ok"]
    assert [each.outcome for each in check_limiter(lambda: "redis://127.0.0.1:1/0")] == ["unknown"]


# --- bucket


class Refusing:
    """An S3 client that refuses some calls."""

    def __init__(self, client: Any, *refused: str, status: int = 403) -> None:
        self._client, self._refused, self._status = client, refused, status

    def __getattr__(self, name: str) -> Any:
        if name not in self._refused:
            return getattr(self._client, name)

        def refuse(*_: object, **__: object) -> None:
            if not self._status:
                raise EndpointConnectionError(endpoint_url="http://127.0.0.1:1")
            answer = {"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": self._status}}
            raise ClientError(answer, name)  # type: ignore[arg-type]

        return refuse


def test_a_bucket_that_does_all_is_healthy_and_keeps_nothing_of_the_check(bucket: Bucket) -> None:
    checks = check_bucket(bucket, "runs/a/b/probe.txt")
    assert [each.outcome for each in checks] == ["ok", "ok", "ok"]
    assert list(bucket.list("")) == []


@pytest.mark.parametrize(
    ("refused", "status", "expected"),
    [
        ("get_paginator", 403, {"answers": "missing"}),
        ("get_object", 403, {"answers": "missing"}),
        ("get_paginator", 503, {"answers": "unknown"}),
        ("get_paginator", 0, {"answers": "unknown"}),
        ("put_object", 403, {"answers": "ok", "bucket_write": "missing"}),
        ("delete_objects", 403, {"answers": "ok", "bucket_write": "ok", "bucket_delete": "missing"}),
    ],
)
def test_what_the_bucket_refuses_is_named(
    refused: str, status: int, expected: dict[str, str], bucket: Bucket
) -> None:
    checks = check_bucket(Bucket(Refusing(bucket.client, refused, status=status), bucket.name), "runs/probe")  # type: ignore[arg-type]
    assert {each.check: each.outcome for each in checks} == expected
    assert everything_says_what_to_do(checks)


def test_a_bucket_that_is_not_there_is_missing(bucket: Bucket) -> None:
    (found,) = check_bucket(Bucket(bucket.client, "no-such-bucket-here"), "runs/probe")
    assert (found.outcome, "NoSuchBucket" in found.message) == ("missing", True)


# --- settings files


def test_a_sandbox_is_served_by_what_ships_and_production_by_nothing(bucket: Bucket) -> None:
    checks, settings = check_settings(bucket, lambda _: True)
    assert {each.outcome for each in checks} == {"ok"}
    assert (settings.west is not None, settings.loads_items, settings.dcb is not None) == (True, True, True)
    checks, settings = check_settings(bucket, lambda _: False)
    assert [each.outcome for each in checks] == [
        "warning",
        "warning",
        "ok",
        "ok",
        "warning",
    ]  # item updates and imports ship for all
    assert settings == Installation()
    assert everything_says_what_to_do(checks)
    said = " ".join(each.message for each in checks)
    for words in ("set_id", "oclc_symbol", "config/item_profiles.yaml", "config/dcb.yaml"):
        assert words in said


@pytest.mark.parametrize(
    ("key", "content", "words"),
    [
        ("config/west.yaml", "set_id: '1'\noclc_symbol: zz\n", "config/west.yaml, line 2"),
        ("config/west.yaml", "oclc_symbol: ZZZ\n", "neither of set_id and marc_key"),
        (
            "config/item_profiles.yaml",
            "profiles:\n  a:\n    librry: X\n",
            "config/item_profiles.yaml, line 3",
        ),
        (
            "config/bib_profiles.yaml",
            "profiles:\n  a:\n    match: [doi]\n",
            "config/bib_profiles.yaml, line 3",
        ),
        ("config/dcb.yaml", "systems:\n  A: {kind: alma}\n", "config/dcb.yaml, line 2"),
        ("config/dcb.yaml", "systems: [\n", "config/dcb.yaml, line"),
    ],
)
def test_a_file_that_cannot_be_used_is_broken_and_its_line_named(
    key: str, content: str, words: str, bucket: Bucket, put: Callable[[str, str], None]
) -> None:
    put(key, content)
    checks, _ = check_settings(bucket, lambda _: False)
    (broken,) = [each for each in checks if each.outcome == "missing"]
    assert broken.label == f"{key} can be used"
    assert words in broken.message
    assert everything_says_what_to_do(checks)


def test_a_misspelt_file_and_a_file_that_delivers_nothing_are_warnings(
    bucket: Bucket, put: Callable[[str, str], None]
) -> None:
    put("config/west.yaml", "set_id: '12'\noclc_symbol: ZZZ\nlimit: 5\n")
    put("config/item_profile.yaml", "profiles: {}\n")
    put("config/own_job.yaml", "a: b\n")
    checks, settings = check_settings(bucket, lambda _: False)
    assert "Did you mean config/item_profiles.yaml" in row(checks, "settings_name").advice
    assert "limit stands in config/west.yaml" in row(checks, "west_delivers").message
    assert settings.almas() == {"alma_default": {"bibs": False, "conf": False}}


def test_profiles_of_imports_need_a_key_that_writes(bucket: Bucket, put: Callable[[str, str], None]) -> None:
    put("config/bib_profiles.yaml", "profiles:\n  vendor:\n    match: [system]\n")
    checks, settings = check_settings(bucket, lambda _: False)
    assert "missing" not in {each.outcome for each in checks}
    assert settings.almas() == {"alma_default": {"bibs": True, "conf": False}}


def test_the_connections_to_network_zones_that_profiles_name_are_checked(
    bucket: Bucket, put: Callable[[str, str], None]
) -> None:
    put("config/bib_profiles.yaml", "profiles:\n  vendor:\n    network: alma_network\n")
    _, settings = check_settings(bucket, lambda _: False)
    assert settings.almas()["alma_network"] == {"bibs": False, "conf": False}


def test_settings_that_could_not_be_read_are_unknown(bucket: Bucket) -> None:
    client = Refusing(bucket.client, "get_paginator", status=0)
    (found,), settings = check_settings(Bucket(client, bucket.name), lambda _: True)  # type: ignore[arg-type]
    assert (found.outcome, settings) == ("unknown", Installation())


def test_the_settings_file_of_every_job_is_checked() -> None:
    found = set()
    for module in pkgutil.walk_packages(alma_etl.__path__, "alma_etl."):
        if not module.name.endswith("__main__") and "migrations" not in module.name:
            values = vars(importlib.import_module(module.name)).values()
            found |= {each.key for each in values if isinstance(each, SettingsFile)}
    assert {each.key for each in FILES} == found


def test_rights_and_connections_follow_from_what_is_set_up() -> None:
    assert Installation().almas() == {"alma_default": {"bibs": False, "conf": False}}
    assert Installation(aleph_alone=True).almas() == {}
    assert Installation(aleph_alone=True, west=WestSettings.model_construct()).almas().keys() == {
        "alma_default"
    }
    assert Installation(loads_items=True).almas()["alma_default"]["bibs"] is True
    networks = Installation(imports_bibs=True, networks=frozenset(("alma_network",))).almas()
    assert networks["alma_network"] == {"bibs": False, "conf": False}
    driven = Installation(dcb=DCB.model_copy(update={"mode": "drive"}))
    assert driven.almas() == {
        conn_id: {"bibs": True, "users": True, "conf": False} for conn_id in ("alma_default", "alma_borrower")
    }
    assert not any(Installation(dcb=DCB).almas()["alma_borrower"].values())
    assert Installation(dcb=DCB).services() <= {"mod_dcb_default", "dcb_default"}


# --- Almas


def test_an_alma_that_answers_is_healthy_whatever_area_its_key_has(connections: Connections) -> None:
    connections.keys |= {"alma_bibs": f"{KEY}-bibs", "alma_wrong": "another"}
    checks = check_answers(["alma_default", "alma_bibs", "alma_wrong", "alma_none"], connections)
    assert outcomes(checks) == {
        ("alma_default", "answers"): "ok",
        ("alma_bibs", "answers"): "ok",
        ("alma_wrong", "answers"): "missing",
        ("alma_none", "answers"): "missing",
    }
    assert everything_says_what_to_do(checks)
    assert KEY not in repr(checks)


def test_a_connection_that_takes_production_for_a_sandbox_is_broken(connections: Connections) -> None:
    body = '{"institution": {"value": "01ABC_INST", "desc": "A"}, "environment_type": "PRODUCTION"}'
    connections.strike("body", "/conf/general", text=body)
    checks = check_answers(["alma_default"], connections)
    assert outcomes(checks)["alma_default", "environment"] == "missing"
    connections.sandbox = False
    assert outcomes(check_answers(["alma_default"], connections)) == {("alma_default", "answers"): "ok"}


@pytest.mark.parametrize("kind", ["server_error", "malformed", "drop"])
def test_an_alma_that_does_not_answer_is_unknown_and_never_missing(
    kind: str, connections: Connections
) -> None:
    connections.strike(kind, "")
    needed = Installation(west=WestSettings(set_id=SET, oclc_symbol="ZZZ"), loads_items=True)
    checks = [
        *check_answers(["alma_default"], connections),
        *check_rights(needed, connections),
        *check_quota(["alma_default"], connections),
    ]
    assert {each.outcome for each in checks} == {"unknown"}
    result = result_of([as_rows(checks)], NOW)
    assert "alma_default could not be read" in " ".join(health_problems(result, {}))


def test_rights_that_a_job_needs_are_missing_and_those_of_a_column_a_warning(
    connections: Connections,
) -> None:
    needed = Installation(west=WestSettings(set_id=SET, oclc_symbol="ZZZ"), loads_items=True)
    checks = check_rights(needed, connections)
    assert {each.outcome for each in checks} == {"ok"}, checks
    assert "member" in row(checks, "west_set").message
    connections.keys["alma_default"] = f"{KEY}-ro"
    found = outcomes(check_rights(needed, connections))
    assert found["alma_default", "rights_bibs"] == "missing"
    assert found["alma_default", "rights_conf"] == "ok"
    connections.keys["alma_default"] = f"{KEY}-bibs"
    checks = check_rights(needed, connections)
    assert outcomes(checks) | {("alma_default", "west_set"): "unknown"} == {
        ("alma_default", "rights_bibs"): "ok",
        ("alma_default", "rights_conf"): "missing",
        ("alma_default", "rights_acq"): "warning",
        ("alma_default", "west_set"): "unknown",
    }
    assert everything_says_what_to_do(checks)


def test_a_read_only_connection_is_enough_where_nothing_is_written(connections: Connections) -> None:
    connections.read_only = True
    assert outcomes(check_rights(Installation(), connections))["alma_default", "rights_bibs"] == "ok"
    found = row(check_rights(Installation(loads_items=True), connections), "rights_bibs")
    assert (found.outcome, "Untick Read-only" in found.advice) == ("missing", True)


def test_a_set_that_is_not_there_is_broken(connections: Connections) -> None:
    west = WestSettings(set_id="404", oclc_symbol="ZZZ")
    found = row(check_rights(Installation(west=west), connections), "west_set")
    assert (found.outcome, "no such set" in found.message) == ("missing", True)


@pytest.mark.parametrize(
    ("daily", "outcome"), [(500_000, "ok"), (9_000, "warning"), (4_000, "missing"), (0, "missing")]
)
def test_calls_left_are_compared_with_the_reserve(daily: int, outcome: str, connections: Connections) -> None:
    connections.control("settings", daily=daily)
    found = row(check_quota(["alma_default"], connections), "calls_left")
    assert found.outcome == outcome, found
    assert everything_says_what_to_do([found])


def test_a_connection_whose_client_cannot_be_made_is_missing_and_its_rights_are_unknown() -> None:
    @contextmanager
    def no_client() -> Any:
        raise InputProblem("The connection alma_default has no API key")
        yield

    def access(conn_id: str) -> AlmaAccess:
        return AlmaAccess(no_client, 5000, 1000, False)

    assert row(check_answers(["alma_default"], access), "answers").outcome == "missing"
    assert row(check_rights(Installation(), access), "rights").outcome == "unknown"
    assert row(check_quota(["alma_default"], access), "calls_left").outcome == "unknown"


# --- other connections


def test_services_that_are_named_must_be_usable() -> None:
    def usable(conn_id: str) -> None:
        if conn_id == "dcb_default":
            raise InputProblem("There is no connection dcb_default")

    found = outcomes(check_services({"dcb_default", "mod_dcb_default"}, usable))
    assert found == {("dcb_default", "connection"): "missing", ("mod_dcb_default", "connection"): "ok"}


def test_optional_parts_count_only_when_they_are_there() -> None:
    def broken() -> str:
        raise OSError("connection refused")

    parts = [
        OptionalPart("west_sftp", "SFTP", lambda: None, nightly=True),
        OptionalPart("a", "A", lambda: "It answers.", nightly=True),
        OptionalPart("b", "B", broken, nightly=True),
        OptionalPart("c", "C", broken, nightly=False),
    ]
    checks = check_optional(parts)
    assert outcomes(checks) == {
        ("a", "connection"): "ok",
        ("b", "connection"): "missing",
        ("c", "connection"): "warning",
    }
    assert everything_says_what_to_do(checks)


# --- the report


def check(outcome: Any, system: str = "the bucket", name: str = "answers") -> SetupCheck:
    return SetupCheck(system=system, check=name, label=f"{system} works", outcome=outcome, message="Found.")


def test_a_healthy_installation_is_green_and_warnings_do_not_make_it_red() -> None:
    result = result_of([as_rows([check("ok")]), None, as_rows([check("warning", name="x")])], NOW)
    assert health_verdict(result, {}) == "Nothing that the night's runs need is missing; 1 warning."


@pytest.mark.parametrize(
    ("checks", "states", "words"),
    [
        ([check("missing")], {}, "Missing or wrong: the bucket: the bucket works"),
        ([check("unknown")], {}, "the bucket could not be read: Found"),
        ([check("ok")], {"check_rights": "failed"}, "The task check_rights is failed"),
        ([], {"check_connection": "failed"}, "Nothing was checked. The task check_connection is failed"),
    ],
)
def test_what_is_broken_or_was_not_read_makes_it_red(
    checks: list[SetupCheck], states: dict[str, str], words: str
) -> None:
    with pytest.raises(NotAcceptable) as raised:
        health_verdict(result_of([as_rows(checks)], NOW), states)
    assert words in str(raised.value)


def test_an_unknown_right_alone_does_not_make_it_red() -> None:
    result = result_of([as_rows([check("ok"), check("unknown", name="rights_bibs")])], NOW)
    assert health_verdict(result, {}).endswith("1 check is not known.")


def test_rows_of_one_system_stand_together_in_the_page_and_the_ledger(bucket: Bucket) -> None:
    parts = [[check("ok", "b"), check("ok", "a")], [check("missing", "b", "<i>")]]
    result = result_of([as_rows(each) for each in parts], NOW)
    assert result is not None
    assert [each.system for each in result.checks] == ["b", "b", "a"]
    folder = SetupFolder(bucket, "r1", "alma_health_check")
    keys = write_setup_report(folder, result, health_problems(result, {}), WORDS)
    page = bucket.get(keys["html"]).decode()
    assert "Health of the installation" in page
    assert "<i>" not in page
    results = setup_results(result, [])
    assert results.counts == {"ok": 2, "missing": 1}
    assert [each.symbol for each in results.records] == ["b", "b", "a"]
