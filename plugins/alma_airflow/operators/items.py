"""The tasks of `item_creation`: each calls one step of `alma_etl.items`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC
from functools import partial
from typing import Any, ClassVar

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowSkipException

from alma_airflow.hooks.alma import AlmaHook, is_known_sandbox
from alma_airflow.hooks.store import open_bucket, store_url
from alma_airflow.operators.base import EtlOperator, unsuccessful_tasks
from alma_airflow.ui.links import ReportLink
from alma_etl.alma.client import AlmaClient
from alma_etl.items.codes import alma_of, check_codes
from alma_etl.items.creating import create_items
from alma_etl.items.filing import file_away
from alma_etl.items.holdings import resolve_holdings
from alma_etl.items.reading import read_file
from alma_etl.items.report import write_reports
from alma_etl.items.run import LoadFolder, Superseded
from alma_etl.items.summary import check_outcome
from alma_etl.store.loaded_items import SqlLoadedItems
from alma_etl.store.locks import open_locks


class ItemOperator(EtlOperator):
    """A task of an item load; `alma_conn_id` names the Alma it writes to.

    Skipped when the first task found that the file was replaced, since the new version has a run of its own.
    """

    template_fields: ClassVar[Sequence[str]] = ("alma_conn_id",)

    def __init__(self, *, alma_conn_id: str = "alma_default", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.alma_conn_id = alma_conn_id

    def execute(self, context: Context) -> Any:
        """Called by Airflow."""
        try:
            return super().execute(context)
        except Superseded as nothing_to_do:
            raise AirflowSkipException(str(nothing_to_do)) from nothing_to_do

    @staticmethod
    def folder(context: Context) -> LoadFolder:
        """The working files of the run that the task belongs to."""
        run = context["dag_run"]
        return LoadFolder(open_bucket(), run.run_id, run.dag_id)

    @contextmanager
    def memory(self, alma: AlmaClient, folder: LoadFolder) -> Iterator[SqlLoadedItems]:
        """What earlier loads into this Alma left behind."""
        memory = SqlLoadedItems(store_url(), alma_of(alma, folder), formerly=self.alma_conn_id)
        try:
            yield memory
        finally:
            memory.close()


class ItemChunkOperator(ItemOperator):
    """A task of one chunk; `chunk` is an element of what `ReadFile` returned."""

    template_fields: ClassVar[Sequence[str]] = ("alma_conn_id", "chunk")

    def __init__(self, *, chunk: dict[str, Any], **kwargs: Any) -> None:
        kwargs.setdefault("map_index_template", "{{ task.chunk['label'] }}")
        super().__init__(**kwargs)
        self.chunk = chunk

    @property
    def number(self) -> int:
        """The chunk's number, from 1."""
        return int(self.chunk["number"])


class ReadFile(ItemOperator):
    """Step 1: the rows of the file, cut into chunks; returns number and label of each chunk."""

    def work(self, context: Context) -> list[dict[str, Any]]:
        """Called by `execute`."""
        run = context["dag_run"]
        moment = run.logical_date or run.run_after
        folder = self.folder(context)
        with folder.keeping_problem():
            sandbox = AlmaHook(self.alma_conn_id).is_sandbox()
        chunks = read_file(folder, context["params"], day=moment.astimezone(UTC).date(), sandbox=sandbox)
        return [{"number": chunk.number, "label": chunk.label} for chunk in chunks]


class CheckCodes(ItemOperator):
    """Step 2: every code and every title asked for in Alma before anything is written; returns counts."""

    def work(self, context: Context) -> dict[str, int]:
        """Called by `execute`."""
        with AlmaHook(self.alma_conn_id).client() as alma:
            return check_codes(alma, self.folder(context))


class ResolveHoldings(ItemChunkOperator):
    """Step 3: the holding of each title and place, found or made; returns counts."""

    def work(self, context: Context) -> dict[str, int]:
        """Called by `execute`."""
        folder = self.folder(context)
        with (
            AlmaHook(self.alma_conn_id).client() as alma,
            self.memory(alma, folder) as memory,
            open_locks(store_url()) as locks,
        ):
            return resolve_holdings(alma, folder, self.number, memory=memory, locks=locks)


class CreateItems(ItemChunkOperator):
    """Step 4: the items of the chunk; returns counts by outcome."""

    def work(self, context: Context) -> dict[str, int]:
        """Called by `execute`."""
        folder = self.folder(context)
        with AlmaHook(self.alma_conn_id).client() as alma, self.memory(alma, folder) as memory:
            return create_items(alma, folder, self.number, memory=memory)


class WriteItemReports(ItemOperator):
    """Step 5: the reports and the rows to mend; returns their keys. Is to run always."""

    operator_extra_links = (ReportLink(),)

    def work(self, context: Context) -> dict[str, str]:
        """Called by `execute`."""
        return write_reports(self.folder(context), context["params"]["key"], unsuccessful_tasks(context))


class FileAway(ItemOperator):
    """Step 6: the file leaves the incoming folder, but for a dry run; returns where it rests."""

    def work(self, context: Context) -> str:
        """Called by `execute`."""
        params = context["params"]
        return file_away(
            self.folder(context),
            params["key"],
            profile=params["profile"] or None,
            dry_run=params["dry_run"],
            is_sandbox=partial(is_known_sandbox, self.alma_conn_id),
        )


class CheckItemOutcome(ItemOperator):
    """The last word: fails the run when its outcome is not acceptable. Is to run always."""

    operator_extra_links = (ReportLink(),)

    def work(self, context: Context) -> str:
        """Called by `execute`."""
        sentence = check_outcome(self.folder(context), unsuccessful_tasks(context))
        self.log.info("%s", sentence)
        return sentence
