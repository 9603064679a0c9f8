"""The limiter's budget as one row of the state store, in PostgreSQL or SQLite.

Each exchange is a single statement that commits by itself: on PostgreSQL a process that is stopped or cut off at any
point holds no lock. (SQLite's statements run in the process itself: one that is stopped amid one, not killed, keeps
the file locked until it goes on, and the others end with `LimiterUnavailable` when that takes longer than their
retries.) It first locks the row, then reads the clock, so that waiting for the lock skews nothing.
The rules are those of `alma_etl.remote.limiter_budget`.
"""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any, cast

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Double,
    Engine,
    Executable,
    Table,
    and_,
    bindparam,
    case,
    inspect,
    not_,
    or_,
    select,
    update,
)
from sqlalchemy import exc as errors
from sqlalchemy.dialects.postgresql import insert
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from alma_etl.remote import limiter_budget as rules
from alma_etl.remote.limiter import LimiterUnavailable, PacedLimiter
from alma_etl.remote.limiter_budget import BudgetState
from alma_etl.store.db import (
    first_line,
    greatest,
    least,
    open_quick_engine,
    parse_url,
    place,
    server_now,
    whole,
)
from alma_etl.store.models import ApiBudget

RETRY_SECONDS = 15.0
"""Seconds in which a store that fails over or restarts may answer again before the run ends."""


class SqlLimiter(PacedLimiter):
    """The limiter of all processes that use the state store at `url`; `budget` names the row."""

    def __init__(self, url: str, budget: str, requests_per_second: float) -> None:
        super().__init__(SqlBudget(url, budget), requests_per_second)


class Statements:
    """The exchanges as SQL, with bind parameters named like the arguments of `Budget`; `now` reads the clock."""

    def __init__(self, now: ColumnElement[float]) -> None:
        table = cast(Table, ApiBudget.__table__)
        names = [field.name for field in fields(BudgetState)]
        answer = [table.c[name] for name in names]
        locked = select(table).where(table.c.name == bindparam("budget")).with_for_update().cte("locked")
        # Read once, when the row is locked: PostgreSQL computes a volatile CTE by itself.
        timed = select(locked, now.label("now")).cte("timed")
        row = timed.c

        def change(**values: Any) -> Executable:
            return update(table).where(table.c.name == row.name).values(touched | values).returning(*answer)

        today = whole(row.now / rules.DAY)
        same_day = row.day == today
        moved_slot = row.next_slot + least(0.0, row.now - row.clock)
        granted = case((same_day, row.granted), else_=0)
        refused = case((same_day, row.refused), else_=0)
        touched = {
            "clock": row.now,
            "next_slot": moved_slot,
            "day": today,
            "granted": granted,
            "refused": refused,
        }

        speed = least(1.0, row.speed + rules.RECOVERY * greatest(0.0, row.now - row.speed_at))
        rate = bindparam("rate", type_=Double)
        lowest = or_(rate <= row.rate, row.now - row.rate_at > rules.RATE_MEMORY)
        held = case((lowest, rate), else_=row.rate)
        step = 1.0 / (rules.PACE * held * speed)
        wanted = bindparam("wanted", type_=BigInteger)
        midnight = today * rules.DAY
        of_today = and_(row.calls_left_at >= midnight, row.calls_left_at < midnight + rules.DAY)
        doubtful = and_(row.calls_left_at < midnight + rules.SETTLING, row.now >= midnight + rules.SETTLING)
        left = case((and_(of_today, not_(doubtful)), row.calls_left))
        room = left - bindparam("floor", type_=BigInteger)
        count = case(
            (row.closed_until > row.now, 0), (left.is_(None), wanted), (room <= 0, 0), (room < wanted, room),
            else_=wanted,
        )  # fmt: skip
        self.take = change(
            next_slot=greatest(moved_slot, row.now) + count * step,
            step=step,
            rate=held,
            rate_at=case((lowest, row.now), else_=row.rate_at),
            granted=granted + count,
            calls_left=case((left.is_(None), row.calls_left), else_=left - count),
            handed=count,
        )

        known = and_(row.speed_at - rules.PAUSE <= row.now, row.now < row.speed_at + rules.SAME_REFUSAL)
        pause_ends = row.now + rules.PAUSE
        self.slow_down = change(
            refused=refused + 1,
            next_slot=case((known, moved_slot), else_=pause_ends),
            speed=case((known, row.speed), else_=greatest(rules.SLOWEST, rules.SLOWER * speed)),
            speed_at=case((known, row.speed_at), else_=pause_ends),
            generation=case((known, row.generation), else_=row.generation + 1),
        )
        self.shut = change(
            closed_until=bindparam("until", type_=Double),
            closed_reason=bindparam("reason"),
            generation=row.generation + 1,
        )
        said, number = bindparam("calls_left", type_=BigInteger), bindparam("number", type_=BigInteger)
        day = bindparam("of_day", type_=BigInteger)
        later = case((or_(number.is_(None), granted < number), 0), else_=granted - number)
        lowest_left = case((said < later, 0), else_=said - later)
        other_day = and_(day.is_not(None), day != today)
        self.note_calls_left = change(
            calls_left=case(
                (other_day, row.calls_left),
                (or_(left.is_(None), left < lowest_left), lowest_left),
                (left > said, said),
                else_=left,
            ),
            calls_left_at=case((other_day, row.calls_left_at), else_=row.now),
        )
        others = [table.c[name] for name in names if name != "clock"]
        self.look = select(now.label("clock"), *others).where(table.c.name == bindparam("budget"))
        # PostgreSQL's words for it are SQLite's as well.
        self.make = (
            insert(table).values(name=bindparam("budget"), **asdict(BudgetState())).on_conflict_do_nothing()
        )


_STATEMENTS = Statements(server_now())


class SqlBudget:
    """A `Budget` in the table `api_budget`. It opens one connection, when it is first asked."""

    def __init__(self, url: str, name: str, statements: Statements = _STATEMENTS) -> None:
        self._url = parse_url(url)
        self._name = name
        self._sql = statements
        self._engine: Engine | None = None

    def take(self, wanted: int, rate: float, floor: int = 0) -> BudgetState:
        return self._ask(self._sql.take, wanted=wanted, rate=rate, floor=floor)

    def look(self) -> BudgetState:
        return self._ask(self._sql.look)

    def slow_down(self) -> BudgetState:
        return self._ask(self._sql.slow_down)

    def shut(self, until: float, reason: str) -> BudgetState:
        return self._ask(self._sql.shut, until=until, reason=reason)

    def note_calls_left(
        self, calls_left: int, day: int | None = None, number: int | None = None
    ) -> BudgetState:
        return self._ask(self._sql.note_calls_left, calls_left=calls_left, of_day=day, number=number)

    def forget_connections(self) -> None:
        if self._engine is not None:
            self._engine.dispose(close=False)  # the parent goes on using what is open
            self._engine = None

    def close(self) -> None:
        """Close the connection; it opens again when it is needed."""
        if self._engine is not None:
            self._engine.dispose()

    def _ask(self, statement: Executable, **values: Any) -> BudgetState:
        retrying = Retrying(
            retry=retry_if_exception_type((errors.OperationalError, errors.InterfaceError)),
            stop=stop_after_delay(RETRY_SECONDS),
            wait=wait_random_exponential(0.1, max=2),
            reraise=True,
        )
        try:
            return retrying(self._ask_once, statement, values)
        except errors.NoSuchTableError:
            advice = "it has not been set up: run `python -m alma_etl.store upgrade` with its address"
        except errors.ProgrammingError as problem:  # a column that this version knows is not there
            advice = (
                f"{first_line(problem, self._url)}: run `python -m alma_etl.store upgrade` with its address"
            )
        except errors.SQLAlchemyError as problem:
            advice = f"{first_line(problem, self._url)}. Check that it runs, and the connection alma_etl_db"
        raise LimiterUnavailable(f"The rate limiter cannot use {place(self._url)}: {advice}.")

    def _ask_once(self, statement: Executable, values: dict[str, Any]) -> BudgetState:
        values = values | {"budget": self._name}
        with self._connect() as connection:
            row = connection.execute(statement, values).one_or_none()
            if row is None:
                connection.execute(self._sql.make, {"budget": self._name})
                row = connection.execute(statement, values).one()
            return BudgetState(**row._mapping)

    def _connect(self) -> Connection:
        if self._engine is None:
            engine = open_quick_engine(self._url)
            if not inspect(engine).has_table(ApiBudget.__tablename__):
                raise errors.NoSuchTableError(ApiBudget.__tablename__)
            self._engine = engine
        return self._engine.connect()
