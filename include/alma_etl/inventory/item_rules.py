"""What holds for all items of a run unless a row says otherwise: their fields, and how holdings are found or made."""

import re
from datetime import date, datetime
from typing import Literal

from pydantic import field_validator

from alma_etl.inventory.call_numbers import Tags
from alma_etl.inventory.item_fields import FIELDS, as_date, field_problem
from alma_etl.inventory.item_rows import BARCODE_PATTERN
from alma_etl.jobs.profiles import JobProfile
from alma_etl.jobs.settings_files import Code, unknown

TODAY = "today"


class ItemRules(JobProfile):
    """Base of the profiles of jobs that create items; the comments of item_profiles.yaml explain each setting."""

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
