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
    command = [sys.executable, "-m", "local.airflow_prepare", str(path)]
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
    assert "alma_default was pointed elsewhere (https://alma.example): left as it is" in said
    assert stored(tmp_path, "SELECT host, password FROM connection WHERE conn_id = 'alma_default'") == [
        ("https://alma.example", "x")
    ]
    assert len(stored(tmp_path, "SELECT * FROM connection")) == 2
