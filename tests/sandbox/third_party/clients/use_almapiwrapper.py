"""Drives a sandbox with almapiwrapper (XML for records, JSON for users) and prints what it saw as JSON.

Its base URLs are class attributes with the European host in them: all are rewritten before the first call.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

url, set_id = sys.argv[1], sys.argv[2]
areas = [
    {"Area": area, "Permissions": rights, "Env": "S"}
    for area in ("Bibs", "Conf", "Users")
    for rights in ("R", "RW")
]
keys = Path(sys.argv[3]) / "keys.json"
keys.write_text(json.dumps({"ZONE": [{"API_Key": "sandbox", "Supported_APIs": areas}]}))
os.environ["alma_api_keys"] = str(keys)  # noqa: SIM112 - its name for it

from almapiwrapper.config import ItemizedSet  # noqa: E402
from almapiwrapper.inventory import Holding, Item, IzBib  # noqa: E402
from almapiwrapper.record import XmlData  # noqa: E402
from almapiwrapper.users import User  # noqa: E402

EUROPE = "https://api-eu.hosted.exlibrisgroup.com"
for name, module in list(sys.modules.items()):
    if name.startswith("almapiwrapper"):
        for found in [entry for entry in vars(module).values() if isinstance(entry, type)]:
            for attribute, value in list(vars(found).items()):
                if isinstance(value, str) and value.startswith(EUROPE):
                    setattr(found, attribute, value.replace(EUROPE, url))

BIB = (
    b"<bib><record><leader>     nam a22     u  4500</leader>"
    b'<datafield ind1="0" ind2="0" tag="245"><subfield code="a">Made by almapiwrapper</subfield></datafield>'
    b"</record></bib>"
)
HOLDING = (
    b"<holding><record><leader>     nx  a22     1n 4500</leader>"
    b'<controlfield tag="008">1011252u    8   4001uueng0000000</controlfield>'
    b'<datafield ind1="0" ind2=" " tag="852"><subfield code="b">MAIN</subfield>'
    b'<subfield code="c">stacks</subfield><subfield code="h">PN1</subfield></datafield></record></holding>'
)
ITEM = (
    b"<item><item_data><barcode>WRAPPER1</barcode><physical_material_type>BOOK</physical_material_type>"
    b"<policy>01</policy></item_data></item>"
)


def drive() -> dict[str, Any]:
    seen: dict[str, Any] = {}
    members = ItemizedSet(set_id, "ZONE", "S").get_members()
    seen["members"] = [bib.mms_id for bib in members]
    bib = members[0]
    seen["title"] = bib.data.findtext(".//title")
    holdings = bib.get_holdings()
    seen["holdings"] = [holding.holding_id for holding in holdings]
    seen["library"] = holdings[0].data.findtext(".//datafield[@tag='852']/subfield[@code='b']")
    seen["items"] = [item.item_id for item in holdings[0].get_items()]
    made = IzBib(zone="ZONE", env="S", data=XmlData(BIB), create_bib=True)
    holding = Holding(bib=made, data=XmlData(HOLDING), create_holding=True)
    item = Item(holding=holding, data=XmlData(ITEM), create_item=True)
    seen["made"] = {"mms_id": made.mms_id, "holding_id": holding.holding_id, "pid": item.item_id}
    seen["by_barcode"] = Item(barcode="WRAPPER1", zone="ZONE", env="S").item_id
    made.data.find(".//datafield[@tag='245']/subfield").text = "Changed by almapiwrapper"
    made.update()
    seen["changed"] = made.data.findtext(".//title")
    user = User("patron003", "ZONE", "S")
    seen["user"] = user.data["primary_id"]
    wrong = [IzBib("991", "ZONE", "S"), User("nobody", "ZONE", "S")]
    for found in wrong:
        _ = found.data
    seen["errors"] = [[found.error, found.error_msg] for found in wrong]
    made.delete(force=True)
    seen["deleted"] = not made.error
    return seen


print(json.dumps(drive()))
