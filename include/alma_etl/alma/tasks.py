"""What a single task of a DAG asks of Alma: one write that is done, or an error that says what to do.

Each may be repeated by a retry of its task: what an earlier attempt did is found, not done again. A job is run in
steps that may each be done by another process: its start is remembered before and after the POST (`JobMemory`), so
that a worker that dies at any moment leaves a successor who finds the instance instead of starting a second one.
Its status alone says whether it has ended: `progress` may stay below 100, and a status that nobody has heard of is
final and no success.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any, Protocol, TypeVar

from alma_etl.alma import writes
from alma_etl.alma.client import AlmaClient
from alma_etl.alma.items import Item
from alma_etl.alma.jobs import SUCCESS, JobInstance
from alma_etl.alma.sets import AlmaSet
from alma_etl.counted import counted
from alma_etl.errors import InputProblem, RunStopped
from alma_etl.remote.answers import Absent, Answer, Unknown
from alma_etl.remote.errors import BudgetUnknown, RemoteError, RemoteShortList, RemoteUnreachable
from alma_etl.remote.safe_write import WriteOutcome, Written

T = TypeVar("T")

log = logging.getLogger(__name__)

PAGE = 100  # Alma's upper bound for members of one page


def settled(written: Written[T], problem: str) -> T:
    """What is in Alma now, when a write is done.

    `problem` begins the sentence otherwise. Raises InputProblem for what Alma refuses or does not have; the
    write's own RemoteError when it failed or nobody knows, after which the task may be tried again.
    """
    if written.done and written.value is not None:
        return written.value
    if written.outcome in (WriteOutcome.REFUSED, WriteOutcome.NOT_FOUND):
        raise InputProblem(f"{problem}: {written.error or 'Alma does not have it'}")
    raise written.error or RunStopped(f"{problem}: {written.outcome}")


def _there(answer: Answer[T], problem: str) -> T:
    if isinstance(answer, Absent):
        raise InputProblem(f"{problem}: {answer.error or 'Alma does not have it'}")
    if isinstance(answer, Unknown):
        raise answer.error
    return answer.value


def create_named_set(client: AlmaClient, name: str, content: str, *, description: str = "") -> AlmaSet:
    """An itemised set of this name (POST /conf/sets); one that is there already is taken.

    `content`: BIB_MMS, ITEM, HOLDING, USER, ... Raises InputProblem when the set of this name is of another kind
    or a logical one, whose members cannot be managed (60114).
    """
    made = settled(
        writes.create_set(client, name, content, description=description), f"The set {name!r} was not made"
    )
    if (made.content, made.type) != (content, "ITEMIZED"):
        raise InputProblem(
            f"Alma has a set named {name!r} already ({made.id}), which is {made.type} and holds {made.content}, "
            f"not ITEMIZED and {content}: choose another name"
        )
    return made


def add_set_members(
    client: AlmaClient,
    set_id: str,
    ids: Sequence[str],
    *,
    id_type: str | None = None,
    fail_on_invalid_id: bool = True,
) -> dict[str, int]:
    """Add members to an itemised set (POST /conf/sets/{set_id}?op=add_members), 1000 a call; return counts.

    `given` = `repeated` in the list + `already_members` + `added` + `not_added`; `size` is the set's now. Ids that
    are members already are found by reading the set (one request per 100) and are not sent, so that a retry goes
    on where an earlier attempt stopped. With `id_type` (BARCODE, OCLC_NUMBER, ...) they cannot be found, since a
    set lists its members by Alma's own ids: then `fail_on_invalid_id=False` passes over them, as over
    unknown ids, and they count as `not_added`. Raises InputProblem when the set is unknown or Alma refuses an id.
    """
    distinct = list(dict.fromkeys(ids))
    before = _there(client.sets.read(set_id), f"There is no set {set_id}").number_of_members
    members = set_members(client, set_id, before) if id_type is None else set()
    missing = [each for each in distinct if each not in members]
    after = before
    if missing:
        written = writes.add_members(
            client, set_id, missing, id_type=id_type, fail_on_invalid_id=fail_on_invalid_id
        )
        after = settled(written, f"Not all members were added to the set {set_id}").number_of_members
    return {
        "given": len(ids),
        "repeated": len(ids) - len(distinct),
        "already_members": len(distinct) - len(missing),
        "added": after - before,
        "not_added": len(missing) - (after - before),
        "size": after,
    }


def set_members(client: AlmaClient, set_id: str, size: int) -> set[str]:
    """All members of a set of this size, 100 a request. Raises RemoteShortList when Alma names fewer."""
    pages = client.in_parallel(
        lambda offset: client.sets.members_page(set_id, offset, limit=PAGE).ids, range(0, size, PAGE)
    )
    members = {member for _, ids in pages for member in ids}
    if len(members) < size:
        raise RemoteShortList(
            f"GET /conf/sets/{set_id}/members",
            None,
            "",
            f"the set counts {counted(size, 'member')} but names {len(members)}, so that nobody knows which are "
            f"missing",
            named=sorted(members),
            counted=size,
        )
    return members


def update_one_item(
    client: AlmaClient,
    changes: Mapping[str, Mapping[str, Any]],
    *,
    barcode: str = "",
    mms_id: str = "",
    holding_id: str = "",
    item_pid: str = "",
) -> tuple[WriteOutcome, Item]:
    """Change some fields of one item, found by its barcode or by its three ids; `changes` as for
    `writes.update_item`.

    `updated`, `unchanged` (nothing was sent), or `adopted` (the answer was lost, but the change is there). Raises
    InputProblem when the item is unknown, Alma refuses the change, or `changes` and ids do not say what is meant.
    """
    by_ids = bool(mms_id and holding_id and item_pid)
    if by_ids == bool(barcode):
        raise InputProblem("Name the item by its barcode, or by mms_id, holding_id and item_pid")
    if not any(changes.values()):
        raise InputProblem("No field of the item is to be changed: give item_data or holding_data")
    if barcode:
        found = _there(client.items.by_barcode(barcode), f"No item has the barcode {barcode}")
        mms_id, holding_id, item_pid = found.mms_id, found.holding_id, found.pid
    written = writes.update_item(client, mms_id, holding_id, item_pid, changes)
    return written.outcome, settled(written, f"The item {barcode or item_pid} was not changed")


ANY_JOB = "ALL"
OVERLAPS = "60347"
BUSY = frozenset({"402222", "402223", OVERLAPS})
"""Refusals that pass by themselves: three jobs run already, five starts of one job in an hour, a run that
overlaps."""

_NEVER = {
    "402248": ", since Alma's API cannot start it: of import profiles it starts those that fetch their files by "
    "FTP/SFTP or OAI, and digital ones; run it in Alma",
    "402249": ", since Alma's API starts no jobs of this category; run it in Alma",
}

STARTED, _KNOWN = "alma_job_instance", "alma_job_instances_before"
"""The keys of a `JobMemory`: the instance that was started, and those that there were before, with the day."""
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
    found = memory.get(STARTED)
    return None if found is None else str(found)


@dataclass(frozen=True)
class JobBusy:
    """Alma does not start the job now, and will later: why."""

    reason: RemoteError


def start_job(
    client: AlmaClient,
    job: str,
    parameters: Mapping[str, str],
    memory: JobMemory,
    of_others: Callable[[], Collection[str]] = tuple,
) -> str | JobBusy:
    """Start a job (see `find_job`), once for this memory; the id of the instance, or why Alma is too busy (`BUSY`).

    A start that an earlier call noted is not repeated. One that an earlier call was about to make is looked for
    among the instances that are new since then, those called `job_name` when the parameters have it (without it,
    one that somebody else started meanwhile could be mistaken for it), but for those that are known to be `of_others`;
    however long ago that was.
    Raises InputProblem when Alma refuses the job or its parameters; RemoteError when nobody knows, after which a
    further call looks again.
    """
    started = started_job(memory)
    if started is not None:
        return started
    begun = _start(client, find_job(client, job), parameters, memory, of_others)
    if not isinstance(begun, JobBusy):
        memory.set(STARTED, begun)
    return begun


def forget_job(memory: JobMemory) -> None:
    """Let the next `start_job` start a new run."""
    memory.delete(STARTED)
    memory.delete(_KNOWN)


def _start(
    client: AlmaClient,
    job_id: str,
    parameters: Mapping[str, str],
    memory: JobMemory,
    of_others: Callable[[], Collection[str]],
) -> str | JobBusy:
    noted = memory.get(_KNOWN)
    known, day = _noted(noted, client.today())
    now = _instances(client, job_id, day)
    if noted is not None:
        adopted = _started_before(now, {*known, *of_others()}, parameters.get("job_name"), job_id)
        if adopted is not None:
            log.info("An earlier attempt has started instance %s of job %s", adopted, job_id)
            return adopted
    memory.set(_KNOWN, {"day": day.isoformat(), "ids": [each.id for each in now]})
    written = writes.run_job(client, job_id, parameters)
    error = written.error
    # It overlaps with a run that no list names yet: perhaps the one that the earlier attempt started.
    ours = (
        noted is not None
        and error is not None
        and error.code == OVERLAPS
        and all(each.finished for each in now)
    )
    if written.outcome is not WriteOutcome.UNCONFIRMED and not written.done and not ours:
        memory.delete(_KNOWN)  # nothing was started, and what others start from now on is not ours
    unsure = written.outcome in (WriteOutcome.REFUSED, WriteOutcome.UNCONFIRMED)
    if unsure and error is not None and error.code in BUSY:
        log.info("Alma cannot start the job yet: %s", error)
        return JobBusy(error)
    why = "" if error is None else _NEVER.get(error.code, "")
    return settled(written, f"The job {job_id} was not started{why}")


def _noted(noted: Any, today: date) -> tuple[list[str], date]:
    """What an earlier attempt noted: the instances that there were, and the day from which on to look."""
    if isinstance(noted, Mapping):
        return noted["ids"], date.fromisoformat(noted["day"])
    return noted or [], today  # nothing, or by an earlier version, which kept no day


def _started_before(
    now: Collection[JobInstance], known: Collection[str], name: str | None, job_id: str
) -> str | None:
    new = [each.id for each in now if each.id not in known and name in (None, each.name)]
    if len(new) > 1:
        raise RunStopped(
            f"The job {job_id} has several new instances ({', '.join(new)}), and an earlier attempt may have started "
            "one of them: look at them in Alma under Admin > Monitor Jobs. If the job is to run once more, start a new "
            "run of the DAG; this one starts none"
        )
    return new[0] if new else None


def _instances(client: AlmaClient, job_id: str, since: date) -> list[JobInstance]:
    """Those of the days since then, and of a day more at both ends: Alma's days are the institution's, ours UTC's."""
    one = timedelta(days=1)
    answer = client.jobs.instances(job_id, since - one, client.today() + one)
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
    know, and RemoteStop for what a later look cannot change (key, rights, daily threshold).
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
