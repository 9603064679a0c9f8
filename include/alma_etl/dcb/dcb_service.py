"""OpenRS's dcb-service. It has no call that sets a request's status; it can be asked to look now, and be read."""

from __future__ import annotations

from urllib.parse import quote

from alma_etl.remote.answers import Answer, Found, Unknown
from alma_etl.remote.errors import RemoteMalformed
from alma_etl.remote.service import ServiceClient


class DcbService(ServiceClient):
    """One dcb-service. Close it when done, or use ``with``. Safe for several threads."""

    def nudge(self, pr_id: str) -> None:
        """Have a request looked at now. Its fail-safe ignores requests older than 56 days, and says nothing of it.

        Raises RemoteRefused (404: it does not know the request), RemoteTransient, RemoteUnauthorized.
        """
        self._service.send("POST", f"/patrons/requests/{quote(pr_id, safe='')}/update")

    def status(self, pr_id: str) -> Answer[str]:
        """The status that it shows for a request; Absent when it does not know it. Raises RemoteUnauthorized."""
        path = f"/admin/patrons/requests/{quote(pr_id, safe='')}"
        answer = self._service.look(path)
        if not isinstance(answer, Found):
            return answer
        document = answer.value
        # Serialised from an entity whose field `status` is an enum; some versions wrap it.
        status = document.get("status") if isinstance(document, dict) else None
        status = status.get("code") if isinstance(status, dict) else status
        if not status:
            return Unknown(RemoteMalformed(f"GET {path}", 200, "", "the answer names no status"))
        return Found(str(status))
