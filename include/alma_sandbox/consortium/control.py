"""The consortium's own control surface ``/sandbox/...``: JSON, no key, neither counted nor logged."""

from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from alma_sandbox.consortium import transactions
from alma_sandbox.consortium.graphql import REQUEST_FIELDS
from alma_sandbox.consortium.world import Consortium, PatronRequest
from alma_sandbox.control.common import common_routes, mapping, routes_at

FAULTS = ("drop", "slow", "body", "bad_gateway")


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

    async def counts(_: Request) -> object:
        return world.log.counts()

    async def state(_: Request) -> object:
        return {
            "transactions": {
                each.id: {**each.shown(), "cancelling": each.cancelling, "before": each.history,
                          "renewal_blocked": each.renewal_blocked, "patron": each.details.get("patron")}
                for each in world.transactions.by_id.values()
            },
            "patron_requests": {each.id: vars(each) for each in world.patron_requests.values()},
        }  # fmt: skip

    async def transaction(request: Request) -> object:
        return play(world, request.path_params["txn_id"], await mapping(request))

    async def patron_request(request: Request) -> object:
        pr_id = request.path_params["pr_id"]
        body = await mapping(request)
        fields = {name: value for name, value in body.items() if name not in ("status", "next_status")}
        if not body.get("status") or set(fields) - REQUEST_FIELDS:
            raise ValueError(
                "give status, next_status for what it finds when it looks, and what GraphQL shows of a PatronRequest"
            )
        fields = {"dateUpdated": world.clock.now().isoformat()} | fields
        known = PatronRequest(pr_id, str(body["status"]), str(body.get("next_status", "")), fields=fields)
        world.patron_requests[pr_id] = known
        return vars(known)

    return [
        *common_routes(world, kinds=FAULTS),
        *routes_at("counts", get=counts),
        *routes_at("state", get=state),
        *routes_at("transactions/{txn_id}", post=transaction),
        *routes_at("patron-requests/{pr_id}", post=patron_request),
    ]
