"""The listener for Alma's webhooks, ``/alma/webhooks/{system}``: the one route without Airflow's login.

Alma cannot log in; it signs. Whoever cannot sign learns nothing here and changes nothing.
"""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import PlainTextResponse, Response

_LARGEST = 1024 * 1024
_NO_STORE = {"Cache-Control": "no-store"}

_System = Annotated[str, Path(pattern=r"^[A-Za-z0-9_.-]{1,40}$")]

router = APIRouter()


@router.get("/webhooks/{system}")
def challenge(system: _System, challenge: Annotated[str, Query(min_length=1, max_length=1000)]) -> Response:
    """Alma asks whether somebody listens: returns the challenge as JSON, 404 for a system that may not send."""
    from alma_airflow.ui.listening import answer_challenge

    status, text = answer_challenge(system, challenge)
    if status != 200:
        return PlainTextResponse(text, status_code=status)
    return Response(text, media_type="application/json", headers=_NO_STORE)


@router.post("/webhooks/{system}")
async def take(system: _System, request: Request) -> Response:
    """A message of Alma's. 200: taken (or of no concern); 401: not signed as it should be; 413: too long;
    400: signed, but no event; 503: not now, so that Alma sends it again."""
    body = await _body(request)
    if body is None:
        return PlainTextResponse("too long", status_code=413)
    return await run_in_threadpool(_take, system, dict(request.headers), body)


async def _body(request: Request) -> bytes | None:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LARGEST:
            return None
    return body


def _take(system: str, headers: dict[str, str], body: bytes) -> Response:
    # Every Airflow process loads this file; only the API server needs what a message needs.
    from alma_airflow.ui.listening import take_message

    status, word = take_message(system, headers, body)
    return PlainTextResponse(word, status_code=status)
