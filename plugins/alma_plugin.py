"""Registers in Airflow what the UI shows of Alma Airflow. The only file below plugins/ that Airflow's scan loads."""

from airflow.plugins_manager import AirflowPlugin

from alma_airflow.ui.app import app
from alma_airflow.ui.links import airflow_prefix
from alma_airflow.ui.test_button import PortlessTest


class AlmaPlugin(AirflowPlugin):
    """The pages under ``/alma/``, also as tabs of DAGs, runs and tasks, and a fixed Test button of connections."""

    name = "alma"
    fastapi_apps = [{"app": app, "url_prefix": "/alma", "name": "Alma Airflow"}]  # noqa: RUF012 - Airflow's own form
    fastapi_root_middlewares = [{"middleware": PortlessTest, "name": "Test button"}]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        {
            "name": "Alma",
            "href": f"{airflow_prefix()}/alma/",
            "destination": "nav",
            "url_route": "alma",
            "nav_top_level": True,
        },
        {
            "name": "Report",
            "href": f"{airflow_prefix()}/alma/report/{{DAG_ID}}/{{RUN_ID}}",
            "destination": "dag_run",
            "url_route": "alma-report",
        },
    ]
    react_apps = [  # noqa: RUF012
        {
            "name": "Alma",
            "bundle_url": f"{airflow_prefix()}/alma/static/tab.js",
            "destination": destination,
            "url_route": f"alma-{destination}",
        }
        for destination in ("dag", "dag_run", "task", "task_instance")
    ]
