"""The tables of the state store. Each job adds its own; a migration in `migrations/` goes with every change."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import JSON, BigInteger, CheckConstraint, DateTime, Dialect, Double, Index, MetaData, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

Json = JSON().with_variant(JSONB(), "postgresql")


class UtcTime(TypeDecorator[datetime]):
    """A time with its zone; SQLite keeps it as UTC text of fixed width, so that it sorts."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To the database; ValueError for a time without a zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a time without a zone cannot be stored: {value}")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """From the database, as UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def one_of(column: str, *words: str) -> CheckConstraint:
    """The column holds one of these words."""
    listed = ", ".join(f"'{word}'" for word in words)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


class Base(DeclarativeBase):
    """What all tables have in common."""

    # Named constraints, so that a migration can refer to them on every database.
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class ApiBudget(Base):
    """One budget of Alma calls: the fields of `BudgetState`, which explains them, under the budget's name."""

    __tablename__ = "api_budget"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    clock: Mapped[float] = mapped_column(Double)
    next_slot: Mapped[float] = mapped_column(Double)
    step: Mapped[float] = mapped_column(Double)
    generation: Mapped[int] = mapped_column(BigInteger)
    rate: Mapped[float] = mapped_column(Double)
    rate_at: Mapped[float] = mapped_column(Double)
    speed: Mapped[float] = mapped_column(Double)
    speed_at: Mapped[float] = mapped_column(Double)
    closed_until: Mapped[float] = mapped_column(Double)
    closed_reason: Mapped[str] = mapped_column(Text)
    calls_left: Mapped[int | None] = mapped_column(BigInteger)
    calls_left_at: Mapped[float] = mapped_column(Double)
    day: Mapped[int] = mapped_column(BigInteger)
    granted: Mapped[int] = mapped_column(BigInteger)
    refused: Mapped[int] = mapped_column(BigInteger)
    handed: Mapped[int] = mapped_column(BigInteger, server_default="0")


class LoadedItem(Base):
    """An item that a load created or found: a later load of the same row looks there before it writes.

    `alma` names gateway and institution (rows of before: the connection's id); a barcode is unique within one.
    `run_id` is the last run.
    """

    __tablename__ = "loaded_items"

    alma: Mapped[str] = mapped_column(Text, primary_key=True)
    barcode: Mapped[str] = mapped_column(Text, primary_key=True)
    mms_id: Mapped[str] = mapped_column(Text)
    holding_id: Mapped[str] = mapped_column(Text)
    item_pid: Mapped[str] = mapped_column(Text)
    run_id: Mapped[str] = mapped_column(Text)


class LoadedBib(Base):
    """A title that imports made for a number, or gave it to (`key`: `oclc:900`), or were about to send (`mms_id` "")
    when nothing was known of the answer. `sender` is who sent it last, at `sent_at`. `was:oclc:900`: a title that lost
    the number by a merge. `title:991…`: who last saved a title, behind the versions (005) since and until which nobody
    else did."""

    __tablename__ = "loaded_bibs"

    alma: Mapped[str] = mapped_column(Text, primary_key=True)
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    mms_id: Mapped[str] = mapped_column(Text, primary_key=True)
    sender: Mapped[str] = mapped_column(Text)
    sent_at: Mapped[datetime] = mapped_column(UtcTime)


class LoadedOrder(Base):
    """The PO line that imports made for an order of a vendor, by its reference without case; `po_line` "": it was about
    to be sent and nothing is known of the answer. `sender` is who sent it, at `sent_at`."""

    __tablename__ = "loaded_orders"

    alma: Mapped[str] = mapped_column(Text, primary_key=True)
    vendor: Mapped[str] = mapped_column(Text, primary_key=True)
    reference: Mapped[str] = mapped_column(Text, primary_key=True)
    po_line: Mapped[str] = mapped_column(Text)
    mms_id: Mapped[str] = mapped_column(Text)
    sender: Mapped[str] = mapped_column(Text)
    sent_at: Mapped[datetime] = mapped_column(UtcTime)
    __table_args__ = (
        Index("ix_loaded_orders_sender", "alma", "sender"),  # a chunk asks for what it sent
        Index("ix_loaded_orders_mms_id", "alma", "mms_id"),  # the list of waiting titles has their orders
    )


class WaitingTitle(Base):
    """A brief title that an import made, which waits for its full record since then. `key` is the number by which its
    record was known. `received_at`: when an item of it was received. `settled_how`: what took it off the list, by the
    run or the user `settled_by`; "" as long as it waits. Its orders are those of `loaded_orders`."""

    __tablename__ = "waiting_titles"
    __table_args__ = (Index("ix_waiting_titles_since", "settled_at", "since"),)

    alma: Mapped[str] = mapped_column(Text, primary_key=True)
    mms_id: Mapped[str] = mapped_column(Text, primary_key=True)
    title: Mapped[str] = mapped_column(Text)
    key: Mapped[str] = mapped_column(Text)
    since: Mapped[datetime] = mapped_column(UtcTime)
    run_id: Mapped[str] = mapped_column(Text)
    received_at: Mapped[datetime | None] = mapped_column(UtcTime)
    settled_at: Mapped[datetime | None] = mapped_column(UtcTime)
    settled_how: Mapped[str] = mapped_column(Text)
    settled_by: Mapped[str] = mapped_column(Text)


class DueInventory(Base):
    """An item that an import has for a title and that is to come: the title's inventory is no reason to leave it alone.
    `item`: its barcode, or library and location of a holding; `sender`: the run and record that has it. Both are "" in
    rows of versions that kept the title alone."""

    __tablename__ = "due_inventory"

    alma: Mapped[str] = mapped_column(Text, primary_key=True)
    mms_id: Mapped[str] = mapped_column(Text, primary_key=True)
    item: Mapped[str] = mapped_column(Text, primary_key=True, server_default="")
    sender: Mapped[str] = mapped_column(Text, primary_key=True, server_default="")


class MadeHolding(Base):
    """A holding that a load made, or was about to send (`holding_id` "") and nothing is known of the answer."""

    __tablename__ = "made_holdings"

    alma: Mapped[str] = mapped_column(Text, primary_key=True)
    mms_id: Mapped[str] = mapped_column(Text, primary_key=True)
    library: Mapped[str] = mapped_column(Text, primary_key=True)
    location: Mapped[str] = mapped_column(Text, primary_key=True)
    holding_id: Mapped[str] = mapped_column(Text)
    sender: Mapped[str] = mapped_column(Text)


class StoredItemKey(Base):
    """Which item has a key of another system (`z30:` and Aleph's key), as an update of the item named it."""

    __tablename__ = "item_keys"

    alma: Mapped[str] = mapped_column(Text, primary_key=True)
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    mms_id: Mapped[str] = mapped_column(Text)
    item_pid: Mapped[str] = mapped_column(Text)
