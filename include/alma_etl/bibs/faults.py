"""Which records of a chunk are not to be written at all, since an item or an order of theirs could not be made."""

from collections.abc import Collection, Mapping

from alma_etl.bibs.inventory import HAVE_ITEMS
from alma_etl.bibs.matches import matches_of
from alma_etl.bibs.rows import BibOutcome
from alma_etl.inventory.codes import read_check
from alma_etl.jobs.file_job import Refusal
from alma_etl.jobs.file_run import FileRun
from alma_etl.jobs.outcomes import Row


def code_faults(run: FileRun, number: int) -> dict[int, Refusal]:
    """Return the records whose items name a code that Alma does not know, by line."""
    check = read_check(run)
    faults = (
        (row["line"], [check.fault_of(item) for item in row.get("items", ())]) for row in run.rows(number)
    )
    return {
        line: Refusal("; ".join(dict.fromkeys(filter(None, found))), BibOutcome.INVALID_RECORD)
        for line, found in faults
        if any(found)
    }


def once_in_a_file(row: Row) -> set[str]:
    """Return what no two records of a file may have: barcodes, and references of orders."""
    return {item["barcode"] for item in row.get("items", ()) if item["barcode"]} | set(row.get("orders", ()))


def repeated(
    run: FileRun, number: int, faults: Mapping[int, Refusal], loaded: Collection[int]
) -> dict[int, Refusal]:
    """Return the records of which another one of the chunk has a barcode, or the reference of an order, by line.

    The first of the file has them, where it comes to have items and orders: not one with a fault, or one that its
    titles speak against. Before it come those that are ``loaded`` already.
    """
    outcomes = {each["line"]: each["outcome"] for each in matches_of(run, number).rows().values()}
    firsts: dict[str, Row] = {}
    found = {}
    rows = (row for row in run.rows(number) if row["line"] not in faults)
    for row in sorted(rows, key=lambda row: (row["line"] not in loaded, row["line"])):
        values = once_in_a_file(row)
        if row.get("refused") or outcomes.get(row["line"]) not in HAVE_ITEMS:
            continue
        first = next((firsts[value] for value in sorted(values) if value in firsts), None)
        if first is None:
            firsts |= dict.fromkeys(values, row)
        elif row["line"] not in loaded:
            found[row["line"]] = _repeats(row, first)
    return found


def _repeats(row: Row, first: Row) -> Refusal:
    both = ", ".join(sorted(once_in_a_file(row) & once_in_a_file(first)))
    where = f"record {first['record']} of the file"
    message = f"a barcode or the reference of an order of it stands in {where} already: {both}"
    return Refusal(message, BibOutcome.DUPLICATE_IN_FILE)
