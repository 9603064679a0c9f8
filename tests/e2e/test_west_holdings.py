"""`west_holdings` end to end, by `dag.test()` against the sandbox."""

import csv
import gzip
import hashlib
import io
import json
from collections import Counter
from datetime import UTC, datetime, timedelta

import pymarc
import pytest
from airflow.models.asset import AssetEvent
from airflow.utils.session import create_session
from sqlalchemy import select

from tests.e2e.alma import KEY, SandboxView
from tests.e2e.conftest import LOGICAL_DATE

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]

DELIVERY = "west/deliveries/ZZMAIN.alma.archived.20261120"
ALL_TITLES, EMPTY_SET, ITEM_SET = "59000000000004401", "59000000000014401", "59000000000024401"


@pytest.fixture
def alma(sandbox, connect_alma):
    """A sandbox of 40 titles that is not in the way, and the connection to it."""
    view = SandboxView(sandbox(titles=40, per_second=0).url)
    connect_alma(view.url, requests_per_second=500)
    return view


def outcomes(bucket, stem=DELIVERY):
    return list(csv.DictReader(io.StringIO(bucket.get(f"{stem}.outcomes.csv").decode())))


def manifest(bucket, stem=DELIVERY):
    return json.loads(bucket.get(f"{stem}.manifest.json"))


def records(bucket, stem=DELIVERY):
    return list(pymarc.MARCReader(io.BytesIO(bucket.get(f"{stem}.mrc")), force_utf8=True))


def delivered_keys(bucket):
    return sorted(item.key for item in bucket.list("west/deliveries/"))


def states(run):
    return {(task.task_id, task.map_index): task.state for task in run.get_task_instances()}


def events(run):
    """What the asset events of a run say."""
    with create_session() as session:
        found = session.scalars(select(AssetEvent).where(AssetEvent.source_run_id == run.run_id))
        return [event.extra for event in found]


def last_words(run, caplog):
    return caplog.text


def test_every_holding_of_400_titles_ends_in_one_row_and_the_file_holds_the_delivered_ones(
    jobs, sandbox, connect_alma
):
    alma = SandboxView(sandbox(titles=400, per_second=0).url)
    connect_alma(alma.url, requests_per_second=1000)
    run = jobs.run("west_holdings", {"chunk_size": 100, "list_mode": "exact"})
    assert run.state == "success"

    rows = outcomes(jobs.bucket)
    titles = alma.members(ALL_TITLES)
    expected = Counter()
    for mms_id in titles:
        expected.update((mms_id, holding_id) for holding_id in alma.holdings(mms_id) or {"": False})
    assert Counter((row["mms_id"], row["holding_id"]) for row in rows) == expected

    told = manifest(jobs.bucket)
    assert told["counts"] == dict.fromkeys(told["counts"], 0) | Counter(row["outcome"] for row in rows)
    assert sum(told["counts"].values()) == len(rows)
    assert told["titles"] == len(set(titles)) == told["input"]["total"] == 400
    body = jobs.bucket.get(f"{DELIVERY}.mrc")
    assert (told["bytes"], told["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())
    assert set(told["counts"]) >= {word for word, count in told["counts"].items() if count}
    assert all(
        told["counts"][word]
        for word in ("delivered", "no_commitment", "suppressed", "bad_marc", "no_holding")
    )

    delivered = [row for row in rows if row["outcome"] == "delivered"]
    written = records(jobs.bucket)
    assert [(record["004"].data, record["001"].data) for record in written] == [
        (row["mms_id"], row["holding_id"]) for row in delivered
    ]
    for record in written[::7]:
        bib = alma.get(f"/bibs/{record['004'].data}")
        source = pymarc.parse_xml_to_array(io.BytesIO(bib["anies"][0].encode("utf-16")))[0]
        assert [str(field) for field in record.get_fields("022")] == [
            str(field) for field in source.get_fields("022")
        ]
        oclc = [
            str(field) for field in source.get_fields("035") if (field.get("a") or "").startswith("(OCoLC)")
        ]
        assert [str(field) for field in record.get_fields("035") if "(OCoLC)" in str(field)] == oclc != []
        assert record["852"].subfields[0] == pymarc.Subfield("a", "ZZMAIN")
        assert record.leader[9] == "a"


def test_batch_mode_keeps_to_its_budget_of_requests_and_hides_only_what_availability_hides(jobs, alma):
    assert jobs.run("west_holdings", {}).state == "success"
    calls = [call["path"] for call in alma.calls()]
    fetched = sum("/holdings/" in path for path in calls)
    lists = sum(path.endswith("/holdings") for path in calls)
    assert len(calls) <= 1.05 * fetched + 1 + 1 + 1 + lists
    rows = outcomes(jobs.bucket)
    assert {row["mms_id"] for row in rows} == set(alma.members(ALL_TITLES))
    seen = {row["holding_id"] for row in rows}
    for mms_id in alma.members(ALL_TITLES):
        for holding_id, suppressed in alma.holdings(mms_id).items():
            assert suppressed or holding_id in seen


def test_two_runs_of_the_same_date_and_data_give_the_same_bytes(jobs, alma):
    jobs.run("west_holdings", {"chunk_size": 14})
    first = jobs.bucket.get(f"{DELIVERY}.mrc"), jobs.bucket.get(f"{DELIVERY}.outcomes.csv")
    alma.settings(set_paging="shifting")
    run = jobs.run("west_holdings", {"chunk_size": 25})
    assert run.state == "success"
    assert (jobs.bucket.get(f"{DELIVERY}.mrc"), jobs.bucket.get(f"{DELIVERY}.outcomes.csv")) == first
    assert manifest(jobs.bucket)["run_id"] == run.run_id
    assert len(delivered_keys(jobs.bucket)) == 3


def test_mapped_tasks_are_named_by_their_chunk(jobs, alma):
    run = jobs.run("west_holdings", {"chunk_size": 20})
    names = {task.rendered_map_index for task in run.get_task_instances() if task.map_index >= 0}
    ids = sorted(alma.members(ALL_TITLES))
    assert names == {f"chunk 0001: {ids[0]}-{ids[19]}", f"chunk 0002: {ids[20]}-{ids[39]}"}


def test_the_event_of_the_delivery_says_what_was_delivered(jobs, alma):
    run = jobs.run("west_holdings", {})
    (told,) = events(run)
    said = manifest(jobs.bucket)
    assert told["files"] == [
        {
            "symbol": "ZZMAIN",
            "key": f"{DELIVERY}.mrc",
            "manifest": f"{DELIVERY}.manifest.json",
            "outcomes": f"{DELIVERY}.outcomes.csv",
            "records": said["records"],
            "sha256": said["sha256"],
        }
    ]
    assert told["run_id"] == run.run_id


def test_a_dry_run_assembles_and_delivers_nothing(jobs, alma):
    run = jobs.run("west_holdings", {"dry_run": True})
    assert run.state == "success"
    assert states(run)["deliver", -1] == "skipped"
    assert delivered_keys(jobs.bucket) == []
    assert events(run) == []
    key = f"runs/west_holdings/{run.run_id}/delivery/ZZMAIN.alma.archived.20261120.mrc"
    assert jobs.bucket.info(key).size > 0
    assert b"would be delivered" in jobs.bucket.get(f"runs/west_holdings/{run.run_id}/report.html")


def exported(mms_ids):
    """The records of an export of these titles."""
    for mms_id in mms_ids:
        record = pymarc.Record(force_utf8=True)
        record.add_field(pymarc.Field(tag="001", data=mms_id))
        yield record.as_marc()


def test_an_export_is_read_instead_of_a_set_and_its_bad_record_is_weighed_and_told_with_its_place(jobs, alma):
    good = list(exported(alma.members(ALL_TITLES)[:12]))
    broken = good[5][:20]
    jobs.bucket.put("west/exports/some.mrc", b"".join([*good[:5], broken, *good[6:], good[0]]))
    run = jobs.run("west_holdings", {"marc_key": "west/exports/some.mrc"})
    assert run.state == "failed"
    page = jobs.bucket.get(f"runs/west_holdings/{run.run_id}/report.html").decode()
    assert "1 of them records of the export, more than the failure_threshold of 1.00%" in page
    assert delivered_keys(jobs.bucket) == []
    run = jobs.run("west_holdings", {"marc_key": "west/exports/some.mrc", "failure_threshold": 0.2})
    assert run.state == "success"
    told = manifest(jobs.bucket)
    assert told["input"] == {"total": 13, "titles": 11, "repeated": 1, "missing": 0, "bad_records": 1}
    assert {row["mms_id"] for row in outcomes(jobs.bucket)} == {
        mms_id for number, mms_id in enumerate(alma.members(ALL_TITLES)[:12]) if number != 5
    }
    page = jobs.bucket.get(f"runs/west_holdings/{run.run_id}/report.html").decode()
    assert f'<td class="number">6</td><td class="number">{sum(map(len, good[:5]))}</td>' in page


def test_an_export_of_records_with_a_wrong_length_delivers_all_its_titles(jobs, alma):
    mms_ids = alma.members(ALL_TITLES)[:10]
    one, *others = exported(mms_ids)
    jobs.bucket.put("west/exports/some.mrc", one + b"".join(b"99999" + each[5:] for each in others))
    run = jobs.run("west_holdings", {"marc_key": "west/exports/some.mrc"})
    assert run.state == "success"
    assert manifest(jobs.bucket)["input"] == {
        "total": 10,
        "titles": 10,
        "repeated": 0,
        "missing": 0,
        "bad_records": 0,
    }
    assert {row["mms_id"] for row in outcomes(jobs.bucket)} == set(mms_ids)
    page = jobs.bucket.get(f"runs/west_holdings/{run.run_id}/report.html").decode()
    assert "Damaged, but used, since their 001 is certain: 9 records of the export." in page


def test_lists_that_do_not_name_all_holdings_keep_the_delivery_back_until_they_do(jobs, alma):
    holders = [mms_id for mms_id in alma.members(ALL_TITLES) if alma.holdings(mms_id)]
    title = holders[0]
    alma.faults(
        {"kind": "short", "path": f"{title}/holdings$"},
        {"kind": "miscount", "path": f"{holders[1]}/holdings$"},
    )
    run = jobs.run("west_holdings", {"list_mode": "exact"})
    assert run.state == "failed"
    assert delivered_keys(jobs.bucket) == []
    key = next(
        each.key
        for each in jobs.bucket.list(f"runs/west_holdings/{run.run_id}/delivery/")
        if "outcomes" in each.key
    )
    rows = list(csv.DictReader(io.StringIO(jobs.bucket.get(key).decode())))
    failed = {row["mms_id"]: row["reasons"] for row in rows if row["outcome"] == "failed"}
    assert set(failed) == {title, holders[1]}
    assert "the list counts 1 row but gives 0" in failed[title]
    named = len(alma.holdings(holders[1]))
    assert len([row for row in rows if row["mms_id"] == holders[1]]) == named + 1
    alma.heal()
    jobs.run("west_holdings", {"list_mode": "exact"})
    found = {row["holding_id"] for row in outcomes(jobs.bucket) if row["mms_id"] == title}
    assert found == set(alma.holdings(title))


@pytest.mark.parametrize(
    ("conf", "words"),
    [
        ({"set_id": "59000000000994401"}, "does not know the set 59000000000994401"),
        ({"set_id": EMPTY_SET}, f"The set {EMPTY_SET} is empty"),
        ({"set_id": ITEM_SET}, "not titles"),
        pytest.param(
            {"set_id": ALL_TITLES, "marc_key": "west/exports/x.mrc"},
            "both of set_id and marc_key",
            marks=pytest.mark.quick,
        ),
        ({"marc_key": "west/exports/none.mrc"}, "There is no file west/exports/none.mrc"),
        ({"marc_key": "west/exports/packed.mrc"}, "compressed with gzip"),
        ({"marc_key": "west/exports/text.mrc"}, "is not a MARC21 file"),
        ({"marc_key": "west/exports/strange.mrc"}, "no record with an MMS id"),
    ],
)
def test_bad_input_gets_one_clear_sentence_and_delivers_nothing(jobs, alma, conf, words):
    strange = pymarc.Record(force_utf8=True)
    strange.add_field(pymarc.Field(tag="001", data="ocm00012345"))
    jobs.bucket.put("west/exports/packed.mrc", gzip.compress(strange.as_marc()))
    jobs.bucket.put("west/exports/text.mrc", b"Dear colleague,\nplease find the export attached.\n")
    jobs.bucket.put("west/exports/strange.mrc", strange.as_marc())
    run = jobs.run("west_holdings", conf)
    assert run.state == "failed"
    assert states(run)["extract_mms_ids", -1] == "failed"
    assert delivered_keys(jobs.bucket) == []
    assert words in jobs.bucket.get(f"runs/west_holdings/{run.run_id}/report.html").decode()


@pytest.mark.parametrize(
    ("key", "words"),
    [("wrong", "key"), ("sandbox-ro", None)],
    ids=["a wrong key", "a read-only key suffices"],
)
def test_the_key_decides(jobs, alma, connect_alma, key, words):
    connect_alma(alma.url, key=key, requests_per_second=500)
    run = jobs.run("west_holdings", {})
    assert run.state == ("failed" if words else "success")
    if words:
        assert delivered_keys(jobs.bucket) == []
        assert words in jobs.bucket.get(f"runs/west_holdings/{run.run_id}/report.html").decode()


def test_one_failing_chunk_keeps_the_delivery_back_and_clearing_asks_only_for_what_is_missing(jobs, alma):
    second_chunk = sorted(alma.members(ALL_TITLES))[10:20]
    alma.faults({"kind": "server_error", "path": "|".join(f"{mms_id}/holdings/" for mms_id in second_chunk)})
    run = jobs.run("west_holdings", {"chunk_size": 10})
    assert run.state == "failed"
    assert delivered_keys(jobs.bucket) == []
    page = jobs.bucket.get(f"runs/west_holdings/{run.run_id}/report.html").decode()
    assert "failure_threshold" in page
    stem = f"runs/west_holdings/{run.run_id}/delivery/ZZMAIN.alma.archived.20261120"
    failed = [row for row in outcomes(jobs.bucket, stem) if row["outcome"] == "failed"]
    assert {row["mms_id"] for row in failed} <= set(second_chunk)
    assert all("tracking id" in row["reasons"] for row in failed)


def test_a_chunk_that_never_finishes_leaves_its_titles_failed_not_forgotten(jobs, alma, monkeypatch):
    from alma_airflow.operators.west import ConvertToMarc21

    work = ConvertToMarc21.work

    def stumble(self, context):
        if self.number == 2:
            raise RuntimeError("the worker's disk is full")
        return work(self, context)

    monkeypatch.setattr(ConvertToMarc21, "work", stumble)
    run = jobs.run("west_holdings", {"chunk_size": 10})
    assert run.state == "failed"
    assert states(run)["convert_to_marc21", 1] == "failed"
    assert delivered_keys(jobs.bucket) == []
    stem = f"runs/west_holdings/{run.run_id}/delivery/ZZMAIN.alma.archived.20261120"
    rows = outcomes(jobs.bucket, stem)
    assert {row["mms_id"] for row in rows} == set(alma.members(ALL_TITLES))
    assert [row["mms_id"] for row in rows if row["reasons"] == "chunk 0002 did not finish"] == sorted(
        alma.members(ALL_TITLES)
    )[10:20]

    monkeypatch.setattr(ConvertToMarc21, "work", work)
    assert jobs.run("west_holdings", {"chunk_size": 10, "failure_threshold": 0.5}).state == "success"


def test_all_chunks_failing_is_red_and_tells_how_many(jobs, alma):
    alma.faults({"kind": "malformed", "path": "/holdings/"})
    run = jobs.run("west_holdings", {"chunk_size": 20})
    assert run.state == "failed"
    assert delivered_keys(jobs.bucket) == []
    page = jobs.bucket.get(f"runs/west_holdings/{run.run_id}/report.html").decode()
    assert "No holding could be delivered" in page


def test_a_delivery_that_lost_too_much_waits_for_a_person(jobs, alma):
    assert jobs.run("west_holdings", {}).state == "success"
    before = jobs.bucket.get(f"{DELIVERY}.mrc")
    fewer = {"exclude_locations": ["MAIN/stacks"]}
    run = jobs.run("west_holdings", fewer)
    assert run.state == "failed"
    assert jobs.bucket.get(f"{DELIVERY}.mrc") == before
    page = jobs.bucket.get(f"runs/west_holdings/{run.run_id}/report.html").decode()
    assert "max_drop" in page
    later = LOGICAL_DATE + timedelta(days=1)
    assert jobs.run("west_holdings", {**fewer, "max_drop": 1}, at=later).state == "success"
    assert len([key for key in delivered_keys(jobs.bucket) if key.endswith(".mrc")]) == 2


@pytest.mark.parametrize("earlier", [False, True])
def test_a_trial_with_a_limit_is_green_and_delivers_nothing_whatever_was_delivered_before(
    jobs, alma, earlier
):
    if earlier:
        assert jobs.run("west_holdings", {}).state == "success"
    before = {key: jobs.bucket.get(key) for key in delivered_keys(jobs.bucket)}
    assert bool(before) == earlier
    run = jobs.run("west_holdings", {"limit": 10})
    assert run.state == "success"
    assert (states(run)["deliver", -1], states(run)["check_outcome", -1]) == ("skipped", "success")
    assert {key: jobs.bucket.get(key) for key in delivered_keys(jobs.bucket)} == before
    page = jobs.bucket.get(f"runs/west_holdings/{run.run_id}/report.html").decode()
    assert "Trial of the first 10 titles (limit)" in page
    assert "not compared" in page


def test_a_limit_in_the_file_keeps_the_nightly_run_from_delivering_and_the_page_says_so(jobs, alma):
    jobs.bucket.put("config/west.yaml", f"set_id: '{ALL_TITLES}'\noclc_symbol: ZZMAIN\nlimit: 10\n".encode())
    run = jobs.run("west_holdings", {})
    assert (run.state, delivered_keys(jobs.bucket)) == ("success", [])
    page = jobs.bucket.get(f"runs/west_holdings/{run.run_id}/report.html").decode()
    assert "limit is set in config/west.yaml" in page


@pytest.mark.parametrize("environment", ["production", ""])
def test_the_shipped_set_and_symbol_are_not_used_on_an_alma_that_is_no_sandbox(
    jobs, alma, connect_alma, environment
):
    connect_alma(alma.url, requests_per_second=500, environment=environment)
    alma.forget()
    run = jobs.run("west_holdings", {})
    assert run.state == "failed"
    assert delivered_keys(jobs.bucket) == []
    assert alma.calls() == []
    page = jobs.bucket.get(f"runs/west_holdings/{run.run_id}/report.html").decode()
    for words in ("set_id", "oclc_symbol", "config/west.yaml", "include/alma_etl/west/west.yaml"):
        assert words in page
    conf = {"set_id": ALL_TITLES, "oclc_symbol": "ZZOWN"}
    assert jobs.run("west_holdings", conf).state == "success"  # no file is needed where the form gives all
    assert "west/deliveries/ZZOWN.alma.archived.20261120.mrc" in delivered_keys(jobs.bucket)


def test_the_day_is_that_of_the_run_in_the_configured_time_zone(jobs, alma):
    jobs.bucket.put(
        "config/west.yaml",
        f"set_id: '{ALL_TITLES}'\noclc_symbol: ZZLAW\ntimezone: America/Los_Angeles\n".encode(),
    )
    jobs.run("west_holdings", {}, at=datetime(2026, 11, 20, 2, 0, tzinfo=UTC))
    assert "west/deliveries/ZZLAW.alma.archived.20261119.mrc" in delivered_keys(jobs.bucket)


def test_an_unreachable_gateway_is_named(jobs, alma, connect_alma):
    connect_alma("http://127.0.0.1:9", requests_per_second=500)
    run = jobs.run("west_holdings", {})
    assert run.state == "failed"
    assert delivered_keys(jobs.bucket) == []
    page = jobs.bucket.get(f"runs/west_holdings/{run.run_id}/report.html").decode()
    assert "http://127.0.0.1:9" in page


def test_the_key_is_in_nothing_that_a_run_leaves_behind(jobs, sandbox, connect_alma, capfd, caplog, tmp_path):
    key = "not-a-real-key-but-long-enough"
    view = SandboxView(sandbox(titles=20, per_second=0, api_key=key).url)
    connect_alma(view.url, key=key, requests_per_second=500)
    view.faults(
        {"kind": "server_error", "first": 2},
        {"kind": "drop", "path": "/holdings/", "every": 5},
        {"kind": "truncated", "path": "/holdings/", "every": 7},
    )
    jobs.run("west_holdings", {"chunk_size": 5})
    connect_alma(view.url, key=f"{key}-wrong", requests_per_second=500)
    jobs.run("west_holdings", {})
    shown = capfd.readouterr()
    assert key not in shown.out + shown.err + caplog.text
    assert all(key not in json.dumps(call | {"key": ""}) for call in view.calls())
    for item in jobs.bucket.list(""):
        assert key not in item.key
        assert key.encode() not in jobs.bucket.get(item.key)
    assert KEY not in ("", key)
