"""A caller that speaks to a sandbox over real connections."""

from typing import Any

import requests
from lxml import etree

from alma_sandbox import Running

KEY = "sandbox"
SRW = "{http://www.loc.gov/zing/srw/}"


class Caller:
    """Calls one sandbox; ``url`` is its base without the path."""

    def __init__(self, running: Running) -> None:
        self.url = running.url
        self.sandbox = running.sandbox
        self.session = requests.Session()

    def call(
        self, method: str, path: str, *, accept: str = "application/json", key: str | None = KEY, **more: Any
    ) -> requests.Response:
        headers = {"Accept": accept, **more.pop("headers", {})}
        if key is not None:
            headers["Authorization"] = f"apikey {key}"
        return self.session.request(
            method, f"{self.url}/almaws/v1{path}", headers=headers, timeout=30, allow_redirects=False, **more
        )

    def get(self, path: str, **more: Any) -> Any:
        """A successful answer as JSON."""
        return self._json(self.call("GET", path, **more))

    def post(self, path: str, body: object = None, **more: Any) -> Any:
        """A successful POST of JSON as JSON."""
        return self._json(self.call("POST", path, **self._sending(body), **more))

    def put(self, path: str, body: object, **more: Any) -> Any:
        """A successful PUT of JSON as JSON."""
        return self._json(self.call("PUT", path, **self._sending(body), **more))

    @staticmethod
    def _sending(body: object) -> dict[str, Any]:
        if isinstance(body, str):
            return {"data": body.encode(), "headers": {"Content-Type": "application/xml"}}
        return {"json": body if body is not None else {}}

    @staticmethod
    def _json(response: requests.Response) -> Any:
        assert response.status_code == 200, response.text
        assert response.headers["Content-Type"] == "application/json;charset=UTF-8"
        return response.json()

    def xml(self, path: str, **more: Any) -> etree._Element:
        """A successful answer as XML."""
        response = self.call("GET", path, accept="application/xml", **more)
        assert response.status_code == 200, response.text
        assert response.headers["Content-Type"] == "application/xml;charset=UTF-8"
        return etree.fromstring(response.content)

    def refusal(self, method: str, path: str, **more: Any) -> tuple[int, str]:
        """Status and errorCode of a refused call."""
        if "body" in more:
            more.update(self._sending(more.pop("body")))
        return error_of(self.call(method, path, **more))

    def control(self, method: str, where: str, body: object = None, **params: Any) -> Any:
        """A call of the control surface."""
        response = self.session.request(
            method, f"{self.url}/sandbox/{where}", json=body, params=params, timeout=30
        )
        assert response.status_code == 200, response.text
        return response.json()

    def fault(self, **rule: Any) -> None:
        self.control("POST", "faults", rule)

    def settings(self, **values: Any) -> None:
        self.control("POST", "settings", values)

    def variant(self, name: str) -> dict[str, Any]:
        """The first title of a variant."""
        return self.control("GET", "variants", name=name)[name][0]


def sru(alma: Caller, query: str, **more: str) -> etree._Element:
    """The answer of SRU to a query."""
    params = {
        "version": "1.2",
        "operation": "searchRetrieve",
        "recordSchema": "marcxml",
        "query": query,
        **more,
    }
    response = requests.get(f"{alma.url}/view/sru/01ZZ_INST", params=params, timeout=30)
    assert response.status_code == 200
    return etree.fromstring(response.content)


def found_by(alma: Caller, query: str, **more: str) -> list[str | None]:
    """The MMS ids that SRU finds."""
    return [row.findtext(f"{SRW}recordIdentifier") for row in sru(alma, query, **more).iter(f"{SRW}record")]


def error_of(response: requests.Response) -> tuple[int, str]:
    """Status and errorCode of an error answer in either format."""
    if "json" in response.headers["Content-Type"]:
        return response.status_code, response.json()["errorList"]["error"][0]["errorCode"]
    root = etree.fromstring(response.content)
    code = root.findtext(".//{http://com/exlibris/urm/general/xmlbeans}errorCode")
    assert code is not None
    return response.status_code, code
