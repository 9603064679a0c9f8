"""Starting Alma jobs."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar

from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk import Context, PokeReturnValue
from airflow.triggers.base import BaseTrigger

from alma_airflow.sensors.alma_job import AlmaJobWaiter
from alma_airflow.triggers.alma_job import AlmaJobTrigger
from alma_etl.alma.client import AlmaClient
from alma_etl.alma.tasks import JobBusy, JobEnd, check_job, forget_job, look_at_job, start_job, started_job


class AlmaRunJobOperator(AlmaJobWaiter):
    """Starts an Alma job (`POST /conf/jobs/{job_id}?op=run`), waits for its end, and returns the id of its instance.

    The job is started once: a retry, and a task whose worker died, find what was started and go on waiting for it.
    Alma runs three jobs at a time that were started by API, and starts one job five times in an hour; the task
    waits for its turn (402222, 402223, 60347) as it waits for the end, bounded by `timeout`. A job that ends
    without success fails the task with Alma's own sentences and without a retry, since nobody knows what it has
    done already; clearing the task starts the job again.

    Example::

        export = AlmaRunJobOperator(
            task_id="export_titles",
            job="Export Bibliographic Records",
            parameters={
                "task_ExportBibParams_outputFormat_string": "MARC21_XML",
                "set_id": "59000000000004401",
                "job_name": "WEST titles {{ run_id }}",
            },
            deferrable=True,
        )

    :param job: the job's exact name, or its id, which differs between Alma sandbox and production.
    :param parameters: names and values as the job's summary page under Admin > Run a Job shows them; none for a
        scheduled job. With a `job_name` of its own, a lost answer or a dead worker leads to the very instance even
        when somebody else starts the same job at that moment.
    :param wait_for_completion: False returns as soon as the job was started.
    """

    template_fields: ClassVar[Sequence[str]] = ("alma_conn_id", "job", "parameters", "also_accept")

    def __init__(
        self,
        *,
        job: str,
        parameters: Mapping[str, str] | None = None,
        wait_for_completion: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.job = job
        self.parameters = parameters
        self.wait_for_completion = wait_for_completion

    def look(self, alma: AlmaClient, context: Context) -> PokeReturnValue | None:
        """Start the job when that has not been done, else look at its instance; None means wait."""
        memory = context["task_state_store"]
        instance_id = started_job(memory)
        if instance_id is None:
            begun = start_job(alma, self.job, self.parameters or {}, memory)
            if isinstance(begun, JobBusy) or self.wait_for_completion:
                return None
            instance_id = begun
        if not self.wait_for_completion:
            forget_job(memory)
            return PokeReturnValue(True, instance_id)
        end = look_at_job(alma, instance_id)
        return None if end is None else PokeReturnValue(True, self.result(end, context))

    def trigger(self, context: Context) -> BaseTrigger:
        """The triggerer is to wait for the end of the instance, or for the next attempt to start one."""
        instance_id = started_job(context["task_state_store"])
        if instance_id is None:
            return TimeDeltaTrigger(timedelta(seconds=self.poke_interval))
        return AlmaJobTrigger(
            instance_id=instance_id, alma_conn_id=self.alma_conn_id, poke_interval=self.poke_interval
        )

    def result(self, end: JobEnd, context: Context) -> str:
        """The id of the instance."""
        forget_job(context["task_state_store"])
        return check_job(end, also_accept=self.also_accept).instance_id
