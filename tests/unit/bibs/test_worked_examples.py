"""The worked examples of matching and merging, each a dropped file: what the report says, and what Alma has then."""

import pytest

from alma_sandbox.catalogue.titles import network_id
from tests.unit.bibs.records import LEADER, lines, record
from tests.unit.bibs.test_bib_imports import F008

pytestmark = pytest.mark.heavy


def incoming(*fields: str, time: str = "20400101000000.0", level: str = " "):
    leader = f"{LEADER[:17]}{level}{LEADER[18:]}"
    return record(f"005 {time}", F008, *fields, "245 00 $a Made up", leader=leader)


def outcome(run) -> str:
    [row] = run.rows
    return row["outcome"]


def test_a_number_spelt_as_oclc_did_is_merged_into_one_035(imports):
    there = imports.add("035 __ $a (OCoLC)64758", "245 00 $a Old")
    assert outcome(imports.load(incoming("035 __ $a (OCoLC)ocm000064758"))) == "merged"
    assert lines(imports.title(there), "035") == ["035 __ $a (OCoLC)64758"]


def test_a_former_number_finds_its_title_and_a_second_run_is_unchanged(imports):
    there = imports.add(
        "035 __ $a (OCoLC)700", "035 _9 $a 90000000001 $b YBP", "245 00 $a Old", "979 __ $a bound"
    )
    new = incoming("035 __ $a (OCoLC)900 $z (OCoLC)700")
    run = imports.load(new)
    assert (outcome(run), run.rows[0]["reasons"]) == ("merged", "")
    assert lines(imports.title(there), "035", "979") == [
        "035 __ $a (OCoLC)900 $z (OCoLC)700", "035 _9 $a 90000000001 $b YBP", "979 __ $a bound",
    ]  # fmt: skip
    assert outcome(imports.load(new, name="again.mrc")) == "unchanged"


def test_two_titles_by_the_two_numbers_are_a_multi_match_that_names_both(imports):
    former = imports.add("035 __ $a (OCoLC)700", "245 00 $a Old")
    present = imports.add("035 __ $a (OCoLC)900", "245 00 $a Old")
    imports.alma.forget()
    run = imports.load(incoming("035 __ $a (OCoLC)900 $z (OCoLC)700"))
    assert outcome(run) == "multi_match"
    assert run.rows[0]["message"] == f"{former} by 035 $z or 019 700; {present} by 035 $a 900"
    assert imports.writes() == []


def test_what_only_looks_like_a_number_of_oclc_matches_nothing(imports):
    for number in ("112267", "2267"):
        imports.add(f"035 __ $a (OCoLC){number}", "245 00 $a Old")
    assert outcome(imports.load(incoming("035 __ $a (OCoLC)TGPSM11-B2267"))) == "no_key"


def test_a_briefer_record_is_refused_with_both_levels_and_a_full_one_merges(imports):
    imports.add("035 __ $a (OCoLC)900", "245 00 $a Old")
    run = imports.load(incoming("035 __ $a (OCoLC)900", level="3"))
    assert outcome(run) == "not_added_brief"
    assert run.rows[0]["message"].startswith("03 < 10")
    assert outcome(imports.load(incoming("035 __ $a (OCoLC)900"), name="full.mrc")) == "merged"


def test_a_malformed_005_is_a_warning_and_not_old(imports):
    imports.add("005 20240501101112.0", "035 __ $a (OCoLC)900", "245 00 $a Old")
    run = imports.load(incoming("035 __ $a (OCoLC)900", time="20240501"))
    assert (outcome(run), run.rows[0]["reasons"]) == ("merged", "NO_005")


def linked(imports) -> str:
    """A title that is linked to the network zone, with its OCLC number."""
    answer = imports.alma.post(f"/bibs?from_nz_mms_id={network_id(3)}", "<bib/>")
    answer.raise_for_status()
    return str(answer.json()["mms_id"])


@pytest.mark.parametrize("zone", ["iz", "nz"])
def test_a_title_of_the_network_zone_is_edited_there(imports, zone):
    """`zone: nz` by a key of an institution: Alma takes local fields alone, and the report says so."""
    imports.profiles("profiles:\n  net: {zone: nz, match: [mms_id]}\n  own: {zone: iz, match: [mms_id]}\n")
    there = linked(imports)
    imports.alma.forget()
    new = record(f"001 {there}", F008, "245 00 $a Made up", "650 _0 $a New")
    run = imports.load(new, profile="own" if zone == "iz" else "net")
    if zone == "iz":
        assert outcome(run) == "linked_nz"
        assert "the network zone, where alone it can be changed" in run.rows[0]["message"]
        assert imports.writes() == []
    else:
        assert outcome(run) == "not_applied"
        assert imports.writes() == ["PUT"]
