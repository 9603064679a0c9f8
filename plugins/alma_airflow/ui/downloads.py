"""Downloads: tables as CSV, and the objects of the bucket that the ledger names."""

from collections.abc import Iterator, Mapping
from io import BytesIO
from itertools import chain
from urllib.parse import quote

from fastapi import HTTPException
from fastapi.responses import StreamingResponse

from alma_airflow.hooks.store import open_bucket
from alma_airflow.ui.store_reading import reading
from alma_etl.jobs.report_tables import CsvWriter
from alma_etl.store.bucket import NoSuchObject
from alma_etl.views.listing import Listing

_PART = 1 << 20  # bytes read at once
_ROWS = 1_000  # of a table, before they are sent on
_GONE = "This file is no longer kept, or was moved. docs/ledger.md says how long what is kept."


def csv_download(listing: Listing, asked: Mapping[str, str], name: str) -> StreamingResponse:
    """All rows that a query string asks for, as CSV that a spreadsheet may open."""
    return _stream(_csv(listing, asked), name, "text/csv; charset=utf-8")


def object_download(key: str, name: str, media_type: str) -> StreamingResponse:
    """An object of the bucket, which somebody has checked to be one that may be seen. 404 where it is gone."""
    return _stream(_object(key), name, media_type)


def attachment(name: str) -> str:
    """The header `Content-Disposition` of a file to be saved under this name (RFC 6266), whatever characters it has."""
    printable = "".join(each if each.isprintable() else "_" for each in name) or "file"
    plain = "".join(each if each.isascii() and each not in '"\\%' else "_" for each in printable)
    encoded = quote(printable.encode("utf-8", "replace"), safe="")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}"


def _stream(parts: Iterator[bytes], name: str, media_type: str) -> StreamingResponse:
    # The first part is read now, so that what cannot be read at all gets an answer that says so.
    try:
        first = next(parts, b"")
    except NoSuchObject:
        raise HTTPException(404, _GONE) from None
    headers = {
        "Content-Disposition": attachment(name),
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "Cache-Control": "no-store",
    }
    return StreamingResponse(chain([first], parts), media_type=media_type, headers=headers)


def _object(key: str) -> Iterator[bytes]:
    with open_bucket().reader(key) as stream:
        while part := stream.read(_PART):
            yield part


def _csv(listing: Listing, asked: Mapping[str, str]) -> Iterator[bytes]:
    buffer = BytesIO()
    writer = CsvWriter(buffer, [each.name for each in listing.columns])
    with reading() as connection:
        for number, row in enumerate(listing.every_row(connection, asked), 1):
            writer.add(each.text(row) for each in listing.columns)
            if number % _ROWS == 0:
                yield _taken(buffer)
    yield _taken(buffer)


def _taken(buffer: BytesIO) -> bytes:
    part = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return part


def plain_name(*parts: str) -> str:
    """A file name of these words, without what a file system may not take."""
    words = "-".join(parts)
    return "".join(each if each.isalnum() or each in "._+-" else "_" for each in words)[:150]
