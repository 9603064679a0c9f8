"""Buttons on task instances in the Airflow UI, and addresses in it."""

from urllib.parse import quote, urlsplit

from airflow.sdk import BaseOperatorLink
from airflow.sdk.bases.operator import BaseOperator
from airflow.sdk.configuration import conf
from airflow.sdk.types import TaskInstanceKey


def airflow_prefix() -> str:
    """The path below which Airflow is served, by its base URL; "" for the root."""
    return urlsplit(conf.get("api", "base_url", fallback="")).path.rstrip("/")


class ReportLink(BaseOperatorLink):
    """Opens the run's report."""

    name = "Report"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The page's path."""
        return f"{airflow_prefix()}/alma/report/{quote(ti_key.dag_id)}/{quote(ti_key.run_id)}"


class AlmaJobLink(BaseOperatorLink):
    """Opens the run of the job in Alma, where the connection says by `job_url` how."""

    name = "Job in Alma"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The address; "" where it is not known. Asked in the worker once the task has ended."""
        return str(getattr(operator, "alma_job_url", ""))
