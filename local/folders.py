"""What every server's folder holds: generated credentials, an environment that stays inside it."""

import importlib.util
import json
import os
import re
import secrets
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from .ports import free_ports
from .process import StartFailedError

START_SECONDS = 60.0
NO_PROXY = "127.0.0.1,localhost,::1"
T = TypeVar("T")


def prepared(folder: Path) -> Path:
    """The folder's absolute path, made if it was not there."""
    folder = Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def credentials(folder: Path, **others: str) -> dict[str, str]:
    """`others` and a `password`, generated at the first start and kept beside the data."""
    path = folder / "credentials.json"
    kept: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    made = {**others, "password": secrets.token_urlsafe(24), **kept}
    if made != kept:
        write_private(path, json.dumps(made))
    return made


def write_private(path: Path, text: str) -> None:
    """Write a file that its owner alone can read: whole, or not at all."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def environment(folder: Path, **more: str) -> dict[str, str]:
    """This process's environment for a child that shall write in `folder` alone.

    Home, caches and temporary files lie in the folder. Nothing that steers Airflow, AWS clients or psql is
    passed on, and no proxy stands before this machine's own addresses.
    """
    foreign = ("AIRFLOW", "ALMA_ETL_", "AWS_", "PG", "XDG_", "PYTEST_")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    return {
        **kept,
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "NO_PROXY": NO_PROXY,
        "no_proxy": NO_PROXY,
        **more,
    }


def reach_this_machine_directly() -> None:
    """Keeps this process's HTTP clients from sending requests for 127.0.0.1 to a proxy of the environment."""
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = NO_PROXY


def script(name: str) -> Path:
    """A program that a wheel put beside this Python."""
    path = Path(sys.executable).parent / name
    if not path.exists():
        raise StartFailedError(f"{path} is missing: run `make venv`, which installs requirements-dev.txt.")
    return path


def wheel_folder(package: str) -> Path:
    """Where a package lies, without importing it (imported, some prepare folders of their own elsewhere)."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise StartFailedError(
            f"The package {package} is missing: run `make venv`, which installs requirements-dev.txt."
        )
    return Path(spec.origin).parent


def on_free_ports(count: int, start: Callable[[list[int]], T], *, asked_for: int | None) -> T:
    """Starts on free ports; when another program was faster to take one of them, once more on others.

    The first port is `asked_for` where that is given; then there is no second attempt.
    """
    attempts = 3
    for attempt in range(1, attempts + 1):
        ports = free_ports(count)
        if asked_for is not None:
            ports[0] = asked_for
        try:
            return start(ports)
        except StartFailedError as error:
            taken = re.search(r"(already|still) in use|not available on", str(error), re.IGNORECASE)
            if not taken or asked_for is not None or attempt == attempts:
                raise
    raise AssertionError("unreachable")
