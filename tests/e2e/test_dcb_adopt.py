"""`dcb_adopt_requests` by its DAG: skipped without a source, a dcb-service watched, wrong lists red."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from alma_etl.dcb.machine.vocabulary import Status
from alma_etl.jobs.ledger import Ledger
from alma_etl.jobs.ledger_reading import RunKey
from alma_sandbox.consortium.app import TOKEN_PATH
from local.servers import S3Server
from tests.conftest import Bucket as S3Bucket
from tests.e2e.dcb_world import CONFIG, World, small_world

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(600)]

PR_ID = "0b6f1c1e-7b1f-4f53-9d2f-3f1a5f6f0c11"
ADOPTING = CONFIG.replace("kind: alma\n", "kind: alma\n    host_lms_code: lender-lms\n").replace(
    "  BORROWER:\n    <<: *alma\n", "  BORROWER:\n    <<: *alma\n    host_lms_code: borrower-lms\n"
)
SHOWN = {
    "status": "LOANED",
    "activeWorkflow": "RET-STD",
    "currentStatusTimestamp": "2026-03-01T10:00:00Z",
    "patronHostlmsCode": "borrower-lms",
    "requestingIdentity": {"localId": "patron003"},
    "localRequestId": "4402",
    "localItemId": "2302",
    "localBibId": "9902",
    "suppliers": [
        {
            "isActive": True,
            "hostLmsCode": "lender-lms",
            "localId": "4401",
            "localItemId": "2301",
            "localBibId": "9901",
            "virtualPatron": {"localId": "vp-1"},
        }
    ],
}


@pytest.fixture(scope="module")
def world(s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    s3_server.client().create_bucket(Bucket="dcb-adopting")
    s3 = S3Bucket("dcb-adopting", s3_server.endpoint_url, s3_server.access_key, s3_server.secret_key)
    with small_world(s3, tmp_path_factory.mktemp("dcb")) as found, pytest.MonkeyPatch.context() as patch:
        client = found.consortium.settings
        connection = {
            "conn_type": "http",
            "host": found.consortium_url,
            "login": client.client_id,
            "password": client.client_secret,
            "extra": {"token_url": found.consortium_url + TOKEN_PATH},
        }
        patch.setenv("AIRFLOW_CONN_DCB_DEFAULT", json.dumps(connection))
        yield found


def states(run: Any) -> dict[str, str]:
    return {ti.task_id: str(ti.state) for ti in run.get_task_instances()}


def ledger_row(world: World, run: Any) -> Any:
    ledger = Ledger(world.store_url)
    try:
        return ledger.run(RunKey(run.dag_id, run.run_id))
    finally:
        ledger.close()


def test_without_a_source_everything_is_skipped_and_nothing_kept(world: World) -> None:
    run = world.run("dcb_adopt_requests")
    assert set(states(run).values()) == {"skipped"}
    assert ledger_row(world, run) is None


def test_what_a_dcb_service_runs_is_watched(world: World) -> None:
    world.bucket.put("config/dcb.yaml", (ADOPTING + "adopt: {source: dcb_service}\n").encode())
    requests.post(
        f"{world.consortium_url}/sandbox/patron-requests/{PR_ID}", json=SHOWN, timeout=30
    ).raise_for_status()
    run = world.run("dcb_adopt_requests")
    assert set(states(run).values()) == {"success"}
    tracked = world.store.get(PR_ID)
    assert tracked is not None
    assert (tracked.status, tracked.owner) == (Status.LOANED, "dcb_service")
    row = ledger_row(world, run)
    assert (row.state, row.counts, row.subject) == ("done", {"created": 1}, "dcb_service")
    assert {artefact["role"] for artefact in row.artefacts} == {"report", "table"}
    assert row.headline == "1 created, 0 updated, 0 same, 0 refused."
    again = world.run("dcb_adopt_requests", {"source": "dcb_service", "dry_run": True})
    assert ledger_row(world, again).counts == {"same": 1}
    world.run("dcb_status_sync")
    assert [each.kind for each in world.history(PR_ID).outbox if each.kind == "ALMA_ACTION"] == []


def test_a_source_with_nothing_to_read_is_red(world: World) -> None:
    run = world.run("dcb_adopt_requests", {"source": "list"})
    assert states(run)["check_outcome"] == "failed"
    assert ledger_row(world, run).state == "failed"
    assert "No list lies below dcb/adopt/" in str(ledger_row(world, run).attention)
