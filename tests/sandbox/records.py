"""Bodies that tests send."""

from typing import Any


def bib_xml(
    title: str = "A new title /",
    *,
    extra: str = "",
    fields: str = "",
    leader: str = "     nam a22     u  4500",
) -> str:
    """A bib with a title; ``extra`` goes beside the record, ``fields`` into it."""
    return (
        f"<bib>{extra}<record><leader>{leader}</leader>"
        f'<controlfield tag="008">200101s2020    xx            000 0 eng d</controlfield>{fields}'
        f'<datafield ind1="0" ind2="0" tag="245"><subfield code="a">{title}</subfield></datafield></record></bib>'
    )


def field_xml(tag: str, **subfields: str) -> str:
    """A data field with blank indicators; ``_9`` names subfield 9."""
    inner = "".join(
        f'<subfield code="{code.strip("_")}">{value}</subfield>' for code, value in subfields.items()
    )
    return f'<datafield ind1=" " ind2=" " tag="{tag}">{inner}</datafield>'


def holding_xml(
    library: str = "MAIN", location: str = "stacks", *, extra: str = "", call_number: str = "PN1"
) -> str:
    """A holding at a place."""
    number = f'<subfield code="h">{call_number}</subfield>' if call_number else ""
    return (
        f"<holding>{extra}<record><leader>     nx  a22     1n 4500</leader>"
        '<controlfield tag="008">1011252u    8   4001uueng0000000</controlfield>'
        f'<datafield ind1="0" ind2=" " tag="852"><subfield code="b">{library}</subfield>'
        f'<subfield code="c">{location}</subfield>{number}</datafield></record></holding>'
    )


def item_body(barcode: str | None = None, **item_data: Any) -> dict[str, Any]:
    """An item; without a barcode Alma makes one up."""
    data: dict[str, Any] = {
        "physical_material_type": {"value": "BOOK"},
        "policy": {"value": "01"},
        **item_data,
    }
    if barcode is not None:
        data["barcode"] = barcode
    return {"holding_data": {"copy_id": "1"}, "item_data": data}


HOLD = {"request_type": "HOLD", "pickup_location_type": "LIBRARY", "pickup_location_library": "MAIN"}
DESK = {"circ_desk": {"value": "DEFAULT_CIRC_DESK"}, "library": {"value": "MAIN"}}
