"""The wiring of `dcb_reconcile`."""

from airflow.dag_processing.dagbag import DagBag

from tests.airflow_home import CHECKOUT


def test_it_reports_and_judges_whatever_happens() -> None:
    dag = DagBag(str(CHECKOUT / "dags" / "dcb_reconcile.py")).dags["dcb_reconcile"]
    assert [task.task_id for task in dag.topological_sort()] == ["compare", "report", "check_outcome"]
    assert [task.trigger_rule for task in dag.topological_sort()] == ["all_success", "all_done", "all_done"]
    assert dag.max_active_runs == 1
    assert dag.task_dict["compare"].pool == "alma_api"
    assert dag.params.dump() == {"dry_run": False, "most": 1000}
