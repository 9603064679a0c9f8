"""A run that is cleared after something changed works by what holds now, and what it has made stays `created`."""

import json

import pytest
import yaml

from alma_etl.inventory.chunk_holdings import STEP as HOLDINGS
from alma_etl.jobs.ends import ENDS
from alma_etl.jobs.file_run import FileRun
from alma_etl.jobs.summary import SUMMARY
from alma_etl.store.bucket import json_line
from alma_sandbox import Settings, serve
from tests.e2e.items import ItemSandbox
from tests.unit.items.conftest import Load

pytestmark = pytest.mark.heavy

GIFTS = {
    "library": "MAIN",
    "location": "stacks",
    "item_policy": "01",
    "material_type": "BOOK",
    "call_number_from": ["050", "090", "082"],
}


def profile(loader, *, chunk_size=500, **values):
    """Give the folder gifts another profile."""
    settings = {"profiles": {"gifts": {**GIFTS, **values}}, "chunk_size": chunk_size}
    loader.bucket.put("config/item_profiles.yaml", yaml.safe_dump(settings).encode())


@pytest.fixture
def titles(alma):
    return alma.titles()


def lines(*pairs):
    return "".join(f"{mms_id}|{barcode}\r\n" for mms_id, barcode in pairs)


@pytest.fixture
def gifts(alma):
    """Titles without any holding."""
    return [alma.add_title(("050", "QA1", f".B{number}")) for number in range(3)]


def the_item(alma, barcode):
    (item,) = [each for each in alma.state()["items"].values() if each and each["barcode"] == barcode]
    return item


def place_of(alma, item):
    record = alma.state()["holdings"][item["holding_id"]]["record"]
    return record.split('code="b">')[1].split("<")[0], record.split('code="c">')[1].split("<")[0]


# --- dry run and real


@pytest.mark.parametrize("how", ["param", "profile"])
def test_a_dry_run_set_to_real_and_cleared_creates_everything(loader, alma, gifts, how):
    rows = lines(*((mms_id, f"D{n}") for n, mms_id in enumerate(gifts)), ("99", "X"))
    if how == "param":
        load = Load(loader, loader.drop(rows), dry_run=True)
    else:
        profile(loader, dry_run=True)
        load = Load(loader, loader.drop(rows))
    dry = load.whole()
    assert dry.counts() == {"would_create": 3, "invalid_row": 1}
    assert alma.made() == ({}, {})
    if how == "param":
        load.params["dry_run"] = False
    else:
        profile(loader, dry_run=False)
    real = load.whole()
    assert real.counts() == {"created": 3, "invalid_row": 1}
    items, holdings = alma.made()
    assert items.keys() == {"D0", "D1", "D2"}
    assert holdings == {(mms_id, "MAIN", "stacks"): 1 for mms_id in gifts}
    assert real.rejects().decode() == "99|X\r\n"
    assert "3 holdings were made" in real.page()
    assert load.state == "success"
    assert len(real.keys("items/done/")) == 1
    assert real.keys("items/incoming/") == real.keys("items/failed/") == []


def test_a_real_run_set_to_dry_and_cleared_keeps_what_it_created_and_writes_nothing(loader, alma, gifts):
    alma.faults({"kind": "refuse", "method": "POST", "path": f"{gifts[1]}/holdings/.*/items$", "times": 1})
    load = Load(loader, loader.drop(lines(*((mms_id, f"D{n}") for n, mms_id in enumerate(gifts)))))
    load.read()
    load.check()
    load.resolve()
    load.create()
    before = load.finish()
    assert before.counts()["created"] == 2
    alma.heal()
    alma.forget()
    load.params["dry_run"] = True
    after = load.whole()
    assert after.counts() == {"created": 2, "would_create": 1}
    created = [row for row in before.rows() if row["outcome"] == "created"]
    assert [row for row in after.rows() if row["outcome"] == "created"] == created
    assert alma.writes() == []
    assert len(after.keys("items/done/")) == 1


# --- the profile


CHANGES = [
    {"library": "LAW"},
    {"item_policy": "03"},
    {"material_type": "DVD"},
    {"po_line": "POL-1001"},
    {"arrival_date": "2026-08-01"},
    {"fields": {"public_note": "a gift"}},
    {"call_number_from": []},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: next(iter(change)))
def test_a_changed_profile_holds_for_what_was_not_created_and_for_nothing_else(loader, alma, gifts, change):
    profile(loader)
    load = Load(loader, loader.drop(lines((gifts[0], "P0"), (gifts[1], "P1"))))
    load.read()
    load.check()
    alma.faults({"kind": "refuse", "method": "POST", "path": f"{gifts[1]}/holdings/.*/items$", "times": 1})
    load.resolve()
    load.create()
    first = load.finish()
    assert first.ends() == [(1, "created"), (2, "failed")]
    old = the_item(alma, "P0")
    alma.heal()
    profile(loader, **change)
    again = load.whole()
    assert again.ends() == [(1, "created"), (2, "created")]
    assert again.rows()[0] == first.rows()[0]
    assert the_item(alma, "P0") == old
    new = the_item(alma, "P1")
    items, _ = alma.made()
    assert len(items) == 2
    match change:
        case {"library": library}:
            assert place_of(alma, new) == (library, "stacks")
            assert (again.rows()[0]["library"], again.rows()[1]["library"]) == ("MAIN", "LAW")
        case {"item_policy": policy}:
            assert new["codes"]["policy"] == policy
        case {"material_type": kind}:
            assert new["codes"]["physical_material_type"] == kind
        case {"po_line": po_line}:
            assert new["texts"]["po_line"] == po_line
        case {"arrival_date": day}:
            assert new["texts"]["arrival_date"] == f"{day}Z"
        case {"fields": fields}:
            assert new["texts"]["public_note"] == fields["public_note"]
    assert "2 holdings were made" in again.page() or "library" in change


def test_a_holding_that_may_be_made_now_is_made(loader, alma, gifts):
    profile(loader, create_holding=False)
    load = Load(loader, loader.drop(lines((gifts[0], "H0"))))
    assert load.whole().ends() == [(1, "no_holding")]
    profile(loader, create_holding=True)
    assert load.whole().ends() == [(1, "created")]
    assert load.state == "success"


def test_a_holding_that_somebody_made_meanwhile_is_found_by_a_cleared_run(loader, alma, gifts):
    profile(loader, create_holding=False)
    load = Load(loader, loader.drop(lines((gifts[0], "H0"))))
    assert load.whole().ends() == [(1, "no_holding")]
    held = alma.add_holding(gifts[0], "MAIN", "stacks")
    again = load.whole()
    assert again.ends() == [(1, "created")]
    assert again.rows()[0]["holding_id"] == held


def test_on_several_holdings_is_asked_again(loader, alma, gifts):
    for _ in range(2):
        alma.add_holding(gifts[0], "MAIN", "stacks")
    profile(loader, on_several_holdings="fail")
    load = Load(loader, loader.drop(lines((gifts[0], "H0"))))
    assert load.whole().ends() == [(1, "several_holdings")]
    profile(loader, on_several_holdings="first")
    assert load.whole().ends() == [(1, "created")]


def test_rows_that_become_good_leave_the_others_in_their_chunks(loader, alma, titles):
    """The profile lacked the location: the rows that bring none were refused, which cut other chunks."""
    profile(loader, chunk_size=2, location=None)
    rows = "".join(f"{mms_id},R{n},{'stacks' if n % 2 else ''}\n" for n, mms_id in enumerate(titles[:8]))
    load = Load(loader, loader.drop("mms_id,barcode,location\n" + rows, "some.csv"))
    first = load.whole()
    assert first.counts() == {"created": 4, "invalid_row": 4}
    created = {row["barcode"]: row for row in first.rows() if row["outcome"] == "created"}
    profile(loader, chunk_size=3)
    alma.forget()
    again = load.whole()
    assert again.counts() == {"created": 8}
    assert {row["barcode"]: row for row in again.rows() if row["barcode"] in created} == created
    assert len([call for call in alma.writes() if call["path"].endswith("/items")]) == 4
    assert load.state == "success"


def test_rows_that_would_be_refused_now_stay_created(loader, alma, titles):
    profile(loader)
    load = Load(loader, loader.drop(lines((titles[0], "S0"), (titles[1], "S1"))))
    first = load.whole()
    assert first.counts() == {"created": 2}
    profile(loader, location=None)
    again = load.whole()
    assert again.rows() == first.rows()
    assert again.rejects() is None


# --- what Alma knows


def test_a_title_that_is_in_alma_by_now_is_loaded(loader, alma, titles):
    known = alma.add_title()
    coming = known.replace("0000000004401", "0000000014401")  # the sandbox counts
    load = Load(loader, loader.drop(lines((titles[0], "T0"), (coming, "T1"))))
    first = load.whole()
    assert first.ends() == [(1, "created"), (2, "bib_not_found")]
    assert alma.add_title() == coming
    again = load.whole()
    assert again.ends() == [(1, "created"), (2, "created")]
    assert again.rows()[0] == first.rows()[0]


def test_an_unknown_title_is_asked_for_again_and_a_known_one_is_not(loader, alma, gifts):
    load = Load(loader, loader.drop(lines((gifts[0], "T0"), (gifts[1], "T1"))))
    load.read()
    alma.delete(f"/bibs/{gifts[1]}")
    assert load.check()["titles"] == 1
    alma.forget()
    assert load.check()["titles"] == 1
    asked = [call for call in alma.calls() if call["path"].endswith("/bibs")]
    assert len(asked) == 1
    assert gifts[1] in str(asked[0])
    assert gifts[0] not in str(asked[0])


@pytest.mark.parametrize(
    ("path", "code"), [("/conf/code-tables/ItemPolicy", "01"), ("/conf/libraries/MAIN/locations", "stacks")]
)
def test_a_code_that_alma_knows_by_now_is_no_longer_refused(loader, alma, gifts, path, code):
    table = alma.get(path)
    (name,) = [each for each in table if isinstance(table[each], list)]
    table[name] = [row for row in table[name] if row["code"] != code]
    if "total_record_count" in table:
        table["total_record_count"] = len(table[name])
    alma.faults({"kind": "body", "path": path, "text": json.dumps(table), "content_type": "application/json"})
    load = Load(loader, loader.drop(lines((gifts[0], "C0"))))
    assert load.whole().ends() == [(1, "invalid_code")]
    alma.heal()
    assert load.whole().ends() == [(1, "created")]


def test_what_alma_itself_refused_is_sent_again_by_a_cleared_run(loader, alma, gifts):
    profile(loader, fields={"provenance": "LOOT"})
    load = Load(loader, loader.drop(lines((gifts[0], "C0"))))
    assert load.whole().ends() == [(1, "invalid_code")]
    profile(loader, fields={"provenance": "GIFT"})
    assert load.whole().ends() == [(1, "created")]


# --- whose Alma, which version, which file


def test_a_connection_pointed_to_another_alma_begins_with_nothing(loader, alma, titles):
    load = Load(loader, loader.drop(lines((titles[0], "A0"), (titles[1], "A1"))))
    assert load.whole().counts() == {"created": 2}
    with serve(Settings(per_second=0, titles=60)) as running:
        other = ItemSandbox(running.url)
        loader.alma = other
        loader.fresh_client()
        again = load.whole()
        assert again.counts() == {"created": 2}
        assert other.made()[0].keys() == {"A0", "A1"}


def old_form(folder: FileRun, number: int = 1) -> None:
    """Put the results of a chunk as the version before wrote them."""
    for name in (ENDS, HOLDINGS.name):
        key = folder.chunk_key(number, name)
        saved = [info.key for info in folder.bucket.list(f"{key}.parts/")]
        rows = [line["row"] for each in saved for line in folder.bucket.read_rows(each)]
        folder.bucket.write_rows(key, rows)
        folder.bucket.delete(saved)


def test_what_the_version_before_created_stays_and_the_rest_is_worked_again(loader, alma, gifts):
    load = Load(loader, loader.drop(lines((gifts[0], "V0"), (gifts[1], "V1"))))
    alma.faults({"kind": "refuse", "method": "POST", "path": f"{gifts[1]}/holdings/.*/items$", "times": 1})
    load.read()
    load.check()
    load.resolve()
    load.create()
    first = load.finish()
    assert first.ends() == [(1, "created"), (2, "failed")]
    old_form(load.folder)
    alma.heal()
    assert load.finish().rows() == first.rows()  # the report of a run that was under way at the upgrade
    again = load.whole()
    assert again.ends() == [(1, "created"), (2, "created")]
    assert again.rows()[0] == first.rows()[0]
    assert "2 holdings were made" in again.page()


def test_the_record_of_what_was_sent_of_the_version_before_is_understood(loader, alma, gifts):
    load = Load(loader, loader.drop(lines((gifts[0], "V0"))))
    load.read()
    load.check()
    load.resolve()
    load.create()
    for info in loader.bucket.list(load.folder.chunk_key(1, ENDS)):
        loader.bucket.delete([info.key])
    told = {"day": loader.client.today().isoformat(), "lines": [1]}
    loader.bucket.put(load.folder.chunk_key(1, "announced/1.jsonl"), json_line(told))
    assert load.finish({"create_items": "failed"}).ends() == [(1, "unconfirmed")]
    load.create()
    assert load.finish().ends() == [(1, "created")]


def test_a_run_given_another_file_begins_with_that(loader, alma, gifts):
    load = Load(loader, loader.drop(lines((gifts[0], "F0")), "one.txt"))
    assert load.whole().ends() == [(1, "created")]
    load.params["key"] = loader.drop(lines((gifts[1], "F1"), (gifts[2], "F2")), "two.txt")
    assert load.whole().ends() == [(1, "created"), (2, "created")]
    assert alma.made()[0].keys() == {"F0", "F1", "F2"}


def test_a_connection_pointed_back_goes_by_what_its_own_alma_knows(loader, alma):
    """The check of the titles finds nothing to ask there any more, and leaves nothing newer than the other's."""
    gift = alma.add_title()
    load = Load(loader, loader.drop(lines((gift, "A0"))))
    load.read()
    assert load.check()["titles"] == 0
    with serve(Settings(per_second=0, titles=60)) as running:
        loader.alma = ItemSandbox(running.url)
        loader.fresh_client()
        assert load.whole().ends() == [(1, "bib_not_found")]
    loader.alma = alma
    loader.fresh_client()
    assert load.whole().ends() == [(1, "created")]


def test_a_report_that_the_version_before_wrote_is_judged_and_replaced(loader, alma):
    """It had the figures of item loads among those of all jobs."""
    profile(loader)
    load = Load(loader, loader.drop(f"{alma.add_title()}|A\n"))
    load.whole()
    sentence = load.say()
    key = load.folder.key(SUMMARY)
    summary = json.loads(loader.bucket.get(key))
    loader.bucket.put(key, json.dumps(summary | summary.pop("figures")).encode())
    assert load.say() == sentence == "1 of 1 row loaded."
    assert "1 holding was made" in load.finish().page()
