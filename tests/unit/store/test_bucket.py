"""The bucket, on a real S3 server: objects appear whole or not at all, under any key."""

import io
import tracemalloc
from typing import Any

import pytest
from botocore.exceptions import ClientError

from alma_etl.store.bucket import Bucket, NoSuchObject, json_line


@pytest.fixture
def bucket(s3: Any) -> Bucket:
    return Bucket(s3.client(), s3.name)


KEYS = [
    "plain.mrc",
    "runs/west_holdings/manual__2026-11-20T09:30:00+00:00/chunks/0001/x",
    "a b+c.mrc",
    "50%.mrc",
    "a%20b.mrc",
    "what?is#this.mrc",
    "login:word@host/x",
    "é/日本.mrc",
    "archive.gz",
]


@pytest.mark.parametrize("key", KEYS)
def test_any_key_is_that_key_whichever_way_it_is_used(bucket, key):
    with bucket.writer(key) as stream:
        stream.write(b"one")
    assert [each.key for each in bucket.list("")] == [key]
    assert bucket.get(key) == b"one"
    bucket.put(key, b"two")
    with bucket.reader(key) as stream:
        assert stream.read() == b"two"
    assert bucket.info(key).size == 3
    bucket.copy(key, "copy")
    assert bucket.get("copy") == b"two"
    bucket.delete([key])
    assert bucket.info(key) is None


def test_what_is_not_there(bucket):
    with pytest.raises(NoSuchObject, match=f"there is no object x/y in the bucket {bucket.name}"):
        bucket.get("x/y")
    with pytest.raises(NoSuchObject, match="x/y"), bucket.reader("x/y"):
        pass
    with pytest.raises(NoSuchObject, match="x/y"):
        next(bucket.read_rows("x/y"))
    assert bucket.find("x/y") is None
    assert bucket.info("x/y") is None
    assert list(bucket.list("x/")) == []
    bucket.delete(["x/y"])


def test_a_bucket_that_is_not_there_is_not_an_object_that_is_not_there(bucket):
    other = Bucket(bucket.client, "no-such-bucket")
    with pytest.raises(ClientError, match="NoSuchBucket"):
        other.get("x")


def test_a_written_stream_appears_when_the_block_ends(bucket):
    with bucket.writer("x") as stream:
        stream.write(b"half")
        assert bucket.info("x") is None
    assert bucket.get("x") == b"half"


def break_off(bucket: Bucket, key: str, size: int) -> None:
    with bucket.writer(key) as stream:
        stream.write(b"x" * size)
        raise KeyError(key)


@pytest.mark.parametrize("size", [10, pytest.param(20 << 20, marks=pytest.mark.heavy)])
def test_an_exception_in_the_block_leaves_what_was_there(bucket, size):
    bucket.put("old", b"old")
    for key in ("old", "new"):
        with pytest.raises(KeyError):
            break_off(bucket, key, size)
    assert bucket.get("old") == b"old"
    assert bucket.info("new") is None
    assert not bucket.client.list_multipart_uploads(Bucket=bucket.name).get("Uploads")


def test_an_empty_stream_is_an_empty_object(bucket):
    with bucket.writer("x"):
        pass
    assert bucket.get("x") == b""
    bucket.write_rows("rows", [])
    assert list(bucket.read_rows("rows")) == []


@pytest.mark.heavy
def test_large_objects_are_written_read_and_copied_in_flat_memory(bucket):
    block = bytes(range(256)) * 4096
    blocks = 48
    tracemalloc.start()
    with bucket.writer("large") as stream:
        for _ in range(blocks):
            stream.write(block)
    bucket.copy("large", "copy")
    with bucket.reader("copy") as stream:
        for _ in range(blocks):
            assert stream.read(len(block)) == block
        assert stream.read() == b""
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert bucket.info("copy").size == blocks * len(block)
    assert peak < blocks * len(block) * 3 / 4  # parts of 8 MiB, a few of them under way at once


def test_rows_come_back_as_they_were(bucket):
    rows = [{"a": "日本 e\u0301", "n": None, "l": [1, "x"]}, {"a": "line\nend\u2028\u0085"}, {}]
    bucket.write_rows("rows", rows)
    assert list(bucket.read_rows("rows")) == rows
    assert json_line(rows[0]).count(b"\n") == 1


@pytest.mark.heavy
def test_a_listing_longer_than_a_page_is_complete_and_in_order(bucket):
    keys = [f"many/{number:04d}" for number in range(1_005)]
    for key in keys:
        bucket.put(key, b"")
    bucket.put("other", b"")
    assert [each.key for each in bucket.list("many/")] == keys
    bucket.delete(keys)
    assert [each.key for each in bucket.list("")] == ["other"]


def test_info_and_listing_agree_and_the_tag_changes_with_the_content(bucket):
    bucket.put("x", b"1")
    (listed,) = bucket.list("x")
    assert bucket.info("x") == listed
    assert listed.last_modified.tzinfo is not None
    assert '"' not in listed.etag
    bucket.put("x", b"2")
    assert bucket.info("x").etag != listed.etag


def test_an_object_that_the_server_keeps_is_told(bucket, monkeypatch):
    answer = {"Errors": [{"Key": "x", "Message": "Access Denied"}]}
    monkeypatch.setattr(bucket.client, "delete_objects", lambda **_: answer)
    with pytest.raises(OSError, match=r"x in the bucket .* cannot be deleted: Access Denied"):
        bucket.delete(["x"])


def test_delete_of_a_version(bucket):
    bucket.put("x", b"1")
    old = bucket.info("x").etag
    bucket.put("x", b"2")
    assert bucket.delete_version("x", old) is False
    assert bucket.get("x") == b"2"
    assert bucket.delete_version("x", bucket.info("x").etag) is True
    assert bucket.delete_version("x", old) is False
    assert bucket.info("x") is None


def test_download_of_a_version(bucket):
    bucket.put("x", b"1")
    old = bucket.info("x")
    stream = io.BytesIO()
    bucket.download(old, stream)
    assert stream.getvalue() == b"1"
    bucket.put("x", b"2")
    with pytest.raises(NoSuchObject, match="was replaced"):
        bucket.download(old, io.BytesIO())
    bucket.delete(["x"])
    with pytest.raises(NoSuchObject, match="x"):
        bucket.download(old, io.BytesIO())


def test_upload_of_a_stream(bucket):
    bucket.upload("x", io.BytesIO(b"y" * 10), "text/plain")
    assert bucket.get("x") == b"y" * 10
    assert bucket.client.head_object(Bucket=bucket.name, Key="x")["ContentType"] == "text/plain"
