"""House rules for every DAG, and the wiring of each."""

import ast
from datetime import timedelta

import pytest
from airflow.dag_processing.dagbag import DagBag

from tests.airflow_home import CHECKOUT

BAG = DagBag(str(CHECKOUT / "dags"))
DAGS = sorted(BAG.dags.items())
TASKS = [(dag_id, task) for dag_id, dag in DAGS for task in dag.tasks]
TRIAGE = ("**When.**", "**Safe to run again?**", "**When it fails.**")


def test_every_file_is_read_and_gives_the_dag_of_its_name():
    assert BAG.import_errors == {}
    assert {dag_id for dag_id, _ in DAGS} == {path.stem for path in (CHECKOUT / "dags").glob("*.py")}
    assert "west_holdings" in BAG.dags


@pytest.mark.parametrize(("dag_id", "dag"), DAGS)
def test_a_dag_says_what_it_is_for(dag_id, dag):
    assert dag.description
    assert all(word in dag.doc_md for word in TRIAGE), f"{dag_id} lacks one of {TRIAGE}"
    assert "alma" in dag.tags
    assert {"reads", "writes"} & set(dag.tags)
    assert not dag.catchup
    runbook = CHECKOUT / "docs" / "runbooks" / f"{dag_id}.md"
    assert runbook.exists(), f"{dag_id} has no runbook"


@pytest.mark.parametrize(("dag_id", "dag"), DAGS)
def test_every_param_explains_itself(dag_id, dag):
    for name in dag.params:
        param = dag.params.get_param(name)
        assert param.schema.get("title"), f"{dag_id}: {name} has no title"
        assert param.description, f"{dag_id}: {name} has no description"


@pytest.mark.parametrize(("dag_id", "task"), TASKS, ids=lambda value: getattr(value, "task_id", value))
def test_a_task_has_an_owner_ends_in_time_and_is_retried(dag_id, task):
    assert task.owner != "airflow"
    assert task.execution_timeout is not None
    last = not task.downstream_task_ids
    assert last or (task.retries >= 1 and task.retry_delay <= timedelta(minutes=15))


@pytest.mark.parametrize(("dag_id", "dag"), DAGS)
def test_the_last_task_can_fail_the_run_whatever_happened_before(dag_id, dag):
    (last,) = dag.leaves
    assert last.trigger_rule == "all_done"
    assert last.task_id in ("check_outcome", "report", "track")


@pytest.mark.parametrize("path", sorted((CHECKOUT / "dags").glob("*.py")), ids=lambda path: path.stem)
def test_a_dag_file_is_a_table_of_contents(path):
    tree = ast.parse(path.read_text("utf-8"))
    imported = {
        node.module.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module
    }
    assert "alma_etl" not in imported
    assert not [node for node in ast.walk(tree) if isinstance(node, (ast.If, ast.For, ast.While, ast.Try))]


def test_west_holdings_flows_by_chunk():
    dag = BAG.dags["west_holdings"]
    assert [task.task_id for task in dag.topological_sort()] == [
        "extract_mms_ids",
        "list_holdings",
        "fetch_holdings",
        "convert_to_marc21",
        "assemble_delivery",
        "deliver",
        "report",
        "check_outcome",
    ]
    for asking in ("extract_mms_ids", "list_holdings", "fetch_holdings"):
        assert dag.get_task(asking).pool == "alma_api"
    assert dag.get_task("convert_to_marc21").pool != "alma_api"
    for always in ("assemble_delivery", "report", "check_outcome"):
        assert dag.get_task(always).trigger_rule == "all_done"
    assert [asset.name for asset in dag.get_task("deliver").outlets] == ["west_delivery"]
    weights = [
        dag.get_task(task).priority_weight
        for task in ("list_holdings", "fetch_holdings", "convert_to_marc21")
    ]
    assert weights == sorted(weights)


def test_west_holdings_needs_nothing_from_the_form():
    params = BAG.dags["west_holdings"].params
    assert {name: params[name] for name in params} == dict.fromkeys(params)
