"""Airflow's part of the local stack: its environment, its components, and the step that prepares its database."""

import json
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .folders import credentials, environment, write_private
from .ports import free_ports
from .postgres import PostgresServer
from .process import Process
from .settings import BUCKET, ROOT, USER

COMPONENTS: dict[str, tuple[str, ...]] = {
    "scheduler": ("airflow", "scheduler", "--skip-serve-logs"),
    "dag-processor": ("airflow", "dag-processor"),
    "triggerer": ("airflow", "triggerer", "--skip-serve-logs"),
    "api-server": ("airflow", "api-server"),
    # Of a task that runs or waits, the API server asks for the log by HTTP, and shows an error where nobody answers.
    # The components' own log servers would listen on every address of the machine.
    "log-server": (
        "uvicorn",
        "--factory",
        "airflow.utils.serve_logs.log_server:get_app",
        "--host",
        "127.0.0.1",
    ),
}

SCAN_SECONDS = 30
"""Until a new DAG file is found, at most; Airflow's default is 300."""


@dataclass(frozen=True)
class AirflowSite:
    """One Airflow: `folder` is its home, `database_url` its own database (psycopg2), `port` that of the UI."""

    folder: Path
    logs: Path
    database_url: str
    port: int
    dags_folder: Path
    parallelism: int
    own_dags: Path | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def passwords_file(self) -> Path:
        return self.folder / "passwords.json"

    def password(self) -> str:
        """The password of the user `admin`, generated at the first start."""
        if not self.passwords_file.exists():
            write_private(self.passwords_file, json.dumps({USER: secrets.token_urlsafe(12)}))
        passwords: dict[str, str] = json.loads(self.passwords_file.read_text())
        return passwords[USER]

    def environment(self) -> dict[str, str]:
        """The settings of all components. Everything that they write lies in `folder` and `logs`."""
        home = self.folder / "home"
        home.mkdir(parents=True, exist_ok=True)
        keys = credentials(
            self.folder,
            jwt_secret=secrets.token_urlsafe(48),
            api_secret=secrets.token_urlsafe(32),
            fernet_key=_fernet_key(),
        )
        self.password()
        log_port = str(free_ports(1)[0])
        return environment(
            home,
            SPT_NOENV="1",  # a process that changes its title keeps its environment, and with it the stack's mark
            AIRFLOW_HOME=str(self.folder),
            AIRFLOW__CORE__DAGS_FOLDER=str(self.dags_folder),
            AIRFLOW__CORE__PLUGINS_FOLDER=str(ROOT / "plugins"),
            AIRFLOW__CORE__LOAD_EXAMPLES="False",
            AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION="False",
            AIRFLOW__CORE__EXECUTOR="LocalExecutor",
            AIRFLOW__CORE__PARALLELISM=str(self.parallelism),
            AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG=str(self.parallelism),
            AIRFLOW__CORE__TEST_CONNECTION="Enabled",
            AIRFLOW__CORE__FERNET_KEY=keys["fernet_key"],
            AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS=f"{USER}:admin",
            AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE=str(self.passwords_file),
            AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST=json.dumps(
                [_bundle("dags-folder", self.dags_folder)]
                + ([_bundle("own", self.own_dags)] if self.own_dags else [])
            ),
            AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL=str(SCAN_SECONDS),
            AIRFLOW__CORE__EXECUTION_API_SERVER_URL=f"{self.url}/execution/",
            # Where the log server listens: 127.0.0.1, by the machine's own table, without a name server.
            AIRFLOW__CORE__HOSTNAME_CALLABLE="urllib.request.localhost",
            AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT=log_port,
            AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT=log_port,
            AIRFLOW__API__HOST="127.0.0.1",
            AIRFLOW__API__PORT=str(self.port),
            AIRFLOW__API__BASE_URL=self.url,
            AIRFLOW__API__SECRET_KEY=keys["api_secret"],
            AIRFLOW__API__INSTANCE_NAME="Alma Airflow (local)",
            AIRFLOW__API_AUTH__JWT_SECRET=keys["jwt_secret"],
            AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=self.database_url,
            AIRFLOW__LOGGING__BASE_LOG_FOLDER=str(self.logs / "airflow"),
            AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY=str(
                self.logs / "airflow" / "dag-processor"
            ),
            ALMA_ETL_BUCKET=BUCKET,
        )

    def prepare(
        self, store: PostgresServer, connections: list[dict[str, Any]], env: dict[str, str]
    ) -> Process:
        """Starts the step that migrates Airflow's database and the state store and makes the pool and the connections.

        The store's password goes by the environment: every user of the machine can read a command line.
        """
        path = self.folder / "connections.json"
        write_private(path, json.dumps(connections))
        url = f"postgresql+psycopg://{store.user}@127.0.0.1:{store.port}/alma_etl"
        return Process(
            "The preparation of the databases",
            [sys.executable, "-m", "local.airflow_prepare", url, path],
            self.logs / "airflow-prepare.log",
            env={**env, "PGPASSWORD": store.password},
            cwd=ROOT,
            remove=[path],
        )

    def start(self, component: str, env: dict[str, str]) -> Process:
        """Starts one of COMPONENTS."""
        port = env["AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT"]
        options = ["--port", port] if component == "log-server" else []
        return Process(
            f"Airflow's {component}",
            [sys.executable, "-m", *COMPONENTS[component], *options],
            self.logs / f"{component}.log",
            env=env,
            cwd=self.folder,
            grace=15,
        )


def _bundle(name: str, folder: Path) -> dict[str, Any]:
    """Airflow looks for DAG files in several folders: the house's, and one for those of one's own."""
    return {
        "name": name,
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(folder)},
    }


def _fernet_key() -> str:
    from cryptography.fernet import Fernet

    return Fernet.generate_key().decode()
