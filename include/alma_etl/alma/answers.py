"""Three answers to a question put to Alma, never two: found, absent, unknown.

"It is not there" and "we could not find out" lead to different deeds: the first may be created, the second
must not be. Errors that end the run (`AlmaStop`) are no answer and are raised.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from alma_etl.alma.errors import AlmaError, AlmaRefused, AlmaTransient

T = TypeVar("T")


@dataclass(frozen=True)
class Found(Generic[T]):
    """Alma gave it: `value`."""

    value: T


@dataclass(frozen=True)
class Absent:
    """Alma said that it is not there; `error` is what it said, None when it merely left it out."""

    error: AlmaError | None = None


@dataclass(frozen=True)
class Unknown:
    """We could not find out: retries used up, an unreadable answer, or a refusal that is about something
    else."""

    error: AlmaError


Answer = Found[T] | Absent | Unknown


def ask(question: Callable[[], T], absent: frozenset[str]) -> Answer[T]:
    """Put a question; `absent` holds the error codes by which Alma says "not there" to this very call."""
    try:
        return Found(question())
    except AlmaRefused as error:
        return Absent(error) if error.code in absent else Unknown(error)
    except AlmaTransient as error:
        return Unknown(error)
