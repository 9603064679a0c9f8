"""Which dropped files get a run, how it is called, and which keys are accepted."""

import io
import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alma_etl.errors import InputProblem, NotAcceptable
from alma_etl.jobs.arrivals import STARTED, Arrival, not_started, remember_started, settled
from alma_etl.jobs.places import (
    ITEMS,
    Area,
    dropped_file,
    extension_of,
    is_upload_in_transit,
    printable,
    run_mark,
    safe_stem,
)
from alma_etl.jobs.starting import DRY_RUN, new_starts, note_starts

NOW = timedelta(0)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def arrival(key="items/incoming/gifts/a.txt", etag="e1", at=NOON):
    return Arrival(ITEMS, key, etag, at, 5)


# Names of runs


def test_a_run_is_called_by_the_files_name_its_time_and_what_makes_a_version_one_of_its_kind():
    assert re.fullmatch(r"a__20261120T120000Z__[0-9a-f]{16}", arrival().run_id)
    assert arrival().run_id == arrival().run_id
    others = [
        arrival(key="items/incoming/gifts/b.txt"),
        arrival(etag="e2"),
        arrival(at=NOON + timedelta(seconds=1)),
    ]
    assert len({each.run_id for each in [arrival(), *others]}) == 4


def test_fractions_of_a_second_which_only_listings_tell_do_not_matter():
    assert arrival(at=NOON + timedelta(milliseconds=900)).version == arrival().version


@pytest.mark.parametrize(
    ("name", "begins_with"),
    [
        ("march gifts (2).csv", "march-gifts-2"),
        ("März Bücher.txt", "Marz-Bucher"),
        ("日本語.xlsx", "file"),
        ("𝟜𝟚.csv", "42"),
        ("---.csv", "file"),
        (" ..csv", "csv"),
        ("manual.csv", "file"),
        ("scheduled.txt", "file"),
        ("backfill", "file"),
        ("manual__x.csv", "manual-x"),
        ("asset_triggered.csv", "asset-triggered"),
        ("{{ conn.x.password }}.txt", "conn-x-password"),
        ("x" * 300 + ".csv", "x" * 60),
        ("x" * 59 + " y.csv", "x" * 59),
        ("a\x00b\u202ec.csv", "a-b-c"),
        ("march.20261129T112823Z__68fd0123456789ab.rejected.csv", "march"),
    ],
)
def test_the_id_of_a_run_begins_with_the_files_name(name, begins_with):
    assert arrival(key=f"items/incoming/gifts/{name}").run_id.partition("__")[0] == begins_with


@given(st.lists(st.text(max_size=200), min_size=2, max_size=6, unique=True))
def test_whatever_their_names_two_files_have_two_runs_that_airflow_takes(names):
    runs = [arrival(key=f"items/incoming/gifts/{name}").run_id for name in names]
    assert len({run_mark(run_id) for run_id in runs}) == len(names)
    for run_id in runs:
        assert re.fullmatch(r"[A-Za-z0-9-]{1,60}__\d{8}T\d{6}Z__[0-9a-f]{16}", run_id)
        assert not run_id.startswith(("manual__", "scheduled__", "backfill__"))


def test_two_versions_within_a_second_have_two_runs_and_other_reports():
    one, two = arrival(etag="e1"), arrival(etag="e2", at=NOON + timedelta(milliseconds=300))
    assert one.run_id != two.run_id
    assert ITEMS.report("a", one.run_id, ".csv") != ITEMS.report("a", two.run_id, ".csv")


# Names of what a run writes


@pytest.mark.parametrize(
    ("run_id", "mark"),
    [
        ("march-gifts__20261129T112823Z__68fd0123456789ab", "20261129T112823Z__68fd0123456789ab"),
        ("file__20261129T112823Z__68fd0123456789ab", "20261129T112823Z__68fd0123456789ab"),
        ("manual__2026-11-29T11:28:23.123456+00:00", "manual__2026-11-29T11:28:23.123456+00:00"),
        ("my_own", "my_own"),
        ("x__20261129T112823Z__68fd", "x__20261129T112823Z__68fd"),
    ],
)
def test_names_have_the_time_and_hash_of_a_files_run_and_the_id_of_a_run_by_hand(run_id, mark):
    assert ITEMS.report("a", run_id, ".csv") == f"items/reports/a.{mark}.csv"
    assert ITEMS.rejects("a", run_id, ".csv") == f"items/rejects/a.{mark}.rejected.csv"
    assert ITEMS.filed(loaded=True, stem="a", run_id=run_id, extension=".csv") == f"items/done/a.{mark}.csv"


@pytest.mark.parametrize(
    "run",
    [
        "20261129T112823Z__68fd0123456789ab",
        "file__20261129T112823Z__68fd0123456789ab",  # the version before
        "manual__2026-11-29T11:28:23.123456+00:00",
        "manual__2026-11-29T11_28_23.123456_00_00",  # as a browser saves it
        "my-own_run",
    ],
)
def test_the_ending_of_rejects_is_no_part_of_a_stem(run):
    assert safe_stem(f"march list.{run}.rejected.csv") == "march list"
    assert safe_stem(f"march list.{run}.rejected.{run}.rejected.csv") == "march list"


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("rejected.csv", "rejected"),
        ("march.rejected.csv", "march.rejected"),
        ("St. John rejected.csv", "St. John rejected"),
        ("march.20261129T112823Z__68fd0123456789ab.csv", "march.20261129T112823Z__68fd0123456789ab"),
        (".20261129T112823Z__68fd0123456789ab.rejected.csv", "20261129T112823Z__68fd0123456789ab.rejected"),
    ],
)
def test_other_names_keep_their_stem(name, stem):
    assert safe_stem(name) == stem


@pytest.mark.parametrize("name", ["march.csv", "x" * 300 + ".csv", "日本語.xlsx"])
def test_names_do_not_grow_with_each_round(name):
    names = [name]
    for day in range(1, 6):
        dropped = arrival(key=f"items/incoming/gifts/{names[-1]}", at=NOON + timedelta(days=day))
        stem = dropped_file(ITEMS, dropped.key).stem
        names.append(ITEMS.rejects(stem, dropped.run_id, ".csv").rpartition("/")[2])
    assert len({len(each) for each in names[1:]}) == 1


# Keys


def test_a_file_belongs_to_the_profile_of_its_folder():
    file = dropped_file(ITEMS, "items/incoming/gifts/2026/März list (2).CSV")
    assert (file.profile, file.stem, file.extension) == ("gifts", "März list (2)", ".csv")
    assert dropped_file(ITEMS, "items/done/x.run.txt", profile="maps").profile == "maps"
    assert dropped_file(ITEMS, "items/done/x.run.txt").profile is None


@pytest.mark.parametrize(
    "key",
    [
        "items/incoming/x.txt",
        "items/incoming/../x.txt",
        "items/incoming/gifts/../../config/x.yaml",
        "items/incoming/gifts/./x.txt",
        "items/incoming//x.txt",
        "items/incoming/gifts/a\x00b.txt",
        "items/incoming/gifts/a\nb.txt",
        "items/incoming/gifts/a\u202eb.txt",
        "items/incoming/gifts/a\\b.txt",
        "items/incoming/gi fts/x.txt",
        "items/incoming/-gifts/x.txt",
        "items/reports/x.csv",
        "config/item_profiles.yaml",
        "/items/incoming/gifts/x.txt",
        "",
    ],
)
def test_other_keys_are_refused_in_words(key):
    with pytest.raises(InputProblem) as refused:
        dropped_file(ITEMS, key)
    assert str(refused.value).isprintable()


@given(st.text(max_size=150))
def test_a_stem_is_harmless_whatever_the_name(name):
    stem = safe_stem(name)
    assert 0 < len(stem) <= 100
    assert not re.search(r"[\x00-\x1f\x7f/\\:*?\"<>|]", stem)
    assert ".." not in stem
    assert stem.strip(" .") == stem


@pytest.mark.parametrize(
    ("name", "extension"),
    [
        ("a.txt", ".txt"),
        ("a.tar.GZ", ".gz"),
        ("a", ""),
        (".txt", ""),
        ("a.not an ext", ""),
        ("a.", ""),
        ("a.csv ", ""),
    ],
)
def test_extensions(name, extension):
    assert extension_of(name) == extension


def test_text_from_outside_is_made_visible_and_short():
    assert printable("a\nb\x1b[31m") == "a\\u000ab\\u001b[31m"
    assert len(printable("x" * 9_000)) < 400


@pytest.mark.parametrize(
    ("key", "passed_over"),
    [
        ("items/incoming/g/list.txt.part", True),
        ("items/incoming/g/list.filepart", True),
        ("items/incoming/g/~$list.xlsx", True),
        ("items/incoming/g/.DS_Store", True),
        ("items/incoming/g/", True),
        ("items/incoming/g/list.TMP", True),
        ("items/incoming/g/partial.txt", False),
        ("items/incoming/g/tmp", False),
    ],
)
def test_names_of_files_that_are_still_written(key, passed_over):
    assert is_upload_in_transit(key) is passed_over


# What lies there


def test_all_incoming_folders_are_looked_into_the_oldest_file_first(bucket):
    for key in (
        "items/incoming/g/b.txt", "item-updates/incoming/alma/a.xml", "bibs/incoming/p/c.mrc",
        "items/incoming/g/d.txt.part", "items/done/x.txt", "west/exports/x.mrc", "items/incoming/g/empty.txt",
    ):  # fmt: skip
        bucket.put(key, b"" if "empty" in key else b"1")
    updates, bibs = Area("item-updates", "item_update"), Area("bibs", "bib_import")
    found = settled(bucket, settle=NOW, areas=(ITEMS, updates, bibs))
    assert {(each.key, each.area) for each in found} == {
        ("items/incoming/g/b.txt", ITEMS),
        ("items/incoming/g/empty.txt", ITEMS),
        ("item-updates/incoming/alma/a.xml", updates),
        ("bibs/incoming/p/c.mrc", bibs),
    }
    assert found == sorted(found, key=lambda each: (each.last_modified, each.key))


def test_a_file_that_just_changed_is_left_alone_for_a_while(bucket):
    bucket.put("items/incoming/g/a.txt", b"1")
    assert settled(bucket, settle=timedelta(hours=1)) == []
    assert len(settled(bucket, settle=NOW)) == 1


def test_a_file_is_given_time_to_settle_and_left_to_the_next_call_when_it_does_not(bucket, monkeypatch):
    bucket.put("items/incoming/g/a.txt", b"1")
    slept = []
    assert new_starts(bucket, at_most=9, settle=timedelta(hours=1), sleep=slept.append) == []
    assert slept == [3600.0]
    later = bucket.server_time() + timedelta(hours=2)
    monkeypatch.setattr(type(bucket), "server_time", lambda _: later)
    assert len(new_starts(bucket, at_most=9, settle=timedelta(hours=1), sleep=slept.append)) == 1
    assert slept == [3600.0]


def test_what_was_started_is_not_offered_again_and_is_forgotten_when_the_file_has_left(bucket):
    for name in ("a", "b", "c"):
        bucket.put(f"items/incoming/g/{name}.txt", name.encode())
    first = new_starts(bucket, at_most=2, settle=NOW)
    assert [start["trigger_dag_id"] for start in first] == ["item_creation"] * 2
    assert first[0]["conf"].keys() == {"key", "version"}
    assert note_starts(bucket, first, ["success", "skipped"]) == "1 run started, 1 was there already."
    second = new_starts(bucket, at_most=2, settle=NOW)
    assert len(second) == 1
    note_starts(bucket, second, ["success"])
    assert new_starts(bucket, at_most=2, settle=NOW) == []

    started = {start["trigger_run_id"] for start in first + second}
    bucket.delete(["items/incoming/g/a.txt"])
    remember_started(bucket, [])
    left = settled(bucket, settle=NOW)
    assert not_started(bucket, left) == []
    assert len(started & set(bucket.get(STARTED).decode().replace('"', " ").replace(",", " ").split())) == 2


def test_an_object_may_ask_for_a_dry_run_first(bucket):
    wanted = {"instead_of": None, "remarks": {DRY_RUN: "yes"}}
    assert bucket.put_beside("items/incoming/g/a.txt", io.BytesIO(b"1"), "text/plain", **wanted)
    assert not bucket.put_beside("items/incoming/g/a.txt", io.BytesIO(b"2"), "text/plain", **wanted)
    bucket.put("items/incoming/g/b.txt", b"1")
    asked = {
        start["conf"]["key"]: start["conf"].get("dry_run")
        for start in new_starts(bucket, at_most=9, settle=NOW)
    }
    assert asked == {"items/incoming/g/a.txt": True, "items/incoming/g/b.txt": None}
    first = bucket.info("items/incoming/g/a.txt")
    again = {"instead_of": first.etag, "remarks": {}}
    assert bucket.put_beside(first.key, io.BytesIO(b"2"), "text/plain", **again)
    assert not bucket.put_beside(first.key, io.BytesIO(b"3"), "text/plain", **again)
    assert bucket.get(first.key) == b"2"
    assert bucket.remarks(first.key) == {}
    assert bucket.remarks("items/incoming/g/gone.txt") == {}


def test_a_file_dropped_again_is_new(bucket, monkeypatch):
    bucket.put("items/incoming/g/a.txt", b"1")
    note_starts(bucket, new_starts(bucket, at_most=9, settle=NOW), ["success"])
    bucket.put("items/incoming/g/a.txt", b"2")
    assert len(new_starts(bucket, at_most=9, settle=NOW)) == 1


def test_a_start_that_failed_is_told_and_offered_again(bucket):
    for name in ("a", "b"):
        bucket.put(f"items/incoming/g/{name}.txt", name.encode())
    starts = new_starts(bucket, at_most=9, settle=NOW)
    with pytest.raises(NotAcceptable, match=r"1 of 2 runs could not be started \(items/incoming/g/b\.txt\)"):
        note_starts(bucket, starts, ["success", "failed"])
    assert [start["conf"]["key"] for start in new_starts(bucket, at_most=9, settle=NOW)] == [
        "items/incoming/g/b.txt"
    ]


def test_what_the_version_before_started_is_not_started_again(bucket):
    for name in ("a", "b"):
        bucket.put(f"items/incoming/g/{name}.txt", name.encode())
    a, b = settled(bucket, settle=NOW)
    gone = "file__20261119T112823Z__68fd0123456789ab"
    bucket.put(STARTED, json.dumps({"started": [f"file__{a.mark}", gone]}).encode())
    starts = new_starts(bucket, at_most=9, settle=NOW)
    assert [start["conf"]["key"] for start in starts] == [b.key]
    note_starts(bucket, starts, ["success"])
    assert new_starts(bucket, at_most=9, settle=NOW) == []
    assert json.loads(bucket.get(STARTED)) == {"started": sorted([a.run_id, b.run_id])}


@pytest.mark.parametrize("name", ["a.txt", "x" * 240 + ".txt", "`](http://x) <b>\n.txt"])
def test_a_run_has_a_note_with_key_and_size_that_airflow_takes(bucket, name):
    key = f"items/incoming/g/{name}"
    bucket.put(key, b"12345")
    (start,) = new_starts(bucket, at_most=9, settle=NOW)
    bucket.client.delete_object(Bucket=bucket.name, Key=key)
    assert start["note"].endswith("`, 5 bytes")
    assert start["note"].count("`") == 2
    assert start["note"].isprintable()
    assert len(start["note"]) <= 1000
    if name == "a.txt":
        assert start["note"] == "`items/incoming/g/a.txt`, 5 bytes"


def test_a_damaged_note_only_costs_a_few_starts_that_airflow_refuses(bucket):
    bucket.put("items/incoming/g/a.txt", b"1")
    for damage in (b"", b"{", b"[]", b'{"started": null}'):
        bucket.put(STARTED, damage)
        assert len(new_starts(bucket, at_most=9, settle=NOW)) == 1
