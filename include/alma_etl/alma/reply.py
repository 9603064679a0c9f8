"""The answer of one exchange with Alma, the error that it may hold in every form that has been seen, and what that
means. Nothing is decided by message text where there is a code.

Forms of the error envelope: JSON with a list or a single object, JSON in the old `web_service_result`
wrapper, XML with a namespace (all errors of the gateway, even to a call that asked for JSON), plain text, an
HTML page (also with status 200, during maintenance), nothing at all.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, TypeVar

from lxml import etree

from alma_etl.alma.call import Call, without_user
from alma_etl.alma.errors import AlmaDailyThreshold
from alma_etl.remote import xml
from alma_etl.remote.errors import (
    RemoteError,
    RemoteForbidden,
    RemoteMalformed,
    RemoteRefused,
    RemoteServerError,
    RemoteThrottled,
    RemoteUnauthorized,
)
from alma_etl.remote.exchange import HttpReply

T = TypeVar("T")

MAX_JSON_VALUES = 3_000_000


class UnreadableError(ValueError):
    """The body is not what an answer of Alma looks like; the message says what it is."""


@dataclass(frozen=True)
class ServiceError:
    """What the envelope says. All "" when the body is no envelope and the text is all there is."""

    code: str
    message: str
    tracking_id: str


class Reply(HttpReply):
    """An answer of Alma, whatever it is."""

    @property
    def charset(self) -> str:
        """The charset that the content type claims, "" when it claims none."""
        for part in self.headers.get("Content-Type", "").split(";")[1:]:
            name, _, value = part.partition("=")
            if name.strip().lower() == "charset":
                return value.strip().strip("\"'")
        return ""

    @cached_property
    def text(self) -> str:
        """The body as text. Raises UnreadableError."""
        try:
            return xml.decode(self.body, self.charset)
        except xml.UnreadableXmlError as error:
            raise UnreadableError(str(error)) from None

    @cached_property
    def kind(self) -> str:
        """json, xml, html, text or empty: by the first characters, since content types lie."""
        start = self.text[:1000].lstrip("\ufeff \t\r\n").lower()
        if not start:
            return "empty"
        if start.startswith("<!doctype html") or "<html" in start:
            return "html"
        return {"<": "xml", "{": "json", "[": "json"}.get(start[0], "text")

    @cached_property
    def _json(self) -> Any:
        if sum(self.text.count(mark) for mark in ",[{") > MAX_JSON_VALUES:
            raise UnreadableError(f"the JSON holds more than {MAX_JSON_VALUES} values")
        try:
            value = json.loads(self.text)
            if "\\ud" in self.text or "\\uD" in self.text:
                json.dumps(
                    value, ensure_ascii=False
                ).encode()  # half a surrogate pair cannot be written anywhere
        except RecursionError:
            raise UnreadableError("the JSON is nested too deeply") from None
        except ValueError as error:
            raise UnreadableError(f"the JSON cannot be read ({str(error)[:200]})") from None
        return value

    @cached_property
    def _xml(self) -> etree._Element:
        try:
            return xml.parse_text(self.text)
        except xml.UnreadableXmlError as error:
            raise UnreadableError(str(error)) from None

    def json(self) -> dict[str, Any]:
        """The JSON object of the body. Raises UnreadableError."""
        if self.kind != "json":
            raise UnreadableError(f"{_NAMES[self.kind]} came instead of JSON")
        if not isinstance(self._json, dict):
            raise UnreadableError("the JSON is not an object")
        return self._json

    @cached_property
    def _tolerant_xml(self) -> etree._Element:
        try:
            return self._xml
        except UnreadableError:
            legal = xml.without_illegal(self.text)
            if legal == self.text:
                raise
        try:
            return xml.parse_text(legal)
        except xml.UnreadableXmlError as error:
            raise UnreadableError(str(error)) from None

    def xml(self, *, tolerant: bool = False) -> etree._Element:
        """The root element of the body. `tolerant`: characters that XML cannot hold are left out, for records that
        are only looked at and never sent back. Raises UnreadableError."""
        if self.kind != "xml":
            raise UnreadableError(f"{_NAMES[self.kind]} came instead of XML")
        return self._tolerant_xml if tolerant else self._xml

    def error(self) -> ServiceError | None:
        """The error in the body, None when the body is none. Raises UnreadableError."""
        if self.kind == "json":
            return _json_error(self.json()) if isinstance(self._json, dict) else None
        if self.kind == "xml":
            return _xml_error(self._tolerant_xml)
        return None

    @property
    def request_id(self) -> str:
        """The gateway's id of the call, "" when it gave none."""
        return self.headers.get("X-Request-ID", "")

    @property
    def calls_left(self) -> int | None:
        """The institution's calls left for today, from X-Exl-Api-Remaining."""
        value = self.headers.get("X-Exl-Api-Remaining", "").strip()
        return int(value) if value.isascii() and value.isdigit() else None


_NAMES = {
    "html": "an HTML page",
    "xml": "XML",
    "json": "JSON",
    "text": "plain text",
    "empty": "an empty body",
}


def _json_error(value: dict[str, Any]) -> ServiceError | None:
    inner = value.get("web_service_result", value)
    if not isinstance(inner, dict):
        return None
    errors = inner.get("errorList")
    if not errors and inner.get("errorsExist") not in (True, "true"):
        return None
    if isinstance(errors, dict):
        errors = errors.get("error")
    first = errors[0] if isinstance(errors, list) and errors else errors
    if not isinstance(first, dict):
        return ServiceError("", "", "")
    return ServiceError(
        *(str(first.get(name) or "").strip() for name in ("errorCode", "errorMessage", "trackingId"))
    )


def _xml_error(root: etree._Element) -> ServiceError | None:
    if xml.local(root) != "web_service_result":
        return None
    errors = xml.child(root, "errorList")
    first = xml.child(errors, "error") if errors is not None else None
    if first is None:
        return ServiceError("", "", "")
    return ServiceError(*(xml.text(first, name) for name in ("errorCode", "errorMessage", "trackingId")))


_RESET_GRACE = timedelta(minutes=10)


def failure(call: Call, reply: Reply, now: datetime, scrub: Callable[[str], str] = str) -> RemoteError | None:
    """The error that `reply` stands for, None when it is an answer. `now` (UTC) dates the daily threshold;
    `scrub` takes the key out of Alma's own words, in case it is echoed."""
    try:
        said = reply.error()
        kind = reply.kind
    except UnreadableError as error:
        said, kind = None, "unreadable"
        why = str(error)
    else:
        why = _NO_ANSWER.get(kind, "")
    status = reply.status
    code = said.code if said else ""
    words = without_user(call.path, scrub(said.message))[:1000] if said else ""
    tracking_id = (said.tracking_id if said else "") or reply.request_id

    def make(type_: type[RemoteError], message: str, effect_unknown: bool = False) -> RemoteError:
        return type_(call.name, status, code, message, tracking_id, effect_unknown)

    if code == "DAILY_THRESHOLD":
        until = next_allowance(now)
        return AlmaDailyThreshold(
            call.name,
            status,
            code,
            f"the institution's Alma calls of today are used up; run again after {until:%Y-%m-%d %H:%M} UTC",
            tracking_id,
            False,
            until,
        )
    if code == "PER_SECOND_THRESHOLD" or status == 429:
        return make(RemoteThrottled, "more calls per second than Alma allows")
    if code == "UNAUTHORIZED" or status == 401:
        return make(RemoteUnauthorized, _UNAUTHORIZED)
    if code in ("INVALID_REQUEST", "FORBIDDEN") or status == 403:
        return make(RemoteForbidden, _FORBIDDEN)
    if status >= 500:
        return make(RemoteServerError, f"Alma failed{': ' + words if words else ''}", call.writes)
    if said is not None and code:
        return make(RemoteRefused, words or "refused")
    if said is not None or why or not 200 <= status < 300:
        return make(RemoteMalformed, f"unusable answer: {why or 'an error without a code'}", call.writes)
    return None


def read_or_malformed(call: Call, reply: Reply, read: Callable[[Reply], T]) -> T:
    """Turn a good answer into a value; a shape that `read` cannot take is a malformed answer."""
    try:
        return read(reply)
    except (UnreadableError, KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        why = (
            str(error)
            if isinstance(error, UnreadableError)
            else f"a part is missing ({type(error).__name__}: {error})"
        )
        raise RemoteMalformed(
            call.name, reply.status, "", f"unusable answer: {why[:300]}", reply.request_id, call.writes
        ) from error


def next_allowance(now: datetime) -> datetime:
    """When the daily calls are renewed: midnight UTC; shortly after midnight our clock may be ahead of Alma's,
    and waiting for the next midnight would lose a day."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return now + _RESET_GRACE if now - midnight < _RESET_GRACE else midnight + timedelta(days=1)


_NO_ANSWER = {
    "html": "an HTML page came instead of an answer",
    "text": "plain text came instead of an answer",
}
_UNAUTHORIZED = (
    "Alma does not accept this API key here; check the connection's key, that the host is the "
    "institution's region, and that the key's rights in the Ex Libris developer network cover this area"
)
_FORBIDDEN = (
    "Alma's gateway refuses this key or this machine's address; "
    "check the key and the IP ranges that it is limited to"
)
