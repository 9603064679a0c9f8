"""The flags of a title that a record matches: suppression and OCLC, set back in the call that brings the record."""

import pytest

from alma_etl.alma.bib_writes import BibFlags
from tests.e2e.death import Reaper, WorkerKilled
from tests.unit.bibs.conftest import Run
from tests.unit.bibs.test_bib_imports import new, to_iso2709

pytestmark = pytest.mark.heavy
PROFILES = """profiles:
  brief: {suppress: true, sync_with_oclc: NONE}
  full: {flags_on_match: set, suppress: false, sync_with_oclc: BIBS, check_005: false}
  overlay: {flags_on_match: set, on_match: overlay, sync_with_oclc: HOLDINGS, check_005: false}
  kept: {sync_with_oclc: BIBS, check_005: false}
  silent: {flags_on_match: set, check_005: false}
  dry: {flags_on_match: set, sync_with_oclc: BIBS, check_005: false, dry_run: true}
"""


@pytest.fixture
def imports(imports):
    imports.profiles(PROFILES)
    return imports


def flags(imports, mms_id):
    bib = imports.alma.state()["bibs"][mms_id]
    return bib["suppressed"], bib["sync_with_oclc"]


@pytest.fixture
def waiting(imports):
    """A title that is suppressed and not published to OCLC."""
    run = imports.load(new(801), name="brief.mrc", profile="brief")
    [row] = run.rows
    assert flags(imports, row["mms_id"]) == (True, "NONE")
    imports.alma.forget()
    return row["mms_id"]


def test_record_and_flags_come_in_one_call_and_again_nothing_is_written(imports, waiting):
    run = imports.load(new(801, title="Full"), profile="full")
    assert run.outcomes == ["merged"]
    assert "suppress_from_publishing false, sync_with_oclc BIBS" in run.rows[0]["message"]
    assert "FLAGS_SET" in run.rows[0]["reasons"]
    assert flags(imports, waiting) == (False, "BIBS")
    assert imports.writes() == ["PUT"]
    again = imports.load(new(801, title="Full"), name="b.mrc", profile="full")
    assert (again.outcomes, imports.writes()) == (["unchanged"], ["PUT"])


@pytest.mark.parametrize(
    ("profile", "outcome", "after"),
    [
        ("full", "merged", (False, "BIBS")),
        ("overlay", "overlaid", (False, "HOLDINGS")),
        ("silent", "merged", (False, "NONE")),
        ("kept", "unchanged", (True, "NONE")),
        ("dry", "would_merge", (True, "NONE")),
    ],
)
def test_a_title_that_has_all_of_the_record_gets_the_flags_once(imports, waiting, profile, outcome, after):
    for expected in (outcome, outcome if profile == "dry" else "unchanged"):
        run = imports.load(new(801), profile=profile)
        assert (run.outcomes, flags(imports, waiting)) == ([expected], after)
    assert len(imports.writes()) <= 1


def test_a_refused_record_leaves_the_flags(imports, waiting):
    imports.profiles(PROFILES.replace("check_005: false", "check_005: true"))
    old = new(801, title="Old")
    old["005"].data = "20000101000000.0"
    assert imports.load(old, profile="full").outcomes == ["not_added_old"]
    assert flags(imports, waiting) == (True, "NONE")


def test_a_setting_that_changed_counts_when_the_run_is_cleared(imports, waiting):
    imports.load(new(801), profile="full")
    run = Run(imports, to_iso2709(new(801)), profile="full")
    run.read()
    assert run.match() == {"unchanged": 1}
    imports.profiles(PROFILES.replace("sync_with_oclc: BIBS", "sync_with_oclc: HOLDINGS"))
    run.whole()
    assert (run.outcomes, flags(imports, waiting)) == (["merged"], (False, "HOLDINGS"))


def test_flags_that_alma_does_not_take_are_named(imports, waiting, monkeypatch):
    monkeypatch.setattr(BibFlags, "put_into", lambda self, root: None)
    run = imports.load(new(801, title="Full"), profile="full")
    assert run.outcomes == ["not_applied"]
    assert run.rows[0]["message"].endswith("in suppress_from_publishing, sync_with_oclc")


@pytest.mark.parametrize("kills", [(3, 6), pytest.param(range(1, 20), marks=pytest.mark.nightly)])
def test_killed_or_without_an_answer_the_flags_are_set_once(imports, waiting, monkeypatch, kills):
    imports.alma.faults({"kind": "drop", "method": "PUT", "path": "/bibs", "first": 1})
    run = imports.load(new(801), profile="full")
    assert (run.outcomes, imports.writes()) == (["merged"], ["PUT"])
    assert flags(imports, waiting) == (False, "BIBS")
    reaper = Reaper(monkeypatch)
    for kill_at in kills:
        title = f"Killed {kill_at}"
        flagged = Run(
            imports, to_iso2709(new(801, title=title)), f"{kill_at}.mrc", ("overlay", "full")[kill_at % 2]
        )
        reaper.fresh_process()
        flagged.read()
        flagged.match()
        reaper.fresh_process(kill_at)
        try:
            flagged.write()
        except WorkerKilled:
            reaper.fresh_process()
            flagged.write()
            flagged.finish()
            assert flagged.outcomes in (["merged"], ["overlaid"]), (kill_at, flagged.rows)
            assert flags(imports, waiting) == (False, ("HOLDINGS", "BIBS")[kill_at % 2])
        else:
            break
    assert kill_at > 3
