"""From a record of a dropped file to a row of an item update, or the reason why it cannot be one."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from alma_etl.aleph import z30
from alma_etl.counted import counted
from alma_etl.identifiers import is_mms_id, read_identifier
from alma_etl.inventory.item_fields import HOLDS, READ_ONLY, UPDATE_FIELDS, as_date, change_problem
from alma_etl.item_updates.crosswalk import written_in_alma
from alma_etl.item_updates.profiles import ItemUpdateProfile
from alma_etl.item_updates.update_xml import ONE, Z30, UpdateRecord, UpdateXml, looks_like_xml
from alma_etl.jobs.file_job import Records
from alma_etl.jobs.outcomes import Row
from alma_etl.store.scratch import scratch_database
from alma_etl.tabular.cells import Holds
from alma_etl.tabular.tables import Columns, SourceRow, open_table

NEW_BARCODE = "new_barcode"
ALEPH_KEY = ("doc_number", "item_sequence")
_NAMES = ("item_pid", "mms_id", "holding_id", "barcode", *ALEPH_KEY)
_NEW_KEY = ("new_doc_number", "new_item_sequence")
_ALMA = tuple(name for name in UPDATE_FIELDS if name != "barcode")
_Z30 = tuple(sorted(z30.FIELDS - {*z30.KEY, "barcode"}))
_KINDS = dict.fromkeys((*_NAMES, NEW_BARCODE, *_NEW_KEY), Holds.IDENTIFIER)
_Z30_TEXTS = {
    "note-opac",
    "note-circulation",
    "note-internal",
    "description",
    "call-no",
    "call-no-2",
    "item-statistic",
}
_Z30_CODES = {*z30.CODES, *z30.NUMBERS, "order-number", "inventory-number", "depository-id", "call-no-2-type"}

OF_ALMA = Columns(
    known=(*_NAMES, NEW_BARCODE, *_NEW_KEY, *_ALMA, *READ_ONLY),
    required=(),
    holds={**dict.fromkeys(READ_ONLY, Holds.TEXT), **HOLDS, **_KINDS},
    keys=("item_pid", "barcode"),
)
OF_ALEPH = Columns(
    known=(*ALEPH_KEY, "barcode", NEW_BARCODE, *_NEW_KEY, *_Z30),
    required=ALEPH_KEY,
    holds={
        **dict.fromkeys(_Z30, Holds.LABEL),
        **dict.fromkeys(_Z30_TEXTS, Holds.TEXT),
        **dict.fromkeys(_Z30_CODES, Holds.IDENTIFIER),
        **dict.fromkeys(z30.DATES, Holds.DATE),
        "price": Holds.AMOUNT,
        **_KINDS,
    },
)


class BadUpdate(ValueError):
    """The record is no update of an item; the message says why and what to do."""


def open_update(path: Path, profile: ItemUpdateProfile) -> Records:
    """Open a file by its content: XML, else a table. Raises InputProblem."""
    if looks_like_xml(path):
        return UpdateXml(path, OF_ALMA.known if profile.target == "alma" else ())
    return open_table(path, OF_ALMA if profile.target == "alma" else OF_ALEPH)


def rows_of(records: Iterable[Any], profile: ItemUpdateProfile) -> Iterator[tuple[Row, str]]:
    """Yield the row of each record in order, with the reason why it is refused or "".

    Rows of one item share their `item` and name each other in `remarks`; so do rows of which one gives an item the
    barcode that another names one by. Everything lies on disk meanwhile.
    """
    with scratch_database() as scratch:
        scratch.execute(
            "CREATE TABLE rows (line INTEGER PRIMARY KEY, item TEXT, new TEXT, row TEXT, refusal TEXT) STRICT"
        )
        for record in records:
            row, refusal = _judged(record, profile)
            item = f"line {row['line']}" if refusal else row["item"]
            barcode = row["values"].get("barcode", "")
            new = f"barcode {barcode}" if barcode and not refusal else None
            scratch.execute(
                "INSERT INTO rows VALUES (?, ?, ?, ?, ?)",
                (row["line"], item, new, json.dumps(row, ensure_ascii=False), refusal),
            )
        scratch.execute("CREATE INDEX by_item ON rows (item)")
        _join_renamed(scratch)
        for text, refusal, item, before, after in scratch.execute(
            "SELECT row, refusal, item, lag(line) OVER same, lead(line) OVER same FROM rows "
            "WINDOW same AS (PARTITION BY item ORDER BY line) ORDER BY line"
        ):
            row = json.loads(text)
            if not refusal:
                row["item"] = item
                others = [
                    f"line {line} {words}"
                    for line, words in ((before, "before it"), (after, "after it"))
                    if line is not None
                ]
                if others:
                    row["remarks"].append(f"{' and '.join(others)} named this item or its barcode, too")
            yield row, refusal


def _join_renamed(scratch: Any) -> None:
    """Put rows under one item where one of them gives the barcode by which others name theirs."""
    above: dict[str, str] = {}

    def root(item: str) -> str:
        while item in above:
            item = above[item]
        return item

    for one, other in scratch.execute(
        "SELECT DISTINCT a.item, b.item FROM rows a JOIN rows b ON a.new = b.item WHERE a.item <> b.item"
    ).fetchall():
        ends = sorted({root(one), root(other)})
        if len(ends) == 2:
            above[ends[1]] = ends[0]
    for item in list(above):
        scratch.execute("UPDATE rows SET item = ? WHERE item = ?", (root(item), item))


def _judged(record: UpdateRecord | SourceRow, profile: ItemUpdateProfile) -> tuple[dict[str, Any], str]:
    row: dict[str, Any] = {
        "line": record.line,
        "target": profile.target,
        **dict.fromkeys(_NAMES, ""),
        "item": "",
        "values": {},
        "remarks": [],
    }
    try:
        if isinstance(record, UpdateRecord):
            _fill_from_xml(row, record, profile)
        else:
            if record.changes:
                row["remarks"] += record.changes
            _fill_from_cells(row, record.cells, profile, record.problem)
        _check_values(row, profile)
        row["item"] = _item_of(row, profile)
    except BadUpdate as problem:
        return row, str(problem)
    return row, ""


def _fill_from_xml(row: dict[str, Any], record: UpdateRecord, profile: ItemUpdateProfile) -> None:
    if record.kind != Z30:
        _fill_from_cells(row, record.fields, profile, record.problem)
        return
    for column, name in zip(ALEPH_KEY, z30.KEY, strict=True):
        row[column] = record.fields.get(name, "")
    barcode = record.fields.get("barcode")
    named_by_barcode = profile.target == "alma" and profile.aleph_key == "none"
    if named_by_barcode:
        row["barcode"] = barcode or ""
    if record.problem:
        raise BadUpdate(record.problem)
    for name in z30.KEY:
        if not record.fields.get(name):
            raise BadUpdate(f"{z30.PREFIX}{name} is missing, by which an item is named")
    for name, text in record.fields.items():
        problem = z30.translated(name, text)
        if problem and name not in z30.OWN:
            raise BadUpdate(f"{z30.PREFIX}{problem}")
    if profile.target == "aleph":
        row["values"] = {name: text for name, text in record.fields.items() if name not in z30.KEY}
        return
    written = written_in_alma(record.fields, profile)
    row["values"], row["remarks"] = written.values, written.remarks
    if named_by_barcode and not barcode:
        raise BadUpdate(
            "z30-barcode is missing, by which an item is named in Alma: aleph_key of the profile is none"
        )
    if barcode is not None and not named_by_barcode:
        row["values"]["barcode"] = barcode


def _fill_from_cells(
    row: dict[str, Any], cells: Mapping[str, str], profile: ItemUpdateProfile, problem: str
) -> None:
    for name in _NAMES:
        row[name] = cells.get(name, "")
    if problem:
        raise BadUpdate(problem)
    for name in _NEW_KEY:
        if cells.get(name):
            raise BadUpdate(f"{name} {cells[name]!r}: the key of an item cannot be changed")
    fields = _ALMA if profile.target == "alma" else _Z30
    row["values"] = {name: cells[name] for name in fields if name in cells}
    if cells.get(NEW_BARCODE):
        row["values"]["barcode"] = cells[NEW_BARCODE]
    if profile.target == "alma":
        row["remarks"] += [
            f"{name} is not written: {why}" for name, why in READ_ONLY.items() if cells.get(name)
        ]


def _check_values(row: dict[str, Any], profile: ItemUpdateProfile) -> None:
    values: dict[str, str] = row["values"]
    if profile.target == "aleph":
        for name, text in values.items():
            day = as_date(text) if name in z30.DATES else None
            values[name] = f"{day:%Y%m%d}" if day else text
            problem = z30.translated(name, values[name])
            if problem and name not in z30.OWN:
                raise BadUpdate(problem)
        _check_length(row)
    else:
        if profile.aleph_key in values:
            raise BadUpdate(f"{profile.aleph_key} keeps the item's Aleph key, by which this profile finds it")
        for name, text in values.items():
            fault = change_problem(name, text)
            if fault:
                raise BadUpdate(fault)
    if "barcode" in values:
        read = read_identifier(values["barcode"])
        if read.problem:
            raise BadUpdate(f"barcode {read.problem}")
    if not values:
        raise BadUpdate("there is nothing in it to be written")


def _check_length(row: dict[str, Any]) -> None:
    try:
        key = z30.ItemKey(row["doc_number"], row["item_sequence"])
        size = len(z30.record_xml(ONE, key, row["values"]))
    except ValueError as error:
        raise BadUpdate(str(error)) from error
    if size > z30.MAX_BYTES:
        raise BadUpdate(
            f"the record has more than the {counted(z30.MAX_BYTES, 'byte')} that Aleph takes of one"
        )


def _item_of(row: Mapping[str, Any], profile: ItemUpdateProfile) -> str:
    """By what the row names its item, as one text. Raises BadUpdate when it names none, or says what is no id."""
    if row["mms_id"] and not is_mms_id(row["mms_id"]):
        raise BadUpdate(f"mms_id {row['mms_id'][:60]!r} is not an MMS id")
    for name in ("item_pid", "holding_id"):
        if row[name] and not (row[name].isascii() and row[name].isdigit()):
            raise BadUpdate(f"{name} {row[name][:60]!r} is not an id of Alma's: those are digits")
    if profile.target == "alma" and row["item_pid"]:
        return f"item {row['item_pid']}"
    if profile.target == "alma" and row["barcode"]:
        return f"barcode {row['barcode']}"
    if profile.target == "aleph" or (profile.aleph_key != "none" and all(row[name] for name in ALEPH_KEY)):
        try:
            return f"aleph {z30.ItemKey(row['doc_number'], row['item_sequence'])}"
        except ValueError as error:
            raise BadUpdate(str(error)) from error
    raise BadUpdate("the row names no item: give item_pid, or barcode, or mms_id and barcode")
