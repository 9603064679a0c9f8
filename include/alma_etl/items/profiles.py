"""Profiles: what holds for all rows of the files in one folder, unless a row says otherwise."""

import re
from datetime import date, datetime
from typing import Literal

from pydantic import field_validator

from alma_etl.inventory.call_numbers import Tags
from alma_etl.inventory.item_fields import FIELDS, as_date, field_problem
from alma_etl.items.rows import BARCODE_PATTERN
from alma_etl.jobs.profiles import JobProfile, JobProfiles
from alma_etl.jobs.settings_files import Code, SettingsFile, unknown

TODAY = "today"


class ItemProfile(JobProfile):
    """One profile; the comments of the shipped file explain each setting."""

    library: Code | None = None
    location: Code | None = None
    item_policy: Code | None = None
    material_type: Code | None = "BOOK"
    po_line: Code | None = None
    arrival_date: str | None = None
    create_holding: bool = True
    on_several_holdings: Literal["first", "fail"] = "first"
    call_number_from: Tags = ()
    barcode_pattern: str = BARCODE_PATTERN
    fields: dict[str, Code] = {}  # noqa: RUF012 - pydantic copies it

    @field_validator("arrival_date", mode="before")
    @classmethod
    def _dates(cls, value: object) -> object:
        if isinstance(value, datetime | date):  # YAML reads an unquoted date as one
            return value.strftime("%Y-%m-%d")
        if isinstance(value, str) and value != TODAY and as_date(value) is None:
            raise ValueError("write a date of the form 2026-08-01, or today")
        return value

    @field_validator("barcode_pattern")
    @classmethod
    def _is_pattern(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        return value

    @field_validator("fields")
    @classmethod
    def _permitted(cls, value: dict[str, str]) -> dict[str, str]:
        own = set(cls.model_fields)
        for name, text in value.items():
            if name not in FIELDS or name in own:
                raise ValueError(f"{name}: {unknown(name, [each for each in FIELDS if each not in own])}")
            problem = field_problem(name, text)
            if problem:
                raise ValueError(problem)
        return value

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

    def values(self, today: date) -> dict[str, str]:
        """What the profile gives to every row, by column."""
        arrival = today.isoformat() if self.arrival_date == TODAY else self.arrival_date
        given = {
            "library": self.library,
            "location": self.location,
            "item_policy": self.item_policy,
            "material_type": self.material_type,
            "po_line": self.po_line,
            "arrival_date": arrival,
            **self.fields,
        }
        return {name: value for name, value in given.items() if value}


ItemProfiles = JobProfiles[ItemProfile]
SETTINGS = SettingsFile("config/item_profiles.yaml", ItemProfiles, "alma_etl.items")
GIVES = "your library, location and item policy"
