"""Reading Alma's JSON, in which a value may be a string, an object with `value` and `desc`, null (until about
2023), an empty object, or missing (since)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]


def text(value: Any) -> str:
    """A value as a string, "" for every form of nothing. Ids stay strings of digits; true becomes "true"."""
    if isinstance(value, Mapping):
        value = value.get("value")
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def desc(value: Any) -> str:
    """The description beside a code."""
    return text(value.get("desc")) if isinstance(value, Mapping) else ""


def flag(value: Any) -> bool:
    """true, "true" (Alma writes real booleans and strings, by field)."""
    return text(value).lower() == "true"


def number(value: Any) -> int:
    """A count; 0 when missing. Raises ValueError for anything else."""
    found = text(value)
    return int(found) if found else 0


def coded(value: str) -> Json:
    """A code as a body wants it."""
    return {"value": value}


def listed(document: Mapping[str, Any], name: str) -> list[Json]:
    """The list under `name`: missing or null when empty, and a lone object after some conversions.
    Raises TypeError for anything else, so that a broken answer is not taken for an empty one."""
    value = document.get(name)
    if value is None:
        return []
    if isinstance(value, Mapping):
        return [dict(value)]
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise TypeError(f"{name} is not a list of objects")
    return value


def total(document: Mapping[str, Any], *, least: int | None = None) -> int:
    """total_record_count. Raises KeyError when it is missing, since without it a page proves nothing; `least` is
    its value then, for lists that may lack it. Raises ValueError for what is no count."""
    if least is not None and document.get("total_record_count") is None:
        return least
    count = int(text(document["total_record_count"]))
    if count < 0:
        raise ValueError(f"total_record_count is {count}")
    return count


def required(document: Mapping[str, Any], name: str) -> str:
    """A value without which the answer is of no use, such as its id. Raises ValueError."""
    found = text(document.get(name))
    if not found:
        raise ValueError(f"{name} is missing")
    return found
