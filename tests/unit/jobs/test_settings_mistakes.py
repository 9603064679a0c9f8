"""A mistake of each kind in each settings file: a sentence with the line, and what to write instead."""

# ruff: noqa: E501 - a mistake a line

import pytest

from alma_etl.dcb.settings import DcbSettings
from alma_etl.errors import InputProblem
from alma_etl.items.profiles import ItemProfiles
from alma_etl.jobs.settings_files import read_settings, refuse_unknown
from alma_etl.west.settings import WestSettings

MODELS = {"west": WestSettings, "item_profiles": ItemProfiles, "dcb": DcbSettings}
# Words of pydantic's that say nothing to a librarian.
FOREIGN = ("Input should", "Extra inputs", "Field required", "Value error", "valid string", "String should")

WEST = "set_id: '1'\noclc_symbol: ZZMAIN\n"
ITEMS = "profiles:\n  gifts:\n    library: MAIN\n"
DCB = "systems:\n  A:\n    alma_conn_id: alma_a\n    library: MAIN\n"


def told(name: str, text: str | bytes) -> str:
    with pytest.raises(InputProblem) as raised:
        read_settings(text, MODELS[name], source=f"config/{name}.yaml")
    return str(raised.value)


@pytest.mark.parametrize(
    ("name", "text", "line", "words"),
    [
        # a mistyped setting, also in what is nested: the nearest first
        ("west", WEST + "max_drp: 0.1", 3, "max_drp: is not known here, did you mean max_drop? Known are max_drop, "),
        ("west", WEST + "Set_ID: 5", 3, "did you mean set_id?"),
        ("west", WEST + "zzz: 5", 3, "zzz: is not known here. Known are "),
        ("item_profiles", ITEMS + "    libary: LAW", 4, "profiles.gifts.libary: is not known here, did you mean library?"),
        ("item_profiles", ITEMS + "    fields: {public_not: x}", 4, "public_not: is not known here, did you mean public_note?"),
        ("item_profiles", ITEMS + "chunksize: 5", 4, "did you mean chunk_size?"),
        ("dcb", DCB + "    circ_dsk: X", 5, "systems.A.circ_dsk: is not known here, did you mean circ_desk?"),
        ("dcb", DCB + "stuck: {plased: 7d}", 5, "stuck.plased: is not known here, did you mean placed?"),
        ("dcb", DCB + "intervals:\n  placed: {frst: 1h, longest: 2h}", 6, "did you mean first? Known are first, longest"),
        ("dcb", DCB + "sinks:\n- type: log\n- {type: webhook, con_id: x}", 7, "sinks.1.con_id: is not known here, did you mean conn_id?"),
        # missing
        ("item_profiles", "chunk_size: 5", 1, "profiles: is missing"),
        ("dcb", "mode: drive", 1, "systems: is missing"),
        ("dcb", DCB + "intervals: {placed: {first: 1h}}", 5, "intervals.placed.longest: is missing"),
        ("item_profiles", "", 1, "profiles: is missing"),
        ("dcb", "# nothing yet\n", 1, "systems: is missing"),
        # a word out of a list
        ("west", WEST + "list_mode: fast", 3, "list_mode: must be batch or exact, not 'fast'"),
        ("item_profiles", ITEMS + "    on_several_holdings: last", 4, "must be first or fail, not 'last'"),
        ("dcb", DCB + "mode: push", 5, "mode: must be observe or drive, not 'push'"),
        ("dcb", DCB + "    kind: alam", 5, "systems.A.kind: must be alma, mod_dcb or other, not 'alam'"),
        # types and bounds
        ("west", WEST + "chunk_size: many", 3, "chunk_size: must be a whole number, not 'many'"),
        ("west", WEST + "chunk_size: 1.5", 3, "chunk_size: must be a whole number, not 1.5"),
        ("west", WEST + "limit: 0", 3, "limit: must be at least 1, not 0"),
        ("west", WEST + "max_drop: 5%", 3, "max_drop: must be a number, not '5%'"),
        ("west", WEST + "max_drop: 5", 3, "max_drop: must be at most 1.0, not 5"),
        ("west", WEST + "dry_run: maybe", 3, "dry_run: must be true or false, not 'maybe'"),
        ("west", WEST + "exclude_locations: micro", 3, "exclude_locations: must be a list, such as [a, b], not 'micro'"),
        ("west", WEST + "symbol_by_library: [LAW]", 3, "symbol_by_library: must be settings of the form `name: value`, not a list"),
        ("west", WEST + "programme:", 3, "programme: must be text, not nothing"),
        ("west", WEST + "programme: ''", 3, "programme: must not be empty"),
        ("item_profiles", ITEMS + "max_file_mb: 0", 4, "max_file_mb: must be more than 0.0, not 0"),
        ("item_profiles", "profiles: [gifts]", 1, "profiles: must be settings of the form `name: value`, not a list"),
        ("item_profiles", "profiles:\n  gifts: MAIN", 2, "profiles.gifts: must be settings of the form `name: value`, not 'MAIN'"),
        ("dcb", DCB + "calls_per_day: 50", 5, "calls_per_day: must be at least 100, not 50"),
        ("dcb", DCB + "missing_min_gap: 10", 5, "missing_min_gap: write a number and a unit, such as 30m"),
        # codes without quotes, also as names
        ("west", WEST + "marc_org_code: 01", 3, "marc_org_code: must be text, put it in quotes"),
        ("west", WEST + "symbol_by_library:\n  01: ZZLAW", 4, "symbol_by_library.1: must be text, put it in quotes"),
        ("item_profiles", ITEMS + "    item_policy: 01", 4, "item_policy: write it in quotes"),
        ("item_profiles", ITEMS + "    location: no", 4, "location: write it in quotes"),
        ("dcb", DCB + "    location: 01", 5, "systems.A.location: write it in quotes"),
        # the form of a text, in words
        ("west", WEST + "symbol_by_library: {LAW: zz-law}", 3, "must be 2 to 10 capital letters and digits, not 'zz-law'"),
        ("item_profiles", "profiles: {a b: {library: MAIN}}", 1, "profiles.a b: must be the name of a folder"),
        ("dcb", "systems: {a b: {library: MAIN, alma_conn_id: a}}", 1, "systems.a b: must be a code of letters, digits"),
        # YAML
        ("west", WEST + "max_drop: 0.1\noclc_symbol: ZZLAW", 4, "oclc_symbol stands there already, on line 2"),
        ("item_profiles", ITEMS + "    location: a\n    location: b", 5, "location stands there already, on line 4"),
        ("dcb", DCB + "  A: {alma_conn_id: b, library: c}", 5, "A stands there already, on line 2"),
        ("west", "- a\n- b", 1, "expected settings of the form `name: value`, not a list"),
        ("dcb", "\n\njust words", 3, "expected settings of the form `name: value`, not a single value"),
        ("item_profiles", "profiles:\n\tgifts: {}", 2, "indent with blanks, not with tabs"),
        ("west", WEST + "programme: a: b", 3, "put a text with a colon in quotes"),
        ("west", WEST + "programme: 'open", 3, "a quote is not closed"),
        ("west", WEST + "exclude_locations: [a, b\nlimit: 5", 4, "in what begins on line 3"),
        ("west", WEST + "---\nlimit: 5", 3, "--- may stand on the first line alone"),
        ("west", WEST + "programme: 2026-13-01", 3, "not readable as YAML: month must be in 1..12"),
        ("dcb", DCB + "mode: \x07", 5, "a character that no text file has (U+0007)"),
        # encodings
        ("west", WEST.encode() + "programme: Résumé".encode("latin-1"), 3, "not UTF-8 text: save the file as UTF-8"),
        ("dcb", DCB.encode("utf-16"), 1, "not UTF-8 text"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_line_and_the_remedy(name, text, line, words):
    found = told(name, text)
    assert found.startswith(f"config/{name}.yaml, line {line}: ")
    assert words in found
    assert not any(each in found for each in FOREIGN)


@pytest.mark.parametrize("name", MODELS)
def test_every_setting_there_is_is_named(name):
    found = told(name, "nothing_like_it: 1")
    assert all(f" {setting}" in found for setting in MODELS[name].model_fields)


def test_merged_keys_of_yaml_are_no_repetition():
    text = "systems:\n  A: &a {alma_conn_id: a, library: M}\n  B:\n    <<: *a\n    library: N\n"
    assert read_settings(text, DcbSettings, source="x").systems["B"].library == "N"


def test_what_a_run_would_pass_over_is_refused():
    refuse_unknown({"key": "a", "dry_run": True}, ("key", "dry_run"))
    with pytest.raises(InputProblem, match=r"dryrun: is not known here, did you mean dry_run\?"):
        refuse_unknown({"key": "a", "dryrun": True}, ("key", "dry_run"))


def test_values_that_may_be_secret_are_not_repeated():
    with pytest.raises(InputProblem) as raised:
        read_settings("systems: {A: {alma_conn_id: [unlikely-word], library: M}}", DcbSettings, source="x")
    assert "unlikely-word" not in str(raised.value)
