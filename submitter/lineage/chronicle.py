"""A pipeline's lineage, told to the store and to the annals in its spool, which outlive the store."""

from contextlib import suppress

from shared.annals import Annals
from shared.definition import Definition
from shared.errors import SettingsError, SpoolAway, SpoolError
from shared.recall import recall_plans
from shared.spool import Spool
from shared.store import Store


class Chronicle:
    """One pipeline's."""

    def __init__(self, store: Store, spool: Spool, pipeline: str) -> None:
        self._store, self._spool, self._pipeline = store, spool, pipeline
        self._annals = Annals(spool, pipeline)

    def remind(self) -> None:
        """Tell a store that was restored from an older copy what was paid for since, and is deleted by now.

        Before anything is read: those rows may come again. Raises SettingsError where the spool remembers runs that the
        store knows nothing of: then nobody knows what else is paid for; SpoolError for a plan that can't be read.
        """
        self._refuse_forgotten()
        try:
            recall_plans(self._store, self._spool, self._pipeline)
        except SpoolAway:
            raise
        except SpoolError as error:
            raise SpoolError(
                f"{error}\nThe store has forgotten that plan, and what it paid for: restore its record from a copy; "
                "without it (remove it only if you want that) its rows may be sent, and paid for, again"
            ) from error

    def _refuse_forgotten(self) -> None:
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
