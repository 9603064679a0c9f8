"""What the demo says when a step fails; Airflow and the stack are stood in for."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from local import airflow_api, demo_bibs, demo_tools
from local.airflow_api import AirflowApi
from local.demo_tools import Demo, DemoFailedError
from local.stack import Addresses, Stack


class FakeApi(AirflowApi):
    """An Airflow that knows the DAG `known`, whose run takes the given states one after the other."""

    def __init__(self, states: list[str], tasks: list[dict[str, Any]] | None = None) -> None:
        self.states = states
        self.failed = tasks or []

    def dag(self, dag_id: str) -> dict[str, Any] | None:
        return {} if dag_id == "known" else None

    def import_errors(self) -> list[str]:
        return ["other.py: SyntaxError: not asked for", "broken.py: SyntaxError: invalid syntax"]

    def trigger(self, dag_id: str, conf: dict[str, Any]) -> str:
        return "manual__1"

    def run_state(self, dag_id: str, run_id: str) -> str:
        return self.states.pop(0)

    def page_status(self, path: str) -> int:
        return 404 if path.endswith("other") else 200

    def task_states(self, dag_id: str, run_id: str) -> dict[str, Counter[str]]:
        return {"read": Counter(success=1), "write": Counter(running=1, success=2), "later": Counter(none=1)}

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        return self.failed


@pytest.fixture
def printed() -> list[str]:
    return []


@pytest.fixture
def demo(tmp_path: Path, printed: list[str], monkeypatch: pytest.MonkeyPatch) -> Demo:
    monkeypatch.setattr(demo_tools, "sleep", lambda seconds: None)
    monkeypatch.setattr(airflow_api, "sleep", lambda seconds: None)
    names = Addresses.__dataclass_fields__
    addresses = replace(Addresses(**dict.fromkeys(names, "x")), ui="http://ui", logs=str(tmp_path))
    stack = cast(Stack, SimpleNamespace(supervisor=SimpleNamespace(look=lambda: None)))
    return Demo(stack, addresses, cast(AirflowApi, FakeApi([])), None, tmp_path, printed.append)


def test_progress_is_printed_once_for_each_change(demo: Demo, printed: list[str]) -> None:
    demo.api = cast(AirflowApi, FakeApi(["queued", "running", "success"]))
    assert demo.run_dag("known", {}) == "manual__1"
    assert printed[0] == "Triggered known: http://ui/dags/known/runs/manual__1"
    lines = [line.partition("s  ")[2] for line in printed[1:]]
    assert lines == ["read: success", "write: 1 running, 2 success"]


def test_a_failed_run_shows_the_logs_of_what_failed(demo: Demo, tmp_path: Path) -> None:
    folder = tmp_path / "airflow/dag_id=known/run_id=manual__1/task_id=write/map_index=3"
    folder.mkdir(parents=True)
    (folder / "attempt=2.log").write_text("first try\nthe set 1 does not exist\n")
    tasks = [
        {"dag_id": "known", "task_id": "read", "state": "success", "map_index": -1, "try_number": 1},
        {"dag_id": "known", "task_id": "write", "state": "failed", "map_index": 3, "try_number": 2},
    ]
    demo.api = cast(AirflowApi, FakeApi(["running", "failed"], tasks))
    with pytest.raises(DemoFailedError) as failure:
        demo.run_dag("known", {})
    text = str(failure.value)
    assert text.startswith("known ended as failed.\nwrite [3] failed.")
    assert "the set 1 does not exist" in text
    assert "read failed" not in text


def test_a_dag_that_cannot_be_loaded_is_printed_with_its_error(demo: Demo) -> None:
    with pytest.raises(DemoFailedError, match=r"does not know broken: broken\.py: SyntaxError"):
        demo.run_dag("broken", {})


def test_a_path_is_printed_only_of_a_page_that_answers(demo: Demo, printed: list[str]) -> None:
    demo.say_page("known", "manual__2026-01-01T00:00:00+00:00")
    path = "/alma/runs/known/manual__2026-01-01T00%3A00%3A00%2B00%3A00"
    assert printed == [f"  {path}    its page in Airflow"]
    with pytest.raises(DemoFailedError, match="The page /alma/runs/known/other answers 404"):
        demo.say_page("known", "other")
    assert len(printed) == 1


REPORT = (
    "record,outcome,message\r\n1,created,\r\n2,merged,\r\n3,unchanged,\r\n"
    "4,not_added_brief,03 < 10\r\n5,invalid_record,It was cut off\r\n"
)


class FakeS3:
    """A bucket in which the report of the file of records lies."""

    keys = ("bibs/reports/march-books.run.csv", "bibs/done/march-books.run.mrc")

    def get_paginator(self, _: str) -> Any:
        def paginate(*, Bucket: str, Prefix: str) -> Any:  # noqa: N803 - boto's names
            return [{"Contents": [{"Key": key} for key in self.keys if key.startswith(Prefix)]}]

        return SimpleNamespace(paginate=paginate)

    def put_object(self, **_: object) -> None:
        self.put = True

    def download_file(self, _: str, key: str, target: str) -> None:
        Path(target).write_text(REPORT if key.endswith(".csv") else "", encoding="utf-8")


def test_a_file_that_was_loaded_meanwhile_shows_why_records_were_not_added(
    demo: Demo, printed: list[str]
) -> None:
    demo.s3 = FakeS3()
    demo.api = cast(AirflowApi, SimpleNamespace(call=lambda *_: {"dag_runs": []}))
    demo.drop(demo_bibs.RECORDS, b"")
    demo_bibs.bib_file(demo)
    assert any(line.endswith("its report is there, loaded meanwhile") for line in printed)
    assert "    record 4, not_added_brief: 03 < 10" in printed
    assert "    record 5, invalid_record: It was cut off" in printed
