"""What stands before every page under ``/alma/``: Airflow's login, and an answer whatever goes wrong behind it."""

import logging
from http import HTTPStatus
from urllib.parse import quote, urlencode

from airflow.api_fastapi.core_api.security import bearer_scheme, get_user
from fastapi import HTTPException, Request
from fastapi.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from alma_airflow.ui.links import airflow_prefix

_log = logging.getLogger(__name__)
_OPEN = "/webhooks/"  # whoever sends these cannot log in: their signature is checked instead
_NOT_NOW = "This page cannot be shown now: the log of Airflow's API server says why. Try again in a minute."


class Gate:
    """Middleware of the pages.

    Without a login nothing is looked at, not even whether there is such a page: a browser is led to Airflow's
    login and from there to where it wanted to go, anybody else gets 401 or 403. An error that nobody handled is
    answered with 503, so that one object that cannot be read does not look like a broken Airflow.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = False

        async def sending(message: Message) -> None:
            nonlocal began
            began = began or message["type"] == "http.response.start"
            await send(message)

        try:
            answer = await _refusal(Request(scope, receive)) or self.app
            await answer(scope, receive, sending)
        except Exception:
            _log.exception("%s %s could not be answered", scope["method"], _route(scope)[:200])
            if began:
                raise
            await PlainTextResponse(_NOT_NOW, HTTPStatus.SERVICE_UNAVAILABLE)(scope, receive, send)


async def _refusal(request: Request) -> Response | None:
    """The answer to somebody who is not logged in, None for whoever may go on."""
    if _route(request.scope).startswith(_OPEN):
        return None
    try:
        await get_user(request, None, await bearer_scheme(request))
    except HTTPException as refused:
        if request.method in ("GET", "HEAD") and "text/html" in request.headers.get("accept", ""):
            return RedirectResponse(_login(request), HTTPStatus.SEE_OTHER)
        return PlainTextResponse(f"{refused.detail}\n", refused.status_code)
    return None


def _login(request: Request) -> str:
    """Airflow's own way to the login of whichever auth manager there is, and back."""
    wanted = f"{airflow_prefix()}/alma{quote(_route(request.scope))}"
    if request.url.query:
        wanted += f"?{request.url.query}"
    return f"{airflow_prefix()}/api/v2/auth/login?{urlencode({'next': wanted})}"


def _route(scope: Scope) -> str:
    """The path below ``/alma``."""
    return str(scope["path"]).removeprefix(scope.get("root_path", ""))
