"""A call to Alma as a value: method, path, parameters, body."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote, unquote

from alma_etl.remote.errors import RemoteRefused

JSON = "application/json"
XML = "application/xml"
_WHOSE = re.compile(r"^/users/(?!operation/)[^/]+")


@dataclass(frozen=True)
class Call:
    """`path` is below /almaws/v1 and quoted already (see `path`). `accept` and, when there is a `body`,
    `content_type` say the format. `repeatable`: doing it twice is the same as doing it once, so that the
    client may repeat it after a lost answer; true for GET, and for a DELETE whose caller takes "not there"
    for done. `follow`: whether a redirect is followed; else it is the answer.
    """

    method: str
    path: str
    params: Mapping[str, str | int] = field(default_factory=dict)
    body: bytes | None = None
    accept: str = JSON
    content_type: str = JSON
    repeatable: bool = False
    follow: bool = True

    @property
    def name(self) -> str:
        """How errors and logs call it."""
        return named(self.method, self.path)

    def repeated(self) -> Call:
        """The same call, which may be repeated after a lost answer."""
        return replace(self, repeatable=True)

    @property
    def writes(self) -> bool:
        """Whether the call may change something in Alma."""
        return self.method != "GET"


def named(method: str, path_: str) -> str:
    """Method and path for errors and logs: without the query, and without the user's id, which is an e-mail address
    in some libraries."""
    return f"{method} {_WHOSE.sub('/users/-', path_)}"


def without_user(path_: str, text: str) -> str:
    """A text about a call without the user's id, which Alma repeats in some of its own words."""
    match = _WHOSE.match(path_)
    if match is None:
        return text
    user_id = unquote(match[0].removeprefix("/users/"))
    return re.sub(rf"(?<!\w){re.escape(user_id)}(?!\w)", "-", text, flags=re.IGNORECASE)


def path(*segments: str) -> str:
    """Path of segments, each an id or a fixed word. A slash inside a segment cannot reach Alma (its gateway
    refuses an encoded one), and dots alone would climb: such ids are refused here, before anything is sent.
    """
    for segment in segments:
        if not segment or segment.strip(".") == "" or "/" in segment or "\\" in segment:
            raise RemoteRefused(
                "/" + "/".join(quote(each, safe="") for each in segments),
                None,
                "INVALID_ID",
                f"{segment!r} cannot be an id in a call to Alma; nothing was sent",
            )
    return "/" + "/".join(quote(segment, safe="") for segment in segments)


def params(**values: str | int | bool | None) -> dict[str, str | int]:
    """Query parameters: None is left out, booleans become true and false."""
    return {
        name: (str(value).lower() if isinstance(value, bool) else value)
        for name, value in values.items()
        if value is not None
    }


def json_call(method: str, path_: str, body: Mapping[str, Any], **values: str | int | bool | None) -> Call:
    """A writing call with a JSON body."""
    return Call(method, path_, params(**values), json.dumps(body, ensure_ascii=False).encode("utf-8"))


def xml_call(method: str, path_: str, body: bytes, **values: str | int | bool | None) -> Call:
    """A writing call with an XML body: bibs and holdings take nothing else (60105)."""
    return Call(method, path_, params(**values), body, accept=XML, content_type=XML)
