"""The answer of one exchange with Alma, and the error that it may hold, in every form that has been seen.

Forms of the error envelope: JSON with a list or a single object, JSON in the old `web_service_result`
wrapper, XML with a namespace (all errors of the gateway, even to a call that asked for JSON), plain text, an
HTML page (also with status 200, during maintenance), nothing at all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from lxml import etree

from alma_etl.alma import xml

MAX_JSON_VALUES = 3_000_000


class UnreadableError(ValueError):
    """The body is not what an answer of Alma looks like; the message says what it is."""


@dataclass(frozen=True)
class ServiceError:
    """What the envelope says. All "" when the body is no envelope and the text is all there is."""

    code: str
    message: str
    tracking_id: str


@dataclass(frozen=True)
class Reply:
    """One HTTP answer, read wholly."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

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
