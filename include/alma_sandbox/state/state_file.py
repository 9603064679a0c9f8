"""A file that keeps the state of a sandbox or a consortium over its restarts (``--state FILE``).

Written while calls come in, a second after the first of them at the latest (or after twenty times what the last
writing took), and at an orderly end. What a kill in between loses is what the last calls changed; the ids that they
were given are not given again.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from alma_sandbox.http.server import run_app
from alma_sandbox.state import kept

VERSION = 1
RESERVE = 10_000
"""Ids of each kind that are left out after a kill; the file is written again before so many were handed out."""
IDS_A_SECOND = 20
"""More than a sandbox hands out on average: so far do ids go on that cannot be known from a file."""
PAUSE_S = 1.0
SHARE = 20  # of the time, one part at most is spent on writing
_CATALOGUE = ("seed", "institution", "suffix")
"""The settings that make ids mean other records: a state of another catalogue is of no use."""


class StateFileInUse(Exception):
    """Another running sandbox writes this file."""


class StateFile:
    """The state file of one running world. ``said`` collects the sentences for its user."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._state: dict[str, Any] | None = None
        self._skip = 0
        self._world: kept.World | None = None
        self._touched = False
        self._last = b""
        self._taken = 0
        self._took = 0.0
        self._complained = False
        self.said: list[str] = []

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep others from the file. Raises StateFileInUse, and OSError where the folder cannot be written."""
        with self._beside(".lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise StateFileInUse(f"{self._path} is the state of another sandbox that runs") from error
            yield

    def read(self, given: Any) -> Any:
        """Read the file; the settings to start with: those given, but never fewer titles than the state has."""
        try:
            document = _parsed(self._path.read_bytes())
        except FileNotFoundError:
            return given
        except (OSError, ValueError) as error:
            self._set_aside(str(error))
            return given
        old = document["state"]["settings"]["given"]
        other = [name for name in _CATALOGUE if getattr(given, name, None) != old.get(name)]
        if other:
            was = ", ".join(f"{name} {old.get(name)}" for name in other)
            self._set_aside(f"it is of another catalogue ({was})")
            return given
        self._state = document["state"]
        self._skip = 0 if document.get("ended") else RESERVE
        if (titles := old.get("titles")) and titles > given.titles:
            self.said.append(
                f"{self._path} is the state of {titles} titles: so many hold, not {given.titles}."
            )
            return given.model_copy(update={"titles": titles})
        return given

    def put_into(self, world: kept.World) -> None:
        """Give a fresh world the state that was read, and write it from now on."""
        self._world = world
        if self._state is not None:
            try:
                kept.restore(world, self._state)
            except ValueError as error:
                self._set_aside(f"it is damaged ({error})")
        kept.skip_numbers(world, self._skip)
        self.save()

    def around(self, app: ASGIApp) -> ASGIApp:
        """The application, with a note of every call."""

        async def noting(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await app(scope, receive, send)
            finally:
                self._touched = True
                if self._world is not None and kept.numbers_taken(self._world) - self._taken > RESERVE // 2:
                    self.save()

        return noting

    async def keep(self) -> None:
        """Write what calls changed, until this is cancelled."""
        while True:
            await asyncio.sleep(max(PAUSE_S, self._took * SHARE))
            if self._touched:
                self._touched = False
                self.save()

    def save(self, *, ended: bool = False) -> None:
        """Write the state now; ``ended``: in an orderly end, after which no id is handed out."""
        assert self._world is not None
        begun = time.monotonic()
        document = {"version": VERSION, "ended": ended, "state": kept.dump(self._world)}
        content = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        self._taken = kept.numbers_taken(self._world)
        if content != self._last:
            try:
                self._write(content)
                self._last = content
            except OSError as error:
                if not self._complained:
                    self._complained = True
                    _say(f"The state cannot be written to {self._path}: {error.strerror}. It is tried again.")
        self._took = time.monotonic() - begun

    def _write(self, content: bytes) -> None:
        new = self._beside(".new")
        with contextlib.suppress(FileNotFoundError):
            new.unlink()
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._path)

    def _beside(self, ending: str) -> Path:
        return self._path.with_name(self._path.name + ending)

    def _set_aside(self, why: str) -> None:
        """Begin with a fresh state, and keep the file that cannot be used.

        Other systems remember the ids of before, so later ones are given: by the clock, as nobody knows which were.
        """
        aside = self._beside(f".{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.unused")
        try:
            self._path.replace(aside)
            where = f"it was kept as {aside.name}"
        except OSError as error:
            where = f"it could not be kept ({error.strerror})"
        self.said.append(
            f"{self._path} cannot be used: {why}. This start begins with a fresh state; {where}."
        )
        self._skip = int(time.time() * IDS_A_SECOND)


def _parsed(content: bytes) -> dict[str, Any]:
    """The document in a file. ValueError for what this version did not write."""
    try:
        document = json.loads(content)
        version = document["version"]
        document["state"]["settings"]["given"].items()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("it is damaged, or no state of a sandbox") from error
    if version != VERSION:
        raise ValueError(f"it was written by another version ({version}, not {VERSION})")
    assert isinstance(document, dict)
    return document


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def run(
    given: Any, path: Path, create_app: Callable[[Any], Starlette], port: int, ready: Callable[[str], None]
) -> None:
    """Serve an application whose state lies in ``path``, as ``server.run`` does without.

    OSError when the port is taken or the file cannot be read, StateFileInUse when another sandbox uses it.
    """
    file = StateFile(path.absolute())
    with file.locked():
        app = create_app(file.read(given))
        file.put_into(getattr(app.state, "sandbox", None) or app.state.consortium)
        run_app(file.around(app), port, ready, file)


def problem(error: OSError, port: int, path: Path | None) -> str:
    """The line that says what kept a server from its start: its port, or its state file."""
    if path is not None and error.filename is not None:
        return f"--state: {path} cannot be used: {error.strerror}\n"
    return f"cannot listen on port {port}: {error.strerror}; choose another or --port 0\n"
