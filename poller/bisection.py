"""Whether to go on halving a batch that its provider refuses without naming a line."""

from poller.decision import read_decision
from shared.spool import Spool
from shared.store import Batch, Store

_DEEPEST = 6
"""Halvings after which a batch whose every part is refused is refused as a whole: some 2 ** 7 creates."""


class Bisection:
    """Looks back at the halves that led to a batch."""

    def __init__(self, store: Store, spool: Spool) -> None:
        self._store, self._spool = store, spool

    def was_in_vain(self, batch: Batch) -> bool:
        """Whether both halves were refused, again and again, at every step that led to this batch, refused itself.

        A half of which nothing is known yet may still be accepted. Raises SpoolError for a damaged decision.
        """
        key, refused = batch.parent, batch.batch_key
        for _ in range(_DEEPEST):
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
