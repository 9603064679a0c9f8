"""Files of item updates as people and programs write them."""

import io
from collections.abc import Mapping

import openpyxl

MARK = '<?xml version="1.0" encoding="UTF-8"?>'


def z30(doc_number="51077", item_sequence="10", *, more="", **fields: str) -> str:
    """One `<update-item>`; fields by their names with `_`, and what else stands in it."""
    named = {"doc-number": doc_number, "item-sequence": item_sequence}
    named |= {name.replace("_", "-"): value for name, value in fields.items()}
    inside = "".join(
        f"<z30-{name}>{value}</z30-{name}>" if value else f"<z30-{name} />" for name, value in named.items()
    )
    return f"<update-item><z30>{inside}{more}</z30></update-item>"


def many(*records: str, mark: str = MARK) -> str:
    """A file of several records."""
    return f"{mark}\n<update-items>\n" + "".join(f"  {record}\n" for record in records) + "</update-items>\n"


def workbook(*rows: list[str]) -> bytes:
    """A workbook of text cells."""
    book = openpyxl.Workbook()
    for number, cells in enumerate(rows, 1):
        for place, text in enumerate(cells, 1):
            cell = book.active.cell(number, place, text)
            cell.data_type, cell.number_format = "s", "@"
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def end(line: int, changes: Mapping[str, tuple[str, str]], **known: str) -> dict:
    """What the report keeps of a changed row."""
    keys = dict.fromkeys(("doc_number", "item_sequence", "barcode", "item_pid"), "")
    return {"line": line, "outcome": "updated", **keys, **known, "changes": changes}
