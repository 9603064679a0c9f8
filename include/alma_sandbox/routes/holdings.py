"""``/bibs/{mms_id}/holdings``: listing and reading holdings."""

from alma_sandbox.http.answers import Answer, listing
from alma_sandbox.http.call import Call, route
from alma_sandbox.routes import holding_writes, lookups, shapes


def read_list(call: Call) -> Answer:
    """``GET /bibs/{mms_id}/holdings``: all of them, suppressed ones too, never paged."""
    bib = lookups.bib(call)
    rows = [
        shapes.holding_row(call, holding)
        for holding in call.catalogue.holdings_of(bib.mms_id)
        if call.sandbox.is_listed(holding)
    ]
    found = listing("holding", rows)
    total = found.pop("total_record_count")
    return Answer("holdings", {**found, "bib_data": shapes.bib_data(call, bib), "total_record_count": total})


def read_one(call: Call) -> Answer:
    """``GET /bibs/{mms_id}/holdings/{holding_id}``."""
    return Answer("holding", shapes.holding(lookups.holding(call)))


ROUTES = [
    route("/bibs/{mms_id}/holdings", get=read_list, post=holding_writes.create),
    route(
        "/bibs/{mms_id}/holdings/{holding_id}",
        get=read_one,
        put=holding_writes.update,
        delete=holding_writes.delete,
    ),
]
