"""Configuration look-ups (`/conf`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from alma_etl.alma import shapes
from alma_etl.alma.call import XML, Call, params, path
from alma_etl.alma.reply import Reply
from alma_etl.alma.resource import Page, Resource, page, whole

_TEST_POINTS = {
    "bibs": "/bibs/test",
    "conf": "/conf/test",
    "acq": "/acq/test",
    "analytics": "/analytics/test",
    "users": "/users/operation/test",
    "partners": "/partners/operation/test",
}


@dataclass(frozen=True)
class General:
    """Which Alma this is: `institution` (code), its name, `environment_type` (PRODUCTION, SANDBOX)."""

    institution: str
    name: str
    environment_type: str


@dataclass(frozen=True)
class Library:
    """A library by its code, with the name for people."""

    code: str
    name: str


@dataclass(frozen=True)
class Location:
    """A location of `library`; its `code` means something only together with the library's."""

    library: str
    code: str
    name: str
    type: str
    suppressed: bool


@dataclass(frozen=True)
class CodeRow:
    """A row of a code table."""

    code: str
    description: str
    enabled: bool
    default: bool


_Coded = TypeVar("_Coded", Library, Location, CodeRow)


class Conf(Resource):
    """The calls about Alma's configuration."""

    def general(self) -> General:
        """GET /conf/general. Raises RemoteError."""
        return self._client.call(Call("GET", "/conf/general"), _general)

    def libraries(self) -> list[Library]:
        """GET /conf/libraries (not paged). Raises RemoteError."""
        return self._listed(Call("GET", "/conf/libraries"), "library", _library)

    def locations(self, library: str) -> list[Location]:
        """GET /conf/libraries/{library}/locations (not paged). Raises RemoteError."""
        call = Call("GET", path("conf", "libraries", library, "locations"))
        return self._listed(call, "location", lambda row: _location(library, row))

    def code_table(self, name: str, *, scope: str | None = None) -> list[CodeRow]:
        """GET /conf/code-tables/{name}, for example PhysicalMaterialType, ItemPolicy,
        RequestCancellationReasons. `scope`: a library's code instead of the institution. Raises RemoteError."""
        call = Call("GET", path("conf", "code-tables", name), params(scope=scope))
        return self._listed(call, "row", _row)

    def _listed(self, call: Call, name: str, make: Callable[[shapes.Json], _Coded]) -> list[_Coded]:
        """A list that may lack its count, but not be of another kind. Raises RemoteShortList when it counts
        more than it names."""
        rows = page(name, make, counted=False)

        def read(reply: Reply) -> Page[_Coded]:
            if not {name, "total_record_count", "name"} & set(reply.json()):
                raise ValueError(f"{name} is missing")
            return rows(reply)

        return whole(call.name, lambda: self._client.call(call, read), lambda each: each.code)


def _library(row: shapes.Json) -> Library:
    return Library(code=shapes.required(row, "code"), name=shapes.text(row.get("name")))


def _location(library: str, row: shapes.Json) -> Location:
    return Location(
        library=library,
        code=shapes.required(row, "code"),
        name=shapes.text(row.get("name")),
        type=shapes.text(row.get("type")),
        suppressed=shapes.flag(row.get("suppress_from_publishing")),
    )


def _row(row: shapes.Json) -> CodeRow:
    return CodeRow(
        code=shapes.required(row, "code"),
        description=shapes.text(row.get("description")),
        enabled=shapes.flag(row.get("enabled", True)),
        default=shapes.flag(row.get("default")),
    )


def _general(reply: Reply) -> General:
    document = reply.json()
    institution = document["institution"]
    return General(
        institution=shapes.text(institution),
        name=shapes.desc(institution),
        environment_type=shapes.text(document.get("environment_type")),
    )


class Probe(Resource):
    """Alma's test end points, one an area: may this key read there?"""

    def read(self, area: str) -> str:
        """GET {area}/test. Returns Alma's words, for example "GET - OK - institutionCode: 01ABC_INST".

        Raises RemoteUnauthorized or RemoteForbidden when the key lacks the right, KeyError for an area that has no
        test end point."""
        return self._client.call(Call("GET", _TEST_POINTS[area], accept=XML), _words)


def _words(reply: Reply) -> str:
    return (reply.xml().text or "").strip()
