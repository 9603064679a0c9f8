"""Makes `.venv` with everything of requirements-dev.txt, as constraints.txt froze it, and the project itself.

Standard library only: this runs before anything is installed. With uv where it is present, else with pip. When
nothing has changed since the last time it returns at once. `python local/venv.py constraints` resolves the
requirements, production's too, again and writes constraints.txt.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / ".installed"
CONSTRAINTS = ROOT / "constraints.txt"
DEV = ROOT / "requirements-dev.txt"
PRODUCTION = ROOT / "requirements-production.txt"


class InstallError(RuntimeError):
    """A step of the installation failed; the message says what to do."""


def fingerprint() -> str:
    """Of all that decides what is installed."""
    digest = hashlib.sha256(sys.version.encode())
    for name in ("requirements.txt", "requirements-dev.txt", "constraints.txt", "pyproject.toml"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def run(*command: object) -> None:
    """Runs a command in the checkout; raises InstallError when it fails."""
    words = [str(word) for word in command]
    if subprocess.run(words, cwd=ROOT, check=False).returncode:
        raise InstallError(
            f"This failed: {' '.join(words)}\nSee what it wrote above, then run `make venv` again."
        )


def make_venv(target: Path) -> list[object]:
    """Makes an empty virtual environment; returns the words that begin an install command for it."""
    uv = shutil.which("uv")
    if uv:
        run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, target)
        return [uv, "pip", "install", "--quiet", "--python", target / "bin" / "python"]
    probe = subprocess.run([sys.executable, "-c", "import ensurepip"], check=False, capture_output=True)
    if probe.returncode:
        raise InstallError(
            f"{sys.executable} has no module ensurepip, so it cannot make a virtual environment. "
            "On Debian and Ubuntu: apt-get install python3-venv; or install uv."
        )
    run(sys.executable, "-m", "venv", "--clear", target)
    # PIP_...: no remark about a newer pip, no question asked
    os.environ |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    return [target / "bin" / "python", "-m", "pip", "install", "--quiet"]


def install() -> None:
    """Brings `.venv` up to date; quick when it is."""
    wanted = fingerprint()
    if PYTHON.exists() and STAMP.exists() and STAMP.read_text() == wanted:
        return
    print("Installing into .venv (once; minutes with pip, seconds with uv) ...", flush=True)
    pip = make_venv(VENV)
    run(*pip, "-c", CONSTRAINTS, "-r", DEV)
    run(*pip, "--no-deps", "-e", ROOT)
    # Left by the build; .venv has its own copy, and nothing but .venv shall be made.
    shutil.rmtree(ROOT / "alma_airflow.egg-info", ignore_errors=True)
    STAMP.write_text(wanted)


def freeze() -> None:
    """Resolves requirements-dev.txt without constraints and writes what came out to constraints.txt."""
    with tempfile.TemporaryDirectory(dir=ROOT) as folder:
        target = Path(folder) / "venv"
        pip = make_venv(target)
        run(*pip, "-r", DEV, "-r", PRODUCTION)
        lister: list[object] = (
            [pip[0], "pip", "freeze", "--python", target / "bin" / "python"]
            if Path(str(pip[0])).name == "uv"
            else [target / "bin" / "python", "-m", "pip", "freeze"]
        )
        listed = subprocess.run([str(word) for word in lister], check=True, capture_output=True, text=True)
    CONSTRAINTS.write_text(listed.stdout)
    print(
        f"{CONSTRAINTS.name}: {len(listed.stdout.splitlines())} packages. Now run `make venv` and `make test`."
    )


if __name__ == "__main__":
    try:
        freeze() if sys.argv[1:] == ["constraints"] else install()
    except InstallError as error:
        sys.exit(str(error))
