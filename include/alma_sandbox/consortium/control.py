"""The consortium's own control surface ``/sandbox/...``: JSON, no key, neither counted nor logged."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from alma_sandbox.consortium import transactions
from alma_sandbox.consortium.world import Consortium, ConsortiumSettings, PatronRequest
from alma_sandbox.gateway.faults import FaultRule
from alma_sandbox.gateway.log import as_dict

_Work = Callable[[Request], Awaitable[object]]
FAULTS = ("drop", "slow", "body", "bad_gateway")


def _answering(work: _Work) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            return JSONResponse(await work(request))
        except ValidationError as error:
            text = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
            return JSONResponse({"error": text}, 400)
        except (ValueError, transactions.Refused) as error:
            return JSONResponse({"error": str(error)}, 400)

    return endpoint


async def _mapping(request: Request) -> dict[str, Any]:
    raw = await request.body()
    body = await request.json() if raw else {}
    if not isinstance(body, dict):
        raise ValueError("the body must be a JSON object")
    return body


def play(world: Consortium, txn_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """What FOLIO's circulation does (``event``), or a state put there by hand (``status``)."""
    found = world.transactions.get(txn_id)
    if set(body) == {"event"}:
        transactions.happened(found, str(body["event"]), world.clock.now())
    elif set(body) == {"status"} and body["status"] in transactions.STATES:
        found.move(str(body["status"]), world.clock.now())
    else:
        raise ValueError(f"give event, or status: one of {', '.join(transactions.STATES)}")
    return {"id": txn_id, "status": found.status, "before": list(found.history)}


def routes(world: Consortium) -> list[Route]:
    """The routes of the control surface of one consortium."""

    async def log(_: Request) -> object:
        return {"counts": world.log.counts(), "entries": [as_dict(each) for each in world.log.entries]}

    async def clear_log(_: Request) -> object:
        world.log.clear()
        return world.log.counts()

    async def counts(_: Request) -> object:
        return world.log.counts()

    async def reset(_: Request) -> object:
        world.reset()
        return {"reset": True}

    async def state(_: Request) -> object:
        return {
            "transactions": {
                each.id: {**each.shown(), "cancelling": each.cancelling, "before": each.history,
                          "renewal_blocked": each.renewal_blocked, "patron": each.details.get("patron")}
                for each in world.transactions.by_id.values()
            },
            "patron_requests": {each.id: vars(each) for each in world.patron_requests.values()},
        }  # fmt: skip

    async def settings(request: Request) -> object:
        world.settings = ConsortiumSettings.model_validate(
            {**world.settings.model_dump(), **await _mapping(request)}
        )
        return world.settings.model_dump()

    async def clock(request: Request) -> object:
        body = await _mapping(request)
        if set(body) - {"now", "stopped"}:
            raise ValueError("give now, stopped or both")
        if "stopped" in body:
            (world.clock.stop if body["stopped"] else world.clock.run)()
        if "now" in body:
            world.clock.set(datetime.fromisoformat(str(body["now"])))
        return {"now": world.clock.time(), "stopped": world.clock.stopped}

    async def faults(request: Request) -> object:
        rule = FaultRule.model_validate(await _mapping(request))
        if rule.kind not in FAULTS:
            raise ValueError(f"the consortium knows the faults {', '.join(FAULTS)}")
        world.faults.add(rule)
        return world.faults.as_json()

    async def no_faults(_: Request) -> object:
        return {"removed": world.faults.remove()}

    async def transaction(request: Request) -> object:
        return play(world, request.path_params["txn_id"], await _mapping(request))

    async def patron_request(request: Request) -> object:
        pr_id = request.path_params["pr_id"]
        body = await _mapping(request)
        if not body.get("status") or set(body) - {"status", "next_status"}:
            raise ValueError("give status, and next_status for what it finds when it looks")
        known = PatronRequest(pr_id, str(body["status"]), str(body.get("next_status", "")))
        world.patron_requests[pr_id] = known
        return vars(known)

    def add(path: str, **methods: _Work) -> list[Route]:
        return [
            Route(f"/sandbox/{path}", _answering(work), methods=[name.upper()])
            for name, work in methods.items()
        ]

    return [
        *add("log", get=log, delete=clear_log),
        *add("counts", get=counts),
        *add("state", get=state),
        *add("reset", post=reset),
        *add("settings", post=settings),
        *add("clock", post=clock),
        *add("faults", post=faults, delete=no_faults),
        *add("transactions/{txn_id}", post=transaction),
        *add("patron-requests/{pr_id}", post=patron_request),
    ]
