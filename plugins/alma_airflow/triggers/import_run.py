"""What the tasks of `import_profile_run` wait with: for their turn, and for the end of the job."""

import logging
from asyncio import sleep, to_thread
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from airflow.sdk import timezone
from airflow.triggers.base import BaseTrigger, TriggerEvent

from alma_airflow.hooks.alma import AlmaHook
from alma_airflow.hooks.ledger import RunLedger
from alma_airflow.triggers.alma_job import AlmaJobTrigger
from alma_etl.alma.tasks import JobEnd
from alma_etl.jobs.ledger import About
from alma_etl.jobs.ledger_reading import Attention, RunKey
from alma_etl.profile_runs.submit import look_at_run

JOB = "import_profile_run"
NOT_STARTED = (
    "A person ended the run before Alma had started its job: nothing was loaded",
    "To run it after all, clear submit.",
)
PERHAPS_STARTED = (
    "The task was ended, and nobody knows whether Alma has started its job",
    "Look in Alma under Admin > Monitor Jobs. To go on, clear submit: it looks first whether Alma has started the job.",
)
"""What is said of a run that is ended, and what to do."""
_log = logging.getLogger(__name__)


def note_ended(key: RunKey, what: str, what_to_do: str) -> None:
    """Log, and keep in the ledger, that a person ended a task of the run, and what goes on in Alma.

    The run counts as failed from then on; a task that is cleared begins it again.
    """
    _log.warning("%s. %s", what, what_to_do)
    RunLedger(key, About(JOB)).fail(Attention(what=what, what_to_do=what_to_do), last=True)


def goes_on(instance_id: str) -> tuple[str, str]:
    """What is to be said of a job that nobody waits for any more: what, and what to do."""
    return (
        f"The waiting was ended, and Alma's job goes on (instance {instance_id}): no API cancels a job",
        "Abort it in Alma under Admin > Monitor Jobs > Running, or clear wait: it goes on waiting for this instance.",
    )


class TurnTrigger(BaseTrigger):
    """Fires at a moment, for a job that Alma does not start yet. A person who ends the task ends the run.

    :param dag_id: the run's DAG.
    :param run_id: the run.
    :param until: when to try again (ISO, UTC).
    :param perhaps_started: whether an answer of Alma was lost, and the job may be at work.
    """

    def __init__(self, *, dag_id: str, run_id: str, until: str, perhaps_started: bool = False) -> None:
        super().__init__()
        self.dag_id = dag_id
        self.run_id = run_id
        self.until = until
        self.perhaps_started = perhaps_started

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """How Airflow stores it."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            "dag_id": self.dag_id,
            "run_id": self.run_id,
            "until": self.until,
            "perhaps_started": self.perhaps_started,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait for the moment."""
        while (left := datetime.fromisoformat(self.until) - timezone.utcnow()).total_seconds() > 0:
            await sleep(min(60.0, left.total_seconds()))
        yield TriggerEvent(None)

    async def on_kill(self) -> None:
        """Called by Airflow when a person marks or clears the task."""
        what, what_to_do = NOT_STARTED
        if self.perhaps_started:
            what, what_to_do = PERHAPS_STARTED
        await to_thread(note_ended, RunKey(self.dag_id, self.run_id), what, what_to_do)


class ImportJobTrigger(AlmaJobTrigger):
    """An `AlmaJobTrigger` of a run: when a person ends the task, the ledger says what goes on in Alma.

    :param dag_id: the run's DAG.
    :param run_id: the run.
    """

    def __init__(self, *, dag_id: str, run_id: str, **job: Any) -> None:
        super().__init__(**job)
        self.dag_id = dag_id
        self.run_id = run_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """How Airflow stores it."""
        name, arguments = super().serialize()
        return name, {**arguments, "dag_id": self.dag_id, "run_id": self.run_id}

    def _look(self) -> JobEnd | None:
        with AlmaHook(self.alma_conn_id).client() as alma:
            return look_at_run(alma, self.instance_id)

    async def on_kill(self) -> None:
        """Called by Airflow when a person marks or clears the task."""
        await to_thread(note_ended, RunKey(self.dag_id, self.run_id), *goes_on(self.instance_id))
