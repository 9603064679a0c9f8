"""The ends of an item update, and the profiles that ship."""

import pytest

from alma_etl.errors import InputProblem
from alma_etl.item_updates.profiles import SETTINGS, ItemUpdateProfiles
from alma_etl.item_updates.rows import COLUMNS, ItemUpdateOutcome, result
from alma_etl.jobs.settings_files import read_settings

ROW = {"line": 3, "target": "alma", "barcode": "B1", "remarks": ["z30-no-loans is not written: Alma counts"]}


def test_an_end_names_what_changed_and_keeps_what_stayed_for_the_undo_file():
    changes = {"public_note": ("old", "new"), "pages": ("12", "12"), "copy_id": ("1", "")}
    end = result(ROW, ItemUpdateOutcome.UPDATED, "two fields", changes=changes, item_pid="23001")
    assert [end[name] for name in COLUMNS] == [
        3, "alma", "", "", "B1", "23001", "updated", "public_note;copy_id",
        "two fields; z30-no-loans is not written: Alma counts",
    ]  # fmt: skip
    assert end["changes"] == {"public_note": ["old", "new"], "pages": ["12", "12"], "copy_id": ["1", ""]}


def test_the_shipped_profiles_name_nothing_of_one_institution():
    shipped = SETTINGS.shipped().profiles
    assert {name: profile.target for name, profile in shipped.items()} == {"alma": "alma", "aleph": "aleph"}
    for profile in shipped.values():
        assert (profile.places, profile.item_status, profile.order_number, profile.dry_run) == (
            (),
            {},
            {},
            False,
        )
        assert (profile.aleph_key, profile.move, profile.undo) == ("none", False, True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("target: voyager", "target: must be alma or aleph"),
        ("{target: alma, material: {BOOK: 01}}", "write it in quotes"),
        ("{target: alma, places: [{sub_library: WID, library: MAIN}]}", "location: is missing"),
        ("{target: alma, call_number_from: ['245']}", "no field with a call number"),
    ],
)  # fmt: skip
def test_a_fault_of_a_profile_names_its_line(text, words):
    given = f"profiles:\n  mine: {text if text[0] == '{' else '{' + text + '}'}\n"
    with pytest.raises(InputProblem, match="line 2") as fault:
        read_settings(given, ItemUpdateProfiles, source="config/item_update_profiles.yaml")
    assert words in str(fault.value)
