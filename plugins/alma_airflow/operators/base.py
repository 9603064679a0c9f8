"""What all operators of this package share."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowFailException

from alma_etl.alma.errors import AlmaStop, AlmaUnreachable
from alma_etl.errors import RunStopped


class EtlOperator(BaseOperator):
    """Runs one function of the domain, and tells Airflow which of its errors a retry cannot mend.

    Subclasses write `work`. Bad input, a shut gate, a wrong key and a used-up daily allowance fail the task at
    once, with their sentence as the last line of the log; anything else is retried as the DAG says.
    """

    def work(self, context: Context) -> Any:
        """What the task does; a small value (a key, a count) may come back."""
        raise TypeError(f"{type(self).__name__} has no work to do")

    def execute(self, context: Context) -> Any:
        """Called by Airflow."""
        with errors_for_airflow():
            return self.work(context)


@contextmanager
def errors_for_airflow() -> Iterator[None]:
    """Fails the task without a retry for an error that no retry can mend."""
    try:
        yield
    except AlmaUnreachable:
        raise
    except (RunStopped, AlmaStop) as problem:
        raise AirflowFailException(str(problem)) from problem


def unsuccessful_tasks(context: Context) -> dict[str, str]:
    """The tasks of this run that ended without success, by id, with their states; mapped ones with their index."""
    ti, run = context["ti"], context["dag_run"]
    states = ti.get_task_states(dag_id=run.dag_id, run_ids=[run.run_id]).get(run.run_id, {})
    return {task: str(state) for task, state in states.items() if state in ("failed", "upstream_failed")}
