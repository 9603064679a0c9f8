"""What the tests of item loads share: a sandbox seen through its items, and the reports of a load."""

import csv
import html
import io
import json
from collections import Counter
from typing import Any

import requests

from alma_etl.jobs.places import run_mark
from alma_etl.store.bucket import Bucket
from tests.e2e.alma import KEY, SandboxView

ALL_TITLES = "59000000000004401"
PROFILES = """
profiles:
  gifts:
    library: "MAIN"
    location: "stacks"
    item_policy: "01"
    material_type: "BOOK"
    call_number_from: ["050", "090", "082"]
  fail:
    library: "MAIN"
    location: "stacks"
    on_several_holdings: fail
  existing:
    library: "MAIN"
    location: "stacks"
    create_holding: false
"""


class ItemSandbox(SandboxView):
    """A sandbox with a look at what calls changed in it."""

    def state(self) -> dict[str, Any]:
        """What differs from a fresh sandbox, by kind and id."""
        found: dict[str, Any] = requests.get(f"{self.url}/sandbox/state", timeout=60).json()
        return found

    def reset(self) -> None:
        """Back to the beginning."""
        requests.post(f"{self.url}/sandbox/reset", timeout=30).raise_for_status()

    def set_clock(self, now: str) -> None:
        """Set the sandbox's clock, as an ISO time."""
        requests.post(f"{self.url}/sandbox/clock", json={"now": now}, timeout=30).raise_for_status()

    def titles(self) -> list[str]:
        """The MMS ids of all titles that there are."""
        return self.members(ALL_TITLES)

    def made(self) -> tuple[dict[str, dict[str, Any]], Counter[tuple[str, str, str]]]:
        """The items that loads made, by barcode, and the holdings by (title, library, location)."""
        state = self.state()
        barcodes = Counter(item["barcode"] for item in state["items"].values() if item)
        assert max(barcodes.values(), default=1) == 1
        items = {item["barcode"]: item for item in state["items"].values() if item}
        return items, Counter(_place(holding) for holding in state["holdings"].values() if holding)

    def post(self, path: str, body: str, content_type: str = "application/xml") -> requests.Response:
        """A POST to Alma's API."""
        return requests.post(
            f"{self.url}/almaws/v1{path}",
            data=body.encode(),
            headers={
                "Authorization": f"apikey {KEY}",
                "Content-Type": content_type,
                "Accept": "application/json",
            },
            timeout=30,
        )

    def add_title(self, *fields: tuple[str, str, str]) -> str:
        """A bib with a title and these fields (tag, $a, $b); its MMS id."""
        extra = "".join(
            f'<datafield ind1=" " ind2=" " tag="{tag}"><subfield code="a">{a}</subfield>'
            f'<subfield code="b">{b}</subfield></datafield>'
            for tag, a, b in fields
        )
        answer = self.post(
            "/bibs",
            "<bib><suppress_from_publishing>false</suppress_from_publishing><record><leader>00000nam a2200000 a 4500"
            '</leader><controlfield tag="008">200101s2020    xx            000 0 eng d</controlfield>'
            f'{extra}<datafield ind1="1" ind2="0" tag="245"><subfield code="a">A gift</subfield></datafield>'
            "</record></bib>",
        )
        answer.raise_for_status()
        return str(answer.json()["mms_id"])

    def add_holding(self, mms_id: str, library: str, location: str) -> str:
        """A holding without a call number; its id."""
        answer = self.post(
            f"/bibs/{mms_id}/holdings",
            '<holding><record><leader>     nx  a22     1n 4500</leader><controlfield tag="008">'
            '2011252u    8   4001uueng0000000</controlfield><datafield ind1="0" ind2=" " tag="852">'
            f'<subfield code="b">{library}</subfield><subfield code="c">{location}</subfield></datafield></record>'
            "</holding>",
        )
        answer.raise_for_status()
        return str(answer.json()["holding_id"])

    def add_item(self, mms_id: str, holding_id: str, barcode: str) -> str:
        """An item; its pid."""
        body = {
            "holding_data": {},
            "item_data": {"barcode": barcode, "physical_material_type": {"value": "BOOK"}},
        }
        answer = self.post(
            f"/bibs/{mms_id}/holdings/{holding_id}/items", json.dumps(body), "application/json"
        )
        answer.raise_for_status()
        return str(answer.json()["item_data"]["pid"])

    def delete(self, path: str) -> None:
        """A DELETE to Alma's API."""
        headers = {"Authorization": f"apikey {KEY}"}
        requests.delete(f"{self.url}/almaws/v1{path}", headers=headers, timeout=30).raise_for_status()

    def writes(self) -> list[dict[str, Any]]:
        """The calls that would have changed something."""
        return [call for call in self.calls() if call["method"] != "GET"]


def _place(holding: dict[str, Any]) -> tuple[str, str, str]:
    from lxml import etree

    field = etree.fromstring(holding["record"]).find("datafield[@tag='852']")
    assert field is not None
    first = {each.get("code"): each.text or "" for each in reversed(field)}
    return holding["mms_id"], first.get("b", ""), first.get("c", "")


class Loaded:
    """What one run left in the bucket."""

    def __init__(self, bucket: Bucket, run: Any, stem: str, area: str = "items") -> None:
        self.bucket = bucket
        self.area = area
        self.run = run
        self.state = str(run.state)
        self._names = f"{stem}.{run_mark(run.run_id)}"

    def report(self, ending: str) -> bytes:
        """A report by its ending."""
        return self.bucket.get(f"{self.area}/reports/{self._names}{ending}")

    def rows(self) -> list[dict[str, str]]:
        """The report's rows."""
        return list(csv.DictReader(io.StringIO(self.report(".csv").decode())))

    def ends(self) -> list[tuple[int, str]]:
        """Line and outcome of every row."""
        return [(int(row["line"]), row["outcome"]) for row in self.rows()]

    def counts(self) -> Counter[str]:
        """Rows by outcome."""
        return Counter(row["outcome"] for row in self.rows())

    def message(self, line: int) -> str:
        """What the report says of a line."""
        return next(row["message"] for row in self.rows() if int(row["line"]) == line)

    def rejects(self) -> bytes | None:
        """The rows to mend, None when there are none."""
        found = [info.key for info in self.bucket.list(f"{self.area}/rejects/{self._names}.rejected")]
        assert len(found) < 2
        return self.bucket.get(found[0]) if found else None

    def page(self) -> str:
        """The report for people."""
        return html.unescape(self.report(".html").decode())

    def task_states(self) -> dict[tuple[str, int], str]:
        """The tasks' states."""
        return {(task.task_id, task.map_index): str(task.state) for task in self.run.get_task_instances()}

    def keys(self, prefix: str) -> list[str]:
        """The keys below a prefix."""
        return [info.key for info in self.bucket.list(prefix)]
