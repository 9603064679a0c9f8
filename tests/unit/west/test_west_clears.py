"""A WEST run that is cleared after something changed asks again what depends on it, and nothing else."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from typing import Any

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
from alma_sandbox import FaultRule, Settings, serve
from alma_sandbox.catalogue import ids
from alma_sandbox.catalogue.variants import GOOD, variant_of
from tests.unit.west.builders import hol, holding, mms
from tests.unit.west.fake_alma import FakeAlma, pages_of
from tests.unit.west.pipeline import MOMENT

pytestmark = pytest.mark.heavy

BASE = {"set_id": "59000000000004401", "oclc_symbol": "ZZMAIN", "max_drop": 1}
TITLES = 6
SHELVES = ["stacks", "periodicals", "archive"]
KINDS = {
    "/conf/sets/{set_id}": "set",
    "/conf/sets/{set_id}/members": "members",
    "/bibs": "bibs",
    "/bibs/{mms_id}/holdings": "list",
    "/bibs/{mms_id}/holdings/{holding_id}": "read",
}


@dataclass(frozen=True)
class Asked:
    """A client of a sandbox, and what the sandbox was asked."""

    client: AlmaClient
    sandbox: Any

    def calls(self) -> Counter[str]:
        """Return the calls since this was last asked, by kind."""
        counts = Counter(KINDS[entry.route.removeprefix("/almaws/v1")] for entry in self.sandbox.log.entries)
        self.sandbox.log.clear()
        return counts


@contextmanager
def ordinary(titles: int) -> Iterator[Asked]:
    """A sandbox whose titles have one deliverable holding each."""
    seed = next(seed for seed in count(1) if {variant_of(seed, title) for title in range(titles)} == {GOOD})
    with (
        serve(Settings(per_second=0, titles=titles, seed=seed)) as running,
        AlmaClient(running.url, "sandbox", limiter=LocalLimiter(100_000)) as client,
    ):
        yield Asked(client, running.sandbox)


@pytest.fixture
def alma() -> Iterator[Asked]:
    """Title 5 has a second holding that is suppressed, and that availability hides."""
    with ordinary(TITLES) as found:
        catalogue = found.sandbox.catalogue
        (first,) = catalogue.holdings_of(ids.mms_id(5))
        catalogue.keep_holding(replace(first, holding_id=catalogue.counter.take("22"), suppressed=True))
        yield found


@pytest.fixture
def fake() -> FakeAlma:
    """A scripted Alma: where a call fails at a moment that no rule of the sandbox names, or without a wait."""
    found = FakeAlma()
    for number in range(TITLES):
        found.add(number, [holding(number, number)])
    found.members = pages_of([mms(number) for number in range(TITLES)])
    return found


def run(client, folder: RunFolder, *, moment=MOMENT, **params):
    """All steps of the run, as if it had been cleared with these settings."""
    for chunk in extract_mms_ids(client, folder, BASE | params, moment=moment, sandbox=True):
        list_holdings(client, folder, chunk.number)
        fetch_holdings(client, folder, chunk.number)
        convert_to_marc21(folder, chunk.number)
    return assemble_delivery(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"failure_threshold": 0.5},
        {"max_drop": 0.5},
        {"dry_run": True},
        {"programme": "OTHER"},
        {"exclude_locations": SHELVES},
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
    run(alma.client, folder)
    assert alma.calls()["read"] == TITLES
    run(alma.client, folder, **change)
    assert alma.calls() == {}


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        ({"programme": "OTHER"}, "no_commitment"),
        ({"exclude_locations": SHELVES}, "excluded_location"),
        ({"oclc_symbol": None, "symbol_by_library": {"NOWHERE": "ZZLAW"}}, "bad_marc"),
    ],
)
def test_what_a_setting_says_of_a_record_holds_after_a_clear(folder, alma, change, outcome):
    folder.bucket.put("config/west.yaml", b"set_id: '59000000000004401'\nmax_drop: 1\n")
    assert run(alma.client, folder).counts["delivered"] == TITLES
    params = {name: value for name, value in (BASE | change).items() if value is not None}
    for chunk in extract_mms_ids(alma.client, folder, params, moment=MOMENT, sandbox=True):
        convert_to_marc21(folder, chunk.number)
    assert assemble_delivery(folder).counts[outcome] == TITLES


def test_the_mode_that_the_report_names_is_the_mode_in_which_alma_was_asked(folder, alma):
    run(alma.client, folder, list_mode="batch")
    alma.calls()
    assembly = run(alma.client, folder, list_mode="exact")
    counts = alma.calls()
    assert counts["list"] == TITLES
    assert counts["read"] == 0  # the suppressed one is not wanted, the others were fetched
    assert assembly.counts["suppressed"] == 1
    page = folder.bucket.get(write_report(folder, {})).decode()
    assert "every title was asked" in page
    assert run(alma.client, folder, list_mode="batch").counts["suppressed"] == 0
    assert alma.calls() == {}


def test_suppressed_holdings_that_are_wanted_now_are_fetched_and_the_others_are_not(folder, alma):
    run(alma.client, folder, list_mode="exact")
    alma.calls()
    assembly = run(alma.client, folder, include_suppressed=True)
    assert alma.calls() == {"read": 1}
    assert assembly.counts["delivered"] == TITLES + 1


def test_another_day_of_the_run_judges_anew(folder, alma):
    run(alma.client, folder)
    assembly = run(
        alma.client, folder, moment=datetime(2036, 2, 1, tzinfo=UTC)
    )  # the commitments have ended by then
    assert assembly.counts["no_commitment"] == TITLES
    assert alma.calls()["read"] == TITLES


def test_more_titles_of_a_raised_limit_are_asked_for_alone(folder, alma):
    run(alma.client, folder, limit=3)
    assert alma.calls()["read"] == 3
    run(alma.client, folder, limit=5)
    assert alma.calls()["read"] == 2


def test_titles_that_a_lower_limit_leaves_out_are_in_no_file(folder, alma):
    run(alma.client, folder, limit=6, chunk_size=2)
    assembly = run(alma.client, folder, limit=3)
    assert (assembly.titles, assembly.counts["delivered"]) == (3, 3)


def test_another_set_is_read(folder, alma):
    run(alma.client, folder)
    alma.calls()
    alma.sandbox.sets.by_id[ids.EMPTY_SET].members = [ids.mms_id(0), ids.mms_id(1)]
    assembly = run(alma.client, folder, set_id=ids.EMPTY_SET)
    assert assembly.titles == 2
    assert alma.calls()["members"] == 1


def test_a_set_of_which_members_were_missing_is_read_again(folder, alma):
    alma.sandbox.faults.add(FaultRule(kind="short", rows=2, path="/members"))
    assert run(alma.client, folder, failure_threshold=1).titles == 4
    alma.sandbox.faults.remove()
    assert run(alma.client, folder).titles == TITLES


def test_another_alma_is_asked_everything(folder, alma):
    run(alma.client, folder)
    alma.calls()
    with ordinary(1) as other:
        assert run(other.client, folder).counts["delivered"] == 1
        assert other.calls() == {"set": 1, "members": 1, "bibs": 1, "read": 1}
    run(alma.client, folder)
    assert alma.calls() == {}  # set back, it finds what it knew


@pytest.mark.parametrize("step", [list_holdings, fetch_holdings, lambda _, *rest: convert_to_marc21(*rest)])
def test_a_single_task_can_be_cleared(folder, alma, step):
    before = run(alma.client, folder, chunk_size=2)
    alma.calls()
    step(alma.client, folder, 2)
    assert alma.calls() == {}
    assert assemble_delivery(folder) == before


def test_a_step_whose_input_was_made_by_other_settings_says_so_instead_of_using_it(folder, alma):
    run(alma.client, folder, list_mode="batch")
    extract_mms_ids(alma.client, folder, BASE | {"list_mode": "exact"}, moment=MOMENT, sandbox=True)
    with pytest.raises(LookupError, match="clear its list_holdings"):
        convert_to_marc21(folder, 1)
    assembly = assemble_delivery(folder)
    assert assembly.counts["failed"] == TITLES
    assert assembly.unfinished_chunks == (1,)


def test_a_run_under_way_at_an_upgrade_goes_on(folder, alma):
    """The version before kept one object a step: a later step reads it, the step itself works again."""
    extract_mms_ids(alma.client, folder, BASE, moment=MOMENT, sandbox=True)
    list_holdings(alma.client, folder, 1)
    rows = listed_titles(folder, 1)
    key = folder.chunk_key(1, "listing.jsonl")
    folder.bucket.delete([info.key for info in folder.bucket.list(f"{key}.parts/")])
    folder.bucket.write_rows(key, rows)
    fetch_holdings(alma.client, folder, 1)
    convert_to_marc21(folder, 1)
    assert assemble_delivery(folder).counts["delivered"] == TITLES
    alma.calls()
    list_holdings(alma.client, folder, 1)
    assert alma.calls() == {"bibs": 1}


def test_an_old_plan_says_nothing_of_its_chunks(folder, alma):
    run(alma.client, folder, chunk_size=2)
    old = folder.plan().model_copy(update={"chunk_size": 0})
    folder.write_plan(old)
    assert run(alma.client, folder, chunk_size=3).titles == TITLES


# --- two workers at one chunk


def test_a_worker_taken_for_dead_does_not_undo_what_its_successor_listed(folder, fake):
    extract_mms_ids(fake, folder, BASE, moment=MOMENT, sandbox=True)
    ill = FakeAlma(fake.bibs_known, fake.held)
    ill.trouble = {
        ("bibs", mms(n)): RemoteTimeout("GET /bibs", None, "", "nothing came") for n in range(TITLES)
    }
    zombie, once = ill.in_parallel, []

    def overtaken(function, items):
        if not once:
            once.append(1)
            list_holdings(fake, folder, 1)
        return zombie(function, items)

    ill.in_parallel = overtaken  # type: ignore[method-assign]
    counts = list_holdings(ill, folder, 1)
    assert counts["failed"] == 0
    assert {title["status"] for title in listed_titles(folder, 1)} == {"listed"}


def test_a_worker_taken_for_dead_does_not_undo_what_its_successor_fetched(folder, fake):
    extract_mms_ids(fake, folder, BASE, moment=MOMENT, sandbox=True)
    list_holdings(fake, folder, 1)
    ill = FakeAlma(fake.bibs_known, fake.held)
    ill.trouble = {
        ("read", hol(n)): RemoteTimeout("GET /x", None, "", "nothing came") for n in range(0, TITLES, 2)
    }
    zombie = ill.in_parallel

    def overtaken(function, items):
        for number, each in enumerate(zombie(function, items)):
            if number == 2:
                fetch_holdings(fake, folder, 1)
            yield each

    ill.in_parallel = overtaken  # type: ignore[method-assign]
    assert fetch_holdings(ill, folder, 1)["failed"] == 0
    assert {row["status"] for row in fetched_holdings(folder, 1).values()} == {"fetched"}
    convert_to_marc21(folder, 1)
    assert assemble_delivery(folder).counts["delivered"] == TITLES


def test_a_worker_that_ends_long_after_the_assembly_changes_no_later_one(folder, fake):
    before = run(fake, folder)
    ill = FakeAlma(fake.bibs_known, fake.held)
    ill.answers_left = 0
    list_holdings(ill, folder, 1)  # all is known, nothing is asked
    fetch_holdings(ill, folder, 1)
    with converted(folder, folder.plan(), 1) as rows:
        assert rows is not None
    assert assemble_delivery(folder) == before
    with pytest.raises(RemoteStop):
        extract_mms_ids(ill, folder, BASE | {"set_id": "59000000000014401"}, moment=MOMENT, sandbox=True)
