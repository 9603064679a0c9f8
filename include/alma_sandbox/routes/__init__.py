"""Every path below ``/almaws/v1`` that the sandbox answers, one module an area."""

from alma_sandbox.http.answers import DECLARATION, XML_TYPE, Plain
from alma_sandbox.http.call import Call, RouteEntry, route
from alma_sandbox.routes import acq, bibs, conf, holdings, items, jobs, loans, sets, user_requests, users


def _may_read(call: Call) -> Plain:
    code = call.catalogue.institution.code
    return Plain(200, f"{DECLARATION}<test>GET - OK - institutionCode: {code}</test>", XML_TYPE)


def _may_write(_: Call) -> Plain:
    return Plain(200, f"{DECLARATION}<test>POST - OK</test>", XML_TYPE)


# Connection tests of each area: GET proves the right to read, POST the right to write.
_TESTS = (
    "/bibs/test", "/conf/test", "/acq/test", "/analytics/test", "/users/operation/test", "/partners/operation/test",
)  # fmt: skip
# Fixed paths come before those with a name in the same place.
ROUTES: list[RouteEntry] = [
    *(route(path, get=_may_read, post=_may_write) for path in _TESTS),
    *bibs.ROUTES,
    *holdings.ROUTES,
    *sets.ROUTES,
    *conf.ROUTES,
    *jobs.ROUTES,
    *items.ROUTES,
    *user_requests.ROUTES,
    *loans.ROUTES,
    *users.ROUTES,
    *acq.ROUTES,
]
