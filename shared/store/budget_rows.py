"""The ledger of days within a transaction: what each batch has reserved and spent, held against the limits.

A batch's charge follows its row: whoever moves the batch, for whatever reason, moves its money with it.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, func, select, update

from shared.admission import Wait
from shared.budget import BUDGET, Budget, day_of
from shared.budget import wait as wait_of
from shared.errors import NoRoom
from shared.lifecycle import Event, State
from shared.store.database import insert_absent, serialise
from shared.store.queue_rows import is_set_aside
from shared.store.tables import batches, budgets, charges, leases
from shared.store.values import Batch, Charge, PlannedBatch

_SENDABLE = (str(State.SEALED), str(State.HELD))
_LINE = 200
"""Of those that wait, how many are looked at."""


def budgets_for(connection: Connection, now: datetime, batch: Batch) -> list[Budget]:
    """The limits that a batch falls under, with what others use; from here on nobody else of its pipeline is let in."""
    limits = list(_limits(connection, batch))
    if not limits:
        return []
    serialise(connection, f"budget/{batch.pipeline}")
    return [
        Budget(whose, limit, _used(connection, now, batch, model), tuple(_line(connection, now, batch, model)))
        for whose, limit, model in limits
    ]


def wait(connection: Connection, now: datetime, batch: Batch) -> Wait | None:
    """Why a batch must wait for another day; None where its estimate fits into this one."""
    return wait_of(budgets_for(connection, now, batch), batch.estimated_cost_usd, now)


def check(connection: Connection, now: datetime, batch: Batch) -> None:
    """Raise NoRoom where a batch that was let in no longer fits: others came in, or the limit was lowered."""
    waits = wait(connection, now, batch)
    if waits is not None:
        raise NoRoom(waits.reason)


def book(connection: Connection, now: datetime, before: Batch, after: Batch, event: Event | None) -> None:
    """Let a batch's charge follow its row. Whoever waits for money that is given back is told."""
    spent = (after.cost_usd or 0.0) - (before.cost_usd or 0.0)
    if event is Event.INTEND or (event is Event.ADOPT and not _reserved(connection, after.batch_key)):
        reserve(connection, now, after, after.estimated_cost_usd or 0.0)
    elif spent or event is Event.COLLECT:
        _spend(connection, now, after, spent)
    elif _is_given_up(before, after, event):
        release(connection, now, after)


def reserve(connection: Connection, now: datetime, batch: Batch, amount: float) -> None:
    """Reserve on this day, in place of whatever the batch has reserved so far."""
    _clear(connection, batch.batch_key)
    if amount > 0:
        _add(connection, batch, day_of(now), reserved_usd=amount)


def release(connection: Connection, now: datetime, batch: Batch) -> None:
    """Nothing that was reserved is spent any more."""
    if _clear(connection, batch.batch_key):
        tell(connection, now, batch.pipeline)


def put_back(connection: Connection, batch: PlannedBatch, charged: Iterable[Charge]) -> None:
    """What a batch that was put back into the store has reserved and spent, in the store that forgot it."""
    for charge in charged:
        if charge.reserved_usd > 0 or charge.spent_usd > 0:
            _add(connection, batch, charge.day, reserved_usd=charge.reserved_usd, spent_usd=charge.spent_usd)


def tell(connection: Connection, now: datetime, pipeline: str) -> None:
    """Let those look again that are held for the sake of a budget. Those in another's hands look by themselves."""
    chosen = held_for_money() & (batches.c.pipeline == pipeline) & (batches.c.held_until > now)
    keys = connection.execute(select(batches.c.batch_key).where(chosen).with_for_update(skip_locked=True)).scalars()
    told = batches.c.batch_key.in_(list(keys))
    connection.execute(update(batches).where(told).values(held_until=now))


def held_for_money() -> ColumnElement[bool]:
    """Batches that wait for another day, or for a higher limit."""
    return (batches.c.state == str(State.HELD)) & batches.c.held_reason.startswith(f"{BUDGET}: ", autoescape=True)


def _is_given_up(before: Batch, after: Batch, event: Event | None) -> bool:
    """Whether a batch that had reserved is certainly not running: one whose create waits for a person's word may be."""
    if event is None or after.state is not State.HELD:
        return False
    return event is Event.CLEAR or before.state not in (State.AMBIGUOUS, State.HELD)


def _spend(connection: Connection, now: datetime, batch: Batch, spent: float) -> None:
    """What it cost takes the place of what was reserved, on that day; of a batch that is asked, on this one."""
    days = select(func.max(charges.c.day)).where(charges.c.batch_key == batch.batch_key, charges.c.reserved_usd > 0)
    reserved_on = connection.execute(days).scalar() if batch.mode == "batch" else None
    was_reserved = _clear(connection, batch.batch_key)
    if spent:
        _add(connection, batch, reserved_on or day_of(now), spent_usd=spent)
    if was_reserved:
        tell(connection, now, batch.pipeline)


def _add(connection: Connection, batch: PlannedBatch, day: str, **amount: float) -> None:
    key = {"batch_key": batch.batch_key, "day": day}
    row = {**key, "pipeline": batch.pipeline, "model_name": batch.model_name, "reserved_usd": 0.0, "spent_usd": 0.0}
    if not insert_absent(connection, charges, {**row, **amount}):
        more = {name: charges.c[name] + value for name, value in amount.items()}
        connection.execute(update(charges).filter_by(**key).values(**more))


def _clear(connection: Connection, key: str) -> bool:
    """Take back what a batch has reserved; whether it was anything."""
    mine = (charges.c.batch_key == key) & (charges.c.reserved_usd > 0)
    gone = connection.execute(delete(charges).where(mine, charges.c.spent_usd == 0)).rowcount
    return gone + connection.execute(update(charges).where(mine).values(reserved_usd=0.0)).rowcount > 0


def _reserved(connection: Connection, key: str) -> bool:
    mine = (charges.c.batch_key == key) & (charges.c.reserved_usd > 0)
    return connection.execute(select(charges.c.day).where(mine).limit(1)).first() is not None


def _limits(connection: Connection, batch: Batch) -> Iterator[tuple[str, float, str | None]]:
    """(whose, limit, the model that is limited; None for the whole pipeline)."""
    chosen = (budgets.c.pipeline == batch.pipeline) & budgets.c.statement.in_(["", batch.statement])
    for row in connection.execute(select(budgets).where(chosen).order_by(budgets.c.statement)):
        whose = f"pipeline {batch.pipeline}" if row.model_name is None else f"model {row.model_name}"
        yield whose, row.limit_usd, row.model_name


def _used(connection: Connection, now: datetime, batch: Batch, model: str | None) -> float:
    """Of the day, without the batch's own: spent, reserved, and kept for those that are let in and about to be sent."""
    today, yesterday = day_of(now), day_of(now - timedelta(days=1))
    mine = [charges.c.pipeline == batch.pipeline, charges.c.day.in_([today, yesterday])]
    mine += [charges.c.model_name == model] if model is not None else []
    # What the batch itself has spent today, as one that is asked call by call, is gone all the same.
    is_todays = charges.c.day == today
    is_others = (charges.c.batch_key != batch.batch_key) & (is_todays | _is_asked_now(now))
    others = func.sum(charges.c.spent_usd).filter(is_todays), func.sum(charges.c.reserved_usd).filter(is_others)
    charged = sum(amount or 0.0 for amount in connection.execute(select(*others).where(*mine)).one())
    kept = select(func.sum(batches.c.estimated_cost_usd)).where(_scope(batch, model), _about_to_be_sent(now))
    return charged + (connection.execute(kept).scalar() or 0.0)


def _line(connection: Connection, now: datetime, batch: Batch, model: str | None) -> Iterator[float]:
    """What those need that are held for a budget's sake, may look again, and were sealed before."""
    at, key = batches.c.sealed_at, batches.c.batch_key
    before = (at < batch.sealed_at) | ((at == batch.sealed_at) & (key < batch.batch_key))
    due = (batches.c.held_until <= now) & ~is_set_aside(now) & batches.c.estimated_cost_usd.is_not(None)
    waiting = held_for_money() & due & ~_is_kept(now)
    query = select(batches.c.estimated_cost_usd).where(_scope(batch, model), before, waiting)
    yield from connection.execute(query.order_by(at, key).limit(_LINE)).scalars()


def _about_to_be_sent(now: datetime) -> ColumnElement[bool]:
    """Let in, and in the hands of somebody who lives; one that is asked call by call reserves for itself."""
    return batches.c.state.in_(_SENDABLE) & (batches.c.mode == "batch") & _is_kept(now)


def _is_asked_now(now: datetime) -> ColumnElement[bool]:
    """Calls that go on, though the day has turned since they were granted, cost this one."""
    charged = batches.c.batch_key == charges.c.batch_key
    return exists().where(charged, batches.c.mode == "sync", _is_worked_on(now))


def _is_kept(now: datetime) -> ColumnElement[bool]:
    return batches.c.is_admitted & _is_worked_on(now)


def _is_worked_on(now: datetime) -> ColumnElement[bool]:
    return exists().where(leases.c.name == "batch/" + batches.c.batch_key, leases.c.expires_at > now)


def _scope(batch: Batch, model: str | None) -> ColumnElement[bool]:
    """The others of a pipeline, or of one of its models."""
    others: ColumnElement[bool] = and_(batches.c.pipeline == batch.pipeline, batches.c.batch_key != batch.batch_key)
    return others if model is None else others & (batches.c.model_name == model)
