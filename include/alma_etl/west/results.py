"""What a WEST run came to, as the ledger keeps it."""

from collections.abc import Iterator

from alma_etl.jobs.ledger import Results, found_artefacts
from alma_etl.jobs.ledger_reading import RunRecord
from alma_etl.jobs.report_tables import plain, read_csv
from alma_etl.west.assembly import assembled_key
from alma_etl.west.delivery import delivered_keys, sent_by_sftp
from alma_etl.west.gates import Assembly, SymbolResult
from alma_etl.west.report import REPORT, progress
from alma_etl.west.run import RunFolder, WestPlan
from alma_etl.west.settings import WestSettings

_ROLES = {
    ".mrc": "marc",
    ".manifest.json": "manifest",
    ".outcomes.csv": "outcomes",
    ".changes.csv": "changes",
}


def subject_of(settings: WestSettings) -> str:
    """What the ledger calls the run's input: the set's number, or the key of the export."""
    return settings.set_id or settings.marc_key or ""


def results_of(folder: RunFolder) -> Results:
    """Counts, measures, files and records of a run, however far it got. The records are those of its tables."""
    plan, assembly = progress(folder)
    keys = delivered_keys(folder) or _waiting(folder, assembly)
    named = [(_role(key), key) for key in keys]
    return Results(
        counts={} if assembly is None else assembly.counts,
        measures={} if plan is None else _measures(folder, plan, assembly),
        artefacts=found_artefacts(folder.bucket, [*named, ("report", folder.key(REPORT))]),
        records=() if assembly is None else _records(folder, assembly),
        subject=None if plan is None else subject_of(plan.settings),
        dry_run=None if plan is None else plan.settings.dry_run,
    )


def _measures(folder: RunFolder, plan: WestPlan, assembly: Assembly | None) -> dict[str, object]:
    measures: dict[str, object] = {"titles": plan.titles}
    if assembly is not None:
        sent = set(sent_by_sftp(folder))
        symbols = {result.symbol: _of_symbol(result, sent) for result in assembly.symbols}
        measures |= {"holdings": assembly.holdings, "symbols": symbols}
    return measures


def _of_symbol(result: SymbolResult, sent: set[str]) -> dict[str, object]:
    compared = result.last_stem is not None
    return {
        "records": result.records,
        "added": result.records - (result.last_records - result.dropped) if compared else None,
        "dropped": result.dropped if compared else None,
        "compared_with": result.last_stem,
        "sftp": f"{result.stem}.mrc" in sent,
    }


def _waiting(folder: RunFolder, assembly: Assembly | None) -> list[str]:
    """The files that wait in the run's folder, when none was delivered."""
    symbols = assembly.symbols if assembly else ()
    endings = (".mrc", ".outcomes.csv")
    return [
        assembled_key(folder, each.stem + ending)
        for each in symbols
        if any(each.counts.values())
        for ending in endings
    ]


def _role(key: str) -> str:
    return next((role for ending, role in _ROLES.items() if key.endswith(ending)), "file")


def _records(folder: RunFolder, assembly: Assembly) -> Iterator[RunRecord]:
    for symbol in sorted(assembly.symbols, key=lambda each: each.symbol):
        with folder.bucket.reader(assembled_key(folder, f"{symbol.stem}.outcomes.csv")) as stream:
            for row in read_csv(stream):
                yield RunRecord(
                    row["outcome"],
                    symbol=symbol.symbol,
                    mms_id=row["mms_id"],
                    holding_id=row["holding_id"],
                    label=plain(row["title"]),
                    reasons=row["reasons"],
                )
