"""What a single task of a DAG asks of Aleph: an item read, changed or made, or an error that says what to do.

Each may be repeated by a retry of its task: what an earlier attempt did is found, not done again.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from alma_etl.aleph import writes
from alma_etl.aleph.client import AlephClient
from alma_etl.aleph.z30 import FIELDS, KEY, OWN, PREFIX, AlephItem, ItemKey, translated
from alma_etl.errors import InputProblem, RunStopped
from alma_etl.remote.answers import Absent, Unknown
from alma_etl.remote.safe_write import WriteOutcome

log = logging.getLogger(__name__)


def read_one_item(
    client: AlephClient, *, doc_number: str = "", item_sequence: str = "", barcode: str = ""
) -> AlephItem:
    """The item of a key, or of a barcode where no key is given. Raises InputProblem when there is none."""
    if doc_number or item_sequence:
        key = item_key(doc_number, item_sequence)
        answer, named = client.read_item(key), str(key)
    elif barcode:
        answer, named = client.read_item_by_barcode(barcode), f"with the barcode {barcode}"
    else:
        raise InputProblem("An item of Aleph is named by doc_number and item_sequence, or by its barcode")
    if isinstance(answer, Absent):
        raise InputProblem(f"Aleph has no item {named}: {answer.error or 'it is not there'}")
    if isinstance(answer, Unknown):
        raise answer.error
    return answer.value


def update_one_item(client: AlephClient, key: ItemKey, values: Mapping[str, str]) -> writes.ItemUpdate:
    """Write these fields of an item, "" clears; all others stay.

    Raises InputProblem for values that cannot be written, for an item that is not there and for what Aleph refuses; a
    RemoteError when nobody knows or nothing could be written, after which the task may be tried again.
    """
    update = writes.update_item(client, key, writable(values))
    for text in update.warnings:
        log.warning("Item %s: %s", key, text)
    if update.done:
        return update
    problem = f"The item {key} was not changed"
    if update.conflict:
        raise RunStopped(f"{problem}: somebody else changed {', '.join(update.conflict)} at the same time")
    if update.untaken:
        raise RunStopped(f"{problem} as asked: Aleph did not take {', '.join(update.untaken)}")
    if update.outcome in (WriteOutcome.REFUSED, WriteOutcome.NOT_FOUND):
        raise InputProblem(f"{problem}: {update.error or 'Aleph does not have it'}")
    raise update.error or RunStopped(f"{problem}: {update.outcome}")


def create_one_item(
    client: AlephClient,
    values: Mapping[str, str],
    *,
    adm_doc_number: str = "",
    bib_library: str = "",
    bib_doc_number: str = "",
) -> tuple[WriteOutcome, AlephItem]:
    """Make an item of an administrative record, or of the one that Aleph makes for a bibliographic record.

    An item of its barcode that is there already is taken. Raises as `update_one_item`.
    """
    if bool(adm_doc_number) == bool(bib_library and bib_doc_number):
        raise InputProblem("A new item needs either adm_doc_number, or bib_library and bib_doc_number")
    written = writes.create_item(
        client,
        writable(values),
        adm_doc_number=adm_doc_number,
        bib_library=bib_library,
        bib_doc_number=bib_doc_number,
    )
    item = written.value
    if not written.done or item is None:
        problem = "The item was not made"
        if written.outcome is WriteOutcome.REFUSED:
            raise InputProblem(f"{problem}: {written.error}")
        raise written.error or RunStopped(f"{problem}: {written.outcome}")
    if adm_doc_number and int(item.key.doc_number) != int(adm_doc_number):
        raise InputProblem(f"The item was not made: its barcode is that of the item {item.key}")
    return written.outcome, item


def item_key(doc_number: str, item_sequence: str) -> ItemKey:
    """The key of an item. Raises InputProblem."""
    try:
        return ItemKey(doc_number.strip(), item_sequence.strip())
    except ValueError as error:
        raise InputProblem(f"The key of an item of Aleph cannot be used: {error}") from None


def writable(values: Mapping[str, str]) -> dict[str, str]:
    """Fields by their names without `z30-`. Raises InputProblem for fields that Aleph does not have or that are the
    key, and for values that are words of a translated read."""
    named = {name.removeprefix(PREFIX): text for name, text in values.items()}
    faults = [f"{name} is no field of an item" for name in named if name not in FIELDS]
    faults += [f"{name} is the item's key, which cannot be changed" for name in named if name in KEY]
    faults += [fault for name, text in named.items() if name not in OWN and (fault := translated(name, text))]
    if faults or not named:
        raise InputProblem(f"The item cannot be written: {'; '.join(faults) or 'no field is given'}")
    return named
