"""Jobs (`/conf/jobs`) and their runs, in JSON; the records that an import loaded, in MARCXML."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal, TypeVar

from lxml import etree

from alma_etl.alma import shapes
from alma_etl.alma.call import XML, Call, json_call, params, path
from alma_etl.alma.reply import Reply
from alma_etl.alma.resource import LIMIT, Page, Resource, every
from alma_etl.alma.shapes import Json
from alma_etl.remote.answers import Answer, ListAnswer, ask, ask_list
from alma_etl.remote.errors import RemoteShortList
from alma_etl.remote.xml import local

T = TypeVar("T")

NO_JOB = frozenset({"402215", "402216"})
NO_INSTANCE = frozenset({"402218"})
RUNNING = frozenset({"QUEUED", "PENDING", "INITIALIZING", "RUNNING", "FINALIZING"})
SUCCESS = frozenset({"COMPLETED_SUCCESS"})
Population = Literal["SINGLE_MATCHES", "MULTI_MATCHES"]
_MMS_ID = re.compile(r"99\d{6,18}", re.ASCII)
_BETWEEN = re.compile(r"\s*[,;]\s*|\s+")


@dataclass(frozen=True)
class Job:
    """`id` is a letter and a number (M manual, S scheduled) and differs between sandbox and production."""

    id: str
    name: str
    type: str
    category: str
    category_name: str = ""


@dataclass(frozen=True)
class JobInstance:
    """One run of a job. `progress` (0-100) may stay below 100 when it fails; `status` decides. `alerts` are
    Alma's sentences about it, `counters` its counts by code."""

    id: str
    name: str
    job_id: str
    status: str
    progress: int
    submit_time: str
    end_time: str
    alerts: tuple[str, ...]
    counters: Mapping[str, str]
    raw: Json = field(repr=False)

    @property
    def finished(self) -> bool:
        """Any status outside the five running ones is final, also one that nobody has heard of."""
        return self.status not in RUNNING

    @property
    def succeeded(self) -> bool:
        """Only COMPLETED_SUCCESS is success."""
        return self.status in SUCCESS


@dataclass(frozen=True)
class JobCounter:
    """One count of a job's report: Alma's code, its words for it, the value as Alma writes it."""

    code: str
    name: str
    value: str


@dataclass(frozen=True)
class MatchedRecord:
    """A record of an import that matches titles and waits for staff: what Alma calls it, and the MMS ids in its row."""

    key: str
    mms_ids: tuple[str, ...]


class Jobs(Resource):
    """The calls about jobs."""

    def find(
        self, *, name: str | None = None, type: str | None = None, profile_id: str | None = None
    ) -> list[Job]:
        """GET /conf/jobs: all pages; `name` keeps those of exactly this name, `type` is MANUAL, SCHEDULED or
        OTHER, `profile_id` an import profile. Raises RemoteError, RemoteShortList too when the list is not whole and
        names none of them."""
        try:
            jobs = self._every(
                "/conf/jobs", "job", _job, lambda each: each.id, type=type, profile_id=profile_id
            )
        except RemoteShortList as short:
            jobs = [job for job in short.named if job.name == name]
            if name is None or not jobs:
                raise
        return [job for job in jobs if name is None or job.name == name]

    def read(self, job_id: str) -> Answer[Job]:
        """GET /conf/jobs/{job_id}. Absent: 402215, 402216."""
        call = Call("GET", path("conf", "jobs", job_id))
        return ask(lambda: self._client.call(call, lambda reply: _job(reply.json())), NO_JOB)

    def run(self, job_id: str, parameters: Mapping[str, str]) -> str:
        """POST /conf/jobs/{job_id}?op=run. Returns the id of the instance. Scheduled jobs take no parameters.

        Refusals: 402222/402223 the threshold of jobs (3 at a time, 5 starts of one in an hour), 60347 it
        overlaps. `writes.run_job` looks after a lost answer. Raises RemoteError."""
        body: Json = {}
        if parameters:
            body["parameter"] = [
                {"name": shapes.coded(name), "value": value} for name, value in parameters.items()
            ]
        return self._client.call(json_call("POST", path("conf", "jobs", job_id), body, op="run"), _started)

    def instance(self, job_id: str, instance_id: str) -> Answer[JobInstance]:
        """GET /conf/jobs/{job_id}/instances/{instance_id}; `job_id` may be ALL. Absent: 402218."""
        call = Call("GET", path("conf", "jobs", job_id, "instances", instance_id))
        return ask(lambda: self._client.call(call, lambda reply: _instance(reply.json())), NO_INSTANCE)

    def instances(self, job_id: str, submitted_from: date, submitted_to: date) -> ListAnswer[JobInstance]:
        """GET /conf/jobs/{job_id}/instances: all that were submitted on these days. Absent: no such job."""
        return ask_list(
            lambda: self._every(
                path("conf", "jobs", job_id, "instances"),
                "job_instance",
                _instance,
                lambda each: each.id,
                submit_date_from=submitted_from.isoformat(),
                submit_date_to=submitted_to.isoformat(),
            ),
            NO_JOB,
        )

    def matches(self, job_id: str, instance_id: str, population: Population) -> ListAnswer[MatchedRecord]:
        """GET …/instances/{instance_id}/matches, all pages: the records of an import that match one title, or several.
        Unknown for a job that has none. No document shows the shape of a row: every MMS id in it is a match. Users say
        that several stand in one text, with commas."""
        where = path("conf", "jobs", job_id, "instances", instance_id, "matches")
        return ask_list(lambda: self._listed(where, _match, population=population), NO_INSTANCE)

    def events(self, job_id: str, instance_id: str) -> ListAnswer[str]:
        """GET …/instances/{instance_id}/events, all pages: what each says. Documented for jobs of users alone: Unknown
        for most others."""
        where = path("conf", "jobs", job_id, "instances", instance_id, "events")
        return ask_list(lambda: self._listed(where, lambda row: "; ".join(_texts(row))), NO_INSTANCE)

    def imported(self, job_id: str, instance_id: str) -> Answer[list[str]]:
        """GET …/instances/{instance_id}/download: field 001 of each record that an import loaded, in the file's order,
        "" for one without. Alma names them whatever became of them since."""
        call = Call(
            "GET",
            path("conf", "jobs", job_id, "instances", instance_id, "download"),
            params(download_format="XML", line_type="TOTAL_RECORDS_IMPORTED"),
            accept=XML,
        )
        return ask(lambda: self._client.call(call, _control_numbers), NO_INSTANCE)

    def _listed(self, where: str, make: Callable[[Json], T], **query: str) -> list[T]:
        """All rows of a paged list whose name no document says, in their order; equal rows are rows of their own."""

        def get(offset: int) -> Page[tuple[int, T]]:
            call = Call("GET", where, params(**query, limit=LIMIT, offset=offset))
            return self._client.call(call, lambda reply: _page(reply, offset, make))

        return [row for _, row in every(f"GET {where}", get, lambda numbered: str(numbered[0]))]


def _page(reply: Reply, offset: int, make: Callable[[Json], T]) -> Page[tuple[int, T]]:
    document = reply.json()
    name = next((key for key, value in document.items() if isinstance(value, list)), "")
    rows = shapes.listed(document, name)
    total = shapes.total(document, least=offset + len(rows))
    return Page([(offset + number, make(row)) for number, row in enumerate(rows)], total)


def _match(row: Json) -> MatchedRecord:
    found: list[str] = []
    others: list[str] = []
    for text in _texts(row):
        parts = _BETWEEN.split(text.strip())
        if all(_MMS_ID.fullmatch(part) for part in parts):
            found += parts
        else:
            others.append(text)
    return MatchedRecord(others[0] if others else "", tuple(dict.fromkeys(found)))


def _texts(value: Any) -> Iterator[str]:
    """Every text of a row but links, in its order; of a code and its description the description."""
    if isinstance(value, Mapping):
        if set(value) <= {"value", "desc", "link"} and "value" in value:
            yield shapes.desc(value) or shapes.text(value)
            return
        for name, each in value.items():
            if name != "link":
                yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif text := shapes.text(value):
        yield text


def _control_numbers(reply: Reply) -> list[str]:
    root = reply.xml(tolerant=True)
    records = [each for each in root.iter() if local(each) == "record"]
    if not records and local(root) != "collection":
        raise ValueError("no collection of records")
    return [_control_number(record) for record in records]


def _control_number(record: etree._Element) -> str:
    fields = (each for each in record if local(each) == "controlfield" and each.get("tag") == "001")
    return next((field.text or "" for field in fields), "").strip()


def counter_rows(instance: JobInstance) -> list[JobCounter]:
    """The counts of a run's report, in Alma's order."""
    return [
        JobCounter(shapes.text(row.get("type")), shapes.desc(row.get("type")), shapes.text(row.get("value")))
        for row in shapes.listed(instance.raw, "counter")
    ]


def _job(row: Json) -> Job:
    return Job(
        id=shapes.required(row, "id"),
        name=shapes.text(row.get("name")),
        type=shapes.text(row.get("type")),
        category=shapes.text(row.get("category")),
        category_name=shapes.desc(row.get("category")),
    )


def _started(reply: Reply) -> str:
    link = shapes.text(reply.json()["additional_info"]["link"])
    _, found, instance_id = link.rstrip("/").rpartition("/instances/")
    if not found:
        raise ValueError("the answer names no job instance")
    return instance_id


def _instance(row: Json) -> JobInstance:
    return JobInstance(
        id=shapes.required(row, "id"),
        name=shapes.text(row.get("name")),
        job_id=shapes.text((row.get("job_info") or {}).get("id")),
        status=shapes.required(row, "status"),
        progress=shapes.number(row.get("progress")),
        submit_time=shapes.text(row.get("submit_time")),
        end_time=shapes.text(row.get("end_time")),
        alerts=tuple(shapes.desc(alert) or shapes.text(alert) for alert in shapes.listed(row, "alert")),
        counters={
            shapes.text(counter.get("type")): shapes.text(counter.get("value"))
            for counter in shapes.listed(row, "counter")
        },
        raw=row,
    )
