"""What people do about a request on its page: acknowledge, look now, decide, relink, cancel."""

import re
from collections.abc import Callable
from typing import cast, get_args

from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import RedirectResponse, Response
from starlette.datastructures import FormData

from alma_airflow.hooks import dcb as dcb_hooks
from alma_airflow.ui.forms import PostedForm, field
from alma_airflow.ui.guards import CurrentUser, may_start_runs
from alma_airflow.ui.requests import (
    CANCEL,
    HERE,
    SYNC,
    RequestPath,
    board_page,
    request_address,
    request_page,
)
from alma_airflow.ui.start_runs import form_id_of, run_id_of, start_run
from alma_airflow.ui.store_reading import dcb_store
from alma_etl.dcb import decisions
from alma_etl.dcb.conf import read_cancel
from alma_etl.dcb.explain import name_of
from alma_etl.dcb.machine.vocabulary import Role
from alma_etl.dcb.store import HoldTaken
from alma_etl.dcb.store.rows import FOLLOWED, UnknownRequest, VersionConflict
from alma_etl.errors import InputProblem

_LOGIN = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_ROLES = tuple(map(str, Role))

router = APIRouter()
_deciding = Depends(may_start_runs(SYNC))


@router.post(f"{HERE}/acknowledge", dependencies=[_deciding])
def acknowledge(request: Request, user: CurrentUser, form: PostedForm) -> Response:
    """Somebody is at an alert."""
    back = field(form, "back")
    if back and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", back):
        raise HTTPException(422, "There can be no such request.")

    def do() -> None:
        settings, key = dcb_hooks.dcb_settings(), field(form, "key")
        if not decisions.acknowledge(
            dcb_store(), settings, key, by=login_of(user), now=dcb_hooks.now(), reason=_reason(form)
        ):
            raise InputProblem("This alert is not open any more")

    return _done(request, user, back, do)


@router.post(f"{HERE}/{{pr_id}}/nudge", dependencies=[_deciding])
def nudge(request: Request, user: CurrentUser, form: PostedForm, pr_id: RequestPath) -> Response:
    """Let the next tick look at everything of a request."""

    def do() -> None:
        settings, by = dcb_hooks.dcb_settings(), login_of(user)
        if not decisions.nudge(
            dcb_store(), settings, [pr_id], now=dcb_hooks.now(), by=by, reason=_reason(form)
        ):
            raise InputProblem("The request is settled: it is not looked at any more")

    return _done(request, user, pr_id, do)


@router.post(f"{HERE}/{{pr_id}}/decide", dependencies=[_deciding])
def decide(request: Request, user: CurrentUser, form: PostedForm, pr_id: RequestPath) -> Response:
    """Carry out an operator's decision."""
    decision = field(form, "decision")
    if decision not in get_args(decisions.Decision):
        raise HTTPException(422, "There is no such decision.")

    def do() -> None:
        decisions.decide(
            dcb_store(),
            dcb_hooks.dcb_settings(),
            pr_id,
            cast(decisions.Decision, decision),
            by=login_of(user),
            now=dcb_hooks.now(),
            force=field(form, "force") == "yes",
            reason=_reason(form),
        )

    return _done(request, user, pr_id, do)


@router.post(f"{HERE}/{{pr_id}}/relink", dependencies=[_deciding])
def relink(request: Request, user: CurrentUser, form: PostedForm, pr_id: RequestPath) -> Response:
    """Give a side other ids."""
    role = field(form, "role")
    if role not in _ROLES:
        raise HTTPException(422, "There is no such side.")
    ids = {name: field(form, name) or None for name in FOLLOWED}

    def do() -> None:
        decisions.relink(
            dcb_store(),
            dcb_hooks.dcb_settings(),
            pr_id,
            Role(role),
            ids,
            by=login_of(user),
            now=dcb_hooks.now(),
            reason=_reason(form),
        )

    return _done(request, user, pr_id, do)


@router.post(f"{HERE}/{{pr_id}}/cancel", dependencies=[Depends(may_start_runs(CANCEL))])
def cancel(request: Request, user: CurrentUser, form: PostedForm, pr_id: RequestPath) -> Response:
    """Start a run that cancels a request."""
    run_id = run_id_of(form_id_of(form))

    def do() -> None:
        conf = {"pr_id": pr_id, "reason": field(form, "reason") or None}
        read_cancel(conf)
        tracked = dcb_store().get(pr_id)
        if tracked is not None and not tracked.is_ours:
            raise InputProblem(
                f"It is run by {name_of(tracked.owner)} and only watched here: cancel it there"
            )
        start_run(user, CANCEL, {**conf, "dry_run": field(form, "dry_run") == "yes"}, run_id=run_id)

    return _done(request, user, pr_id, do, cancelling=run_id)


def _done(request: Request, user: BaseUser, pr_id: str, do: Callable[[], None], **asked: str) -> Response:
    """Do it, and lead to the page of the request, or without one to the board; where it cannot be done, the page that
    says why."""
    try:
        do()
    except (InputProblem, HoldTaken, UnknownRequest, VersionConflict) as problem:
        if not pr_id:
            return board_page(request, user, status=409, problem=str(problem))
        return request_page(request, user, pr_id, status=409, problem=str(problem))
    return RedirectResponse(request_address(pr_id, **asked), 303)


def login_of(user: BaseUser) -> str:
    """Who somebody is in the history: the user name of Airflow, or where that may be a name or an address, which are
    not kept, the id that Airflow has for it. Raises InputProblem where neither can be kept."""
    for each in (user.get_name(), f"id-{user.get_id()}"):
        if _LOGIN.fullmatch(each):
            return each
    raise InputProblem("Your login in Airflow cannot be kept in the history: it may be a name or an address")


def _reason(form: FormData) -> str | None:
    return field(form, "reason") or None
