"""Step 3 of the WEST procedure: the holdings records themselves (`GET /bibs/{mms_id}/holdings/{holding_id}`)."""

import logging
from collections.abc import Iterator
from typing import TypedDict

from alma_etl.alma.client import AlmaClient
from alma_etl.alma.holdings import Holding
from alma_etl.counted import counted
from alma_etl.jobs.checkpoint import Checkpoint, Rank, Step
from alma_etl.remote.answers import Absent, Answer, Found, Unknown
from alma_etl.west.listing import listed_titles
from alma_etl.west.run import RunFolder

log = logging.getLogger(__name__)

RESULT = "fetched.jsonl"
STEP = Step(
    RESULT,
    key=lambda row: (str(row["mms_id"]), str(row["holding_id"])),
    rank=lambda row: Rank.OPEN if row["status"] == "failed" else Rank.SETTLED,
)
PROGRESS_EVERY = 250  # the seed's scripts report progress at the same interval


class FetchedHolding(TypedDict):
    """A holding after step 3. ``status`` is ``fetched``, ``not_found`` or ``failed`` (``reason`` says why)."""

    mms_id: str
    holding_id: str
    status: str
    reason: str
    suppressed: bool
    record: str | None  # the <record> element as Alma sent it


def fetch_holdings(client: AlmaClient, folder: RunFolder, number: int) -> dict[str, int]:
    """Fetch the records of a chunk's holdings, in parallel up to the client's bound; return the counts by status.

    Holdings that the title's list already shows as suppressed are not fetched, unless suppressed ones are
    wanted. What earlier attempts fetched is not asked for again; what failed then is. Raises RemoteStop, with the
    sentence kept for the report; anything that concerns one holding is that holding's status.
    """
    with folder.keeping_problem(number):
        return _fetch_chunk(client, folder, number)


def fetched_holdings(folder: RunFolder, number: int) -> dict[tuple[str, str], FetchedHolding]:
    """What `fetch_holdings` fetched for a chunk, by MMS id and holding id."""
    return _checkpoint(folder, number).rows()  # type: ignore[return-value]


def _checkpoint(folder: RunFolder, number: int, alma: str | None = None) -> Checkpoint:
    """A record as it was fetched depends on no setting, only on the Alma that it came from."""
    return Checkpoint(folder.bucket, folder.chunk_key(number, STEP.name), STEP, settings={}, alma=alma)


def _fetch_chunk(client: AlmaClient, folder: RunFolder, number: int) -> dict[str, int]:
    include_suppressed = folder.plan().settings.include_suppressed
    wanted = list(_wanted(folder, number, include_suppressed))
    checkpoint = _checkpoint(folder, number, client.host)
    done = checkpoint.settled()
    missing = [pair for pair in wanted if pair not in done]
    if done:
        log.info(
            "Chunk %04d: %d of %s fetched before",
            number,
            len(wanted) - len(missing),
            counted(len(wanted), "holding"),
        )
    failed = 0
    answers = client.in_parallel(lambda pair: client.holdings.read(*pair), missing)
    with checkpoint:
        for count, (pair, answer) in enumerate(answers, 1):
            row = _row(*pair, answer)
            done[pair] = row  # type: ignore[assignment]
            if row["status"] == "failed":
                failed += 1
                log.warning(
                    "Chunk %04d: holding %s of %s failed: %s", number, pair[1], pair[0], row["reason"]
                )
            checkpoint.add(row)
            if count % PROGRESS_EVERY == 0 or count == len(missing):
                log.info(
                    "Chunk %04d: %d of %s fetched, %d failed",
                    number,
                    count,
                    counted(len(missing), "holding"),
                    failed,
                )
    rows = checkpoint.complete(done[pair] for pair in wanted)
    return {
        "holdings": len(rows),
        "not_found": sum(row["status"] == "not_found" for row in rows),
        "failed": sum(row["status"] == "failed" for row in rows),
    }


def _wanted(folder: RunFolder, number: int, include_suppressed: bool) -> Iterator[tuple[str, str]]:
    for title in listed_titles(folder, number):
        for holding in title["holdings"]:
            if include_suppressed or not holding["suppressed"]:
                yield title["mms_id"], holding["holding_id"]


def _row(mms_id: str, holding_id: str, answer: Answer[Holding]) -> FetchedHolding:
    row = FetchedHolding(
        mms_id=mms_id, holding_id=holding_id, status="fetched", reason="", suppressed=False, record=None
    )
    match answer:
        case Found(holding):
            row["suppressed"] = holding.suppressed or holding.calculated_suppressed
            row["record"] = None if holding.record is None else holding.record.decode()
        case Absent(error):
            row["status"], row["reason"] = "not_found", str(error or "")
        case Unknown(error):
            row["status"], row["reason"] = "failed", str(error)
    return row
