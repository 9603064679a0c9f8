"""The whole state of a sandbox or a consortium, as JSON and back: the one place that says what a restart keeps.

``KEPT`` and ``LEFT`` name every attribute of every part; a test fails for one that stands in neither. Only the kinds of
values named here are written and read, so that a state file is data and runs no code.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from datetime import date, datetime, timedelta
from typing import Any

from pydantic import BaseModel

from alma_sandbox.administration.events import Events
from alma_sandbox.administration.imports import Load
from alma_sandbox.administration.jobs import JOBS, Instance, Job, Jobs
from alma_sandbox.administration.po_lines import PoLine, PoLines
from alma_sandbox.administration.sets import AlmaSet, Sets
from alma_sandbox.aleph.records import Booking, StoredZ30
from alma_sandbox.aleph.world import AlephWorld
from alma_sandbox.catalogue.ids import Counter
from alma_sandbox.catalogue.marc import ControlField, DataField, Record
from alma_sandbox.catalogue.records import Bib, Holding, Item
from alma_sandbox.catalogue.store import Catalogue
from alma_sandbox.circulation.loans import Loan, Loans
from alma_sandbox.circulation.requests import Requests, UserRequest
from alma_sandbox.circulation.users import Users
from alma_sandbox.consortium.transactions import Transaction, Transactions
from alma_sandbox.consortium.world import Consortium, PatronRequest
from alma_sandbox.gateway.admission import Daily, SlidingSecond
from alma_sandbox.gateway.faults import Faults
from alma_sandbox.gateway.log import Log
from alma_sandbox.http.errors import Tracking
from alma_sandbox.sandbox import Sandbox
from alma_sandbox.state.clock import Clock

World = Sandbox | Consortium

# What is written of each part. Of the names in REFERENCES the ids alone, since the things stand in ``by_id``.
KEPT: dict[type, tuple[str, ...]] = {
    Sandbox: ("locks", "editors", "in_house_uses", "letters"),
    Clock: ("_offset", "_stopped_at"),
    Tracking: ("_number",),
    Daily: ("_day", "used"),
    Catalogue: (
        "bibs", "holdings", "items", "_holdings_of", "_items_of", "_barcodes", "_barcode_of", "_network_numbers",
        "_oclc",
    ),
    AlephWorld: ("changed", "_owners", "bookings", "ill_barcodes", "documents"),
    Counter: ("_first", "_next"),
    Sets: ("by_id",),
    Users: ("by_id", "passwords", "modified", "edited_by_hand", "_ids"),
    Requests: ("by_id", "_of_title", "_of_user", "_changed"),
    Loans: ("by_id", "_of_item", "_of_user", "_of_title"),
    Jobs: ("by_id", "waiting"),
    PoLines: ("by_number",),
    Events: ("_number", "kept"),
    Consortium: ("patron_requests", "_tokens"),
    Transactions: ("by_id",),
    SlidingSecond: (),
    Faults: (),
    Log: (),
}  # fmt: skip
REFERENCES: dict[type, tuple[str, ...]] = {
    Requests: ("_of_title", "_of_user"),
    Loans: ("_of_item", "_of_user", "_of_title"),
}
# What is not written, and why.
LEFT: dict[type, dict[str, str]] = {
    Sandbox: {
        "settings": "by the rule of ``settings_now``",
        "_initial": "the command line's",
        "network": "a world of its own",
    },
    Consortium: {"settings": "by the rule of ``settings_now``", "_initial": "the command line's"},
    Catalogue: dict.fromkeys(("seed", "size", "institution", "suffix"), "the settings give it")
    | dict.fromkeys(("_standard", "_read_standard"), "made of the bibs when it is asked for"),
    AlephWorld: dict.fromkeys(("sessions", "_number"), "a restart of Aleph ends every session"),
    Counter: {"_suffix": "the settings give it", "taken": "of this process"},
    Events: {"_pool": "threads of this process"},
    SlidingSecond: dict.fromkeys(("_now", "_admitted"), "calls of the last second"),
    Faults: dict.fromkeys(("_armed", "_number"), "a start has no fault in force"),
    Log: dict.fromkeys(
        ("_size", "in_flight", "entries", "total", "by_status", "by_route", "by_code", "by_fault", "max_in_flight",
         "peak_per_second"),
        "what this process was asked",
    ),
}  # fmt: skip
ADDED = frozenset({"aleph", "editors", "waiting"})
"""Parts and attributes that came later: an older file does not have them, and they are as at the start."""
SECRETS = ("api_key", "client_id", "client_secret")
"""Settings that are given at each start and stand in no file."""

_RECORDS: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        Bib, Holding, Item, Record, ControlField, DataField, AlmaSet, UserRequest, Loan, Instance, Load, PoLine,
        Transaction, PatronRequest, StoredZ30, Booking,
    )
}  # fmt: skip
_TAG = "!"


def parts(world: World) -> dict[str, Any]:
    """The parts of a world by name, the world itself among them."""
    if isinstance(world, Consortium):
        names: tuple[str, ...] = ("clock", "faults", "log", "transactions")
        return {"consortium": world, **{name: getattr(world, name) for name in names}}
    names = (
        "clock", "tracking", "second", "daily", "faults", "log", "catalogue", "sets", "users", "requests", "loans",
        "jobs", "po_lines", "events", "aleph",
    )  # fmt: skip
    found = {name: getattr(world, name) for name in names}
    return {"sandbox": world, **found, "counter": world.catalogue.counter}


def dump(world: World) -> dict[str, Any]:
    """Everything that is kept, as JSON."""
    return {
        "settings": {"given": _settings(world._initial), "now": _settings(world.settings)},
        "parts": {
            name: {attribute: _written(part, attribute) for attribute in KEPT[type(part)]}
            for name, part in parts(world).items()
        },
    }


def restore(world: World, kept: dict[str, Any]) -> None:
    """Put back what ``dump`` wrote, into a fresh world. ValueError for anything else; then nothing has changed."""
    try:
        read = {
            name: {
                attribute: _read(getattr(part, attribute), kept["parts"][name][attribute])
                for attribute in KEPT[type(part)]
                if attribute in kept["parts"][name] or attribute not in ADDED
            }
            for name, part in parts(world).items()
            if name in kept["parts"] or name not in ADDED
        }
        for name, part in parts(world).items():
            for attribute in REFERENCES.get(type(part), ()):
                things, index = read[name]["by_id"], read[name][attribute]
                read[name][attribute] = {key: [things[each] for each in ids] for key, ids in index.items()}
        settings = settings_now(world._initial, kept["settings"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
    found = parts(world)
    for name, values in read.items():
        for attribute, value in values.items():
            setattr(found[name], attribute, value)
    world.settings = settings
    world.log.resize(settings.log_size)


def _read(fresh: Any, written: Any) -> Any:
    """A value, of the kind that the attribute has in a fresh world."""
    value = decode(written)
    if None not in (fresh, value) and type(value) is not type(fresh):
        raise ValueError(f"a {type(value).__name__} instead of a {type(fresh).__name__}")
    return value


def settings_now(given: Any, kept: dict[str, dict[str, Any]]) -> Any:
    """The settings of this start: one that was changed at run time holds until the command line gives another value."""
    values = given.model_dump(mode="json")
    for name, value in kept["now"].items():
        if name in values and name not in SECRETS and values[name] == kept["given"].get(name):
            values[name] = value
    return type(given).model_validate(values)


def skip_numbers(world: World, count: int) -> None:
    """Leave out so many ids of each kind, for those that were handed out and not written down.

    Tracking ids differ by the time in them.
    """
    if isinstance(world, Sandbox):
        world.catalogue.counter.skip(count)
        world.events.skip(count)


def numbers_taken(world: World) -> int:
    """How many running numbers were handed out, of all kinds together."""
    if isinstance(world, Sandbox):
        return world.catalogue.counter.taken + world.events.emitted
    return 0


def _settings(found: BaseModel) -> dict[str, Any]:
    return found.model_dump(mode="json", exclude=set(SECRETS))


def _written(part: Any, attribute: str) -> Any:
    value = getattr(part, attribute)
    if attribute in REFERENCES.get(type(part), ()):
        return {key: [thing.id for thing in things] for key, things in value.items()}
    return encode(value)


def encode(value: Any) -> Any:
    """A value as JSON. TypeError for a kind that nobody has named."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list):
        return [encode(each) for each in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value) and _TAG not in value:
        return {key: encode(each) for key, each in value.items()}
    return {_TAG: type(value).__name__, "v": _content(value)}


def _content(value: Any) -> Any:
    if isinstance(value, Job):
        return value.id
    if is_dataclass(value) and _RECORDS.get(type(value).__name__) is type(value):
        return {each.name: encode(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, dict):
        return [[encode(key), encode(each)] for key, each in value.items()]
    if isinstance(value, set):
        return [encode(each) for each in sorted(value)]
    if isinstance(value, tuple):
        return [encode(each) for each in value]
    if isinstance(value, deque):
        return {"maxlen": value.maxlen, "v": [encode(each) for each in list(value)]}
    if isinstance(value, timedelta):
        return [value.days, value.seconds, value.microseconds]
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"a {type(value).__name__} has no form in a state file")


_DECODERS: dict[str, Callable[[Any], Any]] = {
    "Job": lambda content: JOBS[content],
    "dict": lambda content: {decode(key): decode(each) for key, each in content},
    "set": lambda content: {decode(each) for each in content},
    "tuple": lambda content: tuple(decode(each) for each in content),
    "deque": lambda content: deque((decode(each) for each in content["v"]), maxlen=content["maxlen"]),
    "timedelta": lambda content: timedelta(*content),
    "date": date.fromisoformat,
    "datetime": datetime.fromisoformat,
}


def decode(value: Any) -> Any:
    """What ``encode`` wrote. KeyError, TypeError or ValueError for anything else."""
    if isinstance(value, list):
        return [decode(each) for each in value]
    if not isinstance(value, dict):
        return value
    if _TAG not in value:
        return {key: decode(each) for key, each in value.items()}
    kind, content = value[_TAG], value["v"]
    if kind in _DECODERS:
        return _DECODERS[kind](content)
    record = _RECORDS[kind]
    # A field that has come since, with a value of its own, is one that an older file does not name.
    names = {each.name for each in fields(record)}
    needed = {
        each.name for each in fields(record) if each.default is MISSING and each.default_factory is MISSING
    }
    if not needed <= set(content) <= names:
        raise ValueError(f"a {kind} of another version")
    return record(**{name: decode(each) for name, each in content.items()})
