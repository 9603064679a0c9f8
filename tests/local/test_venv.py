"""`make venv`: what it asks the installer for, when it does nothing, and what it says when something is missing.

The installer is a script that writes down what it was asked: these tests install nothing.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = (
    "requirements.txt",
    "requirements-dev.txt",
    "requirements-production.txt",
    "constraints.txt",
    "pyproject.toml",
)
FAKE_UV = """#!/bin/sh
echo "$@" >> "$UV_LOG"
case "$1 $2" in
  "venv --quiet") mkdir -p .venv/bin "$6/bin"; touch .venv/bin/python ;;
  "pip freeze") echo "made-up==1.0" ;;
esac
[ "$UV_FAILS" != "$1" ]
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the script needs, and a fake uv."""
    for name in FILES:
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "local").mkdir()
    for name in ("venv.py", "venv.sh"):
        shutil.copy(ROOT / "local" / name, tmp_path / "local")
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "uv").write_text(FAKE_UV)
    (programs / "uv").chmod(0o755)
    return tmp_path


def make_venv(checkout: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {
        **os.environ,
        "PATH": f"{checkout / 'programs'}:/usr/bin:/bin",
        "UV_LOG": str(checkout / "asked"),
        "PYTHON": sys.executable,
        **environment,
    }
    return subprocess.run(
        ["sh", str(checkout / "local" / "venv.sh"), *arguments],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )


def asked(checkout: Path) -> list[str]:
    path = checkout / "asked"
    return path.read_text().splitlines() if path.exists() else []


def test_everything_is_installed_as_it_was_frozen_then_the_project(checkout: Path) -> None:
    done = make_venv(checkout)
    assert done.returncode == 0, done.stderr
    made, dependencies, project = asked(checkout)
    assert made.endswith(f"--python {sys.executable} {checkout / '.venv'}")
    assert dependencies.endswith(f"-c {checkout / 'constraints.txt'} -r {checkout / 'requirements-dev.txt'}")
    assert project.endswith(f"--no-deps -e {checkout}")


def test_nothing_is_done_while_nothing_has_changed(checkout: Path) -> None:
    make_venv(checkout)
    before = asked(checkout)
    again = make_venv(checkout)
    assert (again.returncode, again.stdout) == (0, "")
    assert asked(checkout) == before


@pytest.mark.parametrize("name", sorted(set(FILES) - {"requirements-production.txt"}))
def test_a_changed_file_is_installed_anew(name: str, checkout: Path) -> None:
    make_venv(checkout)
    before = asked(checkout)
    with (checkout / name).open("a") as file:
        file.write("# changed\n")
    make_venv(checkout)
    assert len(asked(checkout)) == 2 * len(before)


def test_a_failed_installation_is_told_and_tried_again(checkout: Path) -> None:
    failed = make_venv(checkout, UV_FAILS="pip")
    assert failed.returncode == 1
    assert "run `make venv` again" in failed.stderr
    assert make_venv(checkout).returncode == 0
    assert len(asked(checkout)) == 5


def test_what_the_build_left_beside_venv_is_removed(checkout: Path) -> None:
    (checkout / "alma_airflow.egg-info").mkdir()
    before = {path.name for path in checkout.iterdir()}
    make_venv(checkout)
    after = {path.name for path in checkout.iterdir()}
    assert after - before == {".venv", "asked"}
    assert before - after == {"alma_airflow.egg-info"}


def test_a_python_that_does_not_fit_is_told(checkout: Path) -> None:
    done = make_venv(checkout, PYTHON="/bin/false")
    assert done.returncode == 1
    assert "No Python 3.11, 3.12 or 3.13 found as /bin/false" in done.stderr
    assert asked(checkout) == []


def test_the_frozen_versions_are_written_anew(checkout: Path) -> None:
    done = make_venv(checkout, "constraints")
    assert done.returncode == 0, done.stderr
    assert (checkout / "constraints.txt").read_text() == "made-up==1.0\n"
    installed = asked(checkout)[1]
    assert "requirements-dev.txt" in installed
    assert "requirements-production.txt" in installed
    assert "-c" not in installed.split()
    assert not (checkout / ".venv" / ".installed").exists()
