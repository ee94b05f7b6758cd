"""What an older copy of the store has forgotten, put back: batches whose folders stand in the spool without a row."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import select

from shared.budget import day_of
from shared.lifecycle import State
from shared.store import attempts, batch_rows, budget_rows, budgets, lineage, plans, terms
from shared.store.budgets import Limit
from shared.store.creates import Attempt
from shared.store.database import Database
from shared.store.lineage import Owner
from shared.store.tables import batches
from shared.store.terms import Stated
from shared.store.values import Charge, Plan, PlannedBatch, Run


class Recalls:
    """Finds and fills the gaps. Nothing that has a row is touched."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def pipeline(self, owner: Owner, runs: Sequence[Run], limits: Sequence[Limit], stated: Stated) -> bool:
        """Put back a pipeline with all its runs, and what the newest of them states; whether the store knew none."""
        with self._database.write() as connection:
            if not lineage.put_back(connection, owner, runs):
                return False
            now = self._database.clock()
            budgets.state(connection, now, owner.pipeline, limits)
            terms.state(connection, now, owner.pipeline, stated)
            return True

    def absent(self, keys: Sequence[str]) -> list[str]:
        """Those of some hundred keys that have no row."""
        with self._database.read() as connection:
            known = set(connection.execute(select(batches.c.batch_key).where(batches.c.batch_key.in_(keys))).scalars())
        return [key for key in keys if key not in known]

    def planned(self, batch: PlannedBatch) -> bool:
        """Put back a batch that nobody has tried to send; whether it was absent."""
        with self._database.write() as connection:
            return batch_rows.insert(connection, batch, self._database.clock())

    def plan(self, plan: Plan) -> bool:
        """Put back a plan, with the positions that it paid for; whether it was absent."""
        with self._database.write() as connection:
            return plans.put_back(connection, plan)

    def sent(self, batch: PlannedBatch, made: Sequence[Attempt]) -> bool:
        """Put back a batch with its attempts, the last of which may have been accepted; whether it was absent.

        It is `ambiguous`, and looked up, from its first moment on: nobody takes it for one that was never sent. What it
        is estimated to cost is reserved of the day on which it was sent.
        """
        error = "the store had forgotten it, and that its create was sent; being looked up"
        with self._database.write() as connection:
            now = self._database.clock()
            if not batch_rows.insert(connection, batch, now, state=State.AMBIGUOUS, error=error):
                return False
            *past, last = made
            attempts.put_back(
                connection, [*past, replace(last, outcome=None, resolved_at=None, provider_batch_id=None)]
            )
            charge = Charge(day_of(last.started_at), reserved_usd=batch.estimated_cost_usd or 0.0)
            budget_rows.put_back(connection, batch, [charge])
            return True

    def ended(self, batch: PlannedBatch, state: State, end: Mapping[str, Any]) -> bool:
        """Put back a batch that is out, with the columns of its last row that are known; whether it was absent."""
        with self._database.write() as connection:
            is_new = batch_rows.insert(connection, batch, self._database.clock(), state=state, **end)
            if is_new:
                day = day_of(end.get("submitted_at") or end["published_at"])
                budget_rows.put_back(connection, batch, [Charge(day, spent_usd=end.get("cost_usd") or 0.0)])
            return is_new
