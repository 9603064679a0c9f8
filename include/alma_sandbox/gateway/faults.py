"""Faults on demand: rules that say which calls go wrong and how, and the answers that they spoil."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from random import Random
from typing import TYPE_CHECKING, Any, Literal, Self

from lxml import etree
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from alma_sandbox.http.answers import HTML_TYPE, JSON_TYPE, XML_TYPE
from alma_sandbox.http.errors import (
    Refusal,
    broken,
    daily_refusal,
    error_response,
    error_xml,
    page,
    per_second_refusal,
)
from alma_sandbox.http.server import drop

if TYPE_CHECKING:
    from alma_sandbox.gateway.log import Entry
    from alma_sandbox.sandbox import Sandbox


Kind = Literal[
    "refuse", "per_second", "daily", "server_error", "bad_gateway", "maintenance", "xml_error", "drop",
    "truncated", "malformed", "slow", "charset", "huge", "body",
    "short", "miscount", "ignore", "aleph_error", "login", "other_key",
]  # fmt: skip

# Kinds that spoil the answer of a call that took effect; the others strike before any effect.
_AFTER = {
    "drop",
    "truncated",
    "malformed",
    "slow",
    "charset",
    "huge",
    "short",
    "miscount",
    "ignore",
    "other_key",
}
ONLY_ALEPH = frozenset({"aleph_error", "login", "other_key"})
"""Kinds that the X-Server alone knows; a call of Alma that one of them matches is answered as ever."""
_CHUNK = 1 << 20


class FaultRule(BaseModel):
    """Which calls to hit and what to do to them.

    A rule matches by ``method`` and by ``path``, a regular expression searched in path and query (without the
    key). Of the matching calls it hits all, or the ``nth`` (1 = the first; one number or several), the
    ``first`` n, ``every`` n-th, or each with ``probability`` (drawn from ``seed``, so that a sequence of calls is
    hit the same way each time); never more than ``times``.

    Kinds: ``refuse`` (an error of ``status``, ``code``, ``message`` in the format asked for), ``per_second`` and
    ``daily`` (429), ``server_error`` (500 in the format asked for), ``bad_gateway`` (502 HTML), ``maintenance``
    (200 HTML), ``xml_error`` (an XML error even on a JSON call), ``drop`` (no answer, connection closed),
    ``truncated`` (half of the body, then closed), ``malformed`` (complete, but no XML or JSON), ``slow`` (after
    ``ms``), ``charset`` (the body in ``encoding`` while the header says UTF-8), ``huge`` (a body of ``bytes``),
    ``body`` (``text`` with ``status`` and ``content_type``), ``short`` (a list without its last ``rows`` rows, or
    without those that hold ``text``, its count left as it is), ``miscount`` (a list that counts ``by`` more than it
    names, or fewer when negative), ``ignore`` (a write is answered as done and leaves ``fields`` as they were, ``*``
    all of them). Of the X-Server alone: ``aleph_error`` (the ``messages`` are its ``<error>`` texts; with ``applied``
    they stand before its own), ``login`` (root ``<login>`` with ``message``; a session that was used is over),
    ``other_key`` (the answer names another document). Per-second and daily refusals strike before any
    effect; ``applied`` overrides when a kind strikes: true = the call takes effect, only its answer is spoilt.
    """

    model_config = ConfigDict(extra="forbid")

    id: str = ""
    kind: Kind
    method: str | None = None
    path: str = ""
    nth: int | list[int] | None = None
    first: int | None = Field(default=None, ge=1)
    every: int | None = Field(default=None, ge=1)
    probability: float | None = Field(default=None, ge=0, le=1)
    seed: int = 0
    times: int | None = Field(default=None, ge=1)
    applied: bool | None = None
    status: int | None = Field(default=None, ge=200, le=599)
    code: str = "401652"
    message: str = "General Error - An error has occurred while processing the request."
    ms: float = Field(default=1000, ge=0, le=600_000)
    bytes: int = Field(default=100_000_000, ge=0, le=2_000_000_000)
    encoding: str = "utf-16"
    text: str = ""
    rows: int = Field(default=1, ge=1)
    by: int = 1
    fields: list[str] = []
    messages: list[str] = ["Failed to update the item "]
    content_type: str | None = None

    @field_validator("path")
    @classmethod
    def _is_pattern(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"path is no regular expression: {error}") from error
        return value

    @field_validator("encoding")
    @classmethod
    def _is_encoding(cls, value: str) -> str:
        try:
            "".encode(value)
        except LookupError as error:
            raise ValueError(f"unknown encoding {value!r}") from error
        return value

    @model_validator(mode="after")
    def _one_selector(self) -> Self:
        chosen = [
            name for name in ("nth", "first", "every", "probability") if getattr(self, name) is not None
        ]
        if len(chosen) > 1:
            raise ValueError(f"give one of nth, first, every and probability, not {' and '.join(chosen)}")
        return self

    @property
    def ignored(self) -> frozenset[str]:
        """The fields that a write leaves as they were."""
        return frozenset(self.fields) if self.kind == "ignore" else frozenset()

    @property
    def strikes_after(self) -> bool:
        """Whether the call takes effect before the fault strikes."""
        if self.kind in ("per_second", "daily"):
            return False
        return self.kind in _AFTER if self.applied is None else self.applied


class _Armed:
    """A rule and how often it has matched and hit."""

    def __init__(self, rule: FaultRule) -> None:
        self.rule = rule
        self.pattern = re.compile(rule.path)
        self.random = Random(rule.seed)  # noqa: S311 - a reproducible sequence, not a secret
        self.matched = 0
        self.hit = 0

    def hits(self, method: str, target: str) -> bool:
        rule = self.rule
        if rule.method and rule.method.upper() != method:
            return False
        if not self.pattern.search(target):
            return False
        self.matched += 1
        struck = self._selected() and (rule.times is None or self.hit < rule.times)
        self.hit += struck
        return struck

    def _selected(self) -> bool:
        rule = self.rule
        if rule.nth is not None:
            return self.matched in (rule.nth if isinstance(rule.nth, list) else [rule.nth])
        if rule.first is not None:
            return self.matched <= rule.first
        if rule.every is not None:
            return self.matched % rule.every == 0
        if rule.probability is not None:
            return self.random.random() < rule.probability
        return True


class Faults:
    """The rules in force. Of the rules that hit a call the first applies, and every ``slow`` one besides."""

    def __init__(self) -> None:
        self._armed: dict[str, _Armed] = {}
        self._number = 0

    def add(self, rule: FaultRule) -> FaultRule:
        """Put a rule in force; it gets an id unless it has one."""
        if not rule.id:
            self._number += 1
            rule = rule.model_copy(update={"id": str(self._number)})
        self._armed[rule.id] = _Armed(rule)
        return rule

    def remove(self, rule_id: str | None = None) -> int:
        """Lift one rule or all of them; returns how many."""
        gone = [rule_id] if rule_id in self._armed else [] if rule_id is not None else list(self._armed)
        for name in gone:
            del self._armed[name]
        return len(gone)

    def strike(self, method: str, target: str) -> list[FaultRule]:
        """The rules that apply to this call: ``slow`` ones, then at most one other."""
        hit = [armed.rule for armed in list(self._armed.values()) if armed.hits(method, target)]
        slow = [rule for rule in hit if rule.kind == "slow"]
        return slow + [rule for rule in hit if rule.kind != "slow"][:1]

    def as_json(self) -> list[dict[str, Any]]:
        """The rules with how often each matched and hit."""
        return [
            {**armed.rule.model_dump(exclude_defaults=True), "matched": armed.matched, "hit": armed.hit}
            for armed in self._armed.values()
        ]


class Dropped(Response):
    """No answer at all: the connection is closed."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Close the connection."""
        await drop(scope, receive)


class Truncated(Response):
    """Headers that promise a whole body, half of it, and a closed connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send half and close."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        half = bytes(self.body)[: len(self.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})
        await drop(scope, receive, flush=True)


def spoilt(  # noqa: C901, PLR0912 - a case for each kind
    sandbox: Sandbox, rule: FaultRule, trace: Entry, response: Response | None, *, json: bool
) -> Response:
    """The answer that a rule puts in the place of ``response`` (None: the call was not carried out)."""
    content = bytes(response.body) if response is not None else b""
    kind = JSON_TYPE if json else XML_TYPE
    if response is not None:
        kind = response.headers.get("content-type", kind)
    status = response.status_code if response is not None else 200
    match rule.kind:
        case "refuse":
            return error_response(
                sandbox, trace, Refusal(rule.code, rule.message, rule.status or 400), json=json
            )
        case "per_second":
            return per_second_refusal(sandbox, trace)
        case "daily":
            return daily_refusal(trace)
        case "server_error":
            error = Refusal(
                "INTERNAL_SERVER_ERROR", "The web server encountered an unexpected condition.", 500
            )
            return error_response(sandbox, trace, error, json=json)
        case "bad_gateway":
            return page(rule.status or 502, "502 Bad Gateway", "The upstream server did not answer.")
        case "maintenance":
            return page(rule.status or 200, "Scheduled maintenance", "Alma will be back soon.")
        case "xml_error":
            trace.code = rule.code
            body = error_xml(rule.code, rule.message, sandbox.tracking_id())
            return Response(body, rule.status or 400, headers={"content-type": XML_TYPE})
        case "drop":
            return Dropped()
        case "truncated":
            return Truncated(content or b"<html><body></body></html>", status, headers={"content-type": kind})
        case "malformed":
            return Response(broken(content, json="json" in kind), status, headers={"content-type": kind})
        case "charset":
            text = content.decode("utf-8")
            return Response(text.encode(rule.encoding, "replace"), status, headers={"content-type": kind})
        case "short" | "miscount":
            return Response(_listed(rule, content), status, headers={"content-type": kind})
        case "huge":
            return StreamingResponse(_huge(rule.bytes, json=json), status, headers={"content-type": kind})
        case _:
            return Response(
                rule.text, rule.status or 200, headers={"content-type": rule.content_type or HTML_TYPE}
            )


def _listed(rule: FaultRule, content: bytes) -> bytes:
    """A list that does not name what it counts; anything else stays as it is."""
    if content.lstrip().startswith(b"{"):
        document = json.loads(content)
        rows = next((value for value in document.values() if isinstance(value, list)), [])
        if rule.kind == "short":
            gone = [row for row in rows if rule.text in json.dumps(row)][-rule.rows :]
            rows[:] = [row for row in rows if not any(row is each for each in gone)]
        elif "total_record_count" in document:
            document["total_record_count"] += rule.by
        return json.dumps(document).encode()
    root = etree.fromstring(content)
    if rule.kind == "short" and root.get("total_record_count") is not None:
        rows = [row for row in root if rule.text in etree.tostring(row, encoding="unicode")]
        for row in rows[-rule.rows :]:
            root.remove(row)
    elif root.get("total_record_count") is not None:
        root.set("total_record_count", str(int(root.get("total_record_count", "0")) + rule.by))
    return etree.tostring(root, encoding="utf-8", xml_declaration=True)


async def _huge(size: int, *, json: bool) -> AsyncIterator[bytes]:
    """A body of about ``size`` bytes that a parser would accept to its end."""
    start, end = (b'{"padding":"', b'"}') if json else (b"<padding>", b"</padding>")
    yield start
    left = size - len(start) - len(end)
    while left > 0:
        yield b"x" * min(_CHUNK, left)
        left -= _CHUNK
    yield end
