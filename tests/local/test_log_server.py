"""The log of a task that runs or waits: the API server asks for it by HTTP, and somebody on 127.0.0.1 answers."""

import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep

import pytest
import requests

from local.airflow_site import AirflowSite
from local.settings import ROOT

READ = """
import sys
from airflow.utils.log.file_task_handler import _fetch_logs_from_service
from airflow.utils.net import get_hostname

name = "dag_id=x/run_id=y/task_id=wait/attempt=1.log.trigger.1.log"
answer = _fetch_logs_from_service(f"http://{get_hostname()}:{sys.argv[1]}/log/{name}", name)
answer.raise_for_status()
print(answer.text)
"""


@pytest.mark.heavy
def test_the_log_server_of_the_local_stack_gives_a_waiting_tasks_log_to_the_api_server(
    tmp_path: Path,
) -> None:
    site = AirflowSite(tmp_path, tmp_path / "logs", f"sqlite:///{tmp_path}/x.db", 8080, ROOT / "dags", 8)
    env = site.environment()
    port = env["AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT"]
    assert port == env["AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT"]
    log = tmp_path / "logs" / "airflow" / "dag_id=x" / "run_id=y" / "task_id=wait"
    log.mkdir(parents=True)
    (log / "attempt=1.log.trigger.1.log").write_text("the job still runs")
    server = site.start("log-server", env)
    try:
        deadline = monotonic() + 60
        while not _listens(port) and server.exit_code() is None and monotonic() < deadline:
            sleep(0.2)
        url = f"http://127.0.0.1:{port}/log/dag_id=x/run_id=y/task_id=wait/attempt=1.log.trigger.1.log"
        assert requests.get(url, timeout=10).status_code == 403  # nobody else gets it
        read = subprocess.run(
            [sys.executable, "-c", READ, port], env=env, capture_output=True, text=True, check=False
        )
        assert "the job still runs" in read.stdout, read.stderr[-2000:]
    finally:
        server.stop()


def _listens(port: str) -> bool:
    try:
        requests.get(f"http://127.0.0.1:{port}/", timeout=5)
    except requests.ConnectionError:
        return False
    return True
