"""Configuration look-ups (`/conf`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from alma_etl.alma import shapes
from alma_etl.alma.call import Call
from alma_etl.alma.envelope import Reply

if TYPE_CHECKING:
    from alma_etl.alma.client import AlmaClient


@dataclass(frozen=True)
class General:
    """Which Alma this is: `institution` (code), its name, `environment_type` (PRODUCTION, SANDBOX)."""

    institution: str
    name: str
    environment_type: str


class Conf:
    def __init__(self, client: AlmaClient) -> None:
        self._client = client

    def general(self) -> General:
        """GET /conf/general. Raises AlmaError."""
        return self._client.call(Call("GET", "/conf/general"), _general)


def _general(reply: Reply) -> General:
    document = reply.json()
    institution = document["institution"]
    return General(
        institution=shapes.text(institution),
        name=shapes.desc(institution),
        environment_type=shapes.text(document.get("environment_type")),
    )
