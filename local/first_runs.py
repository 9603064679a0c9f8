"""What `make up` starts by itself in a new folder: one delivery, one item load and one import, so
that the pages show something."""

import threading
from collections.abc import Callable
from pathlib import Path

import requests
from botocore.exceptions import BotoCoreError, ClientError

from .airflow_api import AirflowApi, AirflowRefusedError, DagsNotKnownError
from .demo_bibs import RECORDS, books
from .demo_items import DROPPED, gifts, some_titles
from .s3 import s3_client
from .stack import Addresses

_MARK = "new"
_DAGS = ("west_holdings", "file_intake", "item_creation", "bib_import")


def mark_new(folder: Path) -> None:
    """Remembers that nothing has run in the stack's folder yet; called before a start.

    The mark outlives starts that fail. A folder with a database and without the mark has been used: there a connection
    may lead to a real Alma, for which nothing is started unasked.
    """
    if not (folder / "postgres").exists():
        (folder / _MARK).touch()


def take_mark(folder: Path) -> bool:
    """Whether the folder is new; it is not, once this has been asked."""
    try:
        (folder / _MARK).unlink()
    except FileNotFoundError:
        return False
    return True


def start_in_background(
    addresses: Addresses, api: AirflowApi, say: Callable[[str], None]
) -> threading.Thread:
    """Starts them once Airflow knows the DAGs. What does not work is said, and stops nothing."""
    thread = threading.Thread(
        target=start_first_runs, args=(addresses, api, say), name="first runs", daemon=True
    )
    thread.start()
    return thread


def start_first_runs(addresses: Addresses, api: AirflowApi, say: Callable[[str], None]) -> None:
    """Waits for the DAGs, triggers the delivery and drops the files."""
    try:
        api.wait_for_dags(_DAGS)
        api.trigger("west_holdings", {})
        s3 = s3_client(addresses.s3, addresses.s3_access_key, addresses.s3_secret_key)
        s3.put_object(Bucket=addresses.bucket, Key=DROPPED, Body=gifts(some_titles(addresses)))
        s3.put_object(Bucket=addresses.bucket, Key=RECORDS, Body=books(addresses))
    except (
        DagsNotKnownError,
        AirflowRefusedError,
        requests.RequestException,
        BotoCoreError,
        ClientError,
    ) as problem:
        say(f"The first runs could not be started: {problem}")
        return
    finally:
        api.close()
    say(
        f"Started a delivery, and dropped {DROPPED} and {RECORDS}: {addresses.ui}/alma/ shows what becomes of them."
    )
