"""How a batch's row is read, inserted and moved, within the transaction of a verb. Only `advance` changes a state."""

from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select, update

from shared.errors import StaleState, Unbalanced
from shared.lifecycle import TERMINAL, Event, State, after
from shared.store.accounts import hear
from shared.store.budget_rows import book
from shared.store.database import insert_absent, serialise
from shared.store.queue_rows import frees, let_in
from shared.store.tables import batches
from shared.store.values import Batch, Changes, PlannedBatch

_STAMP = {
    Event.ACCEPT: "submitted_at",
    Event.ADOPT: "submitted_at",
    Event.REJECT: "ended_at",
    Event.GIVE_UP: "ended_at",
    Event.DIVERT: "ended_at",
    Event.END: "ended_at",
    Event.LOSE: "ended_at",
    Event.PUBLISH: "published_at",
    Event.FAIL: "published_at",
}


def batch_of(row: Row[Any]) -> Batch:
    """The value of a row of `batches`."""
    return Batch(**row._asdict())


def locked(connection: Connection, key: str) -> Batch:
    """The batch as it stands, for this transaction alone. Raises StaleState when there is none."""
    row = connection.execute(select(batches).where(batches.c.batch_key == key).with_for_update()).one_or_none()
    if row is None:
        raise StaleState(f"batch {key} is not in the store")
    return batch_of(row)


def insert(connection: Connection, planned: PlannedBatch, now: datetime, **more: Any) -> bool:
    """Insert a batch, `sealed` unless told otherwise, when its key is absent; whether it was."""
    values = {**asdict(planned), "state": State.SEALED, "updated_at": now, **more}
    return insert_absent(connection, batches, values)


def advance(
    connection: Connection, now: datetime, key: str, event: Event, changes: Changes, expected: State | None = None
) -> Batch:
    """Move a batch by an event, and set columns with it.

    Raises IllegalTransition; StaleState when it is absent or not in state `expected`; Unbalanced when the counts
    would not add up.
    """
    alone(connection, key)
    batch = locked(connection, key)
    if expected is not None and batch.state is not expected:
        raise StaleState(f"batch {key} is '{batch.state}' by now, not '{expected}': '{event}' is not applied")
    implied = {"state": after(batch.state, event), **_implied(batch.state, event, now)}
    following = _write(connection, batch, implied, changes, now)
    book(connection, now, batch, following, event)
    hear(connection, now, batch.account, key, event, following.held_until)
    if frees(batch, following):
        let_in(connection, now, following)
    return following


def amend(connection: Connection, now: datetime, key: str, changes: Changes) -> Batch:
    """Set columns of a batch, and leave its state. Raises StaleState, Unbalanced."""
    if "remote_status" in changes:
        alone(connection, key)
    batch = locked(connection, key)
    following = _write(connection, batch, {}, changes, now)
    book(connection, now, batch, following, None)
    if frees(batch, following):
        let_in(connection, now, following)
    return following


def admit(connection: Connection, now: datetime, batch: Batch) -> Batch:
    """Say that a batch may be sent."""
    return _write(connection, batch, {"is_admitted": True}, {}, now)


def alone(connection: Connection, key: str) -> None:
    """Be the only one who moves batches of its account, before any row is locked: then no two wait for each other."""
    if connection.dialect.name == "postgresql":
        account = connection.execute(select(batches.c.account).where(batches.c.batch_key == key)).scalar()
        serialise(connection, f"account/{account}")


def _implied(state: State, event: Event, now: datetime) -> dict[str, Any]:
    """What an event sets by itself: its time, and nothing left of a hold that it ends."""
    values: dict[str, Any] = {_STAMP[event]: now} if event in _STAMP else {}
    if after(state, event) is not State.HELD:
        return values | {"held_reason": None, "held_until": None}
    return values | {"is_admitted": False}


def _write(connection: Connection, batch: Batch, implied: dict[str, Any], changes: Changes, now: datetime) -> Batch:
    values = {**implied, **changes, "updated_at": now}
    following = replace(batch, **values)
    _weigh(following)
    same = (batches.c.batch_key == batch.batch_key) & (batches.c.state == batch.state)
    if connection.execute(update(batches).where(same).values(**values)).rowcount != 1:
        raise StaleState(f"batch {batch.batch_key} is no longer '{batch.state}'")
    return following


def _weigh(batch: Batch) -> None:
    if min(batch.succeeded, batch.failed, batch.carried, batch.in_flight) < 0 or (
        batch.in_flight and batch.state in TERMINAL
    ):
        raise Unbalanced(
            f"batch {batch.batch_key} would be '{batch.state}' with {batch.records} records = {batch.succeeded} "
            f"succeeded + {batch.failed} failed + {batch.carried} carried + {batch.in_flight} in flight"
        )
