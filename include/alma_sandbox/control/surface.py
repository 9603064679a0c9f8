"""The control surface ``/sandbox/...``: JSON, no key, for the tests and people that use the sandbox."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from alma_sandbox.administration.events import challenge
from alma_sandbox.control import staff, state, variant_index
from alma_sandbox.gateway.faults import FaultRule
from alma_sandbox.gateway.log import as_dict
from alma_sandbox.routes.jobs import announce
from alma_sandbox.sandbox import Sandbox

_Work = Callable[[Request], Awaitable[object]]
_Staff = Callable[[Sandbox, str, dict[str, Any]], dict[str, Any]]


def _answering(work: _Work) -> Callable[[Request], Awaitable[Response]]:
    """Make an end point of a function that returns JSON; ValueError becomes 400 with its text."""

    async def endpoint(request: Request) -> Response:
        try:
            return JSONResponse(await work(request))
        except ValidationError as error:
            problems = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
            return JSONResponse({"error": "; ".join(problems)}, 400)
        except ValueError as error:
            return JSONResponse({"error": str(error)}, 400)

    return endpoint


async def _body(request: Request) -> Any:
    try:
        return json.loads(await request.body() or b"{}")
    except json.JSONDecodeError as error:
        raise ValueError(f"the body is no JSON: {error}") from error


async def _mapping(request: Request) -> dict[str, Any]:
    body = await _body(request)
    if not isinstance(body, dict):
        raise ValueError("the body must be a JSON object")
    return body


def routes(sandbox: Sandbox) -> list[Route]:
    """The routes of the control surface of one sandbox."""

    async def read_log(request: Request) -> object:
        query = request.query_params
        status = query.get("status")
        entries = sandbox.log.select(
            method=query.get("method"),
            path=query.get("path"),
            status=int(status) if status else None,
            code=query.get("code"),
            fault=query.get("fault"),
            since=int(query.get("since", "0")),
        )
        found = [as_dict(entry) for entry in entries]
        limit = int(query.get("limit", "0"))
        return {
            "counts": sandbox.log.counts(),
            "matching": len(found),
            "entries": found[-limit:] if limit else found,
        }

    async def clear_log(_: Request) -> object:
        sandbox.log.clear()
        return sandbox.log.counts()

    async def read_counts(_: Request) -> object:
        return {**sandbox.log.counts(), "calls_left": sandbox.calls_left()}

    async def read_faults(_: Request) -> object:
        return sandbox.faults.as_json()

    async def add_faults(request: Request) -> object:
        body = await _body(request)
        rules = [FaultRule.model_validate(rule) for rule in (body if isinstance(body, list) else [body])]
        for rule in rules:
            sandbox.faults.add(rule)
        return sandbox.faults.as_json()

    async def remove_faults(request: Request) -> object:
        return {"removed": sandbox.faults.remove(request.path_params.get("rule"))}

    async def read_state(_: Request) -> object:
        return state.dump(sandbox)

    async def read_settings(_: Request) -> object:
        return sandbox.settings.model_dump()

    async def change_settings(request: Request) -> object:
        sandbox.change_settings(await _mapping(request))
        return sandbox.settings.model_dump()

    async def reset(_: Request) -> object:
        sandbox.reset()
        return {"reset": True}

    async def read_clock(_: Request) -> object:
        return {"now": sandbox.clock.time(), "stopped": sandbox.clock.stopped}

    async def change_clock(request: Request) -> object:
        body = await _mapping(request)
        unknown = set(body) - {"now", "advance_s", "stopped"}
        if unknown:
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}; give now, advance_s or stopped")
        if "stopped" in body:
            (sandbox.clock.stop if body["stopped"] else sandbox.clock.run)()
        if "now" in body:
            sandbox.clock.set(datetime.fromisoformat(str(body["now"])))
        if "advance_s" in body:
            sandbox.clock.advance(float(body["advance_s"]))
        announce(sandbox)
        return await read_clock(request)

    async def variants(request: Request) -> object:
        name, limit = request.query_params.get("name"), int(request.query_params.get("limit", "10"))
        return variant_index.find(sandbox.settings, name, limit)

    async def read_webhooks(_: Request) -> object:
        announce(sandbox)
        return list(sandbox.events.kept)

    async def try_webhook(request: Request) -> object:
        url = sandbox.settings.webhook_url
        if url is None:
            raise ValueError("set webhook_url by POST /sandbox/settings first")
        text = str((await _mapping(request)).get("challenge", "sandbox-challenge"))
        return await asyncio.to_thread(challenge, url, text)

    def staff_action(act: _Staff, name: str) -> _Work:
        async def work(request: Request) -> object:
            return act(sandbox, request.path_params[name], await _mapping(request))

        return work

    async def at_desk(request: Request) -> object:
        return staff.at_desk(sandbox, await _mapping(request))

    async def change_locks(request: Request) -> object:
        return staff.change_locks(sandbox, await _mapping(request))

    def add(path: str, **methods: _Work) -> list[Route]:
        return [
            Route(f"/sandbox/{path}", _answering(work), methods=[method.upper()])
            for method, work in methods.items()
        ]

    return [
        *add("log", get=read_log, delete=clear_log),
        *add("counts", get=read_counts),
        *add("faults", get=read_faults, post=add_faults, delete=remove_faults),
        *add("faults/{rule}", delete=remove_faults),
        *add("state", get=read_state),
        *add("settings", get=read_settings, post=change_settings),
        *add("reset", post=reset),
        *add("clock", get=read_clock, post=change_clock),
        *add("variants", get=variants),
        *add("webhooks", get=read_webhooks),
        *add("webhooks/challenge", post=try_webhook),
        *add("desk", post=at_desk),
        *add("locks", post=change_locks),
        *add("items/{pid}", post=staff_action(staff.change_item, "pid")),
        *add("loans/{loan_id}", post=staff_action(staff.change_loan, "loan_id")),
        *add("requests/{request_id}", post=staff_action(staff.change_request, "request_id")),
        *add("users/{user_id}", post=staff_action(staff.change_user, "user_id")),
    ]
