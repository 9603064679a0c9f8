"""Holdings that availability hides, and lists that do not name what they count: nothing is made on a guess."""

import json

import pytest

from alma_etl.remote.errors import RemoteShortList
from tests.unit.items.conftest import Load

pytestmark = pytest.mark.heavy

TEMPORARY = {"in_temp_location": True, "temp_library": {"value": "SCI"}, "temp_location": {"value": "stacks"}}


@pytest.fixture
def gift(alma):
    """A title without any holding."""
    return alma.add_title(("050", "QA76", ".D6 2020"))


def away(alma, mms_id, holding_id, barcode):
    """An item that is in a temporary location, so that availability does not name its holding."""
    body = {
        "holding_data": TEMPORARY,
        "item_data": {"barcode": barcode, "physical_material_type": {"value": "BOOK"}},
    }
    alma.post(
        f"/bibs/{mms_id}/holdings/{holding_id}/items", json.dumps(body), "application/json"
    ).raise_for_status()


def only(loaded):
    (row,) = loaded.rows()
    return row


# availability hides a holding: which of two holdings at the place is hidden, if any


def two_holdings(alma, gift, hidden):
    ids = [alma.add_holding(gift, "MAIN", "stacks") for _ in range(2)]
    for number, holding_id in enumerate(ids):
        if hidden in (number, "both"):
            away(alma, gift, holding_id, f"AWAY{number}")
        else:
            alma.add_item(gift, holding_id, f"HERE{number}")
    return ids


@pytest.mark.parametrize("hidden", [None, 0, 1, "both"])
def test_first_takes_the_lowest_id_whatever_availability_hides(hidden, loader, alma, gift):
    ids = two_holdings(alma, gift, hidden)
    row = only(loader.load(f"{gift}|NEW1\n"))
    assert (row["outcome"], row["holding_id"]) == ("created", min(ids))
    assert "the first of 2 holdings" in row["message"]


@pytest.mark.parametrize("hidden", [None, 0, 1, "both"])
def test_fail_sees_both_holdings_whatever_availability_hides(hidden, loader, alma, gift):
    ids = two_holdings(alma, gift, hidden)
    before = len(alma.writes())
    row = only(loader.load(f"{gift}|NEW1\n", profile="fail"))
    assert row["outcome"] == "several_holdings"
    assert all(each in row["message"] for each in ids)
    assert len(alma.writes()) == before


def test_a_place_whose_only_holding_is_hidden_gets_no_second_one(loader, alma, gift):
    holding = alma.add_holding(gift, "MAIN", "stacks")
    away(alma, gift, holding, "AWAY")
    alma.add_item(gift, alma.add_holding(gift, "LAW", "stacks"), "HERE")
    row = only(loader.load(f"{gift}|NEW1\n", profile="fail"))
    assert (row["outcome"], row["holding_id"]) == ("created", holding)


def test_the_exact_list_is_asked_only_where_availability_is_not_enough(loader, alma, gift):
    titles = [gift, *(alma.add_title(("050", "QA1", str(n))) for n in range(9))]
    for number, title in enumerate(titles):
        alma.add_item(title, alma.add_holding(title, "MAIN", "stacks"), f"OLD{number}")
    away(alma, gift, alma.add_holding(gift, "LAW", "stacks"), "AWAY")
    loader.load("".join(f"{title}|NEW{number}\n" for number, title in enumerate(titles)))
    lists = [
        call["path"]
        for call in alma.calls()
        if call["path"].endswith("/holdings") and call["method"] == "GET"
    ]
    assert [path.split("/")[-2] for path in lists] == [gift]


def test_a_suppressed_holding_is_not_counted_beside_another(loader, alma, gift):
    visible = alma.add_holding(gift, "MAIN", "stacks")
    alma.post(
        f"/bibs/{gift}/holdings",
        "<holding><suppress_from_publishing>true</suppress_from_publishing><record><leader>     nx  a22     1n 4500"
        '</leader><controlfield tag="008">2011252u    8   4001uueng0000000</controlfield><datafield ind1="0" ind2=" "'
        ' tag="852"><subfield code="b">MAIN</subfield><subfield code="c">stacks</subfield></datafield></record>'
        "</holding>",
    ).raise_for_status()
    row = only(loader.load(f"{gift}|NEW1\n", profile="fail"))
    assert (row["outcome"], row["holding_id"]) == ("created", visible)


# a list that names fewer than it counts. `shown`: which of the title's holdings the list names

PLACES = {"here": ("MAIN", "stacks"), "here too": ("MAIN", "stacks"), "law": ("LAW", "stacks")}


@pytest.mark.parametrize(
    ("there", "hides", "profile", "outcome", "words"),
    [
        (["here"], 0, "gifts", "failed", "counts 1 row but gives 0"),
        (["here", "law"], 0, "gifts", "failed", "no holding at MAIN/stacks is known"),
        (["here", "law"], 1, "gifts", "created", "other holdings at MAIN/stacks may exist"),
        (["law"], 0, "gifts", "failed", "no holding at MAIN/stacks is known"),
        (["here", "here too"], 0, "gifts", "created", "may exist"),
        (["here", "here too"], 1, "gifts", "created", "may exist"),
        (["here"], 0, "fail", "failed", "counts 1 row but gives 0"),
        (["here", "here too"], 0, "fail", "failed", "is the only holding at MAIN/stacks is not known"),
        (["here", "law"], 1, "fail", "failed", "is the only holding at MAIN/stacks is not known"),
        (["here", "here too", "law"], 2, "fail", "several_holdings", "2 holdings at MAIN/stacks"),
        (["here"], 0, "existing", "failed", "no holding at MAIN/stacks is known"),
        (["law", "here"], 1, "existing", "failed", "no holding at MAIN/stacks is known"),
    ],
)
def test_what_a_list_does_not_name_is_not_taken_for_absent(
    there, hides, profile, outcome, words, loader, alma, gift
):
    ids = [alma.add_holding(gift, *PLACES[place]) for place in there]
    for number, holding_id in enumerate(ids):
        away(alma, gift, holding_id, f"AWAY{number}")  # so that availability names none
    before = len(alma.made()[1])
    alma.faults({"method": "GET", "kind": "short", "path": f"{gift}/holdings$", "text": ids[hides]})
    loaded = loader.load(f"{gift}|NEW1\n", profile=profile)
    row = only(loaded)
    assert row["outcome"] == outcome
    assert words in row["message"]
    assert len(alma.made()[1]) == before, "no holding is made"
    assert loaded.state == ("success" if outcome == "created" else "failed")
    alma.heal()
    again = only(loader.load(f"{gift}|NEW1\n", "again.txt", profile=profile))
    assert again["outcome"] in ("created", "already_exists", "several_holdings", "no_holding")


def test_a_list_that_counts_one_too_many_fails_the_row_and_makes_nothing(loader, alma, gift):
    alma.faults({"method": "GET", "kind": "miscount", "path": f"{gift}/holdings$"})
    loaded = loader.load(f"{gift}|NEW1\n")
    assert (only(loaded)["outcome"], loaded.state) == ("failed", "failed")
    assert alma.made() == ({}, {})


def test_what_availability_names_beside_a_short_list_makes_it_whole(loader, alma, gift):
    shown = alma.add_holding(gift, "LAW", "stacks")
    alma.add_item(gift, shown, "HERE")
    hidden = alma.add_holding(gift, "SCI", "stacks")
    away(alma, gift, hidden, "AWAY")
    alma.faults({"method": "GET", "kind": "short", "path": f"{gift}/holdings$", "text": shown})
    row = only(loader.load(f"{gift}|NEW1\n"))
    assert row["outcome"] == "created"
    assert row["holding_id"] not in (shown, hidden)


def test_a_title_that_a_batch_leaves_out_is_loaded_all_the_same(loader, alma, gift):
    alma.faults({"method": "GET", "kind": "short", "path": "/bibs.*mms_id=", "text": gift})
    other = alma.add_title(("050", "QA77", ".D6 2020"))
    loaded = loader.load(f"{other}|NEW1\n{gift}|NEW2\n")
    assert [row["outcome"] for row in loaded.rows()] == ["created", "created"]


def test_codes_that_a_short_list_names_are_right_and_others_stop_the_load(loader, alma, gift):
    alma.add_holding(gift, "MAIN", "stacks")
    alma.faults({"method": "GET", "kind": "miscount", "path": "/conf/libraries$"})
    assert only(loader.load(f"{gift}|NEW1\n"))["outcome"] == "created"
    alma.heal()
    alma.faults({"method": "GET", "kind": "short", "path": "/conf/libraries$", "text": '"MAIN"'})
    load = Load(loader, loader.drop(f"{gift}|NEW2\n", "second.txt"))
    load.read()
    with pytest.raises(RemoteShortList):
        load.check()
    assert "NEW2" not in alma.made()[0]
