"""Jobs: starting them under their two thresholds, and their way through the statuses by the sandbox's clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from alma_sandbox.administration.imports import Load

if TYPE_CHECKING:
    from alma_sandbox.sandbox import Sandbox

RUNNING_AT_ONCE = 3
STARTS_AN_HOUR = 5
_STEPS = ("QUEUED", "RUNNING")  # each takes ``job_step_s``; then the outcome


@dataclass(frozen=True)
class Job:
    """A job that can be run, and the parameters that it knows."""

    id: str
    name: str
    type: str
    category: str
    content: str = ""
    description: str = ""
    parameters: tuple[str, ...] = ()
    profile_id: str = ""
    """The import profile that it runs."""


JOBS: dict[str, Job] = {
    job.id: job
    for job in (
        Job(
            "M48",
            "Export Bibliographic Records",
            "MANUAL",
            "EXPORT",
            "BIB_MMS",
            parameters=(
                "task_ExportBibParams_outputFormat_string",
                "task_ExportBibParams_outputRegistryFormat_string",
                "task_ExportBibParams_maxSize_string",
                "task_ExportBibParams_enrich_string",
                "task_ExportBibParams_exportFolder_string",
                "task_ExportParams_ftpConfig_string",
                "task_ExportParams_ftpSubdirectory_string",
                "set_id",
                "job_name",
            ),
        ),
        Job(
            "M18",
            "Change Physical items information",
            "MANUAL",
            "INFORMATION_UPDATE",
            "ITEM",
            parameters=("set_id", "job_name"),
        ),
        Job(
            "M31",
            "Change Holding information",
            "MANUAL",
            "NORMALIZATION",
            "HOLDING",
            parameters=("set_id", "job_name"),
        ),
        Job("S101", "Import bibliographic records: WEST profile", "SCHEDULED", "IMPORT", profile_id="101"),
        Job("S102", "Import orders (EOD): vendor profile", "SCHEDULED", "IMPORT", profile_id="102"),
    )
}


@dataclass
class Instance:
    """One run of a job."""

    id: str
    job: Job
    name: str
    submitted: datetime
    outcome: str
    step: timedelta
    parameters: dict[str, str] = field(default_factory=dict)
    announced: bool = False
    load: Load | None = None
    aborted: datetime | None = None
    submitted_by: str = "exl_api"

    def status(self, now: datetime) -> str:
        """Where the run stands."""
        if not self.running(now):
            return self.outcome
        for number, status in enumerate(_STEPS, 1):
            if now < self.submitted + self.step * number:
                return status
        return self.outcome

    def running(self, now: datetime) -> bool:
        """Whether the run has not come to its end."""
        return now < self.ends

    @property
    def ends(self) -> datetime:
        """When the run comes to its end."""
        return self.aborted or self.submitted + self.step * len(_STEPS)


class Jobs:
    """The runs of a sandbox by id, oldest first."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self.by_id: dict[str, Instance] = {}
        self.waiting: dict[str, Load] = {}  # by profile id: what its next run finds

    def overlaps(self, job: Job) -> bool:
        """Whether a run of this scheduled job has not come to its end."""
        now = self._sandbox.clock.now()
        found = (run for run in self.by_id.values() if run.job is job)
        return job.type == "SCHEDULED" and any(run.running(now) for run in found)

    def abort(self, found: Instance) -> None:
        """End a run as staff do under Monitor Jobs. ValueError when it has ended."""
        now = self._sandbox.clock.now()
        if not found.running(now):
            raise ValueError(f"job instance {found.id} has ended as {found.outcome}")
        found.aborted, found.outcome = now, "USER_ABORTED"

    def running(self) -> int:
        """How many runs have not come to their end."""
        now = self._sandbox.clock.now()
        return sum(found.running(now) for found in self.by_id.values())

    def started_lately(self, job: Job) -> int:
        """How often a job was started in the last hour."""
        since = self._sandbox.clock.now() - timedelta(hours=1)
        return sum(found.job is job and found.submitted > since for found in self.by_id.values())

    def start(self, job: Job, parameters: dict[str, str], submitted_by: str = "exl_api") -> Instance:
        """Start a run; the thresholds are the caller's to check."""
        settings = self._sandbox.settings
        load = self.waiting.pop(job.profile_id, Load(files=0, outcome="COMPLETED_NO_BULKS"))
        made = Instance(
            id=f"53{self._sandbox.number('job')}{self._sandbox.settings.suffix}",
            job=job,
            name=parameters.get("job_name") or job.name,
            submitted=self._sandbox.clock.now(),
            outcome=(load.outcome if job.profile_id else "") or settings.job_outcome,
            step=timedelta(seconds=settings.job_step_s),
            parameters=parameters,
            load=load if job.profile_id else None,
            submitted_by=submitted_by,
        )
        if made.load is not None:
            made.load.carry_out(self._sandbox)
        self.by_id[made.id] = made
        return made

    def ended(self) -> list[Instance]:
        """The runs that came to their end since this was last asked."""
        now = self._sandbox.clock.now()
        found = [run for run in self.by_id.values() if not run.announced and not run.running(now)]
        for run in found:
            run.announced = True
        return found
