"""What the steps of an import work with: the catalogue of an institution, and what the state store remembers of it."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from alma_etl.alma.client import AlmaClient
from alma_etl.alma.sru import SruClient
from alma_etl.bibs.network import Network, open_network
from alma_etl.bibs.order_match import OrderLines
from alma_etl.inventory.codes import alma_of
from alma_etl.inventory.loaded_bibs import LoadedBibs, SqlLoadedBibs
from alma_etl.inventory.loaded_items import SqlLoadedItems
from alma_etl.inventory.loaded_orders import SqlLoadedOrders
from alma_etl.inventory.waiting_titles import SqlWaitingTitles, WaitingTitles
from alma_etl.jobs.file_job import JobContext
from alma_etl.store.locks import Locks, open_locks


@dataclass(frozen=True)
class Catalogue:
    """The catalogue that a run imports into: `alma` names it, as `alma_of` does. `sru`, the `network` zone and the PO
    lines by which titles are found (`orders`) are None where connection or profile name none. `memory`: which titles
    imports made; `waiting`: those that wait for their full record; `locks` keep imports off each other."""

    alma: str
    client: AlmaClient
    sru: SruClient | None
    network: Network | None
    memory: LoadedBibs
    orders: OrderLines | None
    waiting: WaitingTitles
    locks: Locks


@contextmanager
def open_catalogue(context: JobContext) -> Iterator[Catalogue]:
    """The catalogue of a run, for a block."""
    with (
        context.open_client("alma") as client,
        context.open_client("sru") as sru,
        open_network(context) as network,
        open_titles(client, context) as memory,
        open_order_lines(client, context) as orders,
        open_waiting(client, context) as waiting,
        open_locks(context.store_url()) as locks,
    ):
        yield Catalogue(memory.alma, client, sru, network, memory, orders, waiting, locks)


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
