"""Waiting for Alma jobs."""

from abc import abstractmethod
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar, NoReturn

from airflow.sdk import BaseSensorOperator, Context, PokeReturnValue, conf, timezone
from airflow.sdk.exceptions import AirflowFailException, AirflowSensorTimeout, TaskDeferralError
from airflow.triggers.base import BaseTrigger

from alma_airflow.hooks.alma import AlmaHook
from alma_airflow.operators.base import KnownErrors, errors_for_airflow
from alma_airflow.triggers.alma_job import AlmaJobTrigger
from alma_etl.alma.client import AlmaClient
from alma_etl.alma.tasks import ANY_JOB, JobEnd, check_job, look_at_job


class AlmaJobWaiter(KnownErrors, BaseSensorOperator):
    """What the sensor and `AlmaRunJobOperator` share: they look at once, then wait without a worker.

    Waiting is done by the triggerer when `deferrable`, else by Airflow's rescheduling (`mode="reschedule"`, the
    default here) or in the worker (`mode="poke"`). `timeout` (seconds) bounds it, `soft_fail` skips instead of failing.

    :param alma_conn_id: the connection of type `alma`.
    :param also_accept: final statuses that are good enough besides COMPLETED_SUCCESS, such as COMPLETED_WARNING.
    :param deferrable: wait in the triggerer; the default is Airflow's setting `[operators] default_deferrable`.
    """

    template_fields: ClassVar[Sequence[str]] = ("alma_conn_id",)

    def __init__(
        self,
        *,
        alma_conn_id: str = "alma_default",
        also_accept: Collection[str] = (),
        deferrable: bool | None = None,
        mode: str = "reschedule",
        **kwargs: Any,
    ) -> None:
        super().__init__(mode=mode, **kwargs)
        if isinstance(also_accept, str):
            raise ValueError(f"also_accept is a list of statuses: write [{also_accept!r}]")
        self.alma_conn_id = alma_conn_id
        self.also_accept = also_accept
        self.deferrable = (
            conf.getboolean("operators", "default_deferrable", fallback=False)
            if deferrable is None
            else deferrable
        )

    @abstractmethod
    def look(self, alma: AlmaClient, context: Context) -> PokeReturnValue | None:
        """Look once; None means wait."""

    @abstractmethod
    def trigger(self, context: Context) -> BaseTrigger:
        """What the triggerer is to wait for; `execute_complete` when it is an AlmaJobTrigger, else a look again."""

    @abstractmethod
    def result(self, end: JobEnd, context: Context) -> Any:
        """What the task returns for a job that ended so; raises when it is not good enough."""

    def execute(self, context: Context) -> Any:
        if not self.deferrable:
            return super().execute(context)
        # by this way Airflow applies soft_fail to the first look, too
        return self.resume_execution("look_or_defer", None, context)

    def poke(self, context: Context) -> PokeReturnValue | bool:
        """One look."""
        with errors_for_airflow(), AlmaHook(self.alma_conn_id).client() as alma:
            return self.look(alma, context) or False

    def look_or_defer(self, context: Context, event: Any = None, since: str | None = None) -> Any:
        """Look once, then leave the waiting to the triggerer. `since`: when the waiting began (ISO, UTC)."""
        found = self.poke(context)
        if isinstance(found, PokeReturnValue):
            return found.xcom_value
        return self._defer(context, since or timezone.utcnow().isoformat())

    def _defer(self, context: Context, since: str) -> NoReturn:
        waited = timezone.utcnow() - datetime.fromisoformat(since)
        left = timedelta(seconds=self.timeout) - waited
        if left <= timedelta(0):
            raise AirflowSensorTimeout(self._too_late())
        trigger = self.trigger(context)
        if isinstance(trigger, AlmaJobTrigger):
            self.defer(trigger=trigger, method_name="execute_complete", timeout=left)
        self.defer(trigger=trigger, method_name="look_or_defer", kwargs={"since": since}, timeout=left)

    def _too_late(self) -> str:
        return f"The Alma job has not come to its end within {self.timeout:.0f} seconds"

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Called by Airflow when the task goes on after a wait, or when the wait failed in the triggerer."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except AirflowSensorTimeout as error:
            raise AirflowSensorTimeout(self._too_late()) from error
        except TaskDeferralError as error:
            reason = "".join((next_kwargs or {}).get("traceback") or ()).strip().rpartition("\n")[2]
            raise TaskDeferralError(
                f"Waiting for the Alma job failed in the triggerer: {reason or error}"
            ) from error

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Called by Airflow when the trigger has fired."""
        if "problem" in event:
            raise AirflowFailException(event["problem"])
        with errors_for_airflow():
            return self.result(JobEnd(**event["end"]), context)


class AlmaJobSensor(AlmaJobWaiter):
    """Waits until an Alma job instance has ended, and returns how: `instance_id, name, status, alerts, counters`.

    The status alone decides (`GET /conf/jobs/{job_id}/instances/{instance_id}`); progress is never trusted. Any
    status but the five running ones is final, and every final one but COMPLETED_SUCCESS and those of `also_accept`
    fails the task, at once and without a retry, with Alma's own sentences. An Alma that does not answer is asked
    again at the next look.

    Example::

        wait = AlmaJobSensor(
            task_id="wait_for_import",
            instance_id="{{ dag_run.conf['instance_id'] }}",
            also_accept=["COMPLETED_WARNING"],
            deferrable=True,
            poke_interval=120,
            timeout=6 * 60 * 60,
        )

    :param instance_id: the job instance, for example what `AlmaRunJobOperator` returned.
    :param job_id: its job; ALL serves for any.
    """

    template_fields: ClassVar[Sequence[str]] = ("alma_conn_id", "instance_id", "job_id", "also_accept")

    def __init__(self, *, instance_id: str, job_id: str = ANY_JOB, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.instance_id = instance_id
        self.job_id = job_id

    def look(self, alma: AlmaClient, context: Context) -> PokeReturnValue | None:
        """Look once; None means wait."""
        end = look_at_job(alma, self.instance_id, job_id=self.job_id)
        return None if end is None else PokeReturnValue(True, self.result(end, context))

    def trigger(self, context: Context) -> BaseTrigger:
        """The triggerer is to wait for the end of the instance."""
        return AlmaJobTrigger(
            instance_id=self.instance_id,
            job_id=self.job_id,
            alma_conn_id=self.alma_conn_id,
            poke_interval=self.poke_interval,
        )

    def result(self, end: JobEnd, context: Context) -> dict[str, Any]:
        """How the job ended."""
        return check_job(end, also_accept=self.also_accept).as_dict()
