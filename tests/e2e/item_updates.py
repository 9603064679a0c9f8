"""What the tests of item updates share: an Alma and an Aleph with the same items, seen from outside."""

from collections.abc import Iterable
from typing import Any

import requests
import yaml

from alma_etl.store.bucket import Bucket
from tests.e2e.items import ItemSandbox, Loaded

AREA = "item-updates"
# z30 without z30- -> where Alma's item has the same: the list of this test, not the program's.
SAME = {
    "barcode": ("item_data", "barcode"),
    "material": ("item_data", "physical_material_type"),
    "item-status": ("item_data", "policy"),
    "description": ("item_data", "description"),
    "enumeration-a": ("item_data", "enumeration_a"),
    "chronological-i": ("item_data", "chronology_i"),
    "note-opac": ("item_data", "public_note"),
    "note-circulation": ("item_data", "fulfillment_note"),
    "note-internal": ("item_data", "internal_note_1"),
    "item-statistic": ("item_data", "statistics_note_1"),
    "inventory-number": ("item_data", "inventory_number"),
    "pages": ("item_data", "pages"),
    "copy-id": ("holding_data", "copy_id"),
    "arrival-date": ("item_data", "arrival_date"),
    "price": ("item_data", "replacement_cost"),
}
_OF_ALEPH_ITSELF = (
    "update-date", "cataloger", "upd-time-stamp", "process-status-date", "call-no-key", "maintenance-count",
)  # fmt: skip
_OF_ALMA_ITSELF = ("modification_date", "link")


class BothSystems(ItemSandbox):
    """The sandbox with its Alma and its Aleph."""

    def aleph_items(self) -> dict[str, dict[str, Any]]:
        """All items of Aleph by their key, as its staff see them, without what Aleph writes itself."""
        found: dict[str, dict[str, Any]] = {}
        while True:
            page = requests.get(
                f"{self.url}/sandbox/aleph/items", params={"limit": 500, "offset": len(found)}, timeout=60
            ).json()
            for item in page["items"]:
                kept = {name: text for name, text in item["values"].items() if name not in _OF_ALEPH_ITSELF}
                found[item["key"]] = {"alma": item["alma"], "values": kept}
            if len(found) >= page["total"] or not page["items"]:
                return found

    def alma_items(self, mms_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        """The items of these titles by pid, without what Alma writes itself."""
        found = {}
        for mms_id in sorted(set(mms_ids)):
            for item in self.get(f"/bibs/{mms_id}/holdings/ALL/items", limit=100).get("item", []):
                found[item["item_data"]["pid"]] = {
                    section: {n: v for n, v in item[section].items() if n not in _OF_ALMA_ITSELF}
                    for section in ("item_data", "holding_data")
                }
        return found

    def maps(self) -> dict[str, Any]:
        """Which code of Aleph is which of Alma, as settings of a profile."""
        tables = requests.get(f"{self.url}/sandbox/aleph/tables", timeout=30).json()["to_alma"]
        places = [{name.replace("-", "_"): code for name, code in row.items()} for row in tables["places"]]
        return {"places": places, "material": tables["material"], "item_status": tables["item-status"]}

    def profiles(self) -> bytes:
        """A settings file with these maps."""
        mine = {"target": "alma", "move": True, "price": "replacement_cost", **self.maps()}
        return yaml.safe_dump({"profiles": {"mine": mine, "trial": {**mine, "dry_run": True}}}).encode()


def shown(item: dict[str, Any], name: str) -> str:
    """What Alma's item has where z30 has this field, in the words of z30."""
    section, field = SAME[name]
    value = item[section].get(field) or ""
    text = value.get("value", "") if isinstance(value, dict) else str(value)
    return text[:10].replace("-", "") if name == "arrival-date" else text


class Updated(Loaded):
    """What one run of an item update left in the bucket."""

    def __init__(self, bucket: Bucket, run: Any, stem: str) -> None:
        super().__init__(bucket, run, stem, AREA)

    def undo(self) -> tuple[str, bytes] | None:
        """Name and bytes of the undo file, None when there is none."""
        found = [key for key in self.keys(f"{AREA}/reports/{self._names}") if ".undo" in key]
        assert len(found) < 2
        return (found[0].rpartition("/")[2], self.bucket.get(found[0])) if found else None
