"""Tables that are sorted, filtered and paged in the database, on both databases."""

import random
from dataclasses import replace
from urllib.parse import parse_qsl

import pytest
from sqlalchemy import Integer, func, select

from alma_etl.jobs.ledger import Results
from alma_etl.jobs.ledger_reading import RunKey, RunRecord
from alma_etl.store.ledger_models import record_table, run_table
from alma_etl.views import listing as listings
from alma_etl.views.listing import Choice, Column, Filter, Listing, contains, equals
from alma_etl.views.runs import records_of, runs_of
from tests.unit.jobs.ledger_world import RUN, WEST, opened

BOTH = ["sqlite", pytest.param("postgresql", marks=pytest.mark.heavy)]
TABLE = record_table.c
RECORDS = Listing(
    query=select(record_table).where(TABLE.dag_id == RUN.dag_id, TABLE.run_id == RUN.run_id),
    columns=(
        Column("ord", "No.", TABLE.ord),
        Column("label", "Title", TABLE.label),
        Column("line", "Line", func.coalesce(TABLE.line, 0, type_=Integer)),
        Column("message", "Message"),
    ),
    key=(TABLE.ord,),
    sort="ord",
    filters=(
        Filter("outcome", "Outcome", equals(TABLE.outcome), [Choice("good", "good"), Choice("bad", "bad")]),
        Filter("search", "Search", contains(TABLE.label, TABLE.barcode)),
    ),
    size=7,
)


@pytest.fixture(params=BOTH)
def world(request, tmp_path):
    with opened(request, tmp_path) as made:
        yield made


@pytest.fixture
def records(world):
    """40 records whose titles and lines are no order, some of them the same."""
    chance = random.Random(7)
    made = [
        RunRecord(
            chance.choice(["good", "bad"]),
            label=chance.choice(["B 100%", "a_1", "C", "\u05e9\u05dc\u05d5\u05dd", ""]),
            line=chance.choice([None, 1, 2, 3]),
            barcode=f"39{number:03}",
        )
        for number in range(40)
    ]
    attempt = world.ledger.begin(RUN, WEST)
    world.ledger.replace(RUN, Results({"good": 1, "bad": 1}, records=made), attempt)
    return made


def asked(link):
    """The query string of a link, as a page gets it."""
    return dict(parse_qsl(link.removeprefix("?")))


def walk(world, listing, first="?", step="next"):
    """All pages from the first on, or from this one back."""
    link, pages = first, []
    with world.ledger.reading() as connection:
        while link is not None:
            page = listing.page(connection, asked(link))
            pages.append(page)
            link = getattr(page, step)
            assert len(pages) < 100
    return pages


def numbers(pages):
    return [row.ord for page in pages for row in page.rows]


@pytest.mark.parametrize("sort", ["ord", "-ord", "label", "-label", "line", "-line"])
def test_each_row_is_on_one_page_forwards_and_backwards(world, records, sort):
    forwards = walk(world, RECORDS, f"?sort={sort}")
    seen = numbers(forwards)
    assert sorted(seen) == list(range(1, 41))
    assert [len(page.rows) for page in forwards] == [7] * 5 + [5]
    assert [bool(page.previous) for page in forwards] == [False] + [True] * 5
    assert {(page.total, page.more) for page in forwards} == {(40, False)}
    backwards = walk(world, RECORDS, forwards[-1].previous, "previous")
    assert numbers(backwards[::-1]) == seen[: -len(forwards[-1].rows)]
    assert backwards[-1].previous is None
    with world.ledger.reading() as connection:
        everything = [row.ord for row in RECORDS.every_row(connection, {"sort": sort})]
    assert everything == seen
    values = [row._mapping["line"] or 0 for page in forwards for row in page.rows]
    if sort.endswith("line"):
        assert values == sorted(values, reverse=sort.startswith("-"))


def test_filters_narrow_and_stay_when_the_page_is_turned(world, records):
    pages = walk(world, RECORDS, "?outcome=good&sort=-label")
    good = [number for number, record in enumerate(records, 1) if record.outcome == "good"]
    assert sorted(numbers(pages)) == good
    assert pages[0].total == len(good)
    assert pages[0].filtered
    assert all("outcome=good" in page.all for page in pages)
    with world.ledger.reading() as connection:
        found = RECORDS.page(connection, {"search": "00%"})
        assert {row.label for row in found.rows} == {"B 100%"}, "a % is a %"
        assert RECORDS.page(connection, {"search": "A_1"}).total == sum(
            each.label == "a_1" for each in records
        )
        assert RECORDS.page(connection, {"search": "  39007 "}).total == 1
        assert not RECORDS.page(connection, {"outcome": "no such"}).filtered


@pytest.mark.parametrize(
    "query",
    [
        {"sort": "message"},
        {"sort": "--ord"},
        {"after": "x" * 10_000},
        {"after": "W10"},  # []
        {"after": "WyJ4Il0"},  # ["x"], for a number
        {"after": "W3RydWVd"},  # [true]
        {"after": "WzEwMDAwMDAwMDAwMDAwMDAwMDAwMDAwXQ"},
        {"before": "bm8"},
        {"sort": "label", "after": "WyJcdTAwMDAiLDFd"},  # ["\\u0000", 1]
        {"sort": "label", "after": "WyJcdWQ4MDAiLDFd"},  # half of a surrogate pair
        {"search": "\0"},
        {"search": " "},
    ],
)
def test_what_does_not_fit_is_as_if_it_were_not_said(world, records, query):
    with world.ledger.reading() as connection:
        page = RECORDS.page(connection, query)
    assert len(page.rows) == 7
    assert page.previous is None


def test_both_ends_at_once_and_an_end_that_is_gone(world, records):
    first, second, *_ = walk(world, RECORDS)
    with world.ledger.reading() as connection:
        both = RECORDS.page(connection, asked(first.next) | asked(second.previous))
        assert [row.ord for row in both.rows] == [row.ord for row in first.rows]
        beyond = RECORDS.page(
            connection, asked(RECORDS.page(connection, {"sort": "-ord"}).next) | {"sort": "ord"}
        )
    assert [row.ord for row in beyond.rows] == list(range(35, 41)), "after row 34, in the other order"


def test_more_rows_than_are_counted_are_said_to_be_more(world, records, monkeypatch):
    monkeypatch.setattr(listings, "COUNTED_TO", 39)
    with world.ledger.reading() as connection:
        page = RECORDS.page(connection, {})
    assert (page.total, page.more) == (39, True)


def test_times_are_places_as_well(world):
    for number in range(20):
        world.done(RunKey("west_holdings", f"r{number:02}"), about=replace(WEST, subject=f"set {number}"))
        if number % 3:
            world.clock.pass_time(microseconds=1)
    listing = replace(runs_of("west_holdings"), size=6)
    pages = walk(world, listing)
    assert [row.run_id for page in pages for row in page.rows] == [
        f"r{number:02}" for number in reversed(range(20))
    ]
    assert [row.run_id for page in walk(world, listing, pages[2].previous, "previous") for row in page.rows]
    (time,) = (each for each in listing.columns if each.name == "started_at")
    assert time.text(pages[0].rows[0]).startswith("2026-03-02T08:15:00+00:00")


def test_every_column_of_our_tables_that_can_be_sorted_by_can(world, records):
    run = world.ledger.run(RUN)
    for listing in (records_of(run), runs_of(RUN.dag_id)):
        for column in listing.columns:
            if column.by is not None:
                small = replace(listing, size=3)
                assert len(walk(world, small, f"?sort=-{column.name}")) >= 1, column
    assert run_table.c.started_at is runs_of("x").columns[0].by
