"""A pipeline's lineage, told to the store and to the annals in its spool, which outlive the store."""

from contextlib import suppress

from shared.annals import Annals
from shared.definition import Definition
from shared.errors import SettingsError, SpoolError
from shared.spool import Spool
from shared.store import Store


class Chronicle:
    """One pipeline's."""

    def __init__(self, store: Store, spool: Spool, pipeline: str) -> None:
        self._store, self._pipeline, self._annals = store, pipeline, Annals(spool, pipeline)

    def refuse_forgotten(self) -> None:
        """Raise SettingsError where the spool remembers runs that the store knows nothing of: rows may be paid for."""
        if self._store.lineage.runs(self._pipeline, 1):
            return
        runs = self._annals.runs()
        if runs:
            newest, _ = runs[-1]
            raise SettingsError(
                f"the state store {self._store.address} knows no run of pipeline '{self._pipeline}', and its spool "
                f"remembers run {newest.epoch} of {newest.started_at:%Y-%m-%d %H:%M:%S} UTC: if the store was lost, "
                "restore a copy of it, or run `poller rebuild`, before anything is sent again; if this is another "
                "pipeline, give it another name or another spool"
            )

    def define(self, definition: Definition) -> None:
        """A definition that this run seals files by."""
        self._store.lineage.put_definition(definition)
        self._annals.keep_definition(definition)

    def begun(self, epoch: int) -> None:
        """A run has begun in the store, and is about to start its job."""
        (run,) = self._store.lineage.runs(self._pipeline, 1)
        owner = self._store.lineage.owner(self._pipeline) or ""
        if run.epoch == epoch:
            limits = self._store.budgets.stated(self._pipeline)
            terms = self._store.terms.of(self._pipeline)
            self._annals.keep_run(run, owner, self._store.shards.installation_id(), limits, terms)

    def finish(self, epoch: int, outcome: str) -> None:
        """How a run ended; the store's first word stands."""
        self._store.lineage.finish(self._pipeline, epoch, outcome)
        run = next((run for run in self._store.lineage.runs(self._pipeline) if run.epoch == epoch), None)
        if run is None or run.outcome is None or run.ended_at is None:
            return
        # Without it a rebuilt store takes the run for one that was killed.
        with suppress(SpoolError):
            self._annals.keep_end(epoch, run.outcome, run.ended_at, self._store.shards.installation_id())
