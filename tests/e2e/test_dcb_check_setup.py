"""`dcb_check_setup` through the real DAG: an Alma, a FOLIO, and a lender that is read through dcb-service."""

from collections.abc import Iterator

import pytest

from alma_etl.jobs.ledger import Ledger
from alma_etl.jobs.ledger_reading import RunKey
from local.servers import S3Server
from tests.conftest import Bucket as S3Bucket
from tests.e2e.dcb_world import CONFIG, World, small_world

pytestmark = pytest.mark.heavy


@pytest.fixture
def world(s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    s3_server.client().create_bucket(Bucket="dcb-setup")
    s3 = S3Bucket("dcb-setup", s3_server.endpoint_url, s3_server.access_key, s3_server.secret_key)
    with small_world(s3, tmp_path_factory.mktemp("setup")) as found:
        yield found


def test_a_run_is_red_for_what_is_missing_and_says_it_in_the_ledger(world: World) -> None:
    book = world.lender.books(1)[0]
    user = {"record_type": {"value": "PUBLIC"}, "account_type": {"value": "EXTERNAL"}, "external_id": "V-1"}
    user |= {"last_name": "VPATRON", "status": {"value": "ACTIVE"}, "user_group": {"value": "DCB"}}
    world.lender.call("POST", "/users", {**user, "primary_id": "V-1"})
    samples = {"samples": f"LENDER {book.barcode} V-1"}
    run = world.run("dcb_check_setup", samples)
    ledger = Ledger(world.store_url)
    try:
        (kept,) = ledger.runs(job="dcb_check_setup", limit=1)
        assert (str(run.state), kept.state) == ("success", "done"), kept.headline
        assert kept.headline.startswith("Nothing that a placing needs is missing")
        rows = [row.record for row in ledger.records(RunKey(kept.dag_id, kept.run_id))]
        assert {(row.symbol, row.reasons): row.outcome for row in rows}.items() >= {
            ("FOLIO", "reach"): "ok",
            ("LENDER", "trial"): "ok",
            ("BORROWER", "trial"): "unknown",
        }.items()
        assert {artefact["role"] for artefact in kept.artefacts} == {"report", "table", "summary"}
        assert "V-1" not in repr((kept, rows))

        other = "  OTHER: {kind: other, host_lms_code: SIERRA}\nmode"
        config = CONFIG.replace("location: DCB", "location: NOWHERE").replace("\nmode", f"\n{other}", 1)
        world.bucket.put("config/dcb.yaml", config.encode())
        run = world.run("dcb_check_setup", samples)
        (kept,) = ledger.runs(job="dcb_check_setup", limit=1)
        assert (str(run.state), kept.state) == ("failed", "failed")
        assert "LENDER: The location NOWHERE of virtual items" in kept.attention[-1]["what"]
        rows = [row.record for row in ledger.records(RunKey(kept.dag_id, kept.run_id))]
        (lacks,) = [row for row in rows if (row.symbol, row.reasons) == ("OTHER", "connection")]
        assert (lacks.outcome, "dcb_default" in lacks.message) == ("missing", True)
    finally:
        ledger.close()
