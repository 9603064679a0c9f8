"""Profiles: what holds for all rows of the files in one folder, unless a row says otherwise."""

import re
from datetime import date, datetime
from importlib.resources import files
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
)

from alma_etl.config import read_settings
from alma_etl.errors import InputProblem
from alma_etl.items.callnumbers import SCHEMES
from alma_etl.items.fields import FIELDS, as_date, field_problem
from alma_etl.items.rows import BARCODE_PATTERN
from alma_etl.store.bucket import Bucket

CONFIG_KEY = "config/item_profiles.yaml"
TODAY = "today"


def _quoted(value: object) -> object:
    # YAML reads 01 as the number 1 and NO as false: what was meant cannot be told any more.
    if isinstance(value, bool | int | float):
        raise ValueError(f'write it in quotes: YAML takes it for {value!r} otherwise, as in "01"')
    return value


Code = Annotated[
    str, BeforeValidator(_quoted), StringConstraints(strip_whitespace=True, min_length=1, max_length=100)
]


class ItemProfile(BaseModel):
    """One profile; the comments of the shipped file explain each setting."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    library: Code | None = None
    location: Code | None = None
    item_policy: Code | None = None
    material_type: Code | None = "BOOK"
    po_line: Code | None = None
    arrival_date: str | None = None
    create_holding: bool = True
    on_several_holdings: Literal["first", "fail"] = "first"
    call_number_from: tuple[str, ...] = ()
    barcode_pattern: str = BARCODE_PATTERN
    fields: dict[str, Code] = {}
    dry_run: bool = False

    @field_validator("arrival_date", mode="before")
    @classmethod
    def _dates(cls, value: object) -> object:
        if isinstance(value, datetime | date):  # YAML reads an unquoted date as one
            return value.strftime("%Y-%m-%d")
        if isinstance(value, str) and value != TODAY and as_date(value) is None:
            raise ValueError("write a date of the form 2026-08-01, or today")
        return value

    @field_validator("call_number_from", mode="before")
    @classmethod
    def _tags(cls, value: object) -> object:
        if value is None or value == "none":
            return ()
        tags = [value] if isinstance(value, str | int) else value
        return tuple(_tag(tag) for tag in tags) if isinstance(tags, list | tuple) else value

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
                known = ", ".join(column for column in FIELDS if column not in own)
                raise ValueError(f"{name} is not a field that can be given here; known are {known}")
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


class ItemProfiles(BaseModel):
    """The settings file: profiles by the name of their folder, and bounds for all of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    profiles: dict[
        Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")], ItemProfile
    ]
    max_file_mb: Annotated[float, Field(gt=0, le=10_000)] = 100
    chunk_size: Annotated[int, Field(ge=1, le=10_000)] = 500


def read_profiles(bucket: Bucket) -> ItemProfiles:
    """The settings file of the bucket, else the shipped one. Raises InputProblem that names the line."""
    own = bucket.find(CONFIG_KEY)
    if own is None:
        text, source = (
            (files("alma_etl.items") / "item_profiles.yaml").read_text("utf-8"),
            "item_profiles.yaml",
        )
    else:
        try:
            text, source = own.decode("utf-8-sig"), CONFIG_KEY
        except UnicodeDecodeError as error:
            raise InputProblem(f"{CONFIG_KEY} is not UTF-8 text; save it as UTF-8") from error
    return read_settings(text, ItemProfiles, source=source)


def profile_named(settings: ItemProfiles, name: str | None) -> ItemProfile:
    """The profile of a folder. Raises InputProblem that names those there are."""
    found = settings.profiles.get(name or "")
    if found is None:
        known = ", ".join(sorted(settings.profiles)) or "none"
        raise InputProblem(
            f"There is no profile {name!r}: drop the file into the folder of one that there is ({known}), "
            f"or add this one to {CONFIG_KEY}"
        )
    return found


def _tag(value: Any) -> str:
    """A tag as it was meant: YAML reads an unquoted 050 as the octal number 40."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = next((tag for tag in (f"{value:03o}", f"{value:03d}") if tag in SCHEMES), str(value))
    if value not in SCHEMES:
        raise ValueError(f"{value!r} is no field with a call number; known are {', '.join(SCHEMES)}")
    return str(value)
