"""Transactions on the state store: reads, writes that exclude each other where they must, one error for its absence."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, Table, func, select
from sqlalchemy.exc import DatabaseError, DataError, IntegrityError, InterfaceError, NotSupportedError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from shared.clock import Clock
from shared.errors import StoreUnavailable
from shared.store.address import BEGIN, shown

_FAULTS = (DataError, IntegrityError, NotSupportedError, ProgrammingError)
"""What a statement of ours may be guilty of; everything else is the database's."""


class Database:
    """An engine and a clock. Threads may share it."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self.engine, self.clock = engine, clock
        self._writer = engine.execution_options(**{BEGIN: "BEGIN IMMEDIATE"})

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads. Raises StoreUnavailable."""
        with self._told(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that writes; on SQLite there is one at a time. Any exception rolls it back.

        Raises StoreUnavailable; when the connection broke in the commit itself, nobody knows whether it took effect.
        """
        with self._told(), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def outside(self) -> Iterator[Connection]:
        """A connection without a transaction, for what SQLite refuses within one. Raises StoreUnavailable."""
        with self._told(), self.engine.connect().execution_options(**{BEGIN: None}) as connection:
            yield connection

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (DatabaseError, InterfaceError, PoolTimeout) as error:
            if isinstance(error, _FAULTS):
                raise
            said = str(getattr(error, "orig", None) or error).strip().splitlines()
            raise StoreUnavailable(
                f"the state store {shown(self.engine.url)} can't be used: {said[0] if said else type(error).__name__}"
            ) from error


def serialise(connection: Connection, name: str) -> None:
    """From here to the transaction's end, be the only one with this name. SQLite's writers are alone anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))


def insert_absent(connection: Connection, table: Table, values: Mapping[str, Any]) -> bool:
    """Insert a row unless its key exists; whether it was inserted."""
    # Each dialect has an insert of its own for this; the other one's module is not loaded.
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects import sqlite

        statement: Any = sqlite.insert(table).values(**values).on_conflict_do_nothing()
    else:
        from sqlalchemy.dialects import postgresql

        statement = postgresql.insert(table).values(**values).on_conflict_do_nothing()
    # A driver need not count inserted rows; the row itself comes back only when it was inserted.
    return connection.execute(statement.returning(*table.primary_key)).first() is not None
