"""Configuration look-ups (`/conf`)."""

from __future__ import annotations

from dataclasses import dataclass

from alma_etl.alma import shapes
from alma_etl.alma.call import XML, Call, path
from alma_etl.alma.reply import Reply
from alma_etl.alma.resource import LIMIT, Resource
from alma_etl.remote.answers import Answer, ask

CURRENCIES = "CurrencySubset"
NO_CODE_TABLE = frozenset({"90100"})

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

    @property
    def key(self) -> str:
        """What is kept of this Alma belongs to its gateway and to this: the code, and the environment unless it is
        production. A sandbox has the gateway and the code of its production, and often a copy of its records."""
        production = self.environment_type.upper() in ("", "PRODUCTION")
        return self.institution if production else f"{self.institution} {self.environment_type.upper()}"


@dataclass(frozen=True)
class Library:
    """A library by its code, with the name for people. `resource_sharing`: Alma's Resource Sharing Library."""

    code: str
    name: str
    resource_sharing: bool = False


@dataclass(frozen=True)
class CirculationDesk:
    """A circulation desk of a library; its `code` means something only together with the library's. Whether it has a
    hold shelf is None where Alma does not say."""

    code: str
    name: str
    has_hold_shelf: bool | None = None


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

    def desks(self, library: str) -> list[CirculationDesk]:
        """GET /conf/libraries/{library}/circ-desks/, which says nothing of hold shelves; a longer list than one page
        is none. Raises RemoteError."""
        where = path("conf", "libraries", library, "circ-desks") + "/"
        return self._whole(where, "circ_desk", _desk, _code, counted=False, limit=LIMIT)

    def desk(self, library: str, code: str) -> CirculationDesk:
        """GET /conf/libraries/{library}/circ-desks/{code}. Raises RemoteError."""
        where = path("conf", "libraries", library, "circ-desks", code)
        return self._client.call(Call("GET", where), lambda reply: _desk(reply.json()))

    def departments(self) -> Answer[frozenset[str]]:
        """GET /conf/departments: the codes of all departments, where items are received or worked on. Those of the
        institution belong to no library. Unknown also where this Alma does not list them."""
        return ask(
            lambda: frozenset(
                self._whole("/conf/departments", "department", _department, str, counted=False)
            ),
            frozenset(),
        )

    def code_tables(self) -> list[str]:
        """GET /conf/code-tables: the names of all code tables that the API knows. Raises RemoteError."""
        return self._whole("/conf/code-tables", "code_table", _table_name, str, counted=False)

    def code_table(self, name: str, *, scope: str | None = None) -> list[CodeRow]:
        """GET /conf/code-tables/{name}, for example PhysicalMaterialType, ItemPolicy,
        RequestCancellationReasons. `scope`: a library's code instead of the institution. Raises RemoteError."""
        where = path("conf", "code-tables", name)
        return self._whole(where, "row", _row, _code, counted=False, scope=scope)

    def currencies(self) -> Answer[frozenset[str]]:
        """The codes of the currencies that the institution uses: code table CurrencySubset. Absent where the API does
        not know the table, which no document promises: a vendor's own currencies are in its record."""
        return ask(
            lambda: frozenset(row.code for row in self.code_table(CURRENCIES) if row.enabled), NO_CODE_TABLE
        )


def _code(row: Library | Location | CirculationDesk | CodeRow) -> str:
    return row.code


def _library(row: shapes.Json) -> Library:
    return Library(
        code=shapes.required(row, "code"),
        name=shapes.text(row.get("name")),
        resource_sharing=shapes.flag(row.get("resource_sharing")),
    )


def _desk(row: shapes.Json) -> CirculationDesk:
    shelf = shapes.text(row.get("has_hold_shelf"))
    return CirculationDesk(
        code=shapes.required(row, "code"),
        name=shapes.text(row.get("name")),
        has_hold_shelf=shapes.flag(shelf) if shelf else None,
    )


def _department(row: shapes.Json) -> str:
    return shapes.required(row, "code")


def _table_name(row: shapes.Json) -> str:
    return shapes.required(row, "name")


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
    """Alma's test end points, one an area: may this key read, or write, there?"""

    def read(self, area: str) -> str:
        """GET {area}/test. Returns Alma's words, for example "GET - OK - institutionCode: 01ABC_INST".

        Raises RemoteUnauthorized or RemoteForbidden when the key lacks the right, KeyError for an area that has no
        test end point."""
        return self._client.call(Call("GET", _TEST_POINTS[area], accept=XML), _words)

    def write(self, area: str) -> str:
        """POST {area}/test, which changes nothing. Returns Alma's words, for example "POST - OK".

        Raises as `read`; RemoteReadOnly where the client may not write."""
        return self._client.call(Call("POST", _TEST_POINTS[area], accept=XML, repeatable=True), _words)


def _words(reply: Reply) -> str:
    return (reply.xml().text or "").strip()
