"""Waits in the triggerer for the end of an Alma job."""

from asyncio import sleep, to_thread
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from alma_airflow.hooks.alma import AlmaHook
from alma_etl.alma.tasks import ANY_JOB, JobEnd, look_at_job
from alma_etl.errors import RunStopped
from alma_etl.remote.errors import RemoteStop


class AlmaJobTrigger(BaseTrigger):
    """Looks at a job instance until it has ended, and fires once: `{"end": {...}}`, a `JobEnd` with whatever status, or
    `{"problem": sentence}` when looking makes no further sense.

    It judges nothing and keeps nothing: a triggerer that takes it over goes on. An Alma that does not answer is
    asked again for as long as the deferral lasts. The client works in a thread, since it blocks.

    Example::

        self.defer(
            trigger=AlmaJobTrigger(instance_id="5310000000014401", poke_interval=60),
            method_name="execute_complete",
            timeout=timedelta(hours=6),
        )

    :param instance_id: the job instance.
    :param job_id: its job; ALL serves for any.
    :param alma_conn_id: the connection of type `alma`.
    :param poke_interval: seconds before each look, the first one too.
    """

    def __init__(
        self,
        *,
        instance_id: str,
        job_id: str = ANY_JOB,
        alma_conn_id: str = "alma_default",
        poke_interval: float = 60,
    ) -> None:
        super().__init__()
        self.instance_id = instance_id
        self.job_id = job_id
        self.alma_conn_id = alma_conn_id
        self.poke_interval = poke_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """How Airflow stores it; the same arguments give the same trigger."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            "instance_id": self.instance_id,
            "job_id": self.job_id,
            "alma_conn_id": self.alma_conn_id,
            "poke_interval": self.poke_interval,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait for the end."""
        end = None
        while end is None:
            await sleep(self.poke_interval)
            try:
                end = await to_thread(self._look)
            except (RunStopped, RemoteStop) as problem:
                yield TriggerEvent({"problem": str(problem)})
                return
        yield TriggerEvent({"end": end.as_dict()})

    def _look(self) -> JobEnd | None:
        with AlmaHook(self.alma_conn_id).client() as alma:
            return look_at_job(alma, self.instance_id, job_id=self.job_id)
