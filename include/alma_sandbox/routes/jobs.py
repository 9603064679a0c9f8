"""Jobs: list, run, poll (section 11)."""

import re

from lxml import etree

from alma_sandbox.administration.imports import Load
from alma_sandbox.administration.jobs import JOBS, RUNNING_AT_ONCE, STARTS_AN_HOUR, Instance, Job
from alma_sandbox.catalogue.marc import Record, data_field, to_element
from alma_sandbox.http import bodies
from alma_sandbox.http.answers import DECLARATION, XML_TYPE, Answer, Payload, Plain, code, listing
from alma_sandbox.http.call import BASE, Call, route
from alma_sandbox.http.errors import Refusal
from alma_sandbox.sandbox import Sandbox
from alma_sandbox.state.clock import timestamp


def _job(call: Call) -> Job:
    found = JOBS.get(call.path["job_id"])
    if found is None:
        raise Refusal("402215", f"Job ID {call.path['job_id']} is not valid.")
    return found


def _shape(call: Call, job: Job) -> Payload:
    return {
        "id": job.id,
        "name": job.name,
        "description": job.description,
        "type": code(job.type, job.type.capitalize()),
        "category": code(job.category, job.category.replace("_", " ").capitalize()),
        "content": code(job.content),
        "schedule": code("NOT_SCHEDULED", "Not scheduled"),
        "link": call.link(f"/conf/jobs/{job.id}"),
    }


def _parameters(job: Job) -> list[Payload]:
    return [{"name": code(name, name), "value": ""} for name in job.parameters]


def read_list(call: Call) -> Answer:
    """``GET /conf/jobs``."""
    offset, limit = call.page()
    kind, category = call.query.get("type", ""), call.query.get("category", "")
    profile_id = call.query.get("profile_id", "")
    found = [
        job
        for job in JOBS.values()
        if kind in ("", job.type) and category in ("", job.category) and profile_id in ("", job.profile_id)
    ]
    rows = [_shape(call, job) for job in found[offset : offset + limit]]
    return Answer("jobs", listing("job", rows, len(found)))


def read_one(call: Call) -> Answer:
    """``GET /conf/jobs/{job_id}``: with the names of its parameters."""
    job = _job(call)
    return Answer("job", {**_shape(call, job), "parameter": _parameters(job)})


def run(call: Call) -> Answer:
    """``POST /conf/jobs/{job_id}?op=run``: at most 3 at once (402222), 5 starts of a job an hour (402223), and no
    two runs of a scheduled job at once (60347)."""
    job = _job(call)
    if call.query.get("op") != "run":
        raise Refusal("402220", f"Operation {call.query.get('op', '')} is not valid.")
    given: dict[str, str] = {}
    for row in bodies.many(bodies.read(call).get("parameter")):
        if isinstance(row, dict):
            given[bodies.text(row.get("name"))] = bodies.text(row.get("value"))
    unknown = sorted(set(given) - set(job.parameters)) if job.type == "MANUAL" else []
    if unknown:
        raise Refusal("402228", f"Job parameter {unknown[0]} is not valid.")
    if job.type == "MANUAL" and given.get("set_id") not in call.sandbox.sets.by_id:
        raise Refusal("402229", f"Job parameter set_id is not valid: {given.get('set_id', '')}.")
    if call.sandbox.jobs.running() >= RUNNING_AT_ONCE:
        raise Refusal("402222", f"The threshold of {RUNNING_AT_ONCE} jobs running at once was reached.")
    if call.sandbox.jobs.started_lately(job) >= STARTS_AN_HOUR:
        raise Refusal(
            "402223", f"The threshold of {STARTS_AN_HOUR} starts of one job in an hour was reached."
        )
    if call.sandbox.jobs.overlaps(job):
        raise Refusal("60347", f"The job {job.name} is running: a run that overlaps was not started.")
    made = call.sandbox.jobs.start(job, given)
    link = call.link(f"/conf/jobs/{job.id}/instances/{made.id}")
    info = {"value": f"Job no. {made.id} triggered on {timestamp(made.submitted)}", "link": link}
    return Answer("job", {**_shape(call, job), "parameter": _parameters(job), "additional_info": info})


def instance_shape(sandbox: Sandbox, base: str, found: Instance, job_id: str = "") -> Payload:
    """A run; ``progress`` stays below 100 when it fails, so poll ``status``."""
    now = sandbox.clock.now()
    status = found.status(now)
    members = sandbox.sets.by_id.get(found.parameters.get("set_id", ""))
    size = sandbox.sets.size(members) if members is not None else 0
    good = status.startswith("COMPLETED_SUCCESS")
    done = not found.running(now)
    alerts = [] if good or not done else [code("alert_general_error", f"The job ended as {status}.")]
    counters: list[Payload] = []
    if done and found.load is not None:
        counters = [
            {"type": code(key, name), "value": str(value)} for key, name, value in found.load.counters()
        ]
    elif done:
        processed = size if good else 0
        counters = [
            {
                "type": code("label.new.records.processed", "Number of records processed"),
                "value": str(processed),
            },
            {
                "type": code("label.new.records.failed", "Number of records with exceptions"),
                "value": str(size - processed),
            },
        ]
    return {
        "id": found.id,
        "external_id": found.id,
        "name": found.name,
        "submitted_by": code(found.submitted_by, f"{found.submitted_by}, Ex Libris"),
        "submit_time": timestamp(found.submitted),
        "start_time": timestamp(found.submitted) if status != "QUEUED" else None,
        "end_time": timestamp(found.ends) if done else None,
        "progress": 100 if good else 0 if status == "QUEUED" else 50,
        "status": code(status, status.replace("_", " ").capitalize()),
        "status_date": f"{now:%Y-%m-%d}Z",
        "alert": alerts,
        "counter": counters,
        "action": [],
        "job_info": {
            "id": found.job.id,
            "name": found.job.name,
            "description": found.job.description,
            "type": code(found.job.type, found.job.type.capitalize()),
            "category": code(found.job.category),
            "link": f"{base}/conf/jobs/{found.job.id}",
        },
        "link": f"{base}/conf/jobs/{job_id or found.job.id}/instances/{found.id}",
    }


def instances(call: Call) -> Answer:
    """``GET /conf/jobs/{job_id}/instances``: newest first; both submit dates are required."""
    job = _job(call)
    low, high = (_date(call, name) for name in ("submit_date_from", "submit_date_to"))
    offset, limit = call.page()
    wanted, now = call.query.get("status", ""), call.sandbox.clock.now()
    found = [
        entry
        for entry in reversed(call.sandbox.jobs.by_id.values())
        if entry.job is job
        and low <= f"{entry.submitted:%Y-%m-%d}" <= high
        and wanted in ("", entry.status(now))
    ]
    rows = [instance_shape(call.sandbox, call.base, entry) for entry in found[offset : offset + limit]]
    return Answer("job_instances", listing("job_instance", rows, len(found)))


def _date(call: Call, name: str) -> str:
    text = call.query.get(name, "")
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}Z?", text):
        raise Refusal("402219", f"Parameter {name} is required as YYYY-MM-DD.")
    return text[:10]


def instance(call: Call) -> Answer:
    """``GET /conf/jobs/{job_id|ALL}/instances/{instance_id}``."""
    found = call.sandbox.jobs.by_id.get(call.path["instance_id"])
    if found is None or call.path["job_id"] not in ("ALL", "M0", found.job.id):
        raise Refusal("402218", f"Job instance ID {call.path['instance_id']} is not valid.")
    return Answer("job_instance", instance_shape(call.sandbox, call.base, found))


def _import(call: Call) -> tuple[Instance, Load]:
    """The run of an import that a call asks about; other jobs have no matches and no records."""
    found = call.sandbox.jobs.by_id.get(call.path["instance_id"])
    if found is None or call.path["job_id"] not in ("ALL", found.job.id):
        raise Refusal("402218", f"Job instance ID {call.path['instance_id']} is not valid.")
    if found.load is None:
        raise Refusal("401873", f"The job {found.job.name} does not support this operation.")
    return found, found.load


def matches(call: Call) -> Answer:
    """``GET …/instances/{instance_id}/matches``: the records that wait for staff, with the titles that they match. No
    document shows the shape of a row."""
    _, load = _import(call)
    population = call.choice("population", "", ("SINGLE_MATCHES", "MULTI_MATCHES"))
    offset, limit = call.page()
    found = load.matches(population)
    rows: list[Payload] = [
        {"record_id": key, "matched": [{"mms_id": mms_id} for mms_id in mms_ids]}
        for key, mms_ids in found[offset : offset + limit]
    ]
    return Answer("matches", listing("match", rows, len(found)))


def events(call: Call) -> Answer:
    """``GET …/instances/{instance_id}/events``: documented for jobs of users alone; by the setting ``import_events``
    imports have them too. No document shows the shape of a row."""
    _, load = _import(call)
    if call.sandbox.settings.import_events == "refused":
        raise Refusal("401873", "The job does not support this operation.")
    offset, limit = call.page()
    rows: list[Payload] = [
        {"id": str(number), "severity": code("WARNING", "Warning"), "description": text}
        for number, text in enumerate(load.events, 1)
    ]
    return Answer("events", listing("event", rows[offset : offset + limit], len(rows)))


def download(call: Call) -> Plain:
    """``GET …/instances/{instance_id}/download?download_format=XML&line_type=TOTAL_RECORDS_IMPORTED``: the records that
    were loaded, as they were then, whatever became of them since."""
    _, load = _import(call)
    call.choice("download_format", "", ("XML",))  # BINARY is ISO 2709
    call.choice("line_type", "", ("TOTAL_RECORDS_IMPORTED",))
    root = etree.Element("collection")
    for mms_id, title in load.imported:
        record = Record("     nam a22     u  4500", [data_field("245", "00", ("a", title))])
        record.set_control("001", mms_id)
        root.append(to_element(record))
    return Plain(200, DECLARATION + etree.tostring(root, encoding="unicode"), XML_TYPE)


def publish_ended(sandbox: Sandbox) -> None:
    """Send the JOB_END webhooks of runs that have come to their end. Webhooks link with job ``M0``."""
    for found in sandbox.jobs.ended():
        sandbox.events.emit("JOB_END", None, "job_instance", instance_shape(sandbox, BASE, found, "M0"))


def profiles(call: Call) -> Answer:
    """``GET /conf/md-import-profiles``: the profiles behind the import jobs."""
    rows: list[Payload] = [
        {
            "id": job.profile_id,
            "name": job.name.partition(": ")[2],
            "type": code("REPOSITORY" if "biblio" in job.name else "NEW_ORDER"),
            "job_id": job.id,
            "link": call.link(f"/conf/md-import-profiles/{job.profile_id}"),
        }
        for job in JOBS.values()
        if job.profile_id
    ]
    wanted = call.path.get("profile_id")
    if wanted is None:
        return Answer("import_profiles", listing("import_profile", rows))
    found = next((row for row in rows if row["id"] == wanted), None)
    if found is None:
        raise Refusal("401871", f"Import profile {wanted} was not found.")
    return Answer("import_profile", found)


ROUTES = [
    route("/conf/jobs", get=read_list),
    route("/conf/jobs/{job_id}", get=read_one, post=run),
    route("/conf/jobs/{job_id}/instances", get=instances),
    route("/conf/jobs/{job_id}/instances/{instance_id}", get=instance),
    route("/conf/jobs/{job_id}/instances/{instance_id}/matches", get=matches),
    route("/conf/jobs/{job_id}/instances/{instance_id}/events", get=events),
    route("/conf/jobs/{job_id}/instances/{instance_id}/download", get=download),
    route("/conf/md-import-profiles", get=profiles),
    route("/conf/md-import-profiles/{profile_id}", get=profiles),
]
