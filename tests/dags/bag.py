"""All DAGs, parsed once."""

from airflow.dag_processing.dagbag import DagBag

from tests.airflow_home import CHECKOUT

BAG = DagBag(str(CHECKOUT / "dags"))
