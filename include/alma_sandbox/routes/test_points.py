"""Connection tests of each area: GET proves the right to read, POST the right to write."""

from alma_sandbox.http.answers import DECLARATION, XML_TYPE, Plain
from alma_sandbox.http.call import Call, route


def _read(call: Call) -> Plain:
    code = call.catalogue.institution.code
    return Plain(200, f"{DECLARATION}<test>GET - OK - institutionCode: {code}</test>", XML_TYPE)


def _write(_: Call) -> Plain:
    return Plain(200, f"{DECLARATION}<test>POST - OK</test>", XML_TYPE)


_PATHS = (
    "/bibs/test", "/conf/test", "/acq/test", "/analytics/test", "/users/operation/test", "/partners/operation/test",
)  # fmt: skip
ROUTES = [route(path, get=_read, post=_write) for path in _PATHS]
