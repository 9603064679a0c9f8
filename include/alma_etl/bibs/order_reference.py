"""Where a record names the order that its title came by: `order_reference` of a profile."""

from dataclasses import replace
from typing import Protocol

from pydantic import BaseModel, ConfigDict
from pymarc import Record

from alma_etl.bibs.keys import BibKeys, keys_of
from alma_etl.bibs.orders.layouts import FieldSource
from alma_etl.bibs.orders.profile import Sources
from alma_etl.inventory.loaded_orders import OrderReference
from alma_etl.jobs.settings_files import Code


class OrderReferenceRule(BaseModel):
    """`order_reference` of a profile: the subfields, of which the first that holds anything counts, and the vendor.
    `search_vendor_lines`: what no import ordered is looked for in the PO lines of the vendor."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Sources
    vendor: Code
    search_vendor_lines: bool = False

    def of(self, record: Record) -> tuple[str, ...]:
        """The references of a record, as `OrderReference` compares them."""
        found = (FieldSource.parse(each).values(record.fields) for each in self.source)
        values: list[str] = next(filter(None, found), [])
        return tuple(dict.fromkeys(self.key(value).reference for value in values))

    def key(self, reference: str) -> OrderReference:
        """By what an order with this reference is known."""
        return OrderReference.of(self.vendor, reference)


class _Matching(Protocol):
    @property
    def by_order(self) -> OrderReferenceRule | None: ...


def keys_for(record: Record, profile: _Matching) -> BibKeys:
    """All keys of a record of a dropped file, with the references of its orders where the profile matches by them."""
    keys = keys_of(record)
    return replace(keys, orders=profile.by_order.of(record)) if profile.by_order is not None else keys
