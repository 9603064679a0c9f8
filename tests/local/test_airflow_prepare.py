"""The step that makes Airflow's database ready, on a database of its own."""

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
ALMA = {
    "conn_id": "alma_default",
    "conn_type": "alma",
    "host": "http://127.0.0.1:1",
    "password": "first",
    "extra": {"requests_per_second": 20},
}
S3 = {
    "conn_id": "aws_default",
    "conn_type": "aws",
    "login": "key",
    "password": "secret",
    "extra": {"endpoint_url": "http://127.0.0.1:2"},
}


def prepare(folder: Path, *connections: dict[str, Any]) -> str:
    """Runs the step; what it wrote to the console."""
    path = folder / "connections.json"
    path.write_text(json.dumps(connections))
    env = {
        **os.environ,
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder}/airflow.db",
        "AIRFLOW__CORE__FERNET_KEY": "",
    }
    store = f"sqlite:///{folder}/store.db"
    command = [sys.executable, "-m", "local.airflow_prepare", store, str(path)]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def stored(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(folder / "airflow.db")
    try:
        with connection:
            return connection.execute(sql).fetchall()
    finally:
        connection.close()


def test_connections_follow_the_servers_unless_people_pointed_them_elsewhere(tmp_path: Path) -> None:
    prepare(tmp_path, ALMA, S3)
    assert (tmp_path / "store.db").exists()
    assert stored(tmp_path, "SELECT pool, slots FROM slot_pool WHERE pool = 'alma_api'") == [("alma_api", 4)]
    assert stored(
        tmp_path, "SELECT host, password, extra FROM connection WHERE conn_id = 'alma_default'"
    ) == [("http://127.0.0.1:1", "first", '{"requests_per_second": 20}')]

    # The servers come up on other ports; somebody has changed the rate in the UI.
    stored(
        tmp_path, """UPDATE connection SET extra = '{"requests_per_second": 5}' WHERE conn_type = 'alma'"""
    )
    moved = {**S3, "extra": {"endpoint_url": "http://127.0.0.1:22"}}
    prepare(tmp_path, {**ALMA, "host": "http://127.0.0.1:11", "password": "second"}, moved)
    assert stored(
        tmp_path, "SELECT host, password, extra FROM connection WHERE conn_id = 'alma_default'"
    ) == [("http://127.0.0.1:11", "second", '{"requests_per_second": 5}')]
    assert stored(tmp_path, "SELECT extra FROM connection WHERE conn_id = 'aws_default'") == [
        ('{"endpoint_url": "http://127.0.0.1:22"}',)
    ]

    # Somebody has pointed the connection at a real Alma.
    stored(
        tmp_path,
        "UPDATE connection SET host = 'https://alma.example', password = 'x' WHERE conn_type = 'alma'",
    )
    said = prepare(tmp_path, ALMA, S3)
    assert "alma_default was changed by a person (https://alma.example): left as it is" in said
    assert stored(tmp_path, "SELECT host, password FROM connection WHERE conn_id = 'alma_default'") == [
        ("https://alma.example", "x")
    ]
    assert len(stored(tmp_path, "SELECT * FROM connection")) == 2


def test_the_stack_s_link_to_records_follows_its_server_and_a_person_s_stays(tmp_path: Path) -> None:
    def at(port: int) -> list[dict[str, Any]]:
        host = f"http://127.0.0.1:{port}"
        sru = f"{host}/view/sru/X"
        extra = {"record_url": f"{sru}?query={{mms_id}}", "sru_url": sru}
        return [{**ALMA, "conn_id": name, "host": host, "extra": extra} for name in ("ours", "theirs")]

    prepare(tmp_path, *at(1))
    theirs = json.dumps({"record_url": "https://alma.example/{mms_id}"})
    stored(tmp_path, f"UPDATE connection SET extra = '{theirs}' WHERE conn_id = 'theirs'")
    prepare(tmp_path, *at(11))
    rows = stored(tmp_path, "SELECT conn_id, host, extra FROM connection")
    assert {host for _, host, _ in rows} == {"http://127.0.0.1:11"}
    assert {name: json.loads(extra)["record_url"] for name, _, extra in rows} == {
        "ours": "http://127.0.0.1:11/view/sru/X?query={mms_id}",
        "theirs": "https://alma.example/{mms_id}",
    }
    assert {name: json.loads(extra).get("sru_url") for name, _, extra in rows} == {
        "ours": "http://127.0.0.1:11/view/sru/X",
        "theirs": None,
    }


def test_what_a_person_changed_stays_and_the_rest_follows_the_servers(tmp_path: Path) -> None:
    """The first runs share one start, since each takes seconds."""
    buckets = {name: {**S3, "conn_id": name} for name in ("theirs", "mixed", "before", "foreign")}
    prepare(tmp_path, ALMA, *buckets.values())
    stored(tmp_path, "UPDATE slot_pool SET slots = 9, description = 'ours' WHERE pool = 'alma_api'")
    # Another server of this machine; another flag beside the address; and two of which nothing was written down, of
    # which one has the key of the stack.
    stored(tmp_path, "UPDATE connection SET host = 'http://127.0.0.1:9' WHERE conn_id = 'alma_default'")
    theirs = {"endpoint_url": "http://127.0.0.1:8", "verify": False}
    mixed = {**S3["extra"], "verify": False}
    stored(tmp_path, f"UPDATE connection SET extra = '{json.dumps(theirs)}' WHERE conn_id = 'theirs'")
    stored(tmp_path, f"UPDATE connection SET extra = '{json.dumps(mixed)}' WHERE conn_id = 'mixed'")
    stored(tmp_path, "UPDATE connection SET password = 'theirs' WHERE conn_id = 'foreign'")
    known = json.loads((tmp_path / "connections-written.json").read_text())
    kept = {name: digests for name, digests in known.items() if name not in ("before", "foreign")}
    (tmp_path / "connections-written.json").write_text(json.dumps(kept))

    moved = {"endpoint_url": "http://127.0.0.1:22"}
    said = prepare(
        tmp_path,
        {**ALMA, "host": "http://127.0.0.1:11"},
        *({**bucket, "extra": moved} for bucket in buckets.values()),
    )
    rows = stored(tmp_path, "SELECT conn_id, host, extra FROM connection WHERE conn_type in ('alma', 'aws')")
    hosts = {name: host for name, host, _ in rows}
    extras = {name: json.loads(extra) for name, _, extra in rows}
    assert hosts["alma_default"] == "http://127.0.0.1:9"
    assert extras["theirs"] == theirs
    assert extras["mixed"] == {**moved, "verify": False}
    assert extras["before"] == moved
    assert extras["foreign"] == S3["extra"]
    for name in ("alma_default", "theirs", "foreign"):
        assert f"The connection {name} was changed by a person" in said
    assert said.count("was changed by a person") == 3
    pool = "SELECT slots, description FROM slot_pool WHERE pool = 'alma_api'"
    assert stored(tmp_path, pool) == [(9, "ours")]

    # A store that cannot be upgraded is said, and nothing else is done.
    stored(tmp_path, "DELETE FROM slot_pool WHERE pool = 'alma_api'")
    (tmp_path / "folder").mkdir()
    env = {**os.environ, "AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__FERNET_KEY": ""}
    env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = f"sqlite:///{tmp_path}/airflow.db"
    command = [sys.executable, "-m", "alma_airflow.prepare", f"sqlite:///{tmp_path}/folder"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "The state store" in done.stderr
    assert stored(tmp_path, pool) == []
