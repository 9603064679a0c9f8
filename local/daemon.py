"""`make up` and `make down`: a stack in the background, in `.local/stack`, with its logs in `.local/logs`.

`python -m local.daemon` is the background process itself: it starts the stack, says so in `state.json`, and
supervises until SIGTERM.
"""

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from time import sleep
from types import FrameType

import psutil

from .folders import write_private
from .ownership import Lock, end_leftovers, mark
from .ports import PortTakenError
from .process import StartFailedError
from .settings import LOCAL, ROOT, SettingError, Settings
from .stack import OWN_LOG, Addresses, Stack

FOLDER = LOCAL / "stack"
LOGS = LOCAL / "logs"
STATE = FOLDER / "state.json"
LOG = LOGS / OWN_LOG
DOWN_SECONDS = 90.0


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


def run() -> int:
    """The background process. Ends with 0 when it was asked to, with 1 when the stack did not start."""
    lock = Lock(FOLDER)
    if not lock.take():
        tell("Another `make up` of this checkout is running.")
        return 1
    STATE.unlink(missing_ok=True)
    stack = Stack(FOLDER, LOGS, Settings.read(), tell)
    try:
        with stopping_in_order():
            try:
                write_private(STATE, json.dumps(dataclasses.asdict(stack.start())))
                while True:
                    stack.supervisor.look()
                    sleep(0.5)
            except StoppedError as stopped:
                tell(f"Stopping: {stopped}.")
            finally:
                STATE.unlink(missing_ok=True)
                stack.stop()
    except (StartFailedError, PortTakenError) as error:
        tell(str(error))
        return 1
    tell("Stopped.")
    return 0


def tell(line: str) -> None:
    """One line, with the time, for the log of the background process."""
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}Z {line}", flush=True)


def up() -> int:
    """Starts the stack unless it runs, and prints where it answers."""
    Settings.read()
    lock = Lock(FOLDER)
    if lock.holder() is not None:
        return _already_up()
    end_leftovers(FOLDER)
    for folder in (FOLDER, LOGS):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    print(f"Starting the local stack; its logs are in {_shown(LOGS)} ...")
    if LOG.exists():
        LOG.replace(LOG.with_suffix(".log.1"))
    with LOG.open("ab") as output:
        background = subprocess.Popen(
            [sys.executable, "-m", "local.daemon"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env={**os.environ, **mark(FOLDER)},
            start_new_session=True,
        )
    shown = 0
    try:
        while not STATE.exists() and background.poll() is None:
            shown = _show_progress(shown)
            sleep(0.2)
    except KeyboardInterrupt:
        background.terminate()
        background.wait()
        print("Interrupted: stopped again.")
        return 130
    _show_progress(shown)
    if background.poll() is not None:
        print(f"The local stack did not start. See above, and the logs in {_shown(LOGS)}.", file=sys.stderr)
        return 1
    _print_addresses()
    return 0


def down() -> int:
    """Stops the stack, and whatever a killed one left behind; only processes that it started."""
    lock = Lock(FOLDER)
    holder = lock.holder()
    if holder is not None:
        print("Stopping the local stack ...")
        with contextlib.suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
            background = psutil.Process(holder)
            background.terminate()
            background.wait(DOWN_SECONDS)
    left = end_leftovers(FOLDER)
    STATE.unlink(missing_ok=True)
    if left:
        print(f"Ended {left} processes that were left behind.")
    print("Stopped." if holder is not None or left else "Nothing is running.")
    return 0


def _already_up() -> int:
    if not STATE.exists():
        print("The local stack is just starting or stopping: try again in a minute.", file=sys.stderr)
        return 1
    print("The local stack is running already.")
    _print_addresses()
    return 0


def _print_addresses() -> None:
    addresses = Addresses(**json.loads(STATE.read_text()))
    print(
        f"""
  Airflow    {addresses.ui}    user {addresses.user}, password {addresses.password}
  S3 server  {addresses.s3}    bucket {addresses.bucket}, its page {addresses.s3_page}
             page: user admin, password {addresses.s3_page_password}
             access key {addresses.s3_access_key}, secret key {addresses.s3_secret_key}
  Sandbox    {addresses.sandbox}    a pretend Alma; API key {addresses.sandbox_key}
  Borrower   {addresses.borrower}    a second one, to lend to; API key {addresses.borrower_key}
  Logs       {_shown(Path(addresses.logs))}

`make down` stops it.
"""
    )


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
        sys.exit(run())
    except SettingError as error:
        tell(str(error))
        sys.exit(1)
