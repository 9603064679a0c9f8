"""Operators for DAG authors: items of Aleph, by its X-Server."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from airflow.sdk import Context

from alma_airflow.hooks.aleph import AlephHook
from alma_airflow.operators.base import EtlOperator
from alma_etl.aleph.tasks import create_one_item, item_key, read_one_item, update_one_item


class AlephReadItemOperator(EtlOperator):
    """Reads an item (`op=read-item`) and returns its fields without ``z30-``, as codes.

    Example::

        item = AlephReadItemOperator(task_id="read_item", barcode="{{ params.barcode }}")

    :param doc_number: the item's administrative document; with or without zeros in front.
    :param item_sequence: its sequence there, such as 10.
    :param barcode: its barcode, instead of these two.
    :param aleph_conn_id: the connection of type `aleph`.
    """

    template_fields: ClassVar[Sequence[str]] = ("aleph_conn_id", "doc_number", "item_sequence", "barcode")

    def __init__(
        self,
        *,
        doc_number: str = "",
        item_sequence: str = "",
        barcode: str = "",
        aleph_conn_id: str = "aleph_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.doc_number = doc_number
        self.item_sequence = item_sequence
        self.barcode = barcode
        self.aleph_conn_id = aleph_conn_id

    def work(self, context: Context) -> dict[str, str]:
        with AlephHook(self.aleph_conn_id).client() as aleph:
            item = read_one_item(
                aleph, doc_number=self.doc_number, item_sequence=self.item_sequence, barcode=self.barcode
            )
        return dict(item.fields)


class AlephUpdateItemOperator(EtlOperator):
    """Changes some fields of an item (`op=update-item`) and returns `outcome` (updated, unchanged, adopted) and the
    `barcode` that the item has now.

    The item is read first, and an item that has the values already is not written. What is not named stays, "" clears.
    Running it again changes nothing.

    Example::

        note = AlephUpdateItemOperator(
            task_id="note_on_item",
            doc_number="{{ params.doc_number }}",
            item_sequence="10",
            values={"note-internal": "Checked {{ ds }}", "collection": "GEN"},
        )

    :param doc_number: the item's administrative document; with or without zeros in front.
    :param item_sequence: its sequence there, such as 10.
    :param values: fields of z30, with or without ``z30-``; codes, and dates as yyyymmdd.
    :param aleph_conn_id: the connection of type `aleph`.
    """

    template_fields: ClassVar[Sequence[str]] = ("aleph_conn_id", "doc_number", "item_sequence", "values")

    def __init__(
        self,
        *,
        doc_number: str,
        item_sequence: str,
        values: Mapping[str, str],
        aleph_conn_id: str = "aleph_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.doc_number = doc_number
        self.item_sequence = item_sequence
        self.values = values
        self.aleph_conn_id = aleph_conn_id

    def work(self, context: Context) -> dict[str, str]:
        key = item_key(self.doc_number, self.item_sequence)
        with AlephHook(self.aleph_conn_id).client() as aleph:
            update = update_one_item(aleph, key, self.values)
        self.log.info("Item %s: %s", key, update.outcome)
        return {"outcome": update.outcome.value, "barcode": (update.after or {}).get("barcode", "")}


class AlephCreateItemOperator(EtlOperator):
    """Makes an item (`op=create-item`) and returns `outcome` (created, adopted), `doc_number`, `item_sequence` and
    `barcode`.

    An item of this barcode that is there already is taken, so that a retry makes no second one. Without a barcode a
    lost answer fails the task, and somebody has to look before it is cleared.

    Example::

        copy = AlephCreateItemOperator(
            task_id="second_copy",
            adm_doc_number="51077",
            values={"barcode": "30001000000018", "sub-library": "WID", "material": "BOOK", "item-status": "01"},
        )

    :param values: fields of z30, with or without ``z30-``; codes, and dates as yyyymmdd.
    :param adm_doc_number: the administrative record that gets the item.
    :param bib_library: instead of that, the library of a bibliographic record whose administrative record Aleph makes.
    :param bib_doc_number: and its number.
    :param aleph_conn_id: the connection of type `aleph`.
    """

    template_fields: ClassVar[Sequence[str]] = (
        "aleph_conn_id",
        "values",
        "adm_doc_number",
        "bib_library",
        "bib_doc_number",
    )

    def __init__(
        self,
        *,
        values: Mapping[str, str],
        adm_doc_number: str = "",
        bib_library: str = "",
        bib_doc_number: str = "",
        aleph_conn_id: str = "aleph_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.values = values
        self.adm_doc_number = adm_doc_number
        self.bib_library = bib_library
        self.bib_doc_number = bib_doc_number
        self.aleph_conn_id = aleph_conn_id

    def work(self, context: Context) -> dict[str, str]:
        with AlephHook(self.aleph_conn_id).client() as aleph:
            outcome, item = create_one_item(
                aleph,
                self.values,
                adm_doc_number=self.adm_doc_number,
                bib_library=self.bib_library,
                bib_doc_number=self.bib_doc_number,
            )
        self.log.info("Item %s: %s", item.key, outcome)
        number, sequence = item.key.padded
        return {
            "outcome": outcome.value,
            "doc_number": number,
            "item_sequence": sequence,
            "barcode": item.barcode,
        }
