"""The tasks of `file_intake`: each calls one function of `alma_etl.jobs`."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, ClassVar

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowSkipException
from airflow.utils.helpers import build_airflow_dagrun_url

from alma_airflow.hooks.ledger import note_arrivals
from alma_airflow.hooks.store import open_bucket
from alma_airflow.operators.base import EtlOperator, KnownErrors
from alma_etl.jobs.ledger import Results
from alma_etl.jobs.places import former_run_id
from alma_etl.jobs.starting import counts_of, new_starts, note_starts


class IntakeOperator(EtlOperator):
    """A task of the intake."""

    ledger_job = "file_intake"


class ListNewFiles(IntakeOperator):
    """The runs to start; returns the arguments of each for a mapped TriggerDagRunOperator.

    :param at_most: more files than this wait for the next run.
    :param settle_seconds: a file that changed less than this ago may still be arriving.
    """

    def __init__(self, *, at_most: int = 50, settle_seconds: float = 3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.at_most = at_most
        self.settle_seconds = settle_seconds

    def work(self, context: Context) -> list[dict[str, Any]]:
        settle = timedelta(seconds=self.settle_seconds)
        starts = new_starts(open_bucket(), at_most=self.at_most, settle=settle, note_arrivals=note_arrivals)
        return [dict(start) for start in starts]


class StartLoad(KnownErrors, TriggerDagRunOperator):
    """Starts one run; skipped when the run exists already, since the same version of a file starts only once.

    Takes its arguments as they are: a file's name is data from outside and must never be read as a template.
    """

    template_fields: ClassVar[Sequence[str]] = ()

    def __init__(self, **kwargs: Any) -> None:
        # Without a logical date, of which a DAG has each only once; two files may arrive at the same moment.
        super().__init__(**{"logical_date": None, "skip_when_already_exists": True, **kwargs})

    def execute(self, context: Context) -> None:
        run_id = str(self.trigger_run_id)
        former = former_run_id(run_id)
        if former != run_id and context["ti"].get_dr_count(self.trigger_dag_id, run_ids=[former]):
            raise AirflowSkipException(
                f"The run of this file was started before the upgrade, as {former}: "
                f"{build_airflow_dagrun_url(self.trigger_dag_id, former)}"
            )
        self.log.info("The run: %s", build_airflow_dagrun_url(self.trigger_dag_id, run_id))
        super().execute(context)


class ReportIntake(IntakeOperator):
    """Notes what was started, so that it is not offered again; fails when a start failed. Is to run always.

    :param starts: what `ListNewFiles` returned.
    :param start_task_id: the mapped task that starts the runs.
    """

    ends_run = True
    template_fields: ClassVar[Sequence[str]] = ("starts",)

    def __init__(self, *, starts: Any, start_task_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.starts = starts
        self.start_task_id = start_task_id

    def work(self, context: Context) -> str:
        ti, run = context["ti"], context["dag_run"]
        starts = list(self.starts or [])
        states = ti.get_task_states(
            dag_id=run.dag_id, task_ids=[self.start_task_id], run_ids=[run.run_id]
        ).get(run.run_id, {})
        ended = [str(states.get(f"{self.start_task_id}_{index}")) for index in range(len(starts))]
        self.ledger.replace(Results(counts_of(ended)))
        sentence = note_starts(open_bucket(), starts, ended)
        self.log.info("%s", sentence)
        return sentence
