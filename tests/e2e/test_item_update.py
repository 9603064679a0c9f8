"""`item_update` end to end, by `dag.test()` against the sandbox's Alma and its Aleph."""

import json
from datetime import timedelta

import pytest

from tests.e2e.conftest import LOGICAL_DATE
from tests.e2e.death import Death
from tests.e2e.item_updates import AREA, BothSystems, Updated, shown
from tests.unit.item_updates.files import many, z30

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]

# The n-th thing that each task does to the world; check_outcome does none.
DEATHS = {"read_file": 3, "check_codes": 2, "update_items": 9, "report": 3, "file_away": 2}


@pytest.fixture
def both(sandbox, connect_alma, jobs, monkeypatch):
    """A sandbox, the connections to its Alma and its Aleph, and profiles for both."""
    found = BothSystems(sandbox(titles=60, per_second=0).url)
    connect_alma(found.url, requests_per_second=1000)
    extra = {"library": "USM50", "requests_per_second": 1000}
    aleph = {"conn_type": "aleph", "host": found.url, "login": "WWW-X", "password": "WWW-X", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_ALEPH_DEFAULT", json.dumps(aleph))
    jobs.bucket.put("config/item_update_profiles.yaml", found.profiles())
    return found


@pytest.fixture
def update(jobs):
    """Drops a file into the folder of a profile and runs the DAG on it."""
    moments = iter(LOGICAL_DATE + timedelta(minutes=minute) for minute in range(100))

    def run(profile, name, body, **conf):
        key = f"{AREA}/incoming/{profile}/{name}"
        jobs.bucket.put(key, body.encode() if isinstance(body, str) else body)
        run = jobs.run("item_update", {"key": key, **conf}, at=next(moments))
        return Updated(jobs.bucket, run, name.rpartition(".")[0])

    return run


def some(both, count):
    """The first items that both systems have, by Aleph's key."""
    return dict(list(both.aleph_items().items())[:count])


def noted(items, note):
    """A z30 file that gives each of these items a note and clears another."""
    records = (
        z30(
            key[:9],
            key[9:],
            barcode=item["values"]["barcode"],
            note_opac=f"{note} {number}",
            note_internal="",
        )
        for number, (key, item) in enumerate(items.items())
    )
    return many(*records)


def test_a_list_for_alma_is_worked_off_row_by_row_and_its_undo_file_restores_all(both, update, jobs):
    items = list(some(both, 3).values())
    titles = [item["alma"]["mms_id"] for item in items]
    before = both.alma_items(titles)
    rows = [f"{item['values']['barcode']},02,for the desk" for item in items]
    body = "\n".join(("barcode,item_policy,public_note", *rows, "NOBODY,02,", ""))
    done = update("alma", "policies.csv", body)
    assert done.state == "success"
    assert done.ends()[:3] == [(2, "updated"), (3, "updated"), (4, "updated")]
    assert done.ends()[3] == (5, "not_found")
    assert set(done.task_states().values()) == {"success"}
    now = both.alma_items(titles)
    assert {now[item["alma"]["item_pid"]]["item_data"]["public_note"] for item in items} == {"for the desk"}
    assert done.rejects().decode().splitlines()[1:] == ["NOBODY,02,"]
    assert len(done.keys(f"{AREA}/done/")) == 1
    name, undo = done.undo()
    back = update("alma", f"undo.{name.rpartition('.')[2]}", undo)
    assert (back.state, set(back.counts())) == ("success", {"updated"})
    assert both.alma_items(titles) == before


@pytest.mark.parametrize("profile", ["mine", "aleph"])
def test_a_z30_file_survives_a_worker_killed_in_each_task_and_a_second_run_writes_nothing(
    both, update, profile, monkeypatch
):
    items = some(both, 8)
    titles = [item["alma"]["mms_id"] for item in items.values()]
    before = both.aleph_items(), both.alma_items(titles)
    body = noted(items, "seen by")
    with monkeypatch.context() as patch:
        death = Death(patch, DEATHS)
        done = update(profile, "notes.xml", body)
    assert set(death.killed) == (DEATHS.keys() if profile == "mine" else DEATHS.keys() - {"check_codes"})
    assert (done.state, done.counts()) == ("success", {"updated": len(items)})
    if profile == "aleph":
        now = both.aleph_items()
        notes = [now[key]["values"]["note-opac"] for key in items]
    else:
        there = both.alma_items(titles)
        notes = [shown(there[item["alma"]["item_pid"]], "note-opac") for item in items.values()]
    assert notes == [f"seen by {number}" for number in range(len(items))]

    both.forget()
    again = update(profile, "notes.xml", body)
    assert (again.state, again.counts()) == ("success", {"unchanged": len(items)})
    assert again.undo() is None

    name, undo = done.undo()
    back = update(profile, f"undo.{name.rpartition('.')[2]}", undo)
    assert back.state == "success"
    assert (both.aleph_items(), both.alma_items(titles)) == before


def test_nothing_of_an_aleph_s_access_stands_in_what_a_run_wrote(both, update, jobs, monkeypatch, caplog):
    secret = "-".join(("only", "for", "this", "test"))
    extra = {"library": "USM50", "requests_per_second": 1000}
    aleph = {"conn_type": "aleph", "host": both.url, "login": "WWW-X", "password": secret, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_ALEPH_DEFAULT", json.dumps(aleph))
    refused = update("aleph", "notes.xml", noted(some(both, 2), "n"))
    assert refused.state == "failed"
    written = b"".join(jobs.bucket.get(info.key) for info in jobs.bucket.list(""))
    assert secret.encode() not in written
    assert secret not in caplog.text
    assert "Aleph" in refused.page()
