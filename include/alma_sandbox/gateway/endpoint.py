"""The API gateway: keys, thresholds, faults, latency and headers around every call.

Order: a path with an encoded slash and an unknown path get an HTML page; then the key, the daily allowance and
the per-second threshold are checked, all before any effect; then faults that refuse; then latency; then the
handler; then faults that spoil the answer.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import unquote_plus

from starlette.requests import Request
from starlette.responses import Response

from alma_sandbox.gateway.admission import key_name, may, rights_of
from alma_sandbox.gateway.faults import ONLY_ALEPH, FaultRule, spoilt
from alma_sandbox.gateway.log import Entry
from alma_sandbox.http.answers import JSON_TYPE, XML_TYPE, Answer, Plain, as_json, as_xml
from alma_sandbox.http.call import BASE, Call, RouteEntry, asks_for_json
from alma_sandbox.http.errors import Refusal, daily_refusal, error_response, per_second_refusal, unauthorized
from alma_sandbox.routes.jobs import publish_ended
from alma_sandbox.sandbox import Sandbox


def endpoint(sandbox: Sandbox, entry: RouteEntry) -> Callable[[Request], Awaitable[Response]]:
    """The Starlette end point of a route: the whole gateway around its handlers."""

    async def answer(request: Request) -> Response:
        trace: Entry = request.state.trace
        trace.route = BASE + entry.path
        query = parse_query(request)
        key = api_key(request, query)
        trace.key = key_name(sandbox.settings, key)
        refused = _admit(sandbox, entry, request, query, key, trace)
        if refused is not None:
            return refused
        response = await _serve(sandbox, entry, request, query, trace)
        response.headers["X-Exl-Api-Remaining"] = str(sandbox.calls_left())
        return response

    return answer


def parse_query(request: Request) -> dict[str, str]:
    """The query as text by name; of repeated names the first counts."""
    query: dict[str, str] = {}
    for part in request.scope["query_string"].decode("latin-1").split("&"):
        name, _, value = part.partition("=")
        if name:
            query.setdefault(unquote_plus(name), unquote_plus(value))
    return query


def api_key(request: Request, query: Mapping[str, str]) -> str:
    """The key from ``Authorization: apikey X`` or from ``apikey=``."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "apikey" else query.get("apikey", "")


def query_without_key(query: bytes) -> str:
    """The query for the log: without the key."""
    parts = query.decode("latin-1").split("&")
    return "&".join(part for part in parts if part and unquote_plus(part.partition("=")[0]) != "apikey")


def _admit(
    sandbox: Sandbox, entry: RouteEntry, request: Request, query: Mapping[str, str], key: str, trace: Entry
) -> Response | None:
    """Key and thresholds: an answer when the call is refused, None when it may pass."""
    settings = sandbox.settings
    # Signing a user in is a POST that changes nothing: a key that only reads may do it.
    write = request.method not in ("GET", "HEAD") and query.get("op") != "auth"
    if rights_of(settings, key) is None or not may(settings, key, entry.area, write=write):
        return unauthorized(trace)
    if sandbox.calls_left() == 0:
        return daily_refusal(trace)
    if not sandbox.second.admit(settings.per_second):
        return per_second_refusal(sandbox, trace)
    sandbox.log.peak_per_second = max(sandbox.log.peak_per_second, sandbox.second.in_this_second)
    sandbox.daily.admit(settings.daily, sandbox.clock.now().date())
    return None


async def _serve(
    sandbox: Sandbox, entry: RouteEntry, request: Request, query: Mapping[str, str], trace: Entry
) -> Response:
    body = await request.body()
    wants_json = asks_for_json(query, request.headers.get("accept", ""))
    target = f"{trace.path}?{trace.query}" if trace.query else trace.path

    def answer(spoiler: FaultRule | None) -> Response:
        if spoiler is not None and spoiler.kind in ONLY_ALEPH:
            spoiler = None
        if spoiler is not None and not spoiler.strikes_after:
            return spoilt(sandbox, spoiler, trace, None, json=wants_json)
        ignored = frozenset() if spoiler is None else spoiler.ignored
        response = _apply(sandbox, entry, request, query, body, wants_json, trace, ignored)
        if spoiler is None or spoiler.kind == "ignore":
            return response
        return spoilt(sandbox, spoiler, trace, response, json=wants_json)

    return await struck(sandbox, request.method, target, trace, answer)


async def struck(
    sandbox: Sandbox,
    method: str,
    target: str,
    trace: Entry,
    answer: Callable[[FaultRule | None], Response],
) -> Response:
    """What ``answer`` makes of a call and of the fault that hits it, with latency and the waits of ``slow`` ones."""
    rules = sandbox.faults.strike(method, target)
    trace.fault = ",".join(rule.kind for rule in rules)
    await _wait(latency(sandbox, target) + _slowness(rules, after=False))
    response = answer(next((rule for rule in rules if rule.kind != "slow"), None))
    await _wait(_slowness(rules, after=True))
    return response


def _slowness(rules: list[FaultRule], *, after: bool) -> float:
    return sum(rule.ms for rule in rules if rule.kind == "slow" and rule.strikes_after is after)


def latency(sandbox: Sandbox, target: str) -> float:
    """Milliseconds that this call takes: the first route latency that matches, else the general one."""
    for found in sandbox.settings.latencies:
        if re.search(found.path, target):
            return found.ms
    return sandbox.settings.latency_ms


async def _wait(milliseconds: float) -> None:
    if milliseconds:
        await asyncio.sleep(milliseconds / 1000)


def _apply(
    sandbox: Sandbox,
    entry: RouteEntry,
    request: Request,
    query: Mapping[str, str],
    body: bytes,
    wants_json: bool,
    trace: Entry,
    ignored: frozenset[str],
) -> Response:
    """Run the handler and render what it returns, or the error that it raises."""
    base = f"{request.url.scheme}://{request.headers.get('host', '127.0.0.1')}{BASE}"
    call = Call(
        sandbox, request.method, request.path_params, query, request.headers, body, wants_json, base, ignored
    )
    try:
        found = entry.handlers["GET" if request.method == "HEAD" else request.method](call)
    except Refusal as refusal:
        return error_response(sandbox, trace, refusal, json=wants_json)
    trace.applied = True
    publish_ended(sandbox)
    if isinstance(found, Answer):
        nulls = sandbox.settings.nulls == "written"
        content = (
            as_json(found.payload, write_nulls=nulls) if wants_json else as_xml(found.root, found.payload)
        )
        return Response(
            content, found.status, headers={"content-type": JSON_TYPE if wants_json else XML_TYPE}
        )
    if isinstance(found, Plain):
        headers = {"location": found.location} if found.location else {}
        if found.content_type:
            headers["content-type"] = found.content_type
        return Response(found.body, found.status, headers=headers)
    return found
