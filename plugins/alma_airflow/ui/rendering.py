"""Turns what a page shows into HTML: the templates of this folder, the menu, times, words, and the headers."""

import hashlib
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from urllib.parse import quote

from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from fastapi import Request
from fastapi.responses import HTMLResponse
from markupsafe import Markup, escape

from alma_airflow.ui.airflow_state import zone
from alma_airflow.ui.forms import TOKEN, form_token
from alma_airflow.ui.links import airflow_prefix
from alma_airflow.ui.menu import MENU
from alma_airflow.ui.store_reading import retention_now
from alma_etl.jobs.ledger_purge import TICKS
from alma_etl.jobs.ledger_reading import RunKey
from alma_etl.jobs.pages import environment
from alma_etl.views import words

STATIC = Path(__file__).with_name("static")
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; "
    "frame-ancestors 'self'; base-uri 'none'"
)
"""What a page may load and do: its own style sheet, scripts and forms; nothing inline, nothing from elsewhere."""
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # without a referrer at all, browsers post forms without an origin
    "Cache-Control": "no-store",
}


def page(
    request: Request, user: BaseUser, template: str, *, here: str, status: int = 200, **values: object
) -> HTMLResponse:
    """A page from a template. `here` is the path of its menu entry, "" for a page that has none."""
    text = (
        _templates()
        .get_template(template)
        .render(
            here=here,
            user_name=user.get_name(),
            form_token=partial(form_token, user),
            asked=dict(request.query_params),
            **values,
        )
    )
    return HTMLResponse(text, status, headers=_HEADERS)


def run_path(run: RunKey) -> str:
    """The path of a run's page below `/alma`."""
    return f"/runs/{quote(run.dag_id, safe='')}/{quote(run.run_id, safe='')}"


def airflow_path(run: RunKey, task_id: str = "", map_index: int = -1) -> str:
    """The path of a run, or of the log of one of its tasks, in Airflow's own pages, below its prefix."""
    task = f"/tasks/{quote(task_id, safe='')}" if task_id else ""
    task += f"/mapped/{map_index}" if map_index >= 0 else ""  # Airflow has no log of a mapped task as a whole
    return f"/dags/{quote(run.dag_id, safe='')}/runs/{quote(run.run_id, safe='')}{task}"


@cache
def _templates():  # type: ignore[no-untyped-def]
    made = environment("alma_airflow.ui")
    made.filters |= {"when": _when, "size": _size, "run_path": run_path, "airflow_path": airflow_path}
    made.globals |= {
        "airflow": airflow_prefix(),
        "alma": f"{airflow_prefix()}/alma",
        "menu": MENU,
        "state_word": words.state,
        "outcome_word": words.outcome,
        "request_word": words.request_status,
        "file_states": words.FILE_STATES,
        "run_path_of": lambda dag_id, run_id: run_path(RunKey(dag_id, run_id)),
        "static": _static,
        "kept": retention_now,
        "ticks": TICKS,
        "token_field": TOKEN,
        "zone": zone(),
    }
    return made


def _static(name: str) -> str:
    """The address of a static file: a changed file has another one, so that browsers may keep it."""
    return f"{airflow_prefix()}/alma/static/{name}?v={_digest(name)}"


@cache
def _digest(name: str) -> str:
    return hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]


def _when(time: datetime | None) -> Markup:
    """A time in Airflow's zone, to the minute; nothing for none."""
    if time is None:
        return Markup("")
    local = time.astimezone(zone())
    shown = escape(f"{local:%Y-%m-%d %H:%M}")
    return Markup(f'<time datetime="{local.isoformat(timespec="seconds")}">{shown}</time>')  # noqa: S704


def _size(number: int) -> str:
    """Bytes, as people read them."""
    size = float(number)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"
        size /= 1000
    raise AssertionError
