"""SRU: searching by number without a key (section 15), where the setting ``sru`` has switched it on.

MARC is in its namespace here; errors are diagnostics in an answer of status 200.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import cast

from lxml import etree
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from alma_sandbox.catalogue.marc import Record, to_element
from alma_sandbox.catalogue.records import Bib
from alma_sandbox.gateway.endpoint import struck
from alma_sandbox.gateway.faults import FaultRule, spoilt
from alma_sandbox.gateway.log import Entry
from alma_sandbox.http.answers import DECLARATION, XML_TYPE
from alma_sandbox.http.errors import unknown_path
from alma_sandbox.sandbox import Sandbox

_SRW = "http://www.loc.gov/zing/srw/"
_MARC = "http://www.loc.gov/MARC21/slim"
_DIAGNOSTIC = "http://www.loc.gov/zing/srw/diagnostic/"
_EXTRA = "http://www.exlibris.com/repository/search/xmlbeans/"
_MOST = 50
_LAST = 10_000  # the last hit to which one can page
_CLAUSE = re.compile(r'^alma\.(\w+)\s*(?:==|=|all|exact)\s*"?([^"]*)"?$', re.IGNORECASE)
_UNQUOTED = r'(?=(?:[^"]*"[^"]*")*[^"]*$)'  # a place outside quotation marks
_OR, _AND = (re.compile(rf"\s+{word}\s+{_UNQUOTED}", re.IGNORECASE) for word in ("or", "and"))
_INDEXES = (
    "mms_id", "isbn", "issn", "barcode", "oclc_control_number_035_a", "oclc_control_number_035_z",
    "oclc_control_number_035_az", "other_system_number", "other_system_number_035_a", "mms_tagSuppressed",
)  # fmt: skip
_EXPLAIN = "http://explain.z3950.org/dtd/2.0/"


class _BadQueryError(Exception):
    """The query cannot be answered: number of the diagnostic, and details."""


def routes(sandbox: Sandbox) -> list[Route]:
    """``/view/sru/{institution}``."""

    async def search(request: Request) -> Response:
        query = request.query_params
        if request.path_params["institution"] != sandbox.settings.institution:
            return Response("Unknown institution", 404)
        trace: Entry = request.state.trace
        trace.route = "/view/sru"
        if not sandbox.settings.sru:
            return unknown_path()

        def answer(spoiler: FaultRule | None) -> Response:
            if spoiler is not None and not spoiler.strikes_after:
                return spoilt(sandbox, spoiler, trace, None, json=False)
            response = _answer(sandbox, query)
            trace.applied = True
            return response if spoiler is None else spoilt(sandbox, spoiler, trace, response, json=False)

        return await struck(sandbox, request.method, f"{trace.path}?{trace.query}", trace, answer)

    return [Route("/view/sru/{institution}", search)]


def _answer(sandbox: Sandbox, query: Mapping[str, str]) -> Response:
    """The answer of one operation; without one, SRU explains itself."""
    operation = query.get("operation", "explain")
    try:
        if query.get("version", "1.2") not in ("1.1", "1.2"):
            raise _BadQueryError("5", query["version"])
        if operation == "explain":
            body = _explained(sandbox)
        elif operation != "searchRetrieve":
            raise _BadQueryError("4", operation)
        elif query.get("recordSchema", "marcxml") != "marcxml":
            raise _BadQueryError("66", query["recordSchema"])
        else:
            body = _search(
                sandbox, query.get("query", ""), query.get("maximumRecords"), query.get("startRecord")
            )
    except _BadQueryError as error:
        body = _diagnostic(str(error.args[0]), str(error.args[1]))
    return Response(DECLARATION + body, headers={"content-type": XML_TYPE})


def _default(namespace: str) -> dict[str, str]:
    """A namespace without a prefix; the stubs of lxml know prefixes as texts only."""
    return cast("dict[str, str]", {None: namespace})


def _number(text: str | None, default: int, low: int) -> int:
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or int(text) < low:
        raise _BadQueryError("6", text)
    return int(text)


def _search(sandbox: Sandbox, query: str, most: str | None, start: str | None) -> str:
    limit, first = min(_MOST, _number(most, 10, 0)), _number(start, 1, 1)
    if first > _LAST:
        raise _BadQueryError("61", str(first))
    found = _find(sandbox, query)
    root = etree.Element(f"{{{_SRW}}}searchRetrieveResponse", nsmap=_default(_SRW))
    etree.SubElement(root, f"{{{_SRW}}}version").text = "1.2"
    etree.SubElement(root, f"{{{_SRW}}}numberOfRecords").text = str(len(found))
    records = etree.SubElement(root, f"{{{_SRW}}}records")
    for position, bib in enumerate(found[first - 1 : first - 1 + limit], first):
        records.append(_record(bib, sandbox.sru_sees(bib) or bib.record, position))
    if first - 1 + limit < len(found):
        etree.SubElement(root, f"{{{_SRW}}}nextRecordPosition").text = str(first + limit)
    extra = etree.SubElement(root, f"{{{_SRW}}}extraResponseData", nsmap={"xb": _EXTRA})
    etree.SubElement(extra, f"{{{_EXTRA}}}exact").text = "true"
    etree.SubElement(extra, f"{{{_EXTRA}}}responseDate").text = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}Z"
    return etree.tostring(root, encoding="unicode")


def _explained(sandbox: Sandbox) -> str:
    """Which indexes this institution allows."""
    root = etree.Element(f"{{{_SRW}}}explainResponse", nsmap=_default(_SRW))
    etree.SubElement(root, f"{{{_SRW}}}version").text = "1.2"
    holder = etree.SubElement(root, f"{{{_SRW}}}record")
    etree.SubElement(holder, f"{{{_SRW}}}recordSchema").text = _EXPLAIN
    etree.SubElement(holder, f"{{{_SRW}}}recordPacking").text = "xml"
    data = etree.SubElement(holder, f"{{{_SRW}}}recordData")
    explain = etree.SubElement(data, f"{{{_EXPLAIN}}}explain", nsmap=_default(_EXPLAIN))
    server = etree.SubElement(explain, f"{{{_EXPLAIN}}}serverInfo", {"protocol": "SRU", "version": "1.2"})
    etree.SubElement(server, f"{{{_EXPLAIN}}}database").text = f"view/sru/{sandbox.settings.institution}"
    indexes = etree.SubElement(explain, f"{{{_EXPLAIN}}}indexInfo")
    for name in _INDEXES:
        index = etree.SubElement(indexes, f"{{{_EXPLAIN}}}index")
        named = etree.SubElement(index, f"{{{_EXPLAIN}}}map")
        etree.SubElement(named, f"{{{_EXPLAIN}}}name", {"set": "alma"}).text = name
    return etree.tostring(root, encoding="unicode")


def _record(bib: Bib, marc: Record, position: int) -> etree._Element:
    holder = etree.Element(f"{{{_SRW}}}record")
    etree.SubElement(holder, f"{{{_SRW}}}recordSchema").text = "marcxml"
    etree.SubElement(holder, f"{{{_SRW}}}recordPacking").text = "xml"
    data = etree.SubElement(holder, f"{{{_SRW}}}recordData")
    record = etree.SubElement(data, f"{{{_MARC}}}record", nsmap=_default(_MARC))
    for child in to_element(marc):
        for element in child.iter():
            element.tag = f"{{{_MARC}}}{element.tag}"
        record.append(child)
    etree.SubElement(holder, f"{{{_SRW}}}recordIdentifier").text = bib.mms_id
    etree.SubElement(holder, f"{{{_SRW}}}recordPosition").text = str(position)
    return holder


def _diagnostic(number: str, details: str) -> str:
    root = etree.Element(f"{{{_SRW}}}searchRetrieveResponse", nsmap=_default(_SRW))
    etree.SubElement(root, f"{{{_SRW}}}version").text = "1.2"
    holder = etree.SubElement(root, f"{{{_SRW}}}diagnostics")
    found = etree.SubElement(holder, f"{{{_DIAGNOSTIC}}}diagnostic", nsmap=_default(_DIAGNOSTIC))
    etree.SubElement(found, f"{{{_DIAGNOSTIC}}}uri").text = f"info:srw/diagnostic/1/{number}"
    etree.SubElement(found, f"{{{_DIAGNOSTIC}}}details").text = details
    return etree.tostring(root, encoding="unicode")


def _find(sandbox: Sandbox, query: str) -> list[Bib]:
    """Terms joined by ``or``, each of them possibly narrowed by ``and alma.mms_tagSuppressed=false``."""
    if not query.strip():
        raise _BadQueryError("7", "query")
    found: dict[str, Bib] = {}
    parts = _AND.split(query.strip())
    suppressed: set[str] = set()
    for part in parts[1:]:
        name, value = _clause(part)
        if name != "mms_tagsuppressed":
            raise _BadQueryError("37", part)
        suppressed.add(value.lower())
    whole = parts[0].strip()
    for clause in _OR.split(whole[1:-1] if whole.startswith("(") and whole.endswith(")") else whole):
        for bib in _look_up(sandbox, *_clause(clause)):
            if not suppressed or suppressed == {"true" if bib.suppressed else "false"}:
                found[bib.mms_id] = bib
    return list(found.values())


def _clause(text: str) -> tuple[str, str]:
    match = _CLAUSE.match(text.strip())
    if match is None:
        raise _BadQueryError("10", text)
    return match[1].lower(), match[2].strip()


def _look_up(sandbox: Sandbox, index: str, value: str) -> list[Bib]:
    catalogue, seen = sandbox.catalogue, sandbox.sru_sees
    if index == "mms_id":
        return _known(sandbox, catalogue.bib(value))
    if index == "barcode":
        item = catalogue.item_by_barcode(value)
        return _known(sandbox, None if item is None else catalogue.bib(item.mms_id))
    if index in ("oclc_control_number_035_a", "oclc_control_number_035_az", "oclc_control_number_035_z"):
        return catalogue.bibs_with_oclc(value, "".join(sorted(set(index.rpartition("_")[2]))), seen)
    if index in ("other_system_number", "other_system_number_035_a"):
        return catalogue.bibs_with_number(value, seen)
    if index in ("issn", "isbn"):
        return catalogue.bibs_with_standard_number("022" if index == "issn" else "020", value, seen)
    raise _BadQueryError("16", f"alma.{index}")


def _known(sandbox: Sandbox, bib: Bib | None) -> list[Bib]:
    """The bib, unless SRU's index does not have it yet."""
    return [] if bib is None or sandbox.sru_sees(bib) is None else [bib]
