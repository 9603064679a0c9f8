"""Configuration look-ups (`/conf`)."""

from __future__ import annotations

from dataclasses import dataclass

from alma_etl.alma import shapes
from alma_etl.alma.call import XML, Call, path
from alma_etl.alma.reply import Reply
from alma_etl.alma.resource import Resource

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


class Conf(Resource):
    """The calls about Alma's configuration."""

    def general(self) -> General:
        """GET /conf/general. Raises RemoteError."""
        return self._client.call(Call("GET", "/conf/general"), _general)

    def libraries(self) -> list[Library]:
        """GET /conf/libraries (not paged). Raises RemoteError."""
        return self._whole("/conf/libraries", "library", _library, _code, counted=False)

    def locations(self, library: str) -> list[Location]:
        """GET /conf/libraries/{library}/locations (not paged). Raises RemoteError."""
        where = path("conf", "libraries", library, "locations")
        return self._whole(where, "location", lambda row: _location(library, row), _code, counted=False)

    def code_table(self, name: str, *, scope: str | None = None) -> list[CodeRow]:
        """GET /conf/code-tables/{name}, for example PhysicalMaterialType, ItemPolicy,
        RequestCancellationReasons. `scope`: a library's code instead of the institution. Raises RemoteError."""
        where = path("conf", "code-tables", name)
        return self._whole(where, "row", _row, _code, counted=False, scope=scope)


def _code(row: Library | Location | CodeRow) -> str:
    return row.code


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
