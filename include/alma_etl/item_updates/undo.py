"""The undo file of an item update: the values that the changed items had, in the form that came, ready to be dropped.

Every value stands in it as it was, nothing is neutralised. An item that stood twice has its oldest value once.
"""

import csv
import io
import json
import sqlite3
from collections.abc import Iterator, Sequence
from typing import IO, Any

from lxml import etree

from alma_etl.aleph import z30
from alma_etl.item_updates.reading import ALEPH_KEY, NEW_BARCODE, OF_ALEPH, OF_ALMA
from alma_etl.item_updates.update_xml import ITEM, MANY, ONE, Z30
from alma_etl.jobs.outcomes import End
from alma_etl.remote.xml import serialise
from alma_etl.tabular.cells import Cell, read_cell
from alma_etl.tabular.text_table import FORMS

_SEPARATORS = {form: separator for separator, form in FORMS.items()}
_OF_ALMA = ("item_pid", "mms_id", "barcode")


class UndoFile:
    """What was changed, item by item, on disk until it is written. ``form``: the file's, as the plan names it."""

    def __init__(self, target: str, form: str) -> None:
        self._target = target
        self._form = form
        self._table_columns = OF_ALMA if target == "alma" else OF_ALEPH
        self._keys = _OF_ALMA if target == "alma" else ALEPH_KEY
        self._columns: dict[str, None] = {}
        self._database: sqlite3.Connection | None = None

    def note(self, end: End) -> None:
        """Keep what an end has of values that were taken."""
        changes = end.get("changes") or {}
        if not any(before != after for before, after in changes.values()):
            return
        item = "|".join(end[name] for name in self._keys[:1] if end[name]) or f"barcode {end['barcode']}"
        if self._target == "aleph":
            item = str(z30.ItemKey(end["doc_number"], end["item_sequence"]))
        database = self._opened()
        found = database.execute("SELECT item FROM items WHERE name = ?", (item,)).fetchone()
        kept = json.loads(found[0]) if found else {"values": {}}
        kept["keys"] = {name: end.get(name, "") for name in (*self._keys, "barcode")}
        for column, (before, after) in changes.items():
            kept["values"][column] = [kept["values"].get(column, (before,))[0], after]
            self._columns[column] = None
        database.execute(
            "INSERT OR REPLACE INTO items VALUES (?, ?, ?)",
            (item, end["line"], json.dumps(kept, ensure_ascii=False)),
        )

    def items(self) -> Iterator[tuple[dict[str, str], dict[str, list[str]]]]:
        """Yield what names an item now and its values, each with the oldest and the present one: the item that was
        changed last comes first, so that a barcode is free again when it is needed."""
        if self._database is None:
            return
        for (text,) in self._database.execute("SELECT item FROM items ORDER BY line DESC"):
            kept = json.loads(text)
            if any(before != after for before, after in kept["values"].values()):
                yield kept["keys"], kept["values"]

    def is_empty(self) -> bool:
        """Whether nothing was changed."""
        return next(self.items(), None) is None

    def left_out(self) -> int:
        """Return how many of the items the form cannot name as they were."""
        return sum(not self._fits(values) for _, values in self.items())

    def write(self, stream: IO[bytes]) -> None:
        """Write the file, and let go of what was kept."""
        items = ((keys, values) for keys, values in self.items() if self._fits(values))
        if self._form == "XML":
            self._write_xml(items, stream)
        elif self._form in _SEPARATORS:
            self._write_text(items, stream)
        else:
            self._write_workbook(items, stream)
        if self._database is not None:
            self._database.close()
            self._database = None

    def _opened(self) -> sqlite3.Connection:
        if self._database is None:
            # without a name it is SQLite's own temporary file, which goes with the connection
            self._database = sqlite3.connect("", isolation_level=None)
            self._database.execute(
                "CREATE TABLE items (name TEXT PRIMARY KEY, line INTEGER, item TEXT) STRICT"
            )
            self._database.execute("BEGIN")
        return self._database

    def _fits(self, values: dict[str, list[str]]) -> bool:
        """Whether the form can say what an item had. Of a table each cell has to be known, since an empty one clears,
        and to be read again as it stands; it has no word for an item without a barcode."""
        if self._form == "XML":
            return True
        known = all(name in values or name == "barcode" for name in self._columns)
        return (
            known
            and values.get("barcode", ["x"])[0] != ""
            and all(
                read_cell(before, self._table_columns.kind(NEW_BARCODE if name == "barcode" else name))
                == Cell(before)
                for name, (before, _) in values.items()
            )
        )

    # --- the forms

    def _write_xml(self, items: Iterator[Any], stream: IO[bytes]) -> None:
        stream.write(f'<?xml version="1.0" encoding="UTF-8"?>\n<{MANY}>\n'.encode())
        for keys, values in items:
            record = etree.Element(ONE)
            old = {name: before for name, (before, after) in values.items() if before != after}
            if self._target == "aleph":
                holder, prefix = etree.SubElement(record, Z30), z30.PREFIX
                named = dict(zip(z30.KEY, (keys[name] for name in ALEPH_KEY), strict=True))
            else:
                holder, prefix = etree.SubElement(record, ITEM), ""
                named = {name: keys[name] for name in _OF_ALMA if keys[name]}
                if "barcode" in old:
                    old[NEW_BARCODE] = old.pop("barcode")
            for name, text in {**named, **old}.items():
                etree.SubElement(holder, f"{prefix}{name}").text = text or None
            stream.write(serialise(record) + b"\n")
        stream.write(f"</{MANY}>\n".encode())

    def _table(self, items: Iterator[Any]) -> Iterator[Sequence[str]]:
        fields = [name for name in self._columns if name != "barcode"]
        keys = (*self._keys, "barcode") if self._target == "aleph" else self._keys
        renamed = "barcode" in self._columns
        yield [*keys, *([NEW_BARCODE] if renamed else []), *fields]
        for named, values in items:
            old, now = values.get("barcode", ("", ""))
            new = [old if old != now else ""] if renamed else []
            yield [*(named[name] for name in keys), *new, *(values[name][0] for name in fields)]

    def _write_text(self, items: Iterator[Any], stream: IO[bytes]) -> None:
        buffer = io.StringIO()
        table = csv.writer(buffer, delimiter=_SEPARATORS[self._form], lineterminator="\n")
        for row in self._table(items):
            table.writerow(row)
            stream.write(buffer.getvalue().encode())
            buffer.seek(0)
            buffer.truncate()

    def _write_workbook(self, items: Iterator[Any], stream: IO[bytes]) -> None:
        from alma_etl.jobs.report_tables import XlsxWriter  # openpyxl takes a while to import

        rows = self._table(items)
        book = XlsxWriter(list(next(iter(rows))), "Items")
        for row in rows:
            book.add(row)
        book.save(stream)
