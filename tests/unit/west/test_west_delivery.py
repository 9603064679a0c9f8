"""Delivery: three objects under one stem, the MARC21 file last; and the same by SFTP."""

import hashlib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime

import pytest

from alma_etl import __version__
from alma_etl.errors import NotAcceptable
from alma_etl.store.bucket import Bucket
from alma_etl.west.assembly import assemble_delivery, assembled_key
from alma_etl.west.delivery import DryRun, deliver, delivered_keys, delivery_event
from alma_etl.west.run import InputCounts
from tests.unit.west.builders import RUN
from tests.unit.west.chunks import delivered, row, write_run
from tests.unit.west.sftp import Habits, sftp_server

pytestmark = pytest.mark.heavy

NOW = datetime(2026, 11, 21, 3, 4, 5, 678, tzinfo=UTC)
STEM = "ZZMAIN.alma.archived.20261120"
FOLDER = "west/deliveries/"
KEYS = [f"{FOLDER}{STEM}.manifest.json", f"{FOLDER}{STEM}.outcomes.csv", f"{FOLDER}{STEM}.mrc"]


def assembled(folder, *chunks, **settings):
    write_run(folder, *chunks, **settings)
    assemble_delivery(folder)
    return folder


def in_the_bucket(folder) -> list[str]:
    return [each.key for each in folder.bucket.list(FOLDER)]


def manifest(folder, stem: str = STEM) -> dict:
    return json.loads(folder.bucket.get(f"{FOLDER}{stem}.manifest.json"))


def test_manifest_outcomes_and_at_last_the_file(folder, monkeypatch):
    assembled(folder, delivered(1, 2))
    order = []
    put, copy = Bucket.put, Bucket.copy
    monkeypatch.setattr(Bucket, "put", lambda self, key, *args: (order.append(key), put(self, key, *args))[1])
    monkeypatch.setattr(Bucket, "copy", lambda self, *pair: (order.append(pair[1]), copy(self, *pair))[1])
    assert deliver(folder, now=NOW) == KEYS
    assert [key for key in order if key.startswith(FOLDER)] == KEYS
    assert folder.bucket.get(KEYS[2]) == b"<record of 1><record of 2>"
    assert folder.bucket.get(KEYS[1]) == folder.bucket.get(assembled_key(folder, f"{STEM}.outcomes.csv"))
    assert delivered_keys(folder) == KEYS


@pytest.mark.quick
def test_the_manifest(folder):
    counts = InputCounts(total=5, titles=3, repeated=2)
    assembled(folder, [*delivered(1, 2), row(3, None, "no_holding")], counts=counts, list_mode="exact")
    deliver(folder, now=NOW)
    data = folder.bucket.get(KEYS[2])
    assert manifest(folder) == {
        "file": f"{STEM}.mrc",
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "records": 2,
        "symbol": "ZZMAIN",
        "source": "set 59000000000004401",
        "run_id": RUN,
        "created_at": "2026-11-21T03:04:05+00:00",
        "counts": {
            "not_found": 0,
            "no_holding": 1,
            "failed": 0,
            "suppressed": 0,
            "excluded_location": 0,
            "no_commitment": 0,
            "bad_marc": 0,
            "delivered": 2,
        },
        "titles": 3,
        "holdings": 2,
        "version": __version__,
        "list_mode": "exact",
        "input": {"total": 5, "titles": 3, "repeated": 2, "missing": 0, "bad_records": 0},
        "compared_with": None,
        "dropped": 0,
    }


@pytest.mark.quick
def test_a_shut_gate_lets_nothing_out_and_says_why(folder):
    assembled(folder, [row(1, 1, "failed", "x"), *delivered(2)])
    with pytest.raises(NotAcceptable, match=r"Nothing was delivered\. 1 of 2 holdings or titles failed"):
        deliver(folder, now=NOW)
    assert (in_the_bucket(folder), delivered_keys(folder)) == ([], [])


@pytest.mark.quick
def test_a_dry_run_delivers_nothing_and_names_the_place(folder):
    assembled(folder, delivered(1), dry_run=True)
    with pytest.raises(DryRun, match=r"runs/west_holdings/.*/delivery/"):
        deliver(folder, now=NOW)
    assert (in_the_bucket(folder), delivered_keys(folder)) == ([], [])
    assert folder.bucket.get(assembled_key(folder, f"{STEM}.mrc")) == b"<record of 1>"


@pytest.mark.parametrize("limit", [1, 1000])
def test_a_run_with_a_limit_never_delivers_not_even_the_first_time(folder, limit):
    assembled(folder, delivered(1), limit=limit)
    with pytest.raises(DryRun, match=r"with a limit does not deliver.*runs/west_holdings/.*/delivery/"):
        deliver(folder, now=NOW, partner=untouchable())
    assert (in_the_bucket(folder), delivered_keys(folder)) == ([], [])


def test_a_run_with_a_limit_leaves_the_last_delivery_as_it_is(folder):
    assembled(folder, delivered(*range(50)))
    deliver(folder, now=NOW)
    before = {key: folder.bucket.get(key) for key in KEYS}
    assert assembled(folder, delivered(1), limit=1)
    with pytest.raises(DryRun):
        deliver(folder, now=NOW, partner=untouchable())
    assert {key: folder.bucket.get(key) for key in in_the_bucket(folder)} == before


@contextmanager
def untouchable():
    """A partner to whom nothing may be sent."""
    raise AssertionError("the partner's server was reached")
    yield None, "."


def test_the_event_of_a_delivery_says_what_was_delivered(folder):
    rows = [row(1, 1, symbol="ZZLAW"), row(2, None, "no_holding")]
    assembled(folder, rows, symbol_by_library={"LAW": "ZZLAW", "SCI": "ZZSCI"})
    deliver(folder, now=NOW)
    event = delivery_event(folder)
    assert json.loads(json.dumps(event)) == event
    assert (event["run_id"], event["bucket"]) == (RUN, folder.bucket.name)
    by_symbol = {each["symbol"]: each for each in event["files"]}
    assert by_symbol.keys() == {"ZZLAW", "ZZMAIN"}
    law = by_symbol["ZZLAW"]
    assert law["sha256"] == hashlib.sha256(folder.bucket.get(law["key"])).hexdigest()
    assert law["records"] == 1
    assert by_symbol["ZZMAIN"]["key"] is by_symbol["ZZMAIN"]["sha256"] is None
    named = {each[name] for each in event["files"] for name in ("key", "manifest", "outcomes")} - {None}
    assert named == set(delivered_keys(folder))


def test_a_second_run_of_the_day_replaces_all_three(folder):
    assembled(folder, delivered(1, 2))
    deliver(folder, now=NOW)
    assembled(folder, delivered(1, 2, 3))
    deliver(folder, now=NOW)
    assert in_the_bucket(folder) == sorted(KEYS)
    assert folder.bucket.get(KEYS[2]).endswith(b"<record of 3>")
    assert manifest(folder)["records"] == 3
    assert folder.bucket.get(KEYS[1]).count(b"\n") == 4


def test_another_day_is_another_delivery(folder):
    folder.bucket.put(f"{FOLDER}ZZMAIN.alma.archived.20261119.mrc", b"yesterday")
    assembled(folder, delivered(1))
    deliver(folder, now=NOW)
    assert folder.bucket.get(f"{FOLDER}ZZMAIN.alma.archived.20261119.mrc") == b"yesterday"
    assert manifest(folder)["compared_with"] == "ZZMAIN.alma.archived.20261119"


def test_several_symbols(folder):
    rows = [row(1, 1, symbol="ZZLAW"), row(2, None, "no_holding")]
    assembled(folder, rows, symbol_by_library={"LAW": "ZZLAW", "SCI": "ZZSCI"})
    keys = deliver(folder, now=NOW)
    law = [
        f"{FOLDER}ZZLAW.alma.archived.20261120{ending}"
        for ending in (".manifest.json", ".outcomes.csv", ".mrc")
    ]
    assert keys == [
        *law,
        KEYS[0],
        KEYS[1],
    ]  # the common symbol has a title to tell of, but no record; ZZSCI nothing
    assert in_the_bucket(folder) == sorted(keys)
    assert (manifest(folder)["file"], manifest(folder)["records"]) == (None, 0)


def test_the_file_of_an_earlier_run_of_the_day_goes_when_nothing_is_left_of_it(folder):
    settings = {"symbol_by_library": {"LAW": "ZZLAW"}, "max_drop": 1}
    assembled(folder, [row(1, 1, symbol="ZZLAW"), row(2, 2)], **settings)
    deliver(folder, now=NOW)
    assembled(folder, [row(1, 1, symbol="ZZLAW"), row(2, None, "no_holding")], **settings)
    deliver(folder, now=NOW)
    assert folder.bucket.info(KEYS[2]) is None
    assert manifest(folder)["records"] == 0


def test_an_interrupted_delivery_is_not_taken_for_one(folder, monkeypatch):
    assembled(folder, delivered(1))
    deliver(folder, now=NOW)
    monkeypatch.setattr(Bucket, "copy", lambda *_: (_ for _ in ()).throw(OSError("the server is gone")))
    with pytest.raises(OSError, match="gone"):
        deliver(folder, now=NOW)
    assert delivered_keys(folder) == []


# --- by SFTP


def by_sftp(folder, tmp_path, habits: Habits, target: str = "in") -> None:
    (tmp_path / "in").mkdir(exist_ok=True)
    with sftp_server(tmp_path, habits) as client:
        deliver(folder, now=NOW, partner=nullcontext((client, target)))


def files(tmp_path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in (tmp_path / "in").iterdir()}


@contextmanager
def unreachable() -> Iterator[tuple[None, str]]:
    raise ConnectionRefusedError("the partner's server is down")
    yield None, "."


@pytest.mark.parametrize(
    ("rows", "settings", "raised"),
    [
        ([row(1, 1, "failed", "x"), *delivered(2)], {}, NotAcceptable),
        (delivered(1), {"dry_run": True}, DryRun),
        (delivered(1), {}, ConnectionRefusedError),
    ],
)
def test_the_partner_is_not_asked_for_unless_there_is_something_to_deliver(folder, rows, settings, raised):
    assembled(folder, rows, **settings)
    with pytest.raises(raised):
        deliver(folder, now=NOW, partner=unreachable())
    assert (in_the_bucket(folder), delivered_keys(folder)) == ([], [])


def test_under_a_temporary_name_first_and_the_file_last(folder, tmp_path):
    assembled(folder, delivered(1, 2))
    habits = Habits()
    by_sftp(folder, tmp_path, habits)
    assert habits.did == [
        ("open", f"{STEM}.manifest.json.part"),
        ("posix_rename", f"{STEM}.manifest.json.part", f"{STEM}.manifest.json"),
        ("open", f"{STEM}.mrc.part"),
        ("posix_rename", f"{STEM}.mrc.part", f"{STEM}.mrc"),
    ]
    assert files(tmp_path) == {
        f"{STEM}.mrc": b"<record of 1><record of 2>",
        f"{STEM}.manifest.json": folder.bucket.get(KEYS[0]),
    }


@pytest.mark.parametrize("habits", [Habits(), Habits(posix_rename=False)])
def test_a_second_run_of_the_day_replaces_whatever_the_server_can(folder, tmp_path, habits):
    assembled(folder, delivered(1))
    by_sftp(folder, tmp_path, habits)
    assembled(folder, delivered(1, 2))
    by_sftp(folder, tmp_path, habits)
    assert sorted(files(tmp_path)) == [f"{STEM}.manifest.json", f"{STEM}.mrc"]
    assert files(tmp_path)[f"{STEM}.mrc"] == b"<record of 1><record of 2>"


def test_a_server_that_neither_replaces_nor_removes_keeps_its_file_whole(folder, tmp_path):
    habits = Habits(posix_rename=False)
    assembled(folder, delivered(1))
    by_sftp(folder, tmp_path, habits)
    habits.removes = False
    assembled(folder, delivered(1, 2))
    with pytest.raises(OSError, match="may not be removed"):
        by_sftp(folder, tmp_path, habits)
    assert files(tmp_path)[f"{STEM}.mrc"] == b"<record of 1>"
    assert delivered_keys(folder) == []


def test_a_file_that_does_not_get_through_never_has_its_final_name(folder, tmp_path):
    assembled(folder, [row(1, 1, data=b"x" * 500_000)])
    with pytest.raises(OSError, match="size mismatch"):
        by_sftp(folder, tmp_path, Habits(room=100_000))
    assert f"{STEM}.mrc" not in files(tmp_path)
    assert delivered_keys(folder) == []
    by_sftp(folder, tmp_path, Habits())
    assert files(tmp_path)[f"{STEM}.mrc"] == b"x" * 500_000
    assert sorted(files(tmp_path)) == [f"{STEM}.manifest.json", f"{STEM}.mrc"]


@pytest.mark.parametrize("target", ["in", "in/", "/in", "./in"])
def test_the_folder_may_be_written_in_any_way(folder, tmp_path, target):
    assembled(folder, delivered(1))
    by_sftp(folder, tmp_path, Habits(), target)
    assert sorted(files(tmp_path)) == [f"{STEM}.manifest.json", f"{STEM}.mrc"]


@pytest.mark.parametrize("target", [".", "/", ""])
def test_the_folder_may_be_the_one_of_the_login(folder, tmp_path, target):
    assembled(folder, delivered(1))
    by_sftp(folder, tmp_path, Habits(), target)
    assert (tmp_path / f"{STEM}.mrc").read_bytes() == b"<record of 1>"


def test_a_symbol_without_records_is_not_sent(folder, tmp_path):
    rows = [row(1, 1, symbol="ZZLAW"), row(2, None, "no_holding")]
    assembled(folder, rows, symbol_by_library={"LAW": "ZZLAW"})
    by_sftp(folder, tmp_path, Habits())
    assert sorted(files(tmp_path)) == [
        "ZZLAW.alma.archived.20261120.manifest.json",
        "ZZLAW.alma.archived.20261120.mrc",
    ]


def test_what_was_delivered_is_told(folder, caplog):
    caplog.set_level(logging.INFO)
    assembled(folder, delivered(1, 2))
    deliver(folder, now=NOW)
    assert f"Delivered {KEYS[2]}: 2 records, 26 bytes" in [each.message for each in caplog.records]
