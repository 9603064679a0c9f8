"""All steps of a WEST run, one after the other, as the DAG calls them."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from alma_etl.store.bucket import Bucket
from alma_etl.west.assembly import assemble_delivery, assembled_key
from alma_etl.west.converting import convert_to_marc21
from alma_etl.west.extract import extract_mms_ids
from alma_etl.west.fetching import fetch_holdings
from alma_etl.west.gates import Assembly
from alma_etl.west.listing import list_holdings
from alma_etl.west.run import RunFolder

MOMENT = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)


@dataclass(frozen=True)
class Ran:
    """What a run assembled."""

    folder: RunFolder
    assembly: Assembly

    def file(self, ending: str, symbol: str = "ZZMAIN") -> bytes:
        """One of the files that wait for their delivery."""
        name = f"{symbol}.alma.archived.20261120{ending}"
        return self.folder.bucket.get(assembled_key(self.folder, name))

    def rows(self, symbol: str = "ZZMAIN") -> list[dict[str, str]]:
        """The table of outcomes."""
        return list(csv.DictReader(io.StringIO(self.file(".outcomes.csv", symbol).decode(), newline="")))


def run(client: Any, bucket: Bucket, run_id: str = "run", **params: Any) -> Ran:
    """Every step up to the assembly."""
    folder = RunFolder(bucket, run_id)
    for chunk in extract(client, folder, params):
        list_holdings(client, folder, chunk)
        fetch_holdings(client, folder, chunk)
        convert_to_marc21(folder, chunk)
    return Ran(folder, assemble_delivery(folder))


def extract(client: Any, folder: RunFolder, params: Mapping[str, Any]) -> list[int]:
    """The first step; the numbers of the chunks."""
    return [chunk.number for chunk in extract_mms_ids(client, folder, params, moment=MOMENT, sandbox=True)]
