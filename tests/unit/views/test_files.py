"""The dropped files: the table of all; a file with its runs, corrections and refused rows; on both databases."""

from dataclasses import replace
from datetime import timedelta
from urllib.parse import parse_qsl

import pytest

from alma_etl.inventory.item_rows import ItemOutcome
from alma_etl.jobs.arrivals import Arrival
from alma_etl.jobs.ledger import About, Results
from alma_etl.jobs.ledger_reading import Artefact, RunKey, RunRecord
from alma_etl.jobs.places import ITEMS
from alma_etl.jobs.uploads import load_run_id
from alma_etl.views.files import (
    file_view,
    files_of,
    is_known_key,
    refused_rows,
    runs_of_waiting,
    same_bytes,
)
from tests.unit.jobs.ledger_world import opened

KEY = "items/incoming/gifts/march.csv"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.heavy)])
def world(request, tmp_path):
    with opened(request, tmp_path) as made:
        yield made


def arrived(world, key=KEY, **more):
    """A file that has just come."""
    arrival = Arrival(ITEMS, key, "e", world.clock.now, 12)
    file = replace(arrival.file, **more)
    world.ledger.arrive(file)
    world.clock.now += timedelta(minutes=1)
    return file, RunKey("item_creation", arrival.run_id)


def looked_at(world, file, run, *, dry_run=False, records=(), artefacts=(), state="done", filed_as=None):
    """A run with the file that has ended; a dry run leaves the file where it is."""
    attempt = world.ledger.begin(run, About("item_creation", file.key, dry_run=dry_run))
    if not dry_run:
        world.ledger.start(file, run)
    counts = dict.fromkeys((each.outcome for each in records), 1)
    world.ledger.replace(run, Results(counts, records=records, artefacts=artefacts, dry_run=dry_run), attempt)
    world.ledger.finish(run, state, "over", attempt)
    if not dry_run:
        world.ledger.move(
            file.key, file.version, filed_as or state, run=run, filed_key=f"items/{state}/x.csv"
        )
    world.clock.now += timedelta(minutes=1)


def page(world, areas=("items",), profiles=("gifts", "copies"), **asked):
    with world.ledger.reading() as connection:
        return files_of(areas, profiles).page(connection, asked)


def view(world, file):
    with world.ledger.reading() as connection:
        return file_view(connection, file.key, file.version)


def test_every_column_that_can_be_sorted_by_gives_each_file_once(world):
    for number in range(9):
        file, run = arrived(
            world, f"items/incoming/gifts/{number}.csv", uploaded_by="ab"[number % 2], size=number % 3
        )
        if number % 2:
            looked_at(world, file, run, state=("failed", "done")[number % 3 > 0])
    for column in files_of(("items",), ()).columns:
        for sort in (column.name, f"-{column.name}") if column.by is not None else ():
            listing, asked, seen = replace(files_of(("items",), ()), size=2), {"sort": sort}, []
            while True:
                with world.ledger.reading() as connection:
                    table = listing.page(connection, asked)
                seen += [row.key for row in table.rows]
                if table.next is None:
                    break
                asked = dict(parse_qsl(table.next.removeprefix("?")))
            assert sorted(seen) == [f"items/incoming/gifts/{number}.csv" for number in range(9)], sort


def test_files_are_narrowed_by_area_state_profile_and_words(world):
    arrived(world, uploaded_by="anna")
    file, run = arrived(world, "items/incoming/copies/100%.csv")
    looked_at(world, file, run, records=[RunRecord("created"), RunRecord("conflict")])
    arrived(world, "bibs/incoming/catalog/new.mrc")
    world.ledger.arrive(replace(file, key="bibs/incoming/catalog/x.mrc", area="bibs", profile="catalog"))

    def keys(**asked):
        return {row.key.rpartition("/")[2] for row in page(world, **asked).rows}

    assert keys() >= {"march.csv", "100%.csv"}
    assert "x.mrc" not in keys()
    assert keys(areas=("items", "bibs")) > {"x.mrc"}
    assert keys(areas=("items", "bibs"), area="bibs") == {"x.mrc"}
    assert keys(state="done") == keys(profile="copies") == keys(search="100%") == {"100%.csv"}
    assert keys(search="ANNA") == {"march.csv"}
    assert page(world, profile="catalog").filtered is False, "not a profile of what is shown"
    (row,) = page(world, state="done").rows
    assert (row.headline, row.counts, row.run_id) == ("over", {"created": 1, "conflict": 1}, run.run_id)
    cells = {each.name: each.text(row) for each in files_of(("items",), ()).columns}
    assert (cells["counts"], cells["state"]) == ("1 created, 1 conflict", "done")


def test_a_file_that_waits_has_the_dry_run_that_looked_at_it(world):
    file, run = arrived(world)
    arrived(world, "items/incoming/gifts/new.csv")
    looked_at(world, file, run, dry_run=True)
    with world.ledger.reading() as connection:
        found = runs_of_waiting(connection, files_of(("items",), ()).page(connection, {}).rows)
    assert {place: each.run_id for place, each in found.items()} == {(file.key, file.version): run.run_id}
    shown = view(world, file)
    assert (shown.can_be_loaded, shown.run.run_id, shown.ended) == (True, run.run_id, False)


def test_the_run_that_loaded_a_file_says_what_became_of_it(world):
    file, run = arrived(world)
    looked_at(world, file, run, dry_run=True)
    loading = RunKey(run.dag_id, load_run_id(run.run_id))
    rejects = Artefact(role="rejects", key="items/rejects/x.csv", name="x.csv", size=1, type="text/csv")
    looked_at(world, file, loading, artefacts=[rejects])
    shown = view(world, file)
    assert [each.run_id for each in shown.runs] == [loading.run_id, run.run_id]
    assert (shown.run.run_id, shown.can_be_loaded, shown.ended) == (loading.run_id, False, True)
    assert shown.rejects == rejects


def test_rejects_of_a_dry_run_are_not_corrected(world):
    """The file still lies there with the same rows."""
    file, run = arrived(world)
    rejects = Artefact(role="rejects", key="items/rejects/x.csv", name="x.csv", size=1, type="text/csv")
    looked_at(world, file, run, dry_run=True, artefacts=[rejects])
    assert view(world, file).rejects is None


def test_corrections_are_the_newest_first_and_none_is_its_own(world):
    file, run = arrived(world)
    looked_at(world, file, run, state="failed")
    first, _ = arrived(world, corrects=KEY)  # rejects have the name of their file, but for their ending
    second, _ = arrived(world, "items/incoming/gifts/by-hand.csv", corrects=KEY)
    assert [each.version for each in view(world, file).corrections] == [second.version, first.version]
    assert [each.key for each in view(world, first).corrections] == [second.key]
    assert view(world, second).corrections == []


def test_a_file_that_nobody_knows_is_none(world):
    file, _ = arrived(world)
    world.ledger.arrive(replace(file, area="elsewhere", version="e@x"))
    with world.ledger.reading() as connection:
        assert file_view(connection, KEY, "other") is None
        assert file_view(connection, KEY, "e@x") is None, "of an area that has no job"
        assert is_known_key(connection, "items", KEY)
        assert not is_known_key(connection, "bibs", KEY)


def test_the_last_file_with_the_same_bytes_is_found_in_its_area_alone(world):
    file, run = arrived(world, sha256="abc")
    looked_at(world, file, run)
    last, _ = arrived(world, "items/incoming/gifts/again.csv", sha256="abc")
    with world.ledger.reading() as connection:
        assert same_bytes(connection, "items", "abc").file.key == last.key
        assert same_bytes(connection, "bibs", "abc") is None
        assert same_bytes(connection, "items", "other") is None
    world.ledger.move(last.key, last.version, "ignored")
    with world.ledger.reading() as connection:
        earlier = same_bytes(connection, "items", "abc")
    assert (earlier.file.state, earlier.headline) == ("ignored", "")


def test_rows_that_were_refused_stand_in_the_order_of_their_lines(world):
    file, run = arrived(world)
    records = [
        RunRecord(each.value, line=100 - number, message=each.meaning)
        for number, each in enumerate(ItemOutcome)
    ]
    looked_at(world, file, run, records=records)
    shown = view(world, file)
    with world.ledger.reading() as connection:
        found = refused_rows(connection, shown.run, most=100)
        assert [each.line for each in refused_rows(connection, shown.run, most=2)] == [
            each.line for each in found[:2]
        ]
    refused = [each for each in ItemOutcome if not each.weight.loaded]
    assert [each.outcome for each in found] == [each.value for each in reversed(refused)]
    assert [each.line for each in found] == sorted(each.line for each in found)
    assert "conflict" in {each.outcome for each in found}
    assert "created" not in {each.outcome for each in found}
