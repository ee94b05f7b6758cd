"""When a batch's deadline nears, and what to do then. Pure: the time is an argument.

It nears while there is just enough time left to take what the provider has finished, and to ask for the rest.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from shared.definition import Mode
from shared.lifecycle import State

_ENDING = frozenset({"cancelling", "canceling"})
"""The providers' words for a batch whose end has been asked for."""


class Step(StrEnum):
    """What follows from a look at the time."""

    WAIT = "wait"
    CANCEL = "cancel"
    """Ask the provider for its end: its finished part stays, the rest is carried."""
    DIVERT = "divert"
    """Nothing of it was sent, and nothing may be in flight: all of it is carried to a child that is asked."""


class Timed(Protocol):
    """What of a batch decides."""

    @property
    def state(self) -> State: ...
    @property
    def mode(self) -> Mode: ...
    @property
    def requests(self) -> int: ...
    @property
    def sealed_at(self) -> datetime: ...
    @property
    def deadline_at(self) -> datetime | None: ...
    @property
    def harvested_at(self) -> datetime | None: ...
    @property
    def remote_status(self) -> str | None: ...


@dataclass(frozen=True)
class DeadlinePolicy:
    """How much of the time before a deadline is needed."""

    harvest: timedelta = timedelta(minutes=15)
    """For a cancel (OpenAI's may take ten minutes), its end, and the reading of its results."""
    rate: float = 4.0
    """Answers a second of the synchronous road, until it was measured."""
    slack: float = 1.25
    """The synchronous road may take so many times as long as it should."""
    share: float = 0.5
    """Of the time between seal and deadline, at most: before that, no batch is cut short."""
    again: timedelta = timedelta(minutes=1)
    """After which a batch that is not ending is asked for its end once more."""

    def lead(self, span: timedelta, requests: int, *, asks: bool, rate: float | None = None) -> timedelta:
        """How long before its deadline, `span` after its seal, a batch must be let go."""
        asking = timedelta(seconds=requests / max(rate or self.rate, 1e-3) * self.slack) if asks else timedelta()
        return min(self.harvest + asking, span * self.share)

    def nears_at(self, batch: Timed, *, asks: bool, rate: float | None = None) -> datetime | None:
        """When a batch's deadline nears; None for one that has none."""
        if batch.deadline_at is None:
            return None
        span = batch.deadline_at - batch.sealed_at
        return batch.deadline_at - self.lead(span, batch.requests, asks=asks, rate=rate)

    def may_near(self, batch: Timed, now: datetime) -> bool:
        """Whether a batch's deadline can be near at all, however long its road: cheap, before more is found out."""
        return batch.deadline_at is not None and now >= batch.deadline_at - (
            (batch.deadline_at - batch.sealed_at) * self.share
        )

    def step(
        self, batch: Timed, now: datetime, sent_at: datetime | None, *, asks: bool, rate: float | None = None
    ) -> Step:
        """What to do with a batch. `asks`: its rest may be asked for synchronously, and there is money for it.

        `sent_at` is when its create was sent, by our own clock. One whose create is in flight or unknown waits: it may
        be running, and is not paid for twice.
        """
        nears_at = self.nears_at(batch, asks=asks, rate=rate)
        if nears_at is None or batch.mode == "sync":
            return Step.WAIT
        if batch.state in (State.SEALED, State.HELD):
            return Step.DIVERT if asks and now >= nears_at else Step.WAIT
        if batch.state not in (State.SUBMITTED, State.RUNNING):
            return Step.WAIT
        if batch.harvested_at is not None:
            is_ignored = batch.remote_status not in _ENDING and now >= batch.harvested_at + self.again
            return Step.CANCEL if is_ignored else Step.WAIT
        if now < nears_at:
            return Step.WAIT
        # Sent when its time was short already, to be batched or not at all: to send it once more would help nobody.
        is_late = sent_at is not None and sent_at >= nears_at
        return Step.WAIT if is_late and not asks else Step.CANCEL


DEADLINE = DeadlinePolicy()
