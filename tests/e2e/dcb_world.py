"""A small consortium for the DCB DAGs: a lender's Alma, a borrower's Alma, a FOLIO, and one clock for them all.

Staff, patrons and vans are played by calls of the sandboxes' control surface; the DAGs know nothing of it.
"""

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from alma_etl.dcb.machine.vocabulary import Role
from alma_etl.dcb.store import DcbStore
from alma_etl.dcb.store.rows import History, Tracked
from alma_etl.store.bucket import Bucket
from alma_etl.store.upgrade import upgrade
from alma_sandbox import Settings, serve
from alma_sandbox.catalogue.records import Item
from alma_sandbox.consortium import ConsortiumSettings, serve_consortium
from tests.e2e.running import run_dag

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
TICK = timedelta(hours=30)  # longer than the longest interval: whatever waits is looked at in each tick
KEYS = {"LENDER": "lender-key-7f31c0", "BORROWER": "borrower-key-2b9d44", "FOLIO": "folio-key-90ae15"}
SERVICE_POINT = "6f2d8c3e-0d7e-4c55-9a53-7a1f3b0c9d21"  # where FOLIO's patrons fetch books
PICKUP = "SCI"  # virtual items belong to MAIN, so that the book travels at the borrower's, too

CONFIG = """
systems:
  LENDER: &alma
    kind: alma
    alma_conn_id: alma_default
    library: MAIN
    location: DCB
    sharing_library: STOR
    user_group: DCB
    item_policy: DCB
    no_renew_policy: DCB_NO_RENEW
  BORROWER:
    <<: *alma
    alma_conn_id: alma_borrower
  FOLIO:
    kind: mod_dcb
    conn_id: mod_dcb_default
mode: drive
sinks:
  - type: log
  - {type: mod_dcb, conn_id: mod_dcb_default}
"""


class Clock:
    """The time of the DAGs: it stands still but for a moment a look, so that nothing happens at the same time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now = START

    def now(self) -> datetime:
        """The time, a little later at each look."""
        with self._lock:
            self._now += timedelta(milliseconds=5)
            return self._now

    def advance(self, span: timedelta) -> datetime:
        """Let time pass."""
        with self._lock:
            self._now += span
            return self._now


class Library:
    """An Alma as the people in it see it. Its clock is wrong by ``skew``, as clocks are."""

    def __init__(self, url: str, sandbox: Any, key: str, skew: timedelta) -> None:
        self.url, self.sandbox, self.key, self.skew = url, sandbox, key, skew

    def control(self, where: str, /, **body: object) -> dict[str, Any]:
        """Something that only staff can do."""
        answer = requests.post(f"{self.url}/sandbox/{where}", json=body, timeout=30)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def call(self, method: str, path: str, body: object = None) -> Any:
        """A call of Alma's API by somebody else's program."""
        headers = {"Authorization": f"apikey {self.key}", "Accept": "application/json"}
        answer = requests.request(
            method, f"{self.url}/almaws/v1{path}", headers=headers, json=body, timeout=30
        )
        assert answer.ok, answer.text
        return answer.json() if answer.content else None

    def scan(self, barcode: str, library: str) -> str:
        """Staff scan a book in; what became of it (a process type)."""
        return str(self.control("desk", barcode=barcode, library=library)["process_type"])

    def lend(self, barcode: str, library: str, user_id: str) -> str:
        """Staff lend a book; the loan's id."""
        return str(self.control("desk", barcode=barcode, library=library, lend_to=user_id)["loan_id"])

    def fault(self, **rule: object) -> None:
        """Have calls go wrong."""
        self.control("faults", **rule)

    def end_faults(self) -> None:
        """Have nothing go wrong any more."""
        requests.delete(f"{self.url}/sandbox/faults", timeout=30).raise_for_status()

    def set_clock(self, now: datetime) -> None:
        """Tell it the time."""
        self.control("clock", now=(now + self.skew).isoformat(), stopped=True)

    # What is there; ask only while no call is under way.

    def item(self, pid: str) -> Item | None:
        """An item, if it is there."""
        found: Item | None = self.sandbox.catalogue.item(pid)
        return found

    def open_holds(self, pr_id: str) -> list[str]:
        """Ids of the holds that are still open for a request."""
        held = self.sandbox.requests.by_id.values()
        return [each.id for each in held if each.active and pr_id in each.values.get("comment", "")]

    def active_loan(self, pid: str) -> Any:
        """The loan that an item is out on."""
        return self.sandbox.loans.active_of_item(pid)

    def made_bibs(self, pr_id: str) -> list[str]:
        """MMS ids of the virtual titles of a request that are still there."""
        mark = f"(DCB){pr_id}"
        return [
            bib.mms_id
            for bib in self.sandbox.catalogue.bibs.values()
            if bib is not None and any(mark in field.all("a") for field in bib.record.data("035"))
        ]

    def post_xml(self, path: str, body: str) -> Any:
        """A POST of a record."""
        headers = {
            "Authorization": f"apikey {self.key}",
            "Accept": "application/json",
            "Content-Type": "application/xml",
        }
        answer = requests.post(f"{self.url}/almaws/v1{path}", headers=headers, data=body.encode(), timeout=30)
        assert answer.ok, answer.text
        return answer.json()

    def spare_titles(self, count: int) -> list[str]:
        """MMS ids of titles that no request is for: the last ones."""
        catalogue = self.sandbox.catalogue
        found: list[str] = catalogue.title_ids(catalogue.size - count, catalogue.size)
        return found

    def books(self, count: int) -> list[Item]:
        """Copies in the stacks of MAIN, each of another title."""
        found: list[Item] = []
        catalogue = self.sandbox.catalogue
        for mms_id in catalogue.title_ids(0, catalogue.size):
            bib = catalogue.bib(mms_id)
            for item in catalogue.items_of_bib(mms_id):
                holding = catalogue.holding(item.holding_id)
                fit = not item.process_type and not item.in_temp_location and not bib.suppressed
                if fit and holding.library == "MAIN" and not holding.suppressed:
                    found.append(item)
                    break
            if len(found) == count:
                return found
        raise AssertionError(f"the catalogue has no {count} copies to lend")


@dataclass
class Request:
    """One patron request, and the people who move its book about."""

    world: "World"
    pr_id: str
    book: Item
    patron: str
    borrower: str = "BORROWER"
    pickup: str = "BORROWER"
    other: str = ""  # another patron, of the lender's or the borrower's, who plays a part
    barcode: str = ""

    def __post_init__(self) -> None:
        self.barcode = self.book.barcode

    @property
    def conf(self) -> dict[str, Any]:
        """The conf that places it."""
        library = PICKUP if self.pickup == "BORROWER" else SERVICE_POINT
        return {
            "pr_id": self.pr_id,
            "workflow": "RET-STD" if self.pickup == self.borrower else "RET-PUA",
            "supplier_system": "LENDER",
            "supplier_mms_id": self.book.mms_id,
            "supplier_holding_id": self.book.holding_id,
            "supplier_item_pid": self.book.pid,
            "borrower_system": self.borrower,
            "user_id": self.patron,
            "pickup_system": self.pickup,
            "pickup_library": library,
            "title": f"Annals, lent for {self.pr_id}",
            "item_barcode": self.barcode,
        }

    @property
    def tracked(self) -> Tracked:
        """As the store has it."""
        found = self.world.store.get(self.pr_id)
        assert found is not None, f"{self.pr_id} is not tracked"
        return found

    @property
    def status(self) -> str:
        """Its status."""
        return str(self.tracked.status)

    def hold(self, role: Role) -> str:
        """The id of the hold of a side."""
        found = self.tracked.legs[role].request_id
        assert found is not None
        return found

    # --- what people do

    def ship(self) -> None:
        """The lender's desk scans the book: it goes to the borrower."""
        assert self.world.lender.scan(self.barcode, "MAIN") == "TRANSIT"

    def arrive(self) -> None:
        """The van brings it, and the pickup library puts it on the hold shelf."""
        assert self.world.borrower.scan(self.barcode, PICKUP) == "HOLDSHELF"

    def borrow(self) -> None:
        """The patron fetches it."""
        self.world.borrower.lend(self.barcode, PICKUP, self.patron)

    def give_back(self) -> None:
        """The patron returns it where it was fetched."""
        assert self.world.borrower.scan(self.barcode, PICKUP) == "TRANSIT"

    def send_back(self) -> None:
        """The pickup library scans a book that nobody fetched: it leaves the hold shelf."""
        assert self.world.borrower.scan(self.barcode, PICKUP) == "TRANSIT"

    def come_home(self) -> str:
        """The lender's desk scans it; what became of it."""
        return self.world.lender.scan(self.barcode, "MAIN")

    def cancelled_by_patron(self) -> None:
        """The patron cancels in the borrower's discovery."""
        self.world.borrower.control(f"requests/{self.hold(Role.BORROWER)}", cancel="CancelledAtPatronRequest")

    def cancelled_by_lender(self) -> None:
        """The lender's staff cancel."""
        self.world.lender.control(f"requests/{self.hold(Role.SUPPLIER)}", cancel="CannotBeFulfilled")

    def folio(self, event: str) -> None:
        """What the borrower's FOLIO sees at its desks."""
        answer = requests.post(
            f"{self.world.consortium_url}/sandbox/transactions/{self.pr_id}",
            json={"event": event},
            timeout=30,
        )
        assert answer.status_code == 200, answer.text


class _Heard(logging.Handler):
    """Keeps every line that any logger writes."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Called by logging."""
        self.lines.append(self.format(record))


class World:
    """Everything that the scenarios share."""

    def __init__(
        self, lender: Library, borrower: Library, consortium: Any, store_url: str, bucket: Bucket
    ) -> None:
        self.lender, self.borrower = lender, borrower
        self.consortium_url, self.consortium = consortium.url, consortium.consortium
        self.store_url, self.bucket = store_url, bucket
        self.clock = Clock()
        self.store = DcbStore(store_url)
        self.heard = _Heard()
        self._runs = 0

    def run(self, dag_id: str, conf: dict[str, Any] | None = None) -> Any:
        """Run a DAG to its end; the DAG run."""
        self._runs += 1
        return run_dag(dag_id, conf or {}, self.clock.now() + timedelta(seconds=self._runs))

    def tick(self, span: timedelta = TICK) -> None:
        """Time passes everywhere."""
        now = self.clock.advance(span)
        for library in (self.lender, self.borrower):
            library.set_clock(now)
        requests.post(
            f"{self.consortium_url}/sandbox/clock", json={"now": now.isoformat(), "stopped": True}, timeout=30
        ).raise_for_status()

    def reconcile(self) -> dict[str, Any]:
        """Run the nightly comparison; what it wrote, and the ``state`` in which it ended."""
        run = self.run("dcb_reconcile")
        compared = json.loads(self.bucket.get(f"runs/dcb_reconcile/{run.run_id}/compared.json"))
        return {**compared, "state": str(run.state)}

    def history(self, pr_id: str) -> History:
        """What happened to a request."""
        return self.store.history(pr_id)


def _connection(conn_type: str, host: str, key: str, **extra: object) -> str:
    return json.dumps({"conn_type": conn_type, "host": host, "password": key, "extra": extra})


@contextmanager
def small_world(s3: Any, folder: Any) -> Iterator[World]:
    """The three systems, bucket, store and connections, for the time of a ``with`` block.

    ``s3``: a bucket as `tests.conftest` makes them.
    """
    store_url = f"sqlite:///{folder}/store.db"
    upgrade(store_url)
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        options: dict[str, Any] = {"per_second": 0, "titles": 200, "closed_requests": "gone"}
        # The lender anonymises: a loan that has ended is answered no more.
        lender = stack.enter_context(serve(Settings(api_key=KEYS["LENDER"], ended_loans="gone", **options)))
        borrower = stack.enter_context(
            serve(
                Settings(
                    api_key=KEYS["BORROWER"],
                    institution="01ZY_INST",
                    suffix="4402",
                    hold_shelf_days=4,
                    request_not_found="401652",  # as the page of that call lists no other code
                    **options,
                )
            )
        )
        consortium = stack.enter_context(serve_consortium(ConsortiumSettings(api_key=KEYS["FOLIO"])))
        bucket = Bucket(s3.client(), s3.name)
        bucket.put("config/dcb.yaml", CONFIG.encode())
        world = World(
            Library(lender.url, lender.sandbox, KEYS["LENDER"], timedelta(minutes=2)),
            Library(borrower.url, borrower.sandbox, KEYS["BORROWER"], timedelta(minutes=-2)),
            consortium,
            store_url,
            bucket,
        )
        stack.callback(world.store.close)
        for name, value in {
            "ALMA_ETL_BUCKET": s3.name,
            "AIRFLOW_CONN_ALMA_ETL_DB": store_url,
            "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(
                {
                    "conn_type": "aws",
                    "login": s3.access_key,
                    "password": s3.secret_key,
                    "extra": {"endpoint_url": s3.endpoint_url, "region_name": "us-east-1"},
                }
            ),
            "AIRFLOW_CONN_ALMA_DEFAULT": _connection(
                "alma", lender.url, KEYS["LENDER"], requests_per_second=1000, environment="sandbox"
            ),
            "AIRFLOW_CONN_ALMA_BORROWER": _connection(
                "alma", borrower.url, KEYS["BORROWER"], requests_per_second=1000, environment="sandbox"
            ),
            "AIRFLOW_CONN_MOD_DCB_DEFAULT": _connection("http", consortium.url, KEYS["FOLIO"]),
        }.items():
            patch.setenv(name, value)
        patch.setattr("alma_airflow.hooks.dcb.now", world.clock.now)
        root = logging.getLogger()
        root.addHandler(world.heard)
        stack.callback(root.removeHandler, world.heard)
        world.tick(timedelta(0))
        yield world
