"""`python -m local.suite quick|test|stacks|nightly`: run the tests that belong to the make target of this name.

Every test belongs to exactly one of `test`, `stacks`, `third-party` and `nightly`; `quick` takes the fast ones and
what is marked `quick`. Markers decide; tests/conftest.py sets those of whole folders. Further arguments go to pytest.
"""

import os
import subprocess
import sys

from .settings import ROOT

APART = ("stacks", "third_party", "nightly")
"""Markers of the tests that `make test` leaves to targets of their own."""
_NOT_APART = " and ".join(f"not {marker}" for marker in APART)
SELECTIONS = {
    "test": _NOT_APART,
    "quick": f"quick or ({_NOT_APART} and not heavy)",
    "stacks": "stacks",
    "third-party": "third_party and not stacks",
    "nightly": "nightly and not stacks and not third_party",
}


def command(target: str) -> list[str]:
    """The command that runs the tests of a target."""
    return [sys.executable, "-m", "pytest", "-m", SELECTIONS[target], *_options(target)]


def _options(target: str) -> list[str]:
    """One worker more than cores, since the tests of `test` often wait for a server; whole stacks run one by one.

    A file stays in one worker: most fixtures that take long are a module's.
    """
    cores = os.cpu_count() or 1
    spread = ["--dist", "loadfile", "--no-loadscope-reorder"]
    if target in ("test", "nightly"):
        return ["-n", str(cores + 1), *spread, "--durations", "15"]
    if target == "quick":
        return ["-q", "-n", str(cores), *spread]
    return ["--durations", "15"]


def environment() -> dict[str, str]:
    """The environment of the tests. Python keeps what it compiled: else each worker, and each server that a test
    starts, compiles everything again, which is a third of `make quick`."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def main(arguments: list[str]) -> int:
    """Run the tests of a target; pytest's exit code, or 2 for a target that does not exist."""
    if not arguments or arguments[0] not in SELECTIONS:
        print(f"Usage: python -m local.suite {'|'.join(SELECTIONS)} [PYTEST_ARGUMENT...]", file=sys.stderr)
        return 2
    whole = [*command(arguments[0]), *arguments[1:]]
    return subprocess.run(whole, cwd=ROOT, env=environment(), check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
