"""Titles found by the order that a record names: what imports ordered stands in the table of loaded orders; a PO line
can be read by its number, which a vendor knows of an order that Alma sent; by option the vendor's PO lines are looked
through as well.

A reference counts by a PO line alone, which is read: it may have been cancelled, or relinked to another title. A
title that is found so is the right one whatever numbers it has: vendor and library may have chosen two OCLC numbers.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from typing import TypeVar

from pydantic import BaseModel, ConfigDict

from alma_etl.alma.acq_writes import lines_of_title, lines_of_vendor
from alma_etl.alma.bibs import Bib, in_batches, read_bibs
from alma_etl.alma.client import AlmaClient
from alma_etl.alma.errors import is_of_a_value
from alma_etl.alma.po_lines import PoLine
from alma_etl.bibs.matching import Finder, Number
from alma_etl.bibs.order_reference import OrderReferenceRule
from alma_etl.errors import InputProblem
from alma_etl.inventory.loaded_orders import KnownOrder, LoadedOrders, OrderReference
from alma_etl.jobs.file_run import FileRun
from alma_etl.remote.answers import Absent, Answer, Found, ListAnswer, Unknown, rows_of
from alma_etl.remote.errors import RemoteRefused

RESULT = "order_lines.json"
_CANCELLED = "CANCELLED"
_NUMBER = re.compile(
    r"pol-\d+", re.ASCII
)  # of a PO line, as Alma gives them, in the normal form of a reference
Lines = Found[list[PoLine]] | Unknown
T = TypeVar("T")


class VendorLines(BaseModel):
    """The PO lines of a vendor, by the references that they show."""

    model_config = ConfigDict(frozen=True)

    numbers: dict[str, tuple[str, ...]] = {}


def look_through_vendor(client: AlmaClient, run: FileRun, rule: OrderReferenceRule) -> None:
    """See that Alma has the vendor, and keep the references of its PO lines where they are looked through: one request
    for 100 lines, and one for each that its list shows without references. Raises InputProblem, RemoteError."""
    numbers: dict[str, list[str]] = {}
    if rule.search_vendor_lines:
        listed, _ = lines_of_vendor(client, rule.vendor)
        for line in _sure(listed, rule):
            for reference in {line.vendor_reference, line.additional_reference} - {""}:
                numbers.setdefault(rule.key(reference).reference, []).append(line.number)
    else:
        vendor = _sure(client.vendors.read(rule.vendor), rule)
        if vendor.code != rule.vendor:
            raise InputProblem(
                f"vendor {rule.vendor} of `order_reference` is {vendor.code} in Alma: write it so"
            )
    run.write_model(RESULT, VendorLines(numbers={key: tuple(each) for key, each in numbers.items()}))


def _sure(answer: Answer[T], rule: OrderReferenceRule) -> T:
    if isinstance(answer, Found):
        return answer.value
    if isinstance(answer, Unknown) and not is_of_a_value(answer.error):
        raise answer.error
    why = f" ({answer.error.message})" if answer.error else ""
    raise InputProblem(f"Alma has no vendor {rule.vendor}, which `order_reference` names{why}: correct it")


class OrderLines:
    """The PO lines that have a reference."""

    def __init__(
        self, client: AlmaClient, rule: OrderReferenceRule, memory: LoadedOrders, swept: VendorLines
    ) -> None:
        self._client = client
        self._rule = rule
        self._memory = memory
        self._swept = swept

    @classmethod
    def of(
        cls, client: AlmaClient, run: FileRun, rule: OrderReferenceRule, memory: LoadedOrders
    ) -> "OrderLines":
        """Those of a run whose vendor was looked through."""
        return cls(client, rule, memory, run.find_model(RESULT, VendorLines) or VendorLines())

    def known(self, references: Collection[str]) -> dict[str, KnownOrder]:
        """What imports noted of the orders with these references."""
        keys = {self._rule.key(reference): reference for reference in references}
        return {keys[key]: order for key, order in self._memory.find(keys).items()}

    def find(self, reference: str, known: KnownOrder | None, *, title: str = "") -> Lines:
        """The PO lines of a reference as they are now, but for cancelled ones: that which an import placed; where there
        is none, that of which it is the number, those of its title, or of ``title``; then those of the vendor."""
        key = self._rule.key(reference)
        found: Lines = Found([])
        if known is not None and known.po_line:
            found = self._read(key, [known.po_line])
        if found == Found([]) and _NUMBER.fullmatch(reference):
            found = self._read(key, [reference.upper()])
        for mms_id in dict.fromkeys((known.mms_id if known is not None else "", title)):
            if mms_id and found == Found([]):
                found = self._of_title(key, mms_id)
        return self._read(key, self._swept.numbers.get(reference, ())) if found == Found([]) else found

    def _read(self, key: OrderReference, numbers: Iterable[str]) -> Lines:
        lines = []
        for number in numbers:
            try:
                answer = self._client.po_lines.read(number)
            except RemoteRefused as error:  # it cannot stand in a path
                answer = Absent(error)
            if isinstance(answer, Unknown):
                return answer
            if isinstance(answer, Found) and _has(answer.value, key):
                lines.append(answer.value)
        return Found(lines)

    def _of_title(self, key: OrderReference, mms_id: str) -> Lines:
        answer = lines_of_title(self._client, mms_id)
        lines = [line for line in rows_of(answer) if _has(line, key)]
        return answer if isinstance(answer, Unknown) and not lines else Found(lines)


def _has(line: PoLine, key: OrderReference) -> bool:
    references = (line.additional_reference, line.vendor_reference, line.number)
    return (
        bool(line.mms_id)
        and line.status.upper() != _CANCELLED
        and key in {OrderReference.of(line.vendor, reference) for reference in references if reference}
    )


class OrderFinder:
    """Finds titles by the references of orders, and by all other numbers as ``rest`` does. ``inventory``: with what
    `Bib.shows_inventory` says. `find` is safe for several threads while nothing is looked up."""

    def __init__(
        self, rest: Finder, client: AlmaClient, lines: OrderLines, *, inventory: bool = False
    ) -> None:
        self._rest = rest
        self._client = client
        self._lines = lines
        self._inventory = inventory
        self._ids: dict[str, list[str] | Unknown] = {}
        self._titles: dict[str, Answer[Bib]] = {}

    def look_up(self, records: Iterable[Sequence[Sequence[Number]]]) -> None:
        """Look up the numbers of records together; what was looked up before is forgotten."""
        records = list(records)
        numbers = [number for groups in records for group in groups for number in group]
        references = list(dict.fromkeys(number.value for number in numbers if number.method == "order"))
        self._ids = self._ids_of(references)
        self._titles = self._read(self._ids.values())
        self._rest.look_up([_without_orders(groups) for groups in records])

    def had(self, number: Number) -> Collection[str]:
        return () if number.method == "order" else self._rest.had(number)

    def find(self, number: Number) -> ListAnswer[Bib]:
        if number.method != "order":
            return self._rest.find(number)
        looked_up = number.value in self._ids
        ids = self._ids[number.value] if looked_up else self._ids_of([number.value])[number.value]
        if isinstance(ids, Unknown):
            return ids
        titles = self._titles if looked_up else self._read([ids])
        bibs = []
        for mms_id in ids:
            match titles[mms_id]:
                case Found(bib):
                    bibs.append(bib)
                case Unknown() as unknown:
                    return unknown
        return Found(bibs)

    def _ids_of(self, references: Collection[str]) -> dict[str, list[str] | Unknown]:
        known = self._lines.known(references)
        found: dict[str, list[str] | Unknown] = {}
        for reference, lines in self._client.in_parallel(
            lambda each: self._lines.find(each, known.get(each)), references
        ):
            found[reference] = (
                lines
                if isinstance(lines, Unknown)
                else list(dict.fromkeys(line.mms_id for line in lines.value))
            )
        return found

    def _read(self, found: Iterable[list[str] | Unknown]) -> dict[str, Answer[Bib]]:
        ids = dict.fromkeys(each for ids in found if not isinstance(ids, Unknown) for each in ids)
        titles: dict[str, Answer[Bib]] = {}
        for batch in in_batches(list(ids)):
            titles |= read_bibs(self._client.bibs, batch, to_change=True, inventory=self._inventory)
        return titles


def _without_orders(groups: Sequence[Sequence[Number]]) -> list[list[Number]]:
    kept = ([number for number in group if number.method != "order"] for group in groups)
    return [group for group in kept if group]
