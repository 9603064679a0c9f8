"""What one pretend consortium knows, and its settings."""

import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from alma_sandbox.consortium.transactions import Transactions
from alma_sandbox.gateway.faults import Faults
from alma_sandbox.gateway.log import Log
from alma_sandbox.state.clock import Clock


class ConsortiumSettings(BaseModel):
    """``api_key`` opens mod-dcb; ``client_id`` and ``client_secret`` get a token for dcb-service. None is anybody's."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    api_key: str = "sandbox"
    client_id: str = "sandbox"
    client_secret: str = "sandbox"  # noqa: S105 - not a secret
    token_s: int = Field(default=300, ge=1, description="seconds for which a token is good")
    cancelling: Literal["at_once", "by_event"] = Field(
        default="at_once",
        description="by_event: a lender's CANCELLED answers 200 and changes nothing until FOLIO's own event comes",
    )
    log_size: int = Field(default=100_000, ge=0)


@dataclass
class PatronRequest:
    """A request as dcb-service shows it. ``next_status`` is what it will find when it looks; ``fields``: what its
    GraphQL shows beside the status."""

    id: str
    status: str
    next_status: str = ""
    updates: int = 0
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def shown(self) -> dict[str, Any]:
        """By the fields of the GraphQL schema."""
        return {**self.fields, "id": self.id, "status": self.status}


class Consortium:
    """One mod-dcb and one dcb-service. Nothing is shared between two of them."""

    def __init__(self, settings: ConsortiumSettings) -> None:
        self._initial = settings.model_copy()
        self.log = Log(settings.log_size)
        self.reset()

    def reset(self) -> None:
        """Back to the beginning."""
        self.settings = self._initial.model_copy()
        self.clock = Clock()
        self.faults = Faults()
        self.log.clear()
        self.transactions = Transactions()
        self.patron_requests: dict[str, PatronRequest] = {}
        self._tokens: dict[str, datetime] = {}

    def change_settings(self, values: dict[str, Any]) -> None:
        """Change settings while running. ValueError for one that is unknown or wrong."""
        self.settings = ConsortiumSettings.model_validate({**self.settings.model_dump(), **values})
        self.log.resize(self.settings.log_size)

    def new_token(self) -> str:
        """A token for dcb-service."""
        token = secrets.token_urlsafe(16)
        self._tokens[token] = self.clock.now() + timedelta(seconds=self.settings.token_s)
        return token

    def knows_token(self, token: str) -> bool:
        """Whether a token was given and is still good."""
        until = self._tokens.get(token)
        return until is not None and self.clock.now() < until
