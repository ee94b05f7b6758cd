"""A provider's queue as the batches' rows show it, within a transaction: what ours take up there, and who waits for it.

Nothing is kept beside the rows: a batch that leaves its states leaves the queue, whatever made it.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, exists, func, or_, select, update

from shared.admission import ROOM, Queue, Unit, Waiting, fits, turns
from shared.errors import NoRoom
from shared.estimate import TOKENS_PER_BYTE, prompt_tokens
from shared.lessons import IGNORANT, POLICY, Learned
from shared.lifecycle import State
from shared.providers.profiles import profile_of
from shared.store.database import insert_absent
from shared.store.tables import attempts, batches, leases, queues, usages
from shared.store.values import Batch

HOUR = timedelta(hours=1)
_LINE = 200
"""Batches at the line's head that are looked at; those behind wait."""
_SENT = (State.SUBMITTING, State.AMBIGUOUS, State.SUBMITTED, State.RUNNING)
_SENDABLE = (State.SEALED, State.HELD)
_JUDGED = (State.ENDED, State.COLLECTED, State.PUBLISHED, State.FAILED)
_VALIDATING = "validating"


class Rates:
    """How many tokens of its model's a byte of a statement's requests is."""

    def __init__(self, connection: Connection, provider: str, model: str) -> None:
        chosen = (usages.c.provider == provider) & (usages.c.model == model)
        self._known = {(row.pipeline, row.statement): row for row in connection.execute(select(usages).where(chosen))}
        size = sum(row.bytes for row in self._known.values())
        self._common = sum(row.tokens for row in self._known.values()) / size if size else TOKENS_PER_BYTE

    def of(self, pipeline: str, statement: str) -> float:
        """The statement's own rate; the model's where nothing of it has ended yet."""
        own = self._known.get((pipeline, statement))
        return own.tokens / own.bytes if own is not None and own.bytes else self._common


class Counter:
    """One queue, and what a batch takes of it."""

    def __init__(self, connection: Connection, batch: Batch, now: datetime) -> None:
        self._profile = profile_of(batch.provider)
        self.unit = Unit(self._profile.queue)
        self.model = batch.model if self.unit is Unit.TOKENS else ""
        self._connection, self._now, self._account = connection, now, batch.account
        self._rates = Rates(connection, batch.provider, batch.model) if self.unit is Unit.TOKENS else None

    def need(self, row: Any) -> int:
        """What a batch takes, or several of one statement together."""
        if self._rates is None:
            return int(row.requests)
        return prompt_tokens(int(row.bytes), self._rates.of(row.pipeline, row.statement))

    def learned(self) -> tuple[Learned, int | None]:
        """What the provider has taught, and what an option states."""
        row = self._connection.execute(select(queues).where(self._this())).one_or_none()
        if row is None:
            return IGNORANT, None
        lessons = row.learned_limit, row.learned_at, row.confirmed_at, row.full_at, row.full_until, row.refusals
        return Learned(*lessons), row.stated_limit

    def keep(self, learned: Learned, stated: int | None) -> None:
        """Keep what was learned, and what is stated."""
        values = {
            "learned_limit": learned.limit,
            "stated_limit": stated,
            **{name: getattr(learned, name) for name in ("learned_at", "confirmed_at", "full_at", "full_until")},
            "refusals": learned.refusals,
        }
        if not insert_absent(self._connection, queues, {"account": self._account, "model": self.model, **values}):
            self._connection.execute(update(queues).where(self._this()).values(**values))

    def used(self, but: str = "", *, taken: bool = False) -> int:
        """What ours take up, without one; `taken`: of that, what the provider has taken in."""
        chosen = self._inside() & (batches.c.batch_key != but)
        if taken:
            chosen &= ~self._unjudged()
        columns = batches.c.pipeline, batches.c.statement
        sums = func.sum(batches.c.bytes).label("bytes"), func.sum(batches.c.requests).label("requests")
        query = select(*columns, *sums).where(chosen).group_by(*columns)
        return sum(self.need(row) for row in self._connection.execute(query))

    def queue(self, batch: Batch | None, learned: Learned, stated: int | None, per_hour: int | None) -> Queue:
        """All that decides on a batch, which takes up nothing itself; None: on all that wait."""
        key = batch.batch_key if batch is not None else ""
        creates, next_at = self._creates(key, per_hour)
        return Queue(
            line=[Waiting(row.batch_key, self.need(row), row.yielded) for row in self._line(batch)],
            used=self.used(key),
            on_trial=self._count(self._inside() & self._unjudged() & (batches.c.batch_key != key)),
            taken=self._count(self._taken_lately(), POLICY.trusted),
            learned=learned,
            stated=stated,
            creates=creates,
            next_create_at=next_at,
        )

    def is_waited_for(self) -> bool:
        """Whether a batch is held for want of room."""
        return self._count(self._ours() & (batches.c.state == str(State.HELD)) & _for_room(), 1) > 0

    def _line(self, batch: Batch | None) -> Iterable[Row[Any]]:
        """Those who wait, and this one, first sealed first. Who stands behind it has no say in its turn."""
        at, key = batches.c.sealed_at, batches.c.batch_key
        is_due = or_(batches.c.held_until.is_(None), batches.c.held_until <= self._now, _for_room())
        waits = _in(_SENDABLE) & (batches.c.requests > 0) & ~self._kept() & ~is_set_aside(self._now) & is_due
        chosen: ColumnElement[bool] = self._ours() & waits
        if batch is not None:
            before = or_(at < batch.sealed_at, and_(at == batch.sealed_at, key < batch.batch_key))
            chosen = or_(chosen & before, key == batch.batch_key)
        columns = key, batches.c.pipeline, batches.c.statement, batches.c.bytes, batches.c.requests, batches.c.yielded
        return self._connection.execute(select(*columns).where(chosen).order_by(at, key).limit(_LINE))

    def _creates(self, but: str, per_hour: int | None) -> tuple[int | None, datetime | None]:
        if per_hour is None:
            return None, None
        recent = (attempts.c.account == self._account) & (attempts.c.started_at > self._now - HOUR)
        query = select(func.count().label("number"), func.min(attempts.c.started_at).label("first")).where(recent)
        made = self._connection.execute(query).one()
        about = self._count((batches.c.account == self._account) & self._kept() & (batches.c.batch_key != but))
        return per_hour - int(made.number) - about, made.first + HOUR if made.first else None

    def _count(self, chosen: ColumnElement[bool], most: int = _LINE) -> int:
        some = select(batches.c.batch_key).where(chosen).limit(most).subquery()
        return int(self._connection.execute(select(func.count()).select_from(some)).scalar_one())

    def _inside(self) -> ColumnElement[bool]:
        return self._ours() & (_in(_SENT) | self._kept())

    def _unjudged(self) -> ColumnElement[bool]:
        """Without a word of the provider's on whether it takes a batch in."""
        unsent = _in((*_SENDABLE, State.SUBMITTING, State.AMBIGUOUS))
        if not self._profile.validates_later:
            return unsent
        silent = or_(batches.c.remote_status.is_(None), batches.c.remote_status == _VALIDATING)
        young = batches.c.submitted_at > self._now - POLICY.trial_lasts
        return unsent | (_in((State.SUBMITTED, State.RUNNING)) & silent & young)

    def _taken_lately(self) -> ColumnElement[bool]:
        since = batches.c.submitted_at >= self._now - POLICY.memory
        return self._ours() & since & (_in(_JUDGED) | (_in((State.SUBMITTED, State.RUNNING)) & ~self._unjudged()))

    def _kept(self) -> ColumnElement[bool]:
        """Let in, and somebody is about to send it: who dies meanwhile keeps nothing."""
        live = exists().where(leases.c.name == "batch/" + batches.c.batch_key, leases.c.expires_at > self._now)
        return _in(_SENDABLE) & batches.c.is_admitted & live

    def _ours(self) -> ColumnElement[bool]:
        ours = (batches.c.account == self._account) & (batches.c.mode == "batch")
        return ours & (batches.c.model == self.model) if self.model else ours

    def _this(self) -> ColumnElement[bool]:
        return (queues.c.account == self._account) & (queues.c.model == self.model)


def frees(before: Batch, after: Batch) -> bool:
    """Whether a change may give others room: it left the queue, or the provider has taken it in."""
    if before.mode != "batch":
        return False
    was_inside = before.state in _SENT or (before.state in _SENDABLE and before.is_admitted)
    return (was_inside and not _is_inside(after)) or is_taken(before) != is_taken(after)


def is_taken(batch: Batch) -> bool:
    """Whether the provider has said that it takes a batch in."""
    if not profile_of(batch.provider).validates_later:
        return batch.state in (State.SUBMITTED, State.RUNNING)
    return batch.state is State.RUNNING and batch.remote_status not in (None, _VALIDATING)


def let_in(connection: Connection, now: datetime, after: Batch) -> None:
    """Learn from what a batch has become, and tell those whose turn it is now."""
    counter = Counter(connection, after, now)
    learned, stated = counter.learned()
    known = learned
    if is_taken(after):
        learned = learned.taken(counter.used(taken=True), sent_at(connection, after.batch_key), now)
    elif not _is_inside(after):
        learned = learned.left()
    if learned != known:
        counter.keep(learned, stated)
    if not counter.is_waited_for():
        return
    queue = counter.queue(None, learned, stated, profile_of(after.provider).creates_per_hour)
    keys = [turn.batch.key for turn in turns(queue, now)]
    told = batches.c.batch_key.in_(keys) & (batches.c.state == str(State.HELD)) & (batches.c.held_until > now)
    connection.execute(update(batches).where(told).values(held_until=now))


def check(connection: Connection, now: datetime, batch: Batch, per_hour: int | None) -> None:
    """Raise NoRoom where a batch that was let in has no room any more: its lease lapsed, and others came in."""
    counter = Counter(connection, batch, now)
    queue = replace(counter.queue(batch, *counter.learned(), per_hour), line=())
    if not fits(queue, counter.need(batch), now):
        raise NoRoom(f"{counter.unit}: others came in while batch {batch.batch_key} was being uploaded")


def sent_at(connection: Connection, key: str) -> datetime | None:
    """When a batch was sent last, by our own clock."""
    last = select(attempts.c.started_at).where(attempts.c.batch_key == key).order_by(attempts.c.attempt.desc()).limit(1)
    return connection.execute(last).scalar_one_or_none()


def _is_inside(batch: Batch) -> bool:
    return batch.state in _SENT or (batch.state in _SENDABLE and batch.is_admitted)


def is_set_aside(now: datetime) -> ColumnElement[bool]:
    """It could not be worked on, and is not tried again yet: nobody waits for it."""
    return batches.c.next_check_at.is_not(None) & (batches.c.next_check_at > now)


def _for_room() -> ColumnElement[bool]:
    return or_(*(batches.c.held_reason.startswith(f"{word}: ", autoescape=True) for word in ROOM))


def _in(states: Iterable[State]) -> ColumnElement[bool]:
    return batches.c.state.in_([str(state) for state in states])
