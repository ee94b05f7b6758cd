"""What killed processes left in the spool: files in progress, attempts at plans that lost, batches without a row."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from poller.collect.decision import read_decision
from poller.upkeep.retained import State, is_named
from shared.errors import SpoolAway, SpoolError
from shared.keys import generation, is_batch_key
from shared.spool import MANIFEST, Spool
from shared.store import Store

ABANDONED = timedelta(days=1)
"""What nothing has touched for so long was left by a killed process."""
_AT_ONCE = 500


class Leftovers:
    """Finds them, statement by statement. Raises SpoolAway, StoreUnavailable."""

    def __init__(self, store: Store, spool: Spool) -> None:
        self._store, self._spool = store, spool

    def in_progress(self, pipeline: str, statement: str, states: Sequence[State], until: datetime) -> list[str]:
        """Files in progress that nothing wrote into since a moment, and that no restorable checkpoint goes on with."""
        found = self._spool.in_progress(pipeline, statement)
        old = [entry for entry in found if entry.modified_at is not None and entry.modified_at < until]
        return [entry.address for entry in old if not is_named(entry.name, states)]

    def attempts(self, pipeline: str, statement: str, until: datetime) -> list[str]:
        """Attempts at plans since a moment long past, of which no batch is wanted."""
        found = self._spool.attempts(pipeline, statement, until)
        return [attempt for attempt in found if not self._is_wanted(pipeline, statement, attempt)]

    def rowless(self, pipeline: str, statement: str) -> Iterator[str]:
        """Keys of batches that stand in their places, and that the store does not know."""
        folder = f"{self._spool.statement(pipeline, statement)}/batches"
        names = [entry.name for entry in self._spool.files.entries(folder) if entry.is_folder]
        keys = [name for name in names if is_batch_key(name)]
        for start in range(0, len(keys), _AT_ONCE):
            yield from self._store.recalls.absent(keys[start : start + _AT_ONCE])

    def _is_wanted(self, pipeline: str, statement: str, attempt: str) -> bool:
        """Whether a batch of an attempt that was committed, or decided on, is not in its place yet."""
        keys = [folder.name for folder in self._spool.files.entries(attempt) if is_batch_key(folder.name)]
        for key in keys:
            if self._spool.files.size(f"{self._spool.batch(pipeline, statement, key)}/{MANIFEST}") is not None:
                continue
            batch = self._store.batches.get(key)
            parent = self._spool.batch(pipeline, statement, key[:-1]) if generation(key) else None
            try:
                decision = read_decision(self._spool.files, parent) if parent else None
            except SpoolAway:
                raise
            except SpoolError:
                # Who restores the decision needs what it names.
                return True
            if attempt in (batch.attempt_folder if batch else None, decision.attempt if decision else None):
                return True
        return False
