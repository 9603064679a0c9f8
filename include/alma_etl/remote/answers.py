"""Three answers to a question put to a remote service, never two: found, absent, unknown.

"It is not there" and "we could not find out" lead to different actions: the first may be created, the second
must not be. Errors that end the run (`RemoteStop`) are no answer and are raised.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from alma_etl.remote.errors import RemoteError, RemoteRefused, RemoteShortList, RemoteTransient

T = TypeVar("T")


@dataclass(frozen=True)
class Found(Generic[T]):
    """It is there: `value`."""

    value: T


@dataclass(frozen=True)
class Absent:
    """The service said that it is not there; `error` is what it said, None when it merely left it out."""

    error: RemoteError | None = None


@dataclass(frozen=True)
class Unknown:
    """We could not find out: retries used up, an unreadable answer, or a refusal that is about something
    else."""

    error: RemoteError


@dataclass(frozen=True)
class PartlyFound(Unknown, Generic[T]):
    """A list that names fewer rows than it counts (`counted`): `rows` are there, of all others nothing is
    known. Where they can be read singly, that is the way to know."""

    rows: list[T]
    counted: int


Answer = Found[T] | Absent | Unknown
ListAnswer = Found[list[T]] | PartlyFound[T] | Absent | Unknown


def ask(question: Callable[[], T], absent: frozenset[str]) -> Answer[T]:
    """Put a question; `absent` holds the error codes by which the service says "not there" to this very call."""
    try:
        return Found(question())
    except RemoteRefused as error:
        return Absent(error) if error.code in absent else Unknown(error)
    except RemoteTransient as error:
        return Unknown(error)


def ask_list(question: Callable[[], list[T]], absent: frozenset[str]) -> ListAnswer[T]:
    """Put a question whose answer is a list: PartlyFound for one that names fewer rows than it counts."""
    answer = ask(question, absent)
    if isinstance(answer, Unknown) and isinstance(answer.error, RemoteShortList):
        return PartlyFound(answer.error, answer.error.named, answer.error.counted)
    return answer


def rows_of(answer: ListAnswer[T]) -> list[T]:
    """The rows that a list names, be it whole or not; none when it could not be read."""
    if isinstance(answer, Found):
        return answer.value
    return answer.rows if isinstance(answer, PartlyFound) else []


def first_of(answer: ListAnswer[T], wanted: Callable[[T], bool]) -> Answer[T]:
    """The first row that is wanted. Absent only when the list is whole and names none."""
    for row in rows_of(answer):
        if wanted(row):
            return Found(row)
    return Absent() if isinstance(answer, Found) else answer
