"""`make up` and `make down`: a stack in the background, in `.local/stack`, with its logs in `.local/logs`.

`python -m local.daemon START` is the background process itself: it starts the stack, says so in `state.json`, and
supervises until SIGTERM. Three files keep several processes apart: `lock` is held by the background process,
`command.lock` by `make up` and `make down` while they work, and `state.json` belongs to one start.
"""

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep
from types import FrameType

import psutil

from .answering import silent_parts
from .first_runs import mark_new, start_in_background, take_mark
from .folders import write_private
from .ownership import FolderLock, end_leftovers, mark
from .ports import PortTakenError
from .process import StartFailedError
from .settings import LOCAL, ROOT, SettingError, Settings
from .shell import shell_environment
from .stack import OWN_LOG, Addresses, Stack

FOLDER = LOCAL / "stack"
LOGS = LOCAL / "logs"
STATE = FOLDER / "state.json"
LOG = LOGS / OWN_LOG
ENVIRONMENT = LOCAL / "env"
DOWN_SECONDS = 90.0
COMMAND_SECONDS = 600.0
ANSWER_SECONDS = 60.0


class StoppedError(BaseException):
    """SIGTERM, SIGINT or SIGHUP: end in order."""

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.exit_code = 128 + number


@contextlib.contextmanager
def stopping_in_order() -> Iterator[None]:
    """Turns the signals that ask to end into StoppedError, once: what ends then is not disturbed again."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

    def stop(number: int, _frame: FrameType | None) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise StoppedError(number)

    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run(start: str) -> int:
    """The background process. Ends with 0 when it was asked to, with 1 when the stack did not start.

    `start` names this start: `make up` takes the addresses of no other for its own.
    """
    lock = FolderLock(FOLDER)
    if not lock.take():
        say("Another `make up` of this checkout is running.")
        return 1
    _forget()
    settings = Settings.read()
    mark_new(FOLDER)
    stack = Stack(FOLDER, LOGS, settings, say, own_dags=settings.own_dags)
    try:
        with stopping_in_order():
            try:
                addresses = stack.start()
                write_private(ENVIRONMENT, shell_environment(addresses, stack.environment))
                write_private(STATE, json.dumps({"start": start, "addresses": dataclasses.asdict(addresses)}))
                if take_mark(FOLDER) and not settings.empty:
                    start_in_background(addresses, stack.api(), say)
                while True:
                    stack.supervisor.look()
                    sleep(0.5)
            except StoppedError as stopped:
                say(f"Stopping: {stopped}.")
            finally:
                _forget()
                stack.stop()
    except (StartFailedError, PortTakenError) as error:
        say(str(error))
        return 1
    say("Stopped.")
    return 0


def say(line: str) -> None:
    """One line, with the time, for the log of the background process."""
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}Z {line}", flush=True)


def up() -> int:
    """Starts the stack unless it runs, and prints where it answers, once all of it does."""
    Settings.read()
    for folder in (FOLDER, LOGS):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    command = FolderLock(FOLDER, "command.lock")
    if not command.take():
        print(
            "Another `make up` or `make down` of this checkout is under way: waiting for its end ...",
            flush=True,
        )
        if not command.take(wait=COMMAND_SECONDS):
            print(f"It has not ended within {COMMAND_SECONDS:g} s. Try again later.", file=sys.stderr)
            return 1
    try:
        if FolderLock(FOLDER).holder() is not None:
            return _already_up()
        return _start()
    finally:
        command.release()


def _start() -> int:
    _forget()
    if left := end_leftovers(FOLDER):
        print(f"Ended {left} processes that an earlier start left behind.")
    print(f"Starting the local stack; its logs are in {_shown(LOGS)} ...", flush=True)
    if LOG.exists():
        LOG.replace(LOG.with_suffix(".log.1"))
    start = uuid.uuid4().hex
    with LOG.open("ab") as output:
        background = subprocess.Popen(
            [sys.executable, "-m", "local.daemon", start],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env={**os.environ, **mark(FOLDER)},
            start_new_session=True,
        )
    shown = 0
    try:
        while (addresses := read_state(start)) is None and background.poll() is None:
            shown = _show_progress(shown)
            sleep(0.2)
    except KeyboardInterrupt:
        background.terminate()
        background.wait()
        print("Interrupted: stopped again.")
        return 130
    _show_progress(shown)
    if addresses is None or background.poll() is not None:
        print(f"The local stack did not start. See above, and the logs in {_shown(LOGS)}.", file=sys.stderr)
        return 1
    return _print_addresses(addresses)


def down() -> int:
    """Stops the stack, and whatever a killed one left behind; only processes that it started."""
    stopped = _stop_background()
    command = FolderLock(FOLDER, "command.lock")
    if not command.take(wait=COMMAND_SECONDS):
        print("A `make up` of this checkout has not ended. Interrupt it, then try again.", file=sys.stderr)
        return 1
    try:
        stopped |= _stop_background()  # a `make up` that had only begun has started it meanwhile
        left = end_leftovers(FOLDER)
        _forget()
    finally:
        command.release()
    if left:
        print(f"Ended {left} processes that were left behind.")
    print("Stopped." if stopped or left else "Nothing is running.")
    return 0


def _stop_background() -> bool:
    background = FolderLock(FOLDER).holder()
    if background is None:
        return False
    print("Stopping the local stack ...", flush=True)
    with contextlib.suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
        background.terminate()
        background.wait(DOWN_SECONDS)
    return True


def _already_up() -> int:
    addresses = read_state()
    if addresses is None:
        print("The local stack is just starting or stopping: try again in a minute.", file=sys.stderr)
        return 1
    print("The local stack is running already.")
    return _print_addresses(addresses)


def _forget() -> None:
    """Removes what is true of one start alone."""
    STATE.unlink(missing_ok=True)
    ENVIRONMENT.unlink(missing_ok=True)


def read_state(start: str | None = None) -> Addresses | None:
    """The addresses that the background process wrote down, None where there are none; `start`: of this start alone."""
    try:
        state = json.loads(STATE.read_text())
        if start is not None and state["start"] != start:
            return None
        return Addresses(**state["addresses"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _print_addresses(addresses: Addresses) -> int:
    """1 where something of it does not answer; then that is said too."""
    deadline = monotonic() + ANSWER_SECONDS
    while (silent := silent_parts(addresses)) and monotonic() < deadline:
        sleep(1)
    print(
        f"""
  Airflow    {addresses.ui}    user {addresses.user}, password {addresses.password}
  Overview   {addresses.ui}/alma/    what the jobs did; the same login, and Alma in Airflow's navigation
  S3 server  {addresses.s3}    bucket {addresses.bucket}, its page {addresses.s3_page}
             page: user admin, password {addresses.s3_page_password}
             access key {addresses.s3_access_key}, secret key {addresses.s3_secret_key}
  Sandbox    {addresses.sandbox}    a pretend Alma; API key {addresses.sandbox_key}
  Borrower   {addresses.borrower}    a second one, to lend to; API key {addresses.borrower_key}
  Logs       {_shown(Path(addresses.logs))}
  Shell      . {_shown(ENVIRONMENT)}    for airflow, aws and python -m alma_etl.dcb

`make down` stops it; its data and its ports stay.
"""
    )
    for part in silent:
        print(f"{part} Its log is in {_shown(LOGS)}.", file=sys.stderr)
    return 1 if silent else 0


def _show_progress(shown: int) -> int:
    """Prints what the background process has written since; returns how much has been shown."""
    lines = LOG.read_text(errors="replace").splitlines()
    for line in lines[shown:]:
        print("  " + line.partition("Z ")[2] if line[:2] == "20" else "  " + line, flush=True)
    return len(lines)


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


if __name__ == "__main__":
    try:
        sys.exit(run(sys.argv[1]))
    except SettingError as error:
        say(str(error))
        sys.exit(1)
