"""`bib_import` end to end, by `dag.test()` against the sandbox."""

import re
from collections import Counter
from datetime import timedelta

import pytest

from alma_etl.marc.iso2709 import to_iso2709
from alma_sandbox.catalogue import ids
from tests.e2e.bib_files import AREA, NUMBERS, Bibs, Imported, as_xml, file_of, mixed, what_alma_lacks
from tests.e2e.conftest import LOGICAL_DATE
from tests.e2e.death import Death
from tests.e2e.test_item_acceptance import existing_items
from tests.unit.bibs.test_bib_imports import new
from tests.unit.bibs.test_order_imports import PROFILES, gobi

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]


@pytest.fixture
def alma(sandbox, connect_alma):
    """A sandbox with SRU, and the connection to it."""
    found = Bibs(sandbox(titles=60, per_second=0, sru="on").url)
    connect_alma(found.url, requests_per_second=1000, sru_url=f"{found.url}/view/sru/01ZZ_INST")
    return found


@pytest.fixture
def load(jobs):
    """Drops a file and runs the DAG on it."""
    moments = iter(LOGICAL_DATE + timedelta(minutes=minute) for minute in range(100))

    def run(name, body, profile="catalog", **conf):
        key = f"{AREA}/incoming/{profile}/{name}"
        jobs.bucket.put(key, body)
        run = jobs.run("bib_import", {"key": key, **conf}, at=next(moments))
        return Imported(jobs.bucket, run, name.rpartition(".")[0])

    return run


def test_a_mixed_file_is_tried_loaded_and_loaded_again(alma, load, jobs):
    cases = mixed(alma, 20)
    body = file_of(cases)
    alma.forget()
    tried = load("march.mrc", body, dry_run=True)
    assert (tried.state, tried.outcomes()) == ("success", [case.tried for case in cases])
    assert alma.writes() == []
    assert tried.keys(f"{AREA}/incoming/") == [f"{AREA}/incoming/catalog/march.mrc"]
    assert "- 245 00 $a Old\n+ 245 00 $a As it came" in tried.report(".changes.txt").decode()

    done = load("march.mrc", body, lock_wait_minutes=0)
    assert done.state == "success"
    assert set(done.task_states().values()) == {"success"}
    assert [task for task, _ in done.task_states()] == [task for task, _ in tried.task_states()]
    assert done.outcomes() == [case.outcome for case in cases]
    assert what_alma_lacks(alma, cases, done.rows()) == []
    taken = ("created", "merged", "unchanged")
    assert done.rejects() == b"".join(case.body for case in cases if case.outcome not in taken)
    assert "and docs/imports.md" in done.page()
    assert "The records to correct and drop again" in done.page()
    assert done.keys(f"{AREA}/incoming/") == []
    (locked,) = [row for row in done.rows() if row["outcome"] == "not_added_locked"]
    assert "locked" in locked["message"]

    written = alma.writes()
    assert len(written) >= done.counts()["created"] + done.counts()["merged"]
    alma.forget()
    again = load("april.mrc", body, lock_wait_minutes=0)
    assert (again.state, again.outcomes()) == ("success", [case.again for case in cases])
    assert [call["status"] for call in alma.writes()] == [400]  # the title that is still open
    assert what_alma_lacks(alma, cases, done.rows()) == []


def test_the_same_records_as_marcxml_without_sru_come_to_the_same(alma, load, connect_alma):
    connect_alma(alma.url, requests_per_second=1000)
    cases = [case for case in mixed(alma, 20, first=NUMBERS + 5_000) if case.record is not None]
    done = load("march.xml", as_xml(cases))
    assert (done.state, done.outcomes()) == ("success", [case.outcome for case in cases])
    assert what_alma_lacks(alma, cases, done.rows()) == []


@pytest.mark.parametrize(
    ("name", "body", "sentence"),
    [
        ("empty.mrc", b"", "The file is empty"),
        ("report.mrc", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n", "The file is a PDF document"),
        (
            "entities.xml",
            b'<?xml version="1.0"?><!DOCTYPE c [<!ENTITY e SYSTEM "file:///etc/passwd">]><collection/>',
            "The file brings a DTD",
        ),
    ],
    ids=["empty", "a PDF renamed", "a DTD"],
)
def test_what_is_no_file_of_marc_goes_to_failed_with_a_plain_sentence(alma, load, name, body, sentence):
    refused = load(name, body)
    assert refused.state == "failed"
    states = {task: state for (task, _), state in refused.task_states().items()}
    assert (states["report"], states["file_away"], states["check_outcome"]) == (
        "success",
        "success",
        "failed",
    )
    assert sentence in refused.page()
    assert len(refused.keys(f"{AREA}/failed/")) == 1
    assert refused.keys(f"{AREA}/incoming/") == []
    assert [call for call in alma.calls() if "/bibs" in call["path"]] == []


def test_a_file_of_which_nothing_could_be_loaded_is_red_and_its_rejects_can_be_dropped(alma, load):
    locked, *_ = [case for case in mixed(alma, 20) if case.outcome == "not_added_locked"]
    alma.forget()
    refused = load("march.mrc", locked.body)
    assert (refused.state, refused.counts()) == ("failed", Counter(not_added_locked=1))
    assert len(refused.keys(f"{AREA}/failed/")) == 1
    alma.locks(unlock=list(locked.mms_ids))
    loaded = load("march.rejected.mrc", refused.rejects())
    assert (loaded.state, loaded.counts()) == ("success", Counter(merged=1))


PALS = """profiles:
  pals:
    inventory:
      field: "949"
      subfields: {barcode: b, item_policy: c, library: d, location: e}
"""
# The n-th thing that each task does to the world. Of a title whose worker is killed in `load` nobody may know for a
# while: see test_bib_acceptance.py.
DEATHS = {"read_file": 3, "check_codes": 4, "match": 3, "create_inventory": 9, "report": 3, "file_away": 2}


def with_items(number, place=("MAIN", "stacks")):
    library, location = place
    copies = [f"949 __ $b IT{number}-{copy} $c 01 $d {library} $e {location}" for copy in (1, 2)]
    return to_iso2709(new(number, *copies))


def test_records_bring_their_items_once_whatever_became_of_the_workers(alma, load, jobs, monkeypatch):
    jobs.bucket.put("config/bib_profiles.yaml", PALS.encode())
    taken = next(barcode for _, barcode in existing_items(alma, alma.titles(), 1))
    records = [with_items(NUMBERS + 8_000 + number, ("MAIN", "stacks")) for number in range(6)]
    records.append(to_iso2709(new(NUMBERS + 8_100, f"949 __ $b {taken} $c 01 $d MAIN $e stacks")))
    records.append(with_items(NUMBERS + 8_200, ("MAIN", "attic")))
    with monkeypatch.context() as patch:
        death = Death(patch, DEATHS)
        done = load("gifts.mrc", b"".join(records), profile="pals")
    assert set(death.killed) == DEATHS.keys()
    assert done.state == "success"
    assert done.outcomes() == ["created"] * 6 + ["not_applied", "invalid_record"]
    assert taken in done.rows()[6]["message"]
    assert "attic" in done.rows()[7]["message"]
    titles = [row["mms_id"] for row in done.rows()[:6]]
    items, holdings = alma.made()
    assert {barcode: item["mms_id"] for barcode, item in items.items()} == {
        f"IT{NUMBERS + 8_000 + number}-{copy}": mms_id
        for number, mms_id in enumerate(titles)
        for copy in (1, 2)
    }
    assert {place: count for place, count in holdings.items() if place[0] in titles} == {
        (mms_id, "MAIN", "stacks"): 1 for mms_id in titles
    }
    assert len(holdings) <= 7  # the title whose item was refused may have its holding
    assert done.rejects() == records[6] + records[7]
    assert done.keys(f"{AREA}/failed/") == []
    alma.forget()
    again = load("gifts again.mrc", b"".join(records), profile="pals")
    assert again.outcomes() == ["unchanged"] * 6 + ["not_applied", "invalid_record"]
    assert [call for call in alma.writes() if call["status"] < 300] == []


NETWORK = PROFILES.replace("profiles:\n", "profiles:\n  catalog: {network: alma_network}\n")


def number_of(zone, title):
    """The OCLC number of a title of the network zone that has one in 035 `$a`."""
    found = zone.title(ids.mms_id(title, "4400"))
    return next(
        (line.rpartition(")")[2] for line in found if re.match(r"035 __ \$a \(OCoLC\)\d+$", line)), None
    )


def test_a_record_of_the_network_zone_is_linked_and_its_order_goes_to_it(
    alma, load, jobs, sandbox, connect_alma
):
    options = {"institution": "01ZZ_NETWORK", "suffix": "4400"}
    zone = Bibs(sandbox(titles=120, per_second=0, sru="on", **options).url)
    url = f"{zone.url}/view/sru/01ZZ_NETWORK"
    connect_alma(zone.url, conn_id="alma_network", requests_per_second=1000, sru_url=url)
    jobs.bucket.put("config/bib_profiles.yaml", NETWORK.encode())
    there, number = next((each, found) for each in range(60, 120) if (found := number_of(zone, each)))
    twice = {zone.add(f"035 __ $a (OCoLC){NUMBERS + 1}", "245 00 $a Twice") for _ in range(2)}
    records = [gobi(int(number), "N1"), gobi(NUMBERS + 1, "N2"), gobi(NUMBERS + 2, "N3")]
    body = b"".join(map(to_iso2709, records))
    alma.forget()
    zone.forget()
    done = load("network.mrc", body, profile="gobi")
    assert (done.state, done.outcomes()) == ("success", ["created", "multi_match", "created"])
    linked, several, brief = done.rows()
    assert f"035 __ $a (EXLNZ-01ZZ_NETWORK){ids.mms_id(there, '4400')}" in alma.title(linked["mms_id"])
    assert "245 00 $a Made up" not in alma.title(linked["mms_id"])
    assert all(each in several["message"] for each in twice)
    lines = alma.get("/acq/po-lines", q=f"mms_id~{linked['mms_id']}", status="ALL_WITH_CLOSED")["po_line"]
    assert [line["additional_order_reference"] for line in lines] == ["N1"]
    assert "245 00 $a Made up" in alma.title(brief["mms_id"])
    assert {call["method"] for call in zone.calls()} == {"GET"}
    assert sum("/bibs?" in f"{call['path']}?" for call in zone.calls()) <= 3
    alma.forget()
    again = load("network again.mrc", to_iso2709(new(int(number))), profile="catalog")
    assert (again.outcomes(), again.rows()[0]["mms_id"]) == (["unchanged"], linked["mms_id"])
    assert alma.writes() == []
