"""The gates before a delivery: what must hold of the file as a whole (WEST delivery checklist, points 13 to 16)."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

from pydantic import BaseModel, ConfigDict

from alma_etl.counted import counted, verb
from alma_etl.west.outcomes import Outcome
from alma_etl.west.run import WestPlan


class SymbolResult(BaseModel):
    """What assembly made for one OCLC symbol; the numbers of its manifest."""

    model_config = ConfigDict(frozen=True)

    symbol: str
    stem: str
    records: int
    bytes: int
    sha256: str
    counts: dict[str, int]
    titles: int
    holdings: int
    last_stem: str | None = None  # the delivery that this one is compared with
    last_records: int = 0
    dropped: int = 0  # records of the last delivery that are not in this one


class Assembly(BaseModel):
    """What assembly found: one result a symbol, what it counted, and the sentences of the gates that are shut."""

    model_config = ConfigDict(frozen=True)

    symbols: tuple[SymbolResult, ...]
    counts: dict[str, int]
    titles: int
    holdings: int
    fell_back: int
    unfinished_chunks: tuple[int, ...]
    shut: tuple[str, ...] = ()
    unlisted: dict[
        str, int
    ] = {}  # 583 $f with the programme's word that do not mean it, by how many holdings


def shut_gates(
    plan: WestPlan,
    symbols: Sequence[SymbolResult],
    counts: dict[str, int],
    titles: int,
    unfinished: Mapping[int, str],
) -> Iterator[str]:
    """A sentence for each gate that forbids the delivery; nothing when all are open.

    ``unfinished`` has the chunks that did not finish, each with the sentence of its last error, or "".
    """
    settings = plan.settings
    delivered = sum(symbol.records for symbol in symbols)
    if titles != plan.titles:
        yield f"Counts do not add up: the run has {counted(plan.titles, 'title')}, the outcomes have {titles:,}"
    for symbol in symbols:
        if symbol.records != symbol.counts[Outcome.DELIVERED]:
            yield (
                f"Counts do not add up: {symbol.stem}.mrc has {counted(symbol.records, 'record')}, "
                f"the outcomes say {symbol.counts[Outcome.DELIVERED]} delivered"
            )
    # Of the input: each stands for a title at least. Of a run with a limit they say nothing about its first titles.
    unread = plan.counts.missing + plan.counts.bad_records if settings.limit is None else 0
    rows = sum(counts.values()) + unread
    failed = counts[Outcome.FAILED] + unread
    if _exceeds(failed, settings.failure_threshold, rows):
        bad = plan.counts.bad_records if unread else 0
        of_export = f", {bad:,} of them records of the export" if bad else ""
        yield (
            f"{failed:,} of {counted(rows, 'holding or title', 'holdings or titles')} failed{of_export}"
            f"{_why(unfinished)}, more than the failure_threshold of {settings.failure_threshold:.2%} allows: "
            + (
                "export the set again, or name it by set_id and let its titles be read from Alma"
                if bad
                else "see the outcomes for the reasons, then clear list_holdings and what follows it, and the run asks "
                "Alma only for what is missing"
            )
        )
    if delivered == 0 and settings.limit is not None:
        yield f"None of the first {counted(titles, 'title')} has a holding that could be delivered: see the outcomes"
    elif delivered == 0:
        yield "No holding could be delivered: an empty file would withdraw every commitment; see the outcomes"
    if settings.limit is not None:  # what follows is about the file of the whole set
        return
    for symbol in symbols:
        if delivered and symbol.holdings and symbol.records == 0:
            yield (
                f"{symbol.symbol} would be delivered empty, although it has {counted(symbol.holdings, 'holding')}: "
                "see its outcomes, or take the symbol out of symbol_by_library"
            )
        if _exceeds(symbol.dropped, settings.max_drop, symbol.last_records):
            yield (
                f"{symbol.dropped:,} of the {counted(symbol.last_records, 'record')} of the last delivery "
                f"{symbol.last_stem} {verb(symbol.dropped, 'is', 'are')} missing from {symbol.stem}, "
                f"more than the max_drop of {settings.max_drop:.2%} allows: if that is right (commitments "
                f"withdrawn, titles taken out of the set), run again with a higher max_drop"
            )


def _exceeds(part: int, share: float, whole: int) -> bool:
    """Whether a part is more than this share of the whole; in decimals, since 0.29 * 100 is less than 29 in floats."""
    return part > Decimal(str(share)) * whole


def _why(unfinished: Mapping[int, str]) -> str:
    if not unfinished:
        return ""
    reason = next(filter(None, unfinished.values()), "")
    return f" ({counted(len(unfinished), 'chunk')} did not finish{': ' if reason else ''}{reason})"
