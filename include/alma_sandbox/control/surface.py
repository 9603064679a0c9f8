"""The control surface ``/sandbox/...``: JSON, no key, for the tests and people that use the sandbox."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from lxml import etree
from starlette.requests import Request
from starlette.routing import Route

from alma_sandbox.administration import acquisitions
from alma_sandbox.administration.events import challenge
from alma_sandbox.catalogue import ids, titles
from alma_sandbox.catalogue.holdings import count
from alma_sandbox.catalogue.marc import to_element
from alma_sandbox.catalogue.records import Bib, Holding
from alma_sandbox.catalogue.variants import CYCLE, GOOD, VARIANTS, variant_of
from alma_sandbox.control import aleph, importing, rearranging, staff
from alma_sandbox.control.common import Work, common_routes, mapping, routes_at
from alma_sandbox.routes.jobs import publish_ended
from alma_sandbox.sandbox import Sandbox
from alma_sandbox.settings import Settings

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


_Staff = Callable[[Sandbox, str, dict[str, Any]], dict[str, Any]]


def routes(sandbox: Sandbox) -> list[Route]:
    """The routes of the control surface of one sandbox."""

    async def read_counts(_: Request) -> object:
        return {**sandbox.log.counts(), "calls_left": sandbox.calls_left()}

    async def read_state(_: Request) -> object:
        return snapshot(sandbox)

    async def read_job(request: Request) -> object:
        return _plain(importing.job_instance(sandbox, request.path_params["instance_id"]))

    async def variants(request: Request) -> object:
        name, limit = request.query_params.get("name"), int(request.query_params.get("limit", "10"))
        return titles_by_variant(sandbox.settings, name, limit)

    async def read_webhooks(_: Request) -> object:
        publish_ended(sandbox)
        return list(sandbox.events.kept)

    async def try_webhook(request: Request) -> object:
        url = sandbox.settings.webhook_url
        if url is None:
            raise ValueError("set webhook_url by POST /sandbox/settings first")
        text = str((await mapping(request)).get("challenge", "sandbox-challenge"))
        return await asyncio.to_thread(challenge, url, text)

    def staff_action(act: _Staff, name: str) -> Work:
        async def work(request: Request) -> object:
            return act(sandbox, request.path_params[name], await mapping(request))

        return work

    def everywhere(act: Callable[[Sandbox, dict[str, Any]], dict[str, Any]]) -> Work:
        async def work(request: Request) -> object:
            return act(sandbox, await mapping(request))

        return work

    return [
        *common_routes(sandbox, clock_moved=lambda: publish_ended(sandbox)),
        *aleph.routes(sandbox),
        *routes_at("counts", get=read_counts),
        *routes_at("state", get=read_state),
        *routes_at("variants", get=variants),
        *routes_at("webhooks", get=read_webhooks),
        *routes_at("webhooks/challenge", post=try_webhook),
        *routes_at("jobs", post=everywhere(importing.start_job)),
        *routes_at(
            "jobs/{instance_id}", get=read_job, post=staff_action(importing.change_job, "instance_id")
        ),
        *routes_at("import-profiles/{profile_id}", post=staff_action(importing.fill_profile, "profile_id")),
        *routes_at("desk", post=everywhere(staff.at_desk)),
        *routes_at("locks", post=everywhere(staff.change_locks)),
        *routes_at("loans", post=everywhere(rearranging.change_due_dates)),
        *routes_at("hold-shelf", post=everywhere(rearranging.clear_hold_shelf)),
        *routes_at("bibs/{mms_id}", post=staff_action(rearranging.change_bib, "mms_id")),
        *routes_at("holdings/{holding_id}", post=staff_action(rearranging.change_holding, "holding_id")),
        *routes_at("items/{pid}", post=staff_action(staff.change_item, "pid")),
        *routes_at("po-lines/{number:path}", post=staff_action(rearranging.change_po_line, "number")),
        *routes_at("loans/{loan_id}", post=staff_action(staff.change_loan, "loan_id")),
        *routes_at("requests/{request_id}", post=staff_action(staff.change_request, "request_id")),
        *routes_at("users/{user_id}", post=staff_action(staff.change_user, "user_id")),
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
        "funds": acquisitions.balances(list(sandbox.po_lines.by_number.values())),
        "aleph_items": {
            key: None if item is None else asdict(item) for key, item in sorted(sandbox.aleph.changed.items())
        },
        "aleph_bookings": {key: asdict(found) for key, found in sorted(sandbox.aleph.bookings.items())},
        "aleph_ill": dict(sorted(sandbox.aleph.ill_barcodes.items())),
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
    values = {name: value for name, value in vars(found).items() if name not in ("record", "before")}
    return {**values, "record": etree.tostring(to_element(found.record), encoding="unicode")}
