"""One call as a handler sees it, the format that it asks for, and the table of routes that handlers form."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.responses import Response

from alma_sandbox.catalogue.store import Catalogue
from alma_sandbox.http.answers import Answer, Plain
from alma_sandbox.http.errors import Refusal

if TYPE_CHECKING:
    from alma_sandbox.sandbox import Sandbox


BASE = "/almaws/v1"


@dataclass(frozen=True)
class Call:
    """A call that has passed the gateway. ``path`` holds the parts that the route names; texts are decoded."""

    sandbox: "Sandbox"
    method: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    json: bool
    base: str  # scheme://host/almaws/v1 as the caller wrote it
    ignored: frozenset[str] = frozenset()  # fields that a write leaves as they were, by a fault

    @property
    def catalogue(self) -> Catalogue:
        """The records."""
        return self.sandbox.catalogue

    def link(self, path: str) -> str:
        """An absolute link, on the host that the caller used."""
        return self.base + path

    def number(self, name: str, default: int, low: int = 0, high: int | None = None) -> int:
        """A whole number from the query; refused with 40166411 outside its bounds."""
        text = self.query.get(name, "")
        if not text:
            return default
        if not text.isascii() or not text.isdigit() or not low <= int(text) <= (high or int(text)):
            bounds = f"{low}-{high}" if high is not None else f"{low} or more"
            raise Refusal(
                "40166411", f"Parameter value is invalid: {name}={text}. Valid values are {bounds}."
            )
        return int(text)

    def page(self) -> tuple[int, int]:
        """(offset, limit) of a paged list: 0 and 10 unless given, 100 at most."""
        return self.number("offset", 0), self.number("limit", 10, high=100)

    def flag(self, name: str, default: bool) -> bool:
        """A true or false from the query."""
        text = self.query.get(name, "").lower()
        return default if text not in ("true", "false") else text == "true"

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        """One of several words from the query; refused with 40166411 when it is another."""
        text = self.query.get(name) or default
        if text not in choices:
            raise Refusal(
                "40166411",
                f"Parameter value is invalid: {name}={text}. Valid values are {', '.join(choices)}.",
            )
        return text


Handler = Callable[[Call], Answer | Plain | Response]


@dataclass(frozen=True)
class RouteEntry:
    """A path below ``/almaws/v1`` and what answers each method."""

    path: str
    handlers: Mapping[str, Handler]

    @property
    def area(self) -> str:
        """The area of rights: Bibs holds items, too."""
        first = self.path.split("/")[1]
        return "bibs" if first == "items" else first


def route(path: str, **handlers: Handler) -> RouteEntry:
    """A route from keyword arguments named by method in small letters."""
    return RouteEntry(path, {method.upper(): handler for method, handler in handlers.items()})


def asks_for_json(query: Mapping[str, str], accept: str) -> bool:
    """Whether the answer is to be JSON: ``format=`` decides, else the Accept header; XML when it names neither."""
    asked = query.get("format", "").lower()
    if asked in ("json", "xml"):
        return asked == "json"
    weights = {"json": 0.0, "xml": 0.0}
    for part in accept.split(","):
        kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
        for name, kinds in (("json", ("application/json",)), ("xml", ("application/xml", "text/xml"))):
            if kind in kinds:
                weights[name] = max(weights[name], _quality(parameters))
    return weights["json"] > weights["xml"] or (weights["json"] == weights["xml"] > 0 and _json_first(accept))


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def _json_first(accept: str) -> bool:
    lowered = accept.lower()
    places = [lowered.find(kind) for kind in ("application/xml", "text/xml")]
    return lowered.find("application/json") < min(
        (place for place in places if place >= 0), default=len(lowered)
    )
