"""The configuration of one Alma, each part read once; a part that could not be read stays unknown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from alma_etl.alma.client import AlmaClient
from alma_etl.alma.conf import CodeRow, Library
from alma_etl.dcb.flows.reconcile.findings import why
from alma_etl.jobs.setup_checks import SINGLE

T = TypeVar("T")


class Unread(Exception):
    """A part of the configuration could not be read; one sentence."""


class AlmaConf:
    """What checks ask. Every method raises Unread, and RemoteStop when no further call makes sense."""

    def __init__(self, alma: AlmaClient) -> None:
        self._conf = alma.conf
        self._read: dict[tuple[str, ...], Any] = {}
        self._failed: dict[tuple[str, ...], str] = {}

    def libraries(self) -> Mapping[str, Library]:
        """The libraries by code."""
        found = self._once(("libraries",), self._conf.libraries)
        return {library.code: library for library in found}

    def desks(self, library: str) -> list[str]:
        """The codes of a library's desks."""
        return [desk.code for desk in self._once(("desks", library), lambda: self._conf.desks(library))]

    def has_shelf(self, library: str, desk: str) -> bool | None:
        """Whether a desk has a hold shelf; None when Alma does not say."""
        shelf: bool | None = self._once(
            ("desk", library, desk), lambda: self._conf.desk(library, desk)
        ).has_hold_shelf
        return shelf

    def locations(self, library: str) -> list[str]:
        """The codes of a library's locations."""
        rows = self._once(("locations", library), lambda: self._conf.locations(library))
        return [location.code for location in rows]

    def table(self, name: str) -> Mapping[str, CodeRow]:
        """The rows of a code table by code."""
        return {row.code: row for row in self._once(("table", name), lambda: self._conf.code_table(name))}

    def table_like(self, words: str) -> str | None:
        """The name of the code table that holds these words, without regard to case; None when the API has none."""
        names: list[str] = self._once(("tables",), self._conf.code_tables)
        return next((name for name in sorted(names) if words.casefold() in name.casefold()), None)

    def _once(self, key: tuple[str, ...], read: Callable[[], T]) -> T:
        if key not in self._read and key not in self._failed:
            try:
                self._read[key] = read()
            except SINGLE as problem:
                self._failed[key] = why(problem)
        if key in self._failed:
            raise Unread(self._failed[key])
        value: T = self._read[key]
        return value
