"""The settings files of the bucket: whether each can be used, and which connections and rights they ask for."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from alma_etl.bibs.profiles import SETTINGS as BIBS
from alma_etl.bibs.profiles import read_profiles as read_bib_profiles
from alma_etl.dcb.settings import SETTINGS as DCB
from alma_etl.dcb.settings import DcbSettings, NoDcbSettings, read_dcb_settings
from alma_etl.errors import InputProblem
from alma_etl.health.house import BUCKET_ERRORS, said
from alma_etl.health.notify import NOTIFY
from alma_etl.item_updates.profiles import SETTINGS as ITEM_UPDATES
from alma_etl.items.profiles import SETTINGS as ITEMS
from alma_etl.jobs.settings_files import SettingsFile
from alma_etl.jobs.setup_checks import UNREAD, SetupCheck, SetupRows
from alma_etl.store.bucket import Bucket
from alma_etl.west.settings import SETTINGS as WEST
from alma_etl.west.settings import WestSettings, limit_of_file, settings_of_run

DEFAULT_ALMA = "alma_default"
FILES: tuple[SettingsFile[Any], ...] = (WEST, ITEMS, ITEM_UPDATES, BIBS, DCB)
"""The settings file of every job that ships."""
_SYSTEM = "settings"
_FOLDER = "config/"


@dataclass(frozen=True)
class Installation:
    """What is set up, as far as it can be read: None and False where it is not, or cannot be. ``aleph_alone``: there is
    a connection to an Aleph, and no `alma_default`. ``imports_bibs``: there are profiles of imports beside the shipped
    ones, which hold everywhere, wanted or not. ``networks``: the connections to network zones that profiles name."""

    west: WestSettings | None = None
    loads_items: bool = False
    imports_bibs: bool = False
    networks: frozenset[str] = frozenset()
    dcb: DcbSettings | None = None
    aleph_alone: bool = False

    def almas(self) -> dict[str, dict[str, bool]]:
        """The Alma connections by id with the areas that their keys need; True for one that is also written."""
        needs: dict[str, dict[str, bool]] = {}
        writes = self.loads_items or self.imports_bibs
        if self.west or writes or (self.dcb is None and not self.aleph_alone):
            needs[DEFAULT_ALMA] = {"bibs": writes, "conf": False}
        for conn_id in self.networks:
            needs.setdefault(conn_id, {"bibs": False, "conf": False})
        if self.dcb is None:
            return needs
        drives = self.dcb.mode == "drive"
        for system in self.dcb.systems.values():
            if system.kind == "alma" and system.alma_conn_id:
                areas = needs.setdefault(system.alma_conn_id, {})
                for area, writes in (("bibs", drives), ("users", drives), ("conf", False)):
                    areas[area] = areas.get(area, False) or writes
        return needs

    def services(self) -> set[str]:
        """The ids of the other connections that they name."""
        if self.dcb is None:
            return set()
        named = {each.conn_id for each in self.dcb.systems.values() if each.kind == "mod_dcb"}
        named |= {each.conn_id for each in self.dcb.sinks}
        if self.dcb.adopt.source == "dcb_service" or "other" in {
            each.kind for each in self.dcb.systems.values()
        }:
            named.add(self.dcb.adopt.conn_id)
        return {each for each in named if each}


def check_settings(
    bucket: Bucket, is_sandbox: Callable[[str], bool]
) -> tuple[list[SetupCheck], Installation]:
    """Read every settings file as its job does. ``is_sandbox`` is asked by the id of a connection.

    A file that cannot be used is missing; a job without settings is a warning, since it may not be wanted.
    """
    rows, found = SetupRows(_SYSTEM), dict[str, Any]()
    readers: Mapping[SettingsFile[Any], Callable[[], Any]] = {
        WEST: lambda: settings_of_run(bucket, {}, sandbox=is_sandbox(DEFAULT_ALMA)),
        ITEMS: lambda: ITEMS.read(bucket, may_use_shipped=is_sandbox(DEFAULT_ALMA)),
        ITEM_UPDATES: lambda: ITEM_UPDATES.read(bucket, may_use_shipped=True),
        BIBS: lambda: read_bib_profiles(bucket),
        DCB: lambda: read_dcb_settings(bucket, is_sandbox=is_sandbox),
    }
    try:
        there = {each.key for each in bucket.list(_FOLDER)}
    except BUCKET_ERRORS as problem:
        rows.unknown("settings", "The settings files", f"{UNREAD}{said(problem)}")
        return rows.rows, Installation()
    for file, read in readers.items():
        found[file.key] = _check_file(file, read, file.key in there, rows)
    _check_names(there, rows)
    west, items = found[WEST.key], found[ITEMS.key]
    if west is not None:
        _check_deliveries(west, rows)
    imports = BIBS.key in there and found[BIBS.key] is not None
    profiles = found[BIBS.key].profiles.values() if imports else ()
    networks = frozenset(each.network for each in profiles if each.network is not None)
    return rows.rows, Installation(west, bool(items and items.profiles), imports, networks, found[DCB.key])


def _check_file(file: SettingsFile[Any], read: Callable[[], Any], there: bool, rows: SetupRows) -> Any:
    check, label, where = "settings", f"{file.key} can be used", f"{file.key} in the bucket"
    advice = f"An example is {file.example}."
    try:
        settings = read()
    except NoDcbSettings as problem:
        rows.warn(check, label, f"Not set up: {said(problem)}", where, advice)
    except InputProblem as problem:
        if there:
            rows.missing(check, label, said(problem), where, f"Correct it. {advice}")
        else:
            rows.warn(check, label, f"Not set up: {said(problem)}", where, advice)
    except BUCKET_ERRORS as problem:
        rows.unknown(check, label, f"{UNREAD}{said(problem)}")
    else:
        if settings is None:
            found = f"Not set up: there is no {file.key}, and what ships is for a sandbox alone."
            rows.warn(check, label, found, where, f"Make it, unless nobody needs this job. {advice}")
        else:
            why = "holds everywhere" if file.everywhere else "is used, since this is a sandbox"
            found = "It can." if there else f"There is none; what ships {why}."
            rows.ok(check, label, found)
        return settings
    return None


def _check_names(there: set[str], rows: SetupRows) -> None:
    """A file that nobody reads, and whose name is nearly that of one that is read."""
    known = {NOTIFY, *(each.key for each in FILES)}
    for key in sorted(there - known):
        near = difflib.get_close_matches(key, sorted(known), n=1, cutoff=0.85)
        if near:
            label = f"{key} is read by a job"
            rows.warn("settings_name", label, "Nobody reads it.", key, f"Did you mean {near[0]}?")


def _check_deliveries(west: WestSettings, rows: SetupRows) -> None:
    label = "The nightly run of west_holdings delivers"
    if west.delivers:
        rows.ok("west_delivers", label, "It does.")
        return
    given = "limit" if limit_of_file(west, {}) else "dry_run"
    found = f"{given} stands in {WEST.key}, so that no run delivers."
    rows.warn("west_delivers", label, found, f"{WEST.key} in the bucket", f"Take {given} out for deliveries.")
