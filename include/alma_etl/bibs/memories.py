"""What the state store remembers for imports into an Alma, opened for a step of a run."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

from alma_etl.alma.client import AlmaClient
from alma_etl.bibs.order_match import OrderLines
from alma_etl.inventory.codes import alma_of
from alma_etl.inventory.loaded_bibs import SqlLoadedBibs
from alma_etl.inventory.loaded_items import SqlLoadedItems
from alma_etl.inventory.loaded_orders import SqlLoadedOrders
from alma_etl.inventory.waiting_titles import SqlWaitingTitles
from alma_etl.jobs.file_job import JobContext


def open_titles(alma: AlmaClient, context: JobContext) -> closing[SqlLoadedBibs]:
    """What earlier imports into this Alma made."""
    return closing(SqlLoadedBibs(context.store_url(), alma_of(alma, context.folder)))


def open_waiting(alma: AlmaClient, context: JobContext) -> closing[SqlWaitingTitles]:
    """The titles of this Alma that wait for their full record."""
    return closing(SqlWaitingTitles(context.store_url(), alma_of(alma, context.folder)))


def open_orders(alma: AlmaClient, context: JobContext) -> closing[SqlLoadedOrders]:
    """The orders that imports placed in this Alma."""
    return closing(SqlLoadedOrders(context.store_url(), alma_of(alma, context.folder)))


def open_items(alma: AlmaClient, context: JobContext) -> closing[SqlLoadedItems]:
    """What loads of items into this Alma left behind, those of imports too."""
    return closing(SqlLoadedItems(context.store_url(), alma_of(alma, context.folder)))


@contextmanager
def open_order_lines(alma: AlmaClient, context: JobContext) -> Iterator[OrderLines | None]:
    """The PO lines of the orders that records name; None where the profile does not say where they do."""
    rule = context.folder.plan().profile.order_reference
    if rule is None:
        yield None
        return
    with open_orders(alma, context) as memory:
        yield OrderLines.of(alma, context.folder, rule, memory)
