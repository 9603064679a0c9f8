"""Steps 1 and 2: the job of a profile found, started once, and looked at until it has ended.

Before the start the run notes which instances of the job there are, and after it which one is its own, both in its
working files: whatever dies in between, the next attempt finds the instance. Runs of one job take turns by a lock while
they start; an instance that another run noted as its own is never taken.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from typing import Any

from pydantic import BaseModel, ConfigDict

from alma_etl.alma.client import AlmaClient
from alma_etl.alma.errors import AlmaDailyThreshold, AlmaQuotaFloor
from alma_etl.alma.jobs import Job
from alma_etl.alma.tasks import ANY_JOB, STARTED, JobBusy, JobEnd, look_at_job, start_job, started_job
from alma_etl.errors import InputProblem
from alma_etl.jobs.folder import STARTS, PlannedRun
from alma_etl.profile_runs.conf import ProfileRunConf
from alma_etl.remote.answers import Absent, Unknown
from alma_etl.remote.errors import RemoteRefused
from alma_etl.store.bucket import Bucket
from alma_etl.store.locks import Locks

log = logging.getLogger(__name__)


class ProfilePlan(BaseModel):
    """What the first step decided: the job, and the Alma that it is of.

    ``institution``: `General.key`, since many share a gateway (``host``), and a sandbox that was copied from a
    production has the ids of its jobs; "" in plans of an earlier version.
    """

    model_config = ConfigDict(frozen=True)

    conf: ProfileRunConf
    host: str
    institution: str = ""
    job_id: str
    job_name: str

    def asks_the_same(self, host: str, institution: str, conf: ProfileRunConf) -> bool:
        """Whether a form names this profile or job, of the same Alma."""
        here = self.host == host and self.institution in ("", institution)
        return here and (conf.profile_id, conf.job_id) == (self.conf.profile_id, self.conf.job_id)

    @property
    def of_an_earlier_version(self) -> ProfilePlan:
        """The plan as it was when starts were noted by gateway and job alone."""
        return self.model_copy(update={"institution": ""})

    @property
    def subject(self) -> str:
        """The job in words."""
        return f"{self.job_id} {self.job_name}".strip()


class ProfileRunFolder(PlannedRun[ProfilePlan]):
    """The working files of a run, ``runs/import_profile_run/{run_id}/``."""

    def __init__(self, bucket: Bucket, run_id: str, dag_id: str) -> None:
        super().__init__(bucket, run_id, dag_id, ProfilePlan)
        self._runs = f"runs/{dag_id}/"

    def notes(self, plan: ProfilePlan) -> StartNotes:
        """What this run knows of its start of this job."""
        return StartNotes(self, plan)

    def may_have_started(self) -> bool:
        """Whether the run noted a start of any job, or was about to make one. Its notes outlive its plan."""
        return next(iter(self.bucket.list(self.key(STARTS))), None) is not None

    def instance_id(self) -> str | None:
        """The instance that this run started, None as long as there is none."""
        plan = self.find_plan()
        return None if plan is None or plan.conf.dry_run else started_job(self.notes(plan))

    def of_others(self, plan: ProfilePlan) -> set[str]:
        """The instances of the job that other runs noted as theirs."""
        noted = re.compile(rf"/(?:{_digest(plan)}|{_digest(plan.of_an_earlier_version)})/started-([^/]+)$")
        keys = (each.key for each in self.bucket.list(self._runs) if not each.key.startswith(self.prefix))
        return {found[1] for key in keys if (found := noted.search(key))}

    def save_end(self, end: JobEnd) -> None:
        """Keep how the job ended."""
        self.bucket.put(self.key("end.json"), json.dumps(end.as_dict()).encode(), "application/json")

    def end(self) -> JobEnd | None:
        """How the job ended, None as long as nobody knows."""
        found = self.bucket.find(self.key("end.json"))
        end = None if found is None else JobEnd(**json.loads(found))
        return end if end is not None and end.instance_id == self.instance_id() else None


def _digest(plan: ProfilePlan) -> str:
    alma = f"{plan.host} {plan.institution}".strip()
    return hashlib.sha256(f"{alma} {plan.job_id}".encode()).hexdigest()[:16]


class StartNotes:
    """The memory of `start_job` in a run's working files, by Alma and job. That an instance is the run's own stands in
    the name of an object, which other runs see."""

    def __init__(self, folder: ProfileRunFolder, plan: ProfilePlan) -> None:
        self._bucket = folder.bucket
        self._prefix = folder.key(f"{STARTS}{_digest(plan)}/")

    def any(self) -> bool:
        """Whether the job was started, or may have been."""
        return next(iter(self._bucket.list(self._prefix)), None) is not None

    def get(self, key: str) -> Any:
        """What was noted; None for nothing."""
        if key == STARTED:
            started = f"{self._prefix}started-"
            return next((each.key.removeprefix(started) for each in self._bucket.list(started)), None)
        found = self._bucket.find(f"{self._prefix}{key}.json")
        return None if found is None else json.loads(found)

    def set(self, key: str, value: Any) -> None:
        """Note it."""
        name = f"started-{value}" if key == STARTED else f"{key}.json"
        self._bucket.put(f"{self._prefix}{name}", json.dumps(value).encode(), "application/json")

    def delete(self, key: str) -> None:
        """Forget it; what was started is never forgotten."""
        self._bucket.delete([f"{self._prefix}{key}.json"])


def job_of(client: AlmaClient, conf: ProfileRunConf) -> Job:
    """The scheduled job that is asked for (GET /conf/jobs). Raises InputProblem unless it is exactly one."""
    if conf.job_id is not None:
        answer = client.jobs.read(conf.job_id)
        if isinstance(answer, Absent):
            raise InputProblem(
                f"Alma has no job {conf.job_id}: jobs have other ids in other institutions and environments; give "
                "the profile_id instead, or look the id up in Alma under Admin > Monitor Jobs > Scheduled"
            )
        if isinstance(answer, Unknown):
            raise answer.error
        return _of_imports(answer.value)
    try:
        found = client.jobs.find(type="SCHEDULED", profile_id=conf.profile_id)
    except RemoteRefused as refusal:
        raise InputProblem(f"Alma does not know the import profile {conf.profile_id}: {refusal}") from refusal
    if not found:
        raise InputProblem(
            f"Alma has no scheduled job for the import profile {conf.profile_id}: only profiles that fetch their files "
            "(FTP/SFTP, OAI) and digital ones have one; look the id up in Alma under Resources > Import > Manage "
            "Import Profiles"
        )
    if len(found) > 1:
        named = ", ".join(f"{each.id} ({each.name})" for each in found[:5])
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        raise InputProblem(
            f"Alma names several scheduled jobs for the import profile {conf.profile_id}: {named}{more}; give the "
            "job_id of the one you mean"
        )
    return found[0]


def _of_imports(job: Job) -> Job:
    """A job that is given by its id, unless it is known to do something else: Alma would start that."""
    category = f"{job.category} {job.category_name}".strip()
    if category and "import" not in category.lower():
        raise InputProblem(
            f"The job {job.id} ({job.name}) runs no import profile, its category is "
            f"{job.category_name or job.category}: give the profile_id, or the id of the profile's job"
        )
    return job


def submit(
    folder: ProfileRunFolder, client: AlmaClient, locks: Locks, conf: ProfileRunConf
) -> str | JobBusy | None:
    """Start the job, once for this run: the id of its instance, or why Alma lets it wait; None for a dry run.

    Raises InputProblem for what no later attempt can change, RemoteError when nobody knows whether it was started: a
    further attempt looks first.
    """
    plan = _plan(folder, client, conf)
    folder.write_plan(plan)
    if conf.dry_run:
        log.info("Dry run: the job %s would be started", plan.subject)
        return None
    with locks.hold(f"the start of job {plan.job_id} at {client.host}"):
        begun = start_job(client, plan.job_id, {}, folder.notes(plan), lambda: folder.of_others(plan))
    if not isinstance(begun, JobBusy):
        log.info("Job instance %s of %s is this run's", begun, plan.subject)
    return begun


def _plan(folder: ProfileRunFolder, client: AlmaClient, conf: ProfileRunConf) -> ProfilePlan:
    """The plan by the form as it is now. A job that this run has started, or may have, stays its job, whatever Alma
    names for the profile since."""
    institution = client.conf.general().key
    before = folder.find_plan()
    if (
        before is not None
        and before.asks_the_same(client.host, institution, conf)
        and folder.notes(before).any()
    ):
        return before.model_copy(update={"conf": conf})
    job = job_of(client, conf)
    plan = ProfilePlan(conf=conf, host=client.host, institution=institution, job_id=job.id, job_name=job.name)
    earlier = plan.of_an_earlier_version
    return earlier if folder.notes(earlier).any() else plan


def look(folder: ProfileRunFolder, client: AlmaClient) -> JobEnd | None:
    """Look at the job once and keep how it ended; see `look_at_run`. Raises InputProblem when nothing was started."""
    instance_id = folder.instance_id()
    if instance_id is None:
        raise InputProblem("This run has started no job of Alma, or its working files are gone: clear submit")
    end = look_at_run(client, instance_id)
    if end is not None:
        folder.save_end(end)
    return end


def look_at_run(client: AlmaClient, instance_id: str) -> JobEnd | None:
    """How a run of a job ended, None while it runs and while Alma cannot be asked, also because today's calls are used
    up: a job goes on for days."""
    try:
        return look_at_job(client, instance_id, job_id=ANY_JOB)
    except (AlmaDailyThreshold, AlmaQuotaFloor) as later:
        log.warning("Alma cannot be asked about job instance %s now: %s", instance_id, later)
        return None
