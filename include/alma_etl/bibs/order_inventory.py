"""Update inventory by the reference of an order: the items that records speak of are those that Alma made with a PO
line. Which these are, as rows, and how they count for the end of their record."""

import logging
from collections.abc import Iterator

from alma_etl.alma.client import AlmaClient
from alma_etl.bibs.inventory import Inventoried, Inventory, RecordItems
from alma_etl.bibs.order_items import GIVEN, OrderedItemOutcome
from alma_etl.bibs.rows import BibOutcome
from alma_etl.counted import counted
from alma_etl.errors import InputProblem
from alma_etl.inventory.call_numbers import call_number_of
from alma_etl.jobs.outcomes import Row
from alma_etl.marc.xml import record_from_xml
from alma_etl.remote.answers import Found, Unknown
from alma_etl.remote.errors import RemoteRefused

log = logging.getLogger(__name__)


def check_department(client: AlmaClient, rules: Inventory) -> None:
    """See that the department is there in which items are received. Raises InputProblem, RemoteError when the question
    gets no answer; where this Alma does not list departments, its own refusal is the message of each item."""
    receive = rules.receive
    if receive is None:
        return
    answer = client.conf.departments()
    if isinstance(answer, Unknown) and not isinstance(answer.error, RemoteRefused):
        raise answer.error
    if not isinstance(answer, Found):
        log.warning("The department %s was not asked for beforehand: %s", receive.department, answer.error)
    elif receive.department not in answer.value:
        there = ", ".join(sorted(answer.value)) or "none"
        raise InputProblem(
            f"Alma has no department {receive.department}, in which `inventory` receives items; there are {there}"
        )


class OrderedItems(RecordItems):
    """The run with the fields of its records for rows that speak of items which were ordered."""

    folder = "ordered"

    def _items_of(self, row: Row) -> list[Row]:
        items = super()._items_of(row)
        if not items:
            return []
        record = record_from_xml(row["marc"].encode())
        rule = self._run.plan().profile.order_reference
        found: dict[str, object] = {"references": list(rule.of(record)) if rule else []}
        number = call_number_of(record, self._plan.profile.call_number_from)
        if number is not None:
            found["call_number"] = [number.scheme, number.classification, number.item_part]
        return [{**found, **item} for item in items]


_WORDS = {
    OrderedItemOutcome.UPDATED: "got its barcode",
    OrderedItemOutcome.RECEIVED: "received",
    OrderedItemOutcome.UNCHANGED: "has its barcode already",
    OrderedItemOutcome.WOULD_UPDATE: "would get its barcode",
}


class OrderInventoried(Inventoried):
    """What became of the items of one record that were ordered."""

    outcomes = OrderedItemOutcome
    written = tuple(GIVEN)
    would_be_written = (OrderedItemOutcome.WOULD_UPDATE,)

    def _said(self, title: BibOutcome) -> Iterator[str]:
        if self.outcome(title) is not title:
            yield "the title was left" if title is BibOutcome.UNCHANGED else f"the title: {title.value}"
        for outcome, words in _WORDS.items():
            count = sum(end["outcome"] == outcome for end in self.ends)
            if count:
                yield f"{counted(count, 'item')}: {words}"
        for end in self.ends:
            if not OrderedItemOutcome(end["outcome"]).weight.loaded:
                yield f"item {end['barcode']}: {end['outcome']}, {end['message']}"
            elif end["message"]:
                yield f"item {end['barcode']}: {end['message']}"
