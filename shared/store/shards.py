"""Shards of publication: which transactional id publishes a batch. Chosen once for each batch, and kept for good."""

import hashlib
from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import or_, select, update

from shared.errors import StaleState
from shared.lifecycle import TERMINAL, State
from shared.store.batch_rows import batch_of
from shared.store.database import Database
from shared.store.leases import hold
from shared.store.tables import batches, installation
from shared.store.values import Batch, Fence


class Shards:
    """The shard of each batch, and the installation that its transactional id names."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def installation_id(self) -> str:
        """32 hexadecimal digits, made with the store."""
        with self._database.read() as connection:
            return str(connection.execute(select(installation.c.id)).scalar_one())

    def assign(self, key: str, sink_cluster: str, count: int, *, known: int | None = None) -> int:
        """The shard of a batch on its sink's cluster: one of 0 to count - 1, unless it has one already, which stays.

        `known` is the one that it had before the store forgot it. Raises StaleState when the batch is not in the store.
        """
        shard = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) % count if known is None else known
        with self._database.write() as connection:
            free = (batches.c.batch_key == key) & batches.c.shard.is_(None)
            connection.execute(update(batches).where(free).values(shard=shard, sink_cluster=sink_cluster))
            kept = connection.execute(select(batches.c.shard).where(batches.c.batch_key == key)).scalar_one_or_none()
        if kept is None:
            raise StaleState(f"batch {key} is not in the store")
        return int(kept)

    def unassigned(self, limit: int, *, but_not: Collection[str] = ()) -> list[Batch]:
        """Batches without a shard, announced or not, oldest seal first; none of the definitions `but_not`."""
        query = select(batches).where(batches.c.shard.is_(None)).order_by(batches.c.sealed_at, batches.c.batch_key)
        if but_not:
            query = query.where(batches.c.definition.not_in(list(but_not)))
        with self._database.read() as connection:
            return [batch_of(row) for row in connection.execute(query.limit(limit))]

    def remembered(self, before: datetime, limit: int, own: Mapping[str, datetime] | None = None) -> list[Batch]:
        """Batches that were out before a moment, and whose progress markers still stand, oldest publication first.

        `own`: the moment of each pipeline that has another one.
        """
        states = [str(state) for state in TERMINAL]
        mine = batches.c.state.in_(states) & batches.c.shard.is_not(None) & batches.c.marker_forgotten_at.is_(None)
        moments = own or {}
        is_out = [batches.c.pipeline.not_in(moments) & (batches.c.published_at <= before)]
        is_out += [(batches.c.pipeline == name) & (batches.c.published_at <= moments[name]) for name in moments]
        query = select(batches).where(mine, or_(*is_out))
        with self._database.read() as connection:
            ordered = query.order_by(batches.c.published_at, batches.c.batch_key)
            return [batch_of(row) for row in connection.execute(ordered.limit(limit))]

    def forgot(self, keys: Collection[str], lease: Fence) -> None:
        """Note that the progress markers of batches are tombstoned. Raises LeaseLost."""
        with self._database.write() as connection:
            hold(connection, lease)
            now = self._database.clock()
            connection.execute(update(batches).where(batches.c.batch_key.in_(keys)).values(marker_forgotten_at=now))

    def waiting(self, state: State = State.COLLECTED) -> list[tuple[str, int]]:
        """(cluster id, shard) of each shard that has a batch in this state."""
        columns = (batches.c.sink_cluster, batches.c.shard)
        query = select(*columns).where(batches.c.state == state, batches.c.shard.is_not(None)).distinct()
        with self._database.read() as connection:
            return [(cluster, shard) for cluster, shard in connection.execute(query.order_by(*columns))]
