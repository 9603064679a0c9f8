"""The tasks of `west_holdings`: each calls one step of `alma_etl.west`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, ClassVar

from airflow.providers.sftp.hooks.sftp import SFTPHook
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowSkipException

from alma_airflow.hooks.alma import AlmaHook
from alma_airflow.hooks.store import find_connection, open_bucket
from alma_airflow.operators.base import EtlOperator, unsuccessful_tasks
from alma_airflow.ui.links import ReportLink
from alma_etl.store.bucket import NoSuchObject
from alma_etl.west.assembly import assemble_delivery
from alma_etl.west.converting import convert_to_marc21
from alma_etl.west.delivery import DryRun, Sftp, deliver, delivery_event
from alma_etl.west.extract import extract_mms_ids
from alma_etl.west.fetching import fetch_holdings
from alma_etl.west.listing import list_holdings
from alma_etl.west.report import check_outcome, write_report
from alma_etl.west.results import results_of, subject_of
from alma_etl.west.run import RunFolder

SFTP_CONN_ID = "west_sftp"


class WestOperator(EtlOperator):
    """A task of a WEST run; `alma_conn_id` names the Alma it reads."""

    ledger_job = "west_holdings"

    template_fields: ClassVar[Sequence[str]] = ("alma_conn_id",)

    def __init__(self, *, alma_conn_id: str = "alma_default", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.alma_conn_id = alma_conn_id

    def subject(self, context: Context) -> str:
        """The set or the export of the form; what the settings file names is noted when it is read."""
        params = context["params"]
        return str(params.get("set_id") or params.get("marc_key") or "").strip()

    @staticmethod
    def folder(context: Context) -> RunFolder:
        """The working files of the run that the task belongs to."""
        run = context["dag_run"]
        return RunFolder(open_bucket(), run.run_id, run.dag_id)


class WestChunkOperator(WestOperator):
    """A task of one chunk; `chunk` is an element of what `ExtractMmsIds` returned."""

    template_fields: ClassVar[Sequence[str]] = ("alma_conn_id", "chunk")

    def __init__(self, *, chunk: dict[str, Any], **kwargs: Any) -> None:
        kwargs.setdefault("map_index_template", "{{ task.chunk['label'] }}")
        super().__init__(**kwargs)
        self.chunk = chunk

    @property
    def number(self) -> int:
        """The chunk's number, from 1."""
        return int(self.chunk["number"])


class ExtractMmsIds(WestOperator):
    """Step 1: the titles of the set or the export, cut into chunks; returns number and label of each chunk."""

    def work(self, context: Context) -> list[dict[str, Any]]:
        run = context["dag_run"]
        moment = run.logical_date or run.run_after
        folder = self.folder(context)
        # A connection that cannot be used stands in the report too.
        hook = AlmaHook(self.alma_conn_id)
        with folder.keeping_problem(), hook.client() as alma:
            chunks = extract_mms_ids(
                alma,
                folder,
                context["params"],
                moment=moment,
                sandbox=hook.is_sandbox(),
                on_settings=lambda each: self.ledger.note(subject=subject_of(each), dry_run=each.dry_run),
            )
        return [{"number": chunk.number, "label": chunk.label} for chunk in chunks]


class ListHoldings(WestChunkOperator):
    """Step 2: the holdings of the chunk's titles; returns counts."""

    def work(self, context: Context) -> dict[str, int]:
        with AlmaHook(self.alma_conn_id).client() as alma:
            return list_holdings(alma, self.folder(context), self.number)


class FetchHoldings(WestChunkOperator):
    """Step 3: the holdings records of the chunk; returns counts."""

    def work(self, context: Context) -> dict[str, int]:
        with AlmaHook(self.alma_conn_id).client() as alma:
            return fetch_holdings(alma, self.folder(context), self.number)


class ConvertToMarc21(WestChunkOperator):
    """Step 4: the chunk's records as MARC21, judged by the delivery rules; returns counts by outcome."""

    def work(self, context: Context) -> dict[str, int]:
        return convert_to_marc21(self.folder(context), self.number)


class AssembleDelivery(WestOperator):
    """The files of the delivery, one for each OCLC symbol; returns counts by outcome.

    Is to run whatever became of the chunks: those that did not finish are accounted for. Skipped when the run
    has no plan, since then there is nothing to account for.
    """

    def work(self, context: Context) -> dict[str, int]:
        try:
            return assemble_delivery(self.folder(context)).counts
        except NoSuchObject as error:
            raise AirflowSkipException(f"Nothing to assemble: {error}") from error


class DeliverHoldings(WestOperator):
    """The delivery, to the bucket and to the server of `west_sftp` if there is such a connection; returns keys.

    Skipped in a dry run and in a run with a limit, so that no asset event reports a delivery.
    """

    def work(self, context: Context) -> list[str]:
        folder = self.folder(context)
        try:
            keys = deliver(folder, now=datetime.now(UTC), partner=_sftp())
        except DryRun as reason:
            raise AirflowSkipException(str(reason)) from reason
        for asset in self.outlets:
            context["outlet_events"][asset].extra.update(delivery_event(folder))
        return keys


class WriteWestReport(WestOperator):
    """The page for the librarian; returns its key. Is to run always."""

    operator_extra_links = (ReportLink(),)

    def work(self, context: Context) -> str:
        folder = self.folder(context)
        with self.ledger.keeping(lambda: results_of(folder)):
            return write_report(folder, unsuccessful_tasks(context))


class CheckWestOutcome(WestOperator):
    """The final check: fails the run when its outcome is not acceptable. Is to run always."""

    ends_run = True
    operator_extra_links = (ReportLink(),)

    def work(self, context: Context) -> str:
        sentence = check_outcome(self.folder(context), unsuccessful_tasks(context))
        self.log.info("%s", sentence)
        return sentence


@contextmanager
def _sftp() -> Iterator[tuple[Sftp | None, str]]:
    connection = find_connection(SFTP_CONN_ID)
    if connection is None:
        yield None, "."
        return
    with SFTPHook(SFTP_CONN_ID).get_managed_conn() as client:
        yield client, str(connection.extra_dejson.get("folder") or ".")
