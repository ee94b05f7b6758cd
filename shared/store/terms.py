"""Terms: how long a pipeline's data are kept and its unanswered creates looked for, as its newest run states them.

Its data are its own: its word wins over the poller's. Of two quarantines the longer one holds, whoever looks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, insert, select

from shared.store.database import Database, serialise
from shared.store.tables import terms


@dataclass(frozen=True)
class Stated:
    """What a pipeline says of itself; None: nothing, so that each process goes by its own setting."""

    retention: timedelta | None = None
    quarantine: timedelta | None = None
    checkpoints: str | None = None
    """The address of its checkpoints, where they don't lie in its spool."""


class Terms:
    """One row for each pipeline that was started."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def state(self, pipeline: str, stated: Stated) -> None:
        """Say what holds from now on, in place of what was said before."""
        with self._database.write() as connection:
            serialise(connection, f"terms/{pipeline}")
            state(connection, self._database.clock(), pipeline, stated)

    def of(self, pipeline: str) -> Stated:
        query = select(terms).filter_by(pipeline=pipeline)
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return Stated()
        return Stated(_span(row.retention_seconds), _span(row.quarantine_seconds), row.checkpoints)

    def quarantine(self, pipeline: str, own: timedelta) -> timedelta:
        """How long a pipeline's unanswered create is looked for by a process whose own setting is `own`."""
        return max(self.of(pipeline).quarantine or own, own)

    def retentions(self) -> Mapping[str, timedelta]:
        """Of each pipeline that says so, how long its data are kept."""
        query = select(terms.c.pipeline, terms.c.retention_seconds).where(terms.c.retention_seconds.is_not(None))
        with self._database.read() as connection:
            return {pipeline: timedelta(seconds=seconds) for pipeline, seconds in connection.execute(query)}


def state(connection: Connection, now: datetime, pipeline: str, stated: Stated) -> None:
    """Put a pipeline's terms in the place of its former ones, within a transaction."""
    connection.execute(delete(terms).filter_by(pipeline=pipeline))
    spans = {"retention_seconds": _seconds(stated.retention), "quarantine_seconds": _seconds(stated.quarantine)}
    row = {"pipeline": pipeline, **spans, "checkpoints": stated.checkpoints, "stated_at": now}
    connection.execute(insert(terms).values(**row))


def _span(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


def _seconds(span: timedelta | None) -> float | None:
    return None if span is None else span.total_seconds()
