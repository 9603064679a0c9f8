"""Profiles of imports: what ships, what a bucket lays over it, and what is refused."""

import json

import pytest

from alma_etl.bibs.merging import OVERLAY, MergeRule
from alma_etl.bibs.profiles import SETTINGS, BibProfile, BibProfiles, completed
from alma_etl.bibs.rows import COLUMNS, BibOutcome
from alma_etl.errors import InputProblem
from alma_etl.jobs.settings_files import read_settings

SHIPPED = SETTINGS.shipped()


def of_bucket(text: str) -> BibProfiles:
    return completed(SHIPPED, read_settings(text, BibProfiles, source="config/bib_profiles.yaml"))


def test_catalog_ships_with_every_key_and_is_what_the_defaults_are():
    assert list(SHIPPED.profiles) == ["catalog"]
    assert SHIPPED.profiles["catalog"] == BibProfile()
    assert SHIPPED.profiles["catalog"].model_fields_set == set(BibProfile.model_fields)


def test_a_profile_of_the_bucket_comes_beside_and_lacks_what_catalog_has():
    found = of_bucket("profiles:\n  catalog: {check_005: false}\n  brief: {brief_level: none, match: 019}\n")
    assert found.profiles["catalog"] == BibProfile(check_005=False)
    assert found.profiles["brief"] == BibProfile(check_005=False, brief_level=None, match=("019",))
    assert (found.max_file_mb, found.chunk_size) == (SHIPPED.max_file_mb, 500)


def test_without_a_file_in_the_bucket_the_shipped_ones_hold():
    assert completed(SHIPPED, None) is SHIPPED


def test_a_profile_outlives_the_plan_of_a_run():
    profile = BibProfile(validates=False, brief_level=None, protect=("035 *9", "650 *7$2=fast"))
    kept = json.loads(profile.model_dump_json())
    assert kept["validate"] is False
    assert BibProfile.model_validate(kept) == profile


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("match: [title]", "oclc"),
        ("match: []", "at least one"),
        ("match: [oclc, oclc]", "twice"),
        ("protect: [035]", "in quotes"),
        ("protect: ['24']", "names no fields"),
        ("lock_wait_minutes: 61", "60"),
        ("encoding: base64", "no encoding"),
        ("encoding: klingon", "no encoding"),
        ("brief_level: {table: loc}", "no table"),
        ("brief_level: {table: null}", r"profiles\.own\.brief_level\.table: there is no table None"),
        ("brief_level: {table: {3: 11, other: 1}}", r"own\.brief_level\.table: a level is 01 .* not 11$"),
        ("brief_level: {conditions: [{exists: 020, level: 2}]}", r"conditions\.0\.exists: .* in quotes"),
        ("normalization: ''", r"own\.normalization: must not be empty"),
        ("orders: {layout: 980_981}", "give po_line_type and owner and vendor"),
        ("orders: {layout: '981'}", "980_981"),
        ("zone: nz\n    orders: {layout: 980_981, owner: M, vendor: V, po_line_type: T}", "zone: iz"),
    ],
)
def test_a_setting_that_means_nothing_is_refused_with_its_line(settings, said):
    with pytest.raises(InputProblem, match=said) as raised:
        of_bucket(f"profiles:\n  own:\n    {settings}\n")
    assert f"config/bib_profiles.yaml, line {3 + settings.count(chr(10))}" in str(raised.value)


def test_orders_are_none_or_a_layout_that_yaml_takes_for_a_number():
    found = of_bucket(
        "profiles:\n  none: {orders: none}\n  gobi:\n    orders: {layout: 980_981, owner: M, vendor: V, "
        "po_line_type: T}\n"
    )
    assert found.profiles["none"].orders is None
    profile = found.profiles["gobi"]
    assert profile.orders is not None
    assert profile.orders.layout == "980_981"
    assert BibProfile.model_validate_json(profile.model_dump_json()) == profile
    assert any("PO line" in sentence for sentence in profile.sentences())


def test_the_rule_is_the_profile_s_unless_it_overlays():
    rule = MergeRule.of(protect=["9XX"], replace=["245"], add=["650"])
    assert BibProfile(protect=("9XX",), replace=("245",), add=("650",)).rule == rule
    assert BibProfile(on_match="overlay").rule == OVERLAY


@pytest.mark.parametrize(
    "profile",
    [
        BibProfile(),
        BibProfile(on_match="overlay", search_first=True, suppress=True),
        BibProfile(
            on_match="skip",
            on_no_match="skip",
            on_refused="create",
            brief_level=None,
            check_005=False,
            dry_run=True,
        ),
    ],
)
def test_a_profile_says_what_it_does(profile):
    sentences = profile.sentences()
    assert all(sentence[0].isupper() and sentence.endswith(".") for sentence in sentences)
    assert ("A dry run" in sentences[-1]) is profile.dry_run


def test_the_outcomes_are_those_of_the_contract():
    assert {each.value for each in BibOutcome} == {
        "created",
        "merged",
        "overlaid",
        "unchanged",
        "multi_match",
        "no_key",
        "not_added_brief",
        "not_added_locked",
        "not_added_old",
        "duplicate_in_file",
        "already_owned",
        "delete_requested",
        "linked_cz",
        "linked_nz",
        "conflict",
        "not_applied",
        "invalid_record",
        "invalid_order",
        "unconfirmed",
        "failed",
        "would_create",
        "would_merge",
        "would_overlay",
    }
    assert [each.value for each in BibOutcome if not each.weight.acceptable] == ["unconfirmed", "failed"]
    assert COLUMNS == ("record", "key", "title", "mms_id", "outcome", "reasons", "message")
