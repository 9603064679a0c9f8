"""Profiles: what holds for all rows of the files in one folder, unless a row says otherwise."""

from datetime import date

from alma_etl.inventory.item_rows import BARCODE_PATTERN
from alma_etl.inventory.item_rules import TODAY, ItemRules
from alma_etl.jobs.profiles import JobProfiles
from alma_etl.jobs.settings_files import SettingsFile


class ItemProfile(ItemRules):
    """One profile; the comments of the shipped file explain each setting."""

    def sentences(self) -> list[str]:
        given = {**self.values(date.min), **({"arrival_date": TODAY} if self.arrival_date == TODAY else {})}
        values = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in given.items())
        several = {
            "first": "the one with the lowest id is taken",
            "fail": "its rows are refused",
        }[self.on_several_holdings]
        found = [
            f"Every row makes an item. What the row does not say: {values}."
            if values
            else "Every row makes an item.",
            "A title without a holding at its place gets one."
            if self.create_holding
            else "Rows of a title without a holding at their place are refused.",
            f"Where a title has several holdings at the place, {several}.",
        ]
        if self.create_holding and self.call_number_from:
            found.append(
                f"The call number of a new holding is from {', '.join(self.call_number_from)} of the bib."
            )
        if self.barcode_pattern != BARCODE_PATTERN:
            found.append(f"Barcodes match {self.barcode_pattern}.")
        return [*found, *self.dry_run_sentence()]


ItemProfiles = JobProfiles[ItemProfile]
SETTINGS = SettingsFile("config/item_profiles.yaml", ItemProfiles, "alma_etl.items")
GIVES = "your library, location and item policy"
