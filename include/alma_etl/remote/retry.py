"""How often one call is tried, and how long the pauses between are."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception

from alma_etl.remote.errors import RemoteThrottled, RemoteTransient

T = TypeVar("T")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RetryPolicy:
    """A call is tried `attempts` times; the pauses double from `backoff` seconds up to `longest`, with jitter.

    A refusal for the rate costs nothing and passes by itself: it is met with `backoff` alone, `refusals` times."""

    attempts: int
    backoff: float
    longest: float
    refusals: int

    def run(
        self,
        attempt: Callable[[], T],
        may_repeat: Callable[[RemoteTransient], bool],
        sleep: Callable[[float], None],
    ) -> T:
        """Return what `attempt` returns. Raises its last error when it is no RemoteTransient, must not be repeated by
        `may_repeat`, or the attempts are used up."""
        course = _Course(self)
        retrying = Retrying(
            stop=course.stop,
            wait=course.wait,
            retry=retry_if_exception(lambda error: isinstance(error, RemoteTransient) and may_repeat(error)),
            before_sleep=_log_pause,
            sleep=sleep,
            reraise=True,
        )
        result: T = retrying(attempt)
        return result


class _Course:
    """One call under a policy: its failures so far."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._failed = 0
        self._refused = 0

    def stop(self, state: RetryCallState) -> bool:
        if _is_refusal(state):
            self._refused += 1
        else:
            self._failed += 1
        return self._failed >= self._policy.attempts or self._refused >= self._policy.refusals

    def wait(self, state: RetryCallState) -> float:
        policy = self._policy
        doubled = policy.backoff if _is_refusal(state) else policy.backoff * 2.0**self._failed
        ceiling = min(doubled, policy.longest)
        return random.uniform(ceiling / 2, ceiling)  # noqa: S311  jitter, not a secret


def _is_refusal(state: RetryCallState) -> bool:
    return state.outcome is not None and isinstance(state.outcome.exception(), RemoteThrottled)


def _log_pause(state: RetryCallState) -> None:
    pause = state.next_action.sleep if state.next_action else 0
    _log.warning("%s; again in %.1f s", state.outcome.exception() if state.outcome else "", pause)
