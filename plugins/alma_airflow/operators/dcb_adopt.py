"""The tasks of `dcb_adopt_requests`: each calls one step of `alma_etl.dcb.flows.adopt`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowSkipException

from alma_airflow.hooks import dcb as dcb_hooks
from alma_airflow.hooks.store import open_bucket
from alma_airflow.operators.base import EtlOperator, errors_for_airflow, unsuccessful_tasks
from alma_airflow.ui.links import ReportLink
from alma_etl.dcb.flows.adopt.job import (
    AdoptContext,
    AdoptFolder,
    adopt_offered,
    asked_source,
    check_outcome,
    read_source,
    results_of,
    write_report,
)
from alma_etl.dcb.settings import NoDcbSettings
from alma_etl.jobs.settings_files import refuse_unknown

_NOTHING = "There is no source: neither the form names one nor adopt in config/dcb.yaml"


class AdoptOperator(EtlOperator):
    """A task of an adoption. A run without a source is skipped, and leaves nothing in the ledger."""

    ledger_job = "dcb_adopt_requests"
    quotes_errors = False  # that of one request may name its patron

    def execute(self, context: Context) -> Any:
        if self.has_nothing_to_do(context):
            raise AirflowSkipException(_NOTHING)
        return super().execute(context)

    def has_nothing_to_do(self, context: Context) -> bool:
        """Whether the first task was skipped."""
        ti, run = context["ti"], context["dag_run"]
        states = ti.get_task_states(dag_id=run.dag_id, run_ids=[run.run_id], task_ids=["read_source"])
        return str(states.get(run.run_id, {}).get("read_source")) == "skipped"

    def subject(self, context: Context) -> str:
        """The source, where the form names it."""
        return str(context["params"].get("source") or "")

    @staticmethod
    def folder(context: Context) -> AdoptFolder:
        """The working files of the run that the task belongs to."""
        run = context["dag_run"]
        return AdoptFolder(open_bucket(), run.run_id, run.dag_id)

    @contextmanager
    def adopting(self) -> Iterator[AdoptContext]:
        """What the steps work with."""
        with dcb_hooks.open_dcb() as dcb:
            self.ledger.note(institution=dcb_hooks.gateways(dcb.settings))
            yield AdoptContext(
                dcb.settings,
                dcb.store,
                dcb.systems,
                dcb.bucket,
                lambda: dcb_hooks.now(),
            )


class ReadAdoptSource(AdoptOperator):
    """Step 1: reads dcb-service, the lists or Alma; returns the number of rows. Skipped where there is no source."""

    def has_nothing_to_do(self, context: Context) -> bool:
        """Whether neither the form nor the settings name a source. A schedule without DCB has none."""
        if context["params"].get("source") is not None:
            return False
        with errors_for_airflow():
            try:
                return dcb_hooks.dcb_settings().adopt.source is None
            except NoDcbSettings:
                return True

    def work(self, context: Context) -> int:
        params, folder = context["params"], self.folder(context)
        with folder.keeping_problem():
            refuse_unknown(params, ("source", "dry_run"))
            with self.adopting() as adopting:
                source = asked_source(params.get("source"), adopting.settings)
                if source is None:  # taken out of the settings in this moment
                    raise AirflowSkipException(_NOTHING)
                self.ledger.note(subject=source)
                return read_source(folder, adopting, source, dry_run=bool(params["dry_run"]))


class AdoptOffered(AdoptOperator):
    """Step 2: adopts what the source offers; returns the counts by outcome."""

    def work(self, context: Context) -> dict[str, int]:
        folder = self.folder(context)
        with folder.keeping_problem(), self.adopting() as adopting:
            return adopt_offered(folder, adopting)


class WriteAdoptReport(AdoptOperator):
    """Step 3: the table and the page; returns their keys. Is to run always."""

    operator_extra_links = (ReportLink(),)

    def work(self, context: Context) -> dict[str, str]:
        folder = self.folder(context)
        with self.ledger.keeping(lambda: results_of(folder)), self.adopting() as adopting:
            return write_report(folder, adopting.store, unsuccessful_tasks(context))


class CheckAdoptOutcome(AdoptOperator):
    """The final check: fails the run when the source could not be read, or nothing of a list can be used. Is to run
    always."""

    ends_run = True
    quotes_errors = True
    operator_extra_links = (ReportLink(),)

    def work(self, context: Context) -> str:
        sentence = check_outcome(self.folder(context), unsuccessful_tasks(context))
        self.log.info("%s", sentence)
        return sentence
