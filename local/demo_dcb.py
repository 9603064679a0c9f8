"""The demo's third step: a patron of one library borrows a book of another, from the request to the book's return."""

import uuid
from dataclasses import dataclass
from time import monotonic
from typing import Any

import requests

from .demo_tools import Demo, DemoFailedError, shown

ITEM_SET = "59000000000024401"
PATRON, PICKUP = "patron001", "SCI"
RUNS = "runs/dcb_status_sync/"


@dataclass(frozen=True)
class Scene:
    """What people do with the book at a desk, and the status that the sync must find. ``at``: lender or borrower."""

    says: str
    at: str
    desk: dict[str, str]
    status: str


SCENES = (
    Scene("the lender sends the book", "lender", {"library": "MAIN"}, "PICKUP_TRANSIT"),
    Scene("it is put on the hold shelf", "borrower", {"library": PICKUP}, "READY_FOR_PICKUP"),
    Scene("the patron fetches it", "borrower", {"library": PICKUP, "lend_to": PATRON}, "LOANED"),
    Scene("the patron returns it", "borrower", {"library": PICKUP}, "RETURN_TRANSIT"),
    Scene("it is back at the lender", "lender", {"library": "MAIN"}, "FINALISED"),
)


def patron_request(demo: Demo) -> None:
    """Places a request by Airflow's REST API, plays the people at the desks, and lets the sync follow the book."""
    book = _book(demo)
    pr_id = str(uuid.uuid4())
    demo.say(f"\n{PATRON} of the second sandbox asks for a book of the first: request {pr_id}")
    placed = demo.run_dag("dcb_place_request", _conf(pr_id, book), quiet=True)
    demo.say(f"  {monotonic() - demo.begun:4.0f} s  it is placed in both, with a virtual item and a hold")
    desks = {"lender": demo.addresses.sandbox, "borrower": demo.addresses.borrower}
    seen = _Seen(demo, pr_id)
    for scene in SCENES:
        body = {"barcode": book["item_data"]["barcode"], **scene.desk}
        answer = requests.post(f"{desks[scene.at]}/sandbox/desk", json=body, timeout=30)
        if not answer.ok:
            raise DemoFailedError(f"At the desk, while {scene.says}: {answer.text}")
        path = seen.until(scene.status)
        demo.say(f"  {monotonic() - demo.begun:4.0f} s  {scene.says:27}  {path}")
    for dag_id, run_id in (("dcb_place_request", placed), ("dcb_status_sync", seen.last_run)):
        demo.say_page(dag_id, run_id)
        demo.say(f"  {shown(demo.download(f'runs/{dag_id}/{run_id}/report.html'))}")


class _Seen:
    """What the sync made of one request, by the summaries of its runs: those of the schedule count as well."""

    def __init__(self, demo: Demo, pr_id: str) -> None:
        self._demo, self._pr_id = demo, pr_id
        self._read: set[str] = set()
        self.last_run = ""

    def until(self, status: str) -> str:
        """Let the sync look, until the request has this status; the way it took."""
        path: list[str] = []
        for _ in range(3):
            self.last_run = self._demo.run_dag("dcb_status_sync", {"pr_ids": [self._pr_id]}, quiet=True)
            path += self._news()
            if path and path[-1] == status:
                return " -> ".join(path)
        raise DemoFailedError(f"The request {self._pr_id} is not {status}, but went {path or 'nowhere'}.")

    def _news(self) -> list[str]:
        keys = [
            key for key in self._demo.keys(RUNS) if key.endswith("/summary.json") and key not in self._read
        ]
        self._read.update(keys)
        summaries = sorted(
            (self._demo.read_json(key) for key in keys), key=lambda each: each["started"] or ""
        )
        changes = [change for each in summaries for change in each["changed"] if change[0] == self._pr_id]
        return [status for _, _, way in changes for status in way.split(" -> ")]


def _conf(pr_id: str, book: dict[str, Any]) -> dict[str, Any]:
    """What a person fills in; the rest is looked up."""
    return {
        "pr_id": pr_id,
        "supplier_system": "LENDER",
        "item_barcode": book["item_data"]["barcode"],
        "borrower_system": "BORROWER",
        "user_id": PATRON,
        "pickup_library": PICKUP,
    }


def _book(demo: Demo) -> dict[str, Any]:
    """A copy that stands in the lender's main library, as its Alma describes it."""
    members = _alma(demo, f"/conf/sets/{ITEM_SET}/members?limit=100")["member"]
    for member in members:
        item = _alma(demo, member["link"].partition("/almaws/v1")[2])
        data = item["item_data"]
        in_place = data["base_status"]["value"] == "1" and not data["process_type"].get("value")
        if in_place and data["library"]["value"] == "MAIN" and not item["holding_data"]["in_temp_location"]:
            return item
    raise DemoFailedError("The first sandbox has no book to lend.")


def _alma(demo: Demo, path: str) -> dict[str, Any]:
    answer = requests.get(
        f"{demo.addresses.sandbox}/almaws/v1{path}",
        headers={"Authorization": f"apikey {demo.addresses.sandbox_key}", "Accept": "application/json"},
        timeout=30,
    )
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found
