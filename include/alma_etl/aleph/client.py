"""The client of Aleph's X-Server: update-item, read-item and create-item, each a form sent by POST to `/X`.

* `con_lng=ENG` and `translate=N` are always sent, so that the texts are those we know and the values are codes
* a session is used again; refused, it is dropped and user and password are sent once; refused again, the run ends
* the texts of the answer decide (`reply.py`); an answer that says nothing clear about a write is not known to be done
* HTML, and anything else that is not the service's XML, is a passing fault, like HTTP 5xx; but a refusal of this
  host's address ends the run
* nothing of a form (password, session, XML) is in any error or log
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import NoReturn, Self, TypeVar
from urllib.parse import urlencode, urlsplit

from alma_etl.aleph.reply import LOGIN, Meaning, XReply, is_forbidden_page, read_reply
from alma_etl.aleph.z30 import MAX_BYTES, AlephItem, ItemKey, record_xml
from alma_etl.counted import counted
from alma_etl.remote.answers import Answer, ask
from alma_etl.remote.errors import (
    RemoteConnectionError,
    RemoteError,
    RemoteForbidden,
    RemoteMalformed,
    RemoteRefused,
    RemoteStop,
    RemoteTimeout,
    RemoteTransient,
    RemoteUnauthorized,
)
from alma_etl.remote.exchange import HttpReply, HttpRequest
from alma_etl.remote.limiter import Limiter
from alma_etl.remote.meter import CallMeter
from alma_etl.remote.parallel import in_parallel
from alma_etl.remote.retry import RetryPolicy
from alma_etl.remote.service import FORM, HttpAccess, HttpService
from alma_etl.remote.throttle import Silence, Throttle

X = TypeVar("X")
Y = TypeVar("Y")

_log = logging.getLogger(__name__)

UPDATE, READ, CREATE = "update-item", "read-item", "create-item"
OP_STYLES = ("update-item", "update_item")
BARCODE_PARAMETERS = ("item_barcode", "barcode")

NOT_FOUND = "NOT_FOUND"  # codes of RemoteRefused, ours: Aleph has none
REFUSED = "REFUSED"
TOO_LONG = "TOO_LONG"  # nothing was sent, as with the next
BAD_RECORD = "BAD_RECORD"

_ADDRESS = (
    "a web server before Aleph refuses this host (403 Forbidden): ask the Aleph administrator to allow the address of "
    "this host for the X-Server"
)


class AlephUnclear(RemoteMalformed):
    """An answer that does not say whether the item was written: a refusal beside a success, no text at all, or the item
    of another key. Reading the item decides."""


@dataclass(frozen=True)
class AlephAccess:
    """`url`: the address of the X-Server, with or without `/X`. `library`: the administrative library. Without `user`
    Aleph takes its own default user. `op_style`: how operations are spelled, as one of `OP_STYLES`.
    `barcode_parameter`: of `BARCODE_PARAMETERS`, by which read-item takes a barcode. Raises ValueError."""

    url: str
    library: str
    user: str = ""
    password: str = field(default="", repr=False)
    op_style: str = OP_STYLES[0]
    barcode_parameter: str = BARCODE_PARAMETERS[0]
    timeout: float = 30

    def __post_init__(self) -> None:
        if not 1 <= len(self.library) <= 5 or not self.library.isascii() or not self.library.isalnum():
            raise ValueError(
                f"the library {self.library!r} is not the code of an administrative library, such as USM50: "
                "at most 5 letters and digits"
            )
        if self.op_style not in OP_STYLES:
            raise ValueError(f"op_style must be one of {', '.join(OP_STYLES)}")
        if self.barcode_parameter not in BARCODE_PARAMETERS:
            raise ValueError(f"read_item_barcode_param must be one of {', '.join(BARCODE_PARAMETERS)}")
        parts = urlsplit(self.url.strip())
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise ValueError("the host must be the X-Server's address, such as https://aleph.example.org")
        base = self.url.strip().rstrip("/").removesuffix("/X")
        object.__setattr__(self, "url", base)


@dataclass(frozen=True)
class Saved:
    """An item that was written. `item`: as the answer shows it. `texts`: what Aleph said, the success first.
    `warnings`: those of them that are no success."""

    item: AlephItem | None
    texts: tuple[str, ...]
    warnings: tuple[str, ...] = ()


class AlephClient:
    """The X-Server through one user. Safe to use from many threads; close it when done (or use `with`).

    `limiter`: the budget of the connection, which all tasks share. `max_in_flight`: requests under way at once.
    `attempts`: how often a call that may be repeated is tried; `backoff`: seconds of the first pause. `meter`:
    counts what is sent. `sleep`: for tests.
    """

    def __init__(
        self,
        access: AlephAccess,
        *,
        limiter: Limiter,
        max_in_flight: int = 4,
        attempts: int = 3,
        backoff: float = 1.0,
        meter: CallMeter | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._access = access
        self._throttle = Throttle(limiter, max_in_flight)
        self._service = _XServer(
            HttpAccess(access.url, timeout=access.timeout), attempts=1, meter=meter, throttle=self._throttle
        )
        self._attempts = attempts
        self._backoff = backoff
        self._sleep = sleep
        self._lock = threading.Lock()
        self._session = ""
        self._silence = Silence(
            f"Aleph's X-Server at {access.url}", "check the host of the connection and the network"
        )

    def __repr__(self) -> str:
        return f"AlephClient({self._access.url!r}, {self._access.library!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; the client cannot be used afterwards."""
        self._service.close()

    @property
    def host(self) -> str:
        """The X-Server's host, with its port where it has one of its own, in small letters."""
        return urlsplit(self._access.url).netloc.lower()

    @property
    def library(self) -> str:
        """The administrative library."""
        return self._access.library

    def pause(self, seconds: float) -> None:
        """Wait, as this client does between two attempts."""
        self._sleep(seconds)

    def in_parallel(self, function: Callable[[X], Y], items: Iterable[X]) -> Iterator[tuple[X, Y]]:
        """Apply `function` to each item, at most `max_in_flight` at once; see `alma_etl.remote.parallel`."""
        return in_parallel(function, items, self._throttle.max_in_flight)

    # Services

    def read_item(self, key: ItemKey) -> Answer[AlephItem]:
        """The item of this key, with codes (`translate=N`). Raises RemoteStop."""
        number, sequence = key.padded
        return self._read({"doc_number": number, "item_sequence": sequence}, lambda item: item.key == key)

    def read_item_by_barcode(self, barcode: str) -> Answer[AlephItem]:
        """The item of this barcode. Raises RemoteStop."""
        form = {self._access.barcode_parameter: barcode}
        return self._read(form, lambda item: item.barcode.casefold() == barcode.strip().casefold())

    def update_item(self, key: ItemKey, values: Mapping[str, str]) -> Saved:
        """Write these fields of an item, "" clears; all others stay. Sent once, unless Aleph says that it failed.

        Raises RemoteRefused (by code: NOT_FOUND, REFUSED, TOO_LONG, BAD_RECORD), RemoteTransient, whose
        `effect_unknown` says whether it may be written, and RemoteStop.
        """
        form = {"library": self._access.library, "xml_full_req": self._record(UPDATE, key, values)}
        return self._ask(UPDATE, form, partial(_saved, key=key), writes=True)

    def create_item(
        self,
        values: Mapping[str, str],
        *,
        adm_doc_number: str = "",
        bib_library: str = "",
        bib_doc_number: str = "",
    ) -> Saved:
        """Make an item of the administrative record, or of the one that Aleph makes for the bibliographic record. Sent
        once; raises as `update_item`. See `writes.create_item`, which looks for it first."""
        form = {"library": self._access.library, "adm_library": self._access.library}
        if adm_doc_number:
            form["adm_doc_number"] = adm_doc_number.zfill(9)
        else:
            form |= {"bib_library": bib_library, "bib_doc_number": bib_doc_number.zfill(9)}
        form["xml_full_req"] = self._record(CREATE, None, values)
        return self._ask(CREATE, form, partial(_saved, key=None), writes=True)

    def say(self) -> str:
        """Ask for an item that cannot be there, and return what Aleph says of it: for a connection's Test button.

        Raises RemoteError when it does not answer as an Aleph whose user may read items of the library.
        """
        form = {"library": self._access.library, "doc_number": "999999999", "item_sequence": "999990"}
        try:
            self._ask(READ, form, _item_of, writes=False)
        except RemoteRefused as refused:
            return refused.message
        return ""

    # One call

    def _read(self, named: Mapping[str, str], is_it: Callable[[AlephItem], bool]) -> Answer[AlephItem]:
        def item_of(reply: XReply, name: str) -> AlephItem:
            item = _item_of(reply, name)
            if not is_it(item):
                raise AlephUnclear(name, 200, "", f"the answer is about another item, {item.key}")
            return item

        form = {"library": self._access.library, **named}
        return ask(lambda: self._ask(READ, form, item_of, writes=False), frozenset({NOT_FOUND}))

    def _record(self, service: str, key: ItemKey | None, values: Mapping[str, str]) -> str:
        name = f"POST /X {service}"
        try:
            document = record_xml(service, key, values)
        except ValueError as error:
            words = f"the record cannot be written as XML ({error}); nothing was sent"
            raise RemoteRefused(name, None, BAD_RECORD, words) from None
        if len(document) > MAX_BYTES:
            words = f"the record has {counted(len(document), 'byte')}, Aleph takes {MAX_BYTES:,}; nothing was sent"
            raise RemoteRefused(name, None, TOO_LONG, words)
        return document.decode()

    def _ask(
        self, service: str, form: Mapping[str, str], read: Callable[[XReply, str], Y], *, writes: bool
    ) -> Y:
        attempts = 1 if self._silence.is_long else self._attempts
        policy = RetryPolicy(attempts, self._backoff, longest=30, refusals=4 * attempts)
        name = f"POST /X {service}"

        def attempt() -> Y:
            reply = self._signed_in(service, form, name, writes=writes)
            self._silence.broken()
            return read(reply, name)

        try:
            return policy.run(attempt, lambda error: not writes or not error.effect_unknown, self._sleep)
        except (RemoteTimeout, RemoteConnectionError) as error:
            raise self._silence.goes_on(error) from None

    def _signed_in(self, service: str, form: Mapping[str, str], name: str, *, writes: bool) -> XReply:
        session = self._session
        reply = self._once(service, form, name, session, writes=writes)
        if reply.root == LOGIN and session:
            with self._lock:
                if self._session == session:
                    self._session = ""
            _log.info("Aleph does not take the session any more: signing in again")
            reply = self._once(service, form, name, "", writes=writes)
        if reply.root == LOGIN:
            said = "; ".join(reply.texts) or "no reason given"
            raise RemoteUnauthorized(
                name,
                200,
                "",
                f"Aleph refuses the user of the connection: {said}. Check login and password, and that the user has "
                f"the permission WWW-X for this service ({_PERMISSION[service]})",
            )
        if reply.session:
            with self._lock:
                self._session = self._session or reply.session
        return reply

    def _once(
        self, service: str, form: Mapping[str, str], name: str, session: str, *, writes: bool
    ) -> XReply:
        access = self._access
        op = service if access.op_style == OP_STYLES[0] else service.replace("-", "_")
        whole = {"op": op, **form, "con_lng": "ENG", "translate": "N"}
        if session:
            whole["session_id"] = session
        elif access.user:
            whole |= {"user_name": access.user, "user_password": access.password}

        def parse(body: bytes) -> XReply:
            if is_forbidden_page(200, body):
                raise RemoteForbidden(name, 200, "", _ADDRESS)
            return self._scrubbed(read_reply(body, service), session)

        return self._service.call(
            "POST", "/X", parse, writes=writes, content=urlencode(whole).encode(), content_type=FORM,
            accept="text/xml", name=name,
        )  # fmt: skip

    def _scrubbed(self, reply: XReply, session: str) -> XReply:
        """The reply without the secrets of the form, in case a text repeats them."""
        password = "" if self._access.password == self._access.user else self._access.password
        texts = []
        for text in reply.texts:
            for secret in (session, reply.session, password):
                text = text.replace(secret, "***") if secret else text
            texts.append(
                text if "xml_full_req" not in text else "(the text repeats the form, it is not shown)"
            )
        return XReply(reply.root, reply.item, tuple(texts), reply.session)


_PERMISSION = {UPDATE: "UPD-ITEM", READ: "READ-ITEM", CREATE: "CREATE-ITEM"}


class _XServer(HttpService):
    """The service at `/X`, as other servers before it answer, too."""

    def failure(self, request: HttpRequest, reply: HttpReply) -> RemoteError:
        if is_forbidden_page(reply.status, reply.body):
            return RemoteForbidden(request.name, reply.status, "", _ADDRESS)
        if 300 <= reply.status < 400:
            words = "the address of the connection answers with a redirect: correct its host"
            return RemoteStop(request.name, reply.status, "", words)
        error = super().failure(request, reply)
        if isinstance(error, RemoteRefused):
            words = "Aleph's X-Server did not answer, another server did"
            return RemoteMalformed(request.name, reply.status, "", words, "", request.writes)
        return error


# What an answer says


def _item_of(reply: XReply, name: str) -> AlephItem:
    if reply.item is None:
        _refused(reply, name)
    return reply.item


def _saved(reply: XReply, name: str, *, key: ItemKey | None) -> Saved:
    done = reply.meaning(Meaning.DONE)
    against = reply.meaning(Meaning.NOT_FOUND, Meaning.STOP, Meaning.AGAIN, Meaning.REFUSED)
    others = reply.meaning(Meaning.OTHER)
    if not done and reply.texts:
        _refused(reply, name)
    if not done:
        raise AlephUnclear(name, 200, "", "Aleph answered without a word of success or failure", "", True)
    if against:
        raise AlephUnclear(name, 200, REFUSED, "; ".join(reply.texts), "", True)
    if key is not None and reply.item is not None and reply.item.key != key:
        words = f"the answer is about another item, {reply.item.key}: {'; '.join(reply.texts)}"
        raise AlephUnclear(name, 200, "", words, "", True)
    return Saved(reply.item, (*done, *others), others)


def _refused(reply: XReply, name: str) -> NoReturn:
    """Raise what an answer without a success means."""
    said = "; ".join(reply.texts)
    if not said:
        raise AlephUnclear(name, 200, "", "Aleph answered neither with an item nor with a reason")
    if reply.meaning(Meaning.STOP):
        raise RemoteStop(name, 200, "", f"Aleph takes none of these calls: {said}")
    if reply.meaning(Meaning.NOT_FOUND):
        raise RemoteRefused(name, 200, NOT_FOUND, said)
    if all(text in reply.meaning(Meaning.AGAIN) for text in reply.texts):
        raise RemoteTransient(name, 200, "", said)
    raise RemoteRefused(name, 200, REFUSED, said)
