"""What all operators of this package share."""

import logging
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowRuntimeError,
    AirflowTaskTimeout,
)
from airflow.sdk.log import redact

from alma_airflow.hooks.alma import AlmaHook
from alma_airflow.hooks.ledger import RunLedger, purge_once_a_day, run_key
from alma_etl.errors import RunStopped
from alma_etl.jobs.ledger import About
from alma_etl.jobs.ledger_reading import Attention
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

    Those of a `ledger_job` keep a row of the run in the ledger: from the start of each task on, with its failure and
    what to do about it. The last task, which always runs (`ends_run`), ends the row and drops what is past its time.
    """

    ledger_job: str = ""
    """The job's word in the ledger; "" keeps no row."""
    ends_run: bool = False
    quotes_errors: ClassVar[bool] = True
    """Whether the ledger may keep what an error says: not where it may name a patron."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if self.ledger_job:  # before the sentence, which is to be the last line of the log
            self.on_failure_callback = [*self.on_failure_callback[:-1], note_failure, say_why]

    def work(self, context: Context) -> Any:
        """What the task does; may return a small value (a key, a count)."""
        raise TypeError(f"{type(self).__name__} has no work to do")

    def about(self, context: Context) -> About:
        """What the run is about, as far as its form and its connection say."""
        run = context["dag_run"]
        try:
            institution = self.institution()
        except Exception as problem:  # noqa: BLE001 - the work itself will say it, with what to do
            _log.debug("The institution is not known: %s", problem)
            institution = ""
        return About(
            self.ledger_job,
            self.subject(context),
            institution,
            bool(context["params"].get("dry_run")),
            run.triggering_user_name or "",
        )

    def subject(self, context: Context) -> str:
        """What the run works on: a set, a file, a request; "" where nothing in particular."""
        return ""

    def institution(self) -> str:
        """The institution's code, else the host of its gateway; "" where that is not known."""
        conn_id = getattr(self, "alma_conn_id", "")
        return AlmaHook(conn_id).gateway() if conn_id else ""

    def headline(self, result: Any) -> str:
        """The sentence about a run that ended well, from what its last task returned."""
        return str(result or "")

    def execute(self, context: Context) -> Any:
        if not self.ledger_job:
            with errors_for_airflow():
                return self.work(context)
        self.ledger = self._begun(context)
        try:
            with errors_for_airflow():
                result = self.work(context)
                if self.ends_run:
                    self.ledger.finish("done", self.headline(result))
                return result
        finally:
            if self.ends_run:
                purge_once_a_day()

    def _begun(self, context: Context) -> RunLedger:
        ledger = RunLedger(run_key(context), self.about(context))
        ledger.begin()
        _begun[str(context["ti"].id)] = ledger
        return ledger


_begun: dict[str, RunLedger] = {}
"""The ledger of the task attempt of this process, for its callbacks."""


def note_failure(context: Context) -> None:
    """Keep in the ledger that a task failed, why, and what to do."""
    ledger = _begun.pop(str(context["ti"].id), None)
    task = context["task"]
    kind = getattr(task, "operator_class", type(task))  # of a mapped task that never began
    job = ledger.about.job if ledger else getattr(task, "ledger_job", "") or getattr(kind, "ledger_job", "")
    if not job:
        return
    ledger = ledger or RunLedger(run_key(context), About(job))
    error = context.get("exception")
    sentence = sentence_of(error, context) if kind.quotes_errors else ""
    attention = Attention(
        what=sentence or f"The task {task.task_id} failed ({type(error).__name__})",
        what_to_do=f"Fix the cause, then clear {task.task_id} and the tasks after it: the run goes on from there. The "
        f"log of {task.task_id} says more, docs/runbooks/{job}.md what to look at.",
    )
    ledger.fail(attention, last=getattr(task, "ends_run", kind.ends_run))


@contextmanager
def errors_for_airflow() -> Iterator[None]:
    """Fails the task without a retry for an error that no retry can fix."""
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
