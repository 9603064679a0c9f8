"""Step 2: which holdings a title has; batches, fall-backs, halving, and going on after an interruption."""

import dataclasses

import pytest

from alma_etl.alma.errors import AlmaDailyThreshold
from alma_etl.alma.holdings import HoldingSummary
from alma_etl.remote.errors import (
    RemoteConnectionError,
    RemoteMalformed,
    RemoteServerError,
    RemoteShortList,
    RemoteStop,
    RemoteTimeout,
)
from alma_etl.west.listing import RESULT, list_holdings, listed_titles, unpacked
from alma_etl.west.run import RunFolder
from tests.unit.west.builders import available, bib, field, hol, holding, mms, plan
from tests.unit.west.fake_alma import FakeAlma, refused

pytestmark = pytest.mark.heavy

TIMEOUT = RemoteTimeout("GET /bibs", None, "", "no answer in time")
MALFORMED = RemoteMalformed("GET /bibs", 200, "", "HTML")
BROKEN = RemoteServerError("GET /bibs", 500, "", "broken", "E01-7")


def begin(folder: RunFolder, titles: int, **settings) -> list[str]:
    ids = [mms(number) for number in range(titles)]
    folder.write_plan(plan(titles, **settings))
    folder.write_mms_ids(1, ids)
    return ids


def rows(folder: RunFolder) -> dict[str, dict]:
    return {row["mms_id"]: row for row in listed_titles(folder, 1)}


def holding_ids(row: dict) -> list[str]:
    return [each["holding_id"] for each in row["holdings"]]


def fill(alma: FakeAlma, titles: int) -> None:
    for number in range(titles):
        alma.add(number, [holding(number, number)])


def test_batch_mode_asks_once_for_a_hundred_titles(folder, alma):
    ids = begin(folder, 250)
    fill(alma, 250)
    counts = list_holdings(alma, folder, 1)
    assert counts == {"titles": 250, "holdings": 250, "fell_back": 0, "not_found": 0, "failed": 0}
    assert (alma.count("bibs"), alma.count("list")) == (3, 0)
    assert list(rows(folder)) == ids  # in the order of the chunk, whatever order the answers came in
    assert rows(folder)[mms(7)] == {
        "mms_id": mms(7),
        "status": "listed",
        "reason": "",
        "title": "Annals 7",
        "has_record": True,
        "numbers": [
            ["022", " ", " ", [["a", "0317-8471"]]],
            ["035", " ", " ", [["a", "(OCoLC)1007"]]],
        ],
        "holdings": [
            {"holding_id": hol(7), "library": "MAIN", "location": "stacks", "suppressed": None},
        ],
        "fell_back": False,
        "missing": "",
        "warnings": [],
    }


@pytest.mark.quick
def test_only_titles_that_availability_does_not_answer_for_fall_back(folder, alma):
    begin(folder, 5)
    fill(alma, 1)  # named
    alma.add(1, [holding(1, 1)], listed=False)  # no row at all
    alma.add(2, [])  # no holding at all
    alma.add(3, [holding(3, 3), holding(33, 3)])
    alma.bibs_known[mms(3)] = bib(3, [available(3, hol(3)), available(3, None)])  # one row names no holding
    alma.add(4, [holding(4, 4), holding(44, 4)])
    counts = list_holdings(alma, folder, 1)
    assert counts == {"titles": 5, "holdings": 6, "fell_back": 3, "not_found": 0, "failed": 0}
    assert sorted(what for kind, what in alma.asked if kind == "list") == [mms(1), mms(2), mms(3)]
    found = rows(folder)
    assert holding_ids(found[mms(3)]) == [hol(3), hol(33)]
    assert [found[mms(number)]["fell_back"] for number in range(5)] == [False, True, True, True, False]


def test_a_holding_with_several_availability_rows_is_listed_once(folder, alma):
    begin(folder, 1)
    alma.bibs_known[mms(0)] = bib(
        0, [available(0, hol(1)), available(0, hol(2), "LAW"), available(0, hol(1), "LAW")]
    )
    list_holdings(alma, folder, 1)
    assert [(each["holding_id"], each["library"]) for each in rows(folder)[mms(0)]["holdings"]] == [
        (hol(1), "MAIN"),
        (hol(2), "LAW"),
    ]


@pytest.mark.parametrize(("mode", "seen"), [("batch", [hol(1)]), ("exact", [hol(1), hol(2)])])
def test_a_holding_that_availability_hides_is_seen_in_the_exact_mode_only(folder, alma, mode, seen):
    begin(folder, 1, list_mode=mode)
    alma.add(0, [holding(1, 0), holding(2, 0, suppressed=True)])
    alma.bibs_known[mms(0)] = bib(0, [available(0, hol(1))])
    list_holdings(alma, folder, 1)
    assert holding_ids(rows(folder)[mms(0)]) == seen


@pytest.mark.parametrize("how", [{"list_mode": "exact"}, {"include_suppressed": True}])
def test_exact_mode_asks_every_title_for_its_list(folder, alma, how):
    begin(folder, 120, **how)
    fill(alma, 119)
    alma.summaries[mms(5)] = [HoldingSummary(hol(5), "LAW", "res", "K1", True)]
    counts = list_holdings(alma, folder, 1)
    assert counts == {"titles": 120, "holdings": 119, "fell_back": 0, "not_found": 1, "failed": 0}
    assert (alma.count("bibs"), alma.count("list")) == (2, 119)
    assert rows(folder)[mms(5)]["holdings"] == [
        {"holding_id": hol(5), "library": "LAW", "location": "res", "suppressed": True}
    ]
    assert rows(folder)[mms(5)]["numbers"]


def test_titles_that_alma_leaves_out_are_not_found(folder, alma):
    begin(folder, 3)
    fill(alma, 2)
    counts = list_holdings(alma, folder, 1)
    assert counts["not_found"] == 1
    assert rows(folder)[mms(2)]["status"] == "not_found"


def test_a_title_that_goes_between_batch_and_list_is_not_found(folder, alma):
    begin(folder, 1)
    fill(alma, 1)
    alma.bibs_known[mms(0)] = bib(0)
    del alma.held[mms(0)]
    list_holdings(alma, folder, 1)
    assert rows(folder)[mms(0)]["status"] == "not_found"
    assert "402203" in rows(folder)[mms(0)]["reason"]


@pytest.mark.parametrize("trouble", [TIMEOUT, MALFORMED])
def test_a_batch_that_is_too_much_is_halved_down_to_the_title_at_fault(folder, alma, trouble):
    begin(folder, 100)
    fill(alma, 100)
    alma.trouble["bibs", mms(37)] = trouble
    counts = list_holdings(alma, folder, 1)
    assert counts == {"titles": 100, "holdings": 99, "fell_back": 0, "not_found": 0, "failed": 1}
    assert rows(folder)[mms(37)]["reason"] == str(trouble)
    sizes = [len(what) for kind, what in alma.asked if kind == "bibs"]
    assert sizes.count(100) == 1  # not asked again at the size that was too much
    assert len(sizes) <= 2 * 7 + 1


def test_halving_stops_where_the_batch_is_small_enough(folder, alma):
    begin(folder, 100)
    fill(alma, 100)
    alma.trouble["bibs", mms(0)] = [TIMEOUT, TIMEOUT]
    assert list_holdings(alma, folder, 1)["failed"] == 0
    assert [len(what) for _, what in alma.asked] == [100, 50, 25, 25, 50]


def test_a_broken_answer_that_has_nothing_to_do_with_size_is_tried_again_at_that_size(folder, alma):
    begin(folder, 100)
    fill(alma, 100)
    alma.trouble["bibs", mms(0)] = [BROKEN]
    assert list_holdings(alma, folder, 1)["failed"] == 0
    assert [len(what) for _, what in alma.asked] == [100, 100]


def test_one_title_that_breaks_its_batch_does_not_take_the_others_with_it(folder, alma):
    begin(folder, 100)
    fill(alma, 100)
    alma.trouble["bibs", mms(99)] = BROKEN
    counts = list_holdings(alma, folder, 1)
    assert (counts["failed"], counts["holdings"]) == (1, 99)
    assert "E01-7" in rows(folder)[mms(99)]["reason"]


@pytest.mark.parametrize(
    ("code", "status"), [("402203", "not_found"), ("402204", "not_found"), ("401652", "failed")]
)
def test_a_batch_refused_for_one_id_is_halved_down_to_it(folder, alma, code, status):
    begin(folder, 10)
    fill(alma, 10)
    alma.trouble["bibs", mms(4)] = refused(code)
    list_holdings(alma, folder, 1)
    found = rows(folder)
    assert [number for number in range(10) if found[mms(number)]["status"] != "listed"] == [4]
    assert found[mms(4)]["status"] == status
    assert code in found[mms(4)]["reason"]


def test_a_list_that_cannot_be_read_is_that_titles_failure(folder, alma):
    begin(folder, 3, list_mode="exact")
    fill(alma, 3)
    alma.trouble["list", mms(1)] = BROKEN
    counts = list_holdings(alma, folder, 1)
    assert (counts["failed"], counts["holdings"]) == (1, 2)


def test_a_bib_whose_record_is_none_is_a_failure_and_one_without_record_is_not(folder, alma):
    begin(folder, 2)
    fill(alma, 2)
    one, two = alma.bibs_known[mms(0)], alma.bibs_known[mms(1)]
    alma.bibs_known[mms(0)] = type(one)(
        one.mms_id, one.title, False, b"<html><datafield/></html>", one.availability
    )
    alma.bibs_known[mms(1)] = type(two)(two.mms_id, two.title, False, None, two.availability)
    list_holdings(alma, folder, 1)
    found = rows(folder)
    assert found[mms(0)]["status"] == "failed"
    assert "html" in found[mms(0)]["reason"]
    assert (found[mms(1)]["status"], found[mms(1)]["has_record"], found[mms(1)]["numbers"]) == (
        "listed",
        False,
        [],
    )
    assert holding_ids(found[mms(1)]) == [hol(1)]


@pytest.mark.quick
def test_numbers_are_packed_and_unpacked_as_they_were():
    fields = [
        field("022", ("a", "0317-8471"), ("y", "x"), indicators="0 "),
        field("035", ("a", "(OCoLC)1"), ("a", "日")),
    ]
    packed = [[each.tag, *each.indicators, [list(pair) for pair in each.subfields]] for each in fields]
    assert [str(each) for each in unpacked(packed)] == [str(each) for each in fields]


def exact_reference(folder: RunFolder, titles: int, **settings) -> list[dict]:
    """What an undisturbed run of the same chunk gives."""
    other = RunFolder(folder.bucket, "reference")
    alma = FakeAlma()
    fill(alma, titles)
    begin(other, titles, **settings)
    list_holdings(alma, other, 1)
    return listed_titles(other, 1)


@pytest.mark.parametrize("stop_after", [1, 4, 20])
def test_an_interrupted_step_asks_only_for_what_is_missing(folder, alma, stop_after):
    begin(folder, 21, list_mode="exact")
    fill(alma, 21)
    alma.answers_left = stop_after
    with pytest.raises(RemoteStop):
        list_holdings(alma, folder, 1)
    done = {what for kind, what in alma.asked if kind == "list"}
    alma.answers_left, alma.asked = None, []
    list_holdings(alma, folder, 1)
    again = {what for kind, what in alma.asked if kind == "list"}
    assert done & again == set()
    assert len(done | again) == 21
    assert listed_titles(folder, 1) == exact_reference(folder, 21, list_mode="exact")


def test_a_complete_step_asks_nothing(folder, alma):
    begin(folder, 30)
    fill(alma, 30)
    list_holdings(alma, folder, 1)
    before = listed_titles(folder, 1)
    alma.asked = []
    list_holdings(alma, folder, 1)
    assert alma.asked == []
    assert listed_titles(folder, 1) == before


@pytest.mark.quick
def test_what_failed_is_asked_again_and_what_alma_does_not_know_is_not(folder, alma):
    begin(folder, 4)
    fill(alma, 3)
    alma.trouble["bibs", mms(1)] = TIMEOUT
    assert list_holdings(alma, folder, 1)["failed"] == 1
    alma.trouble, alma.asked = {}, []
    assert list_holdings(alma, folder, 1) == {
        "titles": 4,
        "holdings": 3,
        "fell_back": 0,
        "not_found": 1,
        "failed": 0,
    }
    assert alma.asked == [("bibs", (mms(1),))]


def test_no_parts_are_left_behind(folder, alma):
    begin(folder, 30)
    fill(alma, 30)
    list_holdings(alma, folder, 1)
    assert len(list(folder.bucket.list(folder.chunk_key(1, RESULT)))) == 1


def test_why_a_step_ended_is_kept_for_the_report_until_it_goes_on(folder, alma):
    begin(folder, 3)
    fill(alma, 3)
    alma.answers_left = 0
    with pytest.raises(AlmaDailyThreshold):
        list_holdings(alma, folder, 1)
    assert "no calls are left for today" in (folder.problem(1) or "")
    assert folder.problem() is None
    alma.answers_left = None
    list_holdings(alma, folder, 1)
    assert folder.problem(1) is None


def test_a_connection_lost_for_good_fails_each_title_and_not_the_step(folder, alma):
    begin(folder, 2)
    fill(alma, 2)
    for number in range(2):
        alma.trouble["bibs", mms(number)] = RemoteConnectionError("GET /bibs", None, "", "refused")
    assert list_holdings(alma, folder, 1)["failed"] == 2


ODD_BIB = (
    b"<record><datafield tag='24'><subfield>x</subfield></datafield>"
    b"<datafield tag='022'><subfield>y</subfield></datafield>"
    b"<datafield tag='035'><subfield code='a'>(OCoLC)7</subfield></datafield></record>"
)


def test_an_odd_field_of_a_bib_does_not_fail_its_title(folder, alma):
    begin(folder, 1)
    fill(alma, 1)
    alma.bibs_known[mms(0)] = dataclasses.replace(alma.bibs_known[mms(0)], record=ODD_BIB)
    assert list_holdings(alma, folder, 1)["failed"] == 0
    row = rows(folder)[mms(0)]
    assert (row["numbers"], row["warnings"]) == ([["035", " ", " ", [["a", "(OCoLC)7"]]]], ["BIBFIELD"])


# lists that name fewer holdings than they count


def short_list(alma, number, named, counted):
    """The title's list counts more than it names."""
    held = alma.held[mms(number)]
    alma.trouble["list", mms(number)] = RemoteShortList(
        "GET /holdings",
        None,
        "",
        f"the list counts {counted} rows",
        named=[
            HoldingSummary(each.holding_id, "MAIN", "stacks", "", False)
            for each in held
            if each.holding_id in named
        ],
        counted=counted,
    )


@pytest.mark.parametrize(
    ("mode", "available_", "named", "counted", "expected", "missing"),
    [
        ("exact", [], [1], 2, [1], True),
        ("exact", [], [], 2, [], True),
        ("exact", [], [2], 2, [2], True),
        ("exact", [], [1, 2], 3, [1, 2], True),
        ("exact", [1, 2], [1], 2, [1], True),  # availability is not asked for
        ("batch", [], [1], 2, [1], True),
        ("batch", [1, None], [], 2, [1], True),
        ("batch", [1, None], [1], 2, [1], True),
        ("batch", [1, None], [2], 2, [2, 1], False),  # the list and availability name all
        ("batch", [1, 2, None], [], 2, [1, 2], False),
        ("batch", [1, 2], [], 2, [1, 2], False),  # not asked for
        ("batch", [1, None], [1, 2], 4, [1, 2], True),
    ],
)
def test_a_short_list_names_some_and_what_is_missing_is_asked_again(
    folder, alma, mode, available_, named, counted, expected, missing
):
    begin(folder, 1, list_mode=mode)
    alma.add(0, [holding(1, 0), holding(2, 0)])
    seen = (
        [available(0, None if each is None else hol(each)) for each in available_] if mode == "batch" else []
    )
    alma.bibs_known[mms(0)] = bib(0, seen)
    short_list(alma, 0, [hol(each) for each in named], counted)
    counts = list_holdings(alma, folder, 1)
    row = rows(folder)[mms(0)]
    assert (holding_ids(row), bool(row["missing"])) == ([hol(each) for each in expected], missing)
    assert counts["failed"] == missing
    alma.trouble.clear()
    counts = list_holdings(alma, folder, 1)
    assert counts["failed"] == 0
    if missing:
        assert holding_ids(rows(folder)[mms(0)]) == [hol(1), hol(2)]


def test_a_title_that_a_batch_leaves_out_is_asked_for_singly(folder, alma):
    begin(folder, 3)
    fill(alma, 2)
    alma.left_out = {mms(1)}
    counts = list_holdings(alma, folder, 1)
    assert (counts["holdings"], counts["not_found"]) == (2, 1)
    assert sorted(what for kind, what in alma.asked if kind == "bib") == [mms(1), mms(2)]
    assert "402203" in rows(folder)[mms(2)]["reason"]


def test_the_listing_of_an_earlier_version_is_understood(folder, alma):
    begin(folder, 1)
    fill(alma, 1)
    list_holdings(alma, folder, 1)
    (row,) = rows(folder).values()
    folder.bucket.write_rows(
        folder.chunk_key(1, RESULT), [{key: row[key] for key in row if key not in ("missing", "warnings")}]
    )
    before = len(alma.asked)
    assert list_holdings(alma, folder, 1)["failed"] == 0
    assert len(alma.asked) == before
