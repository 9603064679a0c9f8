"""One run of an Alma job, from its start to its end, in steps that may each be done by another process.

A start is remembered before and after the POST (`JobMemory`), so that a worker that dies at any moment leaves a
successor who finds the instance instead of starting a second one. Whether it has ended is told by its status
alone: `progress` may stay below 100, and a status that nobody has heard of is final and no success.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Protocol

from alma_etl.alma import writes
from alma_etl.alma.client import AlmaClient
from alma_etl.alma.jobs import SUCCESS, JobInstance
from alma_etl.alma.tasks import settled
from alma_etl.errors import InputProblem, RunStopped
from alma_etl.remote.answers import Absent, Unknown
from alma_etl.remote.errors import BudgetUnknown, RemoteUnreachable
from alma_etl.remote.safe_write import Outcome

log = logging.getLogger(__name__)

ANY_JOB = "ALL"
BUSY = frozenset({"402222", "402223", "60347"})
"""Refusals that pass by themselves: three jobs run already, five starts of one job in an hour, a run that
overlaps."""

_INSTANCE, _KNOWN = "alma_job_instance", "alma_job_instances_before"
_JOB_ID = re.compile(r"[A-Z]\d+", re.ASCII)


class JobNotSuccessful(RunStopped):
    """The job came to its end without success."""


class JobMemory(Protocol):
    """What outlives a worker: text and lists by key. Airflow's `task_state_store` is one."""

    def get(self, key: str) -> Any: ...
    def set(self, key: str, value: Any) -> None: ...
    def delete(self, key: str) -> None: ...


@dataclass(frozen=True)
class JobEnd:
    """How an instance ended: its status, Alma's sentences about it, its counts by code."""

    instance_id: str
    name: str
    status: str
    alerts: list[str]
    counters: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """For XCom and for a trigger's event; `JobEnd(**...)` reads it back."""
        return asdict(self)


def find_job(client: AlmaClient, job: str) -> str:
    """The id of a job that is given by its id (`M48`, `S101`) or its exact name.

    A manual job has another number in each institution and environment, so that a name is the better choice in a
    DAG; it costs one request per 100 jobs. Raises InputProblem unless exactly one job has the name.
    """
    if _JOB_ID.fullmatch(job):
        return job
    found = client.jobs.find(name=job)
    if not found:
        raise InputProblem(
            f"Alma has no job named {job!r}: copy the name from Admin > Run a Job, or give the job's id"
        )
    if len(found) > 1:
        ids = ", ".join(each.id for each in found)
        raise InputProblem(f"Several jobs of Alma are named {job!r} ({ids}): give the id of the one you mean")
    return found[0].id


def started_job(memory: JobMemory) -> str | None:
    """The instance that an earlier `start_job` of this memory started."""
    found = memory.get(_INSTANCE)
    return None if found is None else str(found)


def start_job(client: AlmaClient, job: str, parameters: Mapping[str, str], memory: JobMemory) -> str | None:
    """Start a job (see `find_job`), once for this memory; the id of the instance, or None while Alma is too busy
    (`BUSY`).

    A start that an earlier call noted is not repeated. One that an earlier call was about to make is looked for
    among the instances that are new since then, those called `job_name` when the parameters have it (without it,
    one that somebody else started meanwhile could be mistaken for it). Raises InputProblem when Alma refuses the
    job or its parameters; RemoteError when nobody knows, after which a further call looks again.
    """
    started = started_job(memory)
    if started is None:
        started = _start(client, find_job(client, job), parameters, memory)
        if started is not None:
            memory.set(_INSTANCE, started)
    return started


def forget_job(memory: JobMemory) -> None:
    """Let the next `start_job` start a new run."""
    memory.delete(_INSTANCE)
    memory.delete(_KNOWN)


def _start(client: AlmaClient, job_id: str, parameters: Mapping[str, str], memory: JobMemory) -> str | None:
    known = memory.get(_KNOWN)
    now = _instances(client, job_id)
    if known is not None:
        adopted = _started_before(now, set(known), parameters.get("job_name"), job_id)
        if adopted is not None:
            log.info("An earlier attempt has started instance %s of job %s", adopted, job_id)
            return adopted
    memory.set(_KNOWN, [each.id for each in now])
    written = writes.run_job(client, job_id, parameters)
    if written.outcome is not Outcome.UNCONFIRMED and not written.done:
        memory.delete(_KNOWN)  # nothing was started, and what others start from now on is not ours
    error = written.error
    if written.outcome is Outcome.REFUSED and error is not None and error.code in BUSY:
        log.info("Alma cannot start the job yet: %s", error)
        return None
    return settled(written, f"The job {job_id} was not started")


def _started_before(
    now: Collection[JobInstance], known: Collection[str], name: str | None, job_id: str
) -> str | None:
    new = [each.id for each in now if each.id not in known and name in (None, each.name)]
    if len(new) > 1:
        raise RunStopped(
            f"The job {job_id} has several new instances ({', '.join(new)}), and an earlier attempt may have started "
            "one of them: look at them in Alma under Admin > Monitor Jobs, then start the task anew"
        )
    return new[0] if new else None


def _instances(client: AlmaClient, job_id: str) -> list[JobInstance]:
    today = client.today()
    answer = client.jobs.instances(job_id, today - timedelta(days=1), today + timedelta(days=1))
    if isinstance(answer, Absent):
        raise InputProblem(
            f"Alma has no job {job_id}: manual jobs have other numbers in other institutions and environments; "
            "give the job's name instead"
        )
    if isinstance(answer, Unknown):
        raise answer.error
    return answer.value


def look_at_job(client: AlmaClient, instance_id: str, *, job_id: str = ANY_JOB) -> JobEnd | None:
    """Look at an instance once: how it ended, or None while it runs and while Alma cannot be asked.

    An outage outlasts no job, so it is logged and no error. Raises InputProblem for an instance that Alma does not
    know, and RemoteStop for what a later look cannot mend (key, rights, daily threshold).
    """
    try:
        answer = client.jobs.instance(job_id, instance_id)
    except (RemoteUnreachable, BudgetUnknown) as outage:
        log.warning("Alma could not be asked about job instance %s: %s", instance_id, outage)
        return None
    if isinstance(answer, Absent):
        raise InputProblem(f"Alma knows no job instance {instance_id} of job {job_id}: {answer.error}")
    if isinstance(answer, Unknown):
        log.warning("Alma could not be asked about job instance %s: %s", instance_id, answer.error)
        return None
    found = answer.value
    log.info("Job instance %s (%s): %s", found.id, found.name, found.status)
    if not found.finished:
        return None
    return JobEnd(found.id, found.name, found.status, list(found.alerts), dict(found.counters))


def check_job(end: JobEnd, *, also_accept: Collection[str] = ()) -> JobEnd:
    """The end itself when it is COMPLETED_SUCCESS or one of `also_accept`.

    Raises JobNotSuccessful with Alma's own sentences for every other status."""
    if end.status in SUCCESS or end.status in also_accept:
        return end
    why = "; ".join(each.rstrip(". ") for each in end.alerts) or "Alma gives no reason"
    raise JobNotSuccessful(
        f"The Alma job {end.name} (instance {end.instance_id}) ended as {end.status}: {why}. "
        "See its report in Alma under Admin > Monitor Jobs > History"
    )
