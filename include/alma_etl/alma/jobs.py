"""Jobs (`/conf/jobs`), in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from alma_etl.alma import shapes
from alma_etl.alma.call import Call, json_call, path
from alma_etl.alma.reply import Reply
from alma_etl.alma.resource import Resource
from alma_etl.alma.shapes import Json
from alma_etl.remote.answers import Answer, ListAnswer, ask, ask_list
from alma_etl.remote.errors import RemoteShortList

NO_JOB = frozenset({"402215", "402216"})
NO_INSTANCE = frozenset({"402218"})
RUNNING = frozenset({"QUEUED", "PENDING", "INITIALIZING", "RUNNING", "FINALIZING"})
SUCCESS = frozenset({"COMPLETED_SUCCESS"})


@dataclass(frozen=True)
class Job:
    """`id` is a letter and a number (M manual, S scheduled) and differs between sandbox and production."""

    id: str
    name: str
    type: str
    category: str


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


class Jobs(Resource):
    """The calls about jobs."""

    def find(self, *, name: str | None = None, type: str | None = None) -> list[Job]:
        """GET /conf/jobs: all pages; `name` keeps those of exactly this name, `type` is MANUAL, SCHEDULED or
        OTHER. Raises RemoteError, RemoteShortList too when the list is not whole and names none of them."""
        try:
            jobs = self._every("/conf/jobs", "job", _job, lambda each: each.id, type=type)
        except RemoteShortList as short:
            jobs = [job for job in short.named if job.name == name]
            if not jobs:
                raise
        return [job for job in jobs if name is None or job.name == name]

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


def _job(row: Json) -> Job:
    return Job(
        id=shapes.required(row, "id"),
        name=shapes.text(row.get("name")),
        type=shapes.text(row.get("type")),
        category=shapes.text(row.get("category")),
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
