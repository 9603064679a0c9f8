"""The task of bibliographic imports that writes, and waits for titles that somebody has open."""

from datetime import datetime
from typing import Any

from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk import Context, Param, timezone

from alma_airflow.operators.file_jobs import ChunkStep
from alma_etl.bibs.job import LOCK_WAIT, BibImport
from alma_etl.bibs.profiles import LONGEST_LOCK

_BY_DAG_TEST = (
    "dag_test"  # who starts a run by `airflow dags test`: it runs triggers itself, one after the other
)


class LoadBibs(ChunkStep):
    """Writes the records of a chunk, then tries those again whose titles were locked, for `lock_wait_minutes`.

    Between the tries it leaves worker and pool to others: the triggerer waits. The other records are written before the
    first wait and are not touched after it. A task that is cleared or retried begins with all that is not done, and
    waits again. `airflow dags test` does not wait.
    """

    job: BibImport

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"step": "load", **kwargs})
        self._since: datetime | None = None  # the end of the first try

    def work(self, context: Context) -> Any:
        number, given = int(self.chunk["number"]), self.job_context(context)
        step = self.step if self._since is None else "load_locked"
        counts = self.job.chunk_step(step, given, number)
        if context["dag_run"].triggering_user_name == _BY_DAG_TEST:
            return counts
        since = self._since or timezone.utcnow()
        wait = self.job.wait_for_locks(given, number, timezone.utcnow() - since)
        if wait is not None:
            self.log.info("Titles are locked: their records are tried again in %d s", wait.total_seconds())
            self.defer(
                trigger=TimeDeltaTrigger(wait), method_name="look_again", kwargs={"since": since.isoformat()}
            )
        return counts

    def look_again(self, context: Context, event: Any = None, *, since: str) -> Any:
        """Called by Airflow after a wait."""
        self._since = datetime.fromisoformat(since)
        return self.execute(context)


def lock_wait_param() -> dict[str, Param]:
    """Return the Param of the form by which a run waits longer or shorter than its profile says."""
    return {
        LOCK_WAIT: Param(
            None,
            type=["null", "integer"],
            title="Minutes for locked titles",
            description="How long a record is tried again whose title somebody has open in Alma; 0: it is reported at "
            "once. Empty: as the profile says.",
            minimum=0,
            maximum=LONGEST_LOCK,
        )
    }
