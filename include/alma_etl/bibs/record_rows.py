"""Records of a dropped file as rows of the import: by which number each is known, and what it asks for."""

from collections import Counter
from datetime import date
from typing import Any

from pymarc import Record

from alma_etl.bibs.deciding import decide_alone
from alma_etl.bibs.inventory import items_of
from alma_etl.bibs.keys import BibKeys
from alma_etl.bibs.matches import key_of, memory_keys
from alma_etl.bibs.matching import Number, numbers_of
from alma_etl.bibs.order_reference import keys_for
from alma_etl.bibs.orders.checking import codes_of
from alma_etl.bibs.orders.order import references_of
from alma_etl.bibs.orders.profile import OrderProfile
from alma_etl.bibs.orders.reading import orders_of
from alma_etl.bibs.profiles import BibProfile
from alma_etl.bibs.rows import BibOutcome
from alma_etl.jobs.file_job import Refusal
from alma_etl.jobs.outcomes import Row
from alma_etl.marc.source_record import SourceRecord
from alma_etl.marc.xml import xml_from_record


def row_of(source: SourceRecord, profile: BibProfile, day: date) -> tuple[Row, Refusal | None]:
    """Return the row of a record, and why it is not to be loaded where that is known already."""
    row = {
        "line": source.line,
        "record": source.line,
        "key": source.key,
        "title": source.title,
        "reasons": ";".join(source.reasons),
        "group": f"record {source.line}",
    }
    remarks = "; ".join(remark.text for remark in source.remarks)
    if remarks:
        row["cleaned"] = remarks
    if source.record is None:
        return row, Refusal(source.problem, BibOutcome.INVALID_RECORD)
    keys = keys_for(source.record, profile)
    number = _first_number(keys, profile)
    if number is not None:
        row["key"] = f"(OCoLC){number.value}" if number.method in ("oclc", "019") else number.value
    alone = decide_alone(source.record, keys, profile)
    if alone is not None:
        return row, Refusal(alone.message, alone.outcome)
    fault = _take_items(row, items_of(source.record, profile.inventory, day)) if profile.inventory else None
    fault = fault or (_take_orders(row, source.record, profile.orders) if profile.orders else None)
    if fault is not None:
        return row, fault
    if number is not None:
        row["group"] = key_of(number)
    row["numbers"] = [*memory_keys(keys, profile), *(f"order:{each}" for each in keys.orders)]
    row["marc"] = xml_from_record(source.record).decode()
    return row, None


def _take_items(row: dict[str, Any], items: list[Row]) -> Refusal | None:
    """Give a row its items; return why it is not to be loaded, with none of them."""
    problems = [item["refused"] for item in items if "refused" in item]
    if problems:
        return Refusal("; ".join(problems), BibOutcome.INVALID_RECORD)
    barcodes = Counter(item["barcode"] for item in items if item["barcode"])
    twice = [barcode for barcode, count in barcodes.items() if count > 1]
    if twice:
        message = f"two items of it have the same barcode: {', '.join(twice)}"
        return Refusal(message, BibOutcome.DUPLICATE_IN_FILE)
    row["items"] = items
    return None


def _take_orders(row: dict[str, Any], record: Record, profile: OrderProfile) -> Refusal | None:
    """Give a row the references and codes of its orders; return why it is not to be loaded, with none of them."""
    orders = orders_of(record, profile)
    row["vendor"] = ", ".join(dict.fromkeys(order.vendor for order in orders))
    row["reference"] = ", ".join(dict.fromkeys(order.additional_reference for order in orders))
    problems = dict.fromkeys(problem for order in orders for problem in order.problems)
    if problems:
        return Refusal("; ".join(problems), BibOutcome.INVALID_ORDER)
    barcodes = [f"barcode {copy.barcode}" for order in orders for copy in order.copies if copy.barcode]
    row["orders"] = [*map(str, references_of(orders)), *barcodes]
    row["order_codes"] = [list(each) for each in dict.fromkeys(codes_of(orders))]
    reasons = [row["reasons"], *(remark.code for order in orders for remark in order.remarks)]
    row["reasons"] = ";".join(dict.fromkeys(filter(None, reasons)))
    return None


def _first_number(keys: BibKeys, profile: BibProfile) -> Number | None:
    """The number by which a record is known in its file: the first by which it is matched."""
    return next((number for numbers in numbers_of(keys, profile.match) for number in numbers), None)
