"""Which dependencies are away, as each process that needs them says it; what is back again has no row."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select, update

from shared.store.database import Database, insert_absent
from shared.store.tables import health


@dataclass(frozen=True, slots=True)
class Away:
    """A dependency that a process can't reach."""

    dependency: str
    """kafka:<servers>, provider:<account> or spool."""
    holder: str
    away_since: datetime
    updated_at: datetime
    next_try_at: datetime | None
    message: str


class Health:
    """The word of each process on its dependencies."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def away(self, dependency: str, holder: str, message: str, next_try_at: datetime | None = None) -> None:
        """Say that a dependency is away; the first time is kept."""
        now = self._database.clock()
        values = {"updated_at": now, "next_try_at": next_try_at, "message": message[:1000]}
        key = {"dependency": dependency, "holder": holder}
        with self._database.write() as connection:
            if not insert_absent(connection, health, {**key, **values, "away_since": now}):
                connection.execute(update(health).filter_by(**key).values(**values))

    def back(self, dependency: str, holder: str) -> None:
        """Say that a dependency answers."""
        with self._database.write() as connection:
            connection.execute(delete(health).filter_by(dependency=dependency, holder=holder))

    def only(self, holder: str, dependencies: Collection[str]) -> None:
        """Forget what a holder said of any other dependency."""
        others = (health.c.holder == holder) & health.c.dependency.not_in(dependencies)
        with self._database.write() as connection:
            connection.execute(delete(health).where(others))

    def all(self, newer_than: datetime) -> list[Away]:
        """What processes said since then; an older word is that of a process that ended."""
        wanted = select(health).where(health.c.updated_at >= newer_than)
        with self._database.read() as connection:
            rows = connection.execute(wanted.order_by(health.c.dependency, health.c.holder)).mappings().all()
        return [Away(**row) for row in rows]

    def forget(self, older_than: datetime) -> None:
        """Drop the words of processes that ended."""
        with self._database.write() as connection:
            connection.execute(delete(health).where(health.c.updated_at < older_than))
