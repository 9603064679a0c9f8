"""What staff and vendors do about import profiles and jobs: files for a run, a run aborted, one started by schedule.

Reached by the control surface: ``POST /sandbox/import-profiles/{profile_id}``, ``/sandbox/jobs``,
``/sandbox/jobs/{instance_id}``.
"""

from dataclasses import fields
from typing import Any

from pydantic import TypeAdapter

from alma_sandbox.administration.imports import Load
from alma_sandbox.administration.jobs import JOBS, Instance
from alma_sandbox.control.acting import only
from alma_sandbox.sandbox import Sandbox

_LOAD = TypeAdapter(Load)


def fill_profile(sandbox: Sandbox, profile_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Files for the next run of a profile's job, by the names of ``Load``. ValueError for an unknown profile."""
    only(body, *(each.name for each in fields(Load) if each.name not in ("imported", "po_lines")))
    if profile_id not in {job.profile_id for job in JOBS.values() if job.profile_id}:
        raise ValueError(f"no import profile {profile_id}")
    sandbox.jobs.waiting[profile_id] = _LOAD.validate_python(body)
    return {"profile_id": profile_id, "waiting": True}


def start_job(sandbox: Sandbox, body: dict[str, Any]) -> dict[str, Any]:
    """Start a job by its schedule, past the thresholds of the API: ``{"start": "S101"}``."""
    only(body, "start")
    job = JOBS.get(str(body["start"]))
    if job is None:
        raise ValueError(f"no job {body['start']}")
    return {"instance_id": sandbox.jobs.start(job, {}, submitted_by="System").id}


def change_job(sandbox: Sandbox, instance_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Abort a run as staff do (``{"abort": true}``), or say how it will end (``{"outcome": "COMPLETED_FAILED"}``)."""
    only(body, "abort", "outcome")
    found = job_instance(sandbox, instance_id)
    if "outcome" in body:
        found.outcome = str(body["outcome"])
    if body.get("abort"):
        sandbox.jobs.abort(found)
    return {"instance_id": found.id, "status": found.status(sandbox.clock.now())}


def job_instance(sandbox: Sandbox, instance_id: str) -> Instance:
    """A run of a job by its id. ValueError for an unknown one."""
    found = sandbox.jobs.by_id.get(instance_id)
    if found is None:
        raise ValueError(f"no job instance {instance_id}")
    return found
