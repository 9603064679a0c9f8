"""Step 3: each holding once, its failure its own, and going on after an interruption."""

import logging

import pytest

from alma_etl.alma.errors import AlmaDailyThreshold
from alma_etl.alma.holdings import HoldingSummary
from alma_etl.remote.errors import RemoteServerError, RemoteStop
from alma_etl.west.fetching import RESULT, fetch_holdings, fetched_holdings
from alma_etl.west.listing import list_holdings
from alma_etl.west.run import RunFolder
from tests.unit.west.builders import hol, holding, mms, plan
from tests.unit.west.fake_alma import FakeAlma

pytestmark = pytest.mark.heavy

BROKEN = RemoteServerError("GET /bibs/1/holdings/2", 500, "", "broken", "E01-7")


def begin(folder: RunFolder, alma: FakeAlma, titles: int, **settings) -> None:
    """Titles with one holding each, listed."""
    for number in range(titles):
        if mms(number) not in alma.held:
            alma.add(number, [holding(number, number)])
    folder.write_plan(plan(titles, **settings))
    folder.write_mms_ids(1, [mms(number) for number in range(titles)])
    list_holdings(alma, folder, 1)
    alma.asked = []


def rows(folder: RunFolder) -> list[dict]:
    return list(fetched_holdings(folder, 1).values())


def fetched(alma: FakeAlma) -> list[tuple[str, str]]:
    return [what for kind, what in alma.asked if kind == "read"]


@pytest.mark.quick
def test_each_holding_is_fetched_once_in_the_order_of_the_list(folder, alma):
    alma.add(1, [holding(12, 1), holding(11, 1)])
    alma.add(2, [])
    begin(folder, alma, 4)
    assert fetch_holdings(alma, folder, 1) == {"holdings": 4, "not_found": 0, "failed": 0}
    assert [(row["mms_id"], row["holding_id"]) for row in rows(folder)] == [
        (mms(0), hol(0)),
        (mms(1), hol(12)),
        (mms(1), hol(11)),
        (mms(3), hol(3)),
    ]
    assert sorted(fetched(alma)) == sorted((row["mms_id"], row["holding_id"]) for row in rows(folder))
    assert rows(folder)[0]["record"].startswith("<record><leader>")


def test_any_script_survives_the_way_through_the_bucket(folder, alma):
    alma.add(0, [holding(0, 0, record="<record><leader>日本 e\u0301 𝕬\u2028</leader></record>".encode())])
    begin(folder, alma, 1)
    fetch_holdings(alma, folder, 1)
    assert rows(folder)[0]["record"] == "<record><leader>日本 e\u0301 𝕬\u2028</leader></record>"


@pytest.mark.parametrize(("own", "calculated"), [(True, False), (False, True), (True, True), (False, False)])
def test_either_flag_says_suppressed(folder, alma, own, calculated):
    alma.add(0, [holding(0, 0, suppressed=own, calculated=calculated)])
    begin(folder, alma, 1)
    fetch_holdings(alma, folder, 1)
    assert rows(folder)[0]["suppressed"] is (own or calculated)


@pytest.mark.parametrize(
    ("wanted", "requests"), [(False, [(mms(0), hol(0))]), (True, [(mms(0), hol(0)), (mms(1), hol(1))])]
)
def test_what_the_list_says_is_suppressed_is_fetched_only_when_it_is_wanted(folder, alma, wanted, requests):
    alma.add(1, [holding(1, 1)])
    alma.summaries[mms(1)] = [HoldingSummary(hol(1), "MAIN", "stacks", "", True)]
    begin(folder, alma, 2, list_mode="exact", include_suppressed=wanted)
    fetch_holdings(alma, folder, 1)
    assert sorted(fetched(alma)) == requests


def test_a_holding_that_alma_does_not_know_and_one_that_cannot_be_read(folder, alma):
    begin(folder, alma, 3)
    alma.held[mms(0)] = []
    alma.trouble["read", hol(1)] = BROKEN
    assert fetch_holdings(alma, folder, 1) == {"holdings": 3, "not_found": 1, "failed": 1}
    assert [row["status"] for row in rows(folder)] == ["not_found", "failed", "fetched"]
    assert "402208" in rows(folder)[0]["reason"]
    assert "E01-7" in rows(folder)[1]["reason"]


def test_an_answer_without_record_is_kept_as_such(folder, alma):
    alma.add(0, [holding(0, 0, record=None)])
    begin(folder, alma, 1)
    fetch_holdings(alma, folder, 1)
    assert (rows(folder)[0]["status"], rows(folder)[0]["record"]) == ("fetched", None)


def reference(folder: RunFolder, titles: int) -> list[dict]:
    """What an undisturbed run of the same chunk gives."""
    other, alma = RunFolder(folder.bucket, "reference"), FakeAlma()
    begin(other, alma, titles)
    fetch_holdings(alma, other, 1)
    return rows(other)


@pytest.mark.parametrize("stop_after", [0, 1, 5, 19])
def test_an_interrupted_step_asks_only_for_what_is_missing(folder, alma, stop_after):
    begin(folder, alma, 20)
    alma.answers_left = stop_after
    with pytest.raises(RemoteStop):
        fetch_holdings(alma, folder, 1)
    done = set(fetched(alma))
    assert len(done) == stop_after
    alma.answers_left, alma.asked = None, []
    fetch_holdings(alma, folder, 1)
    assert done & set(fetched(alma)) == set()
    assert len(fetched(alma)) == 20 - stop_after
    assert rows(folder) == reference(folder, 20)


class Killed(BaseException):
    """What no code of ours may catch: the process is gone."""


def test_a_kill_costs_no_more_than_the_last_few(folder, alma, monkeypatch):
    begin(folder, alma, 24)
    monkeypatch.setattr("alma_etl.jobs.checkpoint.Checkpoint.__exit__", lambda *_: None)  # nobody tidies up
    monkeypatch.setattr(alma, "in_parallel", lambda function, items: _dying(function, items, 13))
    with pytest.raises(Killed):
        fetch_holdings(alma, folder, 1)
    monkeypatch.undo()
    alma.asked = []
    fetch_holdings(alma, folder, 1)
    assert 24 - 13 < len(fetched(alma)) <= 24 - 13 + 4  # in parts of five, three of thirteen were not saved
    assert rows(folder) == reference(folder, 24)


def _dying(function, items, after):
    for number, item in enumerate(items):
        if number == after:
            raise Killed
        yield item, function(item)


def test_a_second_interruption_loses_nothing_of_the_first(folder, alma):
    begin(folder, alma, 30)
    done: set[tuple[str, str]] = set()
    for _ in range(3):
        alma.answers_left, alma.asked = 7, []
        with pytest.raises(RemoteStop):
            fetch_holdings(alma, folder, 1)
        assert done & set(fetched(alma)) == set()
        done |= set(fetched(alma))
    alma.answers_left, alma.asked = None, []
    fetch_holdings(alma, folder, 1)
    assert len(fetched(alma)) == 30 - 21
    assert rows(folder) == reference(folder, 30)


@pytest.mark.quick
def test_what_failed_is_asked_again_and_nothing_else(folder, alma):
    begin(folder, alma, 20)
    alma.held[mms(3)] = []
    alma.trouble["read", hol(7)] = BROKEN
    assert fetch_holdings(alma, folder, 1) == {"holdings": 20, "not_found": 1, "failed": 1}
    alma.trouble, alma.asked = {}, []
    assert fetch_holdings(alma, folder, 1) == {"holdings": 20, "not_found": 1, "failed": 0}
    assert fetched(alma) == [(mms(7), hol(7))]


def test_a_complete_step_asks_nothing_and_stays_the_same(folder, alma):
    begin(folder, alma, 12)
    fetch_holdings(alma, folder, 1)
    before, alma.asked = rows(folder), []
    fetch_holdings(alma, folder, 1)
    assert alma.asked == []
    assert rows(folder) == before
    assert len(list(folder.bucket.list(folder.chunk_key(1, RESULT)))) == 1


def test_a_chunk_without_holdings(folder, alma):
    alma.add(0, [])
    begin(folder, alma, 1)
    assert fetch_holdings(alma, folder, 1) == {"holdings": 0, "not_found": 0, "failed": 0}
    assert rows(folder) == []


def test_why_a_step_ended_is_kept_for_the_report(folder, alma):
    begin(folder, alma, 3)
    alma.answers_left = 1
    with pytest.raises(AlmaDailyThreshold):
        fetch_holdings(alma, folder, 1)
    assert "no calls are left for today" in (folder.problem(1) or "")


def test_progress_is_told_every_250_holdings_and_at_the_end(folder, alma, caplog):
    alma.add(0, [holding(number, 0) for number in range(260)])
    begin(folder, alma, 1)
    caplog.set_level(logging.INFO)
    fetch_holdings(alma, folder, 1)
    told = [each.message for each in caplog.records if "holdings fetched" in each.message]
    assert told == [
        "Chunk 0001: 250 of 260 holdings fetched, 0 failed",
        "Chunk 0001: 260 of 260 holdings fetched, 0 failed",
    ]
