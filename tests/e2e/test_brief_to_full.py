"""The way from a brief record to its full copy: ordered, its item given its barcode and received, then overlaid."""

import os
from datetime import timedelta

import pytest
from sqlalchemy import create_engine

from alma_etl.inventory.waiting_titles import all_waiting
from alma_etl.marc.iso2709 import to_iso2709
from tests.e2e.bib_files import AREA, Bibs, Imported
from tests.e2e.conftest import LOGICAL_DATE
from tests.e2e.death import Death
from tests.unit.bibs.records import record
from tests.unit.bibs.test_bib_imports import F008, brief

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]
PROFILES = """profiles:
  gobi:
    match: [oclc, "019"]
    suppress: true
    sync_with_oclc: NONE
    awaits_full_record: true
    orders: {layout: 980_981, po_line_type: PRINTED_BOOK_OT, owner: MAIN, vendor: GOBI, vendor_account: GOBI-1}
  gobi-items:
    match: [order, oclc]
    order_reference: &reference {source: ["982$a", "035 _9$a"], vendor: GOBI}
    on_match: skip
    on_no_match: skip
    inventory:
      field: "949"
      subfields: {barcode: b, item_policy: c, library: d, location: e}
      of_order: true
      generated_barcode: 'AUTO\\d+'
      call_number_from: ["050"]
      receive: {department: AcqDeptMAIN, library: MAIN}
  gobi-full:
    match: [order, oclc, "019"]
    order_reference: *reference
    on_match: overlay
    on_no_match: skip
    flags_on_match: set
    sync_with_oclc: BIBS
    check_005: false
"""
ORDERED = [(1_900_000_901, "GOBI-1"), (1_900_000_902, "GOBI-2"), (1_900_000_903, "GOBI-3")]


@pytest.fixture
def alma(sandbox, connect_alma):
    found = Bibs(sandbox(titles=20, per_second=0).url)
    connect_alma(found.url, requests_per_second=1000)
    return found


@pytest.fixture
def load(jobs):
    jobs.bucket.put("config/bib_profiles.yaml", PROFILES.encode())
    minutes = iter(range(100))

    def run(profile, name, *records):
        key = f"{AREA}/incoming/{profile}/{name}.mrc"
        jobs.bucket.put(key, b"".join(map(to_iso2709, records)))
        run = jobs.run("bib_import", {"key": key}, at=LOGICAL_DATE + timedelta(minutes=next(minutes)))
        return Imported(jobs.bucket, run, name)

    return run


def vendors(number, reference):
    order = f"980 __ $a20261101$b27.95$f{reference}$g1", "981 __ $bHIST$hfalse"
    made = brief(number, title="From the vendor")
    made.add_ordered_field(*record(f"035 _9 $a{reference}$bYBP").fields)
    made.add_field(*record("049 __ $aMAIN/stacks", *order).fields)
    return made


def copy(number, reference):
    return record(F008, f"035 __ $a (OCoLC){number}", "050 00 $a QA1 $b .M3", "245 00 $a Full copy",
                  f"949 __ $b BC-{reference} $c 01 $d MAIN $e stacks", f"982 __ $a {reference}")  # fmt: skip


def waiting():
    with create_engine(os.environ["AIRFLOW_CONN_ALMA_ETL_DB"]).connect() as connection:
        return {row.mms_id: row.received_at for row in connection.execute(all_waiting())}


def what_is_there(alma, mms_ids):
    """Of each title: its number, whether it is suppressed, its OCLC flag, and the items of its PO line."""
    state = alma.state()
    found = {}
    for mms_id in mms_ids:
        bib = state["bibs"][mms_id]
        [line] = [line for line in state["po_lines"].values() if line["mms_id"] == mms_id]
        items = [state["items"][pid] for pid in line["items"]]
        assert {item["mms_id"] for item in items} == {mms_id}
        [number] = [text for text in alma.title(mms_id) if text.startswith("035 __")]
        found[mms_id] = (
            number.rpartition(")")[2],
            bib["suppressed"],
            bib["sync_with_oclc"],
            line["body"]["additional_order_reference"],
            [(item["barcode"], bool(item["texts"].get("arrival_date"))) for item in items],
            line["status"],
        )
    return found


def test_from_the_vendors_record_to_the_full_copy_whatever_became_of_the_workers(alma, load, monkeypatch):
    eod = [vendors(*each) for each in ORDERED]
    done = load("gobi", "eod", *eod)
    assert (done.state, done.outcomes()) == ("success", ["created"] * 3)
    titles = [row["mms_id"] for row in done.rows()]
    assert set(waiting()) == set(titles)
    first = what_is_there(alma, titles)
    assert [each[1:4] for each in first.values()] == [(True, "NONE", ref) for _, ref in ORDERED]

    # The library chose another number than the vendor for the second, and has the record of the third already.
    numbers = [ORDERED[0][0], 1_900_000_999, 1_900_000_998]
    there = alma.add("035 __ $a (OCoLC)1900000998", "245 00 $a In the library already")
    copies = [copy(number, reference) for number, (_, reference) in zip(numbers, ORDERED, strict=True)]
    with monkeypatch.context() as patch:
        death = Death(patch, {"check_codes": 3, "match": 3, "create_inventory": 8})
        with_items = load("gobi-items", "wcp", *copies)
    assert set(death.killed) == {"check_codes", "match", "create_inventory"}
    assert with_items.outcomes() == ["merged", "merged", "multi_match"]
    received = what_is_there(alma, titles)
    assert [each[4:] for each in received.values()][:2] == [
        ([(f"BC-{ref}", True)], "WAITING_FOR_INVOICE") for _, ref in ORDERED[:2]
    ]
    assert [moment is not None for moment in map(waiting().get, titles)] == [True, True, False]
    assert [each[:4] for each in received.values()] == [each[:4] for each in first.values()]

    with monkeypatch.context() as patch:
        death = Death(patch, {"load": 4})
        full = load("gobi-full", "worldcat", *copies)
    assert set(death.killed) == {"load"}
    assert full.outcomes() == ["overlaid", "overlaid", "multi_match"], full.rows()
    assert [row["mms_id"] for row in full.rows()[:2]] == titles[:2]
    message = full.rows()[2]["message"]
    assert f"{titles[2]} by order" in message
    assert f"{there} by 035 $a 1900000998" in message
    assert "relink the PO line" in message
    after = what_is_there(alma, titles)
    assert list(after.values())[:2] == [
        (str(number), False, "BIBS", ref, [(f"BC-{ref}", True)], "WAITING_FOR_INVOICE")
        for number, (_, ref) in zip(numbers, ORDERED[:2], strict=False)
    ]
    assert after[titles[2]] == first[titles[2]]
    assert set(waiting()) == {titles[2]}
    assert "245 00 $a Full copy" in alma.title(titles[1])

    alma.forget()
    assert load("gobi", "eod again", *eod).outcomes() == ["conflict"] * 3
    assert load("gobi-items", "wcp again", *copies).outcomes() == ["unchanged", "unchanged", "multi_match"]
    assert load("gobi-full", "worldcat again", *copies).outcomes() == [
        "unchanged",
        "unchanged",
        "multi_match",
    ]
    assert alma.writes() == []
    assert what_is_there(alma, titles) == after
