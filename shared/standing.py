"""An account's standing: paused after a fault of its own, asked again by one batch at a time, resumed. Pure: no I/O.

A refused call is proved mended by a create that is accepted; want of credit, which shows in results, by results, or by
none of them failing for a while.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

REST = timedelta(minutes=5)
"""How long an account rests after a fault of its own, before one batch asks again."""


@dataclass(frozen=True)
class Standing:
    """A paused account. `until` is when the next batch may ask, or, while it `is_proving`, when all may."""

    reason: str
    until: datetime
    rest: timedelta = REST
    """How long it rests after each fault; also how long the batch that asks may take before another one does."""
    probe: str | None = None
    """The batch that asks for all."""
    needs_results: bool = False
    is_proving: bool = False
    """The create of the batch that asked was taken, and its results are awaited: a lack of credit shows soon."""

    def faulted(self, known: "Standing | None", now: datetime) -> "Standing":
        """What stands after this fault where `known` did before: batches that were sent together agree on one time.

        A batch that asked, and is refused soon, leaves the time that the others were told.
        """
        if known is None or known.is_proving or known.until - now < self.rest / 2:
            return self
        return replace(known, probe=None, needs_results=known.needs_results or self.needs_results)

    def may_ask(self, key: str, now: datetime) -> bool:
        """Whether batch `key` may be sent: it asks for all already, or the pause is over."""
        return now >= self.until or (self.probe == key and not self.is_proving)

    def asked(self, key: str, now: datetime) -> "Standing | None":
        """Batch `key` is sent, which it may be; None: the account is no longer paused. The same one gains no time."""
        if self.probe == key and now < self.until:
            return self
        return None if self.is_proving else replace(self, until=now + self.rest, probe=key)

    def held(self, until: datetime, now: datetime) -> "Standing":
        """The batch that asks is held for another reason, and tells nothing of the account: another asks soon."""
        return self if self.is_proving else replace(self, until=min(until, now + self.rest), probe=None)

    def accepted(self, now: datetime) -> "Standing | None":
        """The create of the batch that asks was taken."""
        return replace(self, until=now + 2 * self.rest, is_proving=True) if self.needs_results else None
