"""What becomes of a webhook of Alma's: checked, and kept as a hint.

Of a message only Alma's ids and its event code are kept, and only for requests of ours; the next run of
`dcb_status_sync` looks itself. So a lost, late or doubled message does no harm.
"""

import logging
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from airflow.sdk.exceptions import AirflowNotFoundException

from alma_airflow.hooks import dcb as dcb_hooks
from alma_airflow.hooks.alma import AlmaHook
from alma_airflow.hooks.store import store_url
from alma_etl.alma.webhooks import SIGNATURE_HEADER, Event, challenge_answer, event, is_authentic
from alma_etl.dcb.settings import NoDcbSettings
from alma_etl.dcb.store import DcbStore, Hint
from alma_etl.errors import InputProblem
from alma_etl.store.db import StoreUnavailable

_log = logging.getLogger(__name__)
_REMEMBERED = 60.0  # seconds; a changed secret or settings file counts after that
_ID = re.compile(r"[A-Za-z0-9_.:-]{1,100}")
_EVENT = re.compile(r"[A-Z][A-Z0-9_]{0,59}")


@dataclass(frozen=True)
class _Listener:
    """``codes``: the system and the others that are the same Alma, which signs with one secret."""

    codes: tuple[str, ...]
    secret: str = field(repr=False)


class _Listeners:
    """Every system that may send, remembered for a while: anybody may ask, for any word."""

    def __init__(self) -> None:
        self._known: dict[str, _Listener] = {}
        self._since: float | None = None

    def of(self, system: str) -> _Listener | None:
        """None for a system that is not in the settings, or has no secret."""
        if self._since is None or time.monotonic() - self._since >= _REMEMBERED:
            self._known, self._since = _look_up(), time.monotonic()
        return self._known.get(system)

    def forget(self) -> None:
        """Look again next time."""
        self._since = None


listeners = _Listeners()


def answer_challenge(system: str, challenge: str) -> tuple[int, str]:
    """The HTTP status and the text for Alma's question whether a system of ``config/dcb.yaml`` is listened to.

    Only one whose connection has a ``webhook_secret`` is: the messages of any other would all be refused.
    """
    try:
        known = listeners.of(system) is not None
    except (StoreUnavailable, InputProblem) as problem:
        _log.warning("A challenge of %s could not be answered: %s", system, problem)
        return 503, "not now"
    return (200, challenge_answer(challenge).decode()) if known else (404, "Not Found")


def take_message(system: str, headers: Mapping[str, str], body: bytes) -> tuple[int, str]:
    """The HTTP status and a word for what a system of ``config/dcb.yaml`` sent. Header names in lower case."""
    signature = headers.get(SIGNATURE_HEADER.lower())
    try:
        listener = listeners.of(system)
        # One answer for an unknown system, one without a secret and a wrong signature: nothing to find out here.
        if listener is None or not is_authentic(body, signature, listener.secret):
            return 401, "not signed"
        try:
            received = event(body)
        except ValueError:
            return 400, "no event"
        _keep(listener.codes, received)
    except (StoreUnavailable, InputProblem) as problem:
        _log.warning("A webhook of %s could not be taken: %s", system, problem)
        return 503, "not now"
    return 200, "taken"


def _look_up() -> dict[str, _Listener]:
    codes: dict[str, list[str]] = {}
    try:
        systems = dcb_hooks.dcb_settings().systems
    except NoDcbSettings:  # DCB is not used here: anybody may ask, and nobody may send
        return {}
    for code, each in systems.items():
        if each.alma_conn_id is not None:
            codes.setdefault(each.alma_conn_id, []).append(code)
    found = {}
    for conn_id, together in codes.items():
        try:
            secret = AlmaHook(conn_id).webhook_secret()
        except (AirflowNotFoundException, InputProblem) as problem:
            _log.warning("Webhooks of %s cannot be taken: %s", ", ".join(together), problem)
            continue
        if secret:
            found |= {code: _Listener(tuple(together), secret) for code in together}
    return found


def _keep(codes: tuple[str, ...], received: Event) -> None:
    item = received.payload.get("item_data")
    pid = received.payload.get("item_id") or (item.get("pid") if isinstance(item, dict) else None)
    request_id, item_pid = _id(received.payload.get("request_id")), _id(pid)
    if not _ID.fullmatch(received.id) or not _EVENT.fullmatch(received.event) or not (request_id or item_pid):
        return
    with DcbStore(store_url()) as store:
        for code in codes:
            if store.is_ours(code, request_id=request_id, item_pid=item_pid):
                hint = Hint(f"{code}:{received.id}", code, received.event, request_id, item_pid)
                store.keep_hint(hint, dcb_hooks.now())


def _id(value: object) -> str | None:
    if isinstance(value, dict):
        value = value.get("value")
    return value if isinstance(value, str) and _ID.fullmatch(value) else None
