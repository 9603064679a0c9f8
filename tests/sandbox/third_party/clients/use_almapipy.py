"""Drives a sandbox with almapipy (key and format in the query, ``Accept: */*``) and prints what it saw as JSON.

Its region is fixed at construction and copied into every sub-client: all copies are rewritten.
"""

import contextlib
import io
import json
import sys
from typing import Any

from almapipy import AlmaCnxn
from almapipy.utils import AlmaError

url, set_id = sys.argv[1], sys.argv[2]
AMERICA = "https://api-na.hosted.exlibrisgroup.com"


def redirect(client: Any) -> None:
    for name, value in list(client.cnxn_params.items()):
        if isinstance(value, str):
            client.cnxn_params[name] = value.replace(AMERICA, url)
    for part in vars(client).values():
        if hasattr(part, "cnxn_params"):
            redirect(part)


BIB = (
    "<bib><record><leader>     nam a22     u  4500</leader>"
    '<datafield ind1="0" ind2="0" tag="245"><subfield code="a">Made by almapipy</subfield></datafield></record></bib>'
)
HOLDING = (
    "<holding><record><leader>     nx  a22     1n 4500</leader>"
    '<datafield ind1="0" ind2=" " tag="852"><subfield code="b">SCI</subfield>'
    '<subfield code="c">stacks</subfield></datafield></record></holding>'
)
ITEM = {"item_data": {"barcode": "PIPY1", "physical_material_type": {"value": "BOOK"}}}


def drive() -> dict[str, Any]:
    seen: dict[str, Any] = {}
    alma = AlmaCnxn("sandbox")
    redirect(alma)
    page = alma.conf.sets.get_members(set_id, limit=100)
    members = [member["id"] for member in page["member"]]
    seen["members"], seen["total"] = members, page["total_record_count"]
    seen["bibs"] = sorted(
        bib["mms_id"] for bib in alma.bibs.catalog.get(members[:20], expand="p_avail")["bib"]
    )
    holdings = alma.bibs.catalog.get_holdings(members[0])["holding"]
    seen["holdings"] = [holding["holding_id"] for holding in holdings]
    holding = alma.bibs.catalog.get_holdings(members[0], holdings[0]["holding_id"])
    seen["anies"] = holding["anies"][0]
    seen["items"] = alma.bibs.catalog.get_holding_items(members[0], "ALL")["total_record_count"]
    seen["sets"] = [found["id"] for found in alma.conf.sets.get()["set"]]
    seen["user"] = alma.users.get("patron003")["primary_id"]
    made = alma.bibs.catalog.post(BIB)
    mms_id = made.findtext("mms_id")
    holding_id = alma.bibs.catalog.post_holding(HOLDING, mms_id).findtext("holding_id")
    item = alma.bibs.catalog.post_holding_item(ITEM, mms_id, holding_id)
    seen["made"] = {"mms_id": mms_id, "holding_id": holding_id, "pid": item["item_data"]["pid"]}
    seen["errors"] = []
    alma_as_xml = AlmaCnxn("sandbox", data_format="xml")
    redirect(alma_as_xml)
    for client in (alma, alma_as_xml):
        try:
            client.bibs.catalog.get("991")
        except AlmaError as error:
            seen["errors"].append(str(error))
    return seen


if __name__ == "__main__":
    with contextlib.redirect_stdout(io.StringIO()):  # it prints every URL that it posts to
        found = drive()
    print(json.dumps(found))
