"""Every path below ``/almaws/v1`` that the sandbox answers, one module an area."""

from alma_sandbox.call import RouteEntry
from alma_sandbox.routes import bibs, conf, holdings, sets, test_points

# Fixed paths come before those with a name in the same place.
ROUTES: list[RouteEntry] = [
    *test_points.ROUTES,
    *bibs.ROUTES,
    *holdings.ROUTES,
    *sets.ROUTES,
    *conf.ROUTES,
]
