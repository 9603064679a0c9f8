"""Finding the records that a path names, with Alma's error when there is none."""

from alma_sandbox.call import Call
from alma_sandbox.catalogue.records import Bib, Holding
from alma_sandbox.errors import Refusal


def bib(call: Call) -> Bib:
    """The bib of the path: 402204 when the id is no number, 402203 when there is no such bib."""
    mms_id = call.path["mms_id"]
    if not mms_id.isascii() or not mms_id.isdigit():
        raise Refusal("402204", f"Input parameters mmsId {mms_id} is not numeric.")
    found = call.catalogue.bib(mms_id)
    if found is None:
        raise Refusal("402203", f"Input parameters mmsId {mms_id} is not valid.")
    return found


def holding(call: Call) -> Holding:
    """The holding of the path under the bib of the path: 402208 when there is none."""
    mms_id, holding_id = bib(call).mms_id, call.path["holding_id"]
    found = call.catalogue.holding(holding_id)
    if found is None or found.mms_id != mms_id:
        raise Refusal("402208", f"Search failed for Holdings ID {holding_id}")
    return found
