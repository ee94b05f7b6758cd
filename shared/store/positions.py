"""The ledger of positions paid for: by pipeline, statement, cluster, topic id and partition, runs of offsets."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, bindparam, delete, insert, select

from shared.errors import PositionsPaid
from shared.store.database import Database, serialise
from shared.store.intervals import Interval, joined, overlapping, union
from shared.store.tables import positions
from shared.store.values import PositionRun

Partition = tuple[str, str, str, str, int]
"""Pipeline, statement, cluster id, topic id, partition."""


class Positions:
    """What is paid for already. Only a plan adds to it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def paid(
        self,
        pipeline: str,
        statement: str,
        cluster_id: str,
        topic_id: str,
        partition: int,
        low: int = 0,
        high: int | None = None,
    ) -> list[Interval]:
        """The runs [start, end) that reach into offsets [low, high), ascending, whole; no `high`: to the end."""
        chosen = _within((pipeline, statement, cluster_id, topic_id, partition)) & (positions.c.end_offset > low)
        if high is not None:
            chosen &= positions.c.start_offset < high
        with self._database.read() as connection:
            return _runs(connection, chosen)

    def all(self, pipeline: str, statement: str) -> list[PositionRun]:
        """Every run of a statement, by partition, ascending."""
        columns = [positions.c[name] for name in ("cluster_id", "topic_id", "partition", "start_offset", "end_offset")]
        mine = (positions.c.pipeline == pipeline) & (positions.c.statement == statement)
        with self._database.read() as connection:
            return [PositionRun(*row) for row in connection.execute(select(*columns).where(mine).order_by(*columns))]


def pay(connection: Connection, pipeline: str, statement: str, runs: Sequence[PositionRun]) -> None:
    """Add a plan's runs, joined with the neighbours they touch; alone with this statement's ledger until the commit.

    Raises PositionsPaid when one of them is paid for already; ValueError when they overlap each other.
    """
    if not runs:
        return
    serialise(connection, f"positions/{pipeline}/{statement}")
    for partition, group in groupby(sorted(runs, key=_partition), key=_partition):
        _pay(connection, (pipeline, statement, *partition), joined((run.start, run.end) for run in group))


def absorb(connection: Connection, pipeline: str, statement: str, runs: Sequence[PositionRun]) -> None:
    """Add runs that were paid for, whatever of them the ledger has already."""
    serialise(connection, f"positions/{pipeline}/{statement}")
    for partition, group in groupby(sorted(runs, key=_partition), key=_partition):
        new = union((run.start, run.end) for run in group)
        this = (pipeline, statement, *partition)
        existing = _touching(connection, this, new)
        _replace(connection, this, existing, union([*existing, *new]))


def _partition(run: PositionRun) -> tuple[str, str, int]:
    return run.cluster_id, run.topic_id, run.partition


def _pay(connection: Connection, partition: Partition, new: list[Interval]) -> None:
    existing = _touching(connection, partition, new)
    if common := overlapping(existing, new):
        _, _, _, topic_id, number = partition
        raise PositionsPaid(
            f"offsets {common[0]} to {common[1] - 1} of partition {number} of topic {topic_id} are paid for"
        )
    _replace(connection, partition, existing, joined([*existing, *new]))


def _touching(connection: Connection, partition: Partition, new: list[Interval]) -> list[Interval]:
    """The ledger's runs that these may touch or overlap."""
    touching = (positions.c.start_offset <= new[-1][1]) & (positions.c.end_offset >= new[0][0])
    return _runs(connection, _within(partition) & touching)


def _replace(connection: Connection, partition: Partition, existing: list[Interval], merged: list[Interval]) -> None:
    gone, added = sorted(set(existing) - set(merged)), sorted(set(merged) - set(existing))
    names = ("pipeline", "statement", "cluster_id", "topic_id", "partition", "start_offset", "end_offset")
    if gone:
        one = _within(partition) & (positions.c.start_offset == bindparam("old"))
        connection.execute(delete(positions).where(one), [{"old": start} for start, _ in gone])
    rows: list[dict[str, Any]] = [dict(zip(names, (*partition, *run), strict=True)) for run in added]
    if rows:
        connection.execute(insert(positions), rows)


def _within(partition: Partition) -> ColumnElement[bool]:
    names = ("pipeline", "statement", "cluster_id", "topic_id", "partition")
    return and_(*(positions.c[name] == value for name, value in zip(names, partition, strict=True)))


def _runs(connection: Connection, chosen: ColumnElement[bool]) -> list[Interval]:
    query = select(positions.c.start_offset, positions.c.end_offset).where(chosen).order_by(positions.c.start_offset)
    return [(start, end) for start, end in connection.execute(query)]
