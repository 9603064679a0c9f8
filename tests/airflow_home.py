"""An Airflow of its own for the tests: set up before anything imports Airflow, gone when the tests end."""

import os
import shutil
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent


def prepare() -> Path:
    """Point Airflow at a new, empty home, at this checkout's DAGs and plugins, and at a database in SQLite."""
    home = Path(tempfile.mkdtemp(prefix="airflow-home-"))
    os.environ |= {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(CHECKOUT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(CHECKOUT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    return home


def remove(home: Path) -> None:
    """Take the home away."""
    shutil.rmtree(home, ignore_errors=True)
