"""Column types that mean the same on SQLite and PostgreSQL: times in UTC, and the state of a batch."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, String
from sqlalchemy.types import TypeDecorator, TypeEngine

from shared.lifecycle import State

_WIDTH = len("2026-01-31T23:59:59.123456Z")


def utc(value: str | datetime) -> datetime:
    """A stored time as both databases give it, aware, in UTC. Raises ValueError for one without a time zone."""
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    if moment.tzinfo is None:
        raise ValueError(f"the stored time {value!r} has no time zone")
    return moment.astimezone(UTC)


class UtcTime(TypeDecorator[datetime]):
    """An aware time in UTC: `timestamptz` on PostgreSQL; on SQLite ISO 8601 text of fixed width, which sorts as time.

    SQLite's own date functions read that text. A naive time is refused with ValueError.
    """

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(String(_WIDTH) if dialect.name == "sqlite" else DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone; give an aware time")
        moment = value.astimezone(UTC)
        if dialect.name != "sqlite":
            return moment
        return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")

    def process_result_value(self, value: Any, _dialect: Dialect) -> datetime | None:
        return None if value is None else utc(value)


class StateName(TypeDecorator[State]):
    """A batch's state as its plain word."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: State | str | None, _dialect: Dialect) -> str | None:
        return None if value is None else str(value)

    def process_result_value(self, value: Any, _dialect: Dialect) -> State | None:
        return None if value is None else State(value)
