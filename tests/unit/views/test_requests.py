"""The board of patron requests and the story of one, on both databases."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from alma_etl.dcb.decisions import acknowledge, nudge, relink
from alma_etl.dcb.machine.vocabulary import Role, Status
from alma_etl.dcb.store import Alert, DcbStore, LegRecord
from alma_etl.jobs.ledger_reading import LedgerReader
from alma_etl.store.upgrade import upgrade
from alma_etl.views.request_story import RequestStory, request_story
from alma_etl.views.requests import board, requests
from tests.stores import sqlite_store
from tests.unit.dcb.records import HOUR, SETTINGS, START, new_request, play, reports_of

BOTH = ["sqlite", pytest.param("postgresql", marks=pytest.mark.heavy)]


class Boards:
    """A store and what the board reads of it."""

    def __init__(self, url: str) -> None:
        self.store, self.reader = DcbStore(url), LedgerReader(url)

    def add(self, pr_id: str, title: str = "", **more: Any) -> None:
        new = new_request(pr_id)
        legs = (replace(new.legs[0], barcode=f"31-{pr_id}", mms_id=f"99{pr_id}"), *new.legs[1:])
        self.store.add(replace(new, legs=legs, conf={"title": title, "user_id": "patron-1"}, **more), START)

    def page(self, **asked: str) -> list[str]:
        with self.reader.reading() as connection:
            return [row.pr_id for row in requests().page(connection, asked).rows]

    def story(self, pr_id: str) -> RequestStory:
        tracked = self.store.get(pr_id)
        assert tracked is not None
        return request_story(tracked, self.store.history(pr_id), self.store.open_alerts(pr_id=pr_id))


@pytest.fixture(params=BOTH)
def boards(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Boards]:
    if request.param == "sqlite":
        url = sqlite_store(tmp_path / "store.db")
    else:
        url = request.getfixturevalue("postgres")()
        upgrade(url)
    made = Boards(url)
    yield made
    made.store.close()
    made.reader.close()


def alert(code: str, pr_id: str | None, severity: str = "warning", **detail: str) -> Alert:
    return Alert(f"{code}:{pr_id}", code, severity, pr_id, detail)  # type: ignore[arg-type]


def test_what_is_urgent_comes_first_then_what_is_stuck_and_last_what_somebody_is_at(boards: Boards) -> None:
    for name in ("PR-a", "PR-b", "PR-c", "PR-d", "PR-e"):
        boards.add(name)
    store = boards.store
    store.open_alert(alert("STEP_FAILED", "PR-a", "urgent"), START)
    store.open_alert(alert("STUCK_LOANED", "PR-c"), START)
    store.open_alert(alert("SIDE_UNREADABLE", "PR-b", error="no answer"), START)
    store.open_alert(alert("TXN_ERROR", "PR-d", "urgent"), START)
    store.open_alert(alert("VOLUME_ANOMALY", None), START + HOUR)
    assert acknowledge(store, SETTINGS, "TXN_ERROR:PR-d", by="anna", now=START, reason="called them")
    assert boards.page() == ["PR-a", "PR-c", "PR-b", "PR-d", "PR-e"]
    assert boards.page(needs="alerts") == ["PR-a", "PR-c", "PR-b", "PR-d"]
    assert boards.page(needs="stuck") == ["PR-c"]
    with boards.reader.reading() as connection:
        view = board(connection)
    assert [each.code for each in view.first] == [
        "STEP_FAILED",
        "STUCK_LOANED",
        "SIDE_UNREADABLE",
        "VOLUME_ANOMALY",
        "TXN_ERROR",
    ]
    assert view.alerts == 5
    assert [(each.tone, each.acked_by) for each in view.first[-2:]] == [
        ("wait", ""),
        ("plain", "anna: called them"),
    ]
    assert view.first[1].what_to_do.startswith("Remind the patron")
    assert view.first[2].detail == "error: no answer"
    store.close_alert("STEP_FAILED:PR-a", START + HOUR)
    assert boards.page()[:1] == ["PR-c"]


def test_requests_are_counted_by_status_in_the_order_of_their_way(boards: Boards) -> None:
    play(boards.store, "V01", "PR-1")
    boards.add("PR-2")
    boards.add("PR-3")
    with boards.reader.reading() as connection:
        counts = board(connection).counts
    assert [(each.status, each.requests) for each in counts] == [(Status.RPSA, 2), (Status.FINALISED, 1)]
    assert boards.page(status="FINALISED") == ["PR-1"]
    assert sorted(boards.page(needs="running")) == ["PR-2", "PR-3"]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("31-PR-2", ["PR-2"]),
        ("99PR-1", ["PR-1"]),
        ("annals", ["PR-2", "PR-1"]),
        ("PR-2-S", ["PR-2"]),
        ("patron-1", []),
        ("100%", []),
    ],
)
def test_a_request_is_found_by_barcode_title_and_id(boards: Boards, words: str, found: list[str]) -> None:
    boards.add("PR-1", "The Annals")
    boards.add("PR-2", "Annals of 100 libraries")
    assert boards.page(search=words) == found


def test_a_request_of_before_has_its_title_too(boards: Boards) -> None:
    new = replace(new_request("PR-1"), conf={"bib": {"title": "Of old"}, "borrower": {"user_id": "patron-1"}})
    boards.store.add(new, START)
    assert boards.page(search="of old") == ["PR-1"]
    assert boards.story("PR-1").title == "Of old"


def test_every_column_sorts_and_pages_meet(boards: Boards) -> None:
    for number in range(9):
        boards.add(f"PR-{number}", f"Title {number % 3}")
        if number % 2:
            boards.store.open_alert(alert("STUCK_LOANED", f"PR-{number}"), START)
    for column in requests().columns:
        if column.by is None:
            continue
        for sort in (column.name, f"-{column.name}"):
            listing, asked, seen = replace(requests(), size=2), {"sort": sort}, []
            while True:
                with boards.reader.reading() as connection:
                    page = listing.page(connection, asked)
                seen += [row.pr_id for row in page.rows]
                if page.next is None:
                    break
                asked = dict(parse_qsl(page.next.removeprefix("?")))
            assert sorted(seen) == [f"PR-{number}" for number in range(9)], sort


def test_the_present_lender_is_shown(boards: Boards) -> None:
    boards.add("PR-1")
    second = LegRecord(Role.SUPPLIER, "THIRD", generation=2, request_id="r-2", barcode="31-second")
    boards.store.apply("PR-1", [], settings=SETTINGS, now=START, legs=[second])
    with boards.reader.reading() as connection:
        (row,) = requests().page(connection, {}).rows
    assert (row.lender, row.barcode, row.borrower) == ("THIRD", "31-second", "BORROWER")
    assert boards.page(search="31-PR-1") == ["PR-1"], "the copy before is found as well"


# --- one request


def test_the_timeline_says_what_was_seen_concluded_done_and_reported(boards: Boards) -> None:
    play(boards.store, "V01", "PR-1")
    timeline = boards.story("PR-1").timeline
    concluded = [each for each in timeline if each.kind == "concluded"]
    history = boards.store.history("PR-1")
    assert [each.what for each in concluded] == [f"{each.frm} → {each.to}" for each in history.transitions]
    assert [each.inferred for each in concluded] == [each.inferred for each in history.transitions]
    assert concluded[0].detail.startswith("confirmed by the lender (")
    assert {each.kind for each in timeline} == {"seen", "concluded", "done", "reported"}
    reported = [each for each in timeline if each.what == "dcb.status.changed LOANED"]
    assert [each.detail for each in reported] == ["log waits"]
    first = next(each for each in timeline if each.kind == "seen")
    assert timeline.index(first) < timeline.index(concluded[0])


def test_what_nobody_saw_is_marked(boards: Boards) -> None:
    play(boards.store, "V06", "PR-1")
    concluded = [each for each in boards.story("PR-1").timeline if each.kind == "concluded"]
    assert {each.inferred for each in concluded} == {True, False}


def test_looks_that_showed_nothing_new_are_one_entry(boards: Boards) -> None:
    boards.add("PR-1")
    at, report = reports_of("V01")[0]
    for number in range(4):
        later = replace(report.seen.at, time=at + number * HOUR, text=(at + number * HOUR).isoformat())
        seen = replace(report, seen=replace(report.seen, at=later))
        boards.store.apply("PR-1", [seen], settings=SETTINGS, now=at + number * HOUR)
    looks = [each.what for each in boards.story("PR-1").timeline if each.kind == "seen"]
    assert looks[-1] == "3 looks that showed nothing new"


def test_people_stand_in_the_timeline_with_their_reasons(boards: Boards) -> None:
    boards.add("PR-1")
    assert nudge(boards.store, SETTINGS, ["PR-1"], now=START, by="anna", reason="the patron asks")
    (seen,) = (each for each in boards.story("PR-1").timeline if each.kind == "seen")
    assert (seen.by, "the patron asks" in seen.detail) == ("by a person", True)


def test_no_id_of_a_user_is_shown(boards: Boards) -> None:
    boards.add("PR-1")
    store = boards.store
    relink(store, SETTINGS, "PR-1", Role.SUPPLIER, {"user_id": "vp-2"}, by="anna", now=START, reason="merged")
    detail = {"error": "The user patron-1 is not known", "left": "hold of vp-2"}
    store.open_alert(alert("SIDE_UNREADABLE", "PR-1", **detail), START)
    story = boards.story("PR-1")
    assert story.alerts[0].detail == "error: The user (user) is not known"
    assert story.alerts[0].what_to_do.endswith("Left: hold of (user).")
    (earlier,) = story.sides[0].earlier
    assert earlier == "user_id (2026-03-02, by anna: merged)"
    shown = [*story.alerts, *story.timeline, *(each.earlier for each in story.sides)]
    assert not any(word in str(shown) for word in ("patron-1", "vp-1", "vp-2"))


def test_of_a_request_of_others_is_said_who_runs_it(boards: Boards) -> None:
    boards.add("PR-1", owner="dcb_service")
    assert boards.story("PR-1").owner == "dcb-service"
    assert boards.page(needs="watched") == ["PR-1"]
    boards.add("PR-2")
    assert boards.story("PR-2").owner == ""


def test_requests_as_csv_have_what_they_need(boards: Boards) -> None:
    boards.add("PR-1", "Annals")
    listing = requests()
    with boards.reader.reading() as connection:
        (row,) = listing.every_row(connection, {})
    cells = {each.name: each.text(row) for each in listing.columns}
    assert (cells["pr_id"], cells["title"], cells["meaning"]) == ("PR-1", "Annals", "asked for at the lender")
