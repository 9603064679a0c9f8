"""Files of every form, and the table that they are read as."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from alma_etl.tabular.cells import Holds
from alma_etl.tabular.tables import Columns, Table, open_table

COLUMNS = Columns(
    known=("mms_id", "barcode", "library", "enumeration", "price", "arrival_date", "note"),
    required=("mms_id", "barcode"),
    headless=("mms_id", "barcode"),
    holds={
        "mms_id": Holds.IDENTIFIER,
        "barcode": Holds.IDENTIFIER,
        "library": Holds.IDENTIFIER,
        "enumeration": Holds.LABEL,
        "price": Holds.AMOUNT,
        "arrival_date": Holds.DATE,
    },
)
MMS = "991008836536904082"


@pytest.fixture
def opened(tmp_path: Path) -> Callable[[bytes], Table]:
    """A factory: bytes become a table."""
    numbers = itertools.count()

    def make(body: bytes) -> Table:
        path = tmp_path / f"input-{next(numbers)}"
        path.write_bytes(body)
        return open_table(path, COLUMNS)

    return make
