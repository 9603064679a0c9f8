"""`make demo`: the whole thing once, from an empty folder to a delivered file; then everything is stopped again.

It works in `.local/demo-stack`, which it empties first, on ports of its own, so that it runs beside `make up`.
What was delivered stays in `.local/demo`.
"""

import os
import shutil
import sys
from collections.abc import Callable
from time import monotonic

from .airflow_api import AirflowRefusedError
from .daemon import StoppedError, stopping_in_order
from .demo_bibs import bib_file, drop_bibs
from .demo_dcb import patron_request
from .demo_items import item_file, update_file
from .demo_tools import Demo, DemoFailedError, shown
from .demo_west import west_holdings
from .ownership import FolderLock, end_leftovers, mark
from .ports import PortTakenError
from .process import StartFailedError
from .s3 import s3_client
from .settings import LOCAL, Settings
from .stack import Stack

FOLDER = LOCAL / "demo-stack"
LOGS = LOCAL / "demo-stack" / "logs"
DELIVERED = LOCAL / "demo"

STEPS: tuple[Callable[[Demo], None], ...] = (
    west_holdings, drop_bibs, item_file, update_file, bib_file, patron_request,
)  # fmt: skip


def run() -> int:
    """The exit code: 0 when every step did what it shows, 1 when one did not, 128 + n after signal n."""
    settings = Settings.read()
    lock = FolderLock(FOLDER)
    if not lock.take():
        print("Another `make demo` of this checkout is running: wait for its end.", file=sys.stderr)
        return 1
    end_leftovers(FOLDER)
    for entry in FOLDER.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
    shutil.rmtree(DELIVERED, ignore_errors=True)
    os.environ.update(mark(FOLDER))
    stack = Stack(FOLDER, LOGS, settings, say, usual_ports=False)
    code = 0
    try:
        with stopping_in_order():
            try:
                _steps(stack)
            except (DemoFailedError, AirflowRefusedError, StartFailedError, PortTakenError) as error:
                print(f"\nThe demo failed. {error}\nAll logs: {shown(LOGS)}", file=sys.stderr)
                code = 1
            except StoppedError as stopped:
                print(f"\nThe demo was {stopped}.", file=sys.stderr)
                code = stopped.exit_code
            finally:
                say("\nStopping everything ...")
                stack.stop()
                end_leftovers(FOLDER)
    finally:
        lock.release()
    if code == 0:
        say(
            f"Done. What was delivered is in {shown(DELIVERED)}. `make up` keeps such a stack running, with its UI."
        )
    return code


def _steps(stack: Stack) -> None:
    begun = monotonic()
    addresses = stack.start()
    s3 = s3_client(addresses.s3, addresses.s3_access_key, addresses.s3_secret_key)
    demo = Demo(stack, addresses, stack.api(), s3, DELIVERED, say, begun)
    say(
        f"Until its end, the pages of the demo are at {addresses.ui}/alma/ "
        f"(user {addresses.user}, password {addresses.password})."
    )
    for step in STEPS:
        step(demo)
    demo.api.close()


def say(line: str) -> None:
    print(line, flush=True)
