"""The steps of an import without Airflow: a sandbox in this process, a bucket, a state store."""

import csv
import io
import itertools
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import date
from typing import Any

import pytest
from pymarc import Record

from alma_etl.alma.client import AlmaClient
from alma_etl.alma.sru import SruClient
from alma_etl.bibs.job import BibImport
from alma_etl.errors import NotAcceptable, RunStopped
from alma_etl.jobs.file_job import JobContext
from alma_etl.jobs.places import Area, run_mark
from alma_etl.marc.iso2709 import to_iso2709
from alma_etl.marc.xml import record_from_xml, xml_from_record
from alma_etl.remote.errors import RemoteError, RemoteStop
from alma_etl.remote.limiter import LocalLimiter
from alma_etl.store.bucket import Bucket
from alma_sandbox import Settings, serve
from tests.e2e.items import ItemSandbox
from tests.stores import sqlite_store
from tests.unit.bibs.records import record

BIBS = Area("bibs", "bib_import")
JOB = BibImport(BIBS)


class Imports:
    """What all imports of a test share."""

    def __init__(self, bucket: Bucket, alma: ItemSandbox, store: str) -> None:
        self.bucket, self.alma, self.store = bucket, alma, store
        self.client = self.new_client()
        self.numbers = itertools.count(1)
        self.sru: SruClient | None = None
        self.further: dict[tuple[str, str], Any] = {}  # clients of other connections, by kind and id

    def new_client(self, url: str = "", key: str = "sandbox") -> AlmaClient:
        limiter = LocalLimiter(100_000)
        return AlmaClient(
            url or self.alma.url, key, limiter=limiter, attempts=2, backoff=0.001, sleep=lambda _: None
        )

    def open_client(self, kind: str, conn_id: str = "") -> Any:
        if conn_id:
            return nullcontext(self.further.get((kind, conn_id)))
        return nullcontext(self.sru if kind == "sru" else self.client)

    def with_sru(self, institution: str = "01ZZ_INST") -> SruClient:
        """From now on the connection has `sru_url`."""
        self.alma.settings(sru=True)
        self.sru = SruClient(
            f"{self.alma.url}/view/sru/{institution}", limiter=LocalLimiter(100_000), sleep=lambda _: None
        )
        return self.sru

    def calls(self) -> tuple[int, int]:
        """How many calls about titles were made of the API, and how many of SRU."""
        paths = [call["path"] for call in self.alma.calls()]
        return sum("/bibs" in path for path in paths), sum("/view/sru/" in path for path in paths)

    def profiles(self, text: str) -> None:
        self.bucket.put("config/bib_profiles.yaml", text.encode())

    def add(
        self, *fields: str, leader: str = "00000cam a2200000 a 4500", alma: ItemSandbox | None = None
    ) -> str:
        """A title of this or another Alma with these fields; its MMS id."""
        body = xml_from_record(record("008 200101s2020    xx            000 0 eng d", *fields, leader=leader))
        flags = "<suppress_from_publishing>false</suppress_from_publishing><brief_level>10</brief_level>"
        answer = (alma or self.alma).post("/bibs", f"<bib>{flags}{body.decode()}</bib>")
        answer.raise_for_status()
        return str(answer.json()["mms_id"])

    def title(self, mms_id: str) -> Record:
        return record_from_xml(self.client.bibs.read(mms_id).value.record)

    def count(self) -> int:
        """How many titles were made in the sandbox."""
        return sum(bib is not None for bib in self.alma.state()["bibs"].values())

    def writes(self) -> list[str]:
        return [call["method"] for call in self.alma.calls() if call["method"] != "GET"]

    def load(
        self, *records: Record, name: str = "march.mrc", profile: str = "catalog", **params: Any
    ) -> "Run":
        run = Run(self, b"".join(map(to_iso2709, records)), name, profile, **params)
        run.whole()
        return run


class Run:
    """One run on one file."""

    def __init__(
        self, imports: Imports, body: bytes, name: str = "march.mrc", profile: str = "catalog", **params: Any
    ) -> None:
        self.imports = imports
        key = f"bibs/incoming/{profile}/{name}"
        imports.bucket.put(key, body)
        self.run_id = f"run-{next(imports.numbers)}"
        self.folder = JOB.run_folder(imports.bucket, self.run_id, BIBS.dag_id)
        self.params = {"key": key, **params}
        self.problem = ""

    def context(self, **given: Any) -> JobContext:
        return JobContext(
            folder=self.folder,
            params=self.params,
            day=date(2026, 11, 20),
            open_client=self.imports.open_client,
            store_url=lambda: self.imports.store,
            connections={"alma": "alma_default"},
            **given,
        )

    def whole(self) -> None:
        """All steps, as a DAG does them."""
        states: dict[str, str] = {}
        try:
            for number in range(1, self.read() + 1):
                self.match(number)
                self.write(number)
                self.inventory(number)
        except (RunStopped, RemoteError, RemoteStop):
            states["read_file"] = "failed"
        self.finish(states)

    def read(self) -> int:
        chunks = len(JOB.read(self.context()))
        JOB.run_step("check", self.context())
        return chunks

    def match(self, number: int = 1) -> dict[str, int]:
        return JOB.chunk_step("match", self.context(), number)

    def write(self, number: int = 1) -> dict[str, int]:
        return JOB.chunk_step("load", self.context(), number)

    def inventory(self, number: int = 1) -> dict[str, int]:
        return JOB.chunk_step("create_inventory", self.context(), number)

    def finish(self, states: dict[str, str] | None = None) -> None:
        context = self.context(task_states=states or {})
        self.keys = JOB.report(context)
        self.filed = JOB.file_away(context)
        try:
            JOB.check_outcome(context)
            self.problem = ""
        except NotAcceptable as problem:
            self.problem = str(problem)

    @property
    def rows(self) -> list[dict[str, str]]:
        text = self.imports.bucket.get(self.keys["csv"]).decode("utf-8-sig")
        return list(csv.DictReader(io.StringIO(text)))

    @property
    def outcomes(self) -> list[str]:
        return [row["outcome"] for row in self.rows]

    @property
    def counts(self) -> Counter[str]:
        return Counter(self.outcomes)

    def text(self, kind: str) -> str:
        return self.imports.bucket.get(self.keys[kind]).decode()

    @property
    def mark(self) -> str:
        return run_mark(self.run_id)


@pytest.fixture(scope="module")
def sandbox_url() -> Iterator[str]:
    with serve(Settings(per_second=0, titles=20)) as running:
        yield running.url


@pytest.fixture(scope="session")
def bibs_bucket(s3_server: Any) -> Bucket:
    client = s3_server.client()
    client.create_bucket(Bucket="bib-tests")
    return Bucket(client, "bib-tests")


@pytest.fixture
def imports(bibs_bucket: Bucket, sandbox_url: str, tmp_path: Any) -> Iterator[Imports]:
    alma = ItemSandbox(sandbox_url)
    alma.reset()
    alma.heal()
    alma.forget()
    found = Imports(bibs_bucket, alma, sqlite_store(tmp_path / "store.db"))
    yield found
    found.client.close()
    if found.sru is not None:
        found.sru.close()
        alma.settings(sru=False)
    bibs_bucket.delete(each.key for each in bibs_bucket.list(""))
