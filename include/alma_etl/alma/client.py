"""The client: one budget, one pool of connections, one policy for everything that goes wrong.

* before each request sent (repeats and redirects too): the read-only switch, the shared limiter and the quota
  floor, by the smaller of what Alma said to this client and to all
* a per-second refusal comes before any effect: everybody slows, and any call is repeated
* 5xx, HTML, broken answers, timeouts: calls that only read are repeated with jitter; a call that writes is
  not, its error is marked `effect_unknown` and the caller looks before it repeats (`safe_write`)
* the daily threshold closes the limiter for all workers until it is over
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime
from typing import TypeVar
from urllib.parse import urlsplit

from alma_etl.alma.bibs import Bibs
from alma_etl.alma.call import Call
from alma_etl.alma.conf import Conf, Probe
from alma_etl.alma.errors import AlmaDailyThreshold, AlmaQuotaFloor
from alma_etl.alma.funds import Funds
from alma_etl.alma.holdings import Holdings
from alma_etl.alma.items import Items
from alma_etl.alma.jobs import Jobs
from alma_etl.alma.loans import Loans
from alma_etl.alma.po_lines import PoLines
from alma_etl.alma.reply import Reply, failure, read_or_malformed
from alma_etl.alma.sets import Sets
from alma_etl.alma.user_requests import UserRequests
from alma_etl.alma.users import Users
from alma_etl.alma.vendors import Vendors
from alma_etl.counted import verb
from alma_etl.remote.auth import ApiKey
from alma_etl.remote.errors import (
    RemoteConnectionError,
    RemoteError,
    RemoteMalformed,
    RemoteReadOnly,
    RemoteThrottled,
    RemoteTimeout,
)
from alma_etl.remote.exchange import Exchange, HttpRequest
from alma_etl.remote.limiter import Limiter, LimiterAtFloor, LimiterClosed, LimiterUnavailable, Permit
from alma_etl.remote.meter import CallMeter
from alma_etl.remote.parallel import in_parallel
from alma_etl.remote.retry import RetryPolicy
from alma_etl.remote.throttle import Silence, Throttle

T = TypeVar("T")
X = TypeVar("X")
Y = TypeVar("Y")

_log = logging.getLogger(__name__)
_API = "/almaws/v1"
_LONGEST_PAUSE = 30.0  # seconds between two attempts
_MAX_HOPS = 3
_REDIRECTS = (301, 302, 303, 307, 308)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class AlmaClient:
    """Alma's REST API through one key. Safe to use from many threads; close it when done (or use `with`).

    `base_url`: the gateway. `limiter`: the institution's budget. `max_in_flight`: requests under way at once.
    `timeout`: seconds from sending to the last byte; `connect_timeout`: for the connection alone.
    `quota_floor` / `quota_floor_writes`: reading / writing stops when no more calls than this are left for
    today. `read_only`: refuse to write. `attempts`: how often a call that may be repeated is tried;
    `backoff`: seconds of the first pause, which doubles. `max_body`: bytes of one answer. `meter`: counts
    what is sent and refused. `sleep`, `now`: for tests. Raises ValueError for a URL or key that cannot work.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        limiter: Limiter,
        max_in_flight: int = 24,
        timeout: float = 90,
        connect_timeout: float = 10,
        quota_floor: int = 5000,
        quota_floor_writes: int = 1000,
        read_only: bool = False,
        attempts: int = 5,
        backoff: float = 1.0,
        max_body: int = 50_000_000,
        meter: CallMeter | None = None,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        if max_in_flight < 1 or attempts < 1:
            raise ValueError("The Alma connection needs at least one request in flight and one attempt.")
        self._key = ApiKey(_checked_key(api_key), "apikey ")
        self._exchange = Exchange(
            _checked_url(base_url),
            self._key,
            connections=max_in_flight,
            connect_timeout=connect_timeout,
            max_body=max_body,
            meter=meter,
        )
        self._limiter = limiter
        self._throttle = Throttle(limiter, max_in_flight)
        self._timeout = timeout
        self._floors = {False: quota_floor, True: quota_floor_writes}
        self._read_only = read_only
        self._attempts = attempts
        self._backoff = backoff
        self._sleep = sleep
        self._now = now
        self._left: tuple[int, datetime] | None = None
        self._silence = Silence(
            f"Alma at {self._exchange.base_url}",
            "check the host of the connection, the network, and Ex Libris' status page",
        )
        self.bibs = Bibs(self)
        self.holdings = Holdings(self)
        self.items = Items(self)
        self.requests = UserRequests(self)
        self.loans = Loans(self)
        self.users = Users(self)
        self.sets = Sets(self)
        self.jobs = Jobs(self)
        self.po_lines = PoLines(self)
        self.funds = Funds(self)
        self.vendors = Vendors(self)
        self.conf = Conf(self)
        self.test = Probe(self)

    def __repr__(self) -> str:
        return f"AlmaClient({self._exchange.base_url!r})"

    def __enter__(self) -> AlmaClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; the client cannot be used afterwards."""
        self._exchange.close()

    @property
    def host(self) -> str:
        """The gateway, with its port where it has one of its own."""
        return self._exchange.host

    @property
    def calls_made(self) -> int:
        """Requests sent by this client, as Alma counts them."""
        return self._exchange.sent

    @property
    def calls_left(self) -> int | None:
        """What Alma's last answer of today said is left for the institution; None before the first."""
        left = self._left
        return left[0] if left and left[1].date() == self._now().date() else None

    def pause(self, seconds: float) -> None:
        """Wait, as this client does between two attempts."""
        self._sleep(seconds)

    def today(self) -> date:
        """The date in UTC by this client's clock."""
        return self._now().date()

    def in_parallel(self, function: Callable[[X], Y], items: Iterable[X]) -> Iterator[tuple[X, Y]]:
        """Apply `function` to each item, at most `max_in_flight` at once, and yield (item, result) as
        completed.

        Items are taken from `items` only as they are needed. When `function` raises, nothing further is
        started, what was under way is finished and yielded, then the first exception is raised."""
        return in_parallel(function, items, self._throttle.max_in_flight)

    def call(
        self,
        call: Call,
        read: Callable[[Reply], T],
        *,
        attempts: int | None = None,
        timeout: float | None = None,
    ) -> T:
        """Make one call by the policy above and return what `read` makes of its answer.

        Raises RemoteRefused, RemoteTransient (retries used up, or a write whose effect is unknown) or RemoteStop.
        """
        if self._read_only and call.writes:
            raise RemoteReadOnly(
                call.name,
                None,
                "",
                "this Alma connection is read-only, nothing was sent; use one that may write",
            )
        try:
            return self._retry_policy(attempts).run(
                lambda: self._once(call, read, timeout or self._timeout),
                lambda error: call.repeatable or not call.writes or not error.effect_unknown,
                self._sleep,
            )
        except (RemoteTimeout, RemoteConnectionError) as error:
            raise self._silence.goes_on(error, first_counts=attempts is None) from None

    def _retry_policy(self, wished: int | None) -> RetryPolicy:
        # while Alma is silent one try a call is enough to learn that it is back
        attempts = 1 if self._silence.is_long else (wished or self._attempts)
        return RetryPolicy(attempts, self._backoff, _LONGEST_PAUSE, refusals=4 * attempts)

    def _once(self, call: Call, read: Callable[[Reply], T], timeout: float) -> T:
        url = self._exchange.base_url + call.path
        for hop in range(_MAX_HOPS + 1):
            reply = self._send(call, url, first=hop == 0, timeout=timeout)
            target = self._target(call, url, reply)
            if target is None:
                break
            url = target
        error = failure(call, reply, self._now(), self._key.scrub)
        if error is None or (reply.status in _REDIRECTS and not call.follow):
            return read_or_malformed(call, reply, read)
        self._warn_others(error)
        raise error

    def _warn_others(self, error: RemoteError) -> None:
        if isinstance(error, RemoteThrottled):
            self._throttle.slow_down()
        try:
            if isinstance(error, AlmaDailyThreshold) and error.resume_at:
                self._limiter.close(error.resume_at, error.message)
        except LimiterUnavailable as problem:  # the next call will stop at it; this one has its own error
            _log.warning("%s", problem)

    def _send(self, call: Call, url: str, *, first: bool, timeout: float) -> Reply:
        with self._throttle.slot():
            permit = self._permit(call)
            answer = self._exchange.send(_request(call, url, with_params=first), timeout=timeout)
            reply = Reply(answer.status, answer.headers, answer.body)
        self._silence.broken()
        if reply.calls_left is not None:
            self._left = (reply.calls_left, self._now())
            self._limiter.note_remaining(reply.calls_left, permit)
        return reply

    def _permit(self, call: Call) -> Permit | None:
        floor = self._floors[call.writes]
        self._keep_floor(call, floor)
        try:
            permit = self._throttle.acquire(call.name, floor)
        except LimiterAtFloor as low:
            raise _at_floor(call, low.calls_left, floor) from None
        except LimiterClosed as closed:
            raise AlmaDailyThreshold(
                call.name, None, "", f"no call was made: {closed.reason}", "", False, closed.until
            ) from None
        self._keep_floor(call, floor)  # by the answers that came while it waited
        return permit

    def _target(self, call: Call, url: str, reply: Reply) -> str | None:
        """Where to go on, None when the reply is no redirect. Only reading calls are redirected, only within
        Alma."""
        if reply.status not in _REDIRECTS or call.writes or not call.follow:
            return None
        target = self._exchange.redirected(url, reply.headers.get("Location", ""))
        if target is None:
            words = "redirected to nowhere or to another host, which was not followed"
            raise RemoteMalformed(call.name, reply.status, "", words, reply.request_id)
        return target

    def _keep_floor(self, call: Call, floor: int) -> None:
        left = self.calls_left
        if left is not None and left <= floor:
            raise _at_floor(call, left, floor)


def _at_floor(call: Call, left: int, floor: int) -> AlmaQuotaFloor:
    return AlmaQuotaFloor(
        call.name,
        None,
        "",
        f"Alma has {left} {verb(left, 'call', 'calls')} left for today and {floor} are kept for the library's "
        f"other work; "
        "run again after midnight UTC or lower the quota floor of the connection",
    )


def _request(call: Call, url: str, *, with_params: bool) -> HttpRequest:
    headers = {"Accept": call.accept} | ({"Content-Type": call.content_type} if call.writes else {})
    params = call.params if with_params else None
    return HttpRequest(call.method, url, call.name, call.writes, params, call.body, headers)


def _checked_url(base_url: str) -> str:
    """The base URL of all calls, from the gateway's with or without /almaws/v1."""
    parts = urlsplit(base_url.strip())
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or parts.query
        or parts.fragment
        or parts.username
    ):
        raise ValueError(
            "The Alma connection needs the gateway's URL as its host, for example https://api-na.hosted.exlibrisgroup.com"
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/').removesuffix(_API)}{_API}"


def _checked_key(api_key: str) -> str:
    key = api_key.strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        # requests would put a header that it cannot send into its exception
        raise ValueError(
            "The Alma connection needs an API key as its password: printable characters without spaces."
        )
    return key
