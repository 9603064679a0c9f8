"""What the control surfaces of a sandbox and of a consortium share: JSON, no key, neither counted nor logged."""

import json
from collections.abc import Awaitable, Callable, Collection
from datetime import datetime
from typing import TYPE_CHECKING, Any, get_args

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from alma_sandbox.gateway.faults import FaultRule, Kind
from alma_sandbox.gateway.log import as_dict

if TYPE_CHECKING:
    from alma_sandbox.state.kept import World

Work = Callable[[Request], Awaitable[object]]


def routes_at(path: str, **methods: Work) -> list[Route]:
    """A route for each method, named in small letters, of a path below ``/sandbox/``."""
    return [
        Route(f"/sandbox/{path}", _answering(work), methods=[method.upper()])
        for method, work in methods.items()
    ]


def _answering(work: Work) -> Callable[[Request], Awaitable[Response]]:
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


async def mapping(request: Request) -> dict[str, Any]:
    """Return the body as an object. ValueError for anything else."""
    body = await _body(request)
    if not isinstance(body, dict):
        raise ValueError("the body must be a JSON object")
    return body


def common_routes(  # noqa: C901 - a function for each route
    world: "World",
    *,
    kinds: Collection[str] = get_args(Kind),
    clock_moved: Callable[[], None] = lambda: None,
) -> list[Route]:
    """Log, counts, faults, clock, settings and reset; ``kinds`` of faults that this world has."""

    async def read_log(request: Request) -> object:
        query = request.query_params
        status = query.get("status")
        entries = world.log.select(
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
            "counts": world.log.counts(),
            "matching": len(found),
            "entries": found[-limit:] if limit else found,
        }

    async def clear_log(_: Request) -> object:
        world.log.clear()
        return world.log.counts()

    async def read_faults(_: Request) -> object:
        return world.faults.as_json()

    async def add_faults(request: Request) -> object:
        body = await _body(request)
        rules = [FaultRule.model_validate(rule) for rule in (body if isinstance(body, list) else [body])]
        if not {rule.kind for rule in rules} <= set(kinds):
            raise ValueError(f"the faults known here are {', '.join(kinds)}")
        for rule in rules:
            world.faults.add(rule)
        return world.faults.as_json()

    async def remove_faults(request: Request) -> object:
        return {"removed": world.faults.remove(request.path_params.get("rule"))}

    async def read_settings(_: Request) -> object:
        return world.settings.model_dump()

    async def change_settings(request: Request) -> object:
        world.change_settings(await mapping(request))
        return world.settings.model_dump()

    async def reset(_: Request) -> object:
        world.reset()
        return {"reset": True}

    async def read_clock(_: Request) -> object:
        return {"now": world.clock.time(), "stopped": world.clock.stopped}

    async def change_clock(request: Request) -> object:
        body = await mapping(request)
        unknown = set(body) - {"now", "advance_s", "stopped"}
        if unknown:
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}; give now, advance_s or stopped")
        if "stopped" in body:
            (world.clock.stop if body["stopped"] else world.clock.run)()
        if "now" in body:
            world.clock.set(datetime.fromisoformat(str(body["now"])))
        if "advance_s" in body:
            world.clock.advance(float(body["advance_s"]))
        clock_moved()
        return await read_clock(request)

    return [
        *routes_at("log", get=read_log, delete=clear_log),
        *routes_at("faults", get=read_faults, post=add_faults, delete=remove_faults),
        *routes_at("faults/{rule}", delete=remove_faults),
        *routes_at("settings", get=read_settings, post=change_settings),
        *routes_at("reset", post=reset),
        *routes_at("clock", get=read_clock, post=change_clock),
    ]
