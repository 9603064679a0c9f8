"""The job of item updates step by step: one z30 file in both systems, undone by its undo files; dry runs; reruns."""

import io
import itertools
from collections import Counter
from contextlib import nullcontext
from datetime import date

import openpyxl
import pytest

from alma_etl.aleph.client import AlephAccess, AlephClient
from alma_etl.alma.client import AlmaClient
from alma_etl.errors import NotAcceptable, RunStopped
from alma_etl.item_updates.job import ItemUpdates
from alma_etl.jobs.file_job import JobContext
from alma_etl.jobs.places import ITEM_UPDATES
from alma_etl.remote.limiter import LocalLimiter
from alma_etl.store.bucket import Bucket
from alma_sandbox import Settings, serve
from tests.e2e.item_updates import AREA, SAME, BothSystems, Updated, shown
from tests.stores import sqlite_store
from tests.unit.item_updates.files import many, z30

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]

JOB = ItemUpdates(ITEM_UPDATES)


class UpdateRun:
    """One run on a dropped file; `whole` does all steps."""

    def __init__(self, world, key, run_id, params):
        self.world, self.run_id, self.state = world, run_id, ""
        self.params = {"key": key, **params}
        self.folder = JOB.run_folder(world.bucket, run_id, "item_update")

    def context(self, **given):
        """What a task gives to its step."""
        return JobContext(
            folder=self.folder, params=self.params, day=date(2026, 11, 20), store_url=lambda: self.world.store,
            open_client=lambda kind: nullcontext(self.world.clients[kind]), **given,
        )  # fmt: skip

    def whole(self):
        """All steps, as the DAG does them; what it left."""
        states = {}
        try:
            chunks = len(JOB.read(self.context()))
            JOB.run_step("check", self.context())
            for number in range(1, chunks + 1):
                JOB.chunk_step("update", self.context(), number)
        except RunStopped as stopped:
            states = {"update_items": f"failed: {stopped}"}
        final = self.context(task_states=states)
        JOB.report(final)
        JOB.file_away(final)
        try:
            JOB.check_outcome(final)
            self.state = "success"
        except NotAcceptable:
            self.state = "failed"
        return Updated(self.world.bucket, self, self.params["key"].rpartition("/")[2].rpartition(".")[0])


class World:
    """Both systems, their clients, a bucket and a store."""

    def __init__(self, bucket, both, store):
        limiter = LocalLimiter(100_000)
        given = {"limiter": limiter, "attempts": 3, "backoff": 0.001, "sleep": lambda _: None}
        self.bucket, self.both, self.store = bucket, both, store
        self.clients = {
            "alma": AlmaClient(both.url, "sandbox", **given),
            "aleph": AlephClient(AlephAccess(both.url, "USM50", "WWW-X", "WWW-X"), **given),
        }
        self._numbers = itertools.count(1)

    def update(self, profile, name, body, **params):
        """Drop a file into the folder of a profile, and run."""
        key = f"{AREA}/incoming/{profile}/{name}"
        self.bucket.put(key, body.encode() if isinstance(body, str) else body)
        return UpdateRun(self, key, f"run-{next(self._numbers)}", params).whole()


@pytest.fixture(scope="module")
def sandbox_url():
    with serve(Settings(per_second=0, titles=300)) as running:
        yield running.url


@pytest.fixture
def world(sandbox_url, s3, tmp_path):
    """Both systems as they are at first."""
    both = BothSystems(sandbox_url)
    both.reset()
    bucket = Bucket(s3.client(), s3.name)
    bucket.put("config/item_update_profiles.yaml", both.profiles())
    found = World(bucket, both, sqlite_store(tmp_path / "store.db"))
    yield found
    for client in found.clients.values():
        client.close()


def some(both, count):
    """Items, each of its own title: title, pid and barcode."""
    found = {}
    for item in both.aleph_items().values():
        mms_id, pid = item["alma"]["mms_id"], item["alma"]["item_pid"]
        found.setdefault(mms_id, (mms_id, pid, item["values"]["barcode"]))
    return list(found.values())[:count]


def test_a_list_changes_what_it_names_reports_every_row_and_its_undo_file_restores_all(world):
    both = world.both
    items = some(both, 4)
    titles = [mms_id for mms_id, _, _ in items]
    before = both.alma_items(titles)
    (_, p1, b1), (m2, p2, _), (_, p3, b3), (_, p4, b4) = items
    body = (
        "barcode,mms_id,item_pid,new_barcode,item_policy,public_note,title\n"
        f"{b1},,,,03,=at the desk,Emma\n,{m2},{p2},NEW-2,02,,\n{b3},,,,02,,\nNOBODY-HAS-IT,,,,01,,\n"
        f"{b4},,,,NO-SUCH,,\n,,,,01,,\n{b1},,,,02,twice,\n"
    )
    done = world.update("alma", "policies.csv", body)
    assert done.ends() == [
        (2, "updated"), (3, "updated"), (4, "updated"), (5, "not_found"), (6, "refused"), (7, "invalid_row"),
        (8, "updated"),
    ]  # fmt: skip
    assert done.state == "success"
    assert "title is not written" in done.message(2)
    assert "line 8 after it" in done.message(2)
    assert "line 2 before it" in done.message(8)
    now = both.alma_items(titles)
    policies = [now[pid]["item_data"]["policy"]["value"] for pid in (p1, p2, p3, p4)]
    assert policies == ["02", "02", "02", before[p4]["item_data"]["policy"]["value"]]
    assert now[p1]["item_data"]["public_note"] == "twice"
    assert now[p2]["item_data"]["barcode"] == "NEW-2"
    sheet = openpyxl.load_workbook(io.BytesIO(done.report(".xlsx"))).active
    cells = [[cell.value for cell in row] for row in sheet.iter_rows()]
    assert cells[0][-2:] == ["before", "after"]
    assert "public_note: =at the desk" in cells[1][-1]
    assert done.rejects().decode().splitlines()[1:] == body.splitlines()[4:7]
    name, undo = done.undo()
    assert name.endswith(".undo.csv")
    assert [line.split(",")[0] for line in undo.decode().splitlines()] == ["item_pid", p1, p3, p2]
    back = world.update("alma", name, undo)
    assert (back.state, back.counts()) == ("success", {"updated": 3})
    assert both.alma_items(titles) == before


def test_a_second_run_writes_nothing_and_leaves_no_undo_file(world):
    items = enumerate(some(world.both, 5))
    body = "mms_id\titem_pid\tpages\n" + "".join(f"{mms}\t{pid}\t{n} p.\n" for n, (mms, pid, _) in items)
    assert world.update("alma", "pages.tsv", body).counts() == {"updated": 5}
    world.both.forget()
    again = world.update("alma", "pages.tsv", body)
    assert (again.state, again.counts(), again.undo()) == ("success", {"unchanged": 5}, None)
    assert world.both.writes() == []


@pytest.mark.parametrize("profile", ["trial", "aleph"])
def test_a_dry_run_shows_before_and_after_of_each_field_and_leaves_nothing(world, profile):
    both = world.both
    items = both.aleph_items()
    key, item = next((key, item) for key, item in items.items() if item["values"]["item-status"] != "02")
    barcode, title = item["values"]["barcode"], [item["alma"]["mms_id"]]
    record = z30(key[:9], key[9:], barcode=barcode, note_opac="&lt;Neu&gt; &amp; gut", item_status="02")
    there = both.alma_items(title)
    asked = {"dry_run": True} if profile == "aleph" else {}
    tried = world.update(profile, "try.xml", many(record), **asked)
    assert (tried.state, tried.counts(), tried.undo()) == ("success", {"would_update": 1}, None)
    assert (both.aleph_items(), both.alma_items(title)) == (items, there)
    assert "What would change" in tried.page()
    assert "&lt;Neu&gt; &amp; gut" in tried.report(".html").decode()
    assert world.bucket.info(f"{AREA}/incoming/{profile}/try.xml") is not None
    real = world.update("mine" if profile == "trial" else "aleph", "try.xml", many(record))
    assert real.counts() == {"updated": 1}


def changed(key, values, number):
    """A record that changes many fields of an item, some of them to nothing."""
    place = {} if number % 5 else {"sub_library": "WID", "collection": "RES"}
    return z30(
        key[:9], key[9:], barcode=values["barcode"], item_status=("01", "02", "03")[number % 3], material="MAP",
        note_opac=f"Nr. {number} &lt;x&gt;", note_circulation="" if number % 2 else "call desk", note_internal="ü",
        description=f"Bd. {number}", enumeration_a=str(number), chronological_i="1999", pages=f"{number} S.",
        item_statistic="s", inventory_number=f"I{number}", copy_id=str(number % 4), price="12.50",
        arrival_date=("20240229", "00000000")[number % 2], **place,
    )  # fmt: skip


@pytest.mark.parametrize("count", [100, pytest.param(500, marks=pytest.mark.nightly)])
def test_one_file_for_both_systems_gives_the_same_values_and_the_undo_files_restore_all(world, count):
    both = world.both
    items = dict(list(both.aleph_items().items())[:count])
    assert len(items) == count
    titles = {item["alma"]["mms_id"] for item in items.values()}
    in_alma = both.alma_items(titles)
    body = many(*(changed(key, item["values"], n) for n, (key, item) in enumerate(items.items())))
    runs = {profile: world.update(profile, f"{profile}.xml", body) for profile in ("aleph", "mine")}
    for run in runs.values():
        assert (run.state, run.counts()) == ("success", {"updated": count}), Counter(
            r["message"] for r in run.rows()
        ).most_common(3)
    aleph, alma, maps = both.aleph_items(), both.alma_items(titles), both.maps()
    places = {
        (row["sub_library"], row["collection"]): (row["library"], row["location"]) for row in maps["places"]
    }
    for number, (key, item) in enumerate(items.items()):
        here, there = aleph[key]["values"], alma[item["alma"]["item_pid"]]
        for name in SAME:
            wanted = (
                maps[name.replace("-", "_")][here[name]]
                if name in ("material", "item-status")
                else here[name]
            )
            wanted = "" if name == "arrival-date" and not wanted.strip("0") else wanted
            assert shown(there, name) == wanted, (key, name)
        if number % 5 == 0:  # the others name no place
            place = there["item_data"]["library"]["value"], there["item_data"]["location"]["value"]
            assert place == places[here["sub-library"], here["collection"]] == ("MAIN", "reserves")
    for profile, run in runs.items():
        name, undo = run.undo()
        assert name.endswith(".undo.xml")
        back = world.update(profile, name, undo)
        assert (back.state, back.counts()) == ("success", {"updated": count}), Counter(
            r["message"] for r in back.rows()
        ).most_common(3)
    assert both.aleph_items() | items == both.aleph_items()
    restored = both.alma_items(titles)
    differing = {
        (section, name)
        for pid, item in in_alma.items()
        for section, fields in item.items()
        for name, value in fields.items()
        if restored[pid][section].get(name) != value
    }
    assert differing == set()


@pytest.mark.parametrize("profile", ["mine", "aleph"])
@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('<!DOCTYPE u [<!ENTITY a "aaaa">]><z30><z30-pages>&a;</z30-pages></z30>', "document type"),
        (many(z30(pages="1")) + "<", "not well-formed"),
        ("<html><title>403 Forbidden</title></html>", "no update-item"),
        ("", "empty"),
    ],
    ids=["DTD", "not well-formed", "a page", "empty"],
)
def test_a_file_that_is_no_update_is_red_at_once_and_nobody_is_asked(world, profile, body, words):
    world.both.forget()
    run = world.update(profile, "bad.xml", body)
    assert (run.state, run.counts()) == ("failed", {"invalid_row": 1})
    assert words in run.page()
    assert world.both.calls() == []
    assert run.undo() is None


def test_bad_records_are_refused_one_by_one_and_their_rejects_are_dropped_again_corrected(world):
    both = world.both
    key, item = next(iter(both.aleph_items().items()))
    good = z30(key[:9], key[9:], note_opac="good")
    bad = [
        z30("999999999", "10", note_opac="x"), z30(key[:9], key[9:], colour="red"),
        "<update-item><z30><z30-item-sequence>10</z30-item-sequence></z30></update-item>",
        z30(key[:9], key[9:], item_status="ZZ"), z30(key[:9], key[9:], note_opac="é" * 10_000),
        z30(key[:9], key[9:], sub_library="Main Library"),
    ]  # fmt: skip
    run = world.update("aleph", "mixed.xml", many(bad[0], good, *bad[1:]))
    assert [end for _, end in run.ends()] == [
        "not_found", "updated", "invalid_row", "invalid_row", "refused", "invalid_row", "invalid_row",
    ]  # fmt: skip
    assert run.state == "success"
    assert run.rejects().decode() == many(*bad).replace("\n  ", "\n")
    again = world.update("aleph", "mixed.rejected.xml", run.rejects().replace(b"ZZ", b"03"))
    assert again.counts() == {"not_found": 1, "invalid_row": 4, "updated": 1}
    assert both.aleph_items()[key]["values"]["item-status"] == "03"
    assert item["values"]["note-opac"] != both.aleph_items()[key]["values"]["note-opac"] == "good"


def test_the_shipped_profiles_hold_without_a_settings_file_and_without_a_sandbox(world):
    world.bucket.delete(["config/item_update_profiles.yaml"])
    _, _, barcode = some(world.both, 1)[0]
    assert world.update("alma", "one.csv", f"barcode,pages\n{barcode},7\n").counts() == {"updated": 1}
    none = world.update("nobody", "one.csv", f"barcode,pages\n{barcode},7\n")
    assert none.state == "failed"
    assert "There is no profile 'nobody'" in none.page()
