"""Holdings and items after the titles, from 949 and 852 of the records: every end, again, cleared, killed, at once."""

import pytest

from alma_etl.bibs.profiles import BibProfile
from alma_etl.marc.iso2709 import to_iso2709
from tests.e2e.death import Reaper, WorkerKilled
from tests.unit.bibs.conftest import Run
from tests.unit.bibs.test_bib_imports import new

pytestmark = pytest.mark.heavy
PALS = """profiles:
  pals:
    inventory:
      field: "949"
      subfields: {barcode: b, item_policy: c, library: d, location: e, description: v}
"""
BY_852 = """profiles:
  loc:
    inventory:
      field: "852"
      subfields: {barcode: p, library: b, location: c, call_number: hi}
      item_policy: "01"
"""


def item(barcode, *, policy="01", library="MAIN", location="stacks", more=""):
    return f"949 __ $b {barcode} $c {policy} $d {library} $e {location} {more}"


@pytest.fixture
def pals(imports):
    imports.profiles(PALS)
    return imports


def load(imports, *records, name="march.mrc", profile="pals", **params):
    return imports.load(*records, name=name, profile=profile, **params)


def test_new_and_old_titles_get_their_items_and_again_nothing_is_written(pals):
    there = pals.add("035 __ $a (OCoLC)901", "245 00 $a Old")
    pals.alma.add_holding(there, "MAIN", "stacks")
    file = [
        new(801, item("A1"), item("A2", library="LAW", more="$v v.2")),
        new(901, item("B1")),
        new(802),
        new(803, "949 __ $d MAIN $e stacks"),
    ]
    run = load(pals, *file)
    assert run.outcomes == ["created", "merged", "created", "created"], run.rows
    assert run.problem == ""
    messages = [row["message"] for row in run.rows]
    assert messages[0] == "2 items created"
    assert messages[2] == "it has no 949: no holding or item was asked for"
    assert messages[3] == "MAIN/stacks: a holding was created, and no item, since no barcode was given"
    items, holdings = pals.alma.made()
    ids = [row["mms_id"] for row in run.rows]
    assert {barcode: each["mms_id"] for barcode, each in items.items()} == {
        "A1": ids[0],
        "A2": ids[0],
        "B1": there,
    }
    assert "v.2" in str(items["A2"])
    assert holdings == {
        (ids[0], "MAIN", "stacks"): 1,
        (ids[0], "LAW", "stacks"): 1,
        (there, "MAIN", "stacks"): 1,
        (ids[3], "MAIN", "stacks"): 1,
    }
    pals.alma.forget()
    again = load(pals, *file, name="april.mrc")
    assert again.outcomes == ["unchanged"] * 4
    assert again.rows[0]["message"] == "2 items there already"
    assert pals.writes() == []


def test_an_unchanged_title_that_gets_an_item_is_merged(pals):
    load(pals, new(801, item("A1")))
    run = load(pals, new(801, item("A2")), name="b.mrc")
    assert run.outcomes == ["merged"]
    assert run.rows[0]["message"] == "the title had all of it; 1 item created"
    assert set(pals.alma.made()[0]) == {"A1", "A2"}


def test_852_has_the_call_number_of_a_new_holding(imports):
    imports.profiles(BY_852)
    run = load(imports, new(801, "852 1_ $b MAIN $c stacks $h 813.5 $i B42 $p A1"), profile="loc")
    [mms_id] = [row["mms_id"] for row in run.rows]
    [shown] = imports.client.holdings.list(mms_id).value
    holding = imports.client.holdings.read(mms_id, shown.holding_id).value
    assert b'ind1="1"' in holding.record
    assert shown.call_number == "813.5 B42"


def test_what_cannot_be_loaded_whole_is_not_begun(pals):
    file = [
        new(801, item("A1", policy="nope")),
        new(802, item("=1+1")),
        new(803, item("A3"), item("A4", library="")),
        new(804, item("A5"), item("A5")),
        new(805, item("A6")),
        new(806, item("A7"), item("A6")),
        new(807, item("A8") + " $b A9"),
    ]
    pals.alma.forget()
    run = load(pals, *file)
    assert run.outcomes == [
        *["invalid_record"] * 3, "duplicate_in_file", "created", "duplicate_in_file", "invalid_record",
    ]  # fmt: skip
    for row, words in zip(
        run.rows,
        [
            "'nope' is not in",
            "is a formula",
            "library is empty",
            "same barcode: A5",
            "1 item",
            "record 5",
            "$b more",
        ],
        strict=True,
    ):
        assert words in row["message"]
    assert pals.count() == 1
    assert set(pals.alma.made()[0]) == {"A6"}


@pytest.mark.parametrize("only_refused", [False, True])
def test_a_refused_item_leaves_the_record_not_applied_and_its_file_done(pals, only_refused):
    other = pals.add("245 00 $a Other")
    pals.alma.add_item(other, pals.alma.add_holding(other, "MAIN", "stacks"), "OLD")
    run = load(pals, new(801, item("A1"), item("OLD")), *([] if only_refused else [new(802)]))
    assert run.outcomes[0] == "not_applied"
    assert (
        f"the title: created; 1 item created; item OLD: conflict, the barcode belongs to an item of the title {other}"
        in run.rows[0]["message"]
    )
    assert run.problem == ""
    assert run.filed.startswith("bibs/done/")
    assert b"OLD" in pals.bucket.get(run.keys["rejects"])


SEARCH = PALS.replace("    inventory:", "    search_first: true\n    inventory:")


@pytest.fixture
def a_title_with_an_item_due(imports):
    """The import that has it, and its title, which has inventory of another import since."""
    imports.profiles(SEARCH)
    [mms_id] = [row["mms_id"] for row in load(imports, new(801)).rows]
    fault = {"kind": "server_error", "method": "POST", "path": "/items", "first": 9}
    imports.alma.faults(fault)
    failed = load(imports, new(801, item("A1")), name="a.mrc")
    assert failed.outcomes == ["failed"]
    imports.alma.heal()
    other = load(imports, new(801, item("B1")), name="b.mrc")
    assert other.outcomes == ["merged"]
    return failed, mms_id


def test_a_title_waits_for_the_item_of_an_import_whatever_another_one_made(imports, a_title_with_an_item_due):
    failed, mms_id = a_title_with_an_item_due
    assert load(imports, new(801, item("A1"), title="Newer"), name="c.mrc").outcomes == ["merged"]  # again
    assert load(imports, new(801, title="Newest"), name="d.mrc").outcomes == ["already_owned"]
    assert {each["mms_id"] for each in imports.alma.made()[0].values()} == {mms_id}
    failed.whole()
    assert failed.outcomes == ["unchanged"]


@pytest.mark.parametrize("asks", [True, False])
def test_a_cleared_run_that_has_made_its_item_or_asks_for_none_leaves_nothing_due(
    imports, a_title_with_an_item_due, asks
):
    failed, _ = a_title_with_an_item_due
    if not asks:
        imports.profiles("profiles:\n  pals: {search_first: true}\n")
    failed.whole()
    assert ("A1" in imports.alma.made()[0]) is asks
    assert load(imports, new(801, item("C1"), title="Newer"), name="c.mrc").outcomes == ["already_owned"]


def test_items_that_were_made_before_a_stop_are_not_due(imports):
    imports.profiles(SEARCH)
    load(imports, new(801), new(802))
    imports.alma.faults({"kind": "daily", "method": "POST", "path": "/items", "nth": 2})
    stopped = load(imports, new(801, item("A1")), new(802, item("A2")), name="a.mrc")
    assert sorted(stopped.outcomes) == ["failed", "merged"]
    imports.alma.heal()
    imports.client = imports.new_client()
    done = stopped.outcomes.index("merged")
    again = load(imports, *(new(each, item(f"B{each}"), title="Newer") for each in (801, 802)), name="b.mrc")
    assert again.outcomes[done] == "already_owned"
    assert again.outcomes[1 - done] == "merged"


def test_a_title_is_not_owned_by_what_the_cleared_run_itself_made(imports):
    imports.profiles(SEARCH)
    load(imports, new(801))
    run = load(imports, new(801, item("A1")), name="a.mrc")
    assert run.outcomes == ["merged"]
    imports.profiles(SEARCH.replace("    inventory:", "    check_005: false\n    inventory:"))
    run.whole()
    assert run.outcomes == ["merged"]


def test_a_title_does_not_wait_for_an_item_that_was_refused(imports):
    imports.profiles(SEARCH)
    other = imports.add("245 00 $a Other")
    imports.alma.add_item(other, imports.alma.add_holding(other, "MAIN", "stacks"), "OLD")
    assert load(imports, new(801, item("A1"), item("OLD"))).outcomes == ["not_applied"]
    corrected = [new(801, item("A1"), item("A2"))]
    assert load(imports, *corrected, name="b.mrc").outcomes == ["already_owned"]
    imports.profiles(PALS)
    assert load(imports, *corrected, name="c.mrc").outcomes == ["merged"]


def test_a_dry_run_says_what_would_be_created(pals):
    pals.add("035 __ $a (OCoLC)901", "245 00 $a Old")
    other = pals.add("245 00 $a Other")
    pals.alma.add_item(other, pals.alma.add_holding(other, "MAIN", "stacks"), "OLD")
    load(pals, new(902))
    pals.alma.forget()
    file = [new(801, item("A1")), new(901, item("B1")), new(902, item("C1")), new(803, item("OLD"))]
    run = load(pals, *file, name="b.mrc", dry_run=True)
    assert run.outcomes == ["would_create", "would_merge", "would_merge", "not_applied"]
    assert (
        "1 item would be created; item A1: a holding at MAIN/stacks would be created"
        in run.rows[0]["message"]
    )
    assert f"item of the title {other}" in run.rows[3]["message"]
    assert pals.writes() == []


def test_a_lost_item_is_unconfirmed_or_found(pals):
    pals.alma.faults(
        {"kind": "server_error", "method": "POST", "path": "/items", "applied": True, "first": 1}
    )
    assert load(pals, new(801, item("A1"))).outcomes == ["created"]
    pals.alma.faults({"kind": "server_error", "method": "POST", "path": "/holdings(\\?|$)", "first": 9})
    run = load(pals, new(802, item("A2")), name="b.mrc")
    assert run.outcomes in (["unconfirmed"], ["failed"])
    assert "the title: created" in run.rows[0]["message"]
    assert run.problem
    pals.alma.heal()
    run.whole()
    assert run.outcomes == ["created"]
    assert set(pals.alma.made()[0]) == {"A1", "A2"}


def test_twins_with_an_item_each_share_title_and_holding(pals):
    run = load(pals, new(801, item("A1")), new(801, item("A2")))
    assert run.outcomes[0] == "created"
    assert pals.count() == 1
    assert set(pals.alma.made()[1].values()) == {1}


def test_a_cleared_run_makes_what_the_changed_profile_asks_for(pals):
    run = load(pals, new(801, item("A1"), "959 __ $b A2 $c 01"))
    assert run.outcomes == ["created"]
    pals.profiles(
        PALS.replace('"949"', '"959"').replace("library: d, location: e, ", "")
        + '      library: "LAW"\n      location: "stacks"\n'
    )
    run.whole()
    assert run.outcomes == ["created"], run.rows
    items, holdings = pals.alma.made()
    assert set(items) == {"A1", "A2"}
    assert pals.count() == 1
    assert set(holdings.values()) == {1}
    run.whole()
    assert pals.alma.made() == (items, holdings)


def test_a_run_without_its_last_step_says_that_the_items_were_not_tried(pals):
    run = Run(pals, to_iso2709(new(801, item("A1"))), profile="pals")
    run.read()
    run.match()
    run.write()
    run.finish()
    assert run.outcomes == ["failed"]
    assert "the title: created; item A1: failed, not tried" in run.rows[0]["message"]
    run.inventory()
    run.finish()
    assert (run.outcomes, run.problem) == (["created"], "")


def test_what_an_item_costs(pals):
    titles = range(901, 911)
    for number in titles:
        pals.alma.add_holding(pals.add(f"035 __ $a (OCoLC){number}", "245 00 $a Old"), "MAIN", "stacks")
    run = Run(pals, b"".join(to_iso2709(new(each, item(f"A{each}"))) for each in titles), profile="pals")
    run.read()
    run.match()
    run.write()
    pals.alma.forget()
    assert run.inventory() == {"created": 10}
    assert pals.calls()[0] <= 11


@pytest.mark.timeout(600)
@pytest.mark.parametrize("every", [6, pytest.param(1, marks=pytest.mark.nightly)])
def test_a_kill_at_any_deed_makes_nothing_twice(pals, monkeypatch, every):
    reaper = Reaper(monkeypatch)
    for kill_at in range(1, 100, every):
        number = 8000 + kill_at
        file = new(number, item(f"A{number}"), item(f"B{number}", library="LAW"))
        run = Run(pals, to_iso2709(file), f"{number}.mrc", "pals")
        run.read()
        run.match()
        run.write()
        reaper.fresh_process(kill_at)
        died = False
        try:
            run.inventory()
        except WorkerKilled:
            died = True
            reaper.fresh_process()
            run.inventory()
        reaper.fresh_process()
        run.finish()
        assert run.outcomes == ["created"], (kill_at, run.rows)
        [mms_id] = [row["mms_id"] for row in run.rows]
        items, holdings = pals.alma.made()
        assert {f"A{number}", f"B{number}"} <= set(items)
        assert {key: count for key, count in holdings.items() if key[0] == mms_id} == {
            (mms_id, "MAIN", "stacks"): 1,
            (mms_id, "LAW", "stacks"): 1,
        }
        if not died:
            assert kill_at > 5
            return
    raise AssertionError("the step never came to its end")


def test_two_imports_at_once_into_one_title(pals):
    mms_id = pals.add("035 __ $a (OCoLC)901", "245 00 $a Old")
    runs = [Run(pals, to_iso2709(new(901, item(f"A{each}"))), f"{each}.mrc", "pals") for each in range(2)]
    for run in runs:
        run.read()
        run.match()
        run.write()
    list(pals.client.in_parallel(lambda run: run.inventory(), runs))
    for run in runs:
        run.finish()
    items, holdings = pals.alma.made()
    assert set(items) == {"A0", "A1"}
    assert holdings == {(mms_id, "MAIN", "stacks"): 1}


def mapped(**inventory):
    return BibProfile.model_validate(
        {"inventory": {"field": "949", "subfields": {"barcode": "b"}, **inventory}}
    )


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"field": "001"}, "a tag from 010 on"),
        ({"subfields": {"shelf": "x"}}, "is not known here"),
        ({"subfields": {"barcode": "$b"}}, "codes of subfields"),
        ({"dry_run": True}, "beside inventory"),
    ],
)
def test_a_mapping_that_cannot_be_kept_to_is_refused(given, words):
    with pytest.raises(ValueError, match=words):
        mapped(**given)
