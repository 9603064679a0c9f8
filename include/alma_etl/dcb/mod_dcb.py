"""FOLIO's mod-dcb: one side of a request whose system is a FOLIO."""

from __future__ import annotations

from alma_etl.dcb.http_access import HttpAccess


class ModDcb:
    """The transactions of one mod-dcb."""

    def __init__(self, access: HttpAccess) -> None:
        self._access = access

    def __enter__(self) -> ModDcb:
        return self

    def __exit__(self, *_: object) -> None:
        return None
