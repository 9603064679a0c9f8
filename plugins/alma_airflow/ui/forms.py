"""Forms that only our own pages can post: a token that is signed for the user and the form's path, and the origin.

A page of another site can make a browser post a form with Airflow's cookie; it can neither read a token nor send our
`Origin`. Whatever does not fit is answered with 403 before the form is looked at.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated
from urllib.parse import urlsplit

from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.tokens import get_signing_key
from airflow.configuration import conf
from fastapi import Depends, HTTPException, Request
from itsdangerous import BadSignature, URLSafeTimedSerializer
from starlette.datastructures import FormData

from alma_airflow.ui.guards import CurrentUser
from alma_airflow.ui.links import airflow_prefix

TOKEN = "form_token"  # noqa: S105 - the field's name
_VALID = 12 * 3600  # seconds; as long as a working day has a page open
_LARGEST = 1024 * 1024
_STALE = "This form is no longer valid: open the page again, and send it from there."
_ELSEWHERE = "This form was not sent by a page of this Airflow."


def form_token(user: BaseUser, path: str) -> str:
    """What the form that posts to this path below `/alma` has to send in its field `TOKEN`."""
    return _signer().dumps([str(user.get_id()), path])


def posted(largest: int = _LARGEST) -> Callable[..., Awaitable[FormData]]:
    """A dependency of every route that changes something: the form, once it is certain that it is ours.

    403 for one that was sent from elsewhere or without its token, 411 without a length, 413 above `largest` bytes.
    A route must take its fields from here, not as parameters of FastAPI's, which are read before any check.
    """

    async def read(request: Request, user: CurrentUser) -> FormData:
        _same_origin(request)
        length = request.headers.get("content-length", "")
        if not length.isdecimal():
            raise HTTPException(411, "The length of the form is not given.")
        if int(length) > largest:
            raise HTTPException(413, f"That is too large: at most {largest // 1024 // 1024} MB can be sent.")
        form = await request.form(max_files=20, max_fields=5_000)
        _token_fits(user, _path(request), form.get(TOKEN))
        return form

    return read


def field(form: FormData, name: str) -> str:
    """A field as text without blanks at its ends; "" for one that was not sent, or is a file."""
    value = form.get(name)
    return value.strip() if isinstance(value, str) else ""


def _same_origin(request: Request) -> None:
    origin = request.headers.get("origin")
    if origin is None or origin == "null":
        raise HTTPException(403, _ELSEWHERE)
    ours = {request.headers.get("host", ""), urlsplit(conf.get("api", "base_url", fallback="")).netloc}
    if not urlsplit(origin).netloc or urlsplit(origin).netloc not in ours:
        raise HTTPException(403, _ELSEWHERE)


def _token_fits(user: BaseUser, path: str, token: object) -> None:
    try:
        meant = _signer().loads(token if isinstance(token, str) else "", max_age=_VALID)
    except BadSignature:
        raise HTTPException(403, _STALE) from None
    if meant != [str(user.get_id()), path]:
        raise HTTPException(403, _STALE)


def _path(request: Request) -> str:
    return str(request.scope["path"]).removeprefix(f"{airflow_prefix()}/alma").removeprefix("/alma")


def _signer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(get_signing_key("api", "secret_key"), salt="alma-airflow.form")


PostedForm = Annotated[FormData, Depends(posted())]
