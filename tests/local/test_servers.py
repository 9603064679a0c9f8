"""The servers of `local/`: they answer, on 127.0.0.1 alone, keep their data, and end whatever happens."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import botocore.exceptions
import psutil
import psycopg
import pytest
import redis
import requests

from local import servers
from tests.local.processes import existing, listening

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
START: dict[str, Callable[..., servers.Server]] = {
    "postgres": servers.start_postgres,
    "s3": servers.start_s3,
    "valkey": servers.start_valkey,
    "sandbox": lambda folder, **options: servers.start_sandbox(folder, titles=5, **options),
}


@pytest.fixture(params=sorted(START))
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[servers.Server]:
    started = START[request.param](tmp_path / request.param)
    yield started
    started.stop()


def test_it_listens_on_127_0_0_1_alone_and_nothing_is_left_after_stop(server: servers.Server) -> None:
    pids = server.process.pids()
    assert {address for address, _ in listening(existing(pids))} == {"127.0.0.1"}

    server.stop()
    server.stop()
    assert [pid for pid in pids if psutil.pid_exists(pid)] == []
    assert server.process.exit_code() is not None


@pytest.mark.parametrize("kind", sorted(START))
def test_it_ends_when_the_process_that_started_it_is_killed(kind: str, tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1]);"
        "from local import servers;"
        "server = getattr(servers, 'start_' + sys.argv[2])(pathlib.Path(sys.argv[3]));"
        "print(*server.process.pids(), flush=True); sys.stdin.read()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(ROOT), kind, str(tmp_path / kind)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    assert parent.stdin is not None
    assert parent.stdout is not None
    with parent.stdin, parent.stdout:
        processes = existing(map(int, parent.stdout.readline().split()))
        assert len(processes) >= 2
        parent.kill()
        parent.wait()
    _, alive = psutil.wait_procs(processes, timeout=30)
    assert alive == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent was killed")
@pytest.mark.parametrize("kind", sorted(START))
def test_it_ends_when_its_guard_is_killed(kind: str, tmp_path: Path) -> None:
    server = START[kind](tmp_path / kind)
    guard, *below = existing(server.process.pids())
    guard.kill()
    _, alive = psutil.wait_procs(below, timeout=30)
    server.stop()
    assert alive == []


@pytest.mark.parametrize("kind", sorted(START))
def test_a_port_in_use_is_told_with_the_log(kind: str, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(servers.StartFailedError, match=r"end of its log[\s\S]*(in use|not available)"):
            START[kind](tmp_path / kind, port=port)
    left = [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(str(tmp_path) in part for part in process.info["cmdline"] or [])
    ]
    assert left == []


def test_postgres_keeps_its_data_and_refuses_a_wrong_password(tmp_path: Path) -> None:
    first = servers.start_postgres(tmp_path)
    with psycopg.connect(first.create_database("kept").replace("+psycopg", "")) as connection:
        connection.execute("CREATE TABLE titles AS SELECT 'Żółw ❤'::text AS title")
    first.create_database("kept")
    first.stop()

    second = servers.start_postgres(tmp_path)
    try:
        url = second.database_url("kept").replace("+psycopg", "")
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT title FROM titles").fetchone() == ("Żółw ❤",)
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(url, password="wrong")
    finally:
        second.stop()
    for private in (tmp_path / "credentials.json", tmp_path / "data"):
        assert private.stat().st_mode & 0o077 == 0


def test_postgres_recovers_from_a_kill(tmp_path: Path) -> None:
    first = servers.start_postgres(tmp_path, durable=True)
    first.create_database("kept")
    os.kill(first.process.pids()[1], signal.SIGKILL)
    first.stop()
    second = servers.start_postgres(tmp_path, durable=True)
    try:
        with psycopg.connect(second.database_url("kept").replace("+psycopg", "")) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    finally:
        second.stop()


def test_s3_keeps_its_objects_and_refuses_wrong_keys(tmp_path: Path) -> None:
    first = servers.start_s3(tmp_path, buckets=("alma-etl", "second"))
    first.client().put_object(Bucket="alma-etl", Key="west/a b/ü.mrc", Body=b"x" * 10_000_000)
    first.stop()

    second = servers.start_s3(tmp_path, buckets=("alma-etl", "second"))
    try:
        assert second.access_key == first.access_key
        body = second.client().get_object(Bucket="alma-etl", Key="west/a b/ü.mrc")["Body"].read()
        assert body == b"x" * 10_000_000
        stranger = servers.s3_client(second.endpoint_url, second.access_key, "wrong")
        with pytest.raises(botocore.exceptions.ClientError, match="SignatureDoesNotMatch"):
            stranger.list_buckets()
        with pytest.raises(botocore.exceptions.ClientError, match="NoSuchBucket"):
            second.client().put_object(Bucket="not-made", Key="a", Body=b"")
        assert requests.get(second.page, timeout=10).url.endswith("/login")
    finally:
        second.stop()


def test_s3_knows_conditional_writes(s3) -> None:
    """Deliveries and claims rely on If-None-Match."""
    s3.client().put_object(Bucket=s3.name, Key="claim", Body=b"mine", IfNoneMatch="*")
    with pytest.raises(botocore.exceptions.ClientError, match="PreconditionFailed"):
        s3.client().put_object(Bucket=s3.name, Key="claim", Body=b"yours", IfNoneMatch="*")
    assert s3.client().get_object(Bucket=s3.name, Key="claim")["Body"].read() == b"mine"


def test_s3_leaves_no_socket_behind_when_killed(tmp_path: Path) -> None:
    server = servers.start_s3(tmp_path)
    ports = {port for _, port in listening(existing(server.process.pids()))}
    os.kill(server.process.pids()[1], signal.SIGKILL)
    server.stop()
    sockets = [path.name for path in Path("/tmp").glob("seaweedfs-*.sock")]
    assert [name for name in sockets if any(str(port) in name for port in ports)] == []


def test_valkey_asks_for_its_password(valkey: str) -> None:
    with redis.Redis.from_url(valkey) as client:
        assert client.dbsize() == 0
        port = client.connection_pool.connection_kwargs["port"]
    with redis.Redis(port=port) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()


def test_each_database_is_new_and_empty(postgres: Callable[[], str]) -> None:
    urls = [postgres(), postgres()]
    assert len(set(urls)) == 2
    for url in urls:
        with psycopg.connect(url.replace("+psycopg", "")) as connection:
            count = connection.execute(
                "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
            ).fetchone()
            assert count == (0,)


def test_the_sandbox_takes_the_options_of_its_command_line(sandbox: Callable[..., servers.Server]) -> None:
    first, second = sandbox(titles=5), sandbox(titles=5, per_second=50, api_key="-another")
    assert first.url != second.url
    address = "/almaws/v1/conf/test"
    keys = {"sandbox": (200, 400), "-another": (400, 200)}
    for key, statuses in keys.items():
        for server, status in zip((first, second), statuses, strict=True):
            answer = requests.get(
                server.url + address, headers={"Authorization": f"apikey {key}"}, timeout=30
            )
            assert answer.status_code == status
