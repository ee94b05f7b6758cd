"""What a provider's queue has taught of its limit: by refusals that tell it, by what was taken in. Pure: no I/O."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta


@dataclass(frozen=True)
class Policy:
    """How a queue is learned."""

    trial: int = 8
    """While no limit is known: batches at once on which the provider has not said a word, at first."""
    trial_lasts: timedelta = timedelta(minutes=2)
    """After which silence counts as consent."""
    trusted: int = 64
    """Batches taken within `memory`, after which a queue without a known limit counts as endless."""
    memory: timedelta = timedelta(days=1)
    """After which a limit that the provider has not repeated is doubted, by one batch at a time."""
    first_full: timedelta = timedelta(seconds=15)
    most_full: timedelta = timedelta(minutes=15)
    """How long a queue is left alone that is full for reasons that we don't see, doubled each time."""
    look: timedelta = timedelta(minutes=10)
    """When a waiting batch looks again, should nobody tell it of room."""
    too_large: timedelta = timedelta(hours=6)
    """When a batch that is larger than the queue is tried again."""


POLICY = Policy()


@dataclass(frozen=True)
class Learned:
    """What the provider has taught of one queue."""

    limit: int | None = None
    learned_at: datetime | None = None
    """When the limit became what it is."""
    confirmed_at: datetime | None = None
    """When the provider refused a batch for its sake last."""
    full_at: datetime | None = None
    full_until: datetime | None = None
    refusals: int = 0
    """In a row, that the limit does not explain: the provider's queue holds more than we know of."""

    def refused(self, refusal: "Refusal", now: datetime, policy: Policy = POLICY) -> "Learned":
        """A batch was refused for want of room."""
        limit = refusal.told or self.limit or refusal.taken or None
        is_news = limit != self.limit
        lesson = replace(self, limit=limit, learned_at=now if is_news else self.learned_at, confirmed_at=now)
        is_explained = is_news or (limit is not None and refusal.used + refusal.need > limit)
        if is_explained or self.knew_less(refusal.sent_at):
            return lesson
        wait = min(policy.first_full * 2 ** min(self.refusals, 16), policy.most_full)
        return replace(lesson, full_at=now, full_until=now + wait, refusals=self.refusals + 1)

    def taken(self, used: int, sent_at: datetime | None, now: datetime, policy: Policy = POLICY) -> "Learned":
        """A batch was taken in, and makes `used` with the others that were: where the limit is doubted, it is more."""
        learned = self
        if self.limit is not None and used > self.limit and self.is_doubted(now, policy):
            learned = replace(self, limit=used, learned_at=now)
        if self.full_at is not None and (sent_at is None or sent_at > self.full_at):
            return replace(learned, full_at=None, full_until=None, refusals=0)
        return learned

    def left(self) -> "Learned":
        """One of ours has left the queue: there may be room again."""
        return replace(self, full_until=None)

    def is_doubted(self, now: datetime, policy: Policy = POLICY) -> bool:
        """Whether the limit is so old that the provider may have raised it."""
        return self.confirmed_at is not None and now - self.confirmed_at >= policy.memory

    def knew_less(self, sent_at: datetime | None) -> bool:
        """Whether a batch was sent before the last lesson, so that its refusal says nothing new."""
        lessons = (self.learned_at, self.full_at)
        return sent_at is not None and any(lesson is not None and sent_at <= lesson for lesson in lessons)


IGNORANT = Learned()


@dataclass(frozen=True)
class Refusal:
    """A batch that the provider refused for want of room."""

    need: int
    used: int
    """Of our other batches in the queue."""
    taken: int
    """Of those, what the provider has certainly taken in."""
    told: int | None = None
    """The limit that its message tells."""
    sent_at: datetime | None = None
