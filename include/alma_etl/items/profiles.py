"""Profiles: what holds for all rows of the files in one folder, unless a row says otherwise."""

import re
from datetime import date, datetime
from importlib.resources import files
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from alma_etl.errors import InputProblem
from alma_etl.items.callnumbers import SCHEMES
from alma_etl.items.fields import FIELDS, as_date, field_problem
from alma_etl.items.rows import BARCODE_PATTERN
from alma_etl.jobs.settings_files import Code, Form, nearest, read_settings, settings_in, unknown
from alma_etl.store.bucket import Bucket

CONFIG_KEY = "config/item_profiles.yaml"
EXAMPLE = "include/alma_etl/items/item_profiles.yaml"
TODAY = "today"


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


class ItemProfiles(BaseModel):
    """The settings file: profiles by the name of their folder, and bounds for all of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    profiles: dict[
        Annotated[
            str,
            Form(
                r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$",
                "the name of a folder: letters, digits, - and _, at most 64",
            ),
        ],
        ItemProfile,
    ]
    max_file_mb: Annotated[float, Field(gt=0, le=10_000)] = 100
    chunk_size: Annotated[int, Field(ge=1, le=10_000)] = 500


def read_profiles(bucket: Bucket, *, sandbox: bool = False) -> ItemProfiles:
    """The settings file of the bucket; without one the shipped profiles where the Alma is a ``sandbox``, else none.

    Raises InputProblem that names the line.
    """
    own = settings_in(bucket, CONFIG_KEY, ItemProfiles)
    if own is not None:
        return own
    return shipped_profiles() if sandbox else ItemProfiles(profiles={})


def shipped_profiles() -> ItemProfiles:
    """The profiles that come with the package, for the sandbox: their libraries, locations and policies are its."""
    text = (files("alma_etl.items") / "item_profiles.yaml").read_bytes()
    return read_settings(text, ItemProfiles, source="the shipped item_profiles.yaml")


def profile_named(settings: ItemProfiles, name: str | None) -> ItemProfile:
    """The profile of a folder. Raises InputProblem that names those there are, the nearest first."""
    found = settings.profiles.get(name or "")
    if found is not None:
        return found
    if not settings.profiles:
        raise InputProblem(
            f"There is no profile {name!r}, nor any other: make {CONFIG_KEY} in the bucket, with `profiles` that name "
            f"your library, location and item policy. An example is {EXAMPLE}: it is used as it is only where the "
            "environment of the Alma connection is sandbox"
        )
    raise InputProblem(
        f"There is no profile {name!r}: drop the file into the folder of one that there is "
        f"({', '.join(nearest(name or '', settings.profiles))}), or add this one to {CONFIG_KEY} in the bucket"
    )


def _tag(value: Any) -> str:
    """A tag as it was meant: YAML reads an unquoted 050 as the octal number 40."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = next((tag for tag in (f"{value:03o}", f"{value:03d}") if tag in SCHEMES), str(value))
    if value not in SCHEMES:
        raise ValueError(f"{value!r} is no field with a call number; known are {', '.join(SCHEMES)}")
    return str(value)
