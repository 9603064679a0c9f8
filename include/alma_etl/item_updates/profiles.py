"""Profiles of item updates: which system the files of a folder are for, and how z30 is written in Alma."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from alma_etl.inventory.call_numbers import Tags
from alma_etl.jobs.profiles import JobProfile, JobProfiles
from alma_etl.jobs.settings_files import Code, SettingsFile

DEFAULT = "*DEFAULT*"  # the row of a code map that holds for codes without one

CodeMap = dict[Code, Code]


class PlaceRow(BaseModel):
    """Which place of Alma a sub-library with a collection is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sub_library: Code
    collection: Annotated[str, BeforeValidator(lambda value: "" if value is None else value)] = DEFAULT
    library: Code
    location: Code


class ItemUpdateProfile(JobProfile):
    """One profile; the comments of the shipped file explain each setting."""

    target: Literal["alma", "aleph"]
    aleph_key: Literal["internal_note_1", "internal_note_2", "internal_note_3", "table", "none"] = "none"
    move: bool = False
    create_holding: bool = True
    on_several_holdings: Literal["first", "fail"] = "first"
    call_number_from: Tags = ()
    undo: bool = True
    places: tuple[PlaceRow, ...] = ()
    item_status: CodeMap = Field(default_factory=dict)
    material: CodeMap = Field(default_factory=dict)
    call_no_2_type: CodeMap = Field(default_factory=dict)
    order_number: CodeMap = Field(default_factory=dict)
    price: Literal["replacement_cost", "inventory_price", "none"] = "none"

    def sentences(self) -> list[str]:
        if self.target == "aleph":
            found = ["Items in Aleph, named by doc_number and item_sequence, get the values of each row."]
        else:
            found = ["Items in Alma get the values of each row."]
            found.append(
                "A row may move an item to another library or location."
                if self.move
                else "Rows that name another library or location are refused."
            )
            if self.aleph_key != "none":
                kept = "a table" if self.aleph_key == "table" else self.aleph_key.replace("_", " ")
                found.append(f"The Aleph key of an item is kept in {kept}.")
        found.append(
            "A file with the old values is written, which undoes the changes."
            if self.undo
            else "No file with the old values is written."
        )
        return [*found, *self.dry_run_sentence()]


ItemUpdateProfiles = JobProfiles[ItemUpdateProfile]
SETTINGS = SettingsFile(
    "config/item_update_profiles.yaml", ItemUpdateProfiles, "alma_etl.item_updates", everywhere=True
)
GIVES = "your target (alma or aleph)"
