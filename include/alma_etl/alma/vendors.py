"""Vendors (`/acq/vendors`): reading only."""

from __future__ import annotations

from dataclasses import dataclass, field

from alma_etl.alma import shapes
from alma_etl.alma.call import Call, path
from alma_etl.alma.reply import Reply
from alma_etl.alma.resource import Resource
from alma_etl.alma.shapes import Json
from alma_etl.remote.answers import Answer, ask

NO_VENDOR = frozenset({"401871"})
_ACTIVE = "ACTIVE"


@dataclass(frozen=True)
class VendorAccount:
    """An account that the institution has at a vendor."""

    code: str
    description: str
    active: bool


@dataclass(frozen=True)
class Vendor:
    """A vendor with its accounts and the currencies that it is paid in (the first is its own); `raw` is Alma's whole
    object."""

    code: str
    name: str
    active: bool
    currencies: tuple[str, ...]
    accounts: tuple[VendorAccount, ...]
    raw: Json = field(repr=False)

    def account(self, code: str) -> VendorAccount | None:
        """The account with this code; None when it is not the vendor's."""
        return next((account for account in self.accounts if account.code == code), None)


class Vendors(Resource):
    """The calls about vendors."""

    def read(self, code: str) -> Answer[Vendor]:
        """GET /acq/vendors/{code}. Absent: 401871. Unknown for a code that cannot stand in a path, see `path`."""
        return ask(lambda: self._client.call(Call("GET", path("acq", "vendors", code)), _vendor), NO_VENDOR)


def _vendor(reply: Reply) -> Vendor:
    document = reply.json()
    return Vendor(
        code=shapes.required(document, "code"),
        name=shapes.text(document.get("name")),
        active=_active(document),
        currencies=tuple(shapes.text(row) for row in shapes.listed(document, "currency")),
        accounts=tuple(
            VendorAccount(shapes.required(row, "code"), shapes.text(row.get("description")), _active(row))
            for row in shapes.listed(document, "account")
        ),
        raw=document,
    )


def _active(row: Json) -> bool:
    """An account without a status is in use."""
    return shapes.text(row.get("status")) in ("", _ACTIVE)
