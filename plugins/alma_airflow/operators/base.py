"""What all operators of this package share."""

import logging
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowRuntimeError,
    AirflowTaskTimeout,
)
from airflow.sdk.log import redact

from alma_etl.errors import RunStopped
from alma_etl.remote.errors import RemoteStop, RemoteUnreachable

PROBLEM = "problem"  # the XCom of a failed task, which the run's page shows
_WIDTH = 120
_HEAD = 30  # characters of "[2026-11-29 16:11:51] ERROR - "

_log = logging.getLogger(__name__)


class KnownErrors(BaseOperator):
    """First base of operators and sensors: what made one fail is the end of its log, and stands on the run's page."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # After the callbacks of the DAG's author, so that the sentence is the last line whatever they log.
        self.on_failure_callback = [*self.on_failure_callback, say_why]
        self.on_retry_callback = [*self.on_retry_callback, say_why]


def say_why(context: Context) -> None:
    """Log the sentence of a known error as the last line, and keep it for the run's page.

    Airflow logs its traceback before the callbacks, and opens a group that the UI shows folded up.
    """
    sentence = sentence_of(context.get("exception"), context)
    if not sentence:
        return
    try:
        context["ti"].xcom_push(key=PROBLEM, value=sentence)
    except Exception as error:  # noqa: BLE001 - the log is what matters, and Airflow may be what failed
        _log.warning("The reason could not be kept for the run's page: %s", type(error).__name__)
    _log.info("::endgroup::")
    _log.error("%s", _wrapped(sentence))


def _wrapped(sentence: str) -> str:
    """In lines that need no scrolling; the first one stands behind the time and the level. Keys stay whole."""
    wrapper = textwrap.TextWrapper(_WIDTH, break_long_words=False, break_on_hyphens=False)
    first, *others = sentence.splitlines()
    wrapper.initial_indent = " " * _HEAD
    lines = [wrapper.fill(first).lstrip()]
    wrapper.initial_indent = ""
    return "\n".join([*lines, *(wrapper.fill(line) for line in others)])


def sentence_of(error: object, context: Context) -> str:
    """What a known error says, without secrets; "" for any other, whose traceback is all that is known."""
    if isinstance(error, AirflowTaskTimeout):
        return (
            f"The task took longer than its execution_timeout of {context['task'].execution_timeout}: see what it "
            "did last, then clear it, and it goes on from there"
        )
    package = type(error).__module__.partition(".")[0]
    if package in ("botocore", "boto3"):
        return str(redact(f"The bucket cannot be used: {error}")).strip()
    if isinstance(error, AirflowRuntimeError):  # Airflow's own server said no, for example to start a run
        return str(redact(_innermost(error.error.detail)))
    if package == "alma_etl" or isinstance(error, AirflowException):
        return str(redact(str(error))).strip()
    return ""


def _innermost(detail: Any) -> str:
    """The message that lies deepest in what Airflow's server answered."""
    if not isinstance(detail, dict):
        return ""
    return _innermost(detail.get("detail")) or str(detail.get("message") or "")


class EtlOperator(KnownErrors):
    """Runs one function of the domain, and reports to Airflow which of its errors a retry cannot fix.

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
    except RemoteUnreachable:
        raise
    except (RunStopped, RemoteStop) as problem:
        raise AirflowFailException(str(problem)) from problem


def unsuccessful_tasks(context: Context) -> dict[str, str]:
    """The tasks of this run that ended without success, by id, with their states; mapped ones with their index."""
    ti, run = context["ti"], context["dag_run"]
    states = ti.get_task_states(dag_id=run.dag_id, run_ids=[run.run_id]).get(run.run_id, {})
    return {task: str(state) for task, state in states.items() if state in ("failed", "upstream_failed")}
