"""Drives a sandbox with almapy (async, 25 calls a second) and prints what it saw as JSON.

Runs in an environment of its own: almapy and the standard library only.
"""

import asyncio
import json
import sys
from typing import Any

import niquests
from almapy import AlmaClient, exceptions

HOLDING = (
    "<holding><record><leader>     nx  a22     1n 4500</leader>"
    '<controlfield tag="008">1011252u    8   4001uueng0000000</controlfield>'
    '<datafield ind1="0" ind2=" " tag="852"><subfield code="b">MAIN</subfield>'
    '<subfield code="c">stacks</subfield><subfield code="h">PN1</subfield></datafield></record></holding>'
)
BIB = (
    "<bib><record><leader>     nam a22     u  4500</leader>"
    '<datafield ind1="0" ind2="0" tag="245"><subfield code="a">Made by almapy</subfield></datafield></record></bib>'
)
ITEM = {
    "item_data": {
        "barcode": "ALMAPY1",
        "physical_material_type": {"value": "BOOK"},
        "policy": {"value": "01"},
    }
}
HOLD = {"request_type": "HOLD", "pickup_location_type": "LIBRARY", "pickup_location_library": "MAIN"}


def text_of(xml: str, element: str) -> str:
    return xml.partition(f"<{element}>")[2].partition(f"</{element}>")[0]


async def drive(url: str, set_id: str) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    session = niquests.AsyncSession(base_url=f"{url}/almaws/v1")
    client = AlmaClient("sandbox", client=session)
    page = await client.config.sets.get_members(set_id, limit=60)
    members = [member.id for member in page.member]
    seen["members"], seen["total"] = members, page.total_record_count
    # Sixty reads at once: the client's own bucket against the sandbox's sliding second.
    bibs = await asyncio.gather(*(client.bibs.get_bib(mms_id, expand_physical=True) for mms_id in members))
    seen["bibs"] = [text_of(bib, "mms_id") for bib in bibs]
    holdings = await client.bibs.get_holdings(members[0])
    first = holdings.holding[0]
    seen["holding"] = {
        "id": first.holding_id,
        "library": first.library.value,
        "location": first.location.value,
    }
    seen["holding_xml"] = text_of(await client.bibs.get_holding(members[0], first.holding_id), "holding_id")
    seen["libraries"] = [library.code for library in (await client.config.libraries.get_libraries()).library]
    made = await client.bibs.create_bib(BIB)
    mms_id = text_of(made, "mms_id")
    holding_id = text_of(await client.bibs.create_holding(mms_id, HOLDING), "holding_id")
    item = await client.bibs.create_item(mms_id, holding_id, ITEM)
    seen["made"] = {"mms_id": mms_id, "holding_id": holding_id, "pid": item.item_data.pid}
    seen["by_barcode"] = (await client.bibs.get_item("ALMAPY1")).item_data.pid
    seen["items"] = (await client.bibs.get_items(mms_id, "ALL")).total_record_count
    request = await client.bibs.requests.create_request(
        mms_id, holding_id, item.item_data.pid, "patron001", HOLD
    )
    seen["request"] = request.request_status
    scanned = await client.bibs.scan_in(
        mms_id, holding_id, item.item_data.pid, library="MAIN", circ_desk="DEFAULT_CIRC_DESK"
    )
    seen["scanned"] = [scanned.item_data.process_type.value, scanned.additional_info]
    loan = await client.users.loans.create_loan("patron001", "ALMAPY1", "DEFAULT_CIRC_DESK", "MAIN")
    seen["loan"] = loan.loan_status
    seen["errors"] = []
    for call in (
        client.bibs.get_bib("991"),
        client.bibs.get_item("no-such-barcode"),
        client.users.get_user("nobody"),
        client.bibs.create_item(mms_id, holding_id, {"item_data": {"policy": {"value": "NOPE"}}}),
    ):
        try:
            await call
        except exceptions.AlmapyError as error:
            seen["errors"].append([type(error).__name__, getattr(error, "code", "")])
    await session.close()
    return seen


if __name__ == "__main__":
    print(json.dumps(asyncio.run(drive(sys.argv[1], sys.argv[2]))))
