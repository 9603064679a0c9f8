"""Every command line in the documents works as it stands: the target, the module and its arguments exist."""

import re
import shlex
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote

import pytest

from alma_etl.dcb import __main__ as dcb_command
from alma_etl.store.__main__ import main as store_command
from alma_etl.store.upgrade import upgrade

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "include/alma_sandbox/README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
IN_A_CONTAINER = "docker compose exec"  # where `python` is the right one


def lines() -> list[tuple[str, str]]:
    """Name of the page, line."""
    return [(page.name, line) for page in PAGES for line in page.read_text().splitlines()]


def module_commands() -> list[tuple[str, str, str]]:
    """Name of the page, module, arguments: up to what ends the command in its line."""
    found = []
    for page, line in lines():
        for module, rest in re.findall(r"python -m ([A-Za-z_][\w.]*\w)((?: [^`#|)\n]*)?)", line):
            found.append((page, module, rest.replace("...", "").strip()))
    return found


def test_the_documents_have_commands() -> None:
    assert len(module_commands()) > 20
    assert {page for page, _, _ in module_commands()} >= {"README.md", "dcb.md", "dcb_status_sync.md"}


def test_a_python_command_names_the_python_that_has_the_packages() -> None:
    bare = [
        f"{page}: {line.strip()}"
        for page, line in lines()
        if re.search(r"(?<!\.venv/bin/)python3? -m ", line)
        and IN_A_CONTAINER not in line
        and page not in ("CHANGELOG.md", "DAGS.md")
    ]
    assert bare == []


@pytest.mark.parametrize("module", sorted({module for _, module, _ in module_commands()}))
def test_a_module_that_a_command_names_can_be_run(module: str) -> None:
    spec = find_spec(module)
    assert spec is not None, module
    if spec.submodule_search_locations:
        assert find_spec(f"{module}.__main__") is not None, f"{module} has no __main__"
    elif module.split(".")[0] in ("alma_etl", "alma_sandbox", "alma_airflow", "local", "benchmarks"):
        assert '__name__ == "__main__"' in Path(spec.origin or "").read_text()


def test_every_target_that_a_page_names_exists() -> None:
    named = {
        (page, target)
        for page, line in lines()
        for target in re.findall(r"(?:`|^ *)make ([a-z][a-z-]*)(?=`|\s*#|\s*$)", line)
    }
    assert len({target for _, target in named}) > 8
    assert {
        (page, target) for page, target in named if target not in TARGETS and page != "CHANGELOG.md"
    } == set()


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "alma_etl.dcb": dcb_command.main,
    "alma_etl.store": store_command,
}


@pytest.fixture
def url(tmp_path: Path) -> str:
    where = f"sqlite:///{tmp_path}/store.db"
    upgrade(where)
    return where


@pytest.mark.parametrize(
    ("page", "module", "arguments"),
    [found for found in module_commands() if found[1] in COMMANDS and found[2]],
)
def test_the_arguments_of_a_command_are_understood(
    page: str, module: str, arguments: str, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = shlex.split(re.sub(r"[\[\]]", "", arguments))
    if words == ["explain"]:  # named in a sentence, not to be typed so
        return
    known = {"URL": url, "$URL": url, "$ALMA_STORE_URL": url, "FILE.json": str(tmp_path / "none.json")}
    try:
        code = COMMANDS[module]([known.get(word, word) for word in words])
    except SystemExit as end:
        code = int(end.code or 0)
    except FileNotFoundError:
        code = 1
    assert code != 2, f"{page}: {arguments}\n{capsys.readouterr().err}"


@pytest.mark.parametrize(
    "arguments", sorted({line.strip() for _, line in lines() if re.match(r"\s*airflow [a-z]", line)})
)
def test_a_command_of_airflow_is_understood(arguments: str) -> None:
    parser = import_module("airflow.cli.cli_parser").get_parser()
    parser.parse_args(shlex.split(arguments, comments=True)[1:])


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def test_links_between_pages_lead_somewhere() -> None:
    broken = []
    for page in PAGES:
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            path, _, anchor = unquote(target).partition("#")
            if re.match(r"[a-z]+:", path):
                continue
            file = (page.parent / path).resolve() if path else page
            if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
                broken.append(f"{page.name}: {target}")
    assert broken == []
