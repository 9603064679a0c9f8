"""Which holding the rows of a title and place go to."""

import itertools

import pytest

from alma_etl.inventory.holdings import Candidate, Group, choose, groups_of
from alma_etl.items.profiles import ItemProfile

FIRST, FAIL = ItemProfile(), ItemProfile(on_several_holdings="fail")
GROUP = Group("991", "MAIN", "stacks")


def at(number, library="MAIN", location="stacks", suppressed=False):
    return Candidate(f"22{number}", library, location, f"PN{number}", suppressed)


@pytest.mark.parametrize(
    "candidates", [[], [at(1, "SCI")], [at(1, "MAIN", "microform")], [at(1, "SCI"), at(2, "LAW")]]
)
def test_a_location_of_another_library_is_another_place(candidates):
    assert choose(GROUP, candidates, FIRST) is None


def test_the_one_at_the_place_is_taken():
    found = choose(GROUP, [at(1, "SCI"), at(2), at(3, "MAIN", "x")], FAIL)
    assert (found["outcome"], found["holding_id"], found["call_number"], found["message"]) == (
        "",
        "222",
        "PN2",
        "",
    )


def test_of_several_the_lowest_id_is_taken_in_whatever_order_they_come():
    for order in itertools.permutations([at(9), at(10), at(11)]):
        found = choose(GROUP, order, FIRST)
        assert found["holding_id"] == "229"
        assert found["message"] == "the first of 3 holdings at MAIN/stacks was taken (229, 2210, 2211)"


def test_or_nobody_chooses_when_the_profile_says_so():
    found = choose(GROUP, [at(1), at(2)], FAIL)
    assert (found["outcome"], found["holding_id"]) == ("several_holdings", "")
    assert "2 holdings at MAIN/stacks (221, 222)" in found["message"]


def test_the_same_holding_named_twice_is_one():
    assert choose(GROUP, [at(1), at(1)], FAIL)["holding_id"] == "221"


def test_a_suppressed_holding_counts_only_where_there_is_no_other():
    assert choose(GROUP, [at(1, suppressed=True), at(2)], FAIL)["holding_id"] == "222"
    alone = choose(GROUP, [at(1, suppressed=True)], FAIL)
    assert (alone["holding_id"], alone["message"]) == ("221", "the holding is suppressed from publishing")


def test_rows_are_grouped_by_title_library_and_location():
    rows = [
        {"line": n, "mms_id": mms, "library": library, "location": "stacks", "barcode": str(n), "values": {}}
        for n, (mms, library) in enumerate(
            [("991", "MAIN"), ("992", "MAIN"), ("991", "SCI"), ("991", "MAIN")]
        )
    ]
    assert [
        (group.mms_id, group.library, [row["line"] for row in group.rows]) for group in groups_of(rows)
    ] == [
        ("991", "MAIN", [0, 3]),
        ("992", "MAIN", [1]),
        ("991", "SCI", [2]),
    ]
