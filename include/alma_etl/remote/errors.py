"""What can go wrong with a call to a remote service, sorted by what the caller should do about it.

`RemoteRefused`   the service understood and said no: an outcome of that one record, known by its `code`.
`RemoteTransient` nobody knows, or not now: the client has already repeated what may be repeated. `RemoteStop`
no further call makes sense: the run ends with this sentence, it is never one record's outcome.

Every error names the call (method and path, never a query and never the key) and the service's tracking id where
it gives one, which is what Ex Libris support asks for. All of them can be pickled, since workers hand them around.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class RemoteError(Exception):
    """One failed call: `call` ("GET /bibs/99..."), HTTP `status` (None without an answer), the service's `code` (""
    if there was none), a `message` that is a sentence, and the `tracking_id` ("" if the answer had none).

    `effect_unknown` is true when the call would have changed something and may have done so: the caller has
    to look before it repeats (see `safe_write`).
    """

    def __init__(
        self,
        call: str,
        status: int | None,
        code: str,
        message: str,
        tracking_id: str = "",
        effect_unknown: bool = False,
    ) -> None:
        super().__init__(call, status, code, message, tracking_id, effect_unknown)
        self.call = call
        self.status = status
        self.code = code
        self.message = message
        self.tracking_id = tracking_id
        self.effect_unknown = effect_unknown

    def __str__(self) -> str:
        facts = [f"HTTP {self.status}" if self.status else "", self.code]
        facts.append(f"tracking id {self.tracking_id}" if self.tracking_id else "no tracking id")
        return f"{self.call}: {self.message} [{', '.join(fact for fact in facts if fact)}]"


class RemoteRefused(RemoteError):
    """An application error, nearly always HTTP 400: branch on `code`, never on the message."""


class RemoteTransient(RemoteError):
    """The call got no usable answer although it was repeated as far as that is safe."""


class RemoteTimeout(RemoteTransient):
    """The whole answer was not there in time."""


class RemoteConnectionError(RemoteTransient):
    """No connection, or it broke before the answer started."""


class RemoteNoConnectionError(RemoteConnectionError):
    """No connection could be made, so that nothing was sent."""


class RemoteServerError(RemoteTransient):
    """HTTP 5xx."""


class RemoteMalformed(RemoteTransient):
    """Something else than the answer: HTML, a truncated or unreadable body, more bytes than allowed."""


class RemoteShortList(RemoteMalformed):
    """A list that counts more rows (`counted`) than it names (`named`), however often it was read: of anything
    that it does not name it proves nothing."""

    def __init__(
        self,
        call: str,
        status: int | None,
        code: str,
        message: str,
        tracking_id: str = "",
        effect_unknown: bool = False,
        named: Sequence[Any] = (),
        counted: int = 0,
    ) -> None:
        super().__init__(call, status, code, message, tracking_id, effect_unknown)
        self.named = list(named)
        self.counted = counted


class RemoteThrottled(RemoteTransient):
    """Refused for the per-second threshold again and again. Such a refusal comes before any effect."""


class RemoteStop(RemoteError):
    """No further call makes sense; raised through everything up to the end of the run."""


class RemoteUnauthorized(RemoteStop):
    """The key is unknown, or not allowed to use this area of the API."""


class RemoteForbidden(RemoteStop):
    """The gateway refuses this key or this address."""


class RemoteReadOnly(RemoteStop):
    """The connection is read-only and the call would have written; nothing was sent."""


class RemoteUnreachable(RemoteStop):
    """Many calls in a row, or the very first, got no answer at all."""


class BudgetUnknown(RemoteStop):
    """The store of the shared rate limiter does not answer: nobody knows whether a request may be sent."""
