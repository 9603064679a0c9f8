"""dcb-service's GraphQL as far as others call it: the query `patronRequests`, by its schema, paged, sorted, filtered.

Of GraphQL there is what such a query needs: variables, arguments, nested selections. A field that the schema has not
is an error in the words of graphql-java, with HTTP 200, as dcb-service answers. The filter takes terms
``field:"value"`` joined by OR, of Lucene's syntax.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from alma_sandbox.consortium.transactions import Refused

_IDENTITY = "id localId homeIdentity localPtype"
_SUPPLIER = """
 id dateCreated dateUpdated hostLmsCode isActive localId localStatus rawLocalStatus localBibId localHoldingId
 localItemId localItemBarcode localItemStatus rawLocalItemStatus localItemType localAgency
"""
_REQUEST = """
 id dateCreated dateUpdated status previousStatus outcome activeWorkflow nextExpectedStatus currentStatusTimestamp
 errorMessage patronHostlmsCode pickupLocationCode description resolutionCount renewalCount
 localRequestId localRequestStatus rawLocalRequestStatus localBibId localHoldingId localItemId localItemStatus
 rawLocalItemStatus localItemHostlmsCode localItemAgencyCode
 pickupPatronId pickupRequestId pickupRequestStatus pickupBibId pickupHoldingId pickupItemId pickupItemBarcode
 pickupItemStatus
"""


def _type(scalars: str, **objects: str) -> dict[str, str]:
    return dict.fromkeys(scalars.split(), "") | objects


_SCHEMA: dict[str, dict[str, str]] = {
    "Query": _type("", patronRequests="PatronRequestPage"),
    "PatronRequestPage": _type("totalSize", content="PatronRequest"),
    "PatronRequest": _type(_REQUEST, requestingIdentity="PatronIdentity", suppliers="SupplierRequest"),
    "SupplierRequest": _type(_SUPPLIER, virtualPatron="PatronIdentity"),
    "PatronIdentity": _type(_IDENTITY),
}
REQUEST_FIELDS = frozenset(_SCHEMA["PatronRequest"])
_TOKEN = re.compile(r'\s*(?:#[^\n]*\n|([{}()$:!,=])|("(?:[^"\\]|\\.)*")|(-?\w+))')
_TERM = re.compile(r'(\w+):"?([^"\s()]+)"?')
_MOST = 1000

Selection = dict[str, Any]
"""The fields that are asked for, each with what is asked of it."""


class _QueryReader:
    """Reads one operation: passes over its name and variables, keeps what it selects, and its arguments."""

    def __init__(self, text: str, variables: Mapping[str, Any]) -> None:
        self._tokens = list(_tokens(text))
        self._variables = variables
        self.arguments: dict[str, Any] = {}

    def read(self) -> Selection:
        while self._tokens and self._tokens[0] != "{":
            self._tokens.pop(0)
        return self._selection()

    def _selection(self) -> Selection:
        self._expect("{")
        fields: Selection = {}
        while self._tokens and self._tokens[0] != "}":
            name = self._tokens.pop(0)
            if self._tokens[:1] == ["("]:
                self.arguments = self._arguments()
            fields[name] = self._selection() if self._tokens[:1] == ["{"] else {}
        self._expect("}")
        return fields

    def _arguments(self) -> dict[str, Any]:
        self._expect("(")
        found: dict[str, Any] = {}
        while self._tokens and self._tokens[0] != ")":
            name = self._tokens.pop(0)
            if name == ",":
                continue
            self._expect(":")
            value = self._tokens.pop(0) if self._tokens else ""
            found[name] = self._variables.get(self._tokens.pop(0)) if value == "$" else value.strip('"')
        self._expect(")")
        return found

    def _expect(self, token: str) -> None:
        if not self._tokens or self._tokens.pop(0) != token:
            raise Refused(400, "InvalidSyntax", f"Invalid syntax: {token} is expected")


def _tokens(text: str) -> Iterator[str]:
    place = 0
    while place < len(text.rstrip()):
        found = _TOKEN.match(text, place)
        if found is None:
            raise Refused(400, "InvalidSyntax", f"Invalid syntax at {place}")
        place = found.end()
        token = found[1] or found[2] or found[3]
        if token:
            yield token


def answer(body: Mapping[str, Any], requests: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Answer one call. ``requests``: the patron requests by the fields of the schema; one that is not named is null."""
    reader = _QueryReader(str(body.get("query") or ""), body.get("variables") or {})
    asked = reader.read()
    errors = list(_undefined("Query", asked, ()))
    if errors:
        return {"errors": errors}
    page = _page(reader.arguments, list(requests))
    return {"data": {name: _chosen("PatronRequestPage", chosen, page) for name, chosen in asked.items()}}


def _undefined(kind: str, asked: Selection, path: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    for name, chosen in asked.items():
        here = (*path, name)
        if name not in _SCHEMA[kind]:
            where = "/".join(here)
            text = (
                f"Validation error (FieldUndefined@[{where}]) : Field '{name}' in type '{kind}' is undefined"
            )
            yield {"message": text, "extensions": {"classification": "ValidationError"}}
        elif _SCHEMA[kind][name]:
            yield from _undefined(_SCHEMA[kind][name], chosen, here)


def _page(arguments: Mapping[str, Any], requests: list[Mapping[str, Any]]) -> dict[str, Any]:
    wanted = _TERM.findall(str(arguments.get("query") or ""))
    found = [
        each for each in requests if not wanted or any(str(each.get(name)) == value for name, value in wanted)
    ]
    order, down = str(arguments.get("order") or "id"), str(arguments.get("orderBy")).upper() == "DESC"
    found.sort(key=lambda each: str(each.get(order) or ""), reverse=down)
    size = min(max(int(arguments.get("pagesize") or 10), 1), _MOST)
    start = int(arguments.get("pageno") or 0) * size
    return {"totalSize": len(found), "content": found[start : start + size]}


def _chosen(kind: str, asked: Selection, value: Any) -> Any:
    """What was asked for of a value, and no more."""
    if isinstance(value, list):
        return [_chosen(kind, asked, each) for each in value]
    if not isinstance(value, Mapping):
        return None
    fields = _SCHEMA[kind]
    return {
        name: _chosen(fields[name], chosen, value.get(name)) if fields[name] else value.get(name)
        for name, chosen in asked.items()
    }
