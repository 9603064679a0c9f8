"""mod-dcb and dcb-service as an ASGI application.

mod-dcb answers at its own paths and, as edge-dcb does, below ``/dcbService``.
"""

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from alma_sandbox.consortium import control, graphql, transactions
from alma_sandbox.consortium.transactions import Refused
from alma_sandbox.consortium.world import Consortium, ConsortiumSettings
from alma_sandbox.gateway.faults import Dropped, FaultRule
from alma_sandbox.http.server import run_app, serve_app

_Work = Callable[[Request], Awaitable[Response]]
TOKEN_PATH = "/realms/dcb/protocol/openid-connect/token"  # noqa: S105 - a path
_PAGE = 1000


def create_app(settings: ConsortiumSettings | None = None) -> Starlette:
    """A consortium of its own, with its data in ``app.state.consortium``."""
    world = Consortium(settings or ConsortiumSettings())
    folio = _folio(world)
    routes = [
        *_routes(world, "", folio, _key),
        *_routes(world, "/dcbService", folio, _key),
        *_routes(world, "", _dcb_service(world), _bearer),
        *_routes(world, "", {("POST", TOKEN_PATH): _token(world)}, lambda _world, _request: True),
        *control.routes(world),
    ]
    app = Starlette(routes=routes)
    app.router.redirect_slashes = False
    app.state.consortium = world
    return app


def _routes(
    world: Consortium,
    prefix: str,
    table: Mapping[tuple[str, str], _Work],
    may: Callable[[Consortium, Request], bool],
) -> list[Route]:
    return [
        Route(prefix + path, _endpoint(world, path, work, may), methods=[method])
        for (method, path), work in table.items()
    ]


def _endpoint(
    world: Consortium, path: str, work: _Work, may: Callable[[Consortium, Request], bool]
) -> Callable[[Request], Awaitable[Response]]:
    """Around each call: log, key, faults, and errors in FOLIO's form."""

    async def endpoint(request: Request) -> Response:
        entry = world.log.open(request.method, request.url.path, request.url.query)
        entry.route = path
        try:
            if not may(world, request):
                response: Response = Response("Unauthorized", 401)
            else:
                response = await _with_faults(world, request, work, entry.path)
                entry.applied = response.status_code < 400
            entry.status = 0 if isinstance(response, Dropped) else response.status_code
            return response
        finally:
            world.log.close(entry)

    return endpoint


async def _with_faults(world: Consortium, request: Request, work: _Work, path: str) -> Response:
    target = f"{path}?{request.url.query}" if request.url.query else path
    spoiler: FaultRule | None = None
    for rule in world.faults.strike(request.method, target):
        if rule.kind == "slow":
            await asyncio.sleep(rule.ms / 1000)
        else:
            spoiler = rule
    if spoiler is not None and not spoiler.strikes_after:
        return _spoilt(spoiler)
    try:
        response = await work(request)
    except Refused as refusal:
        response = _error(refusal.status, refusal.code, refusal.message)
    return response if spoiler is None else _spoilt(spoiler)


def _spoilt(rule: FaultRule) -> Response:
    if rule.kind == "drop":
        return Dropped()
    if rule.kind == "body":
        return Response(rule.text, rule.status or 200, media_type=rule.content_type)
    return Response("<html><body>Bad gateway</body></html>", rule.status or 502, media_type="text/html")


def _error(status: int, code: str, message: str) -> Response:
    error = {"message": message, "type": "-1", "code": code}
    return JSONResponse({"errors": [error], "total_records": 1}, status)


def _key(world: Consortium, request: Request) -> bool:
    given = request.headers.get("authorization", "").removeprefix("apikey ").strip()
    return hmac.compare_digest(given.encode(), world.settings.api_key.encode())


def _bearer(world: Consortium, request: Request) -> bool:
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    return kind.lower() == "bearer" and world.knows_token(token)


async def _body(request: Request) -> dict[str, Any]:
    try:
        found = await request.json()
    except ValueError as error:
        raise Refused(400, "VALIDATION_ERROR", "Required request body is missing or no JSON") from error
    if not isinstance(found, dict):
        raise Refused(400, "VALIDATION_ERROR", "The request body must be an object")
    return found


def _moment(query: Mapping[str, str], name: str) -> datetime:
    try:
        found = datetime.fromisoformat(query[name])
    except (KeyError, ValueError) as error:
        raise Refused(422, "VALIDATION_ERROR", f"{name}: a date with time and offset is required") from error
    if found.tzinfo is None:
        raise Refused(422, "VALIDATION_ERROR", f"{name}: the offset is missing")
    return found


def _number(query: Mapping[str, str], name: str, default: int, low: int) -> int:
    text = query.get(name, str(default))
    if not text.isascii() or not text.isdigit() or int(text) < low:
        raise Refused(422, "VALIDATION_ERROR", f"{name}: must be {low} or more")
    return int(text)


def _folio(world: Consortium) -> dict[tuple[str, str], _Work]:
    """mod-dcb: ``/transactions...``."""

    async def create(request: Request) -> Response:
        made = world.transactions.create(
            request.path_params["txn_id"], await _body(request), world.clock.now()
        )
        return JSONResponse({"status": made.status, **made.details}, 201)

    async def update(request: Request) -> Response:
        found = world.transactions.get(request.path_params["txn_id"])
        item = (await _body(request)).get("item")
        if not isinstance(item, dict):
            raise Refused(400, "VALIDATION_ERROR", "item: must not be null")
        if found.status != transactions.CREATED:
            raise Refused(
                400, "VALIDATION_ERROR", f"Transaction details should not be updated from {found.status}"
            )
        found.details["item"] = {**(found.details.get("item") or {}), **item}
        found.updated = world.clock.now()
        return Response(status_code=204)

    async def read(request: Request) -> Response:
        return JSONResponse(world.transactions.get(request.path_params["txn_id"]).shown())

    async def move(request: Request) -> Response:
        found = world.transactions.get(request.path_params["txn_id"])
        wanted = str((await _body(request)).get("status"))
        by_event = world.settings.cancelling == "by_event"
        transactions.put(found, wanted, world.clock.now(), cancel_by_event=by_event)
        return JSONResponse({"status": wanted})

    async def changed(request: Request) -> Response:
        query = request.query_params
        page, size = _number(query, "pageNumber", 0, 0), _number(query, "pageSize", _PAGE, 1)
        found = world.transactions.changed(_moment(query, "fromDate"), _moment(query, "toDate"))
        rows = [{"id": each.id, **each.shown()} for each in found[page * size : (page + 1) * size]]
        return JSONResponse(
            {
                "transactions": rows,
                "currentPageNumber": page,
                "currentPageSize": size,
                "maximumPageNumber": max(0, (len(found) - 1) // size),
                "totalRecords": len(found),
            }
        )

    async def renew(request: Request) -> Response:
        found = world.transactions.get(request.path_params["txn_id"])
        if (found.role, found.status) != (transactions.LENDER, transactions.CHECKED_OUT):
            raise Refused(400, "VALIDATION_ERROR", f"Loan couldn't be renewed with role {found.role} and status "
                          f"{found.status}")  # fmt: skip
        if found.renewal_blocked:
            raise Refused(400, "VALIDATION_ERROR", "The loan is not renewable")
        found.renewals += 1
        return JSONResponse(found.shown())

    def block(blocked: bool) -> _Work:
        async def work(request: Request) -> Response:
            world.transactions.get(request.path_params["txn_id"]).renewal_blocked = blocked
            return Response(status_code=204)

        return work

    one = "/transactions/{txn_id}"
    return {
        ("GET", "/transactions/status"): changed,
        ("POST", one): create,
        ("PUT", one): update,
        ("GET", f"{one}/status"): read,
        ("PUT", f"{one}/status"): move,
        ("PUT", f"{one}/renew"): renew,
        ("PUT", f"{one}/block-renewal"): block(True),
        ("PUT", f"{one}/unblock-renewal"): block(False),
    }


def _dcb_service(world: Consortium) -> dict[tuple[str, str], _Work]:
    """dcb-service: look now, how it stands, and all of them."""

    def found(request: Request) -> Any:
        pr_id = request.path_params["pr_id"]
        if pr_id not in world.patron_requests:
            raise Refused(404, "NOT_FOUND", f"No Patron Request found with ID: {pr_id}")
        return world.patron_requests[pr_id]

    async def update(request: Request) -> Response:
        known = found(request)
        known.updates += 1
        known.status, known.next_status = known.next_status or known.status, ""
        return JSONResponse(known.id)

    async def read(request: Request) -> Response:
        known = found(request)
        return JSONResponse({"id": known.id, "status": known.status})

    async def ask(request: Request) -> Response:
        rows = [each.shown for each in world.patron_requests.values()]
        return JSONResponse(graphql.answer(await _body(request), rows))

    return {
        ("POST", "/patrons/requests/{pr_id}/update"): update,
        ("GET", "/admin/patrons/requests/{pr_id}"): read,
        ("POST", "/graphql"): ask,
    }


def _token(world: Consortium) -> _Work:
    async def work(request: Request) -> Response:
        form = {name: values[-1] for name, values in parse_qs((await request.body()).decode()).items()}
        if form.get("grant_type") != "client_credentials":
            return JSONResponse({"error": "unsupported_grant_type"}, 400)
        wanted = (world.settings.client_id, world.settings.client_secret)
        if (form.get("client_id"), form.get("client_secret")) != wanted:
            return JSONResponse({"error": "invalid_client"}, 401)
        token = {
            "access_token": world.new_token(),
            "expires_in": world.settings.token_s,
            "token_type": "Bearer",
        }
        return JSONResponse(token)

    return work


@dataclass(frozen=True)
class RunningConsortium:
    """A consortium that runs in a thread. Read ``consortium`` only while no call is under way."""

    url: str
    consortium: Consortium


def run(settings: ConsortiumSettings, port: int, ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; ``ready`` gets the base URL. OSError when the port is taken."""
    run_app(create_app(settings), port, ready)


@contextmanager
def serve_consortium(
    settings: ConsortiumSettings | None = None, *, port: int = 0
) -> Iterator[RunningConsortium]:
    """Run a consortium in a thread of this process for the time of a ``with`` block."""
    app = create_app(settings)
    with serve_app(app, port=port) as url:
        yield RunningConsortium(url, app.state.consortium)
