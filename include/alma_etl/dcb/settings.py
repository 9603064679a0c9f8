"""The settings file of the DCB jobs, `config/dcb.yaml`."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from alma_etl.dcb.machine.model import Policy
from alma_etl.errors import InputProblem
from alma_etl.jobs.settings_files import Code, Form, SettingsFile, TimeZone
from alma_etl.store.bucket import Bucket

_USUAL_CONNECTIONS = {"mod_dcb": "mod_dcb_default", "dcb_nudge": "dcb_default"}
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def _span(value: object) -> object:
    if isinstance(value, timedelta):
        return value
    match = re.fullmatch(r"(\d{1,5}) ?([mhd])", value, re.ASCII) if isinstance(value, str) else None
    if match is None or int(match[1]) == 0:
        raise ValueError("write a number and a unit, such as 30m, 4h or 7d")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


Span = Annotated[timedelta, BeforeValidator(_span)]


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


SystemCode = Annotated[
    str, Form(r"^[A-Za-z0-9_.-]{1,40}$", "a code of letters, digits, . _ and -, at most 40")
]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


ANY_LIBRARY = "*"
"""The library under which a bare `ship_to` is kept: it stands for all that have no text of their own."""


def _by_library(value: object) -> object:
    return {ANY_LIBRARY: value} if isinstance(value, str) else value


Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
CancelCause = Literal["patron", "not_supplied", "no_longer_needed", "operator"]
"""Why a hold is cancelled: for the patron; the lender cannot supply; it was overtaken (the book came back, another
lender supplies); a person closed the request."""


class SystemSettings(_Part):
    """One library system; the comments of the shipped file explain each setting."""

    kind: Annotated[Literal["alma", "mod_dcb", "other"], BeforeValidator(_lower)] = "alma"
    alma_conn_id: Code | None = None
    conn_id: Code | None = None
    library: Code | None = None
    location: Code | None = None
    circ_desk: Code = "DEFAULT_CIRC_DESK"
    desks: dict[Code, Code] = {}
    sharing_library: Code | None = None
    alternative_sharing_library: Code | None = None
    sharing_desk: Code | None = None
    ship_to: Annotated[dict[str, Words], BeforeValidator(_by_library)] = {}
    user_group: Code | None = None
    user_groups: dict[Code, Code] = {}
    item_policy: Code | None = None
    no_renew_policy: Code | None = None
    material_types: dict[str, Code] = {}
    cancel_reason: Code = "CancelledAtPatronRequest"
    cancel_reasons: dict[CancelCause, Code] = {}
    hold_shelf_days: Annotated[int, Field(ge=1, le=365)] = 10
    timezone: TimeZone = "UTC"
    barcode_prefix: Code | None = None
    host_lms_code: SystemCode | None = None

    @model_validator(mode="before")
    @classmethod
    def _usual(cls, value: object) -> object:
        if isinstance(value, dict) and _lower(value.get("kind")) == "mod_dcb":
            return {**value, "conn_id": value.get("conn_id") or _USUAL_CONNECTIONS["mod_dcb"]}
        return value

    @model_validator(mode="after")
    def _complete(self) -> "SystemSettings":
        missing = self.lacks("alma_conn_id", "library")
        if self.kind == "alma" and missing:
            raise ValueError(f"a system of kind alma also needs {', '.join(missing)}")
        if self.kind == "other" and self.host_lms_code is None:
            raise ValueError("a system of kind other also needs host_lms_code, dcb-service's code of it")
        return self

    def lacks(self, *names: str) -> list[str]:
        """Those of these settings that are not given."""
        return [name for name in names if getattr(self, name) is None]

    @property
    def zone(self) -> ZoneInfo:
        """Where its days begin and end."""
        return ZoneInfo(self.timezone)

    def reason_for(self, cause: CancelCause) -> str:
        """Alma's code of the reason for which a hold is cancelled."""
        return self.cancel_reasons.get(cause, self.cancel_reason)

    def material_type(self, word: str) -> str:
        """What this system calls a material type of the lender's."""
        return self.material_types.get(word, word)

    def sharing_place(self, owner: str | None) -> tuple[str, str | None] | None:
        """Library and desk to which what ``owner`` (a library of this system) owns is sent, or None: sent to its own
        library it would never be in transit."""
        if self.sharing_library is None:
            return None
        if owner != self.sharing_library or self.sharing_desk:
            return self.sharing_library, self.sharing_desk
        return (self.alternative_sharing_library, None) if self.alternative_sharing_library else None

    def desk_of(self, library: str) -> str | None:
        """The desk of a library of this system at which we lend and scan; None when none is named for it."""
        own = self.circ_desk if library == self.library else None
        return self.desks.get(library, own)


class SinkSettings(_Part):
    """Who is notified of changes. The bare name of a sink stands for the sink with its usual connection."""

    type: Literal["log", "mod_dcb", "dcb_nudge", "webhook"]
    conn_id: Code | None = None

    @model_validator(mode="before")
    @classmethod
    def _usual(cls, value: object) -> object:
        given = {"type": value} if isinstance(value, str) else value
        if not isinstance(given, dict):
            return value
        usual = _USUAL_CONNECTIONS.get(str(given.get("type")))
        return {**given, "conn_id": given.get("conn_id") or usual} if usual else given

    @model_validator(mode="after")
    def _connected(self) -> "SinkSettings":
        if self.type != "log" and self.conn_id is None:
            raise ValueError(f"the sink {self.type} needs conn_id, its connection in Airflow")
        return self

    @property
    def name(self) -> str:
        """What the rows of the outbox call it."""
        return f"{self.type}:{self.conn_id}" if self.conn_id else self.type


AdoptSource = Literal["dcb_service", "list", "alma_scan"]
"""Where requests to adopt come from: dcb-service's GraphQL, a list in the bucket, the marks of holds in Alma."""


class AdoptSettings(_Part):
    """What the schedule of `dcb_adopt_requests` adopts from; without a source the schedule does nothing."""

    source: AdoptSource | None = None
    conn_id: Code = _USUAL_CONNECTIONS["dcb_nudge"]


class Interval(_Part):
    """``first`` after a change, doubled with each quiet poll up to ``longest``."""

    first: Span
    longest: Span

    @model_validator(mode="after")
    def _ordered(self) -> "Interval":
        if self.longest < self.first:
            raise ValueError("longest must not be shorter than first")
        return self


def _interval(first: str, longest: str) -> Any:
    return Field(default_factory=lambda: Interval.model_validate({"first": first, "longest": longest}))


class Intervals(_Part):
    """How often to look, by what a request waits for."""

    placing: Interval = _interval("5m", "30m")
    placed: Interval = _interval("30m", "4h")
    under_way: Interval = _interval("1h", "4h")
    loaned: Interval = _interval("6h", "24h")
    loan_ending: Interval = _interval("6h", "6h")
    returning: Interval = _interval("1h", "6h")
    trouble: Interval = _interval("24h", "24h")


class Stuck(_Part):
    """How long a request may stay where it is."""

    placing: Span = timedelta(days=1)
    placed: Span = timedelta(days=7)
    in_transit: Span = timedelta(days=10)
    on_shelf_beyond_hold: Span = timedelta(days=2)
    loaned_beyond_due: Span = timedelta(days=14)
    returning: Span = timedelta(days=14)
    settled: Span = timedelta(days=7)


class DcbSettings(_Part):
    """The settings of ``config/dcb.yaml``; the comments of the shipped file explain each."""

    systems: dict[SystemCode, SystemSettings]
    mode: Literal["observe", "drive"] = "observe"
    supplier_receive_scan: bool = False
    renew_supplier_loan: bool = False
    align_due_date: bool = False
    adopt: AdoptSettings = AdoptSettings()
    sinks: tuple[SinkSettings, ...] = (SinkSettings(type="log"),)
    missing_confirmations: Annotated[int, Field(ge=2, le=10)] = 2
    missing_min_gap: Span = timedelta(minutes=10)
    intervals: Intervals = Intervals()
    other_side: Span = timedelta(hours=24)
    calls_per_day: Annotated[int, Field(ge=100, le=10_000_000)] = 50_000
    stuck: Stuck = Stuck()
    keep_observations: Span = timedelta(days=90)
    keep_history: Span = timedelta(days=730)
    keep_user_ids: Span = timedelta(days=30)

    @model_validator(mode="after")
    def _sinks_differ(self) -> "DcbSettings":
        names = [sink.name for sink in self.sinks]
        if len(set(names)) < len(names):
            raise ValueError("sinks: the same sink stands there twice")
        return self

    @property
    def all_sinks(self) -> tuple[SinkSettings, ...]:
        """Every sink; the log is always one of them, the first."""
        others = (sink for sink in self.sinks if sink.type != "log")
        return (SinkSettings(type="log"), *others)

    @property
    def sink_names(self) -> tuple[str, ...]:
        """Every sink by name."""
        return tuple(sink.name for sink in self.all_sinks)

    @property
    def policy(self) -> Policy:
        """What the machine needs of it."""
        return Policy(self.missing_confirmations, self.missing_min_gap)


SETTINGS = SettingsFile("config/dcb.yaml", DcbSettings, "alma_etl.dcb")


class NoDcbSettings(InputProblem):
    """There are no settings, and those that ship may not be used: no system takes part."""


def read_dcb_settings(bucket: Bucket, *, is_sandbox: Callable[[str], bool] = lambda _: False) -> DcbSettings:
    """The settings file of the bucket; without one the shipped one, where every connection of its systems is a sandbox.

    ``is_sandbox`` is asked by the id of a connection. Raises InputProblem with a sentence that names the line,
    NoDcbSettings with one that names the file to make.
    """
    own = SETTINGS.read(bucket, may_use_shipped=False)
    if own is not None:
        return own
    shipped = shipped_settings()
    named = sorted({each.alma_conn_id for each in shipped.systems.values() if each.alma_conn_id})
    others = [conn_id for conn_id in named if not is_sandbox(conn_id)]
    if others:
        raise NoDcbSettings(
            f"There is no {SETTINGS.key} in the bucket: make it, with the `systems` that take part. An example is "
            f"{SETTINGS.example}: its systems are used only where the environment of all their connections is sandbox, "
            f"and that of {' and '.join(others)} is not"
        )
    return shipped


def shipped_settings() -> DcbSettings:
    """The settings that come with the package, for the two sandboxes of the local stack."""
    return SETTINGS.shipped()
