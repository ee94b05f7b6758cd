"""A lost store, restored as a whole into an empty one, in one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, select, update

from shared.definition import Definition
from shared.errors import SettingsError
from shared.lifecycle import State
from shared.store import batch_rows, lineage, plans
from shared.store.attempts import put_back as put_back_attempts
from shared.store.budget_rows import put_back
from shared.store.budgets import Limit, state
from shared.store.creates import Attempt
from shared.store.database import Database, insert_absent, serialise
from shared.store.lineage import Owner
from shared.store.tables import (
    attempts,
    batches,
    definitions,
    installation,
    positions,
    runs,
    sealed_files,
    strays,
)
from shared.store.terms import Stated
from shared.store.terms import state as state_terms
from shared.store.values import Charge, Plan, PlannedBatch, Run

_KEPT = (batches, attempts, sealed_files, positions, runs, strays)
"""What an empty store has no row of."""


@dataclass(frozen=True)
class Known:
    """A batch as it is known from elsewhere, with its attempts."""

    batch: PlannedBatch
    state: State
    columns: dict[str, Any] = field(default_factory=dict)
    attempts: Sequence[Attempt] = ()
    charges: Sequence[Charge] = ()


@dataclass(frozen=True)
class Restored:
    """All that a store is made of again."""

    installation: str | None
    """None: the empty store's own is kept."""
    owners: Sequence[Owner] = ()
    runs: Sequence[Run] = ()
    definitions: Sequence[Definition] = ()
    plans: Sequence[Plan] = ()
    batches: Sequence[Known] = ()
    limits: Mapping[str, Sequence[Limit]] = field(default_factory=dict)
    """What a day of each pipeline may cost."""
    terms: Mapping[str, Stated] = field(default_factory=dict)
    """What each pipeline states for itself."""


class Rebuilds:
    """Fills an empty store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def refuse_filled(self) -> None:
        """Raise SettingsError for a store that knows a run, a plan or a batch."""
        with self._database.read() as connection:
            _refuse_filled(connection)

    def restore(self, what: Restored) -> None:
        """Put everything back. Raises SettingsError, with nothing written, for a store that is not empty."""
        with self._database.write() as connection:
            serialise(connection, "batchline/rebuild")
            _refuse_filled(connection)
            now = self._database.clock()
            if what.installation is not None:
                connection.execute(update(installation).values(id=what.installation))
            for definition in what.definitions:
                row = {"hash": definition.hash, "json": definition.canonical().decode()}
                insert_absent(connection, definitions, row)
            for owner in what.owners:
                lineage.put_back(connection, owner, [run for run in what.runs if run.pipeline == owner.pipeline])
            for plan in what.plans:
                plans.put_back(connection, plan)
            for pipeline, limits in what.limits.items():
                state(connection, now, pipeline, limits)
            for pipeline, stated in what.terms.items():
                state_terms(connection, now, pipeline, stated)
            for known in what.batches:
                batch_rows.insert(connection, known.batch, now, state=known.state, **known.columns)
                put_back(connection, known.batch, known.charges)
            put_back_attempts(connection, [attempt for known in what.batches for attempt in known.attempts])


def _refuse_filled(connection: Connection) -> None:
    filled = [table.name for table in _KEPT if connection.execute(select(table).limit(1)).first() is not None]
    if filled:
        raise SettingsError(
            f"the state store is not empty (it has rows in {', '.join(filled)}): a rebuild takes an empty one. What an "
            "older copy has forgotten comes back by itself; see `poller doctor`"
        )
