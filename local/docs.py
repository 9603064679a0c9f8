"""`make docs` writes docs/DAGS.md from the DAGs; `python -m local.docs --check` says whether it is fresh.

What staff read in the Airflow UI and what lies in the repository are one text: a DAG's `doc_md`, Params and tasks.
"""

import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from .settings import ROOT

PAGE = ROOT / "docs" / "DAGS.md"
HEAD = """# The DAGs

Written by `make docs` from the files in `dags/`; `make check` refuses a page that is not up to date. Edit the
DAGs, not this page.
"""


class BrokenDagsError(RuntimeError):
    """A DAG file that Airflow cannot load; the message is Airflow's."""


def load_dags(dags_folder: Path, home: Path) -> list[Any]:
    """The DAGs of a folder, by id, as Airflow's own loader reads them. `home` is for Airflow's files."""
    # Airflow reads its settings when it is first imported.
    os.environ |= {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags_folder),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    }
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(dag_folder=str(dags_folder))
    if bag.import_errors:
        raise BrokenDagsError("\n".join(f"{file}: {error}" for file, error in bag.import_errors.items()))
    return [dag for _, dag in sorted(bag.dags.items())]


def page(dags: list[Any]) -> str:
    """The whole page in Markdown."""
    contents = "".join(f"- [{dag.dag_id}](#{dag.dag_id})\n" for dag in dags)
    return "\n".join([HEAD, contents, *(_section(dag) for dag in dags)]).rstrip() + "\n"


def _section(dag: Any) -> str:
    facts = {
        "Schedule": _schedule(dag),
        "Tags": ", ".join(f"`{tag}`" for tag in sorted(dag.tags)) or "none",
        "Runs at one time": str(dag.max_active_runs),
    }
    parts = [
        f"## {dag.dag_id}\n",
        _table(["", ""], [[name, value] for name, value in facts.items()]),
        re.sub(r"^#", "##", (dag.doc_md or "").strip(), flags=re.MULTILINE) + "\n",
    ]
    params = [_param(name, dag.params.get_param(name)) for name in dag.params]
    if params:
        parts += ["### Parameters\n", _table(["name", "what", "values", "default"], params)]
    tasks = [_task(task) for task in dag.topological_sort()]
    parts += ["### Tasks\n", _table(["task", "does", "pool", "then"], tasks)]
    return "\n".join(parts)


def _schedule(dag: Any) -> str:
    schedule = dag.schedule
    if schedule is None:
        return "by hand, or started by another DAG"
    cron = schedule if isinstance(schedule, str) else getattr(schedule, "expression", None)
    if cron:
        return f"`{cron}`, {getattr(schedule, 'timezone', None) or dag.timezone.name}"
    names = [
        asset.name
        for asset in (schedule if isinstance(schedule, list) else [schedule])
        if hasattr(asset, "name")
    ]
    return f"on an event of {', '.join(names)}" if names else str(schedule)


def _param(name: str, param: Any) -> list[str]:
    schema = param.schema
    what = ": ".join(text for text in (schema.get("title"), param.description) if text)
    default = f"`{param.value}`" if param.has_value else ""
    return [f"`{name}`", what, _values(schema), default]


def _values(schema: dict[str, Any]) -> str:
    if schema.get("enum"):
        return ", ".join(f"`{choice}`" for choice in schema["enum"] if choice is not None)
    kinds = schema.get("type", "any")
    text = ", ".join(kind for kind in ([kinds] if isinstance(kinds, str) else kinds) if kind != "null")
    lowest, highest = schema.get("minimum"), schema.get("maximum")
    if lowest is not None and highest is not None:
        return f"{text} ({lowest} to {highest})"
    if lowest is not None or highest is not None:
        return f"{text} ({'at least' if highest is None else 'at most'} {lowest if highest is None else highest})"
    return text


def _task(task: Any) -> list[str]:
    document = (task.doc_md or task.doc or getattr(task, "operator_class", type(task)).__doc__ or "").strip()
    mapped = " (mapped)" if task.get_closest_mapped_task_group() is not None or _is_mapped(task) else ""
    then = ", ".join(f"`{name}`" for name in sorted(task.downstream_task_ids))
    return [f"`{task.task_id}`{mapped}", document.partition("\n")[0], f"`{task.pool}`", then]


def _is_mapped(task: Any) -> bool:
    return bool(getattr(task, "is_mapped", False))


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main(arguments: list[str]) -> int:
    """With `--check`: 1 when the page is not what the DAGs say now."""
    with tempfile.TemporaryDirectory() as home:
        try:
            text = page(load_dags(ROOT / "dags", Path(home)))
        except BrokenDagsError as error:
            print(f"A DAG cannot be loaded.\n{error}", file=sys.stderr)
            return 1
    if arguments == ["--check"]:
        if not PAGE.exists() or PAGE.read_text() != text:
            print(
                f"{PAGE.relative_to(ROOT)} is not up to date: run `make docs` and commit it.", file=sys.stderr
            )
            return 1
        return 0
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
