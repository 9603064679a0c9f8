"""Operators for DAG authors: sets and items of Alma. Starting jobs is in `alma_job`."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from airflow.sdk import Context

from alma_airflow.hooks.alma import AlmaHook
from alma_airflow.operators.base import EtlOperator
from alma_etl.alma.tasks import add_set_members, create_named_set, update_one_item


class AlmaCreateSetOperator(EtlOperator):
    """Makes an itemised set (`POST /conf/sets`) and returns its id.

    A set of this name that is there already is taken, so that a retry makes no second one; it fails when that set
    holds something else.

    Example::

        review = AlmaCreateSetOperator(
            task_id="make_review_set", name="To review {{ ds }}", content="ITEM", description="Made by Airflow"
        )

    :param name: a name that no other set has.
    :param content: what its members are: BIB_MMS, ITEM, HOLDING, USER, ... (Alma's code table SetContentType).
    :param description: for people.
    :param alma_conn_id: the connection of type `alma`.
    """

    template_fields: ClassVar[Sequence[str]] = ("alma_conn_id", "name", "content", "description")

    def __init__(
        self,
        *,
        name: str,
        content: str,
        description: str = "",
        alma_conn_id: str = "alma_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.name = name
        self.content = content
        self.description = description
        self.alma_conn_id = alma_conn_id

    def work(self, context: Context) -> str:
        with AlmaHook(self.alma_conn_id).client() as alma:
            return create_named_set(alma, self.name, self.content, description=self.description).id


class AlmaAddSetMembersOperator(EtlOperator):
    """Adds members to an itemised set (`POST /conf/sets/{set_id}?op=add_members`), 1,000 a call, and returns counts:
    `given` = `repeated` + `already_members` + `added` + `not_added`; and `size`, the set's now.

    A retry adds only what is missing. The set must have no other writer meanwhile, since its size shows
    whether a lost call took effect.

    Example::

        fill = AlmaAddSetMembersOperator(
            task_id="fill_review_set",
            set_id="{{ ti.xcom_pull(task_ids='make_review_set') }}",
            member_ids=["39000000000012"],
            id_type="BARCODE",
            fail_on_invalid_id=False,
        )

    :param set_id: the set.
    :param member_ids: ids of the members; a list, or the output of a task that returns one.
    :param id_type: what they are: None for MMS ids and pids; BARCODE for items; SYSTEM_NUMBER, OCLC_NUMBER, ISBN,
        ISSN for titles. Only with None do new members stand apart: give `fail_on_invalid_id=False`
        with the others.
    :param fail_on_invalid_id: one id that Alma does not know fails the call; False passes over such ids and counts
        them as `not_added`.
    :param alma_conn_id: the connection of type `alma`.
    """

    template_fields: ClassVar[Sequence[str]] = ("alma_conn_id", "set_id", "member_ids", "id_type")

    def __init__(
        self,
        *,
        set_id: str,
        member_ids: Sequence[str],
        id_type: str | None = None,
        fail_on_invalid_id: bool = True,
        alma_conn_id: str = "alma_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.set_id = set_id
        self.member_ids = member_ids
        self.id_type = id_type
        self.fail_on_invalid_id = fail_on_invalid_id
        self.alma_conn_id = alma_conn_id

    def work(self, context: Context) -> dict[str, int]:
        with AlmaHook(self.alma_conn_id).client() as alma:
            counts = add_set_members(
                alma,
                self.set_id,
                self.member_ids,
                id_type=self.id_type,
                fail_on_invalid_id=self.fail_on_invalid_id,
            )
        self.log.info("Set %s: %s", self.set_id, counts)
        return counts


class AlmaUpdateItemOperator(EtlOperator):
    """Changes some fields of an item and returns `outcome` (updated, unchanged, adopted), `item_pid` and `barcode`.

    Reads the item, merges the change into it, sends the whole (`PUT .../items/{item_pid}`, which empties what it
    lacks) and checks the answer. What is not named stays, "" empties. Another library or location moves
    the item to another holding. Running it again changes nothing.

    Example::

        note = AlmaUpdateItemOperator(
            task_id="note_on_item",
            barcode="{{ params.barcode }}",
            item_data={"internal_note_1": "Checked {{ ds }}", "policy": {"value": "01"}},
        )

    :param barcode: the item's barcode; or give the next three.
    :param mms_id: the title of the item.
    :param holding_id: its holding.
    :param item_pid: the item's own id.
    :param item_data: fields of Alma's item_data; a code as `{"value": code}`.
    :param holding_data: fields of holding_data, such as the temporary location.
    :param alma_conn_id: the connection of type `alma`.
    """

    template_fields: ClassVar[Sequence[str]] = (
        "alma_conn_id",
        "barcode",
        "mms_id",
        "holding_id",
        "item_pid",
        "item_data",
        "holding_data",
    )

    def __init__(
        self,
        *,
        barcode: str = "",
        mms_id: str = "",
        holding_id: str = "",
        item_pid: str = "",
        item_data: Mapping[str, Any] | None = None,
        holding_data: Mapping[str, Any] | None = None,
        alma_conn_id: str = "alma_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.barcode = barcode
        self.mms_id = mms_id
        self.holding_id = holding_id
        self.item_pid = item_pid
        self.item_data = item_data
        self.holding_data = holding_data
        self.alma_conn_id = alma_conn_id

    def work(self, context: Context) -> dict[str, str]:
        changes = {"item_data": self.item_data or {}, "holding_data": self.holding_data or {}}
        with AlmaHook(self.alma_conn_id).client() as alma:
            outcome, item = update_one_item(
                alma,
                changes,
                barcode=self.barcode,
                mms_id=self.mms_id,
                holding_id=self.holding_id,
                item_pid=self.item_pid,
            )
        self.log.info("Item %s: %s", item.pid, outcome)
        return {"outcome": outcome.value, "item_pid": item.pid, "barcode": item.barcode}
