"""A WEST run that is cleared after something changed asks again what depends on it, and nothing else."""

from collections import Counter
from datetime import UTC, datetime

import pytest

from alma_etl.alma.client import AlmaClient
from alma_etl.remote.errors import RemoteStop, RemoteTimeout
from alma_etl.remote.limiter import LocalLimiter
from alma_etl.west.assembly import assemble_delivery
from alma_etl.west.converting import convert_to_marc21, converted
from alma_etl.west.extract import extract_mms_ids
from alma_etl.west.fetching import fetch_holdings, fetched_holdings
from alma_etl.west.listing import list_holdings, listed_titles
from alma_etl.west.report import write_report
from alma_etl.west.run import RunFolder
from alma_sandbox import Settings, serve
from tests.unit.west.builders import hol, holding, mms
from tests.unit.west.fake_alma import FakeAlma, pages_of
from tests.unit.west.pipeline import MOMENT

pytestmark = pytest.mark.heavy

BASE = {"set_id": "59000000000004401", "oclc_symbol": "ZZMAIN", "max_drop": 1}
TITLES = 6


@pytest.fixture
def alma() -> FakeAlma:
    """Title 5 has a second holding that is suppressed, and that availability hides."""
    found = FakeAlma()
    for number in range(TITLES):
        found.add(number, [holding(number, number)])
    found.held[mms(5)].append(holding(50, 5, suppressed=True))
    found.members = pages_of([mms(number) for number in range(TITLES)])
    return found


def run(client, folder: RunFolder, *, moment=MOMENT, **params):
    """All steps of the run, as if it had been cleared with these settings."""
    for chunk in extract_mms_ids(client, folder, BASE | params, moment=moment, sandbox=True):
        list_holdings(client, folder, chunk.number)
        fetch_holdings(client, folder, chunk.number)
        convert_to_marc21(folder, chunk.number)
    return assemble_delivery(folder)


def asked(alma: FakeAlma) -> Counter:
    counts = Counter(kind for kind, _ in alma.asked)
    alma.asked = []
    return counts


@pytest.mark.parametrize(
    "change",
    [
        {"failure_threshold": 0.5},
        {"max_drop": 0.5},
        {"dry_run": True},
        {"programme": "OTHER"},
        {"exclude_locations": ["stacks"]},
        {"oclc_symbol": "ZZLAW"},
        {"symbol_by_library": {"MAIN": "ZZLAW"}},
        {"marc_org_code": "ZzZz"},
        {"timezone": "America/Los_Angeles"},
        {"limit": 3},
        {"chunk_size": 2},
    ],
    ids=lambda change: next(iter(change)),
)
def test_alma_is_asked_nothing_when_a_setting_changed_that_no_question_depends_on(folder, alma, change):
    run(alma, folder)
    assert asked(alma)["read"] == TITLES
    run(alma, folder, **change)
    assert asked(alma) == {}


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        ({"programme": "OTHER"}, "no_commitment"),
        ({"exclude_locations": ["stacks"]}, "excluded_location"),
        ({"oclc_symbol": None, "symbol_by_library": {"LAW": "ZZLAW"}}, "bad_marc"),
    ],
)
def test_what_a_setting_says_of_a_record_holds_after_a_clear(folder, alma, change, outcome):
    folder.bucket.put("config/west.yaml", b"set_id: '59000000000004401'\nmax_drop: 1\n")
    assert run(alma, folder).counts["delivered"] == TITLES
    params = {name: value for name, value in (BASE | change).items() if value is not None}
    for chunk in extract_mms_ids(alma, folder, params, moment=MOMENT, sandbox=True):
        convert_to_marc21(folder, chunk.number)
    assert assemble_delivery(folder).counts[outcome] == TITLES


def test_the_mode_that_the_report_names_is_the_mode_in_which_alma_was_asked(folder, alma):
    run(alma, folder, list_mode="batch")
    asked(alma)
    assembly = run(alma, folder, list_mode="exact")
    counts = asked(alma)
    assert counts["list"] == TITLES
    assert counts["read"] == 0  # the suppressed one is not wanted, the others were fetched
    assert assembly.counts["suppressed"] == 1
    page = folder.bucket.get(write_report(folder, {})).decode()
    assert "every title was asked" in page
    assert run(alma, folder, list_mode="batch").counts["suppressed"] == 0
    assert asked(alma) == {}


def test_suppressed_holdings_that_are_wanted_now_are_fetched_and_the_others_are_not(folder, alma):
    run(alma, folder, list_mode="exact")
    asked(alma)
    assembly = run(alma, folder, include_suppressed=True)
    assert asked(alma) == {"read": 1}
    assert assembly.counts["delivered"] == TITLES + 1


def test_another_day_of_the_run_judges_anew(folder, alma):
    run(alma, folder)
    assembly = run(
        alma, folder, moment=datetime(2036, 2, 1, tzinfo=UTC)
    )  # the commitments have ended by then
    assert assembly.counts["no_commitment"] == TITLES
    assert asked(alma)["read"] == TITLES


def test_more_titles_of_a_raised_limit_are_asked_for_alone(folder, alma):
    run(alma, folder, limit=3)
    assert asked(alma)["read"] == 3
    run(alma, folder, limit=5)
    assert asked(alma)["read"] == 2


def test_titles_that_a_lower_limit_leaves_out_are_in_no_file(folder, alma):
    run(alma, folder, limit=6, chunk_size=2)
    assembly = run(alma, folder, limit=3)
    assert (assembly.titles, assembly.counts["delivered"]) == (3, 3)


def test_another_set_is_read(folder, alma):
    run(alma, folder)
    asked(alma)
    alma.members = pages_of([mms(number) for number in range(2)])
    assembly = run(alma, folder, set_id="59000000000014401")
    assert assembly.titles == 2
    assert asked(alma)["members"] == 1


def test_a_set_of_which_members_were_missing_is_read_again(folder, alma):
    alma.members = pages_of([mms(number) for number in range(4)], total=TITLES)
    assert run(alma, folder, failure_threshold=1).titles == 4
    alma.members = pages_of([mms(number) for number in range(TITLES)])
    assert run(alma, folder).titles == TITLES


def test_another_alma_is_asked_everything(folder, alma):
    run(alma, folder)
    asked(alma)
    other = FakeAlma(host="other.example")
    other.add(0, [holding(0, 0)])
    other.members = pages_of([mms(0)])
    assert run(other, folder).counts["delivered"] == 1
    assert asked(other) == {"set": 1, "members": 1, "bibs": 1, "read": 1}
    run(alma, folder)
    assert asked(alma) == {}  # set back, it finds what it knew


@pytest.mark.parametrize("step", [list_holdings, fetch_holdings, lambda _, *rest: convert_to_marc21(*rest)])
def test_a_single_task_can_be_cleared(folder, alma, step):
    before = run(alma, folder, chunk_size=2)
    asked(alma)
    step(alma, folder, 2)
    assert asked(alma) == {}
    assert assemble_delivery(folder) == before


def test_a_step_whose_input_was_made_by_other_settings_says_so_instead_of_using_it(folder, alma):
    run(alma, folder, list_mode="batch")
    extract_mms_ids(alma, folder, BASE | {"list_mode": "exact"}, moment=MOMENT, sandbox=True)
    with pytest.raises(LookupError, match="clear its list_holdings"):
        convert_to_marc21(folder, 1)
    assembly = assemble_delivery(folder)
    assert assembly.counts["failed"] == TITLES
    assert assembly.unfinished_chunks == (1,)


def test_changed_thresholds_ask_the_sandbox_nothing(bucket):
    with serve(Settings(per_second=0, titles=40)) as running:
        client = AlmaClient(running.url, "sandbox", limiter=LocalLimiter(100_000))
        with client:
            folder = RunFolder(bucket, "cleared")
            run(client, folder, failure_threshold=0, max_drop=0)
            made = client.calls_made
            assert made > 40
            run(client, folder, failure_threshold=1, max_drop=1)
            assert client.calls_made == made


# --- two workers at one chunk


def test_a_worker_taken_for_dead_does_not_undo_what_its_successor_listed(folder, alma):
    extract_mms_ids(alma, folder, BASE, moment=MOMENT, sandbox=True)
    ill = FakeAlma(alma.bibs_known, alma.held)
    ill.trouble = {
        ("bibs", mms(n)): RemoteTimeout("GET /bibs", None, "", "nothing came") for n in range(TITLES)
    }
    zombie, once = ill.in_parallel, []

    def overtaken(function, items):
        if not once:
            once.append(1)
            list_holdings(alma, folder, 1)
        return zombie(function, items)

    ill.in_parallel = overtaken  # type: ignore[method-assign]
    told = list_holdings(ill, folder, 1)
    assert told["failed"] == 0
    assert {title["status"] for title in listed_titles(folder, 1)} == {"listed"}


def test_a_worker_taken_for_dead_does_not_undo_what_its_successor_fetched(folder, alma):
    extract_mms_ids(alma, folder, BASE, moment=MOMENT, sandbox=True)
    list_holdings(alma, folder, 1)
    ill = FakeAlma(alma.bibs_known, alma.held)
    ill.trouble = {
        ("read", hol(n)): RemoteTimeout("GET /x", None, "", "nothing came") for n in range(0, TITLES, 2)
    }
    zombie = ill.in_parallel

    def overtaken(function, items):
        for number, each in enumerate(zombie(function, items)):
            if number == 2:
                fetch_holdings(alma, folder, 1)
            yield each

    ill.in_parallel = overtaken  # type: ignore[method-assign]
    assert fetch_holdings(ill, folder, 1)["failed"] == 0
    assert {row["status"] for row in fetched_holdings(folder, 1).values()} == {"fetched"}
    convert_to_marc21(folder, 1)
    assert assemble_delivery(folder).counts["delivered"] == TITLES


def test_a_worker_that_ends_long_after_the_assembly_changes_no_later_one(folder, alma):
    before = run(alma, folder)
    ill = FakeAlma(alma.bibs_known, alma.held)
    ill.answers_left = 0
    list_holdings(ill, folder, 1)  # all is known, nothing is asked
    fetch_holdings(ill, folder, 1)
    with converted(folder, folder.plan(), 1) as rows:
        assert rows is not None
    assert assemble_delivery(folder) == before
    with pytest.raises(RemoteStop):
        extract_mms_ids(ill, folder, BASE | {"set_id": "59000000000014401"}, moment=MOMENT, sandbox=True)


def test_a_run_under_way_at_an_upgrade_goes_on(folder, alma):
    """The version before kept one object a step: a later step reads it, the step itself works again."""
    extract_mms_ids(alma, folder, BASE, moment=MOMENT, sandbox=True)
    list_holdings(alma, folder, 1)
    rows = listed_titles(folder, 1)
    key = folder.chunk_key(1, "listing.jsonl")
    folder.bucket.delete([info.key for info in folder.bucket.list(f"{key}.parts/")])
    folder.bucket.write_rows(key, rows)
    fetch_holdings(alma, folder, 1)
    convert_to_marc21(folder, 1)
    assert assemble_delivery(folder).counts["delivered"] == TITLES
    asked(alma)
    list_holdings(alma, folder, 1)
    assert asked(alma) == {"bibs": 1}


def test_an_old_plan_says_nothing_of_its_chunks(folder, alma):
    run(alma, folder, chunk_size=2)
    old = folder.plan().model_copy(update={"chunk_size": 0})
    folder.write_plan(old)
    assert run(alma, folder, chunk_size=3).titles == TITLES
