"""Budgets: what a day (UTC) may cost, as the newest run states it, and what of it is spent and reserved."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Row, delete, func, insert, select

from shared.admission import Wait
from shared.budget import day_of, granted
from shared.budget import wait as wait_of
from shared.store.batch_rows import locked
from shared.store.budget_rows import budgets_for, held_for_money, reserve, tell
from shared.store.database import Database, serialise
from shared.store.leases import hold
from shared.store.tables import batches, budgets, charges
from shared.store.values import Fence

PIPELINE = ""
"""In place of a statement's name: the limit of the whole pipeline."""


@dataclass(frozen=True)
class Limit:
    """What a day of a pipeline, or of the model that a statement asks, may cost; None: no limit."""

    statement: str
    """Whose batches mind it; PIPELINE for all of them."""
    model: str | None
    """The model whose day it is, by its name in the file; None for the pipeline's."""
    usd: float | None


@dataclass(frozen=True)
class Grant:
    """What may be spent on calls now. `usd` is None where nothing limits it; with `wait` nothing may be spent."""

    usd: float | None = None
    wait: Wait | None = None


@dataclass(frozen=True)
class Spending:
    """One limit, and how this day stands."""

    pipeline: str
    model: str | None
    """None for the whole pipeline."""
    day: str
    limit_usd: float
    spent_usd: float
    reserved_usd: float
    held_batches: int
    """That wait for money, and fall under this limit."""
    held_records: int


class Budgets:
    """Limits and the ledger of days."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def state(self, pipeline: str, limits: Iterable[Limit]) -> None:
        """Say what a day may cost; the limits of statements that are not named stay.

        Who waits for money looks again: a limit may have been raised.
        """
        with self._database.write() as connection:
            serialise(connection, f"budget/{pipeline}")
            now = self._database.clock()
            state(connection, now, pipeline, limits)
            tell(connection, now, pipeline)

    def stated(self, pipeline: str) -> list[Limit]:
        """All that limits a pipeline's days."""
        query = select(budgets).filter_by(pipeline=pipeline).order_by(budgets.c.statement)
        with self._database.read() as connection:
            return [Limit(row.statement, row.model_name, row.limit_usd) for row in connection.execute(query)]

    def of(self, pipeline: str, statement: str) -> float | None:
        """The smallest limit that a statement's batches mind; None without one."""
        chosen = (budgets.c.pipeline == pipeline) & budgets.c.statement.in_([PIPELINE, statement])
        with self._database.read() as connection:
            return connection.execute(select(func.min(budgets.c.limit_usd)).where(chosen)).scalar()

    def grant(self, key: str, lease: Fence, want: float | None, least: float) -> Grant:
        """Reserve up to `want` for calls of one batch, in place of what it has reserved so far; at least `least`."""
        with self._database.write() as connection:
            hold(connection, lease)
            now, batch = self._database.clock(), locked(connection, key)
            known = budgets_for(connection, now, batch)
            if not known:
                return Grant()
            amount = None if want is None else granted(known, want, least)
            if amount is None:
                return Grant(wait=wait_of(known, None if want is None else least, now))
            reserve(connection, now, batch, amount)
            return Grant(amount)

    def today(self) -> list[Spending]:
        """Every limit, and how its day stands; those for which batches are held first."""
        day = day_of(self._database.clock())
        with self._database.read() as connection:
            rows = connection.execute(select(budgets).order_by(budgets.c.pipeline, budgets.c.statement)).all()
            found = [_spending(connection, row, day) for row in rows]
        return sorted(dict.fromkeys(found), key=lambda each: not each.held_batches)


def state(connection: Connection, now: datetime, pipeline: str, limits: Iterable[Limit]) -> None:
    """Put limits in the place of those of the same statements, within a transaction."""
    for limit in limits:
        key = {"pipeline": pipeline, "statement": limit.statement}
        connection.execute(delete(budgets).filter_by(**key))
        if limit.usd is not None:
            row = {**key, "model_name": limit.model, "limit_usd": limit.usd, "stated_at": now}
            connection.execute(insert(budgets).values(**row))


def _spending(connection: Connection, row: Row[tuple[str, ...]], day: str) -> Spending:
    mine = [charges.c.pipeline == row.pipeline, charges.c.day == day]
    waiting = [batches.c.pipeline == row.pipeline, held_for_money()]
    if row.model_name is not None:
        mine.append(charges.c.model_name == row.model_name)
        waiting.append(batches.c.model_name == row.model_name)
    sums = func.sum(charges.c.spent_usd), func.sum(charges.c.reserved_usd)
    spent, reserved = connection.execute(select(*sums).where(*mine)).one()
    counts = select(func.count(), func.sum(batches.c.records)).where(*waiting)
    held, records = connection.execute(counts).one()
    return Spending(
        pipeline=row.pipeline,
        model=row.model_name,
        day=day,
        limit_usd=row.limit_usd,
        spent_usd=spent or 0.0,
        reserved_usd=reserved or 0.0,
        held_batches=held,
        held_records=int(records or 0),
    )
