"""A dry run of the whole import over 10,000 records of the Library of Congress, from pymarc's source distribution."""

from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from pymarc import Record

from alma_etl.marc.files import open_marc
from alma_etl.marc.iso2709 import to_iso2709
from alma_etl.store.bucket import Bucket
from alma_sandbox import Settings, serve
from tests.e2e.items import ItemSandbox
from tests.stores import sqlite_store
from tests.unit.bibs.conftest import Imports, Run

pytestmark = pytest.mark.timeout(3600)

RECORDS, MADE, CHANGED = 10_000, 400, 150
# Alma's 005 is that of the moment when a title was made: by it all of these records are older.
PROFILES = "profiles:\n  loc: {match: [oclc, '019', system, isbn, issn], check_005: false}\n"


@pytest.fixture
def imports(s3: Any, tmp_path: Path) -> Iterator[Imports]:
    with serve(Settings(per_second=0, titles=20)) as running:
        found = Imports(
            Bucket(s3.client(), s3.name), ItemSandbox(running.url), sqlite_store(tmp_path / "store.db")
        )
        found.profiles(PROFILES)
        with closing(found.client), closing(found.with_sru()):
            yield found


def other_version(record: Record) -> Record:
    """The record as somebody else has it: without its subjects, and with a note."""
    record.remove_fields("650", "651")
    record.get_fields("245")[0].add_subfield("c", "as it was before")
    return record


def test_records_of_the_library_of_congress_go_through_a_dry_run(source: Path, imports: Imports) -> None:
    (path,) = source.glob("*.utf8")
    whole: list[bytes] = []
    made: list[Record] = []
    for row in islice(open_marc(path).rows(), RECORDS):
        assert row.record is not None
        whole.append(to_iso2709(row.record))
        if row.line % (RECORDS // MADE) == 0:
            made.append(other_version(row.record) if len(made) < CHANGED else row.record)
    first = imports.load(*made, name="made.mrc", profile="loc")
    assert first.problem == ""
    assert first.counts["created"] > 0.9 * MADE
    before = imports.alma.state()["bibs"]
    imports.alma.forget()

    run = Run(imports, b"".join(whole), "whole.mrc", "loc", dry_run=True)
    run.whole()
    rows, counts = run.rows, run.counts
    print(dict(counts), imports.calls())
    assert run.problem == ""
    assert [int(row["record"]) for row in rows] == list(range(1, RECORDS + 1))
    assert sum(counts.values()) == RECORDS
    assert not {"failed", "unconfirmed", "created", "merged"} & counts.keys()
    assert counts["would_merge"] >= CHANGED * 0.9
    assert counts["unchanged"] >= (MADE - CHANGED) * 0.9
    assert counts["would_create"] > RECORDS // 2
    assert imports.writes() == []
    assert imports.alma.state()["bibs"] == before
    loaded = {"would_create", "would_merge", "unchanged"}
    refused = [int(row["record"]) for row in rows if row["outcome"] not in loaded]
    assert all(rows[number - 1]["message"] for number in refused)
    rejects = imports.bucket.get(run.keys["rejects"]) if refused else b""
    assert rejects == b"".join(whole[number - 1] for number in refused)
    assert run.text("changes").count(": would_merge\n") == counts["would_merge"]
