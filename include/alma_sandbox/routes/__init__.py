"""Every path below ``/almaws/v1`` that the sandbox answers, one module an area."""

from alma_sandbox.http.call import RouteEntry
from alma_sandbox.routes import (
    acq,
    bibs,
    conf,
    holdings,
    items,
    jobs,
    loans,
    sets,
    test_points,
    user_requests,
    users,
)

# Fixed paths come before those with a name in the same place.
ROUTES: list[RouteEntry] = [
    *test_points.ROUTES,
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
