"""The wiring of `dcb_status_sync`."""

from datetime import timedelta

from airflow.dag_processing.dagbag import DagBag

from tests.airflow_home import CHECKOUT

DAG = DagBag(str(CHECKOUT / "dags" / "dcb_status_sync.py")).dags["dcb_status_sync"]


def test_a_tick_flows_from_what_is_due_to_the_last_word():
    assert [task.task_id for task in DAG.topological_sort()] == [
        "select_due",
        "poll",
        "apply",
        "act",
        "publish",
        "report",
        "check_outcome",
    ]
    assert {task.task_id for task in DAG.tasks if task.pool == "alma_api"} == {"poll", "act"}


def test_no_two_ticks_at_once_and_none_for_ever():
    assert DAG.max_active_runs == 1
    assert DAG.dagrun_timeout == timedelta(minutes=30)
    assert DAG.timetable.expression == "*/5 * * * *"
    assert DAG.start_date is None


def test_whatever_happens_to_polling_the_rest_is_done():
    for task in ("apply", "act", "publish", "report", "check_outcome"):
        assert DAG.get_task(task).trigger_rule == "all_done"
