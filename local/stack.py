"""The local stack: PostgreSQL, S3 server, sandbox, and Airflow's four components, in one folder."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic, sleep
from typing import Any, TypeVar
from urllib.parse import urlsplit

from .airflow_api import AirflowApi
from .airflow_site import COMPONENTS, AirflowSite
from .dcb_settings import put_dcb_settings
from .folders import credentials, prepared, write_private
from .ports import Wanted, choose_ports
from .process import Process, Server, StartFailedError, tail
from .s3 import ADMIN_GRPC_OFFSET
from .servers import PostgresServer, S3Server, start_postgres, start_s3, start_sandbox
from .settings import BUCKET, ROOT, USER, Settings
from .supervisor import Supervisor

UP_SECONDS = 240.0
LENDER = {"institution": "01ZZ_INST", "suffix": "4401"}
BORROWER = {"institution": "01ZY_INST", "suffix": "4402"}  # of the second sandbox
OWN_LOG = "stack.log"
S = TypeVar("S", bound=Server)


@dataclass(frozen=True)
class Addresses:
    """Where the running stack answers, and the keys to it. Passwords are generated, see `folder`."""

    ui: str
    user: str
    password: str
    s3: str
    s3_page: str
    s3_page_password: str
    s3_access_key: str
    s3_secret_key: str
    bucket: str
    sandbox: str
    sandbox_key: str
    borrower: str
    borrower_key: str
    database: str
    database_user: str
    database_password: str
    logs: str


class Stack:
    """Starts, watches and stops everything. `usual_ports` prefers the well-known ports over random ones."""

    def __init__(
        self,
        folder: Path,
        logs: Path,
        settings: Settings,
        say: Callable[[str], None],
        *,
        dags_folder: Path = ROOT / "dags",
        own_dags: Path | None = None,
        usual_ports: bool = True,
    ) -> None:
        self.folder = prepared(folder)
        self.logs = prepared(logs)
        self.settings = settings
        self.say = say
        self.dags_folder = dags_folder
        self.own_dags = own_dags
        self.usual_ports = usual_ports
        self.supervisor = Supervisor(say)
        self.addresses: Addresses | None = None
        self.environment: dict[str, str] = {}  # of Airflow's components, once they were started

    def start(self) -> Addresses:
        """Returns when all is healthy. Raises StartFailedError or PortTakenError; then nothing is left running."""
        try:
            self.addresses = self._start()
        except BaseException:
            self.stop()
            raise
        return self.addresses

    def stop(self) -> None:
        """Ends all parts; harmless when repeated."""
        self.supervisor.stop()

    def api(self) -> AirflowApi:
        """A client of the running Airflow, logged in as `admin`."""
        assert self.addresses is not None
        return AirflowApi(self.addresses.ui, self.addresses.user, self.addresses.password)

    def _start(self) -> Addresses:
        for log in self.logs.glob("*.log"):
            if log.name != OWN_LOG:  # that one is being written
                log.replace(log.with_suffix(".log.1"))
        ports = self._ports()
        begun = monotonic()
        postgres = self._server(
            "PostgreSQL",
            lambda: start_postgres(
                self.folder / "postgres", port=ports["database"], logs=self.logs, durable=self.usual_ports
            ),
        )
        postgres.create_database("airflow")
        postgres.create_database("alma_etl")
        site = AirflowSite(
            folder=prepared(self.folder / "airflow"),
            logs=self.logs,
            database_url=postgres.database_url("airflow", driver="psycopg2"),
            port=ports["ui"],
            dags_folder=self.dags_folder,
            own_dags=self.own_dags,
            parallelism=self.settings.parallelism,
        )
        s3 = self._server(
            "S3 server",
            lambda: start_s3(
                self.folder / "s3",
                port=ports["s3"],
                page_port=ports["s3_page"],
                logs=self.logs,
                buckets=(BUCKET,),
            ),
        )
        put_dcb_settings(s3)
        # Generated, since Airflow replaces a password by *** wherever it stands: "sandbox" is in many a line.
        keys = {
            name: credentials(prepared(self.folder / name))["password"] for name in ("sandbox", "borrower")
        }
        sandbox = self._server(
            "Sandbox", lambda: self._start_sandbox("sandbox", ports["sandbox"], keys["sandbox"], **LENDER)
        )
        borrower = self._server(
            "Second sandbox",
            lambda: self._start_sandbox("borrower", ports["borrower"], keys["borrower"], **BORROWER),
        )
        almas = {
            "alma_default": (sandbox.url, keys["sandbox"], LENDER["institution"]),
            "alma_borrower": (borrower.url, keys["borrower"], BORROWER["institution"]),
        }
        env = self.environment = site.environment()
        preparation = site.prepare(postgres, connections(postgres, s3, almas), env)
        self._wait(preparation, "Airflow's database and the state store are ready")
        for component in COMPONENTS:
            self.supervisor.add(component, partial(site.start, component, env), layer=1)
        self._wait_for_health(site)
        self.say(f"All parts are healthy after {monotonic() - begun:.0f} s.")
        return Addresses(
            ui=site.url,
            user=USER,
            password=site.password(),
            s3=s3.endpoint_url,
            s3_page=s3.page,
            s3_page_password=s3.page_password,
            s3_access_key=s3.access_key,
            s3_secret_key=s3.secret_key,
            bucket=BUCKET,
            sandbox=sandbox.url,
            sandbox_key=keys["sandbox"],
            borrower=borrower.url,
            borrower_key=keys["borrower"],
            database=f"127.0.0.1:{postgres.port}",
            database_user=postgres.user,
            database_password=postgres.password,
            logs=str(self.logs),
        )

    def _ports(self) -> dict[str, int]:
        """Those of the last start where they are free, so that addresses that people noted down stay right."""
        kept = self.folder / "ports.json"
        try:
            last = {str(name): int(port) for name, port in json.loads(kept.read_text()).items()}
        except (FileNotFoundError, ValueError, TypeError, AttributeError):
            last = {}
        asked = self.settings
        wanted = {
            "ui": Wanted("Airflow", 8080, "ALMA_UI_PORT", asked.ui_port),
            "s3": Wanted("S3 server", 8333, "ALMA_S3_PORT", asked.s3_port),
            "s3_page": Wanted(
                "Page of the S3 server", 23646, "ALMA_S3_PAGE_PORT", asked.s3_page_port, ADMIN_GRPC_OFFSET
            ),
            "sandbox": Wanted("Sandbox", 8099, "ALMA_SANDBOX_PORT", asked.sandbox_port),
            "borrower": Wanted("Second sandbox", 8098, "ALMA_BORROWER_PORT", asked.borrower_port),
            "database": Wanted("PostgreSQL", 5433, "ALMA_DATABASE_PORT", asked.database_port),
        }
        ports = choose_ports(wanted, last, usual=self.usual_ports, say=self.say)
        write_private(kept, json.dumps(ports))
        return ports

    def _server(self, name: str, start: Callable[[], S]) -> S:
        """Starts a server and puts it under supervision, which starts it again on the same port when it ends."""
        self.say(f"Starting {name} ...")
        started: list[S] = []

        def process() -> Process:
            started.append(start())
            return started[-1].process

        self.supervisor.add(name, process)
        return started[0]

    def _start_sandbox(self, name: str, port: int, key: str, **institution: str) -> Server:
        server = start_sandbox(
            self.folder / name,
            name=name,
            port=port,
            logs=self.logs,
            titles=self.settings.titles,
            per_second=self.settings.per_second,
            latency_ms=self.settings.latency_ms,
            api_key=key,
            state=str(self.folder / name / "state.json"),
            sru="on",  # imports look up numbers there, and the links of the pages lead there
            **institution,
        )
        for line in server.log.read_text(errors="replace").splitlines()[1:]:  # after its address
            self.say(f"{name}: {line}")
        return server

    def _wait(self, process: Process, done: str) -> None:
        """Waits for the end of a one-time step."""
        deadline = monotonic() + UP_SECONDS
        try:
            while (code := process.exit_code()) is None and monotonic() < deadline:
                self.supervisor.check_started()
                sleep(0.1)
        finally:
            process.stop()
        if code != 0:
            how = f"took longer than {UP_SECONDS:g} s" if code is None else f"ended with exit code {code}"
            raise StartFailedError(
                f"{process.name} {how}. The end of its log ({process.log}):\n{tail(process.log)}"
            )
        self.say(f"{done}.")

    def _wait_for_health(self, site: AirflowSite) -> None:
        self.say("Starting Airflow: scheduler, dag-processor, triggerer, api-server ...")
        api = AirflowApi(site.url, USER, site.password())
        needed = ("metadatabase", "scheduler", "triggerer", "dag_processor")
        deadline = monotonic() + UP_SECONDS
        health: dict[str, str] = {}
        while not all(health.get(name) == "healthy" for name in needed):
            self.supervisor.check_started()
            if monotonic() > deadline:
                sick = ", ".join(f"{name} is {health.get(name, 'not there')}" for name in needed)
                raise StartFailedError(
                    f"Airflow is not healthy after {UP_SECONDS:g} s ({sick}); logs: {self.logs}"
                )
            sleep(0.25)
            health = api.health()
        api.close()


def connections(
    postgres: PostgresServer, s3: S3Server, almas: dict[str, tuple[str, str, str]]
) -> list[dict[str, Any]]:
    """The connections of the stack, as the design names them; `almas`: connection id -> (URL, key, institution)."""
    return [
        *(_alma(conn_id, *access) for conn_id, access in almas.items()),
        {
            "conn_id": "aleph_default",
            "conn_type": "aleph",
            "host": almas["alma_default"][
                0
            ],  # the first sandbox is an Aleph, too; its user WWW-X needs no login
            "extra": {
                "library": "USM50",
                "op_style": "update-item",
                "read_item_barcode_param": "item_barcode",
                "requests_per_second": 5,
                "max_in_flight": 4,
                "timeout": 30,
            },
        },
        {
            "conn_id": "aws_default",
            "conn_type": "aws",
            "login": s3.access_key,
            "password": s3.secret_key,
            "extra": {
                "endpoint_url": s3.endpoint_url,
                "region_name": "us-east-1",
                # What the Test button asks; without it that would be AWS.
                "service_config": {"sts": {"endpoint_url": s3.endpoint_url}},
            },
        },
        {
            "conn_id": "alma_etl_db",
            "conn_type": "postgres",
            "host": "127.0.0.1",
            "port": urlsplit(postgres.url).port,
            "login": postgres.user,
            "password": postgres.password,
            "schema": "alma_etl",
        },
    ]


def _alma(conn_id: str, url: str, key: str, institution: str) -> dict[str, Any]:
    search = "version=1.2&operation=searchRetrieve&recordSchema=marcxml&query=alma.mms_id="
    return {
        "conn_id": conn_id,
        "conn_type": "alma",
        "host": url,
        "password": key,
        "extra": {  # all of them: the form of a stored connection shows no others
            "requests_per_second": 20,
            "max_in_flight": 24,
            "quota_floor": 5000,
            "quota_floor_writes": 1000,
            "timeout": 90,
            "environment": "sandbox",
            "read_only": False,
            "webhook_secret": None,
            "sru_url": f"{url}/view/sru/{institution}",
            # The sandbox has no pages for people: its SRU shows a record in a browser, and asks for no key.
            "record_url": f"{url}/view/sru/{institution}?{search}{{mms_id}}",
            "job_url": f"{url}/sandbox/jobs/{{instance_id}}",
        },
    }
