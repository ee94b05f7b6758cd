"""Providers' queues: who is let in, what refusals teach, what a byte of requests takes. Shared by all who submit."""

from dataclasses import replace
from datetime import datetime
from math import floor

from sqlalchemy import Connection, select, update

from shared.admission import UNCUT, Cut, Unit, Wait, Waiting, too_large, turn_of, wait
from shared.definition import Model
from shared.lessons import Refusal
from shared.lifecycle import Event
from shared.providers.profiles import profile_of
from shared.store import budget_rows
from shared.store.accounts import ask, standing_of
from shared.store.batch_rows import admit, advance, alone, locked
from shared.store.database import Database, insert_absent
from shared.store.leases import hold
from shared.store.queue_rows import Counter, Rates, let_in, sent_at
from shared.store.tables import batches, queues, usages
from shared.store.values import Batch, Fence

_MEMORY = 1 << 30
"""Bytes of requests, after which older measurements count half."""


_SAFETY = 0.9
"""Of the limit, for a batch whose tokens are only estimated."""


class Queues:
    """Admission, and what it learns from."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def admit(self, key: str, lease: Fence, *, stated: int | None = None, per_hour: int | None = None) -> Batch:
        """Let a batch in, or hold it, in one transaction; as it stands then. `stated` is the limit by an option.

        What it takes is kept for it from here on, as long as the lease is alive. Where its account is paused it may be
        the one that asks for all others.
        """
        with self._database.write() as connection:
            hold(connection, lease)
            alone(connection, key)
            now, batch = self._database.clock(), locked(connection, key)
            standing = standing_of(connection, batch.account)
            if standing is not None and not standing.may_ask(key, now):
                return _held(connection, now, batch, Wait(standing.reason, standing.until))
            money = budget_rows.wait(connection, now, batch)
            if money is not None:
                return _held(connection, now, batch, money)
            counter = Counter(connection, batch, now)
            learned, known = counter.learned()
            if stated != known:
                counter.keep(learned, stated)
            queue = counter.queue(batch, learned, stated, per_hour)
            turn = turn_of(queue, key, now)
            if turn is None:
                waiting = Waiting(key, counter.need(batch), batch.yielded)
                return _held(connection, now, batch, wait(queue, counter.unit, waiting, now))
            ask(connection, now, batch.account, key)
            passed = batches.c.batch_key.in_([each.key for each in turn.passes])
            more = batches.c.yielded + turn.batch.need
            connection.execute(update(batches).where(passed).values(yielded=more))
            return admit(connection, now, batch)

    def refused(self, batch: Batch, told: int | None, said: str) -> Wait:
        """The provider refused a batch for want of room: learn from it; why it is held, and until when."""
        with self._database.write() as connection:
            alone(connection, batch.batch_key)
            now, key = self._database.clock(), batch.batch_key
            counter = Counter(connection, batch, now)
            need, used = counter.need(batch), counter.used(key)
            learned, stated = counter.learned()
            refusal = Refusal(need, used, counter.used(key, taken=True), told, sent_at(connection, key))
            # One that was sent by the rule was alone, if it is as large as that.
            was_alone = used == 0 and not learned.knew_less(refusal.sent_at)
            learned = learned.refused(refusal, now)
            counter.keep(learned, stated)
            if was_alone and learned.limit is not None and need > learned.limit:
                return too_large(counter.unit, need, learned.limit, said, now)
            queue = replace(counter.queue(batch, learned, stated, None), line=[Waiting(key, need)])
            held = wait(queue, counter.unit, queue.line[0], now)
            until = now if turn_of(queue, key, now) else held.until
            return Wait(f"{held.reason} ({said})", until)

    def cut(self, model: Model, pipeline: str, statement: str, stated: int | None) -> Cut:
        """Where batches of a statement are cut, so that each fits the queue by itself."""
        unit = Unit(profile_of(model.provider).queue)
        with self._database.read() as connection:
            name = model.model if unit is Unit.TOKENS else ""
            query = select(queues.c.learned_limit).filter_by(account=model.account, model=name)
            known = [connection.execute(query).scalar(), stated]
            limit = min((each for each in known if each is not None), default=None)
            if limit is None:
                return UNCUT
            if unit is Unit.REQUESTS:
                return Cut(max_requests=limit)
            rate = Rates(connection, model.provider, model.model).of(pipeline, statement)
            return Cut(max_bytes=floor(limit * _SAFETY / rate))

    def rate(self, provider: str, model: str, pipeline: str, statement: str) -> float:
        """Tokens for a byte of a statement's requests."""
        with self._database.read() as connection:
            return Rates(connection, provider, model).of(pipeline, statement)

    def measure(self, batch: Batch, size: int, tokens: int) -> None:
        """Requests of so many bytes were billed as so many tokens: those who wait may need less than was thought."""
        if size <= 0 or tokens <= 0:
            return
        names = {"provider": batch.provider, "model": batch.model}
        names |= {"pipeline": batch.pipeline, "statement": batch.statement}
        with self._database.write() as connection:
            alone(connection, batch.batch_key)
            if not insert_absent(connection, usages, {**names, "bytes": size, "tokens": tokens}):
                row = connection.execute(select(usages).filter_by(**names).with_for_update()).one()
                share = 2 if row.bytes > _MEMORY else 1
                values = {"bytes": row.bytes // share + size, "tokens": row.tokens // share + tokens}
                connection.execute(update(usages).filter_by(**names).values(**values))
            let_in(connection, self._database.clock(), batch)


def _held(connection: Connection, now: datetime, batch: Batch, why: Wait) -> Batch:
    changes = {"held_reason": why.reason, "held_until": why.until}
    return advance(connection, now, batch.batch_key, Event.HOLD, changes)  # type: ignore[arg-type]  # columns by name
