"""The tasks of `dcb_reconcile`: each calls one step of `alma_etl.dcb.flows.reconcile`."""

from functools import partial

from airflow.sdk import Context

from alma_airflow.hooks import dcb as dcb_hooks
from alma_airflow.hooks.http import http_access
from alma_airflow.hooks.store import open_bucket
from alma_airflow.operators.base import EtlOperator, unsuccessful_tasks
from alma_airflow.ui.links import ReportLink
from alma_etl.dcb.dcb_service import DcbService
from alma_etl.dcb.flows.reconcile.compare import ReconcileFolder, compare
from alma_etl.dcb.flows.reconcile.findings import ReconcileContext
from alma_etl.dcb.flows.reconcile.report import check_outcome, results_of, write_report
from alma_etl.jobs.settings_files import refuse_unknown


def _dcb_service(conn_id: str) -> DcbService:
    return DcbService(http_access(conn_id))


class ReconcileOperator(EtlOperator):
    """A task of a comparison."""

    ledger_job = "dcb_reconcile"
    quotes_errors = False  # that of one request may name its patron

    @staticmethod
    def folder(context: Context) -> ReconcileFolder:
        """The working files of the run that the task belongs to."""
        run = context["dag_run"]
        return ReconcileFolder(open_bucket(), run.run_id, run.dag_id)


class CompareBooks(ReconcileOperator):
    """Step 1: the checks, with what may be fixed fixed; returns the number of open findings by code."""

    def work(self, context: Context) -> dict[str, int]:
        params, folder = context["params"], self.folder(context)
        with folder.keeping_problem():
            refuse_unknown(params, ("most", "dry_run"))
        with folder.keeping_problem(), dcb_hooks.open_dcb() as dcb:
            self.ledger.note(institution=dcb_hooks.gateways(dcb.settings))
            services = {
                sink.name: partial(_dcb_service, sink.conn_id)
                for sink in dcb.settings.sinks
                if sink.type == "dcb_nudge" and sink.conn_id is not None
            }
            reconcile_context = ReconcileContext(
                dcb.store,
                dcb.settings,
                dcb.systems,
                now=dcb_hooks.now(),
                run_id=folder.run_id,
                dry_run=bool(params["dry_run"]),
            )
            return compare(folder, reconcile_context, services, most=params["most"])


class WriteReconcileReport(ReconcileOperator):
    """Step 2: the tables and the page; returns their keys. Is to run always."""

    operator_extra_links = (ReportLink(),)

    def work(self, context: Context) -> dict[str, str]:
        folder = self.folder(context)
        with self.ledger.keeping(lambda: results_of(folder)):
            return write_report(folder, unsuccessful_tasks(context))


class CheckReconcileOutcome(ReconcileOperator):
    """The final check: fails the run when something is urgent, or could not be compared. Is to run always."""

    ends_run = True
    quotes_errors = True
    operator_extra_links = (ReportLink(),)

    def work(self, context: Context) -> str:
        sentence = check_outcome(self.folder(context), unsuccessful_tasks(context))
        self.log.info("%s", sentence)
        return sentence
