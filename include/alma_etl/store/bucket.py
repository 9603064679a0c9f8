"""The bucket: every object that the jobs read or write, over any S3-compatible server."""

import json
import logging
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import IO, TYPE_CHECKING, Any

import smart_open
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# It logs every part that it uploads, which buries the progress of the job.
logging.getLogger("smart_open").setLevel(logging.WARNING)

_GONE = {"404", "NoSuchKey", "NotFound"}
_REPLACED = {"412", "PreconditionFailed"}
_AT_ONCE = {"409", "ConditionalRequestConflict"}  # somebody else writes it at this moment
_DELETE_AT_ONCE = 1_000  # S3's limit for one DeleteObjects call
_PART_SIZE = 8 << 20  # bytes held in memory while an object is written as a stream
_ONE_PART_AT_A_TIME = TransferConfig(
    multipart_chunksize=_PART_SIZE, use_threads=False
)  # not ten of them in memory


class NoSuchObject(LookupError):
    """There is no object under this key; the message names bucket and key."""


@dataclass(frozen=True)
class ObjectInfo:
    """One object of a listing: its key, size in bytes, entity tag without quotes, and time of last change (UTC)."""

    key: str
    size: int
    etag: str
    last_modified: datetime


class Bucket:
    """One bucket. ``client`` is a boto3 S3 client, which knows the server and the credentials."""

    def __init__(self, client: "S3Client", name: str) -> None:
        self.client = client
        self.name = name

    def get(self, key: str) -> bytes:
        """The whole object, for small ones. Raises NoSuchObject."""
        try:
            return self.client.get_object(Bucket=self.name, Key=key)["Body"].read()
        except ClientError as error:
            raise self._explained(error, key) from error

    def find(self, key: str) -> bytes | None:
        """The whole object, or None when there is none."""
        try:
            return self.get(key)
        except NoSuchObject:
            return None

    def put(self, key: str, body: bytes, content_type: str = "application/octet-stream") -> None:
        """Write a small object in one call: it appears whole or not at all."""
        self.client.put_object(Bucket=self.name, Key=key, Body=body, ContentType=content_type)

    def put_beside(
        self,
        key: str,
        stream: IO[bytes],
        content_type: str,
        *,
        instead_of: str | None,
        remarks: Mapping[str, str],
    ) -> bool:
        """Write an object where none lies that the writer does not know of; whether it was written.

        ``instead_of``: the entity tag of the object that it replaces, None where there is to be none. ``remarks`` go
        with the object; see `remarks`. A server that cannot write on a condition writes without one: look just before.
        """
        condition: dict[str, Any] = (
            {"IfNoneMatch": "*"} if instead_of is None else {"IfMatch": f'"{instead_of}"'}
        )
        given: dict[str, Any] = {
            "Bucket": self.name,
            "Key": key,
            "ContentType": content_type,
            "Metadata": dict(remarks),
        }
        try:
            self.client.put_object(Body=stream, **given, **condition)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code")
            if code in _GONE | _REPLACED | _AT_ONCE:
                return False
            if code != "NotImplemented":
                raise
            stream.seek(0)
            self.client.put_object(Body=stream, **given)
        return True

    def remarks(self, key: str) -> Mapping[str, str]:
        """What the writer of an object left with it; nothing where there is no object."""
        try:
            return self.client.head_object(Bucket=self.name, Key=key)["Metadata"]
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in _GONE:
                return {}
            raise

    def info(self, key: str) -> ObjectInfo | None:
        """Size, entity tag and time of one object, or None when there is none."""
        try:
            head = self.client.head_object(Bucket=self.name, Key=key)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in _GONE:
                return None
            raise
        return ObjectInfo(key, head["ContentLength"], head["ETag"].strip('"'), head["LastModified"])

    def server_time(self) -> datetime:
        """What the server's clock says now (UTC, whole seconds): the clock of all `last_modified`."""
        headers = self.client.head_bucket(Bucket=self.name)["ResponseMetadata"]["HTTPHeaders"]
        return parsedate_to_datetime(headers["date"])

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """All objects below a prefix, in the order of their keys."""
        for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix):
            for item in page.get("Contents", []):
                yield ObjectInfo(item["Key"], item["Size"], item["ETag"].strip('"'), item["LastModified"])

    def upload(self, key: str, stream: IO[bytes], content_type: str) -> None:
        """Write an object from a stream that was written before; it appears whole or not at all."""
        self.client.upload_fileobj(
            stream, self.name, key, ExtraArgs={"ContentType": content_type}, Config=_ONE_PART_AT_A_TIME
        )

    def copy(self, source: str, target: str) -> None:
        """Copy inside the bucket, by the server; the target appears whole under its name."""
        self.client.copy({"Bucket": self.name, "Key": source}, self.name, target)

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; one that is not there is no error. Raises OSError when the server keeps one."""
        remaining = list(keys)
        while remaining:
            batch, remaining = remaining[:_DELETE_AT_ONCE], remaining[_DELETE_AT_ONCE:]
            answer = self.client.delete_objects(
                Bucket=self.name, Delete={"Objects": [{"Key": key} for key in batch], "Quiet": True}
            )
            for refused in answer.get("Errors", []):
                raise OSError(
                    f"{refused.get('Key')} in the bucket {self.name} cannot be deleted: {refused.get('Message')}"
                )

    def delete_version(self, key: str, etag: str) -> bool:
        """Delete an object if it still has this entity tag; whether it had.

        A server that cannot delete on a condition is asked to delete without one: look at the object just before.
        """
        try:
            self.client.delete_object(Bucket=self.name, Key=key, IfMatch=f'"{etag}"')
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code")
            if code in _GONE | _REPLACED:
                return False
            if code != "NotImplemented":
                raise
            self.delete([key])
        return True

    def download(self, info: ObjectInfo, stream: IO[bytes]) -> None:
        """Write exactly this version of an object into `stream`. Raises NoSuchObject when it is gone or replaced."""
        try:
            answer = self.client.get_object(Bucket=self.name, Key=info.key, IfMatch=f'"{info.etag}"')
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in _REPLACED:
                raise NoSuchObject(
                    f"{info.key} in the bucket {self.name} was replaced while it was read"
                ) from error
            raise self._explained(error, info.key) from error
        with answer["Body"] as body:
            shutil.copyfileobj(body, stream, _PART_SIZE)

    @contextmanager
    def reader(self, key: str) -> Iterator[IO[bytes]]:
        """Read an object as a stream, in flat memory. Raises NoSuchObject."""
        try:
            stream = smart_open.open(
                self._uri(key), "rb", compression="disable", transport_params=self._transport()
            )
        except (OSError, ClientError) as error:
            if self.info(key) is None:
                raise NoSuchObject(f"there is no object {key} in the bucket {self.name}") from error
            raise
        with stream:
            yield stream

    @contextmanager
    def writer(self, key: str) -> Iterator[IO[bytes]]:
        """Write an object as a stream, in flat memory.

        It appears whole when the block ends; an exception in the block leaves no object behind.
        """
        with smart_open.open(
            self._uri(key), "wb", compression="disable", transport_params=self._transport()
        ) as stream:
            yield stream

    def read_rows(self, key: str) -> Iterator[dict[str, Any]]:
        """The rows of a JSON-lines object, one at a time. Raises NoSuchObject."""
        with self.reader(key) as stream:
            for line in stream:
                yield json.loads(line)

    def write_rows(self, key: str, rows: Iterable[Mapping[str, object]]) -> None:
        """Write rows as a JSON-lines object."""
        with self.writer(key) as stream:
            for row in rows:
                stream.write(json_line(row))

    def _uri(self, key: str) -> str:
        return f"s3://{self.name}/{key}"

    def _transport(self) -> dict[str, object]:
        return {"client": self.client, "min_part_size": _PART_SIZE}

    def _explained(self, error: ClientError, key: str) -> Exception:
        if error.response.get("Error", {}).get("Code") in _GONE:
            return NoSuchObject(f"there is no object {key} in the bucket {self.name}")
        return error


def json_line(row: Mapping[str, object]) -> bytes:
    """One row as a line of UTF-8 JSON."""
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
