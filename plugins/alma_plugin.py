"""Registers in Airflow what the UI shows of Alma Airflow. The only file below plugins/ that Airflow's scan loads."""

from airflow.plugins_manager import AirflowPlugin

from alma_airflow.ui.links import airflow_prefix
from alma_airflow.ui.pages import app
from alma_airflow.ui.test_button import PortlessTest


class AlmaPlugin(AirflowPlugin):
    """The pages under ``/alma/``, the report as a tab of each run, and a fixed Test button of connections."""

    name = "alma"
    fastapi_apps = [{"app": app, "url_prefix": "/alma", "name": "Alma Airflow"}]  # noqa: RUF012 - Airflow's own form
    fastapi_root_middlewares = [{"middleware": PortlessTest, "name": "Test button"}]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        {
            "name": "Report",
            "href": f"{airflow_prefix()}/alma/report/{{DAG_ID}}/{{RUN_ID}}",
            "destination": "dag_run",
            "url_route": "alma-report",
        }
    ]
