"""House rules for every DAG, and what holds for some of them whatever their files say."""

import ast
import inspect
from datetime import timedelta

import pytest

from alma_etl.jobs.places import AREAS
from tests.airflow_home import CHECKOUT
from tests.dags.bag import BAG

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


@pytest.mark.parametrize(("dag_id", "dag"), DAGS)
def test_reports_and_final_checks_run_whatever_happened_before(dag_id, dag):
    """`track` is what reports the end of a placing; a tick and a delivery go on with what there is."""
    always = {"report", "check_outcome", "track", "assemble_delivery", "apply", "act", "publish"}
    assert {task.task_id for task in dag.tasks if task.task_id in always} == {
        task.task_id for task in dag.tasks if task.trigger_rule == "all_done"
    }


@pytest.mark.parametrize(("dag_id", "dag"), DAGS)
def test_no_two_runs_of_what_starts_by_itself_are_at_work_at_once(dag_id, dag):
    assert dag.max_active_runs == 1 or not dag.timetable.can_be_scheduled


@pytest.mark.parametrize(("dag_id", "task"), TASKS, ids=lambda value: getattr(value, "task_id", value))
def test_a_task_has_a_plain_id_and_waits_for_the_pool_if_it_asks_alma(dag_id, task):
    assert "." not in task.task_id
    source = inspect.getsource(getattr(task, "operator_class", type(task)))
    opens_every_side = dag_id.startswith("dcb_") and task.task_id in ("poll", "act", "compare", "check")
    if ".client()" in source or opens_every_side:
        assert task.pool == "alma_api"


def test_the_rule_of_the_pool_sees_who_asks_alma():
    seen = {dag_id for dag_id, task in TASKS if task.pool == "alma_api"}
    assert {"west_holdings", "item_creation", "dcb_status_sync"} <= seen


@pytest.mark.parametrize("dag_id", ["west_holdings", "item_creation", "bib_import"])
def test_a_chunk_under_way_is_finished_before_another_begins(dag_id):
    mapped = [
        task.priority_weight
        for task in BAG.dags[dag_id].topological_sort()
        if task.get_closest_mapped_task_group()
    ]
    assert len(mapped) > 1
    assert mapped == sorted(set(mapped))


def test_a_file_goes_away_only_after_its_report():
    task = BAG.dags["item_creation"].get_task("file_away")
    assert (task.trigger_rule, task.upstream_task_ids) == ("all_success", {"report"})


@pytest.mark.parametrize("area", AREAS, ids=lambda area: area.folder)
def test_the_files_of_an_area_are_loaded_by_its_dag(area):
    dag = BAG.dags[area.dag_id]
    first, last = dag.get_task("read_file"), dag.get_task("check_outcome")
    assert (first.job.area, last.job.area) == (area, area)
    assert dag.params["key"] == area.incoming
    assert {"profile", "dry_run", "version", *first.job.params} <= {*dag.params}


def test_the_name_of_a_dropped_file_is_no_template():
    assert list(BAG.dags["file_intake"].get_task("start_load").template_fields) == []


def test_west_holdings_needs_nothing_from_the_form():
    params = BAG.dags["west_holdings"].params
    assert {name: params[name] for name in params} == dict.fromkeys(params)
