"""What store and spool say of a pipeline, for the console and for a bounded job's end."""

from shared.lifecycle import State
from shared.spool import Spool
from shared.store import Store
from submitter.job.progress import Tally

_OPEN = (State.SEALED, State.SUBMITTING, State.AMBIGUOUS)
_NEVER_SENT = ("sealed", "held", "submitting", "ambiguous")


class Counter:
    """Counts files and batches of some statements; remembers which files are planned."""

    def __init__(self, store: Store, spool: Spool, pipeline: str, statements: tuple[str, ...]) -> None:
        self._store, self._spool, self._pipeline, self._statements = store, spool, pipeline, statements
        self._planned: set[str] = set()

    def tally(self) -> Tally:
        files = [file for name in self._statements for file in self._spool.sealed_files(self._pipeline, name)]
        unplanned = [file for file in files if not self._is_planned(file.address)]
        held = self._store.batches.rows([State.HELD], pipeline=self._pipeline)
        waiting = self._store.batches.rows(_OPEN, pipeline=self._pipeline)
        return Tally(
            files=len(files),
            unplanned=len(unplanned),
            submitted=self._submitted(),
            held=len(held),
            # A child is the poller's, which outlives this run; so is what is asked record by record.
            open=sum(batch.generation == 0 and batch.mode == "batch" for batch in waiting),
            reasons=tuple(batch.held_reason or "" for batch in held),
            skipped=self.skipped(),
        )

    def skipped(self) -> int:
        """Rows that the newest run has read again, and not sent."""
        return sum(run.skipped for run in self._store.lineage.runs(self._pipeline, 1))

    def in_flight(self) -> int:
        """Batches whose create may be on its way."""
        return len(self._store.batches.rows([State.SUBMITTING], pipeline=self._pipeline))

    def _submitted(self) -> int:
        rows = [row for row in self._store.status.pipelines() if row["pipeline"] == self._pipeline]
        return sum(row["batches"] - sum(row[f"batches_{state}"] for state in _NEVER_SENT) for row in rows)

    def _is_planned(self, address: str) -> bool:
        if address not in self._planned and self._store.plans.is_planned(address):
            self._planned.add(address)
        return address in self._planned
