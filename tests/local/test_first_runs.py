"""What `make up` starts by itself in a new folder, and in no other; Airflow and the bucket are stood in for."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pymarc
import pytest
import requests

from alma_sandbox import Settings, serve
from local import airflow_api, first_runs
from local.airflow_api import AirflowApi, AirflowRefusedError
from local.demo_bibs import RECORDS
from local.demo_items import DROPPED
from local.first_runs import mark_new, start_in_background, take_mark
from local.stack import Addresses

pytestmark = pytest.mark.quick


class Airflow(AirflowApi):
    """Airflow's REST API and the bucket: what was triggered and put, or the refusals that were asked for."""

    def __init__(self) -> None:
        self.triggered: list[tuple[str, dict[str, Any]]] = []
        self.put: dict[str, bytes] = {}
        self.unknown: set[str] = set()
        self.refuses = self.closed = False
        self.errors: list[str] = []

    def dag(self, dag_id: str) -> dict[str, Any] | None:
        return None if dag_id in self.unknown else {"dag_id": dag_id}

    def import_errors(self) -> list[str]:
        return self.errors

    def trigger(self, dag_id: str, conf: dict[str, Any]) -> str:
        if self.refuses:
            answer = requests.Response()
            answer.status_code, answer.request, answer.url = (
                403,
                requests.Request("POST", "http://ui").prepare(),
                "x",
            )
            raise AirflowRefusedError(answer)
        self.triggered.append((dag_id, conf))
        return "manual__2026-01-01T00:00:00+00:00"

    def close(self) -> None:
        self.closed = True

    def put_object(self, *, Bucket: str, Key: str, Body: bytes) -> None:  # noqa: N803
        self.put[f"{Bucket}/{Key}"] = Body


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> Airflow:
    made = Airflow()
    monkeypatch.setattr(first_runs, "s3_client", lambda *_: made)
    monkeypatch.setattr(airflow_api, "KNOWN_SECONDS", 0.0)
    monkeypatch.setattr(airflow_api, "sleep", lambda seconds: None)
    return made


@pytest.fixture(scope="module")
def addresses() -> Iterator[Addresses]:
    with serve(Settings(titles=20, per_second=0)) as alma:
        made = Addresses(**dict.fromkeys(Addresses.__dataclass_fields__, "x"))
        yield replace(made, ui="http://ui", sandbox=alma.url, sandbox_key="sandbox", bucket="b")


def started(airflow: Airflow, addresses: Addresses) -> str:
    """What is said of it."""
    said: list[str] = []
    thread = start_in_background(addresses, cast(AirflowApi, airflow), said.append)
    thread.join(60)
    assert not thread.is_alive()
    return "\n".join(said)


def test_a_delivery_an_item_load_and_an_import_are_started_and_said(
    airflow: Airflow, addresses: Addresses
) -> None:
    said = started(airflow, addresses)
    assert airflow.triggered == [("west_holdings", {})]
    lines = airflow.put[f"b/{DROPPED}"].decode("utf-8-sig").split("\r\n")
    assert (len(lines), len(set(lines))) == (14, 13)
    records = list(pymarc.MARCReader(airflow.put[f"b/{RECORDS}"]))
    assert [record is None for record in records] == [False] * 4 + [True]
    dropped = f"{DROPPED} and {RECORDS}"
    assert said == f"Started a delivery, and dropped {dropped}: http://ui/alma/ shows what becomes of them."
    assert airflow.closed


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (
            {"unknown": {"file_intake"}},
            "The first runs could not be started: Airflow does not know file_intake",
        ),
        (
            {"unknown": {"file_intake"}, "errors": ["dags/file_intake.py: SyntaxError"]},
            "The first runs could not be started: Airflow does not know file_intake: dags/file_intake.py: SyntaxError",
        ),
        ({"refuses": True}, "The first runs could not be started: Airflow answered 403"),
        ({"sandbox": "http://127.0.0.1:9"}, "The first runs could not be started: "),
    ],
)
def test_what_cannot_be_started_is_a_sentence(
    airflow: Airflow, addresses: Addresses, fault: dict[str, Any], says: str
) -> None:
    for name, value in fault.items():
        setattr(airflow, name, value)
    where = replace(addresses, sandbox=fault.get("sandbox", addresses.sandbox))
    assert started(airflow, where).startswith(says)
    assert airflow.put == {}
    assert airflow.closed


def test_a_folder_is_new_until_its_first_start_that_succeeds(tmp_path: Path) -> None:
    mark_new(tmp_path)
    (tmp_path / "postgres").mkdir()  # a start that fails after this
    mark_new(tmp_path)
    assert take_mark(tmp_path)
    assert not take_mark(tmp_path)
    mark_new(tmp_path)
    assert not take_mark(tmp_path)


def test_a_folder_of_before_is_not_new(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    mark_new(tmp_path)
    assert not take_mark(tmp_path)
