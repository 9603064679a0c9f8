"""OpenRS's dcb-service. It has no call that sets a request's status; it can be asked to look now, and be read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from alma_etl.remote.answers import Answer, Found, Unknown
from alma_etl.remote.errors import RemoteMalformed, RemoteRefused
from alma_etl.remote.service import ServiceClient

PAGE = 100
_GRAPHQL = "/graphql"
_PASSES = 3
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_UNDEFINED = re.compile(r"Field '(\w+)' in type '(\w+)' is undefined")

WHOLE = """
 id status previousStatus outcome activeWorkflow currentStatusTimestamp dateUpdated patronHostlmsCode pickupLocationCode
 requestingIdentity{localId} localRequestId localBibId localHoldingId localItemId localItemHostlmsCode
 rawLocalRequestStatus rawLocalItemStatus
 pickupPatronId pickupRequestId pickupBibId pickupHoldingId pickupItemId pickupItemBarcode
 suppliers{isActive hostLmsCode localId localBibId localHoldingId localItemId localItemBarcode rawLocalStatus
  rawLocalItemStatus virtualPatron{localId}}
"""
"""What adoption reads of a request: schema.graphqls of dcb-service, types PatronRequest and SupplierRequest."""

SIDES = """
 id localRequestStatus localItemStatus pickupRequestStatus pickupItemStatus
 suppliers{isActive localStatus localItemStatus localItemBarcode}
"""
"""How the sides of a request stand, in dcb-service's own words whatever the library system."""


class DcbService(ServiceClient):
    """One dcb-service. Close it when done, or use ``with``. Safe for several threads."""

    def nudge(self, pr_id: str) -> None:
        """Have a request looked at now. Its fail-safe ignores requests older than 56 days, and says nothing of it.

        Raises RemoteRefused (404: it does not know the request), RemoteTransient, RemoteUnauthorized.
        """
        self._service.send("POST", f"/patrons/requests/{quote(pr_id, safe='')}/update")

    def status(self, pr_id: str) -> Answer[str]:
        """The status that it shows for a request; Absent when it does not know it. Raises RemoteUnauthorized."""
        path = f"/admin/patrons/requests/{quote(pr_id, safe='')}"
        answer = self._service.look(path)
        if not isinstance(answer, Found):
            return answer
        document = answer.value
        # Serialised from an entity whose field `status` is an enum; some versions wrap it.
        status = document.get("status") if isinstance(document, dict) else None
        status = status.get("code") if isinstance(status, dict) else status
        if not status:
            return Unknown(RemoteMalformed(f"GET {path}", 200, "", "the answer names no status"))
        return Found(str(status))

    # --- several at once, by GraphQL: a call for each hundred
    #
    # The role of the client must be INTERNAL_API or CONSORTIUM_ADMIN.

    def with_statuses(self, statuses: Iterable[str]) -> list[dict[str, Any]]:
        """The requests that are in one of these statuses, as `WHOLE` shows them, by when they last changed.

        While the pages are read a request that changes moves to the last one, and another slips by: then they are read
        again. Raises RemoteRefused (with a sentence when its schema is another one), RemoteTransient,
        RemoteUnauthorized.
        """
        query = _any_of("status", statuses)
        found: dict[str, dict[str, Any]] = {}
        for _ in range(_PASSES):
            number, total = 0, 0
            while number * PAGE <= total:
                total, rows = self._page(WHOLE, query, number)
                found |= {str(row.get("id")): row for row in rows}
                number += 1
                if len(rows) < PAGE:
                    break
            if len(found) >= total:
                break
        return list(found.values())

    def statuses_of(self, pr_ids: Sequence[str]) -> dict[str, str]:
        """The status that it shows for each of the requests that it knows. Raises as `with_statuses`."""
        rows = self._by_id("id status", pr_ids)
        return {pr_id: str(row["status"]) for pr_id, row in rows.items() if row.get("status")}

    def sides_of_requests(self, pr_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """How the sides of each of the requests that it knows stand, as `SIDES` shows them. Raises as
        `with_statuses`."""
        return self._by_id(SIDES, pr_ids)

    def _by_id(self, fields: str, pr_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        ids = [
            pr_id for pr_id in pr_ids if _UUID.fullmatch(pr_id)
        ]  # it gives no others, and would refuse them
        for start in range(0, len(ids), PAGE):
            _, rows = self._page(fields, _any_of("id", ids[start : start + PAGE]), 0)
            found |= {str(row.get("id")): row for row in rows}
        return found

    def _page(self, fields: str, query: str, number: int) -> tuple[int, list[dict[str, Any]]]:
        """One page and the size of the whole."""
        arguments = f'query:$q,pageno:$n,pagesize:{PAGE},order:"dateUpdated",orderBy:"ASC"'
        text = f"query($q:String,$n:Int){{ patronRequests({arguments}){{ totalSize content{{{fields}}} }} }}"
        body = json.dumps({"query": text, "variables": {"q": query, "n": number}}).encode()
        document = self._service.call("POST", _GRAPHQL, json.loads, writes=False, content=body)
        errors = document.get("errors") if isinstance(document, dict) else None
        if errors:
            raise RemoteRefused(f"POST {_GRAPHQL}", 200, "GRAPHQL", _refusal(errors))
        try:
            page = document["data"]["patronRequests"]
            return int(page["totalSize"]), [row for row in page["content"] if isinstance(row, dict)]
        except (KeyError, TypeError, ValueError):
            why = "the answer lists no patron requests"
            raise RemoteMalformed(f"POST {_GRAPHQL}", 200, "", why) from None


def _any_of(field: str, values: Iterable[str]) -> str:
    return " OR ".join(f'{field}:"{value}"' for value in values)


def _refusal(errors: object) -> str:
    """What is wrong, by the fields that its schema has not; nothing else of the answer, which may name people."""
    texts = (
        [str(each.get("message")) for each in errors if isinstance(each, Mapping)]
        if isinstance(errors, list)
        else []
    )
    unknown = sorted({f"{kind}.{name}" for text in texts for name, kind in _UNDEFINED.findall(text)})
    if unknown:
        return (
            f"dcb-service's GraphQL has no {', '.join(unknown)}: its version is not one that can be read here "
            "(8.71 and 9.0 are)"
        )
    return "dcb-service's GraphQL answers with an error: see its own log; the client needs the role CONSORTIUM_ADMIN"
