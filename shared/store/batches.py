"""Batches: read them, find those that are due, move them by events, and make children. The store is the truth."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, TypedDict, Unpack

from sqlalchemy import ColumnElement, Select, and_, exists, func, literal, or_, select, tuple_, update

from shared.definition import Mode
from shared.errors import Unbalanced
from shared.failpoints import MOVED, reached
from shared.lifecycle import Event, State
from shared.store.batch_rows import advance, amend, batch_of, insert, locked
from shared.store.database import Database
from shared.store.leases import hold
from shared.store.tables import batches, leases
from shared.store.values import Batch, Changes, Fence, PlannedBatch

_ANNOUNCEABLE = (State.SUBMITTED, State.RUNNING, State.ENDED, State.COLLECTED)
_PAGE = 500
"""Rows that are read at once where all are wanted."""


class Filter(TypedDict, total=False):
    """Columns that a batch must equal."""

    pipeline: str
    statement: str
    account: str
    provider_batch_id: str
    parent: str
    sealed_file: str
    sink_cluster: str
    shard: int
    mode: Mode


class Batches:
    """The rows of `batches`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, key: str) -> Batch | None:
        with self._database.read() as connection:
            row = connection.execute(select(batches).where(batches.c.batch_key == key)).one_or_none()
            return None if row is None else batch_of(row)

    def rows(self, states: Iterable[State] = (), limit: int | None = None, **equal: Unpack[Filter]) -> list[Batch]:
        """Batches in one of these states (none given: in any) that equal the filter, oldest seal first."""
        return self._select([_in(states), _equal(equal)], limit)

    def due(
        self,
        states: Iterable[State],
        now: datetime,
        limit: int,
        *,
        but_not: Collection[str] = (),
        but_not_by: Collection[str] = (),
        **equal: Unpack[Filter],
    ) -> list[Batch]:
        """Batches whose time has come (`next_check_at`, `held_until`) and that nobody works on, oldest seal first.

        A live lease `batch/<key>` keeps a batch back. Those of the accounts `but_not`, and of the definitions
        `but_not_by`, are left out.
        """
        leased = exists().where(
            leases.c.name == "batch/" + batches.c.batch_key,
            leases.c.expires_at > now,
        )
        times = [or_(column.is_(None), column <= now) for column in (batches.c.next_check_at, batches.c.held_until)]
        out = [(batches.c.account, but_not), (batches.c.definition, but_not_by)]
        others = [column.not_in(list(named)) for column, named in out if named]
        return self._select([_in(states), _equal(equal), *others, *times, ~leased], limit)

    def with_deadline(self, states: Iterable[State]) -> Iterator[Batch]:
        """All batches that go to the provider as such and have a deadline, the nearest first, page by page."""
        order = (batches.c.deadline_at, batches.c.batch_key)
        chosen = _in(states) & batches.c.deadline_at.is_not(None) & (batches.c.mode == "batch")
        query = select(batches).where(chosen).order_by(*order).limit(_PAGE)
        page = self._read(query)
        while page:
            yield from page
            last = [literal(getattr(page[-1], column.name), column.type) for column in order]
            page = self._read(query.where(tuple_(*order) > tuple_(*last)))

    def announceable(self, pipeline: str, statement: str) -> list[str]:
        """Keys of the batches that the provider has and that are not yet published."""
        found = self._select([_in(_ANNOUNCEABLE), _equal({"pipeline": pipeline, "statement": statement})], None)
        return [batch.batch_key for batch in found if batch.provider_batch_id is not None]

    def samples(self) -> list[Batch]:
        """One batch of each account and pipeline: who is asked, and with what."""
        chosen = select(func.max(batches.c.batch_key)).group_by(batches.c.account, batches.c.pipeline)
        return self._select([batches.c.batch_key.in_(chosen)], None)

    def provider_batches(self, since: datetime) -> set[str]:
        """The ids at their providers of the batches that were submitted at a moment or later."""
        query = select(batches.c.provider_batch_id).where(
            batches.c.submitted_at >= since, batches.c.provider_batch_id.is_not(None)
        )
        with self._database.read() as connection:
            return set(connection.execute(query).scalars())

    def apply(
        self, key: str, event: Event, *, lease: Fence = None, expected: State | None = None, **changes: Unpack[Changes]
    ) -> Batch:
        """Move a batch by an event, with what else changes, in one transaction; as it stands afterwards.

        Sets submitted_at (accept, adopt), ended_at (reject, end, lose) and published_at (publish, fail) to now unless
        given, and clears held_* when it leaves `held`. Raises, with nothing written: IllegalTransition; StaleState when
        it is absent or not in state `expected`; LeaseLost; Unbalanced when the counts would not add up.
        """
        with self._database.write() as connection:
            hold(connection, lease)
            batch = advance(connection, self._database.clock(), key, event, changes, expected)
        reached(MOVED[event])
        return batch

    def record(self, key: str, *, lease: Fence = None, **changes: Unpack[Changes]) -> Batch:
        """Set columns without an event, such as next_check_at. Raises StaleState, LeaseLost, Unbalanced."""
        with self._database.write() as connection:
            hold(connection, lease)
            return amend(connection, self._database.clock(), key, changes)

    def tally(self, key: str, *, lease: Fence = None, succeeded: int, failed: int) -> Batch:
        """Set how many records are out, as the progress marker says it: absolute, and never less than before."""
        with self._database.write() as connection:
            hold(connection, lease)
            batch = locked(connection, key)
            if succeeded + failed <= batch.succeeded + batch.failed:
                return batch
            return amend(connection, self._database.clock(), key, {"succeeded": succeeded, "failed": failed})

    def collect(
        self, key: str, *, lease: Fence = None, children: Sequence[PlannedBatch] = (), **changes: Unpack[Changes]
    ) -> Batch:
        """The collector's word on a batch: verified, with its children, in one transaction.

        `carried` must be the sum of the children's records. Raises as `apply` does.
        """
        with self._database.write() as connection:
            hold(connection, lease)
            now = self._database.clock()
            batch = advance(connection, now, key, Event.COLLECT, changes)
            given = sum(child.records for child in children)
            if given != batch.carried:
                raise Unbalanced(f"batch {key} carries {batch.carried} records, but its children have {given}")
            for child in children:
                insert(connection, child, now)
        reached(MOVED[Event.COLLECT])
        return batch

    def register(self, batch: PlannedBatch, *, provider_batch_id: str, submitted_at: datetime) -> bool:
        """Insert a batch that was announced, when the store does not have it; whether it was inserted.

        A batch that is there keeps its state; that it was announced is noted.
        """
        with self._database.write() as connection:
            now = self._database.clock()
            known = {"provider_batch_id": provider_batch_id, "submitted_at": submitted_at, "registered_at": now}
            if insert(connection, batch, now, state=State.SUBMITTED, **known):
                return True
            first = and_(batches.c.batch_key == batch.batch_key, batches.c.registered_at.is_(None))
            connection.execute(update(batches).where(first).values(registered_at=now, updated_at=now))
            return False

    def _select(self, conditions: list[ColumnElement[bool]], limit: int | None) -> list[Batch]:
        return self._read(
            select(batches).where(*conditions).order_by(batches.c.sealed_at, batches.c.batch_key).limit(limit)
        )

    def _read(self, query: Select[Any]) -> list[Batch]:
        with self._database.read() as connection:
            return [batch_of(row) for row in connection.execute(query)]


def _in(states: Iterable[State]) -> ColumnElement[bool]:
    wanted = [str(state) for state in states]
    return batches.c.state.in_(wanted) if wanted else and_(True)


def _equal(equal: Filter) -> ColumnElement[bool]:
    return and_(True, *(batches.c[name] == value for name, value in equal.items()))
