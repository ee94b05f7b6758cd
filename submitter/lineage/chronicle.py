"""A pipeline's lineage, told to the store and to the annals in its spool, which outlive the store."""

from contextlib import suppress

from shared.annals import Annals
from shared.definition import Definition
from shared.errors import SettingsError, SpoolAway, SpoolError
from shared.recall import Belonging, belonging, recall_pipeline, recall_plans
from shared.spool import Spool
from shared.store import Store


class Chronicle:
    """One pipeline's."""

    def __init__(self, store: Store, spool: Spool, pipeline: str) -> None:
        self._store, self._spool, self._pipeline = store, spool, pipeline
        self._annals = Annals(spool, pipeline)

    def claim(self, file: str, *, take_over: bool = False) -> None:
        """Make the pipeline's name this file's, in a store that was told of its runs before, if they are its own.

        Raises SettingsError where the spool remembers runs of another store, which alone knows what is paid for;
        NameTaken where the name is another file's, unless it is taken over; SpoolError for a damaged run.
        """
        found = belonging(self._store, self._spool, self._pipeline)
        if found is Belonging.ANOTHERS:
            raise self._anothers()
        if found is Belonging.FORGOTTEN:
            recall_pipeline(self._store, self._spool, self._pipeline)
        self._store.lineage.claim_name(self._pipeline, file, take_over=take_over)

    def remind(self) -> None:
        """Tell a store that was restored from an older copy what was paid for since, and is deleted by now.

        Before anything is read: those rows may come again. Raises SpoolError for a plan that can't be read.
        """
        try:
            recall_plans(self._store, self._spool, self._pipeline)
        except SpoolAway:
            raise
        except SpoolError as error:
            raise SpoolError(
                f"{error}\nThe store has forgotten that plan, and what it paid for: restore its record from a copy; "
                "without it (remove it only if you want that) its rows may be sent, and paid for, again"
            ) from error

    def _anothers(self) -> SettingsError:
        newest = self._annals.newest()
        told = f"run {newest.epoch} of {newest.started_at:%Y-%m-%d %H:%M:%S} UTC" if newest else "runs"
        return SettingsError(
            f"the state store {self._store.address} knows no run of pipeline '{self._pipeline}', and its spool "
            f"remembers {told}, by another store: if that was lost, restore a copy of it, or run `poller rebuild` into "
            "an empty one, before anything is sent again; if this is another pipeline, give it another name or another "
            "spool"
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
