"""Whether to halve on at once a batch that its provider refuses without naming a line, or to let it rest before.

Halving ends at batches of one line: only a line that is refused alone is known to be bad. A batch of n requests takes
ceil(log2 n) + 1 rounds at most; where nothing of a large one is ever accepted, an hour more for each.
"""

from dataclasses import dataclass
from datetime import timedelta

from poller.collect.decision import read_decision
from shared.lifecycle import Event
from shared.spool import Spool
from shared.store import Batch, Store
from shared.store.attempts import OUTCOME

_CREATED = (OUTCOME[Event.ACCEPT], OUTCOME[Event.ADOPT], OUTCOME[Event.REJECT])


@dataclass(frozen=True)
class Halving:
    """When all that was refused looks like a fault of the definition's, and not of some lines."""

    deepest: int = 6
    """Halvings of which no part was accepted: some 2 ** 7 creates."""
    small: int = 64
    """Requests that are halved to the end in any case."""
    rest: timedelta = timedelta(hours=1)
    """Before a larger part is sent once more, and halved on: until then somebody may mend what is wrong with it all."""


HALVING = Halving()


class Bisection:
    """Looks back at the halves that led to a batch."""

    def __init__(self, store: Store, spool: Spool, halving: Halving = HALVING) -> None:
        self._store, self._spool, self._how = store, spool, halving

    def must_rest(self, batch: Batch) -> bool:
        """Whether a refused batch is large, comes from halving in vain, and has not rested yet."""
        if batch.requests <= self._how.small or not self.was_in_vain(batch):
            return False
        return sum(attempt.outcome in _CREATED for attempt in self._store.attempts.of(batch.batch_key)) < 2

    def was_in_vain(self, batch: Batch) -> bool:
        """Whether both halves were refused, again and again, at every step that led to this batch, refused itself.

        A half of which nothing is known yet may still be accepted. Raises SpoolError for a damaged decision.
        """
        key, refused = batch.parent, batch.batch_key
        for _ in range(self._how.deepest):
            parent = self._store.batches.get(key) if key else None
            if parent is None or not self._was_refused(parent):
                return False
            halves = self._store.batches.rows(parent=parent.batch_key)
            if not all(half.batch_key == refused or self._was_refused(half) for half in halves):
                return False
            key, refused = parent.parent, parent.batch_key
        return True

    def _was_refused(self, batch: Batch) -> bool:
        folder = self._spool.batch(batch.pipeline, batch.statement, batch.batch_key)
        decision = read_decision(self._spool.files, folder)
        return decision is not None and decision.refused
