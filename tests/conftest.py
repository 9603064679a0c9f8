"""Servers for all tests: one of each a session, started when the first test asks for it.

`postgres`, `s3`, `valkey` and `sandbox` give a test its own database, bucket, emptied Valkey and sandboxes.
"""

import functools
import itertools
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import botocore.session
import pytest
import redis
import requests
from hypothesis import HealthCheck, settings

from local import folders, servers
from tests import airflow_home

folders.reach_this_machine_directly()
_airflow = airflow_home.prepare()

# Each boto3 session reads the description of S3 anew, a third of a second; here hundreds are made in one process.
botocore.session.create_loader = functools.cache(botocore.session.create_loader)

# How long an example takes says something about the machine, not about the code.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


MARKERS_BY_FOLDER = {
    "browser": ("stacks", "heavy"),
    "distributed": ("stacks", "heavy"),
    "local/stack": ("stacks", "heavy"),
    "sandbox/third_party": ("third_party", "heavy"),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of whole folders, so that no file is forgotten; and take the long files first.

    A file stays in one worker: of several workers one would else be left with a long file at the end.
    """
    here = Path(__file__).parent
    items.sort(key=lambda item: here / "e2e" not in item.path.parents)
    for item in items:
        for folder, markers in MARKERS_BY_FOLDER.items():
            if here / folder in item.path.parents:
                for marker in markers:
                    item.add_marker(marker)


def pytest_unconfigure() -> None:
    """Take Airflow's temporary home away."""
    airflow_home.remove(_airflow)


@dataclass(frozen=True)
class Bucket:
    """An S3 bucket of one test, and what a client or an `aws_default` connection needs to reach it."""

    name: str
    endpoint_url: str
    access_key: str
    secret_key: str

    def client(self) -> Any:
        """A new boto3 S3 client."""
        return servers.s3_client(self.endpoint_url, self.access_key, self.secret_key)


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.PostgresServer]:
    server = servers.start_postgres(tmp_path_factory.mktemp("postgres"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.S3Server]:
    server = servers.start_s3(tmp_path_factory.mktemp("s3"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    server = servers.start_valkey(tmp_path_factory.mktemp("valkey"))
    yield server
    server.stop()


@pytest.fixture
def postgres(postgres_server: servers.PostgresServer) -> Iterator[Callable[[], str]]:
    """A factory: each call gives the URL (`postgresql+psycopg://...`) of a new, empty database."""
    made: list[str] = []

    def new_database() -> str:
        made.append(f"test_{uuid.uuid4().hex}")
        return postgres_server.create_database(made[-1])

    yield new_database
    for name in made:
        postgres_server.drop_database(name)


@pytest.fixture
def s3(s3_server: servers.S3Server) -> Iterator[Bucket]:
    """A new, empty bucket of this test."""
    client = s3_server.client()
    name = f"test-{uuid.uuid4().hex}"
    client.create_bucket(Bucket=name)
    yield Bucket(name, s3_server.endpoint_url, s3_server.access_key, s3_server.secret_key)
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=name):
        keys = [{"Key": entry["Key"]} for entry in page.get("Contents", [])]
        if keys:
            client.delete_objects(Bucket=name, Delete={"Objects": keys})
    client.delete_bucket(Bucket=name)


@pytest.fixture
def valkey(valkey_server: servers.Server) -> str:
    """The URL (`redis://...`) of a Valkey that holds nothing."""
    with redis.Redis.from_url(valkey_server.url) as client:
        client.flushall()
    return valkey_server.url


@pytest.fixture(scope="session")
def idle_sandboxes() -> Iterator[dict[str, list[servers.Server]]]:
    """Sandboxes that no test uses at the moment, by their arguments."""
    idle: dict[str, list[servers.Server]] = {}
    yield idle
    for server in itertools.chain.from_iterable(idle.values()):
        server.stop()


@pytest.fixture
def sandbox(
    tmp_path_factory: pytest.TempPathFactory, idle_sandboxes: dict[str, list[servers.Server]]
) -> Iterator[Callable[..., servers.Server]]:
    """A factory of Alma sandboxes, each a process of its own: `sandbox(titles=40, seed=7, per_second=25)`.

    Its arguments are those of `local.servers.start_sandbox`; the connection's host is `.url` of the answer. One that
    an earlier test used with the same arguments is reset and used again.
    """
    used: list[tuple[str, servers.Server]] = []

    def start(titles: int = 400, seed: int = 7, **options: str | int | float) -> servers.Server:
        kind = str((titles, seed, sorted(options.items())))
        idle = idle_sandboxes.get(kind)
        server = idle.pop() if idle else None
        if server is None:
            folder = tmp_path_factory.mktemp("sandbox")
            server = servers.start_sandbox(folder, titles=titles, seed=seed, **options)
        used.append((kind, server))
        return server

    yield start
    for kind, server in used:
        if server.process.exit_code() is None:
            requests.post(f"{server.url}/sandbox/reset", timeout=30).raise_for_status()
            idle_sandboxes.setdefault(kind, []).append(server)
