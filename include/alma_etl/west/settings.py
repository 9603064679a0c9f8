"""What one WEST run is to do: the settings file, with what the run's form says laid over it."""

import re
from collections.abc import Mapping
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator

from alma_etl.errors import InputProblem
from alma_etl.jobs.settings_files import Form, SettingsFile, TimeZone, sentence_of
from alma_etl.store.bucket import Bucket
from alma_etl.west.retention import name_compared

# A symbol becomes part of an object key and of a file name at the partner's.
Symbol = Annotated[str, Form(r"^[A-Z0-9]{2,10}$", "2 to 10 capital letters and digits")]
Share = Annotated[float, Field(ge=0, le=1)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


# The default of programme_names in the shipped file too: a settings file of before names none.
WEST_NAMES = ("WEST", "WEST Bronze", "WEST Silver", "WEST Gold", "Western Regional Storage Trust")


class ListMode(StrEnum):
    """How the holdings of a title are found.

    ``batch`` asks for 100 titles at once and reads their availability rows, which leave out what discovery does
    not show; ``exact`` asks for each title's list of holdings.
    """

    BATCH = "batch"
    EXACT = "exact"


class WestSettings(BaseModel):
    """The settings of ``config/west.yaml``; the comments of the shipped file explain each."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    set_id: Text | None = None
    marc_key: Text | None = None
    oclc_symbol: Symbol | None = None
    symbol_by_library: dict[str, Symbol] = {}
    marc_org_code: Text | None = None
    programme: Text = "WEST"
    programme_names: dict[str, tuple[Text, ...]] = {"WEST": WEST_NAMES}
    include_suppressed: bool = False
    exclude_locations: tuple[Text, ...] = ()
    list_mode: ListMode = ListMode.BATCH
    failure_threshold: Share = 0.01
    max_drop: Share = 0.05
    timezone: TimeZone = "UTC"
    chunk_size: Annotated[int, Field(ge=1, le=10_000)] = 500
    limit: Annotated[int, Field(ge=1)] | None = None
    dry_run: bool = False

    @field_validator("set_id", mode="before")
    @classmethod
    def _ids_are_strings(cls, value: object) -> object:
        return str(value) if isinstance(value, int) else value

    @property
    def effective_list_mode(self) -> ListMode:
        """Suppressed holdings are seen only in the exact mode, so asking for them implies it."""
        return ListMode.EXACT if self.include_suppressed else self.list_mode

    @cached_property
    def names_of_programme(self) -> frozenset[str]:
        """The values of 583 ``$f`` that mean the programme: its own name, and those listed for it."""
        own = name_compared(self.programme)
        listed = (names for key, names in self.programme_names.items() if name_compared(key) == own)
        return frozenset({own, *(name_compared(name) for names in listed for name in names)})

    @property
    def delivers(self) -> bool:
        """Whether the run is to deliver: a dry run never does, nor one of only a part of the titles."""
        return not self.dry_run and self.limit is None

    @property
    def default_symbol(self) -> str:
        """Where titles without a holding are reported: the common symbol, else the first of the libraries'."""
        return self.oclc_symbol or next(iter(self.symbol_by_library.values()))

    @property
    def symbols(self) -> tuple[str, ...]:
        """Every configured OCLC symbol, once, in the order of the alphabet."""
        common = {self.oclc_symbol} if self.oclc_symbol else set()
        return tuple(sorted(common | set(self.symbol_by_library.values())))

    def symbol_of(self, library: str) -> str | None:
        """The OCLC symbol of a library by its Alma code, or None when it has none."""
        return self.symbol_by_library.get(library, self.oclc_symbol)

    def excludes(self, library: str, location: str) -> bool:
        """Whether holdings at this location stay out: the list names codes, or ``LIBRARY/location``."""
        return location in self.exclude_locations or f"{library}/{location}" in self.exclude_locations


SETTINGS = SettingsFile("config/west.yaml", WestSettings, "alma_etl.west")


def settings_of_run(bucket: Bucket, params: Mapping[str, Any], *, sandbox: bool = False) -> WestSettings:
    """The settings file with the run's own Params laid over it.

    Without a file in the bucket: where the Alma is a ``sandbox`` the shipped one, which names the sandbox's set and
    symbol, elsewhere the defaults of `WestSettings`, which name nothing of one institution. A Param that is null or an
    empty text leaves the file's value. A run that names its input, set or export, replaces the file's input whichever
    it is. ``symbol_by_library`` may also be text, a library a line.

    Raises InputProblem with a sentence that names the line or the Param.
    """
    base = SETTINGS.read(bucket, may_use_shipped=sandbox) or WestSettings()
    given = {name: _typed(name, value) for name, value in params.items() if not _is_nothing(value)}
    values = base.model_dump()
    if "set_id" in given or "marc_key" in given:
        values |= {"set_id": None, "marc_key": None}
    try:
        settings = WestSettings.model_validate(values | given)
    except ValidationError as error:
        raise InputProblem(
            f"The run's form holds values that cannot be used: {sentence_of(error, WestSettings)}"
        ) from error
    return _complete(settings)


def limit_of_file(settings: WestSettings, params: Mapping[str, Any]) -> bool:
    """Whether ``limit`` comes from the settings file, so that no run delivers until it is taken out there."""
    return settings.limit is not None and _is_nothing(params.get("limit"))


def _is_nothing(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _typed(name: str, value: Any) -> Any:
    """What a field of the form means: it gives a mapping as lines, and an empty line after the last one of a list."""
    if name == "symbol_by_library" and isinstance(value, str):
        return dict(_library_and_symbol(line) for line in value.splitlines() if line.strip())
    return [each for each in value if not _is_nothing(each)] if isinstance(value, list) else value


def _library_and_symbol(line: str) -> tuple[str, str]:
    found = re.fullmatch(r"""([^\s:={}",]+)[\s:=]+([^\s:={}",]+)""", line.strip())
    if found:
        return found[1], found[2]
    raise InputProblem(
        f"symbol_by_library: {line.strip()!r} cannot be read: write one library a line, "
        "its Alma code and its OCLC symbol, such as LAW ZZLAW"
    )


def _complete(settings: WestSettings) -> WestSettings:
    inputs = [value for value in (settings.set_id, settings.marc_key) if value]
    faults = []
    if len(inputs) != 1:
        given = "both" if inputs else "neither"
        faults.append(
            f"A WEST run needs one input, and {given} of set_id and marc_key is given: set one of them"
        )
    if not settings.oclc_symbol and not settings.symbol_by_library:
        faults.append("No OCLC symbol: set oclc_symbol or symbol_by_library")
    if faults:
        raise InputProblem(
            f"{'. '.join(faults)}, in the run's form or in {SETTINGS.key} in the bucket. "
            f"An example is {SETTINGS.example}: its own set and symbol are used only "
            "where the environment of the Alma connection is sandbox"
        )
    if settings.set_id and not re.fullmatch(r"\d{1,19}", settings.set_id, re.ASCII):
        raise InputProblem(
            f"set_id must be the number of an Alma set, not {settings.set_id!r}: "
            "find it in Alma under Admin > Manage Sets, in the set's details"
        )
    return settings
