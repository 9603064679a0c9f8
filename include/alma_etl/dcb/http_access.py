"""How to reach a service that is no Alma: mod-dcb, dcb-service, a webhook's receiver."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class HttpAccess:
    """``url`` without a slash at its end. Either ``api_key``, or ``client_id`` and ``client_secret`` for a token from
    ``token_url``, or neither."""

    url: str
    api_key: str | None = field(default=None, repr=False)
    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    token_url: str | None = None
    timeout: float = 30
