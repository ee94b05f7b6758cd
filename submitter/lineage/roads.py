"""Looks for the state that a start continues from: the runs in the store, the checkpoints on disk, the sealed files."""

from dataclasses import dataclass, replace

from shared.errors import SettingsError, SpoolError
from shared.spool import Spool
from shared.store import Run, Store
from submitter.lineage import checkpoints
from submitter.lineage.lineage import NAMED, Checkpoint, Found, Road, Sealed, choose, choose_named


@dataclass(frozen=True)
class Roads:
    """Where a pipeline's past lies."""

    pipeline: str
    store: Store
    spool: Spool
    folder: str
    """The URL of its checkpoints."""

    def find(self, definition: str, named: str | None, *, fresh: bool, reads_on: bool = False) -> Road:
        """The road of the next run; `named` is the state that the user names.

        Raises SettingsError for one that is not there.
        """
        runs = self.store.lineage.runs(self.pipeline)
        found, sealed = self._found(runs), self._sealed()
        if named is None or fresh:
            return choose(runs, found, definition, sealed, fresh=fresh, reads_on=reads_on)
        named = named.rstrip("/").removesuffix("/_metadata")
        state, is_seen = self._look(named)
        # What we can't look at can't be judged here: Flink will.
        if state is None and is_seen:
            raise SettingsError(
                f"{NAMED}: there is no complete checkpoint or savepoint at {named}; correct it, or leave it out: then "
                "the run continues from the pipeline's own newest checkpoint"
            )
        return choose_named(named, state, runs, found, definition, sealed)

    def _found(self, runs: list[Run]) -> Found:
        restored = {run.restored_from: self._look(run.restored_from)[0] for run in runs if run.restored_from}
        return {
            **{address: [state] for address, state in restored.items() if state is not None},
            **checkpoints.complete(self.folder, [run.job_id for run in runs if run.job_id]),
        }

    def _look(self, address: str) -> tuple[Checkpoint | None, bool]:
        """The state at an address, and whether we can look there: not into every store, nor into one that is gone."""
        try:
            return _read(address), checkpoints.is_readable(address)
        except SpoolError:
            if address.startswith(f"{self.spool.files.url}/"):
                raise
            return None, False

    def _sealed(self) -> Sealed:
        files = [
            file.modified_at
            for pipeline, statement in self.spool.statements(self.pipeline)
            for file in self.spool.sealed_files(pipeline, statement)
        ]
        written_at = max(files, default=None) if self.spool.files.tells_last_write else None
        return Sealed(written_at, self.store.plans.last(self.pipeline))


def _read(address: str) -> Checkpoint | None:
    """The state at an address, under the name that the address gives it."""
    state = checkpoints.read(address)
    return None if state is None else replace(state, address=address)
