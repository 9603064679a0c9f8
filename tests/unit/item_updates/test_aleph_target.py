"""Item updates in Aleph: each outcome, before and after, what is kept for later attempts, and others at the item."""

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import alma_sandbox
from alma_etl.aleph.client import AlephClient
from alma_etl.aleph.writes import RESTORED
from alma_etl.aleph.z30 import ItemKey, read_record
from alma_etl.remote import xml
from alma_etl.remote.errors import RemoteStop
from alma_etl.store.bucket import Bucket
from alma_etl.store.locks import open_locks
from tests.e2e.death import Reaper, WorkerKilled
from tests.stores import sqlite_store
from tests.unit.aleph import seed
from tests.unit.aleph.bench import Aleph
from tests.unit.item_updates.aleph_runs import Run, row

pytestmark = pytest.mark.timeout(120)

UPDATES, READS = "op=update.item", "op=read.item"


@pytest.fixture(scope="module")
def aleph_sandbox() -> Iterator[alma_sandbox.Running]:
    with alma_sandbox.serve(alma_sandbox.Settings(titles=10, per_second=0)) as running:
        yield running


@pytest.fixture
def aleph(aleph_sandbox: alma_sandbox.Running) -> Iterator[Aleph]:
    made = Aleph(aleph_sandbox)
    yield made
    made.heal()
    made.close()


@pytest.fixture
def store(tmp_path: Any) -> str:
    return sqlite_store(tmp_path / "store.db")


@pytest.fixture
def run(aleph: Aleph, store: str, s3: Any) -> Callable[..., Run]:
    bucket = Bucket(s3.client(), s3.name)

    def make(*rows: dict[str, Any], client: AlephClient | None = None, **more: Any) -> Run:
        return Run(bucket, store, client or aleph.client(), *rows, **more)

    return make


def test_outcomes_before_and_after(aleph: Aleph, run: Callable[..., Run]) -> None:
    old = aleph.values()
    third = aleph.values(ItemKey("3", "10"))
    ends = run(
        row(note_opac="Seen", description="", collection=old["collection"]),
        row("3", note_opac=third["note-opac"], no_loans=str(int(third["no-loans"]))),
        row("2", "990", note_opac="x"),
        row("4", sub_library="XXX"),
        row("5", item_status="Regular loan"),
        row("6", barcode="not-its-barcode", note_opac="x"),
        row("7", note_opac="x" * 20_000),
    ).whole()
    assert [end["outcome"] for end in ends] == [
        "updated", "unchanged", "not_found", "refused", "invalid_row", "invalid_row", "invalid_row",
    ]  # fmt: skip
    assert ends[0]["changes"] == {
        "note-opac": [old["note-opac"], "Seen"],
        "description": [old["description"], ""],
        "collection": [old["collection"], old["collection"]],
    }
    assert (ends[0]["changed"], ends[0]["barcode"], ends[0]["message"]) == (
        "note-opac;description", old["barcode"], "",
    )  # fmt: skip
    assert ends[1]["changes"]["no-loans"] == [third["no-loans"], third["no-loans"]]
    assert "no item exist" in ends[2]["message"]
    assert "Sub-library XXX is not valid" in ends[3]["message"]
    assert "words that stand for one" in ends[4]["message"]
    assert "is not the item's" in ends[5]["message"]
    assert "20,000" in ends[6]["message"]
    assert aleph.calls("update-item") == 2


def test_calls_a_changed_item_has_two_an_unchanged_one_one(aleph: Aleph, run: Callable[..., Run]) -> None:
    keys = [(number, "10") for number in ("2", "3", "4", "5")]
    rows = [row(*key, note_internal="Counted") for key in keys]
    assert {end["outcome"] for end in run(*rows).whole()} == {"updated"}
    assert (aleph.calls("read-item"), aleph.calls("update-item")) == (4, 4)
    assert {end["outcome"] for end in run(*rows, name="run-2").whole()} == {"unchanged"}
    assert (aleph.calls("read-item"), aleph.calls("update-item")) == (8, 4)


def test_without_undo_a_changed_item_has_one_call_and_no_before(
    aleph: Aleph, run: Callable[..., Run]
) -> None:
    (end,) = run(row(note_internal="Counted"), undo=False).whole()
    assert (end["outcome"], end["changes"], aleph.calls()) == ("updated", {}, 1)
    (end,) = run(row(barcode=aleph.values()["barcode"], note_internal="x"), undo=False, name="run-2").whole()
    assert (end["outcome"], aleph.calls()) == ("updated", 3), (
        "a barcode that the row names is looked at first"
    )


def test_a_dry_run_writes_nothing_and_says_what_would_be(aleph: Aleph, run: Callable[..., Run]) -> None:
    old = aleph.values()
    aleph.staff(temporary={"collection": "PER"})
    ends = run(
        row(collection="MIC"),
        row("3"),
        row("3", "990", note_opac="x"),
        row("4", barcode="no", note_opac="x"),
        dry_run=True,
    ).whole()
    assert [end["outcome"] for end in ends] == ["would_update", "invalid_row", "not_found", "invalid_row"]
    assert ends[0]["changes"] == {"collection": ["PER", "MIC"]}
    assert RESTORED in ends[0]["message"]
    assert aleph.calls("update-item") == 0
    assert aleph.values()["note-opac"] == old["note-opac"]


def test_a_rerun_and_a_cleared_task_write_nothing(aleph: Aleph, run: Callable[..., Run]) -> None:
    made = run(row(note_opac="Seen"), row("3", note_opac="Seen"))
    first = made.whole()
    made.update()
    assert made.ends() == first
    assert aleph.calls("update-item") == 2
    assert aleph.calls("read-item") == 2


def test_one_item_twice_in_a_file_is_changed_in_order(aleph: Aleph, run: Callable[..., Run]) -> None:
    old = aleph.values()["note-opac"]
    ends = run(row(note_opac="One"), row("0002", "00010", note_opac="Two")).whole()
    assert [end["changes"]["note-opac"] for end in ends] == [[old, "One"], ["One", "Two"]]
    assert aleph.values()["note-opac"] == "Two"


def test_the_documented_request_is_applied_as_it_stands(aleph: Aleph, run: Callable[..., Run]) -> None:
    sent = xml.child(xml.parse(seed.REQUEST.encode()), "z30")
    assert sent is not None
    record = read_record(sent)
    values = {
        name: text for name, text in record.fields.items() if name not in ("doc-number", "item-sequence")
    }
    old = {**aleph.values(), "doc-number": "51077", "item-sequence": "10", "barcode": "B51871"}
    aleph.control("POST", "aleph/items", {"items": [old]})
    given = {**row("51077", "10"), "values": values}
    (end,) = run(given).whole()
    assert end["outcome"] == "updated"
    assert (end["barcode"], end["changes"]["barcode"]) == ("B51872", ["B51871", "B51872"])
    assert "update-date" not in end["changes"], "what Aleph writes itself is neither compared nor undone"
    assert "Aleph writes it itself" in end["message"]
    (again,) = run(given, name="run-2").whole()
    assert (again["outcome"], again["changed"]) == ("unchanged", "")
    back = {**row("51077", "10"), "values": {name: before for name, (before, _) in end["changes"].items()}}
    assert run(back, name="run-3").whole()[0]["outcome"] == "updated"
    now = aleph.values(ItemKey("51077", "10"))
    undone = {name for name in now if now[name] != old[name].zfill(len(now[name])) and now[name] != old[name]}
    assert undone <= {"update-date", "cataloger", "upd-time-stamp", "process-status-date", "call-no-key"}


def test_the_documented_pair_of_other_keys_is_decided_by_read_item(
    aleph: Aleph, run: Callable[..., Run]
) -> None:
    aleph.faults({"kind": "other_key", "path": UPDATES, "times": 1})
    (end,) = run(row(note_opac="Seen")).whole()
    assert (end["outcome"], aleph.calls("update-item")) == ("updated", 1)
    assert "another item" in end["message"]


def test_short_term_requests_are_refused_and_both_texts_of_a_success_beside_it_kept(
    aleph: Aleph, run: Callable[..., Run]
) -> None:
    aleph.staff(values={"item-status": "91"}, booking={"requests": 1})
    aleph.faults(
        {"kind": "aleph_error", "path": f"{UPDATES}.*doc=0*3", "messages": [seed.SHORT_TERM], "applied": True}
    )
    ends = run(row(item_status="01"), row("3", note_opac="Seen")).whole()
    assert [end["outcome"] for end in ends] == ["refused", "updated"]
    assert "Item has Short-term requests" in ends[0]["message"]
    assert "Short-term requests" in ends[1]["message"]
    assert seed.SUCCESS in ends[1]["message"]


def test_a_part_that_was_not_taken_is_named(aleph: Aleph, run: Callable[..., Run]) -> None:
    old = aleph.values()["note-opac"]
    aleph.faults({"kind": "ignore", "path": UPDATES, "fields": ["note-opac"]})
    (end,) = run(row(note_opac="Seen", note_internal="Taken")).whole()
    assert end["outcome"] == "not_applied"
    assert "did not take note-opac" in end["message"]
    assert end["changes"]["note-opac"] == [old, old]
    assert end["changes"]["note-internal"][1] == "Taken"


def test_an_unknown_text_beside_a_success_is_kept(aleph: Aleph, run: Callable[..., Run]) -> None:
    note = "Please note the new shelf"
    aleph.faults({"kind": "aleph_error", "path": UPDATES, "messages": [note], "applied": True})
    (end,) = run(row(note_opac="Seen")).whole()
    assert end["outcome"] == "updated"
    assert note in end["message"]
    assert seed.SUCCESS in end["message"]


@pytest.mark.parametrize("kind", ["maintenance", "bad_gateway", "drop"])
def test_a_server_that_answers_html_ends_the_row_and_not_the_run(
    aleph: Aleph, run: Callable[..., Run], kind: str
) -> None:
    aleph.faults(
        {"kind": kind, "path": f"{READS}.*doc=0*2&"},
        {"kind": kind, "path": f"{UPDATES}.*doc=0*3&", "applied": False},
        {"kind": kind, "path": f"{READS}.*doc=0*3&", "nth": list(range(2, 20))},
    )
    ends = run(row(note_opac="x"), row("3", note_opac="x"), row("4", note_opac="x")).whole()
    assert [end["outcome"] for end in ends] == ["failed", "unconfirmed", "updated"]


@pytest.mark.parametrize(
    ("access", "settings"),
    [
        ({"library": "USM01"}, {}),
        ({"user": "READER", "password": "READER"}, {}),
        ({}, {"aleph_access": "refused"}),
    ],
)
def test_what_every_row_would_get_stops_the_run(
    aleph: Aleph, run: Callable[..., Run], access: dict[str, Any], settings: dict[str, Any]
) -> None:
    aleph.settings(**settings)
    rows = [row(str(number), note_opac="x") for number in range(2, 9)]
    made = run(*rows, client=aleph.client(**access))
    made.read()
    with pytest.raises(RemoteStop):
        made.update()
    assert aleph.calls() < 3 * len(rows)  # read, update, update after signing in; and not all of them
    made.finish()
    table = made.bucket.get("item-updates/reports/rows.run-1.csv").decode().splitlines()[1:]
    assert len(table) == len(rows)
    assert all(",failed," in line for line in table)
    assert sum("not tried" in line for line in table) >= 1


# Killed workers, other people, other workers


@pytest.fixture
def reaper(monkeypatch: pytest.MonkeyPatch) -> Reaper:
    return Reaper(monkeypatch)


@pytest.mark.parametrize("undo", [True, False])
def test_a_kill_at_every_moment_loses_nothing_and_writes_nothing_twice(
    aleph: Aleph, run: Callable[..., Run], reaper: Reaper, undo: bool
) -> None:
    keys = [ItemKey("2", "10"), ItemKey("3", "10")]
    old = [aleph.values(key)["note-opac"] for key in keys]
    rows = [row("2", note_opac="Seen"), row("3", note_opac="Seen")]
    made = run(*rows, undo=undo)
    made.read()
    begun = 0
    for moment in range(1, 40):
        aleph.control("POST", "reset")
        made = run(*rows, undo=undo, name=f"kill-{moment}")
        made.read()
        reaper.fresh_process(kill_at=moment)
        try:
            made.update()
        except WorkerKilled:
            begun += 1
        else:
            break
        aleph.come_to_rest()
        reaper.fresh_process()
        made.update()
        ends = made.ends()
        assert [end["outcome"] for end in ends] == ["updated", "updated"], moment
        if undo:
            assert [end["changes"]["note-opac"] for end in ends] == [[each, "Seen"] for each in old], moment
        assert aleph.calls("update-item") <= 3 if not undo else aleph.calls("update-item") == 2, moment
    assert begun >= 6


def test_what_somebody_changed_before_a_cleared_run_is_a_conflict(
    aleph: Aleph, run: Callable[..., Run], reaper: Reaper
) -> None:
    made = run(row(note_opac="Ours", note_internal="Ours"))
    made.read()
    aleph.faults(
        {"kind": "drop", "path": UPDATES, "applied": False},
        {"kind": "drop", "path": READS, "nth": list(range(2, 30))},
    )
    made.update()
    assert made.ends()[0]["outcome"] == "unconfirmed"
    aleph.heal()
    aleph.staff(values={"note-opac": "Theirs"})
    made.update()
    (end,) = made.ends()
    assert end["outcome"] == "conflict"
    assert "note-opac" in end["message"]
    assert "Theirs" in end["message"]
    assert aleph.values()["note-opac"] == "Theirs"


def test_a_lost_answer_that_was_taken_is_updated_with_the_values_of_before(
    aleph: Aleph, run: Callable[..., Run]
) -> None:
    old = aleph.values()["note-opac"]
    made = run(row(note_opac="Ours"))
    made.read()
    aleph.faults(
        {"kind": "drop", "path": UPDATES, "applied": True},
        {"kind": "drop", "path": READS, "nth": list(range(2, 30))},
    )
    made.update()
    assert made.ends()[0]["outcome"] == "unconfirmed"
    aleph.heal()
    made.update()
    (end,) = made.ends()
    assert (end["outcome"], end["changes"]["note-opac"]) == ("updated", [old, "Ours"])
    assert aleph.calls("update-item") == 1


def test_two_of_ours_wait_for_each_other_at_one_item(
    aleph: Aleph, run: Callable[..., Run], store: str
) -> None:
    made = run(row(note_opac="Ours"))
    made.read()
    done = threading.Event()
    with open_locks(store) as locks, locks.hold(f"item 2/10 of aleph {made.client.host} USM50"):
        worker = threading.Thread(target=lambda: (made.update(), done.set()))
        worker.start()
        assert not done.wait(0.4)
        assert aleph.calls() == 0
    worker.join(30)
    assert made.ends()[0]["outcome"] == "updated"


def test_a_lock_that_is_lost_writes_nothing(
    aleph: Aleph, run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alma_etl.store.locks._Files.holds", lambda *_: False)
    (end,) = run(row(note_opac="Ours")).whole()
    assert end["outcome"] == "failed"
    assert "lock" in end["message"]
    assert aleph.calls("update-item") == 0


def test_nothing_of_the_form_is_in_what_a_run_leaves(
    aleph: Aleph, run: Callable[..., Run], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "unlikely-test-word"
    aleph.settings(aleph_users={"BATCH": ["UPD-ITEM", "READ-ITEM"]})
    made = run(row(note_opac="x"), client=aleph.client(user="BATCH", password="BATCH"))
    made.whole()
    session = made.client._session
    made.finish()
    other = run(row(note_opac="y"), client=aleph.client(user="BATCH", password=secret), name="run-2")
    other.read()
    with pytest.raises(RemoteStop):
        other.update()
    other.finish()
    left = b"".join(made.bucket.get(info.key) for info in made.bucket.list("")) + caplog.text.encode()
    assert len(session) > 20
    for word in (secret, session, "xml_full_req", "user_password"):
        assert word.encode() not in left, word
