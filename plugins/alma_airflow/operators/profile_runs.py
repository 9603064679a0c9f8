"""The tasks of `import_profile_run`: each calls one step of `alma_etl.profile_runs`."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar, NoReturn

from airflow.sdk import Context, Param, timezone
from airflow.sdk.exceptions import AirflowFailException, TaskDeferralTimeout

from alma_airflow.hooks.alma import AlmaHook
from alma_airflow.hooks.ledger import run_key
from alma_airflow.hooks.store import open_bucket, store_url
from alma_airflow.operators.base import EtlOperator, unsuccessful_tasks
from alma_airflow.triggers.import_run import (
    JOB,
    NOT_STARTED,
    PERHAPS_STARTED,
    ImportJobTrigger,
    TurnTrigger,
    goes_on,
    note_ended,
)
from alma_airflow.ui.links import AlmaJobLink, ReportLink
from alma_etl.alma.tasks import JobBusy
from alma_etl.jobs.links import AlmaUrls
from alma_etl.profile_runs.conf import MOST_READ, read_conf
from alma_etl.profile_runs.report import check_outcome, results_of, write_report
from alma_etl.profile_runs.submit import ProfileRunFolder, look, submit
from alma_etl.store.locks import open_locks

_LOCK_SECONDS = 60.0  # seconds to wait for another run's start of the same job before this one is tried again

PROFILE_RUN_PARAMS = {
    "profile_id": Param(
        None,
        type=["null", "string"],  # with "integer" the form would round an id of 17 digits
        title="Import profile",
        description="The id of the import profile: digits, as in its address or in GET /conf/md-import-profiles. Its "
        "job is looked up. Give this or the job.",
        pattern="^ *[0-9]{0,20} *$",
    ),
    "job_id": Param(
        None,
        type=["null", "string"],
        title="Job",
        description="Instead of the profile: the id of its scheduled job, an S and digits.",
        pattern="^ *(S[0-9]{1,20})? *$",
    ),
    "expected": Param(
        None,
        type=["null", "integer", "object"],
        minimum=0,
        title="Expected records",
        description="How many records the files hold, all together: fewer, or fewer that were imported or matched, "
        "make the run red. Empty: not compared. Programs may send an object with files, records, imported, matched, "
        "discarded, po_lines, headings.",
    ),
    "expected_files": Param(
        None,
        type=["null", "integer"],
        minimum=0,
        title="Expected files",
        description="How many files Alma has made of what was sent, which splits large ones: fewer make the run red. "
        "Empty: not compared.",
    ),
    "label": Param(
        None,
        type=["null", "string"],
        maxLength=500,
        title="Label",
        description="Stands in the report and beside the run. Alma is sent none of it.",
    ),
    "note": Param(
        None,
        type=["null", "string"],
        format="multiline",
        maxLength=4000,
        title="Note",
        description="Stands in the report.",
    ),
    "read": Param(
        1000,
        type="integer",
        minimum=0,
        maximum=MOST_READ,
        title="Titles to read",
        description="How many of the titles that were loaded are read afterwards, 100 a call; of more, a sample.",
    ),
    "dry_run": Param(
        False,
        type="boolean",
        title="Dry run",
        description="Check the form and look the job up; start nothing.",
    ),
}


class ProfileRunOperator(EtlOperator):
    """A task of a run. `alma_conn_id`: the connection of type `alma`."""

    ledger_job = JOB
    template_fields: ClassVar[Sequence[str]] = ("alma_conn_id",)
    operator_extra_links = (ReportLink(), AlmaJobLink())
    alma_job_url = ""
    """Where the run's job is seen in Alma, for the button; "" where that is not known."""

    def __init__(self, *, alma_conn_id: str = "alma_default", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.alma_conn_id = alma_conn_id

    @staticmethod
    def folder(context: Context) -> ProfileRunFolder:
        """The working files of the run that the task belongs to."""
        run = context["dag_run"]
        return ProfileRunFolder(open_bucket(), run.run_id, run.dag_id)

    def urls(self, folder: ProfileRunFolder) -> AlmaUrls:
        """The addresses in Alma, that of the button among them."""
        urls = AlmaHook(self.alma_conn_id).people_urls()
        plan, instance_id = folder.find_plan(), folder.instance_id()
        if plan is not None and instance_id is not None:
            self.alma_job_url = urls.of_job(plan.job_id, instance_id)
        return urls


class WaitingOperator(ProfileRunOperator):
    """A task that leaves worker and pool to others while Alma is at work.

    :param longest: how long it waits; a task that is cleared or retried begins to count again.
    """

    too_late = ""
    """What is said after ``longest``."""

    def __init__(self, *, longest: timedelta, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.longest = longest
        self._since: datetime | None = None
        self._context: Context | None = None

    def execute(self, context: Context) -> Any:
        self._context = context
        return super().execute(context)

    def wait(self, trigger: TurnTrigger | ImportJobTrigger) -> NoReturn:
        """Go on with `again` when the trigger fires."""
        since = self._since or timezone.utcnow()
        left = self.longest - (timezone.utcnow() - since)
        if left <= timedelta(0):
            raise AirflowFailException(self.too_late)
        self.defer(trigger=trigger, method_name="again", kwargs={"since": since.isoformat()}, timeout=left)

    def again(self, context: Context, event: Any = None, *, since: str | None = None) -> Any:
        """Called by Airflow after a wait; what the trigger saw is looked at once more."""
        self._since = None if since is None else datetime.fromisoformat(since)
        return self.execute(context)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Called by Airflow when the task goes on after a wait, or when the wait has ended in the triggerer."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except TaskDeferralTimeout as error:
            raise AirflowFailException(self.too_late) from error

    def on_kill(self) -> None:
        if self._context is None:
            return
        folder = self.folder(self._context)
        instance_id = folder.instance_id()
        not_known = PERHAPS_STARTED if folder.may_have_started() else NOT_STARTED
        what, what_to_do = goes_on(instance_id) if instance_id else not_known
        note_ended(run_key(self._context), what, what_to_do)


class SubmitImport(WaitingOperator):
    """Step 1: starts the job, once for the run; returns the id of its instance.

    While Alma does not start it (402222: three jobs run, 402223: five starts in an hour, 60347: it runs already) the
    triggerer waits, and it is tried again after `turn_seconds`.
    """

    turn_seconds = 15 * 60
    too_late = "Alma has not started the job: others took all turns. Clear submit to wait again"

    def subject(self, context: Context) -> str:
        """What the form names; the job itself once it is looked up."""
        params = context["params"]
        return str(params.get("job_id") or params.get("profile_id") or "")

    def work(self, context: Context) -> str | None:
        folder = self.folder(context)
        with folder.keeping_problem():
            conf = read_conf(context["params"])
        with (
            folder.keeping_problem(),
            AlmaHook(self.alma_conn_id).client() as alma,
            open_locks(store_url(), timeout=_LOCK_SECONDS) as locks,
        ):
            begun = submit(folder, alma, locks, conf)
        self.ledger.note(subject=folder.plan().subject)
        if isinstance(begun, JobBusy):
            self._wait_for_turn(context, begun)
        self.urls(folder)
        return begun

    def _wait_for_turn(self, context: Context, busy: JobBusy) -> NoReturn:
        until = timezone.utcnow() + timedelta(seconds=self.turn_seconds)
        sentence = f"Alma does not start the job yet ({busy.reason}): it is asked again at {until:%H:%M} UTC"
        self.log.info("%s", sentence)
        self.ledger.note(headline=sentence)
        run, perhaps = context["dag_run"], self.folder(context).may_have_started()
        self.wait(
            TurnTrigger(
                dag_id=run.dag_id, run_id=run.run_id, until=until.isoformat(), perhaps_started=perhaps
            )
        )


class WaitForImport(WaitingOperator):
    """Step 2: waits for the end of the job, however it ends; returns its status. Looks after a minute, then ever more
    rarely, at last every half hour."""

    first_seconds = 60
    longest_seconds = 30 * 60
    too_late = (
        "The job has not ended in the time that wait has: clear wait to go on waiting for the same instance"
    )

    def work(self, context: Context) -> str:
        folder = self.folder(context)
        plan = folder.find_plan()
        if plan is not None and plan.conf.dry_run:
            return "dry run"
        with folder.keeping_problem(), AlmaHook(self.alma_conn_id).client() as alma:
            end = look(folder, alma)
        self.urls(folder)
        if end is not None:
            self.log.info("The job ended as %s", end.status)
            return end.status
        run, instance_id = context["dag_run"], str(folder.instance_id())
        self.ledger.note(headline=f"Alma is at work on job instance {instance_id}")
        return self.wait(
            ImportJobTrigger(
                dag_id=run.dag_id,
                run_id=run.run_id,
                instance_id=instance_id,
                alma_conn_id=self.alma_conn_id,
                poke_interval=self.first_seconds,
                longest_interval=self.longest_seconds,
            )
        )


class ReportImport(ProfileRunOperator):
    """Step 3: reads what was loaded, and writes tables and page; returns their keys. Is to run always."""

    def work(self, context: Context) -> dict[str, str]:
        folder = self.folder(context)
        with self.ledger.keeping(lambda: results_of(folder)), AlmaHook(self.alma_conn_id).client() as alma:
            return write_report(folder, alma, self.urls(folder), unsuccessful_tasks(context))


class CheckImportOutcome(ProfileRunOperator):
    """The final check: fails the run when the job failed, counts are short, or records are gone. Is to run always."""

    ends_run = True

    def work(self, context: Context) -> str:
        folder = self.folder(context)
        self.urls(folder)
        sentence = check_outcome(folder, unsuccessful_tasks(context))
        self.log.info("%s", sentence)
        return sentence
