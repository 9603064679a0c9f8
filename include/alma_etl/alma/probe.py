"""Alma's test end points: may this key read, may it write, area by area."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alma_etl.alma.call import XML, Call
from alma_etl.alma.envelope import Reply

if TYPE_CHECKING:
    from alma_etl.alma.client import AlmaClient

_PATHS = {
    "bibs": "/bibs/test",
    "conf": "/conf/test",
    "acq": "/acq/test",
    "analytics": "/analytics/test",
    "users": "/users/operation/test",
    "partners": "/partners/operation/test",
}
AREAS = tuple(_PATHS)


class Probe:
    """Raises RemoteUnauthorized or RemoteForbidden when the key lacks the right, KeyError for an area not in
    AREAS."""

    def __init__(self, client: AlmaClient) -> None:
        self._client = client

    def read(self, area: str) -> str:
        """GET {area}/test. Returns Alma's words, for example "GET - OK - institutionCode: 01ABC_INST"."""
        return self._client.call(Call("GET", _PATHS[area], accept=XML), _words)

    def write(self, area: str) -> str:
        """POST {area}/test, which changes nothing. Returns Alma's words, for example "POST - OK"."""
        call = Call("POST", _PATHS[area], body=b"<test/>", accept=XML, content_type=XML, repeatable=True)
        return self._client.call(call, _words)


def _words(reply: Reply) -> str:
    return (reply.xml().text or "").strip()
