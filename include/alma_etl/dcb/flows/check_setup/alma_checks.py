"""The checks of a system that is an Alma, but for the trial: its key, its places, its codes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from alma_etl.alma.client import AlmaClient
from alma_etl.dcb.flows.check_setup import menus as at
from alma_etl.dcb.flows.check_setup.alma_conf import AlmaConf, Unread
from alma_etl.dcb.flows.reconcile.findings import why
from alma_etl.dcb.machine.vocabulary import item_of, loan_process_of
from alma_etl.dcb.settings import CancelCause, SystemSettings
from alma_etl.jobs.setup_checks import SINGLE, UNREAD, SetupRows, check_right

_CAUSES: tuple[CancelCause, ...] = ("patron", "not_supplied", "no_longer_needed", "operator")
AT_PATRONS_REQUEST = "CancelledAtPatronRequest"
_AREAS = ("bibs", "users", "conf")
_WRITTEN = ("bibs", "users")


class AlmaChecks:
    """Adds a row a check to ``rows``. A read that failed is a row of its own; what ends all reading is raised.

    ``drives``: we act in Alma, so that the key must be allowed to write.
    """

    def __init__(self, alma: AlmaClient, system: SystemSettings, rows: SetupRows, *, drives: bool) -> None:
        self.alma = alma
        self.system = system
        self.rows = rows
        self.conf = AlmaConf(alma)
        self._drives = drives

    def run(self) -> None:
        """Make all checks. Raises RemoteStop, and Unread when nothing at all can be read."""
        self.institution()
        for area in _AREAS:
            writes = area in _WRITTEN and self._drives
            check_right(self.alma, area, self.rows, writes=writes, why=why)
        if all(row.outcome == "unknown" for row in self.rows.rows):
            raise Unread(self.rows.rows[0].message.removeprefix(UNREAD).rstrip("."))
        self.parts()
        self.home()
        for library, desk in self.system.desks.items():
            if library != self.system.library:
                self.desk(library, desk)
        if self.system.sharing_library:
            self.sharing()
            self.other_libraries()
        self.codes()
        self.words()

    @contextmanager
    def _reading(self, check: str, label: str) -> Iterator[None]:
        try:
            yield
        except Unread as problem:
            self.rows.unknown(check, label, f"{UNREAD}{problem}.")

    # --- the key

    def institution(self) -> None:
        """Which Alma the key opens."""
        label = "The key opens this Alma"
        try:
            general = self.alma.conf.general()
        except SINGLE as problem:
            self.rows.unknown("institution", label, f"{UNREAD}{why(problem)}.")
            return
        kind = general.environment_type or "environment not given"
        self.rows.ok("institution", label, f"{general.institution} ({kind}).")

    # --- what the settings give

    def parts(self) -> None:
        """A system that lacks what lending or borrowing needs takes no such part."""
        needs = {
            "lends": ("lend", ("sharing_library", "user_group")),
            "borrows": ("borrow", ("location", "item_policy")),
        }
        for check, (part, names) in needs.items():
            lacking, label = self.system.lacks(*names), f"It can {part}"
            if lacking:
                advice = f"Give it {' and '.join(lacking)}, unless it is never to {part}."
                found = f"Not set: {', '.join(lacking)}."
                self.rows.warn(check, label, found, at.CONFIG, advice)
            else:
                self.rows.ok(check, label, f"It has {' and '.join(names)}.")

    # --- places

    def home(self) -> None:
        """The library that owns virtual items, its location, its desk."""
        library, location = self.system.library or "", self.system.location
        self.desk(library, self.system.desk_of(library) or self.system.circ_desk)
        if location is None:
            return
        label = f"The location {location} of virtual items"
        with self._reading("location", label):
            if library not in self.conf.libraries():
                return  # said of its desk
            known = self.conf.locations(library)
            if location in known:
                self.rows.ok("location", label, f"{library} has it.")
            else:
                found = f"{library} has no location {location}; it has {_some(known)}."
                advice = f"Add the location to {library}, with a circulation desk, or correct location in {at.CONFIG}."
                self.rows.missing("location", label, found, at.LOCATIONS, advice)

    def desk(self, library: str, desk: str) -> None:
        """A desk at which we lend and scan, and at which books for patrons are shelved."""
        label = f"The desk {desk} of {library}"
        with self._reading("desk", label):
            if not self._library("desk", label, library):
                return
            known = self.conf.desks(library)
            if desk not in known:
                found = f"{library} has no desk {desk}; it has {_some(known)}."
                advice = f"Correct circ_desk or desks in {at.CONFIG}, or add the desk."
                self.rows.missing("desk", label, found, at.DESKS, advice)
                return
            self._shelf(label, self.conf.has_shelf(library, desk))

    def _shelf(self, label: str, shelf: bool | None) -> None:
        if shelf is None:
            self.rows.unknown("desk", label, "It is there; Alma does not say whether it has a hold shelf.")
        elif shelf:
            self.rows.ok("desk", label, "It is there, with a hold shelf.")
        else:
            found = "It has no hold shelf: no book can wait there for a patron."
            advice = "Tick Has Hold Shelf of this desk, unless no patron collects books in this library."
            self.rows.warn("desk", label, found, at.DESKS, advice)

    def _library(self, check: str, label: str, library: str) -> bool:
        """Whether it exists and is one for patrons; else a row says so."""
        known = self.conf.libraries()
        if library not in known:
            found = f"There is no library {library}; there are {_some(known)}."
            self.rows.missing(check, label, found, at.CONFIG, "Give the code of one of these libraries.")
            return False
        if known[library].resource_sharing:
            found = (
                f"{library} is Alma's Resource Sharing Library: no patron's hold is delivered there (401129)."
            )
            advice = f"Name an ordinary library in {at.CONFIG}; docs/alma-setup.md says which one fits."
            self.rows.missing(check, label, found, at.CONFIG, advice)
            return False
        return True

    def sharing(self) -> None:
        """Where lent items are "picked up": a scan anywhere else must put them in transit."""
        system, library = self.system, self.system.sharing_library or ""
        other = system.alternative_sharing_library
        if system.sharing_desk:
            self._sharing_desk(library, system.sharing_desk)
            return
        self._delivers("sharing_library", f"The sharing library {library}", library)
        if other:
            label = f"The alternative sharing library {other}"
            self._delivers("alternative_sharing_library", label, other)
            if other == library:
                found = "It is the sharing library itself, whose items would stay on its hold shelf."
                advice = "Name another library, or a sharing_desk."
                self.rows.missing("alternative_sharing_library", label, found, at.CONFIG, advice)
        elif library == system.library or library in system.desks:
            label = f"The sharing library {library} lends no items of its own"
            found = f"{library} is also a library that lends: its own items cannot be requested."
            advice = (
                "Name an alternative_sharing_library or a sharing_desk for them, or a library without items."
            )
            self.rows.warn("sharing_library_items", label, found, at.CONFIG, advice)

    def _delivers(self, check: str, label: str, library: str) -> None:
        """A hold can be delivered to a library: one of its desks has a hold shelf."""
        with self._reading(check, label):
            if not self._library(check, label, library):
                return
            desks = self.conf.desks(library)
            shelves: list[bool | None] = []
            while len(shelves) < len(desks) and True not in shelves:  # one is enough, and each is a call
                shelves.append(self.conf.has_shelf(library, desks[len(shelves)]))
            if True in shelves:
                self.rows.ok(check, label, "A desk of it has a hold shelf.")
            elif None in shelves:
                self.rows.unknown(check, label, "Alma does not say whether a desk of it has a hold shelf.")
            else:
                found = f"None of its desks has a hold shelf: {_some(desks)}."
                advice = "Add a desk with a hold shelf that serves the fulfilment units whose items are lent."
                self.rows.missing(check, label, found, at.DESKS, advice)

    def _sharing_desk(self, library: str, desk: str) -> None:
        label = f"The sharing desk {desk} of {library}"
        with self._reading("sharing_desk", label):
            if not self._library("sharing_desk", label, library):
                return
            known = self.conf.desks(library)
            if desk not in known:
                found = f"{library} has no desk {desk}; it has {_some(known)}."
                self.rows.missing("sharing_desk", label, found, at.DESKS, "Add it, with a hold shelf.")
            elif desk == self.system.desk_of(library):
                found = (
                    "It is the desk at which we lend and scan: a book scanned there stays on its hold shelf."
                )
                advice = "Name a desk at which nobody scans items in."
                self.rows.missing("sharing_desk", label, found, at.CONFIG, advice)
            else:
                self._sharing_shelf(label, self.conf.has_shelf(library, desk))

    def _sharing_shelf(self, label: str, shelf: bool | None) -> None:
        if shelf is None:
            self.rows.unknown(
                "sharing_desk", label, "It is there; Alma does not say whether it has a hold shelf."
            )
        elif shelf:
            self.rows.ok("sharing_desk", label, "It is there, with a hold shelf, and we do not scan at it.")
        else:
            found = "It has no hold shelf, so that no hold can be delivered to it."
            self.rows.missing("sharing_desk", label, found, at.DESKS, "Tick Has Hold Shelf of this desk.")

    def other_libraries(self) -> None:
        """An item is lent at a desk of its own library."""
        label = "Each library that lends has a desk"
        with self._reading("desks", label):
            without = [
                code
                for code, library in self.conf.libraries().items()
                if not library.resource_sharing
                and self.system.desk_of(code) is None
                and code != self.system.sharing_library
            ]
            if without:
                found = f"No desk is named for {_some(without)}: an item that is there cannot be lent."
                advice = "Name their desks in desks, unless nothing of theirs is ever lent."
                self.rows.warn("desks", label, found, at.CONFIG, advice)
            else:
                self.rows.ok("desks", label, "Every library has one.")

    # --- codes

    def codes(self) -> None:
        """Every code that is sent to Alma stands in its table, enabled."""
        system = self.system
        groups = [system.user_group, *system.user_groups.values()]
        self._coded("user_group", "user group of virtual patrons", "UserGroups", groups, at.GROUPS)
        self._coded(
            "item_policy", "item policy of virtual items", "ItemPolicy", [system.item_policy], at.POLICIES
        )
        self._no_renewal()
        types = system.material_types.values()
        self._coded("material_type", "material type", "PhysicalMaterialType", types, at.MATERIALS)
        reasons = {cause: system.reason_for(cause) for cause in _CAUSES}
        table = "RequestCancellationReasons"
        self._coded("cancel_reason", "cancellation reason", table, reasons.values(), at.REASONS)
        self._honest_reasons(reasons)

    def _coded(self, check: str, what: str, table: str, codes: Iterable[str | None], where: str) -> None:
        for code in dict.fromkeys(each for each in codes if each):
            label = f"The {what} {code}"
            with self._reading(check, label):
                fault = self._fault_of(table, code)
                if fault:
                    advice = f"Add or enable the code, or correct {check} in {at.CONFIG}."
                    self.rows.missing(check, label, fault, where, advice)
                else:
                    self.rows.ok(check, label, f"The code table {table} has it.")

    def _fault_of(self, table: str, code: str) -> str:
        known = self.conf.table(table)
        if code not in known:
            enabled = [row.code for row in known.values() if row.enabled]
            return f"The code table {table} has no code {code}; it has {_some(enabled)}."
        return "" if known[code].enabled else f"The code is disabled in the code table {table}."

    def _no_renewal(self) -> None:
        policy, label = self.system.no_renew_policy, "The item policy that refuses renewal"
        advice = "Add the policy, and a loan rule of the fulfilment unit that refuses renewal for it."
        if policy is None:
            found = "no_renew_policy is not set: a loan that the lender recalls can still be renewed."
            self.rows.warn("no_renew_policy", label, found, at.CONFIG, advice)
            return
        with self._reading("no_renew_policy", label):
            fault = self._fault_of("ItemPolicy", policy)
            if fault:
                self.rows.warn("no_renew_policy", label, fault, at.POLICIES, advice)
            else:
                found = f"{policy} is there. Whether a loan rule refuses renewal for it, no API shows."
                self.rows.ok("no_renew_policy", label, found)

    def _honest_reasons(self, reasons: Mapping[CancelCause, str]) -> None:
        wrong = [cause for cause, code in reasons.items() if cause != "patron" and code == AT_PATRONS_REQUEST]
        if wrong:
            label = "Reasons that say why a hold is cancelled"
            found = f"{AT_PATRONS_REQUEST} is also the reason for {_some(wrong)}: staff read that the patron asked."
            advice = (
                "Enable a spare code, such as AdditionalReason01, describe it, and name it in cancel_reasons."
            )
            self.rows.warn("cancel_reason_words", label, found, at.REASONS, advice)

    def words(self) -> None:
        """Words of Alma's that the machine does not know raise a flag when they are met."""
        self._known_words(
            "process_types",
            "The process types of items",
            "PROCESSTYPE",
            lambda word: bool(item_of("0", word)),
        )
        label = "The process statuses of loans"
        with self._reading("loan_statuses", label):
            table = self.conf.table_like("LoanProcessStatus")
            if table is None:
                self.rows.unknown(
                    "loan_statuses", label, "The API has no such code table; unknown ones raise a flag."
                )
            else:
                self._known_words("loan_statuses", label, table, lambda word: bool(loan_process_of(word)))

    def _known_words(self, check: str, label: str, table: str, knows: Callable[[str], bool]) -> None:
        with self._reading(check, label):
            strange = [
                row.code for row in self.conf.table(table).values() if row.enabled and not knows(row.code)
            ]
            if strange:
                found = f"Nobody here knows {_some(strange)}: a request whose item or loan has it is flagged, no more."
                self.rows.warn(
                    check, label, found, "docs/dcb.md, Flags", "Report the words, with what they mean."
                )
            else:
                self.rows.ok(check, label, f"All of {table} are known.")


def _some(names: Iterable[str], most: int = 12) -> str:
    found = sorted(names)
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return f"{', '.join(found[:most]) or 'none'}{more}"
