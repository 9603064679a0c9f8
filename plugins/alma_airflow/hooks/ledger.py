"""The ledger as the tasks of a run write it.

An error of the ledger at the start of a task, in a failure callback, or while calls are counted is logged as a warning
and the task goes on: its work and its own error matter more. Results and the end of a run are not given up silently:
what cannot be kept fails the task that would keep it.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from airflow.sdk import Context, get_current_context
from pydantic import ValidationError
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from alma_airflow.hooks.store import STORE_CONN_ID, find_connection, open_bucket, store_url
from alma_etl.counted import counted
from alma_etl.errors import InputProblem
from alma_etl.jobs.ledger import About, Ledger, Results
from alma_etl.jobs.ledger_purge import Purge, Retention
from alma_etl.jobs.ledger_reading import Attention, FileState, FileVersion, RunKey, RunState
from alma_etl.jobs.settings_files import sentence_of
from alma_etl.remote.meter import CallMeter
from alma_etl.store.db import StoreUnavailable

_EVERY = 60.0  # seconds after which the calls of a task that still runs are kept
_log = logging.getLogger(__name__)


@contextmanager
def open_ledger(url: str | None = None) -> Iterator[Ledger]:
    """The ledger in the state store, closed when the block ends."""
    ledger = Ledger(url or store_url())
    try:
        yield ledger
    finally:
        ledger.close()


def run_key(context: Context) -> RunKey:
    """The run that a task belongs to."""
    run = context["dag_run"]
    return RunKey(run.dag_id, run.run_id)


class RunLedger:
    """The ledger's side of one task attempt."""

    def __init__(self, key: RunKey, about: About) -> None:
        self.key = key
        self.about = about
        self._attempt: int | None = None

    def begin(self) -> None:
        """The task begins."""
        with _warned("that this task began"), open_ledger() as ledger:
            self._attempt = ledger.begin(self.key, self.about)

    def note(self, **about: str | bool) -> None:
        """How far the run is (`headline`), or what it turned out to be about (`subject`, `institution`, `dry_run`)."""
        with _warned("what the run is about"), open_ledger() as ledger:
            ledger.note(self.key, **about)  # type: ignore[arg-type]

    def replace(self, results: Results) -> None:
        """The results of the run, in place of those of earlier attempts. Raises StoreUnavailable or StoreRefused."""
        with open_ledger() as ledger:
            ledger.replace(self.key, results, self._number(ledger))

    @contextmanager
    def keeping(self, results: Callable[[], Results]) -> Iterator[None]:
        """Keep the results when the block ends, however it does; an error of the ledger does not hide one of the
        block."""
        try:
            yield
        except Exception:
            with _warned("what the run came to"):
                self.replace(results())
            raise
        self.replace(results())

    @retry(
        retry=retry_if_exception_type(StoreUnavailable),
        stop=stop_after_delay(timedelta(seconds=30)),
        wait=wait_fixed(2),
        reraise=True,
    )
    def finish(self, state: RunState, headline: str) -> None:
        """The run has ended well, or has nothing to do. Raises StoreUnavailable or StoreRefused."""
        with open_ledger() as ledger:
            ledger.finish(self.key, state, headline, self._number(ledger))

    def fail(self, attention: Attention, *, last: bool) -> None:
        """The task failed; `last`: and the run with it."""
        with _warned("that this task failed"), open_ledger() as ledger:
            ledger.fail(self.key, attention, self._attempt, last=last, about=self.about)

    def take_file(self, file: FileVersion, *, start: bool) -> None:
        """The run reads this version of a file. ``start``: and is to load it, as a dry run is not."""
        with _warned(f"that the run began with {file.key}"), open_ledger() as ledger:
            if start:
                ledger.start(file, self.key)
            else:
                ledger.arrive(file)

    def end_file(self, key: str, version: str, state: FileState, filed_key: str = "") -> None:
        """What became of the file. Raises StoreUnavailable or StoreRefused."""
        with open_ledger() as ledger:
            ledger.move(key, version, state, run=self.key, filed_key=filed_key)

    def _number(self, ledger: Ledger) -> int:
        if self._attempt is None:  # the store was not there when the task began
            self._attempt = ledger.begin(self.key, self.about)
        return self._attempt


def note_arrivals(files: list[FileVersion]) -> None:
    """Files have arrived. A file that could not be noted gets its row from its run."""
    with _warned("which files arrived"), open_ledger() as ledger:
        for file in files:
            ledger.arrive(file)


@contextmanager
def counted_calls(conn_id: str) -> Iterator[CallMeter]:
    """A meter for the client of a connection: its counts are kept once a minute and when the block ends, under the run
    of the task that this is called in, if any."""
    meter, keep, over = CallMeter(), _keeper(conn_id), threading.Event()

    def keep_each_minute() -> None:
        while not over.wait(_EVERY):
            keep(meter)

    thread = threading.Thread(target=keep_each_minute, name=f"calls of {conn_id}", daemon=True)
    thread.start()
    try:
        yield meter
    finally:
        over.set()
        thread.join()
        keep(meter)


def _keeper(conn_id: str) -> Callable[[CallMeter], None]:
    url = store_url()  # here, since connections are asked for in the task's own thread
    try:
        key = run_key(get_current_context())
    except RuntimeError:  # not in a task: a page, a trigger
        key = RunKey("", "")

    def keep(meter: CallMeter) -> None:
        counts = meter.take()
        if not counts:
            return
        try:
            with open_ledger(url) as ledger:
                ledger.add_calls(key, conn_id, counts)
        except Exception as problem:  # noqa: BLE001 - the task's work goes on
            meter.give_back(counts)
            _log.warning(
                "The ledger could not keep %s of %s: %s", counted(counts.sent, "call"), conn_id, problem
            )

    return keep


def retention() -> Retention:
    """How long things are kept, by the extra of the store's connection. Raises InputProblem."""
    connection = find_connection(STORE_CONN_ID)
    extra = {} if connection is None else connection.extra_dejson
    try:
        return Retention.model_validate(extra)
    except ValidationError as error:
        raise InputProblem(
            f"The extra of the connection {STORE_CONN_ID} cannot be used: {sentence_of(error, Retention)}"
        ) from error


def purge_once_a_day() -> None:
    """Drop what is past its time, unless somebody did within a day. To be called by the last task of a run."""
    with _warned("what is no longer to be kept"):
        purge = Purge(store_url())
        try:
            if purge.take_on():
                purge.purge(retention(), open_bucket())
        finally:
            purge.close()


@contextmanager
def _warned(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as problem:  # noqa: BLE001 - the task's work goes on
        _log.warning("The ledger could not note %s: %s", what, problem)
