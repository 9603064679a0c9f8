"""The tasks of `alma_health_check`: each calls the checks of `alma_etl.health`."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from airflow.providers.sftp.hooks.sftp import SFTPHook
from airflow.providers.smtp.hooks.smtp import SmtpHook
from airflow.sdk import Context

from alma_airflow.hooks.aleph import AlephHook
from alma_airflow.hooks.alma import AlmaHook, alma_connection, alma_settings, is_known_sandbox
from alma_airflow.hooks.http import http_access, web_hook_url
from alma_airflow.hooks.ledger import open_ledger
from alma_airflow.hooks.store import find_connection, open_bucket, redis_url, store_url
from alma_airflow.operators.base import EtlOperator, unsuccessful_tasks
from alma_airflow.operators.west import SFTP_CONN_ID
from alma_airflow.ui.links import ReportLink
from alma_etl.alma.client import AlmaClient
from alma_etl.errors import InputProblem
from alma_etl.health.almas import AlmaAccess, check_answers, check_quota, check_rights
from alma_etl.health.connections import OptionalPart, check_aleph, check_optional, check_services
from alma_etl.health.house import BUCKET_ERRORS, check_bucket, check_limiter, check_store
from alma_etl.health.notify import check_notify
from alma_etl.health.report import WORDS, as_rows, health_problems, health_verdict, result_of
from alma_etl.health.settings import DEFAULT_ALMA, Installation, check_settings
from alma_etl.jobs.ledger import Results, run_artefacts
from alma_etl.jobs.setup_checks import SetupCheck, SetupFolder, SetupResult
from alma_etl.jobs.setup_report import setup_results, write_setup_report
from alma_etl.store.db import StoreRefused, StoreUnavailable

SMTP_CONN_ID = "smtp_default"
_SEEN = timedelta(days=30)
_LONGEST = 30.0  # seconds for an answer: the check ends before the night's runs begin
CHECKS = ("check_connection", "check_rights", "check_quota")

# The rows of the checks go from task to task through Airflow itself, some kilobytes: the bucket and the state store
# are what is checked, and a run that finds one of them broken has to say so.
Rows = list[dict[str, Any]]


class HealthOperator(EtlOperator):
    """A task of the health check."""

    ledger_job = "alma_health_check"

    @staticmethod
    def folder(context: Context) -> SetupFolder:
        """The working files of the run that the task belongs to."""
        run = context["dag_run"]
        return SetupFolder(open_bucket(), run.run_id, run.dag_id)


class CheckConnections(HealthOperator):
    """Step 1: state store, limiter, bucket, settings files, and whether each connection can be used."""

    def work(self, context: Context) -> Rows:
        folder = self.folder(context)
        checks = [*check_store(store_url), *check_limiter(redis_url)]
        checks += check_bucket(folder.bucket, folder.key("probe.txt"))
        found, settings = _settings()
        checks += found
        checks += check_answers(settings.almas().keys() | _seen(AlmaHook.conn_type), alma_access)
        checks += check_alephs()
        checks += check_services(settings.services(), http_access)
        checks += check_optional(_optional())
        checks += check_notify(folder.bucket, web_hook_url)
        return as_rows(checks)


class CheckRights(HealthOperator):
    """Step 2: what the keys may do, by Alma's test end points."""

    def work(self, context: Context) -> Rows:
        return as_rows(check_rights(_settings()[1], alma_access))


class CheckQuota(HealthOperator):
    """Step 3: the calls that are left today."""

    def work(self, context: Context) -> Rows:
        return as_rows(check_quota(_settings()[1].almas().keys() | _seen(AlmaHook.conn_type), alma_access))


class ReportHealth(HealthOperator):
    """Step 4: the table and the page; fails the run when the night's runs lack something. Is to run always."""

    ends_run = True
    operator_extra_links = (ReportLink(),)

    def work(self, context: Context) -> str:
        states = unsuccessful_tasks(context)
        parts = [context["ti"].xcom_pull(task_ids=task_id) for task_id in CHECKS]
        result = result_of(parts, datetime.now(UTC))
        with self.ledger.keeping(partial(self._results, context, result)):
            self._write(context, result, states)
        self._sentence = health_verdict(result, states)
        self.log.info("%s", self._sentence)
        return self._sentence

    def _write(self, context: Context, result: SetupResult | None, states: dict[str, str]) -> None:
        """A bucket that cannot be used is one of the findings, and the verdict says it."""
        folder = self.folder(context)
        try:
            if result is not None:
                folder.save(result)
            write_setup_report(folder, result, health_problems(result, states), WORDS)
        except BUCKET_ERRORS as problem:
            self.log.warning("The report could not be written: %s", problem)

    def _results(self, context: Context, result: SetupResult | None) -> Results:
        try:
            artefacts = run_artefacts(self.folder(context), table="checks.csv", summary="setup.json")
        except BUCKET_ERRORS:
            artefacts = []
        return setup_results(result, artefacts)

    def headline(self, result: object) -> str:
        return self._sentence


def alma_access(conn_id: str) -> AlmaAccess:
    """What a connection of type alma gives. Raises InputProblem."""
    settings, hook = alma_settings(alma_connection(conn_id)), AlmaHook(conn_id)
    return AlmaAccess(
        partial(_client, hook), settings.quota_floor, settings.quota_floor_writes, hook.is_sandbox()
    )


@contextmanager
def _client(hook: AlmaHook) -> Iterator[AlmaClient]:
    with hook.client(attempts=2, longest=_LONGEST) as alma:
        yield alma


def _settings() -> tuple[list[SetupCheck], Installation]:
    checks, found = check_settings(open_bucket(), is_known_sandbox)
    alone = find_connection(AlephHook.default_conn_name) and not find_connection(DEFAULT_ALMA)
    return checks, replace(found, aleph_alone=bool(alone))


def _seen(kind: str) -> set[str]:
    """Connections of this type that made calls of late: those of jobs of one's own, which no settings name."""
    with suppress(StoreUnavailable, StoreRefused, InputProblem), open_ledger() as ledger:
        used = {each.connection for each in ledger.api_use(datetime.now(UTC) - _SEEN)}
        found = {conn_id: find_connection(conn_id) for conn_id in used}
        return {conn_id for conn_id, each in found.items() if each and each.conn_type == kind}
    return set()


def check_alephs() -> list[SetupCheck]:
    """`aleph_default` where it is there, and other Alephs that were called of late."""
    default = AlephHook.default_conn_name
    there = _seen(AlephHook.conn_type) | ({default} if find_connection(default) else set())
    return check_aleph(there, lambda conn_id: AlephHook(conn_id).say())


def _optional() -> list[OptionalPart]:
    return [
        OptionalPart(SFTP_CONN_ID, "Deliveries can be copied to the partner by SFTP", _sftp, nightly=True),
        OptionalPart(SMTP_CONN_ID, "Mail can be sent", _smtp, nightly=False),
    ]


def _sftp() -> str | None:
    connection = find_connection(SFTP_CONN_ID)
    if connection is None:
        return None
    folder = str(connection.extra_dejson.get("folder") or ".")
    with SFTPHook(SFTP_CONN_ID).get_managed_conn() as client:
        client.stat(folder)
    return f"It answers, and has the folder {folder}."


def _smtp() -> str | None:
    if find_connection(SMTP_CONN_ID) is None:
        return None
    with SmtpHook(SMTP_CONN_ID) as hook:
        works, found = hook.test_connection()
    if not works:
        raise InputProblem(found)
    return "The mail server takes the login."
