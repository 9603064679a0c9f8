"""Every test belongs to one make target, and `make quick` has one of every package and every DAG."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from local.suite import APART, SELECTIONS

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.heavy, pytest.mark.timeout(400)]
# Collects all tests and prints, for each target, which it selects.
COLLECTOR = """
import json, sys
import pytest
from _pytest.mark.expression import Expression

class Collector:
    def pytest_collection_finish(self, session):
        expressions = {name: Expression.compile(text) for name, text in json.loads(sys.argv[2]).items()}
        found = {item.nodeid: [name for name, chosen in expressions.items() if chosen.evaluate(
                     lambda marker, **_: any(mark.name == marker for mark in item.iter_markers()))]
                 for item in session.items}
        with open(sys.argv[1], "w") as file:
            json.dump(found, file)

sys.exit(pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", "tests"], plugins=[Collector()]))
"""


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The targets that run each test."""
    output = tmp_path_factory.mktemp("suite") / "collected.json"
    command = [sys.executable, "-c", COLLECTOR, str(output), json.dumps(SELECTIONS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    found: dict[str, list[str]] = json.loads(output.read_text())
    return found


def quick_tests(targets: dict[str, list[str]]) -> set[str]:
    return {test for test, names in targets.items() if "quick" in names}


def test_every_test_belongs_to_exactly_one_target(targets: dict[str, list[str]]) -> None:
    assert len(targets) > 3000
    assert {test: names for test, names in targets.items() if len(set(names) - {"quick"}) != 1} == {}
    assert set(APART) == {name.replace("-", "_") for name in SELECTIONS} - {"test", "quick"}


def test_the_targets_that_are_apart_have_tests(targets: dict[str, list[str]]) -> None:
    for target in ("stacks", "third-party", "nightly"):
        assert [test for test, names in targets.items() if target in names], target


def test_make_quick_has_a_test_of_every_folder_of_tests(targets: dict[str, list[str]]) -> None:
    folders = {path.parent.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("test_*.py")}
    quick = {test.partition("::")[0].rpartition("/")[0] for test in quick_tests(targets)}
    assert folders - quick == {"tests/sandbox/third_party"}  # needs PyPI


def test_make_quick_has_a_test_of_every_package(targets: dict[str, list[str]]) -> None:
    sources = [
        (ROOT / test).read_text() for test in {test.partition("::")[0] for test in quick_tests(targets)}
    ]
    homes = {
        "include/alma_etl": "include",
        "include/alma_sandbox": "include",
        "plugins/alma_airflow": "plugins",
    }
    packages = [
        ".".join(package.relative_to(ROOT / home).parts)
        for part, home in {**homes, "local": "."}.items()
        for package in {path.parent for path in (ROOT / part).rglob("*.py")}
        if any(package.glob("[!_]*.py")) and "migrations" not in package.parts
    ]
    assert len(packages) > 20
    untested = [
        name
        for name in sorted(packages)
        if not any(re.search(rf"(from|import) {re.escape(name)}\b", text) for text in sources)
    ]
    assert untested == ["alma_sandbox.control", "alma_sandbox.routes"]  # which tests call by HTTP


def test_make_quick_has_a_test_of_every_dag(targets: dict[str, list[str]]) -> None:
    quick = quick_tests(targets)
    for dag in sorted((ROOT / "dags").glob("*.py")):
        assert any(f"[{dag.stem}-" in test or f"[{dag.stem}]" in test for test in quick), dag.stem
