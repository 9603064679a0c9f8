"""The sandbox seen from outside: what it holds, what it was asked, what it is told to do wrong."""

from typing import Any

import requests

KEY = "sandbox"


class SandboxView:
    """One sandbox, by plain requests that have nothing to do with our client."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str, **params: object) -> Any:
        """The JSON answer of Alma's API to a GET below /almaws/v1."""
        answer = requests.get(
            f"{self.url}/almaws/v1{path}",
            params={name: str(value) for name, value in params.items()},
            headers={"Authorization": f"apikey {KEY}", "Accept": "application/json"},
            timeout=30,
        )
        answer.raise_for_status()
        return answer.json()

    def members(self, set_id: str) -> list[str]:
        """The ids of a set's members."""
        ids: list[str] = []
        while True:
            page = self.get(f"/conf/sets/{set_id}/members", limit=100, offset=len(ids))
            ids += [member["id"] for member in page.get("member", [])]
            if len(ids) >= page["total_record_count"]:
                return ids

    def holdings(self, mms_id: str) -> dict[str, bool]:
        """The holding ids of a title, each with its suppress flag."""
        listed = self.get(f"/bibs/{mms_id}/holdings").get("holding", [])
        return {holding["holding_id"]: holding["suppress_from_publishing"] == "true" for holding in listed}

    def faults(self, *rules: dict[str, object]) -> None:
        """Add fault rules; see the sandbox's README."""
        requests.post(f"{self.url}/sandbox/faults", json=list(rules), timeout=30).raise_for_status()

    def heal(self) -> None:
        """Take all fault rules away."""
        requests.delete(f"{self.url}/sandbox/faults", timeout=30).raise_for_status()

    def settings(self, **values: object) -> None:
        """Change settings while it runs."""
        requests.post(f"{self.url}/sandbox/settings", json=values, timeout=30).raise_for_status()

    def calls(self) -> list[dict[str, Any]]:
        """The calls that reached it."""
        entries: list[dict[str, Any]] = requests.get(f"{self.url}/sandbox/log", timeout=30).json()["entries"]
        return entries

    def forget(self) -> None:
        """Clear the log of calls."""
        requests.delete(f"{self.url}/sandbox/log", timeout=30).raise_for_status()
