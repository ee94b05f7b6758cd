"""Admission: whether a batch may be sent, by the room in its provider's queue. Pure: what is known in, a decision out.

The rule of order. Batches wait in a line, first sealed, first admitted. One that fits may pass earlier ones that do not
fit, until those that passed a batch have taken as much room as it needs itself; from then on nobody passes it. So room
is used while it is there, and each batch that fits alone is admitted once what is before it, and at most its own size
more, has ended. One that is larger than the queue is tried when the queue is empty.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from math import inf
from typing import NamedTuple

from shared.lessons import IGNORANT, POLICY, Learned, Policy


class Unit(StrEnum):
    """What a provider's queue counts. Also how the reason begins for which a batch is held for want of room."""

    TOKENS = "tokens"
    """Of the prompts, for each model."""
    REQUESTS = "requests"
    """Of the whole account."""


CREATES = "creates"
"""How the reason begins for which a batch is held because too many were created within an hour."""
TOO_LARGE = "too-large"
"""How the reason begins for which a batch is held that the provider refused though none of ours was in its queue."""
ROOM = (Unit.TOKENS, Unit.REQUESTS, CREATES)
"""The reasons for which a batch stands in the line."""


class Cut(NamedTuple):
    """Where a planner cuts, so that a batch fits its queue alone; None: no limit is known."""

    max_bytes: int | None = None
    max_requests: int | None = None

    def within(self, other: "Cut") -> "Cut":
        """Where either of both is cut."""
        pairs = zip(self, other, strict=True)
        return Cut(*(min((each for each in pair if each is not None), default=None) for pair in pairs))


UNCUT = Cut()


@dataclass(frozen=True)
class Waiting:
    """A batch in the line."""

    key: str
    need: int
    yielded: int = 0
    """How much room batches behind it have taken, passing it."""


@dataclass(frozen=True)
class Queue:
    """What is known of a provider's queue, and the line before it, at one moment."""

    line: Sequence[Waiting]
    """First sealed first."""
    used: int = 0
    """Of ours, at the provider or about to be sent."""
    on_trial: int = 0
    """Batches of ours that the provider has not said a word on."""
    taken: int = 0
    """Batches of ours that it has taken lately."""
    learned: Learned = IGNORANT
    stated: int | None = None
    """The limit that an option states."""
    creates: int | None = None
    """How many more may be created within this hour."""
    next_create_at: datetime | None = None
    """When one more may."""

    @property
    def limit(self) -> int | None:
        known = [limit for limit in (self.learned.limit, self.stated) if limit is not None]
        return min(known, default=None)


@dataclass(frozen=True)
class Turn:
    """A batch whose turn it is, and those that it passes."""

    batch: Waiting
    passes: tuple[Waiting, ...]


def turns(queue: Queue, now: datetime, policy: Policy = POLICY) -> Iterator[Turn]:
    """The batches that may be sent now, in the line's order, as if each of them were."""
    limit = queue.limit
    room = inf if limit is None else limit - queue.used
    slots = _slots(queue, now, policy)
    blocked: dict[Waiting, int] = {}
    for batch in queue.line:
        if slots <= 0:
            return
        need = batch.need if limit is None else min(batch.need, limit)
        may_pass = all(each.yielded + passed + need <= each.need for each, passed in blocked.items())
        if need > room or not may_pass:
            blocked[batch] = 0
            continue
        yield Turn(batch, tuple(blocked))
        room, slots = room - need, slots - 1
        for each in blocked:
            blocked[each] += need
    first = next(iter(blocked), None)
    if first is not None and slots > 0 and _doubts(queue, now, policy) and len(blocked) == len(queue.line):
        yield Turn(first, ())


def turn_of(queue: Queue, key: str, now: datetime, policy: Policy = POLICY) -> Turn | None:
    """Whether it is a batch's turn."""
    return next((turn for turn in turns(queue, now, policy) if turn.batch.key == key), None)


def fits(queue: Queue, need: int, now: datetime, policy: Policy = POLICY) -> bool:
    """Whether a batch whose turn it was still has room, whatever the line."""
    limit = queue.limit
    has_room = limit is None or queue.used == 0 or queue.used + need <= limit or _doubts(queue, now, policy)
    return has_room and (queue.creates is None or queue.creates > 0)


@dataclass(frozen=True)
class Wait:
    """Why a batch is held for want of room, and when it looks again should nobody tell it of some."""

    reason: str
    until: datetime


def wait(queue: Queue, unit: Unit, batch: Waiting, now: datetime, policy: Policy = POLICY) -> Wait:
    """What is said of a batch whose turn it is not."""
    before = next((place for place, each in enumerate(queue.line) if each.key == batch.key), len(queue.line))
    line = f"; {before:,} sealed before it wait too" if before else ""
    full, limit = queue.learned.full_until, queue.limit
    if queue.creates is not None and queue.creates <= 0:
        said = "as many batches were created within an hour as the provider allows"
        return Wait(f"{CREATES}: {said}{line}", queue.next_create_at or now + policy.trial_lasts)
    if full is not None and full > now:
        return Wait(f"{unit}: the provider's queue is full, and not of our batches alone{line}", full)
    if limit is None or queue.learned.refusals:
        return Wait(f"{unit}: {queue.on_trial:,} others must be taken in first{line}", now + policy.trial_lasts)
    said = f"{queue.used:,} of {limit:,} are in use, and it needs about {batch.need:,}"
    if batch.need > limit:
        said += ", more than there is: it is tried when nothing of ours is in the queue"
    return Wait(f"{unit}: {said}{line}", now + policy.look)


def too_large(unit: Unit, need: int, limit: int | None, said: str, now: datetime, policy: Policy = POLICY) -> Wait:
    """What is said of a batch that was refused though nothing of ours was in the queue."""
    known = f"needs about {need:,} {unit}" + (f", and the limit is {limit:,}" if limit is not None else "")
    advice = "have the limit raised, or let later batches be smaller with 'batch.max-bytes' or 'batch.max-requests'"
    return Wait(f"{TOO_LARGE}: it {known}; {advice} ({said})", now + policy.too_large)


def _slots(queue: Queue, now: datetime, policy: Policy) -> float:
    """How many batches may be sent now, whatever their size."""
    creates = inf if queue.creates is None else queue.creates
    learned = queue.learned
    if learned.full_until is not None and learned.full_until > now:
        return 0
    if learned.refusals:
        return min(creates, 1 - queue.on_trial)
    if queue.limit is not None or queue.taken >= policy.trusted:
        return creates
    return min(creates, max(policy.trial, 2 * queue.taken) - queue.on_trial)


def _doubts(queue: Queue, now: datetime, policy: Policy) -> bool:
    """Whether one batch may be sent beyond a learned limit, to see whether it still holds."""
    known, stated = queue.learned.limit, queue.stated
    is_learned = known is not None and (stated is None or known < stated)
    return is_learned and queue.on_trial == 0 and queue.learned.is_doubted(now, policy)
