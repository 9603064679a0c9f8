"""The limiter's budget as one hash in Redis or Valkey.

Each exchange is one run of a script inside the server, by the server's clock, so it is atomic and nothing waits.
The rules are those of `alma_etl.remote.limiter_budget`, said once more in Lua.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any
from urllib.parse import urlsplit

import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from alma_etl.remote import limiter_budget as rules
from alma_etl.remote.limiter import LimiterUnavailable, PacedLimiter
from alma_etl.remote.limiter_budget import BudgetState

ANSWER_SECONDS = 5.0
ATTEMPTS = 12  # about 15 s with the pauses between them, for a server that restarts

SCRIPT = f"""
local now = tonumber(ARGV[2])
if not now then  -- only tests bring a clock
  local time = redis.call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1000000
end
local stored = redis.call('HGETALL', KEYS[1])
local s = {{}}
for i = 1, #stored, 2 do s[stored[i]] = stored[i + 1] end
local function number(field, default) return tonumber(s[field]) or default end

local clock, next_slot, step = number('clock', 0), number('next_slot', 0), number('step', 1)
local generation, day = number('generation', 0), number('day', 0)
local granted, refused = number('granted', 0), number('refused', 0)
local rate, rate_at = number('rate', 0), number('rate_at', 0)
local speed, speed_at = number('speed', 1), number('speed_at', 0)
local closed_until, closed_reason = number('closed_until', 0), s.closed_reason or ''
local calls_left, calls_left_at = tonumber(s.calls_left), number('calls_left_at', 0)
local handed = number('handed', 0)
local speed_now = math.min(1, speed + {rules.RECOVERY} * math.max(0, now - speed_at))

local midnight = math.floor(now / {rules.DAY}) * {rules.DAY}
local settled = midnight + {rules.SETTLING}
local left = calls_left
if calls_left_at < midnight or calls_left_at >= midnight + {rules.DAY}
  or (calls_left_at < settled and now >= settled) then left = nil end

if ARGV[1] ~= 'look' then
  next_slot = next_slot + math.min(0, now - clock)
  local today = math.floor(now / {rules.DAY})
  if day ~= today then day, granted, refused = today, 0, 0 end
end
clock = now

if ARGV[1] == 'take' then
  local wanted, asked = tonumber(ARGV[3]), tonumber(ARGV[4])
  if asked <= rate or now - rate_at > {rules.RATE_MEMORY} then rate, rate_at = asked, now end
  if closed_until > now then wanted = 0 end
  if left then
    wanted = math.max(0, math.min(wanted, left - tonumber(ARGV[5])))
    calls_left = left - wanted
  end
  handed = wanted
  step = 1 / ({rules.PACE} * rate * speed_now)
  next_slot = math.max(next_slot, now) + wanted * step
  granted = granted + wanted
elseif ARGV[1] == 'slow_down' then
  refused = refused + 1
  if now < speed_at - {rules.PAUSE} or now >= speed_at + {rules.SAME_REFUSAL} then
    speed = math.max({rules.SLOWEST}, {rules.SLOWER} * speed_now)
    speed_at = now + {rules.PAUSE}
    next_slot = speed_at
    generation = generation + 1
  end
elseif ARGV[1] == 'shut' then
  closed_until, closed_reason, generation = tonumber(ARGV[3]), ARGV[4], generation + 1
elseif ARGV[1] == 'note_calls_left' then
  local said, of_day, slot = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
  if not of_day or of_day == day then
    local later = slot and math.max(0, granted - slot) or 0
    local lowest = math.max(0, said - later)
    calls_left = left and math.min(math.max(left, lowest), said) or lowest
    calls_left_at = now
  end
end

local function exact(value) return string.format('%.17g', value) end
local answer = {{
  'clock', exact(clock), 'next_slot', exact(next_slot), 'step', exact(step), 'generation', exact(generation),
  'rate', exact(rate), 'rate_at', exact(rate_at), 'speed', exact(speed), 'speed_at', exact(speed_at),
  'closed_until', exact(closed_until), 'closed_reason', closed_reason,
  'calls_left', calls_left and exact(calls_left) or '', 'calls_left_at', exact(calls_left_at),
  'day', exact(day), 'granted', exact(granted), 'refused', exact(refused), 'handed', exact(handed),
}}
if ARGV[1] ~= 'look' then redis.call('HSET', KEYS[1], unpack(answer)) end
return answer
"""


class RedisLimiter(PacedLimiter):
    """The limiter of all processes that use the Redis or Valkey at `url`; `budget` names the hash."""

    def __init__(self, url: str, budget: str, requests_per_second: float) -> None:
        super().__init__(RedisBudget(url, budget), requests_per_second)


class RedisBudget:
    """A `Budget` in the hash `alma:budget:{name}`. It connects when it is first asked."""

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self._key = f"alma:budget:{name}"
        self._connect()

    def take(self, wanted: int, rate: float, floor: int = 0) -> BudgetState:
        return self._ask("take", wanted, rate, floor)

    def look(self) -> BudgetState:
        return self._ask("look")

    def slow_down(self) -> BudgetState:
        return self._ask("slow_down")

    def shut(self, until: float, reason: str) -> BudgetState:
        return self._ask("shut", until, reason)

    def note_calls_left(
        self, calls_left: int, day: int | None = None, number: int | None = None
    ) -> BudgetState:
        return self._ask(
            "note_calls_left", calls_left, "" if day is None else day, "" if number is None else number
        )

    def forget_connections(self) -> None:
        self._connect()

    def close(self) -> None:
        """Close the connection; it opens again when it is needed."""
        self._client.close()

    def _now(self) -> str:
        return ""  # the server's

    def _connect(self) -> None:
        self._client = redis.Redis.from_url(
            self._url,
            decode_responses=True,
            socket_timeout=ANSWER_SECONDS,
            socket_connect_timeout=ANSWER_SECONDS,
            retry=Retry(ExponentialWithJitterBackoff(cap=2, base=0.1), ATTEMPTS),
        )
        self._script = self._client.register_script(SCRIPT)

    def _ask(self, operation: str, *values: str | int | float) -> BudgetState:
        try:
            answer: list[str] = self._script(keys=[self._key], args=[operation, self._now(), *values])
        except redis.RedisError as problem:
            raise LimiterUnavailable(
                f"The rate limiter cannot use {_place(self._url)}: {_words_of(problem, self._url)}. "
                "Check that it runs, and the connection limiter_default."
            ) from None
        return _state(dict(zip(answer[::2], answer[1::2], strict=True)))


_READ: dict[str, Any] = {
    "float": float,
    "int": int,
    "str": str,
    "int | None": lambda text: int(text) if text else None,
}


def _state(answer: dict[str, str]) -> BudgetState:
    return BudgetState(
        **{field.name: _READ[str(field.type)](answer[field.name]) for field in fields(BudgetState)}
    )


def _place(url: str) -> str:
    parts = urlsplit(url)
    if parts.hostname is None:
        return f"the Redis or Valkey at {parts.path}"
    return f"the Redis or Valkey at {parts.hostname}:{parts.port or 6379}"


def _words_of(problem: redis.RedisError, url: str) -> str:
    password = urlsplit(url).password
    text = str(problem).replace(password, "***") if password else str(problem)
    return text.rstrip(".")
