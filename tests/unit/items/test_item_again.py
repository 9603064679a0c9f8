"""Item loads that are done again: the same file, a dry run before, a cleared run, a file that was replaced."""

from datetime import timedelta

import pytest

from alma_etl.jobs.arrivals import remember_started
from alma_etl.jobs.file_run import Superseded
from alma_etl.jobs.starting import new_starts, note_starts
from alma_etl.jobs.summary import SUMMARY, FileSummary
from tests.e2e.items import PROFILES
from tests.unit.items.conftest import Load

pytestmark = pytest.mark.heavy


def lines(*pairs):
    return "".join(f"{mms_id}|{barcode}\r\n" for mms_id, barcode in pairs)


@pytest.fixture
def titles(alma):
    return alma.titles()


@pytest.fixture
def gift(alma):
    """A title without any holding."""
    return alma.add_title(("090", "PN1", ".A1"), ("050", "QA76", ".D6 2020"))


def test_the_same_file_dropped_again_writes_nothing(loader, alma, titles):
    body = lines(*((mms_id, f"B{n}") for n, mms_id in enumerate(titles[:20])))
    first = loader.load(body)
    alma.forget()
    again = loader.load(body)
    assert again.counts() == {"already_exists": 20}
    assert [row["item_pid"] for row in again.rows()] == [row["item_pid"] for row in first.rows()]
    assert alma.writes() == []
    assert again.state == "success"
    assert len(again.keys("items/done/")) == 2


def test_an_item_that_was_deleted_since_is_loaded_again(loader, alma, gift):
    first = loader.load(lines((gift, "A"))).rows()[0]
    alma.delete(f"/bibs/{gift}/holdings/{first['holding_id']}/items/{first['item_pid']}")
    again = loader.load(lines((gift, "A")))
    assert again.ends() == [(1, "created")]
    assert alma.made()[0]["A"]["pid"] != first["item_pid"]


def test_every_step_of_a_finished_run_can_be_cleared_without_a_call_that_writes(loader, alma, titles):
    load = Load(loader, loader.drop(lines(*((mms_id, f"B{n}") for n, mms_id in enumerate(titles[:5])))))
    before = load.whole().rows()
    alma.forget()
    assert load.whole().rows() == before
    assert alma.writes() == []
    assert load.state == "success"


def test_a_dry_run_tells_what_it_would_do_and_writes_nothing(loader, alma, gift, titles):
    holding = alma.add_holding(gift, "LAW", "stacks")
    alma.add_item(gift, holding, "TAKEN")
    alma.add_item(gift, holding, "MINE")
    alma.forget()
    loaded = loader.load(lines((gift, "A"), (titles[0], "TAKEN"), (gift, "MINE"), (gift, "")), dry_run=True)
    assert [outcome for _, outcome in loaded.ends()] == [
        "would_create",
        "conflict",
        "already_exists",
        "invalid_row",
    ]
    assert loaded.message(1) == "a holding at MAIN/stacks would be created"
    assert alma.writes() == []
    assert "dry run" in loaded.page()
    real = loader.load(lines((gift, "A")))
    assert real.ends() == [(1, "created")]


@pytest.mark.parametrize("body", ["990019999999994401|A\n", "%PDF-1.7 ..."], ids=["a list", "no list"])
@pytest.mark.parametrize(
    ("profile", "asked"), [("gifts", {"dry_run": True}), ("trial", {}), ("gifts-trial", {})]
)
def test_a_dry_run_leaves_the_file_and_intake_does_not_start_it_again(loader, bucket, body, profile, asked):
    if profile == "gifts-trial":  # a shipped one
        bucket.delete(["config/item_profiles.yaml"])
    else:
        bucket.put("config/item_profiles.yaml", f"{PROFILES}  trial: {{dry_run: true}}\n".encode())
    key = loader.drop(body, profile=profile)
    starts = new_starts(bucket, at_most=9, settle=timedelta(0))
    note_starts(bucket, starts, ["success"])
    loaded = Load(loader, key, **asked).whole()
    assert bucket.info(key) is not None
    assert loaded.keys("items/done/") == loaded.keys("items/failed/") == []
    remember_started(bucket, [])  # as intake does when another file arrives
    assert new_starts(bucket, at_most=9, settle=timedelta(0)) == []

    Load(loader, key, dry_run=False).whole()  # by hand with the key
    assert bucket.info(key) is None


def test_a_dry_run_that_is_cleared_as_a_real_one_files_the_file(loader, bucket, gift):
    load = Load(loader, loader.drop(lines((gift, "A"))), dry_run=True)
    load.whole()
    load.params["dry_run"] = False
    loaded = load.whole()
    assert bucket.info(load.params["key"]) is None
    assert len(loaded.keys("items/done/")) == 1


def test_a_run_of_the_version_before_that_is_cleared_leaves_each_report_once(loader, bucket, gift):
    load = Load(loader, loader.drop(lines((gift, "A"), (gift, ""))))
    loaded = load.whole()
    summary = load.folder.find_model(SUMMARY, FileSummary)
    former = {kind: key.replace("march.", "march.file__", 1) for kind, key in summary.keys.items()}
    for kind, key in summary.keys.items():
        bucket.copy(key, former[kind])
    load.folder.write_model(SUMMARY, summary.model_copy(update={"keys": former}))
    load.whole()
    assert set(loaded.keys("items/reports/") + loaded.keys("items/rejects/")) == set(summary.keys.values())


def test_a_file_replaced_while_it_loads_is_filed_as_it_was_read_and_the_new_one_stays(loader, gift):
    key = loader.drop(lines((gift, "A")))
    load = Load(loader, key)
    load.read()
    loader.drop(lines((gift, "A"), (gift, "B")))
    load.check()
    load.resolve()
    load.create()
    loaded = load.finish()
    assert loaded.ends() == [(1, "created")]
    assert loader.bucket.get(loaded.keys("items/done/")[0]).decode() == lines((gift, "A"))
    assert loader.bucket.get(key).decode() == lines((gift, "A"), (gift, "B"))


def test_a_file_replaced_before_it_is_read_is_left_to_the_run_of_the_new_version(loader, gift):
    key = loader.drop(lines((gift, "A")))
    load = Load(loader, key, version="0123@2026-11-20T00:00:00+00:00")
    for step in (load.read, load.finish):
        with pytest.raises(Superseded, match="replaced before"):
            step()
    assert loader.bucket.info(key) is not None
    assert list(loader.bucket.list("items/reports/")) == []


def test_a_run_cleared_after_its_profile_was_added_reads_the_filed_file(loader, gift):
    load = Load(loader, loader.drop(lines((gift, "A")), profile="maps"))
    load.whole()
    assert load.state == "failed"
    loader.bucket.put("config/item_profiles.yaml", b"profiles:\n  maps: {library: SCI, location: stacks}\n")
    loaded = load.whole()
    assert loaded.ends() == [(1, "created")]
    assert (load.state, loaded.keys("items/failed/")) == ("success", [])


def test_a_run_cleared_after_broken_settings_were_mended_reads_the_filed_file(loader, gift):
    loader.bucket.put("config/item_profiles.yaml", b"profiles: [")
    load = Load(loader, loader.drop(lines((gift, "A"))))
    load.whole()
    assert "config/item_profiles.yaml, line 1" in load.problem
    loader.bucket.put("config/item_profiles.yaml", b"profiles:\n  gifts: {library: SCI, location: stacks}\n")
    assert load.whole().ends() == [(1, "created")]
