"""SRU: searching by number without a key (section 15). MARC is in its namespace here; errors answer 200."""

import re
from datetime import UTC, datetime
from typing import cast

from lxml import etree
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from alma_sandbox.catalogue import ids, titles
from alma_sandbox.catalogue.marc import to_element
from alma_sandbox.catalogue.records import Bib
from alma_sandbox.http.answers import DECLARATION, XML_TYPE
from alma_sandbox.sandbox import Sandbox

_SRW = "http://www.loc.gov/zing/srw/"
_MARC = "http://www.loc.gov/MARC21/slim"
_DIAGNOSTIC = "http://www.loc.gov/zing/srw/diagnostic/"
_EXTRA = "http://www.exlibris.com/repository/search/xmlbeans/"
_MOST = 50
_CLAUSE = re.compile(r'^alma\.(\w+)\s*(?:=|==|all|exact)\s*"?([^"]*)"?$', re.IGNORECASE)


class _BadQueryError(Exception):
    """The query cannot be answered: number of the diagnostic, and details."""


def routes(sandbox: Sandbox) -> list[Route]:
    """``/view/sru/{institution}``."""

    async def search(request: Request) -> Response:
        query = request.query_params
        if request.path_params["institution"] != sandbox.settings.institution:
            return Response("Unknown institution", 404)
        try:
            body = _search(
                sandbox, query.get("query", ""), query.get("maximumRecords"), query.get("startRecord")
            )
        except _BadQueryError as error:
            body = _diagnostic(str(error.args[0]), str(error.args[1]))
        return Response(DECLARATION + body, headers={"content-type": XML_TYPE})

    return [Route("/view/sru/{institution}", search)]


def _default(namespace: str) -> dict[str, str]:
    """A namespace without a prefix; the stubs of lxml know prefixes as texts only."""
    return cast("dict[str, str]", {None: namespace})


def _number(text: str | None, default: int, low: int, high: int) -> int:
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
        raise _BadQueryError("6", text)
    return int(text)


def _search(sandbox: Sandbox, query: str, most: str | None, start: str | None) -> str:
    limit, first = _number(most, 10, 0, _MOST), _number(start, 1, 1, 10_000)
    found = _find(sandbox, query)
    root = etree.Element(f"{{{_SRW}}}searchRetrieveResponse", nsmap=_default(_SRW))
    etree.SubElement(root, f"{{{_SRW}}}version").text = "1.2"
    etree.SubElement(root, f"{{{_SRW}}}numberOfRecords").text = str(len(found))
    records = etree.SubElement(root, f"{{{_SRW}}}records")
    for position, bib in enumerate(found[first - 1 : first - 1 + limit], first):
        records.append(_record(bib, position))
    if first - 1 + limit < len(found):
        etree.SubElement(root, f"{{{_SRW}}}nextRecordPosition").text = str(first + limit)
    extra = etree.SubElement(root, f"{{{_SRW}}}extraResponseData", nsmap={"xb": _EXTRA})
    etree.SubElement(extra, f"{{{_EXTRA}}}exact").text = "true"
    etree.SubElement(extra, f"{{{_EXTRA}}}responseDate").text = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}Z"
    return etree.tostring(root, encoding="unicode")


def _record(bib: Bib, position: int) -> etree._Element:
    holder = etree.Element(f"{{{_SRW}}}record")
    etree.SubElement(holder, f"{{{_SRW}}}recordSchema").text = "marcxml"
    etree.SubElement(holder, f"{{{_SRW}}}recordPacking").text = "xml"
    data = etree.SubElement(holder, f"{{{_SRW}}}recordData")
    record = etree.SubElement(data, f"{{{_MARC}}}record", nsmap=_default(_MARC))
    for child in to_element(bib.record):
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
    parts = re.split(r"\s+and\s+", query.strip(), flags=re.IGNORECASE)
    suppressed: set[str] = set()
    for part in parts[1:]:
        name, value = _clause(part)
        if name != "mms_tagsuppressed":
            raise _BadQueryError("37", part)
        suppressed.add(value.lower())
    for clause in re.split(r"\s+or\s+", parts[0].strip().strip("()"), flags=re.IGNORECASE):
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
    catalogue = sandbox.catalogue
    if index == "mms_id":
        bib = catalogue.bib(value)
        return [] if bib is None else [bib]
    if index == "barcode":
        item = catalogue.item_by_barcode(value)
        bib = None if item is None else catalogue.bib(item.mms_id)
        return [] if bib is None else [bib]
    if index in ("oclc_control_number_035_a", "oclc_control_number_035_az", "oclc_control_number_035_z"):
        return catalogue.bibs_with_oclc(value, "".join(sorted(set(index.rpartition("_")[2]))))
    if index in ("other_system_number", "other_system_number_035_a"):
        return catalogue.bibs_with_number(value)
    if index in ("issn", "isbn"):
        candidates = [bib for bib in catalogue.bibs.values() if bib is not None]
        title = titles.title_of_issn(sandbox.settings.seed, value) if index == "issn" else None
        bib = None if title is None else catalogue.bib(ids.mms_id(title, catalogue.suffix))
        if bib is not None and bib.mms_id not in catalogue.bibs:
            candidates.append(bib)
        tag = "022" if index == "issn" else "020"
        return [bib for bib in candidates if any(value in entry.all("a") for entry in bib.record.data(tag))]
    raise _BadQueryError("16", f"alma.{index}")
