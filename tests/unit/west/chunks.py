"""Chunks as the third and fourth step leave them, made without Alma."""

from collections.abc import Iterable, Sequence

from alma_etl.west.converting import RECORDS, ConvertedRow
from alma_etl.west.converting import RESULT as CONVERTED
from alma_etl.west.listing import RESULT as LISTING
from alma_etl.west.run import InputCounts, RunFolder
from tests.unit.west.builders import hol, mms, plan

Made = tuple[ConvertedRow, bytes]


def row(
    title: int,
    holding: int | None,
    outcome: str = "delivered",
    *reasons: str,
    symbol: str = "ZZMAIN",
    name: str | None = None,
    data: bytes | None = None,
) -> Made:
    """A converted row and its record."""
    body = f"<record of {holding}>".encode() if data is None else data
    body = body if outcome == "delivered" else b""
    made = ConvertedRow(
        mms_id=mms(title),
        holding_id="" if holding is None else hol(holding),
        outcome=outcome,
        reasons=list(reasons),
        title=f"Annals {title}" if name is None else name,
        symbol=symbol,
        size=len(body),
        unlisted=[],
    )
    return made, body


def write_chunk(folder: RunFolder, number: int, rows: Sequence[Made], fell_back: Iterable[int] = ()) -> None:
    """One finished chunk."""
    folder.bucket.put(folder.chunk_key(number, RECORDS), b"".join(data for _, data in rows))
    folder.bucket.write_rows(folder.chunk_key(number, CONVERTED), [made for made, _ in rows])
    titles = list(dict.fromkeys(made["mms_id"] for made, _ in rows))
    back = {mms(title) for title in fell_back}
    folder.bucket.write_rows(
        folder.chunk_key(number, LISTING),
        [{"mms_id": mms_id, "fell_back": mms_id in back} for mms_id in titles],
    )
    folder.write_mms_ids(number, titles)


def write_run(
    folder: RunFolder, *chunks: Sequence[Made], counts: InputCounts | None = None, **settings: object
) -> RunFolder:
    """A run of finished chunks and its plan."""
    titles = {made["mms_id"] for chunk in chunks for made, _ in chunk}
    folder.write_plan(plan(len(titles), len(chunks), counts, **settings))
    for number, chunk in enumerate(chunks, 1):
        write_chunk(folder, number, chunk)
    return folder


def delivered(*numbers: int, symbol: str = "ZZMAIN") -> list[Made]:
    """Titles with one delivered holding of the same number."""
    return [row(number, number, symbol=symbol) for number in numbers]
