"""What one pretend consortium knows."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from alma_sandbox.consortium.settings import ConsortiumSettings
from alma_sandbox.consortium.transactions import Transactions
from alma_sandbox.gateway.faults import Faults
from alma_sandbox.gateway.log import Log
from alma_sandbox.state.clock import Clock


@dataclass
class PatronRequest:
    """A request as dcb-service shows it. ``next_status`` is what it will find when it looks."""

    id: str
    status: str
    next_status: str = ""
    updates: int = 0


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

    def new_token(self) -> str:
        """A token for dcb-service."""
        token = secrets.token_urlsafe(16)
        self._tokens[token] = self.clock.now() + timedelta(seconds=self.settings.token_s)
        return token

    def knows_token(self, token: str) -> bool:
        """Whether a token was given and is still good."""
        until = self._tokens.get(token)
        return until is not None and self.clock.now() < until
