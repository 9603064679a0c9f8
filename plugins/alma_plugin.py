"""Registers in Airflow what the UI shows of Alma Airflow. The only file below plugins/ that Airflow's scan loads."""

from airflow.plugins_manager import AirflowPlugin

from alma_airflow.ui.pages import app


class AlmaPlugin(AirflowPlugin):
    """The pages under ``/alma/``."""

    name = "alma"
    fastapi_apps = [{"app": app, "url_prefix": "/alma", "name": "Alma Airflow"}]  # noqa: RUF012 - Airflow's own form
