"""The control surface ``/sandbox/...``: JSON, no key, for the tests and people that use the sandbox."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from lxml import etree
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from alma_sandbox.administration.events import challenge
from alma_sandbox.catalogue import ids, titles
from alma_sandbox.catalogue.holdings import count
from alma_sandbox.catalogue.marc import to_element
from alma_sandbox.catalogue.records import Bib, Holding
from alma_sandbox.catalogue.variants import CYCLE, GOOD, VARIANTS, variant_of
from alma_sandbox.control import staff
from alma_sandbox.gateway.faults import FaultRule
from alma_sandbox.gateway.log import as_dict
from alma_sandbox.routes.jobs import announce
from alma_sandbox.sandbox import Sandbox
from alma_sandbox.settings import Settings

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


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
        return snapshot(sandbox)

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
        return titles_by_variant(sandbox.settings, name, limit)

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


def titles_by_variant(
    settings: Settings, name: str | None = None, limit: int = 10
) -> dict[str, list[dict[str, Any]]]:
    """The first ``limit`` titles of one variant, or of each. ValueError for an unknown name."""
    if name is not None and name != GOOD and name not in VARIANTS:
        raise ValueError(f"unknown variant {name}; there are {', '.join([GOOD, *VARIANTS])}")
    wanted = [name] if name is not None else [GOOD, *VARIANTS]
    found: dict[str, list[dict[str, Any]]] = {variant: [] for variant in wanted}
    # Each cycle holds every variant: enough titles to find ``limit`` of each that exists.
    for title in range(min(settings.titles, CYCLE * (limit + 1))):
        variant = variant_of(settings.seed, title)
        if variant in found and len(found[variant]) < limit:
            found[variant].append(_describe(settings, title))
    return found


def _describe(settings: Settings, title: int) -> dict[str, Any]:
    suffix = settings.suffix
    holdings = [ids.holding_id(title, number, suffix) for number in range(count(settings.seed, title))]
    bib = titles.bib(settings.seed, title, settings.titles, suffix)
    return {"title": title, "mms_id": bib.mms_id, "host_mms_id": bib.host_mms_id, "holding_ids": holdings}


def snapshot(sandbox: Sandbox) -> dict[str, Any]:
    """Everything that differs from a fresh sandbox, by kind and id; a deleted record is null."""
    catalogue = sandbox.catalogue
    kinds: dict[str, dict[Any, Any]] = {
        "bibs": {key: _record(bib) for key, bib in sorted(catalogue.bibs.items())},
        "holdings": {key: _record(holding) for key, holding in sorted(catalogue.holdings.items())},
        "items": {
            key: None if item is None else asdict(item) for key, item in sorted(catalogue.items.items())
        },
        "sets": {
            key: {**asdict(found), "members": found.members}
            for key, found in sorted(sandbox.sets.by_id.items())
            if found.members is not None
        },
        "users": dict(sorted(sandbox.users.by_id.items())),
        "requests": {key: _plain(found) for key, found in sandbox.requests.by_id.items()},
        "loans": {key: _plain(found) for key, found in sandbox.loans.by_id.items()},
        "jobs": {key: _plain(found) for key, found in sandbox.jobs.by_id.items()},
        "po_lines": {key: _plain(found) for key, found in sorted(sandbox.po_lines.by_number.items())},
        "in_house_uses": dict(sorted(sandbox.in_house_uses.items())),
        "letters": dict(enumerate(sandbox.letters)),
    }
    return {**kinds, "counts": {kind: len(rows) for kind, rows in kinds.items()}}


def _plain(found: "DataclassInstance") -> Any:
    """A dataclass with its times as text."""
    return json.loads(json.dumps(asdict(found), default=str))


def _record(found: Bib | Holding | None) -> dict[str, Any] | None:
    """A bib or holding with its MARC as one text."""
    if found is None:
        return None
    values = {name: value for name, value in vars(found).items() if name != "record"}
    return {**values, "record": etree.tostring(to_element(found.record), encoding="unicode")}
