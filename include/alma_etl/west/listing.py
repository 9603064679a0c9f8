"""Step 2 of the WEST procedure: which holdings a title has, and the numbers of its bib."""

import logging
from collections.abc import Iterator, Sequence
from typing import Any, TypedDict

from pymarc import Field, Indicators, Subfield

from alma_etl.alma.bibs import Bib, in_batches, read_bibs
from alma_etl.alma.client import AlmaClient
from alma_etl.alma.holdings import HoldingSummary
from alma_etl.counted import counted
from alma_etl.jobs.checkpoint import Checkpoint, Rank, Step
from alma_etl.remote.answers import Absent, Found, PartlyFound, Unknown
from alma_etl.remote.errors import RemoteError
from alma_etl.store.bucket import NoSuchObject
from alma_etl.west.enrich import numbers_of_bib
from alma_etl.west.run import RunFolder
from alma_etl.west.settings import ListMode

log = logging.getLogger(__name__)

RESULT = "listing.jsonl"


class ListedHolding(TypedDict):
    """A holding as its title's list or availability names it; ``suppressed`` is None where it does not say."""

    holding_id: str
    library: str
    location: str
    suppressed: bool | None


class ListedTitle(TypedDict):
    """A title after step 2. ``status`` is ``listed``, ``not_found`` or ``failed`` (``reason`` says why)."""

    mms_id: str
    status: str
    reason: str
    title: str
    has_record: bool
    numbers: list[list[Any]]  # the bib's 022 and (OCoLC) 035: [tag, ind1, ind2, [[code, value], ...]]
    holdings: list[ListedHolding]
    fell_back: bool
    missing: str  # why there may be more holdings than these, "" when these are all
    warnings: list[str]  # codes about the bib, for each of its holdings


def is_final(title: ListedTitle) -> bool:
    """Whether another attempt need not ask again."""
    return title["status"] != "failed" and not title.get("missing")


STEP = Step(
    RESULT,
    key=lambda row: str(row["mms_id"]),
    rank=lambda row: Rank.SETTLED if is_final(row) else Rank.OPEN,  # type: ignore[arg-type]
)


def list_holdings(client: AlmaClient, folder: RunFolder, number: int) -> dict[str, int]:
    """Find the holdings of every title of a chunk; return the counts by status.

    In ``batch`` mode one ``GET /bibs`` with ``expand=p_avail`` answers for 100 titles; a title without an
    availability row of its own, or with a row that names no holding (items in temporary locations), falls back
    to ``GET /bibs/{mms_id}/holdings``. In ``exact`` mode every title is asked for its list.

    Titles that earlier attempts finished in this mode are not asked again. Raises RemoteStop, with the sentence kept
    for the report; anything that concerns one title is that title's status.
    """
    with folder.keeping_problem(number):
        return _list_chunk(client, folder, number)


def listed_titles(folder: RunFolder, number: int) -> list[ListedTitle]:
    """The titles of a chunk as `list_holdings` found them, in the order of their ids.

    Raises NoSuchObject when it has not come to its end by the present settings.
    """
    found = _checkpoint(folder, number, folder.plan().settings.effective_list_mode).rows()
    mms_ids = folder.mms_ids(number)
    missing = [mms_id for mms_id in mms_ids if mms_id not in found]
    if missing:
        raise NoSuchObject(
            f"{counted(len(missing), 'title')} of chunk {number:04d} not listed by the present settings: "
            "clear its list_holdings"
        )
    return [found[mms_id] for mms_id in mms_ids]  # type: ignore[misc]


def fallbacks(folder: RunFolder, number: int) -> int:
    """How many titles of a chunk were asked for their list because availability did not answer for them."""
    found = _checkpoint(folder, number, folder.plan().settings.effective_list_mode).rows()
    return sum(bool(found[mms_id]["fell_back"]) for mms_id in folder.mms_ids(number) if mms_id in found)


def _checkpoint(folder: RunFolder, number: int, mode: ListMode, alma: str | None = None) -> Checkpoint:
    return Checkpoint(
        folder.bucket, folder.chunk_key(number, STEP.name), STEP, settings={"list_mode": mode}, alma=alma
    )


def _list_chunk(client: AlmaClient, folder: RunFolder, number: int) -> dict[str, int]:
    mode = folder.plan().settings.effective_list_mode
    checkpoint = _checkpoint(folder, number, mode, client.host)
    mms_ids = folder.mms_ids(number)
    done = checkpoint.settled()
    missing = [mms_id for mms_id in mms_ids if mms_id not in done]
    if done:
        log.info(
            "Chunk %04d: %d of %s listed before",
            number,
            len(mms_ids) - len(missing),
            counted(len(mms_ids), "title"),
        )
    with checkpoint:
        for title in _list_titles(client, missing, mode):
            done[title["mms_id"]] = title  # type: ignore[assignment]
            checkpoint.add(title)
    titles = checkpoint.complete(done[mms_id] for mms_id in mms_ids)
    counts = {
        "titles": len(titles),
        "holdings": sum(len(title["holdings"]) for title in titles),
        "fell_back": sum(title["fell_back"] for title in titles),
        "not_found": sum(title["status"] == "not_found" for title in titles),
        "failed": sum(STEP.rank(title) is Rank.OPEN for title in titles),
    }
    log.info("Chunk %04d: %s", number, ", ".join(f"{value} {name}" for name, value in counts.items()))
    return counts


def _list_titles(client: AlmaClient, mms_ids: Sequence[str], mode: ListMode) -> Iterator[ListedTitle]:
    to_list: list[ListedTitle] = []
    availability = mode is ListMode.BATCH
    for _, answers in client.in_parallel(
        lambda batch: read_bibs(client.bibs, batch, availability=availability), in_batches(mms_ids)
    ):
        for mms_id, answer in answers.items():
            title = _described(mms_id, answer)
            if title["status"] != "listed":
                yield title
                continue
            if isinstance(answer, Found):
                title["holdings"] = _available_holdings(answer.value)
                if availability and answer.value.names_all_holdings:
                    yield title
                    continue
            title["fell_back"] = availability
            to_list.append(title)
    by_id = {title["mms_id"]: title for title in to_list}
    for mms_id, listed in client.in_parallel(client.holdings.list, by_id):
        title = by_id[mms_id]
        match listed:
            case Found(holdings):
                title["holdings"] = [_listed(holding) for holding in holdings]
            case Absent(error):
                title |= {"status": "not_found", "reason": _reason(error), "holdings": []}
            case PartlyFound() as short:
                named = {holding.holding_id: _listed(holding) for holding in short.rows}
                for shown in title["holdings"]:  # by availability
                    named.setdefault(shown["holding_id"], shown)
                title["holdings"] = list(named.values())
                if len(named) < short.counted:
                    title["missing"] = _reason(short.error)
            case Unknown(error):
                title |= {"status": "failed", "reason": _reason(error), "holdings": []}
        yield title


def _listed(holding: HoldingSummary) -> ListedHolding:
    return ListedHolding(
        holding_id=holding.holding_id,
        library=holding.library,
        location=holding.location,
        suppressed=holding.suppressed,
    )


def _described(mms_id: str, answer: Found[Bib] | Absent | Unknown) -> ListedTitle:
    title = ListedTitle(
        mms_id=mms_id,
        status="listed",
        reason="",
        title="",
        has_record=False,
        numbers=[],
        holdings=[],
        fell_back=False,
        missing="",
        warnings=[],
    )
    match answer:
        case Found(bib):
            title["title"] = bib.title
            if bib.record is not None:
                try:
                    fields, faults = numbers_of_bib(bib.record)
                except ValueError as error:
                    return title | {"status": "failed", "reason": f"the bib record cannot be read: {error}"}
                title |= {"has_record": True, "numbers": [_packed(field) for field in fields]}
                if faults:
                    log.warning("%s: a number of the bib was left out: %s", mms_id, "; ".join(faults))
                    title["warnings"] = ["BIBFIELD"]
        case Absent(error):
            title |= {"status": "not_found", "reason": _reason(error)}
        case Unknown(error):
            title |= {"status": "failed", "reason": _reason(error)}
    return title


def _available_holdings(bib: Bib) -> list[ListedHolding]:
    holdings: dict[str, ListedHolding] = {}
    for row in bib.availability:
        if row.holding_id is not None:
            holdings.setdefault(
                row.holding_id,
                ListedHolding(
                    holding_id=row.holding_id, library=row.library, location=row.location, suppressed=None
                ),
            )
    return list(holdings.values())


def _reason(error: RemoteError | None) -> str:
    return "" if error is None else str(error)


def _packed(field: Field) -> list[Any]:
    return [
        field.tag,
        *(field.indicators or "  "),
        [[subfield.code, subfield.value] for subfield in field.subfields],
    ]


def unpacked(fields: Sequence[Sequence[Any]]) -> list[Field]:
    """The bib's fields of a ListedTitle as MARC fields."""
    return [
        Field(
            tag=tag,
            indicators=Indicators(ind1, ind2),
            subfields=[Subfield(*subfield) for subfield in subfields],
        )
        for tag, ind1, ind2, subfields in fields
    ]
