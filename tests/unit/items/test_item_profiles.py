"""Profiles: the settings file, its faults with their lines, and what a profile gives to a row."""

from datetime import date
from importlib.resources import files
from pathlib import Path

import pytest

from alma_etl.errors import InputProblem
from alma_etl.items.job import ItemCreation
from alma_etl.items.profiles import GIVES, SETTINGS, ItemProfile, ItemProfiles
from alma_etl.jobs.places import ITEMS
from alma_etl.jobs.profiles import profile_named
from alma_etl.jobs.settings_files import read_settings

read_profiles = ItemCreation(ITEMS).profiles


def read(text):
    return read_settings(text, ItemProfiles, source="config/item_profiles.yaml")


def profile(lines):
    return read("profiles:\n  a:\n" + "".join(f"    {line}\n" for line in lines)).profiles["a"]


def test_the_shipped_file_is_right_and_explains_each_setting():
    text = (files("alma_etl.items") / "item_profiles.yaml").read_text("utf-8")
    settings = read(text)
    assert settings.profiles["gifts"].call_number_from == ("050", "090", "082")
    assert settings.profiles["gifts-trial"].dry_run
    comments = "\n".join(line for line in text.splitlines() if line.startswith("#"))
    assert all(name in comments for name in ItemProfile.model_fields)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["item_policy: 01"], "line 3: profiles.a.item_policy: write it in quotes"),
        (["library: NO"], "write it in quotes: YAML takes it for False"),
        (["location: 12.5"], "write it in quotes"),
        (["colour: red"], "line 3: profiles.a.colour: is not known here"),
        (["library: MAIN", "on_several_holdings: last"], "line 4: profiles.a.on_several_holdings"),
        (["call_number_from: [245]"], "'245' is no field with a call number"),
        (["arrival_date: soon"], "write a date of the form 2026-08-01, or today"),
        (["fields: {barcode: x}"], "barcode: is not known here"),
        (["fields: {po_line: x}"], "po_line: is not known here"),
        (["create_holding: perhaps"], "create_holding"),
        (["library: ''"], "library"),
    ],
)
def test_a_fault_is_named_with_its_line(lines, words):
    with pytest.raises(InputProblem) as fault:
        profile(lines)
    assert words in str(fault.value)


@pytest.mark.parametrize("name", ["../x", "a b", "", "-a", "ä"])
def test_a_profile_is_called_like_a_folder(name):
    with pytest.raises(InputProblem):
        read(f"profiles:\n  {name!r}: {{library: MAIN}}\n")


@pytest.mark.parametrize(
    ("written", "tags"),
    [
        ("[050, 090, 082]", ("050", "090", "082")),
        ('["050", "090"]', ("050", "090")),
        ("'050'", ("050",)),
        ("[]", ()),
        ("none", ()),
        ("null", ()),
    ],
)
def test_tags_are_read_as_they_were_meant(written, tags):
    assert profile([f"call_number_from: {written}"]).call_number_from == tags


def test_dates_may_be_written_without_quotes_and_today_is_the_day_of_the_run():
    day = date(2026, 11, 20)
    assert profile(["arrival_date: 2022-08-01"]).values(day)["arrival_date"] == "2022-08-01"
    assert profile(["arrival_date: today"]).values(day)["arrival_date"] == "2026-11-20"
    assert "arrival_date" not in profile(["library: MAIN"]).values(day)


def test_a_profile_gives_only_what_it_has():
    given = profile(["library: MAIN", "location: stacks", "fields: {statistics_note_1: Gift 2026}"])
    assert given.values(date(2026, 1, 1)) == {
        "library": "MAIN",
        "location": "stacks",
        "material_type": "BOOK",
        "statistics_note_1": "Gift 2026",
    }


class OneObject:
    """A bucket that holds the settings file or nothing."""

    def __init__(self, content: bytes | None) -> None:
        self.content = content

    def find(self, key: str) -> bytes | None:
        return self.content if key == SETTINGS.key else None


def test_the_shipped_profiles_are_those_of_a_sandbox_alone():
    assert "gifts" in read_profiles(OneObject(None), sandbox=True).profiles
    elsewhere = read_profiles(OneObject(None), sandbox=False)
    assert elsewhere == ItemProfiles(profiles={})  # the general bounds hold everywhere
    with pytest.raises(InputProblem) as fault:
        profile_named(elsewhere, "gifts", SETTINGS, GIVES)
    for words in (SETTINGS.key, "`profiles`", "include/alma_etl/items/item_profiles.yaml", "environment"):
        assert words in str(fault.value)
    assert (Path(__file__).resolve().parents[3] / SETTINGS.example).is_file()


def test_own_profiles_replace_the_shipped_ones_whatever_the_alma_is():
    for sandbox in (True, False):
        own = read_profiles(OneObject(b"profiles: {maps: {library: SCI}}"), sandbox=sandbox)
        assert list(own.profiles) == ["maps"]
        assert (own.profiles["maps"].item_policy, own.profiles["maps"].location) == (None, None)


def test_an_unknown_profile_is_answered_with_those_there_are():
    settings = read("profiles:\n  gifts: {library: MAIN}\n  maps: {library: SCI}\n")
    with pytest.raises(InputProblem, match=r"There is no profile 'gift'.*\(gifts, maps\)"):
        profile_named(settings, "gift", SETTINGS, GIVES)
