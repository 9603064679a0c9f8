"""Keeps the parts of a stack running: what ends is started again, after a pause that grows while it keeps ending."""

from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

from .process import Process, StartFailedError, tail

LONGEST_PAUSE = 60.0
STEADY_AFTER = 120.0
"""Seconds: a part that ran this long starts again at once when it ends."""


@dataclass
class Supervised:
    """One supervised part: how it is started, and its process while it runs. Higher layers end first."""

    name: str
    start: Callable[[], Process]
    layer: int = 0
    process: Process | None = None
    endings: int = 0
    started_at: float = 0.0
    again_at: float = 0.0


@dataclass
class Supervisor:
    """`say` gets one line for everything that a person should find in the log."""

    say: Callable[[str], None]
    clock: Callable[[], float] = monotonic
    parts: list[Supervised] = field(default_factory=list)

    def add(self, name: str, start: Callable[[], Process], layer: int = 0) -> Process:
        """Starts a part and watches it from now on. Raises what `start` raises."""
        process = start()
        self.parts.append(Supervised(name, start, layer, process, started_at=self.clock()))
        return process

    def check_started(self) -> None:
        """Raises StartFailedError if a part has ended: while the stack starts, that is a fault to report."""
        for part in self.parts:
            if part.process is not None and (code := part.process.exit_code()) is not None:
                raise StartFailedError(
                    f"{part.process.name} ended with exit code {code}. The end of its log ({part.process.log}):\n"
                    f"{tail(part.process.log)}"
                )

    def look(self) -> None:
        """Looks at each part once: takes note of those that ended and starts those whose pause is over."""
        for part in self.parts:
            if part.process is not None:
                self._note_end(part, part.process)
            if part.process is None and self.clock() >= part.again_at:
                self._start_again(part)

    def stop(self) -> None:
        """Ends all parts, layer by layer, those of one layer together."""
        running = [(part.layer, part.process) for part in self.parts if part.process is not None]
        self.parts.clear()
        for layer in sorted({layer for layer, _ in running}, reverse=True):
            processes = [process for its_layer, process in running if its_layer == layer]
            for process in processes:
                process.ask_to_stop()
            for process in processes:
                process.stop()

    def _note_end(self, part: Supervised, process: Process) -> None:
        code = process.exit_code()
        if code is None:
            return
        part.process = None
        steady = self.clock() - part.started_at >= STEADY_AFTER
        self._pause(
            part, 1 if steady else part.endings + 1, f"ended with exit code {code} (log: {process.log})"
        )

    def _start_again(self, part: Supervised) -> None:
        try:
            part.process = part.start()
        except StartFailedError as error:
            self._pause(part, part.endings + 1, f"could not be started again: {error}")
            return
        part.started_at = self.clock()
        self.say(f"{part.name}: started again")

    def _pause(self, part: Supervised, endings: int, what: str) -> None:
        part.endings = endings
        pause = min(LONGEST_PAUSE, 2.0 ** (endings - 1))
        part.again_at = self.clock() + pause
        self.say(f"{part.name}: {what}; starting it again in {pause:.0f} s")
