"""Updates of items in Alma: what is named is written, the rest stays, and every end says what is there."""

import pytest

from tests.unit.item_updates.alma_world import item_row, of_item

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]


def outcomes(ends):
    return [end["outcome"] for end in ends]


def test_what_is_named_is_changed_and_what_is_absent_stays(world):
    one, other = world.items(2)
    world.by_hand(one, public_note="keep me", pages="12", internal_note_1="old")
    before = world.now(one)
    ends = world.update(
        of_item(one, internal_note_1="new", pages="", item_policy="02", arrival_date="20240131"),
        of_item(other, pages=""),
    )
    assert outcomes(ends) == ["updated", "unchanged"]
    after = world.now(one)
    expected = before["item_data"] | {
        "internal_note_1": "new", "pages": "", "policy": {"value": "02", "desc": "Loan 7 days"},
        "arrival_date": "2024-01-31Z",
        "modification_date": after["item_data"]["modification_date"],
    }  # fmt: skip
    assert after["item_data"] == expected
    assert after["holding_data"] == before["holding_data"]
    assert ends[0]["changes"]["internal_note_1"] == ["old", "new"]
    assert ends[0]["changes"]["pages"] == ["12", ""]
    assert ends[0]["changes"]["arrival_date"][1] == "2024-01-31"
    assert set(ends[0]["changed"].split(";")) == set(ends[0]["changes"])
    assert ends[0]["item_pid"] == one["item_data"]["pid"]


def test_a_changed_item_costs_two_requests_by_its_pid_and_an_unchanged_one_costs_one(world):
    items = world.items(12)
    run = world.run(*(of_item(item, internal_note_2="x") for item in items))
    run.load()
    assert world.calls() == {"GET": 12, "PUT": 12}
    again = world.run(*(of_item(item, internal_note_2="x") for item in items))
    assert outcomes(again.load()) == ["unchanged"] * 12
    assert world.calls() == {"GET": 12}


def test_an_item_is_found_by_its_barcode_in_one_request_more(world):
    (item,) = world.items(1)
    barcode = item["item_data"]["barcode"]
    ends = world.update(item_row({"pages": "7"}, barcode=barcode))
    assert (outcomes(ends), world.calls()) == (["updated"], {"GET": 2, "PUT": 1})
    ends = world.update(item_row({"pages": "8", "barcode": "NEW-1"}, barcode=barcode))
    assert ends[0]["changes"] == {"pages": ["7", "8"], "barcode": [barcode, "NEW-1"]}
    assert world.now(item)["item_data"]["barcode"] == "NEW-1"
    ends = world.update(item_row({"pages": "9"}, barcode=barcode))
    assert outcomes(ends) == ["not_found"]


def test_an_item_is_found_by_its_pid_alone_where_alma_does_that_and_else_the_row_says_what_it_lacks(world):
    (item,) = world.items(1)
    pid, barcode = item["item_data"]["pid"], item["item_data"]["barcode"]
    assert outcomes(world.update(item_row({"pages": "7"}, item_pid=pid))) == ["updated"]
    assert world.calls() == {"GET": 1, "PUT": 1}
    world.alma.settings(item_by_pid_alone=False)
    try:
        (end,) = world.update(item_row({"pages": "8"}, item_pid=pid))
        assert (end["outcome"], "give its mms_id" in end["message"]) == ("not_found", True)
        assert outcomes(world.update(item_row({"pages": "8"}, item_pid=pid, barcode=barcode))) == ["updated"]
    finally:
        world.alma.settings(item_by_pid_alone=True)


def test_many_items_of_a_title_are_compared_by_one_list(world):
    mms_id = next(m for m in world.alma.titles() if len(world.of_title(m)) >= 3)
    items = world.of_title(mms_id)
    rows = [item_row({"pages": "5"}, barcode=i["item_data"]["barcode"], mms_id=mms_id) for i in items]
    world.update(*rows)
    counts = world.calls()
    assert counts == {"GET": 1 + len(items), "PUT": len(items)}  # the list, then each right before its PUT
    assert outcomes(world.update(*rows)) == ["unchanged"] * len(items)
    assert world.calls() == {"GET": 1}


def test_rows_for_one_item_of_a_listed_title_are_done_in_order(world):
    mms_id = next(m for m in world.alma.titles() if len(world.of_title(m)) >= 2)
    one, other = world.of_title(mms_id)[:2]
    world.by_hand(one, pages="1")
    names = {"mms_id": mms_id, "barcode": one["item_data"]["barcode"]}
    rows = [item_row({"pages": value}, **names) for value in ("2", "1", "1")]
    rows.append(item_row({"pages": "7"}, mms_id=mms_id, barcode=other["item_data"]["barcode"]))
    ends = world.update(*rows)
    assert outcomes(ends) == ["updated", "updated", "unchanged", "updated"]
    assert world.now(one)["item_data"]["pages"] == "1"


def test_a_dry_run_says_what_would_change_and_writes_nothing(world):
    items = world.items(2)
    row = of_item(items[0], pages="99", library="SCI", location="stacks")
    ends = world.update(row, of_item(items[1], pages="99"), profile="move", dry_run=True)
    assert outcomes(ends) == ["would_update", "would_update"]
    assert ends[1]["changes"]["pages"][1] == "99"
    assert world.alma.writes() == []
    assert not list(world.bucket.list("runs/item_update/run-") and [
        each for each in world.bucket.list("runs/") if "first_read" in each.key
    ])  # fmt: skip


@pytest.mark.parametrize(
    ("values", "names", "outcome", "words"),
    [
        ({"barcode": ""}, {}, "invalid_row", "barcode cannot be emptied"),
        ({"arrival_date": "soon"}, {}, "invalid_row", "is not a date"),
        ({"is_magnetic": "perhaps"}, {}, "invalid_row", "neither true nor false"),
        ({"item_policy": "NONE"}, {}, "refused", "is not in Alma's table ItemPolicy"),
        ({"temp_policy": "NONE"}, {}, "refused", "is not in Alma's table ItemPolicy"),
        ({"retention_reason": "WHIM"}, {}, "refused", "RetentionReason"),
        ({"pages": "1"}, {"mms_id": "9911"}, "not_found", "Alma has no item"),
        ({"pages": "1"}, {"holding_id": "221"}, "invalid_row", "the key of an item cannot be changed"),
        ({"pages": "1"}, {"barcode": "ANOTHER"}, "invalid_row", "the key of an item cannot be changed"),
        ({"library": "SCI", "location": "stacks"}, {}, "refused", "the profile moves none"),
        ({"po_line": "POL-NONE"}, {}, "refused", "PO line"),
    ],
)
def test_a_row_that_cannot_be_done_says_why_and_nothing_is_written(world, values, names, outcome, words):
    (item,) = world.items(1)
    ends = world.update(of_item(item, **values) | names)
    assert (outcomes(ends), words in ends[0]["message"]) == ([outcome], True), ends[0]["message"]
    assert world.alma.writes() == []


def test_a_row_that_names_no_item_or_one_that_is_not_there(world):
    ends = world.update(
        item_row({"pages": "1"}, item="nothing"),
        item_row({"pages": "1"}, barcode="NO-SUCH"),
        item_row({"pages": "1"}, item_pid="231", mms_id=world.alma.titles()[0]),
    )
    assert outcomes(ends) == ["invalid_row", "not_found", "not_found"]


@pytest.mark.parametrize("fields", [["*"], ["pages"], ["barcode"]])
def test_a_put_that_is_answered_and_changes_nothing_is_not_applied(world, fields):
    (item,) = world.items(1)
    world.alma.faults({"kind": "ignore", "method": "PUT", "fields": fields})
    barcode = item["item_data"]["barcode"]
    ends = world.update(of_item(item, pages="77", public_note="new", barcode="B-NEW"))
    assert outcomes(ends) == ["not_applied"]
    assert all(field in ends[0]["message"] for field in fields if field != "*")
    taken = {name for name, (before, after) in ends[0]["changes"].items() if before != after}
    assert taken == {"pages", "public_note", "barcode"} - set(fields) - (
        {"pages", "public_note", "barcode"} if "*" in fields else set()
    )
    now = world.now(item)["item_data"]
    assert now["barcode"] == (barcode if {"*", "barcode"} & set(fields) else "B-NEW")


def test_a_refusal_of_alma_is_the_end_of_its_row(world):
    one, other = world.items(2)
    world.alma.faults(
        {"kind": "refuse", "method": "PUT", "code": "40166404", "path": one["item_data"]["pid"]}
    )
    ends = world.update(of_item(one, pages="7"), of_item(other, pages="7"))
    assert outcomes(ends) == ["refused", "updated"]
    assert "40166404" in ends[0]["message"]


# --- moves


def holdings_at(world, mms_id, library, location):
    rows = world.alma.get(f"/bibs/{mms_id}/holdings").get("holding", [])
    return [row for row in rows if (row["library"]["value"], row["location"]["value"]) == (library, location)]


def free_place(world, item):
    mms_id = item["bib_data"]["mms_id"]
    places = (("LAW", "stacks"), ("STOR", "archive"), ("SCI", "display"))
    return next(place for place in places if not holdings_at(world, mms_id, *place))


def test_a_move_makes_the_holding_first_and_never_a_second_one(world):
    mms_id = next(m for m in world.alma.titles() if len(world.of_title(m)) >= 3)
    items = world.of_title(mms_id)
    library, location = free_place(world, items[0])
    world.alma.settings(list_lag_s=600)
    try:
        rows = [of_item(item, library=library, location=location) for item in items]
        ends = world.update(*rows, profile="move")
        assert outcomes(ends) == ["updated"] * len(items)
        more = world.update(*rows, profile="move")
        assert outcomes(more) == ["unchanged"] * len(items)
    finally:
        world.alma.settings(list_lag_s=0)
    (holding,) = holdings_at(world, mms_id, library, location)
    assert {world.now(item)["holding_data"]["holding_id"] for item in items} == {holding["holding_id"]}
    assert holding["call_number"] == items[0]["holding_data"]["permanent_call_number"]
    assert ends[0]["changes"]["library"] == [items[0]["item_data"]["library"]["value"], library]
    back = [
        of_item(item, **{name: pair[0] for name, pair in end["changes"].items()})
        for item, end in zip(items, ends, strict=True)
    ]
    assert outcomes(world.update(*back, profile="move")) == ["updated"] * len(items)
    assert [world.now(item)["holding_data"]["holding_id"] for item in items] == [
        item["holding_data"]["holding_id"] for item in items
    ]


def test_a_move_to_a_place_without_a_holding_is_refused_where_the_profile_makes_none(world):
    (item,) = world.items(1)
    library, location = free_place(world, item)
    ends = world.update(of_item(item, library=library, location=location), profile="none")
    assert (outcomes(ends), world.alma.writes()) == (["refused"], [])


def test_moves_to_a_holding_that_is_there_cost_two_requests_and_one_for_a_hundred_titles(world):
    rows = []
    for item in world.items(40):
        mms_id, here = item["bib_data"]["mms_id"], item["item_data"]
        for row in world.alma.get(f"/bibs/{mms_id}/holdings").get("holding", []):
            place = row["library"]["value"], row["location"]["value"]
            if place != (here["library"]["value"], here["location"]["value"]):
                rows.append(of_item(item, library=place[0], location=place[1]))
                break
    assert len(rows) >= 3
    ends = world.update(*rows, profile="move")
    assert set(outcomes(ends)) == {"updated"}
    assert world.calls()["PUT"] == len(rows)
    assert world.calls()["GET"] <= 1 + 2.5 * len(
        rows
    )  # titles whose availability hides holdings are asked one by one


# --- Aleph's key


@pytest.mark.parametrize("profile", ["table", "note"])
def test_an_item_is_found_by_its_aleph_key_once_an_update_named_the_key_beside_the_barcode(world, profile):
    (item,) = world.items(1)
    key = {"doc_number": "000051077", "item_sequence": "000010"}
    barcode = item["item_data"]["barcode"]
    assert outcomes(world.update(item_row({"pages": "1"}, **key), profile=profile)) == ["not_found"]
    assert outcomes(world.update(item_row({"pages": "1"}, barcode=barcode, **key), profile=profile)) == [
        "updated"
    ]
    ends = world.update(
        item_row({"pages": "2", "barcode": "RENAMED"}, doc_number="51077", item_sequence="10"),
        profile=profile,
    )
    assert outcomes(ends) == ["updated"]
    assert world.now(item)["item_data"]["barcode"] == "RENAMED"


def test_an_item_is_found_by_the_key_in_its_note_and_its_title(world):
    mms_id = next(m for m in world.alma.titles() if len(world.of_title(m)) >= 2)
    one, other = world.of_title(mms_id)[:2]
    world.by_hand(one, internal_note_3="kept; z30:51077-10")
    key = {"doc_number": "000051077", "item_sequence": "000010"}
    ends = world.update(item_row({"pages": "3"}, mms_id=mms_id, **key), profile="note")
    assert (outcomes(ends), ends[0]["item_pid"]) == (["updated"], one["item_data"]["pid"])
    world.by_hand(other, internal_note_3="z30:51077-20")
    ends = world.update(
        item_row({"pages": "3"}, barcode=other["item_data"]["barcode"], doc_number="7", item_sequence="10"),
        profile="note",
    )
    assert outcomes(ends) == ["invalid_row"]
