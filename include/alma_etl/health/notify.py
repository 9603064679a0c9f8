"""`config/notify.yaml`: whether it can be read, and whether the web hooks that it names can be used.

It names connections as the other settings files do, by `conn_id`; the URL of a web hook is a secret, and so stands in
the connection's password. Nothing is sent: a message of a check would be noise in somebody's channel every day.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from pydantic import BaseModel, ConfigDict

from alma_etl.errors import InputProblem
from alma_etl.health.house import BUCKET_ERRORS, said
from alma_etl.jobs.settings_files import read_settings
from alma_etl.jobs.setup_checks import CONNECTION, SetupCheck, SetupRows
from alma_etl.store.bucket import Bucket

NOTIFY = "config/notify.yaml"
_WHERE = f"{NOTIFY} in the bucket"


class _AnySettings(BaseModel):
    """Settings of whatever names."""

    model_config = ConfigDict(extra="allow")


def check_notify(bucket: Bucket, usable: Callable[[str], object]) -> list[SetupCheck]:
    """The file where there is one, and each connection that it names, by ``usable``, which raises InputProblem.

    Nothing of it is ever missing: no night's run fails without a message. That a bucket cannot be read is said
    elsewhere.
    """
    content = None
    with suppress(*BUCKET_ERRORS):
        content = bucket.find(NOTIFY)
    if content is None:
        return []
    rows, label = SetupRows("settings"), f"{NOTIFY} can be used"
    try:
        settings = read_settings(content, _AnySettings, source=NOTIFY).model_dump()
    except InputProblem as problem:
        rows.warn("settings", label, said(problem), _WHERE, "Correct it.")
        return rows.rows
    found = (
        "It can be read, but this version of Alma Airflow sends no notifications: nobody is notified by it."
    )
    rows.warn("settings", label, found, _WHERE, "Delete it, or keep it for a version that does.")
    return [*rows.rows, *_web_hooks(sorted(set(_named(settings))), usable)]


def _named(settings: object) -> Iterator[str]:
    """Every `conn_id`, at whatever depth."""
    if isinstance(settings, Mapping):
        for name, value in settings.items():
            if name == "conn_id" and isinstance(value, str):
                yield value
            else:
                yield from _named(value)
    elif isinstance(settings, list):
        for each in settings:
            yield from _named(each)


def _web_hooks(conn_ids: list[str], usable: Callable[[str], Any]) -> list[SetupCheck]:
    checks: list[SetupCheck] = []
    for conn_id in conn_ids:
        rows, label = SetupRows(conn_id), "It has the address of a web hook"
        try:
            usable(conn_id)
        except InputProblem as problem:
            rows.warn("connection", label, said(problem), CONNECTION, f"Create or correct it, or {NOTIFY}.")
        else:
            rows.ok("connection", label, "It has.")
        checks += rows.rows
    return checks
