"""Airflow's REST API, as far as the local stack and the demo need it."""

from collections import Counter
from collections.abc import Callable, Collection
from time import monotonic, sleep
from typing import Any

import requests

KNOWN_SECONDS = 600.0
"""How long Airflow may take until it knows the DAGs, after a start on a small machine."""
ANSWER_SECONDS = (
    180.0  # seconds for one answer: small machines are slow while Airflow's parts start beside tests
)


class AirflowRefusedError(RuntimeError):
    """Airflow answered with an error; the message holds what it said."""

    def __init__(self, answer: requests.Response) -> None:
        asked = f"{answer.request.method} {answer.url}"
        super().__init__(f"Airflow answered {answer.status_code} to {asked}: {answer.text[:500]}")
        self.status = answer.status_code


class DagsNotKnownError(RuntimeError):
    """Airflow does not know a DAG; the message says which, and why as far as Airflow says it."""


class AirflowApi:
    """Logs in with user and password when the first call needs it. All paths are below `/api/v2`."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self.url = url
        self._credentials = {"username": user, "password": password}
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy between us and this machine

    def close(self) -> None:
        self._session.close()

    def health(self) -> dict[str, str]:
        """Component -> status, such as `{"scheduler": "healthy"}`; empty while the server does not answer."""
        try:
            answer = self._session.get(f"{self.url}/api/v2/monitor/health", timeout=10)
            parts = answer.json()
        except (requests.RequestException, ValueError):
            return {}
        return {name: (part or {}).get("status") or "unknown" for name, part in parts.items()}

    def dag(self, dag_id: str) -> dict[str, Any] | None:
        """None while Airflow does not know the DAG."""
        try:
            return self.call("GET", f"dags/{dag_id}")
        except AirflowRefusedError as error:
            if error.status == requests.codes.not_found:
                return None
            raise

    def wait_for_dags(self, dag_ids: Collection[str], meanwhile: Callable[[], None] = lambda: None) -> None:
        """Returns once Airflow knows all of these DAGs; calls `meanwhile` as long as it waits.

        Raises DagsNotKnownError at once where the file of one cannot be loaded, else after `KNOWN_SECONDS`.
        """
        deadline = monotonic() + KNOWN_SECONDS
        while missing := [each for each in dag_ids if self.dag(each) is None]:
            errors = [each for each in self.import_errors() if any(f"{dag}.py:" in each for dag in missing)]
            if errors or monotonic() > deadline:
                why = "\n".join(errors) or "see the log of its DAG processor"
                raise DagsNotKnownError(f"Airflow does not know {', '.join(missing)}: {why}")
            meanwhile()
            sleep(0.5)

    def import_errors(self) -> list[str]:
        """What kept DAG files from being loaded."""
        errors = self.call("GET", "importErrors")["import_errors"]
        return [f"{error['filename']}: {error['stack_trace']}" for error in errors]

    def trigger(self, dag_id: str, conf: dict[str, Any]) -> str:
        """Starts a run now; returns its id."""
        run = self.call("POST", f"dags/{dag_id}/dagRuns", json={"logical_date": None, "conf": conf})
        run_id: str = run["dag_run_id"]
        return run_id

    def run_state(self, dag_id: str, run_id: str) -> str:
        """queued, running, success or failed."""
        run = self.call("GET", f"dags/{dag_id}/dagRuns/{run_id}")
        state: str = run["state"]
        return state

    def task_states(self, dag_id: str, run_id: str) -> dict[str, Counter[str]]:
        """Task -> state -> how many (mapped tasks have several), in the order in which the tasks started."""
        states: dict[str, Counter[str]] = {}
        for task in self.tasks(dag_id, run_id):
            states.setdefault(task["task_id"], Counter())[task["state"] or "none"] += 1
        return states

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """All task instances of a run."""
        found: list[dict[str, Any]] = []
        while True:
            page = self.call(
                "GET",
                f"dags/{dag_id}/dagRuns/{run_id}/taskInstances",
                params={"limit": 100, "offset": len(found), "order_by": "start_date"},
            )
            found += page["task_instances"]
            if not page["task_instances"] or len(found) >= page["total_entries"]:
                return found

    def page_status(self, path: str) -> int:
        """The HTTP status with which a page answers; its path is below the server's address, not below `/api/v2`."""
        self._log_in()
        return self._session.get(
            f"{self.url}{path}", timeout=ANSWER_SECONDS, allow_redirects=False
        ).status_code

    def call(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """One call below `/api/v2`; the answer's JSON. Raises AirflowRefusedError for every status but 2xx."""
        self._log_in()
        return _checked(
            self._session.request(method, f"{self.url}/api/v2/{path}", timeout=ANSWER_SECONDS, **options)
        )

    def _log_in(self) -> None:
        if "Authorization" not in self._session.headers:
            answer = self._session.post(
                f"{self.url}/auth/token", json=self._credentials, timeout=ANSWER_SECONDS
            )
            self._session.headers["Authorization"] = f"Bearer {_checked(answer)['access_token']}"


def _checked(answer: requests.Response) -> dict[str, Any]:
    if not answer.ok:
        raise AirflowRefusedError(answer)
    body: dict[str, Any] = answer.json()
    return body
