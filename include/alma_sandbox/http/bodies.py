"""Reading request bodies: JSON or XML into one shape, without entities, external references or surprises."""

import json
from collections.abc import Mapping

from lxml import etree

from alma_sandbox.catalogue.marc import Record, from_element
from alma_sandbox.http.answers import WRAPPERS, Payload
from alma_sandbox.http.call import Call
from alma_sandbox.http.errors import Refusal

_LIST_OF = {wrapper: name for name, wrapper in WRAPPERS.items()}
_UNREADABLE = "401652"


def is_json(call: Call) -> bool:
    """Whether the body is JSON: by its content type, else by its first character."""
    kind = call.headers.get("content-type", "").lower()
    if "json" in kind or "xml" in kind:
        return "json" in kind
    return call.body.lstrip()[:1] == b"{"


def require_xml(call: Call) -> None:
    """Bibs and holdings are written in XML only: 60105."""
    if is_json(call):
        raise Refusal("60105", "JSON is not supported for this API.")


def read(call: Call) -> Payload:
    """The body as a payload in the shape of Alma's JSON; an empty body is an empty payload."""
    if not call.body.strip():
        return {}
    return _read_json(call.body) if is_json(call) else _read_xml(call.body)


def _read_json(body: bytes) -> Payload:
    try:
        found = json.loads(body)
    except ValueError as error:
        raise Refusal(_UNREADABLE, f"The JSON body cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise Refusal(_UNREADABLE, "The JSON body must be an object.")
    return found


def _read_xml(body: bytes) -> Payload:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(body, parser)
        if root.getroottree().docinfo.internalDTD is not None:
            raise Refusal(_UNREADABLE, "A document type is not allowed.")
        found = _payload(root)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise Refusal(_UNREADABLE, f"The XML body cannot be read: {error}") from error
    return found if isinstance(found, dict) else {}


def _payload(element: etree._Element) -> object:
    children = [child for child in element if isinstance(child.tag, str)]
    if not children:
        return element.text or ""
    found: Payload = {}
    for child in children:
        name = etree.QName(child).localname
        if name == "record":
            found[name] = from_element(child)
        elif name in _LIST_OF:
            found[_LIST_OF[name]] = [_payload(entry) for entry in child if isinstance(entry.tag, str)]
        elif name in found:
            found[name] = [*many(found[name]), _payload(child)]
        else:
            found[name] = _payload(child)
    return found


def text(value: object) -> str:
    """The text of a plain or coded value (``"MAIN"`` or ``{"value": "MAIN"}``); nothing gives an empty text."""
    if isinstance(value, dict):
        value = value.get("value")
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def many(value: object) -> list[object]:
    """A list, whether one entry came alone, several came, or none."""
    if value is None or value == "":
        return []
    return value if isinstance(value, list) else [value]


def part(body: Mapping[str, object], name: str) -> Payload:
    """A nested object of the body, or an empty one."""
    value = body.get(name)
    return value if isinstance(value, dict) else {}


def record(body: Payload, code: str, what: str) -> Record:
    """The MARC record of a body; refused with ``code`` when there is none."""
    found = body.get("record")
    if not isinstance(found, Record) or len(found.leader) != 24:
        raise Refusal(code, f"{what}: the body must hold a MARC record with a leader of 24 characters.")
    return found
