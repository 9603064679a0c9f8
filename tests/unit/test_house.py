"""The house rules that a reviewer would otherwise have to remember: who imports whom, what is documented, pins."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HOUSE = Path(__file__).resolve().parents[2]
ETL, AIRFLOW, SANDBOX = (
    HOUSE / "include/alma_etl",
    HOUSE / "plugins/alma_airflow",
    HOUSE / "include/alma_sandbox",
)
DAGS = HOUSE / "dags"
OURS = {
    "alma_etl",
    "alma_airflow",
    "alma_sandbox",
    "dags",
    "plugins",
    "local",
    "tests",
    "benchmarks",
    "alma_plugin",
}
# inventory/ is not among them: it knows none of them, and each may know it. alma/ and aleph/ are clients.
JOBS = {path.name for path in ETL.iterdir() if path.is_dir()} & {
    "west",
    "items",
    "item_updates",
    "bibs",
    "profile_runs",
    "dcb",
}
CLIENTS = ("alma", "aleph")
MAY_KNOW_ALL = ("views", "health")  # what the pages show, and what is checked, of all jobs: none knows them


@cache
def tree(path: Path) -> ast.Module:
    """What a module says."""
    return ast.parse(path.read_text("utf-8"))


def modules(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def shown(path: Path) -> str:
    return str(path.relative_to(HOUSE))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything that a module imports, wherever in it."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 or SANDBOX not in path.parents, f"{shown(path)}: a relative import"
            yield node.lineno, node.module or "."


def importers(folder: Path, forbidden: set[str]) -> list[str]:
    """Where a folder's modules import one of the forbidden top-level packages."""
    return [
        f"{shown(path)}:{line} imports {name}"
        for path in modules(folder)
        for line, name in imports(path)
        if name.split(".")[0] in forbidden
    ]


def test_there_is_something_to_guard():
    assert min(len(modules(folder)) for folder in (ETL, AIRFLOW, SANDBOX, DAGS)) > 0


def test_the_domain_knows_neither_airflow_nor_anybody_who_calls_it():
    assert importers(ETL, (OURS - {"alma_etl"}) | {"airflow"}) == []


def test_the_airflow_package_knows_the_domain_only():
    assert importers(AIRFLOW, OURS - {"alma_etl", "alma_airflow"}) == []


def test_dags_are_made_of_operators_alone():
    assert importers(DAGS, OURS - {"alma_airflow"}) == []


def test_the_sandbox_stands_alone():
    assert importers(SANDBOX, (OURS - {"alma_sandbox"}) | {"airflow"}) == []


def test_what_the_jobs_share_does_not_know_what_they_know_of_inventory():
    assert [name for path in modules(ETL / "jobs") for _, name in imports(path) if "inventory" in name] == []


def test_what_the_jobs_share_knows_no_job_and_no_job_knows_another():
    found = []
    for path in modules(ETL):
        home = path.relative_to(ETL).parts[0]
        for line, name in imports(path):
            target = name.split(".")[1] if name.startswith("alma_etl.") else ""
            if target in JOBS and target != home and home not in MAY_KNOW_ALL:
                found.append(f"{shown(path)}:{line} imports {name}")
    assert found == []


@pytest.mark.parametrize("room", MAY_KNOW_ALL)
def test_what_may_know_every_job_is_known_to_none(room):
    found = [
        f"{shown(path)}:{line} imports {name}"
        for path in modules(ETL)
        for line, name in imports(path)
        if name.startswith(f"alma_etl.{room}.") and path.relative_to(ETL).parts[0] not in MAY_KNOW_ALL
    ]
    assert found == []


@pytest.mark.parametrize(
    ("room", "allowed"),
    [
        ("remote", {"remote", "errors", "counted"}),
        ("alma", {"alma", "remote", "errors", "counted", "identifiers"}),
        ("aleph", {"aleph", "remote", "errors", "counted", "marc"}),
    ],
)
def test_a_client_stands_on_remote_alone_and_remote_on_nothing(room, allowed):
    found = [
        f"{shown(path)}:{line} imports {name}"
        for path in modules(ETL / room)
        for line, name in imports(path)
        if name.split(".")[0] == "alma_etl" and (name.split(".")[1:] or [""])[0] not in allowed
    ]
    assert found == []


def test_inventory_and_the_clients_know_what_lies_below_them_alone():
    """jobs and areas -> inventory -> jobs/ -> store, tabular, marc, clients -> remote."""
    below = ("alma", "remote", "marc", "identifiers", "errors", "counted")
    allowed = {"inventory": ("inventory", "jobs", "store", "tabular", *below)}
    allowed |= {name: (name, *(each for each in below if each not in CLIENTS)) for name in CLIENTS}
    found = [
        f"{shown(path)}:{line} imports {name}"
        for folder, names in allowed.items()
        for path in modules(ETL / folder)
        for line, name in imports(path)
        if name.startswith("alma_etl.") and name.split(".")[1] not in names
    ]
    assert found == []


def test_the_reader_of_tables_knows_nothing_but_identifiers_signatures_and_errors():
    allowed = ("alma_etl.tabular", "alma_etl.identifiers", "alma_etl.signatures", "alma_etl.errors")
    found = [
        f"{shown(path)}:{line} imports {name}"
        for path in modules(ETL / "tabular")
        for line, name in imports(path)
        if name.startswith("alma_etl") and not name.startswith(allowed)
    ]
    assert found == []


def test_the_domain_reads_no_environment():
    words = {"environ", "environb", "getenv", "getenvb", "expandvars", "expanduser", "putenv"}
    found = []
    for path in modules(ETL):
        for node in ast.walk(tree(path)):
            name = (
                node.attr
                if isinstance(node, ast.Attribute)
                else getattr(node, "id", getattr(node, "name", ""))
            )
            if name in words:
                found.append(f"{shown(path)}:{getattr(node, 'lineno', '?')} uses {name}")
    assert found == []


def test_no_dag_file_reads_anything_when_it_is_parsed():
    found = [
        f"{shown(path)}:{node.lineno} {node.id}"
        for path in modules(DAGS)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Name) and node.id in {"Variable", "BaseHook", "Connection", "open"}
    ]
    assert found == []


def test_every_dag_file_says_what_it_is_for():
    for path in modules(DAGS):
        text = ast.get_docstring(tree(path)) or ""
        for heading in (
            "**When.**",
            "**Input.**",
            "**Output.**",
            "**Safe to run again?**",
            "**When it fails.**",
        ):
            assert heading in text, f"{shown(path)} does not tell: {heading}"


# --- documented


def public(path: Path) -> Iterator[tuple[str, ast.AST]]:
    """The module and its public classes, functions and methods, with their names."""
    module = tree(path)
    if module.body:
        yield shown(path), module
    todo: list[tuple[str, ast.AST]] = [(shown(path), module)]
    while todo:
        name, node = todo.pop()
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                if child.name.startswith("_") or _says_itself(child):
                    continue
                yield f"{name}:{child.lineno} {child.name}", child
                if isinstance(child, ast.ClassDef):
                    todo.append((name, child))


def _says_itself(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Members of a protocol, overloads, and properties' setters: what they do is told where they belong."""
    if isinstance(node, ast.ClassDef):
        return False
    decorators = {ast.unparse(each).split(".")[-1] for each in node.decorator_list}
    empty = all(isinstance(each, ast.Expr) and ast.unparse(each) == "..." for each in node.body)
    return empty or bool(decorators & {"overload", "setter"})


CALLED_BY_AIRFLOW = {"execute", "execute_complete", "get_conn", "get_link", "on_kill", "poke", "serialize"}


def documented_where_they_belong(folder: Path) -> set[str]:
    """Names of methods that a Protocol prescribes or a base class documents: overrides need no docstring."""
    classes = [
        node for path in modules(folder) for node in ast.walk(tree(path)) if isinstance(node, ast.ClassDef)
    ]
    bases = {ast.unparse(base).partition("[")[0] for each in classes for base in each.bases}
    return CALLED_BY_AIRFLOW | {
        method.name
        for each in classes
        if "Protocol" in map(ast.unparse, each.bases) or each.name in bases
        for method in each.body
        if isinstance(method, ast.FunctionDef)
        and ("Protocol" in map(ast.unparse, each.bases) or ast.get_docstring(method))
    }


@pytest.mark.parametrize("folder", [ETL, AIRFLOW], ids=lambda folder: folder.name)
def test_everything_public_has_a_docstring(folder):
    told = documented_where_they_belong(folder)
    missing = [
        name
        for path in modules(folder)
        if "migrations" not in path.parts  # Alembic's own form
        for name, node in public(path)
        if not ast.get_docstring(node)  # type: ignore[arg-type]
        and name.split()[-1] not in told
    ]
    assert missing == []


@cache
def classes() -> dict[str, list[tuple[Path, ast.ClassDef]]]:
    """The public classes of the product by name, each with its module; the sandbox has Alma's own names again."""
    found: dict[str, list[tuple[Path, ast.ClassDef]]] = {}
    for folder in (ETL, AIRFLOW, HOUSE / "local"):
        for path in modules(folder):
            for node in ast.walk(tree(path)):
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    found.setdefault(node.name, []).append((path, node))
    return found


def test_no_two_classes_share_a_name():
    twins = {
        name: [f"{shown(path)}:{node.lineno}" for path, node in found]
        for name, found in classes().items()
        if len(found) > 1
    }
    assert not twins


# --- what Airflow scans


def airflows_scan() -> ModuleType:
    """Airflow's own search for files, without the rest of Airflow, whose import takes longer than all of this."""
    package = find_spec("airflow")
    assert package is not None
    (folder,) = package.submodule_search_locations or []
    path = Path(folder) / "_shared/module_loading/file_discovery.py"
    spec = spec_from_file_location("airflows_scan", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_plugin_scan_loads_one_file():
    plugins = HOUSE / "plugins"
    found = airflows_scan().find_path_from_directory(str(plugins), ".airflowignore", "glob")
    names = {Path(path).relative_to(plugins).as_posix() for path in found}
    assert {name for name in names if name.endswith(".py")} == {"alma_plugin.py"}


# --- pins


def lines(name: str) -> list[str]:
    """The requirements of a file, without comments, options and files that it includes."""
    text = (HOUSE / name).read_text("utf-8")
    stripped = (re.sub(r"(^|\s)#.*", "", line).strip() for line in text.splitlines())
    return [line for line in stripped if line and not line.startswith("-")]


def frozen() -> dict[str, str]:
    found: dict[str, str] = {}
    for line in lines("constraints.txt"):
        requirement = Requirement(line)
        (pin,) = requirement.specifier
        assert pin.operator == "==", f"constraints.txt does not freeze {line}"
        name = canonicalize_name(requirement.name)
        assert name not in found, f"constraints.txt has {name} twice"
        found[name] = pin.version
    return found


REQUIREMENTS = sorted(path.name for path in HOUSE.glob("requirements*.txt"))


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_requirements_and_constraints_agree(name):
    pins = frozen()
    for line in lines(name):
        requirement = Requirement(line)
        version = pins.get(canonicalize_name(requirement.name))
        assert version is not None, f"{name}: {requirement.name} is not frozen in constraints.txt"
        assert requirement.specifier, f"{name}: {requirement.name} has no pin"
        assert requirement.specifier.contains(version), f"{name}: {line}, but constraints.txt has {version}"


def test_what_the_requirements_pull_in_is_frozen():
    from importlib.metadata import PackageNotFoundError, requires

    pins, todo, missing = (
        frozen(),
        [Requirement(line) for name in REQUIREMENTS for line in lines(name)],
        set(),
    )
    seen: set[tuple[str, frozenset[str]]] = set()
    while todo:
        requirement = todo.pop()
        key = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if key in seen:
            continue
        seen.add(key)
        if key[0] not in pins:
            missing.add(key[0])
        try:
            further = [Requirement(line) for line in requires(requirement.name) or []]
        except PackageNotFoundError:
            continue  # of the production image only
        extras = requirement.extras or {""}
        todo += [
            each
            for each in further
            if each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in {*extras, ""})
        ]
    assert missing == set()
