"""Where requests to adopt come from: a dcb-service of the sandbox, lists, a scan of Alma; and the steps of a run."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from alma_etl.dcb.__main__ import main
from alma_etl.dcb.dcb_service import DcbService
from alma_etl.dcb.flows.adopt.job import (
    AdoptContext,
    AdoptFolder,
    adopt_offered,
    asked_source,
    check_outcome,
    read_source,
    results_of,
    write_report,
)
from alma_etl.dcb.flows.adopt.request import RefusalCode
from alma_etl.dcb.machine.vocabulary import Role, Status
from alma_etl.dcb.mod_dcb import ModDcb
from alma_etl.dcb.settings import DcbSettings, SystemSettings
from alma_etl.dcb.sides.systems import Systems
from alma_etl.dcb.store import DcbStore
from alma_etl.errors import InputProblem, NotAcceptable
from alma_etl.remote.errors import RemoteUnauthorized
from alma_etl.remote.service import HttpAccess
from alma_sandbox.consortium import RunningConsortium, serve_consortium
from alma_sandbox.consortium.app import TOKEN_PATH
from tests.stores import sqlite_store
from tests.unit.dcb.adopting import BORROWER, PR_ID, SUPPLIER
from tests.unit.dcb.records import HOUR, SETTINGS, START
from tests.unit.dcb.sync_world import MemoryBucket

UUID = "0b6f1c1e-7b1f-4f53-9d2f-{:012d}"
CODES = {"LENDER": "lender-lms", "BORROWER": "borrower-lms"}


@pytest.fixture(scope="module")
def running() -> Iterator[RunningConsortium]:
    with serve_consortium() as consortium:
        yield consortium


def shown(**changes: Any) -> dict[str, Any]:
    """A PatronRequest as GraphQL shows it."""
    supplier = {
        "isActive": True,
        "hostLmsCode": "lender-lms",
        "localId": SUPPLIER["request_id"],
        "localBibId": SUPPLIER["mms_id"],
        "localHoldingId": None,
        "localItemId": SUPPLIER["item_pid"],
        "localItemBarcode": SUPPLIER["barcode"],
        "virtualPatron": {"localId": SUPPLIER["user_id"], "localNames": "[A NAME]"},
    }
    return {
        "status": "LOANED",
        "activeWorkflow": "RET-STD",
        "currentStatusTimestamp": "2026-03-01T10:00:00Z",
        "patronHostlmsCode": "borrower-lms",
        "requestingIdentity": {"localId": BORROWER["user_id"], "localBarcode": "A PERSON'S"},
        "localRequestId": BORROWER["request_id"],
        "localBibId": BORROWER["mms_id"],
        "localHoldingId": BORROWER["holding_id"],
        "localItemId": BORROWER["item_pid"],
        "suppliers": [{**supplier, "isActive": False, "localId": "old"}, supplier],
    } | changes


class World:
    """One dcb-service, a mod-dcb, and a store."""

    def __init__(self, running: RunningConsortium, folder: Path) -> None:
        self.url, self.settings_of = running.url, running.consortium.settings
        self.store_url = sqlite_store(folder / "store.db")
        self.store = DcbStore(self.store_url)
        systems: dict[str, SystemSettings] = {
            code: each.model_copy(update={"host_lms_code": CODES[code]})
            for code, each in SETTINGS.systems.items()
        }
        self.settings: DcbSettings = SETTINGS.model_copy(update={"systems": systems})
        self.bucket = MemoryBucket()
        self.access: dict[str, Any] = {
            "client_id": self.settings_of.client_id,
            "client_secret": self.settings_of.client_secret,
            "token_url": self.url + TOKEN_PATH,
        }
        self.now = START
        self.runs = 0
        requests.post(f"{self.url}/sandbox/reset", timeout=30).raise_for_status()

    def add_folio(self) -> None:
        folio = SystemSettings(kind="mod_dcb", conn_id="mod_dcb_default", host_lms_code="folio-lms")
        self.settings = self.settings.model_copy(
            update={"systems": {**self.settings.systems, "FOLIO": folio}}
        )

    def alma(self, conn_id: str) -> Any:
        raise AssertionError(conn_id)

    def mod_dcb(self, conn_id: str) -> ModDcb:
        return ModDcb(HttpAccess(self.url, api_key=self.settings_of.api_key), sleep=lambda _: None)

    def dcb_service(self, conn_id: str) -> DcbService:
        return self.service()

    def service(self) -> DcbService:
        return DcbService(HttpAccess(self.url, **self.access), sleep=lambda _: None)

    @property
    def context(self) -> AdoptContext:
        systems = Systems(self.settings, self)
        return AdoptContext(self.settings, self.store, systems, self.bucket, lambda: self.now)

    @property
    def folder(self) -> AdoptFolder:
        return AdoptFolder(self.bucket, f"run-{self.runs}")

    def shows(self, pr_id: str = PR_ID, **changes: Any) -> None:
        self.control(f"patron-requests/{pr_id}", shown(**changes))

    def control(self, path: str, body: Any) -> None:
        answer = requests.post(f"{self.url}/sandbox/{path}", json=body, timeout=30)
        assert answer.ok, answer.text

    def run(self, source: str = "dcb_service", *, dry_run: bool = False) -> dict[str, int]:
        """All steps; the counts."""
        self.runs += 1
        folder, asked = self.folder, asked_source(source, self.settings)
        assert asked is not None
        with folder.keeping_problem():
            read_source(folder, self.context, asked, dry_run=dry_run)
            counts = adopt_offered(folder, self.context)
        write_report(folder, self.store, {})
        return counts

    def table(self) -> list[dict[str, str]]:
        text = self.bucket.get(self.folder.key("results.csv")).decode()
        return list(csv.DictReader(io.StringIO(text)))

    def reasons(self) -> list[str]:
        return [row["reason"] for row in self.table() if row["reason"]]

    def graphql_calls(self) -> int:
        log = requests.get(f"{self.url}/sandbox/log", timeout=30).json()
        return sum(entry["path"] == "/graphql" for entry in log["entries"])


@pytest.fixture
def world(running: RunningConsortium, tmp_path: Path) -> Iterator[World]:
    found = World(running, tmp_path)
    yield found
    found.store.close()


def only(outcome: str, count: int = 1) -> dict[str, int]:
    return dict.fromkeys(("created", "updated", "same", "refused"), 0) | {outcome: count}


# --- dcb-service


def test_what_dcb_service_runs_is_adopted_once_with_all_ids(world: World) -> None:
    world.shows()
    assert world.run() == only("created")
    assert world.run() == only("same")
    tracked = world.store.get(PR_ID)
    assert tracked is not None
    assert tracked.status is Status.LOANED
    assert tracked.status_since.isoformat() == "2026-03-01T10:00:00+00:00"
    supplier, borrower = tracked.legs[Role.SUPPLIER], tracked.legs[Role.BORROWER]
    for leg, code, wanted in ((supplier, "LENDER", SUPPLIER), (borrower, "BORROWER", BORROWER)):
        assert (leg.system_code, leg.system_kind) == (code, "ALMA")
        ids = ("user_id", "request_id", "mms_id", "holding_id", "item_pid")
        assert {name: getattr(leg, name) for name in ids} == {name: wanted[name] for name in ids}
    assert check_outcome(world.folder, {}) == "0 created, 0 updated, 1 same, 0 refused."
    for text in map(bytes.decode, world.bucket.objects.values()):
        assert "A NAME" not in text
        assert "A PERSON'S" not in text


def test_pages_are_read_to_the_end_a_call_for_each_hundred(world: World) -> None:
    for number in range(205):
        ids = {"localRequestId": f"b-{number}", "localItemId": f"bi-{number}"}
        supplier = {"isActive": True, "hostLmsCode": "lender-lms", "localId": f"s-{number}"}
        world.shows(UUID.format(number), suppliers=[supplier], **ids)
    assert world.run(dry_run=True) == only("created", 205)
    assert world.graphql_calls() == 3
    assert world.store.list_by() == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"status": "FINALISED"}, (None, None)),
        ({"status": "CANCELLED"}, (None, None)),
        ({"status": "RESOLVED"}, (None, None)),
        ({"status": "ERROR", "previousStatus": "LOANED"}, (Status.LOANED, None)),
        ({"status": "ERROR", "previousStatus": "RESOLVED"}, (Status.ERROR, None)),
        ({"status": "ERROR", "currentStatusTimestamp": "2026-01-01T00:00:00Z"}, (None, RefusalCode.OVER)),
        ({"status": "ERROR", "suppliers": []}, (None, RefusalCode.NOT_PLACED_YET)),
        ({"patronHostlmsCode": "another"}, (None, RefusalCode.ADOPT_NO_SYSTEM)),
        ({"localRequestId": None, "localItemId": None}, (None, RefusalCode.ADOPT_NO_IDS)),
        ({"localRequestId": "a/b"}, (None, RefusalCode.BAD_ROW)),
        ({"currentStatusTimestamp": "soon"}, (Status.LOANED, None)),
    ],
)
def test_what_a_request_shows_decides(
    world: World, changes: dict[str, Any], expected: tuple[Status | None, RefusalCode | None]
) -> None:
    world.shows(**changes)
    world.run()
    tracked = world.store.get(PR_ID)
    assert (tracked and tracked.status) == expected[0]
    assert world.reasons() == [expected[1]] if expected[1] else world.reasons() == []


def test_a_third_library_is_found_by_its_pickup_location(world: World) -> None:
    third = world.settings.systems["BORROWER"].model_copy(
        update={"host_lms_code": "third-lms", "ship_to": {"THIRD-SCI": "Science"}}
    )
    world.settings = world.settings.model_copy(update={"systems": {**world.settings.systems, "THIRD": third}})
    pickup = {
        "pickupPatronId": "vp-9",
        "pickupRequestId": "4403",
        "pickupItemId": "233",
        "pickupBibId": "993",
    }
    world.shows(activeWorkflow="RET-PUA", pickupLocationCode="THIRD-SCI", **pickup)
    assert world.run() == only("created")
    tracked = world.store.get(PR_ID)
    assert tracked is not None
    leg = tracked.legs[Role.PICKUP]
    assert (leg.system_code, leg.request_id, leg.user_id) == ("THIRD", "4403", "vp-9")
    world.shows(UUID.format(7), activeWorkflow="RET-PUA", pickupLocationCode="ELSEWHERE", **pickup)
    world.run()
    assert world.reasons() == [RefusalCode.ADOPT_NO_SYSTEM]


def test_a_folio_side_has_its_transaction_and_what_nobody_knows_is_listed(world: World) -> None:
    world.add_folio()
    world.control("clock", {"now": (START - HOUR).isoformat()})
    world.shows(patronHostlmsCode="folio-lms", localRequestId="txn-1")
    for txn_id in ("txn-1", "txn-2"):
        body = {"role": "BORROWER", "item": {"id": "1", "barcode": "b"}, "patron": {"id": "2"}}
        requests.post(
            f"{world.url}/transactions/{txn_id}", json=body, headers={"Authorization": "sandbox"}, timeout=30
        ).raise_for_status()
    assert world.run() == only("created") | {"refused": 1}
    assert world.reasons() == [RefusalCode.UNKNOWN_TXN]
    assert "txn-2 (CREATED)" in world.table()[-1]["message"]
    tracked = world.store.get(PR_ID)
    assert tracked is not None
    leg = tracked.legs[Role.BORROWER]
    assert (leg.system_kind, leg.txn_id, leg.request_id) == ("MOD_DCB", "txn-1", None)


def test_a_schema_of_another_version_is_named(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alma_etl.dcb.dcb_service.WHOLE", "id status colour suppliers{localId shape}")
    world.shows()
    with pytest.raises(NotAcceptable, match=r"has no PatronRequest\.colour, SupplierRequest\.shape"):
        world.run()
    write_report(world.folder, world.store, {"read_source": "failed"})
    with pytest.raises(NotAcceptable, match=r"could not be read: dcb-service's GraphQL has no"):
        check_outcome(world.folder, {"read_source": "failed", "adopt": "upstream_failed"})


def test_a_client_that_is_not_accepted(world: World) -> None:
    world.access["client_secret"] = "wrong"
    with pytest.raises(RemoteUnauthorized, match="no token"):
        world.run()


def test_a_request_that_moves_while_the_pages_are_read_is_not_missed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alma_etl.dcb.dcb_service.PAGE", 2)
    for number in range(4):
        ids = {"localRequestId": f"b-{number}", "localItemId": f"bi-{number}"}
        supplier = {"isActive": True, "hostLmsCode": "lender-lms", "localId": f"s-{number}"}
        world.shows(
            UUID.format(number), suppliers=[supplier], dateUpdated=f"2026-03-0{number + 1}T00:00:00Z", **ids
        )
    service = world.service()
    whole, moved = service._page, []

    def page(fields: str, query: str, number: int) -> Any:
        found = whole(fields, query, number)
        if not moved:
            moved.append(1)
            requests.post(
                f"{world.url}/sandbox/patron-requests/{UUID.format(0)}",
                json=shown(dateUpdated="2026-03-09T00:00:00Z"),
                timeout=30,
            )
        return found

    monkeypatch.setattr(service, "_page", page)
    assert len(service.with_statuses(["LOANED"])) == 4
    service.close()


def test_findings_are_alerts_until_the_source_is_fine(world: World) -> None:
    world.shows(patronHostlmsCode="another")
    world.run()
    assert [alert.key for alert in world.store.open_alerts()] == [f"ADOPT_NO_SYSTEM:{PR_ID}"]
    world.shows()
    world.run()
    assert world.store.open_alerts() == []


# --- lists


def table(**columns: str) -> bytes:
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(columns)
    writer.writerow(columns.values())
    return stream.getvalue().encode()


LEAVES = {
    "pr_id": PR_ID,
    "told.status": "LOANED",
    "told.since": "2026-03-01T10:00:00Z",
    **{f"supplier.{name}": value or "" for name, value in SUPPLIER.items()},
    **{f"borrower.{name}": value for name, value in BORROWER.items()},
}


def test_a_table_a_document_and_lines_say_the_same(world: World) -> None:
    request = {
        "pr_id": PR_ID,
        "told": {"status": "LOANED", "since": "2026-03-01T10:00:00Z", "by": "list"},
        "supplier": SUPPLIER,
        "borrower": BORROWER,
    }
    lines = json.dumps(request).encode() + b"\n"
    world.bucket.put("dcb/adopt/a.csv", table(**LEAVES))
    assert world.run("list") == only("created")
    world.bucket.put("dcb/adopt/b.jsonl", lines * 2)
    world.bucket.put("dcb/adopt/c.json", json.dumps([request]).encode())
    assert world.run("list") == only("same", 4)


def test_each_bad_row_has_its_sentence_and_stops_no_other(world: World) -> None:
    world.bucket.put("dcb/adopt/a.csv", table(**LEAVES | {"told.status": "LENT"}))
    world.bucket.put("dcb/adopt/b.csv", table(**LEAVES))
    world.bucket.put("dcb/adopt/c.csv", b"pr_id,colour\n1,red\n")
    world.bucket.put("dcb/adopt/d.jsonl", b'{"pr_id": "x"}\nno json\n[1]\n')
    assert world.run("list") == only("created") | {"refused": 5}
    messages = [row["message"] for row in world.table() if row["reason"] == RefusalCode.BAD_ROW]
    assert "dcb/adopt/a.csv, line 2" in messages[0]
    assert "told.status" in messages[0]
    assert "dcb/adopt/c.csv" in messages[1]
    assert ["line 1" in messages[2], "line 2" in messages[3], "line 3" in messages[4]] == [True] * 3


def test_lists_of_which_nothing_can_be_used_turn_the_run_red(world: World) -> None:
    world.run("list")
    with pytest.raises(NotAcceptable, match="No list lies below dcb/adopt/"):
        check_outcome(world.folder, {})
    world.bucket.put("dcb/adopt/c.csv", b"pr_id,colour\n1,red\n")
    world.run("list")
    with pytest.raises(NotAcceptable, match="No row of the lists can be used"):
        check_outcome(world.folder, {})


def test_the_command_adopts_a_file(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(table(**LEAVES))
    assert main(["adopt", world.store_url, str(path)]) == 0
    assert capsys.readouterr().out == "1 created, 0 updated, 0 same, 0 refused.\n"
    path.write_bytes(table(**LEAVES | {"supplier.system": "ELSEWHERE"}))
    assert main(["adopt", world.store_url, str(path)]) == 1
    assert "ADOPT_NO_SYSTEM" in capsys.readouterr().err
    assert main(["adopt", world.store_url, str(tmp_path / "none.csv")]) == 1
    assert main(["explain", world.store_url, PR_ID]) == 0
    assert "reported by a list, not seen" in capsys.readouterr().out


# --- a run


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"note": "x"}, "note: is not known here. Known are"),
        ({"told": {"status": "LOANED", "since": "yesterday"}}, "told.since: must be a time like 2026-"),
        ({"told": {"status": "LOANED", "since": "2026-11-02T10:00:00"}}, "must be a time with its zone"),
    ],
)
def test_the_command_names_what_is_wrong_as_the_list_names_it(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str], row: dict[str, Any], sentence: str
) -> None:
    path = tmp_path / "list.jsonl"
    path.write_text(json.dumps({"pr_id": "x", "supplier": {"system": "LENDER"}, **row}), "utf-8")
    assert main(["adopt", world.store_url, str(path)]) == 1
    said = capsys.readouterr().err
    assert sentence in said
    assert "reported" not in said


@pytest.mark.parametrize("text", ["", "[]", "\n"])
def test_a_list_of_nothing_is_said_to_be_one(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    path = tmp_path / "list.json"
    path.write_text(text, "utf-8")
    assert main(["adopt", world.store_url, str(path)]) == 1
    assert capsys.readouterr().err == f"{path} holds no request.\n"


def test_a_dry_run_keeps_nothing_and_says_what_it_would(world: World) -> None:
    world.shows()
    assert world.run(dry_run=True) == only("created")
    assert world.store.list_by() == []
    assert check_outcome(world.folder, {}).startswith("Dry run, nothing was kept: 1 created")
    results = results_of(world.folder)
    assert (results.counts, results.subject, results.dry_run) == ({"created": 1}, "dcb_service", True)


def test_the_steps_may_be_repeated(world: World) -> None:
    world.shows()
    world.run()
    assert adopt_offered(world.folder, world.context) == only("same")


def test_the_page_names_reasons_and_what_disagrees(world: World) -> None:
    world.shows(status="PICKUP_TRANSIT")
    world.run()
    from tests.unit.dcb.records import seen

    look = seen("SUPPLIER", START + HOUR, "NOT_STARTED", "in place")
    world.store.apply(PR_ID, [look], settings=world.settings, now=START + HOUR)
    world.shows(UUID.format(1), patronHostlmsCode="another")
    world.run()
    page = world.bucket.get(world.folder.key("report.html")).decode()
    assert "ADOPT_NO_SYSTEM" in page
    assert "ADOPT_DISAGREES" in page
    assert "reported as PICKUP_TRANSIT" in page


def test_a_source_is_named_by_the_form_or_the_settings(world: World) -> None:
    assert asked_source(None, world.settings) is None
    adopting = world.settings.adopt.model_copy(update={"source": "list"})
    assert asked_source(None, world.settings.model_copy(update={"adopt": adopting})) == "list"
    with pytest.raises(InputProblem, match="give dcb_service, list or alma_scan"):
        asked_source("mod_dcb", world.settings)
