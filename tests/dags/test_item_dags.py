"""The wiring of `item_creation` and `file_intake`."""

from airflow.dag_processing.dagbag import DagBag

from tests.airflow_home import CHECKOUT

BAG = DagBag(str(CHECKOUT / "dags"))


def test_item_creation_flows_by_chunk_and_reports_whatever_happens():
    dag = BAG.dags["item_creation"]
    assert [task.task_id for task in dag.topological_sort()] == [
        "read_file",
        "check_codes",
        "resolve_holdings",
        "create_items",
        "report",
        "file_away",
        "check_outcome",
    ]
    assert dag.task_dict["report"].trigger_rule == "all_done"
    assert dag.task_dict["file_away"].trigger_rule == "all_success"
    in_pool = {task.task_id for task in dag.tasks if task.pool == "alma_api"}
    assert in_pool == {"check_codes", "resolve_holdings", "create_items"}


def test_file_intake_is_rung_for_and_takes_names_as_data():
    dag = BAG.dags["file_intake"]
    assert [task.task_id for task in dag.topological_sort()] == ["list_new_files", "start_load", "report"]
    assert dag.max_active_runs == 1
    (asset,) = dag.timetable.asset_condition.objects
    assert [watcher.name for watcher in asset.watchers] == ["bucket_doorbell"]
    assert list(dag.task_dict["start_load"].template_fields) == []
