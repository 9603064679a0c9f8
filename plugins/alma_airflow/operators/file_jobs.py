"""The tasks of every job on dropped files: each does one step of an `alma_etl.jobs.file_job.FileJob`.

::

    JOB = file_job("alma_etl.items.job.ItemCreation", area="items", dag_id="item_creation")
    chunks = ReadFile(task_id="read_file", job=JOB)
    checked = RunStep(task_id="check_codes", job=JOB, step="check", pool="alma_api")

dags/item_creation.py shows the whole of it.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, timedelta
from inspect import getdoc
from typing import Any, ClassVar

from airflow.sdk import Context, Param
from airflow.sdk.exceptions import AirflowSkipException
from airflow.sdk.module_loading import import_string

from alma_airflow.hooks.aleph import AlephHook
from alma_airflow.hooks.alma import AlmaHook, alma_connection, is_known_sandbox
from alma_airflow.hooks.store import open_bucket, store_url
from alma_airflow.operators.base import EtlOperator, unsuccessful_tasks
from alma_airflow.ui.links import ReportLink
from alma_etl.jobs.file_job import FileJob, JobContext
from alma_etl.jobs.file_run import Superseded
from alma_etl.jobs.places import Area

# The client of each kind of service, by the id of its connection; `sru` has that of `alma`.
CLIENTS: dict[str, Callable[[str], AbstractContextManager[Any]]] = {
    "alma": lambda conn_id: AlmaHook(conn_id).client(),
    "sru": lambda conn_id: AlmaHook(conn_id).sru(),
    "aleph": lambda conn_id: AlephHook(conn_id).client(),
}
CONNECTIONS = {"alma": "alma_default", "aleph": "aleph_default"}


class FileJobOperator(EtlOperator):
    """A task of a run on one file, documented by the job's method of this step.

    ``connections`` has the connection id of each kind of service. Skipped when the first task found that the file was
    replaced, since the new version has a run of its own.
    """

    ledger_job = "file"  # each instance has its job's
    template_fields: ClassVar[Sequence[str]] = ("connections",)

    def __init__(
        self, *, job: FileJob[Any], step: str, connections: Mapping[str, str] | None = None, **kwargs: Any
    ) -> None:
        kwargs.setdefault("doc_md", getdoc(getattr(job, step)))
        super().__init__(**kwargs)
        self.job = job
        self.step = step
        self.connections = dict(connections or CONNECTIONS)
        self.ledger_job = job.area.dag_id

    def subject(self, context: Context) -> str:
        return str(context["params"].get("key") or "")

    def institution(self) -> str:
        return AlmaHook(self.connections["alma"]).gateway() if "alma" in self.connections else ""

    def execute(self, context: Context) -> Any:
        try:
            return super().execute(context)
        except Superseded as nothing_to_do:
            self.ledger.finish("superseded", str(nothing_to_do))
            raise AirflowSkipException(str(nothing_to_do)) from nothing_to_do

    def job_context(
        self,
        context: Context,
        *,
        is_sandbox: Callable[[str], bool] = lambda conn_id: AlmaHook(conn_id).is_sandbox(),
        task_states: Mapping[str, str] | None = None,
    ) -> JobContext:
        """Return what the step gets."""
        run = context["dag_run"]
        moment = run.logical_date or run.run_after
        return JobContext(
            folder=self.job.run_folder(open_bucket(), run.run_id, run.dag_id),
            params=context["params"],
            day=moment.astimezone(UTC).date(),
            open_client=self._open_client,
            store_url=store_url,
            is_sandbox=lambda: "alma" in self.connections and is_sandbox(self.connections["alma"]),
            connections=self.connections,
            ledger=self.ledger,
            task_states=task_states or {},
        )

    def _open_client(self, kind: str, conn_id: str = "", /) -> AbstractContextManager[Any]:
        if conn_id:
            alma_connection(conn_id)
        return CLIENTS[kind](conn_id or self.connections["alma" if kind == "sru" else kind])


class ReadFile(FileJobOperator):
    """The first step, `read`; returns number and label of each chunk."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(step="read", **kwargs)

    def work(self, context: Context) -> list[dict[str, Any]]:
        chunks = self.job.read(self.job_context(context))
        return [{"number": chunk.number, "label": chunk.label} for chunk in chunks]


class RunStep(FileJobOperator):
    """A step of the run as a whole, by the name of the job's method; returns what that returns."""

    def work(self, context: Context) -> Any:
        return self.job.run_step(self.step, self.job_context(context))


class ChunkStep(FileJobOperator):
    """A step of one chunk; `chunk` is an element of what `ReadFile` returned."""

    template_fields: ClassVar[Sequence[str]] = ("connections", "chunk")

    def __init__(self, *, chunk: dict[str, Any], **kwargs: Any) -> None:
        kwargs.setdefault("map_index_template", "{{ task.chunk['label'] }}")
        super().__init__(**kwargs)
        self.chunk = chunk

    def work(self, context: Context) -> Any:
        return self.job.chunk_step(self.step, self.job_context(context), int(self.chunk["number"]))


class FinalStep(FileJobOperator):
    """`report`, `file_away` or `check_outcome`, whatever became of the tasks before."""

    operator_extra_links = (ReportLink(),)

    def __init__(self, *, task_id: str, **kwargs: Any) -> None:
        super().__init__(task_id=task_id, **{"step": task_id, **kwargs})
        self.ends_run = self.step == "check_outcome"

    def work(self, context: Context) -> Any:
        given = self.job_context(
            context, task_states=unsuccessful_tasks(context), is_sandbox=is_known_sandbox
        )
        return getattr(self.job, self.step)(given)


def file_job(path: str, *, area: str, dag_id: str) -> FileJob[Any]:
    """Return the job of a DAG. ``path``: its class; ``area``: the prefix of the bucket where its files are dropped."""
    job: FileJob[Any] = import_string(path)(Area(area, dag_id))
    return job


def file_params(area: str, example: str) -> dict[str, Param]:
    """Return the Params of every job on dropped files. ``example``: a file below ``area``/incoming/."""
    incoming = f"{area}/incoming/"
    return {
        "key": Param(
            incoming,
            type="string",
            title="File",
            description=f"Key of the file in the bucket, such as {incoming}{example}.",
            minLength=1,
            maxLength=1024,
        ),
        "profile": Param(
            None,
            type=["null", "string"],
            title="Profile",
            description=f"Use this profile instead of the folder's; needed for files outside {incoming}.",
            pattern=r"^[A-Za-z0-9_-]*$",
        ),
        "dry_run": Param(
            None,
            type=["null", "boolean"],
            title="Dry run",
            description="Read, check and report what would be done; write nothing to Alma. Empty: as the profile says.",
        ),
        "version": Param(
            None,
            type=["null", "string"],
            title="Version",
            description="Which version of the file is meant; file_intake fills it in. Leave it empty by hand.",
        ),
    }


def file_dag(job: FileJob[Any]) -> dict[str, Any]:
    """Return what the DAGs of all jobs on dropped files share, as arguments of `DAG`."""
    return {
        "dag_id": job.area.dag_id,
        "catchup": False,
        "max_active_runs": 8,
        "default_args": {
            "owner": "library-systems",
            "retries": 3,
            "retry_delay": timedelta(seconds=15),
            "retry_exponential_backoff": 2.0,
            "max_retry_delay": timedelta(minutes=15),
            "execution_timeout": timedelta(hours=12),
            # Tasks nearer to the end have a higher `priority_weight`, so that files are finished instead of all begun.
            "weight_rule": "absolute",
        },
    }
