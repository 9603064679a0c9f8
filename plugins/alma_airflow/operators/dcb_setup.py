"""The tasks of `dcb_check_setup`: each calls one step of `alma_etl.dcb.flows.check_setup`."""

from collections import Counter
from functools import partial

from airflow.sdk import Context

from alma_airflow.hooks import dcb as dcb_hooks
from alma_airflow.hooks.http import http_access
from alma_airflow.hooks.store import open_bucket
from alma_airflow.operators.base import EtlOperator, unsuccessful_tasks
from alma_airflow.ui.links import ReportLink
from alma_etl.dcb.dcb_service import DcbService
from alma_etl.dcb.flows.check_setup.checks import check_setup
from alma_etl.dcb.flows.check_setup.report import check_outcome, results_of, write_report
from alma_etl.dcb.flows.check_setup.trial import read_samples, samples_of
from alma_etl.jobs.settings_files import refuse_unknown
from alma_etl.jobs.setup_checks import SetupFolder


def _dcb_service(conn_id: str) -> DcbService:
    return DcbService(http_access(conn_id))


class SetupOperator(EtlOperator):
    """A task of a check of the set-up."""

    ledger_job = "dcb_check_setup"

    @staticmethod
    def folder(context: Context) -> SetupFolder:
        """The working files of the run that the task belongs to."""
        run = context["dag_run"]
        return SetupFolder(open_bucket(), run.run_id, run.dag_id)


class CheckSetup(SetupOperator):
    """Step 1: every check of every system; returns the number of checks by outcome."""

    def work(self, context: Context) -> dict[str, int]:
        params, folder = context["params"], self.folder(context)
        with folder.keeping_problem():
            refuse_unknown(params, ("samples",))
        with folder.keeping_problem(), dcb_hooks.open_dcb() as dcb:
            self.ledger.note(institution=dcb_hooks.gateways(dcb.settings))
            result = check_setup(
                dcb.settings,
                dcb.systems,
                dcb_hooks.now(),
                samples=samples_of(dcb.store, dcb.settings)
                | read_samples(params["samples"] or "", dcb.settings.systems),
                dcb_service=partial(_dcb_service, dcb.settings.adopt.conn_id),
            )
        folder.save(result)
        return dict(Counter(each.outcome for each in result.checks))


class ReportSetup(SetupOperator):
    """Step 2: the table and the page; fails the run when a placing lacks something. Is to run always."""

    ends_run = True
    operator_extra_links = (ReportLink(),)

    def work(self, context: Context) -> dict[str, str]:
        folder, states = self.folder(context), unsuccessful_tasks(context)
        with self.ledger.keeping(lambda: results_of(folder)):
            keys = write_report(folder, states)
        self._sentence = check_outcome(folder, states)
        self.log.info("%s", self._sentence)
        return keys

    def headline(self, result: object) -> str:
        return self._sentence
