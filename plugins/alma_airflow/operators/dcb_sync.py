"""The tasks of `dcb_status_sync`: each calls one step of `alma_etl.dcb.flows.tick`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar

from airflow.sdk import Context

from alma_airflow.hooks import dcb as dcb_hooks
from alma_airflow.hooks.http import http_access
from alma_airflow.hooks.store import open_bucket
from alma_airflow.operators.base import EtlOperator, unsuccessful_tasks
from alma_airflow.ui.links import ReportLink
from alma_etl.dcb.flows.tick import act, apply, poll, report, select
from alma_etl.dcb.flows.tick.folder import Deadline, SyncFolder
from alma_etl.dcb.flows.tick.poll import SystemSources
from alma_etl.dcb.sides.actor import AlmaActor
from alma_etl.dcb.sinks import close_sinks, open_sinks
from alma_etl.errors import InputProblem
from alma_etl.jobs.ledger_purge import TICKS
from alma_etl.jobs.settings_files import refuse_unknown

# The next tick asks again: an Alma that is ill must not use up the time of those that are well.
_ATTEMPTS = 2
_PARAMS = ("pr_ids", "limit", "dry_run")
_LONGEST = (
    30.0  # seconds for one answer; actions have the connection's own time, since a scan may take a minute
)


def _now() -> datetime:
    # Through the module, where tests set another clock.
    return dcb_hooks.now()


class SyncOperator(EtlOperator):
    """A task of a tick. `seconds`: how long it may take before it leaves the rest to the next tick."""

    ledger_job = TICKS
    quotes_errors = False  # that of one request may name its patron

    def __init__(self, *, seconds: float = 60, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seconds = seconds

    @staticmethod
    def folder(context: Context) -> SyncFolder:
        """The working files of the run that the task belongs to."""
        run = context["dag_run"]
        return SyncFolder(open_bucket(), run.run_id, run.dag_id)


class SelectDue(SyncOperator):
    """Step 1: what is due and affordable, leased for this run; returns number and label of each group."""

    def work(self, context: Context) -> list[dict[str, Any]]:
        params, folder = context["params"], self.folder(context)
        with folder.keeping_problem():
            refuse_unknown(params, _PARAMS)
            with dcb_hooks.open_dcb() as dcb:
                self.ledger.note(institution=dcb_hooks.gateways(dcb.settings))
                groups = select.select_due(
                    folder,
                    dcb.store,
                    dcb.settings,
                    dcb.systems,
                    now=_now(),
                    pr_ids=params["pr_ids"] or (),
                    limit=params["limit"],
                    dry_run=bool(params["dry_run"]),
                )
        return [{"number": group.number, "label": group.label} for group in groups]


class Poll(SyncOperator):
    """Step 2: read all sides of one group; `group` is an element of what `SelectDue` returned. Returns counts."""

    template_fields: ClassVar[Sequence[str]] = ("group",)

    def __init__(self, *, group: dict[str, Any], **kwargs: Any) -> None:
        kwargs.setdefault("map_index_template", "{{ task.group['label'] }}")
        super().__init__(**kwargs)
        self.group = group

    def work(self, context: Context) -> dict[str, int]:
        with dcb_hooks.open_dcb(attempts=_ATTEMPTS, longest=_LONGEST) as dcb:
            polled = poll.poll(
                self.folder(context),
                int(self.group["number"]),
                store=dcb.store,
                settings=dcb.settings,
                systems=dcb.systems,
                now=_now,
                deadline=Deadline(self.seconds),
            )
        return {"polled": polled.polled, "frozen": polled.frozen, "late": polled.late}


class Apply(SyncOperator):
    """Step 3: what was seen goes through the state machine. Is to run always; returns counts."""

    def work(self, context: Context) -> dict[str, int]:
        with dcb_hooks.open_dcb() as dcb:
            return apply.apply(self.folder(context), store=dcb.store, settings=dcb.settings, now=_now)


class Act(SyncOperator):
    """Step 4: what the machine asked for is done in Alma. Is to run always; returns counts."""

    def work(self, context: Context) -> dict[str, int]:
        with dcb_hooks.open_dcb(attempts=_ATTEMPTS) as dcb:
            worked = act.act(
                self.folder(context),
                store=dcb.store,
                settings=dcb.settings,
                actor=AlmaActor(dcb.systems, _now),
                open_system=SystemSources(dcb.systems).open,
                now=_now,
                deadline=Deadline(self.seconds),
                dry_run=bool(context["params"]["dry_run"]),
            )
        return {"done": worked.done, "refused": worked.refused, "later": worked.later, "held": worked.held}


class Publish(SyncOperator):
    """Step 5: the sinks are notified of what happened. Is to run always; returns counts."""

    def work(self, context: Context) -> dict[str, int]:
        with dcb_hooks.open_dcb() as dcb:
            sinks = open_sinks(dcb.settings, http_access, now=_now, last_sent=dcb.store.last_sent)
            try:
                worked = act.publish(
                    self.folder(context),
                    store=dcb.store,
                    settings=dcb.settings,
                    sinks=sinks,
                    now=_now,
                    deadline=Deadline(self.seconds),
                    dry_run=bool(context["params"]["dry_run"]),
                )
            finally:
                close_sinks(sinks)
        return {"published": worked.done, "refused": worked.refused, "later": worked.later}


class WriteSyncReport(SyncOperator):
    """Step 6: the page and the numbers; returns their keys. Is to run always."""

    operator_extra_links = (ReportLink(),)

    def work(self, context: Context) -> dict[str, str]:
        folder, states = self.folder(context), unsuccessful_tasks(context)
        with self.ledger.keeping(lambda: report.results_of(folder)):
            try:
                with dcb_hooks.open_dcb() as dcb:
                    return report.report(
                        folder,
                        store=dcb.store,
                        settings=dcb.settings,
                        task_states=states,
                        now=dcb_hooks.now(),
                    )
            except InputProblem as problem:  # without settings there is no more to say than that
                return report.report_problem(folder, str(problem))


class CheckSyncOutcome(SyncOperator):
    """The final check: fails the run when people have to do something. Is to run always."""

    ends_run = True
    quotes_errors = True
    operator_extra_links = (ReportLink(),)

    def work(self, context: Context) -> str:
        sentence = report.check_outcome(self.folder(context), unsuccessful_tasks(context))
        self.log.info("%s", sentence)
        return sentence
