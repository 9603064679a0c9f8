"""The big import: 2,000 records with every outcome, dropped as files of ISO 2709 and MARCXML; and smaller ones whose
workers are killed and whose answers are lost."""

import re
from datetime import timedelta

import pytest

from alma_etl.alma.client import AlmaClient
from alma_etl.bibs import title_notes
from alma_etl.bibs.job import BibImport
from alma_etl.jobs.ledger_reading import RunKey
from tests.e2e.big_import import ISO, LOADED, PROFILES, XML, Shelf, cases, created, duplicate_in_file, merged
from tests.e2e.conftest import LOGICAL_DATE
from tests.e2e.death import Death
from tests.e2e.items import ItemSandbox, Loaded
from tests.e2e.ledger_view import entry, ledger  # noqa: F401 - a fixture

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(600)]

# The n-th thing that each task does to the world; check_outcome does none.
DEATHS = {"read_file": 3, "check_codes": 2, "match": 7, "load": 7, "report": 3, "file_away": 2}


@pytest.fixture
def shelf(sandbox, connect_alma, jobs, monkeypatch):
    """A sandbox with titles, the connection to it, and profiles."""
    alma = ItemSandbox(sandbox(titles=20, per_second=0).url)
    connect_alma(alma.url, requests_per_second=5000)
    jobs.bucket.put("config/bib_profiles.yaml", PROFILES.encode())
    monkeypatch.setattr("alma_airflow.hooks.alma.REQUESTS_PER_SECOND", 1000.0)
    monkeypatch.setattr(
        AlmaClient, "pause", lambda client, seconds: None
    )  # for Alma's index, which has no lag here
    return Shelf(alma)


@pytest.fixture
def drop(jobs, shelf):
    """Drops a file into the folder of a profile and runs the DAG on it; the run, its calls with it."""
    moments = iter(LOGICAL_DATE + timedelta(minutes=minute) for minute in range(1_000))

    def run(body, name="new.mrc", profile="mine", **conf):
        shelf.alma.forget()
        key = f"bibs/incoming/{profile}/{name}"
        jobs.bucket.put(key, body)
        run = jobs.run("bib_import", {"key": key, **conf}, at=next(moments))
        return Loaded(jobs.bucket, run, name.rpartition(".")[0], "bibs")

    return run


def applied_writes(alma):
    return [call for call in alma.calls() if call["method"] != "GET" and call["applied"]]


def check(loaded, records, ends):
    """A row for each record, in order, that says what it came to, by its number and title, with the reason."""
    rows = loaded.rows()
    assert [int(row["record"]) for row in rows] == list(range(1, len(records) + 1))
    wrong = [(row, end) for row, end in zip(rows, ends, strict=True) if row["outcome"] != end]
    assert wrong == []
    for row, case in zip(rows, records, strict=True):
        if case.number:
            assert row["key"] == case.number
        if case.mms_id:
            assert row["mms_id"] == case.mms_id, row
        if row["outcome"] not in LOADED:
            assert row["message"]
        if row["outcome"] == case.outcome:
            assert all(words in row["message"] for words in case.says), row
    return rows


def check_ledger(found, loaded, calls):
    """The ledger has the counts of the report and the calls of the sandbox's log."""
    assert {word: count for word, count in found.counts.items() if count} == loaded.counts()
    assert (loaded.state, found.state) == ("success", "done")
    api = [call for call in calls if "/view/sru/" not in call["path"]]
    assert found.calls["alma_default"] == len(api)
    assert sum(found.calls.values()) in (len(api), len(calls))  # SRU is outside the quota


def titles_after(before, rows, records):
    """What Alma is to have by what the report says of each record."""
    found = dict(before)
    for row, case in zip(rows, records, strict=True):
        if case.after is not None:
            assert row["mms_id"] not in found or row["mms_id"] == case.mms_id
            found[row["mms_id"]] = case.after
    return found


def test_every_record_has_one_end_and_alma_has_exactly_that(shelf, drop, connect_alma, ledger):  # noqa: F811
    alma = shelf.alma
    records, others = cases(shelf, ISO), cases(shelf, XML)
    assert len(records) + len(others) == 2_000
    alma.settings(sru=True)
    connect_alma(alma.url, requests_per_second=5000, sru_url=f"{alma.url}/view/sru/01ZZ_INST")
    before = shelf.titles()
    body = body_of(records)
    first = drop(body)
    calls = alma.calls()
    rows = check(first, records, [case.outcome for case in records])
    there = titles_after(before, rows, records)
    assert shelf.titles() == there
    assert first.rejects() == b"".join(case.iso for case in records if case.outcome not in LOADED)
    found = entry(ledger, first.run)
    check_ledger(found, first, calls)
    kept = [row.record for row in ledger.records(RunKey(first.run.dag_id, first.run.run_id), limit=3_000)]
    assert [(each.line, each.outcome, each.mms_id) for each in kept] == [
        (int(row["record"]), row["outcome"], row["mms_id"]) for row in rows
    ]

    connect_alma(alma.url, requests_per_second=5000)  # without SRU
    wrapped = b"<collection>\n%s\n</collection>" % b"\n".join(case.xml for case in others)
    second = drop(wrapped, "over.xml", "over")
    calls = alma.calls()
    rows = check(second, others, [case.outcome for case in others])
    there = titles_after(there, rows, others)
    assert shelf.titles() == there
    rejects = re.findall(rb"<record.*?</record>", second.rejects(), re.DOTALL)
    assert rejects == [case.xml for case in others if case.outcome not in LOADED]
    check_ledger(entry(ledger, second.run), second, calls)
    assert (first.counts() + second.counts()).keys() >= {
        "created", "merged", "overlaid", "unchanged", "multi_match", "no_key", "not_added_brief", "not_added_old",
        "not_added_locked", "duplicate_in_file", "already_owned", "delete_requested", "linked_cz", "linked_nz",
        "invalid_record",
    }  # fmt: skip

    for loaded, drops, given in ((body, records, ("again.mrc",)), (wrapped, others, ("again.xml", "over"))):
        again = drop(loaded, *given)
        assert applied_writes(alma) == []
        check(again, drops, [case.again for case in drops])
        assert shelf.titles() == there


# --- smaller files


def body_of(records):
    return b"".join(case.iso for case in records)


OPEN = {"unconfirmed", "failed"}


def is_open(row):
    """Whether it is to be tried again: nobody knows of it, no attempt was taken, or one of the same number is so."""
    return row["outcome"] == "unconfirmed" or (
        row["outcome"] == "failed"
        and any(words in row["message"] for words in ("has to come first", "it was not written"))
    )


def check_once(shelf, drop, records, before, loaded, monkeypatch):
    """What is not known of is open, the rest is as it should be; dropped once more all is there, and once."""
    ends = [
        row["outcome"] if is_open(row) else case.outcome
        for row, case in zip(loaded.rows(), records, strict=True)
    ]
    assert loaded.state == ("failed" if OPEN & set(ends) else "success")
    check(loaded, records, ends)
    monkeypatch.setattr(title_notes, "_UNDER_WAY", timedelta(seconds=-1))  # some minutes later
    again = drop(body_of(records), "again.mrc")
    rows = again.rows()
    for row, end, case in zip(rows, ends, records, strict=True):
        assert row["outcome"] in ((case.outcome, case.again) if end in OPEN else (case.again,)), row
    assert shelf.titles() == titles_after(before, rows, records)


@pytest.mark.parametrize("after", [None, *(pytest.param(n, marks=pytest.mark.nightly) for n in range(1, 40))])
def test_with_workers_killed_nothing_is_made_twice(shelf, drop, monkeypatch, ledger, after):  # noqa: F811
    """In each task, and at every action of `match` and `load`."""
    records, before = cases(shelf, ISO, share=400), shelf.titles()
    with monkeypatch.context() as patch:
        death = Death(patch, DEATHS if after is None else {"match": after, "load": after})
        loaded = drop(body_of(records))
    calls = shelf.alma.calls()
    if after is None:
        assert set(death.killed) == DEATHS.keys()
    assert entry(ledger, loaded.run).calls == {"alma_default": len(calls)}
    check_once(shelf, drop, records, before, loaded, monkeypatch)


POST, PUT = {"method": "POST", "path": "/bibs(\\?|$)"}, {"method": "PUT", "path": "/bibs/"}
LOST = [
    {"kind": kind, "every": every, "applied": applied, **call}
    for kind, every, applied in (
        ("drop", 5, True), ("truncated", 6, True), ("malformed", 7, True), ("server_error", 8, True),
        ("server_error", 9, False), ("drop", 11, False), ("maintenance", 13, True),
    )
    for call in (POST, PUT)
]  # fmt: skip


@pytest.mark.parametrize(
    "faults",
    [LOST, *(pytest.param([{**rule, "every": 2}], marks=pytest.mark.nightly) for rule in LOST)],
    ids=lambda faults: "mixed" if faults is LOST else "-".join(map(str, faults[0].values())),
)
def test_with_answers_lost_nothing_is_made_twice(shelf, drop, monkeypatch, faults):
    records, before = cases(shelf, [(created, 30), (merged, 30), (duplicate_in_file, 3)]), shelf.titles()
    shelf.alma.faults(*faults)
    loaded = drop(body_of(records))
    assert any(call["fault"] for call in shelf.alma.calls())
    shelf.alma.heal()
    check_once(shelf, drop, records, before, loaded, monkeypatch)


def test_what_somebody_saved_meanwhile_what_alma_left_out_and_what_nobody_knows(shelf, drop, monkeypatch):
    records = cases(shelf, [(merged, 3), (created, 1)])
    before = shelf.titles()
    left_out, saved, _ = (case for case in records if case.mms_id)
    shelf.alma.faults(
        {"kind": "ignore", "fields": ["650"], "path": f"/bibs/{left_out.mms_id}", "method": "PUT"},
        {"kind": "server_error", "first": 1, **POST},
    )
    load = BibImport.load

    def load_late(job, context, number):
        shelf.save(saved.mms_id, "Old", "Saved by hand")
        return load(job, context, number)

    with monkeypatch.context() as patch:
        patch.setattr(BibImport, "load", load_late)
        loaded = drop(body_of(records))
    ends = {left_out.number: "not_applied", saved.number: "conflict"}
    check(
        loaded,
        records,
        [ends.get(case.number, "unconfirmed" if case.outcome == "created" else "merged") for case in records],
    )
    assert "650" in loaded.rows()[records.index(left_out)]["message"]
    assert loaded.state == "failed"
    now = shelf.titles()
    assert now[left_out.mms_id] == [each for each in left_out.after if not each.startswith("650")]
    assert now[saved.mms_id] == [each.replace("Old", "Saved by hand") for each in before[saved.mms_id]]
    assert now.keys() == before.keys()

    shelf.alma.heal()
    monkeypatch.setattr(title_notes, "_UNDER_WAY", timedelta(seconds=-1))
    corrected = [case for case in records if case.number in ends or case.outcome == "created"]
    assert loaded.rejects() == body_of(corrected)
    rest = drop(loaded.rejects(), "rejected.mrc")
    rows = check(rest, corrected, [case.outcome for case in corrected])
    merged_now = [row for case, row in zip(records, loaded.rows(), strict=True) if case not in corrected]
    assert shelf.titles() == titles_after(
        before, [*rows, *merged_now], [*corrected, *(c for c in records if c not in corrected)]
    )
