"""Waits in the triggerer for the end of an Alma job."""

import logging
from asyncio import sleep, to_thread, wait_for
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from alma_airflow.hooks.alma import AlmaHook
from alma_etl.alma.tasks import ANY_JOB, JobEnd, look_at_job
from alma_etl.errors import RunStopped
from alma_etl.remote.errors import RemoteStop

_LONGEST_LOOK = 900.0  # seconds; far beyond the client's own timeouts and tries
_GROWTH = 1.5
_log = logging.getLogger(__name__)


class AlmaJobTrigger(BaseTrigger):
    """Looks at a job instance until it has ended, and fires once: `{"end": {...}}`, a `JobEnd` with whatever status, or
    `{"problem": sentence}` when looking makes no further sense.

    It judges nothing and keeps nothing: a triggerer that takes it over goes on. An Alma that does not answer is
    asked again for as long as the deferral lasts. The client works in a thread, since it blocks; a look without an
    answer for a quarter of an hour is given up. Whoever ends or clears the task ends the waiting, not Alma's job:
    no API cancels one.

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
    :param longest_interval: let the seconds grow by half each time, up to these; not given: they stay.
    """

    def __init__(
        self,
        *,
        instance_id: str,
        job_id: str = ANY_JOB,
        alma_conn_id: str = "alma_default",
        poke_interval: float = 60,
        longest_interval: float | None = None,
    ) -> None:
        super().__init__()
        self.instance_id = instance_id
        self.job_id = job_id
        self.alma_conn_id = alma_conn_id
        self.poke_interval = poke_interval
        self.longest_interval = longest_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """How Airflow stores it; the same arguments give the same trigger."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            "instance_id": self.instance_id,
            "job_id": self.job_id,
            "alma_conn_id": self.alma_conn_id,
            "poke_interval": self.poke_interval,
            "longest_interval": self.longest_interval,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait for the end."""
        end, interval = None, self.poke_interval
        while end is None:
            await sleep(interval)
            interval = min(interval * _GROWTH, max(self.longest_interval or 0, self.poke_interval))
            try:
                end = await wait_for(to_thread(self._look), _LONGEST_LOOK)
            except TimeoutError:
                _log.warning(
                    "A look at job instance %s got no answer: it is looked at again", self.instance_id
                )
            except (RunStopped, RemoteStop) as problem:
                yield TriggerEvent({"problem": str(problem)})
                return
        yield TriggerEvent({"end": end.as_dict()})

    def _look(self) -> JobEnd | None:
        with AlmaHook(self.alma_conn_id).client() as alma:
            return look_at_job(alma, self.instance_id, job_id=self.job_id)
