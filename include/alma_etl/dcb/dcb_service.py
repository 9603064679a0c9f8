"""OpenRS's dcb-service. It has no call that sets a request's status; it can be asked to look now, and be read."""

from __future__ import annotations

import time
from collections.abc import Callable
from urllib.parse import quote

from alma_etl.remote.answers import Absent, Answer, Found, Unknown
from alma_etl.remote.errors import RemoteRefused, RemoteTransient
from alma_etl.remote.service import HttpAccess, HttpService


class DcbService:
    """One dcb-service. Close it when done, or use ``with``. Safe for several threads."""

    def __init__(self, access: HttpAccess, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._service = HttpService(access, sleep=sleep)

    def __enter__(self) -> DcbService:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._service.close()

    def nudge(self, pr_id: str) -> None:
        """Have a request looked at now. Its fail-safe ignores requests older than 56 days, and says nothing of it.

        Raises RemoteRefused (404: it does not know the request), RemoteTransient, RemoteUnauthorized.
        """
        self._service.send("POST", f"/patrons/requests/{quote(pr_id, safe='')}/update")

    def status(self, pr_id: str) -> Answer[str]:
        """The status that it shows for a request; Absent when it does not know it. Raises RemoteUnauthorized."""
        path = f"/admin/patrons/requests/{quote(pr_id, safe='')}"
        try:
            document = self._service.get(path)
        except RemoteRefused as error:
            return Absent(error) if error.status == 404 else Unknown(error)
        except RemoteTransient as error:
            return Unknown(error)
        # Serialised from an entity whose field `status` is an enum; some versions wrap it.
        status = document.get("status") if isinstance(document, dict) else None
        status = status.get("code") if isinstance(status, dict) else status
        if not status:
            return Unknown(RemoteTransient(f"GET {path}", 200, "", "the answer names no status"))
        return Found(str(status))
